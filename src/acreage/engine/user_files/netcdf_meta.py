"""What a user's netCDF file is as a data cube: its bands, dimensions and nulls, by the CF conventions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cftime
import netCDF4
import numpy as np
import shapely
from shapely.errors import GEOSException

from acreage.core.arrays import Array
from acreage.core.cube import CubeMeta, Dimension, DimensionType, Geometries, Label
from acreage.core.errors import FileContentInvalid, FileSizeExceeded, InvalidInput
from acreage.core.grid import Box, crs_name
from acreage.core.temporal import instant
from acreage.engine.user_files.hdf5 import refers_elsewhere
from acreage.engine.user_files.netcdf import NetcdfOp, attributes_of, opened, stamp
from acreage.engine.user_files.netcdf_place import Axis, axis_of, box_of, crs_of
from acreage.engine.user_files.netcdf_variables import (
    CHOOSE,
    Source,
    chosen_variables,
    dtype_of,
    source_of,
    type_of,
    variable_of,
)
from acreage.engine.user_files.places import Limits, UserFile

_LONGEST = 10_000_000  # labels of x or y
_MOST_VARIABLES = 10_000


def open_netcdf(file: UserFile, options: Mapping[str, Any], limits: Limits) -> tuple[CubeMeta, NetcdfOp]:
    """Metadata and reading operation of a netCDF file, as a cube on the file's own grid.

    A band for each variable; `x`, `y` and `t` are so called whatever the file calls them. A file that this
    software wrote becomes the cube that it was.

    Args:
        file: which.
        options: of the input format netCDF.
        limits: of files.

    Raises:
        FileContentInvalid: it cannot be read, or is no data cube.
        FileSizeExceeded: it would take too much to unpack.
        ProcessParameterInvalid: an option does not suit it.
    """
    elsewhere = refers_elsewhere(file.path)
    if elsewhere is not None:
        raise FileContentInvalid(f"{file.name} cannot be used: {elsewhere}.", hint="Copy all into one file.")
    with opened(file) as dataset:
        if len(dataset.variables) > _MOST_VARIABLES:
            raise FileSizeExceeded(f"{file.name} has more than {_MOST_VARIABLES} variables.")
        source = source_of(file, dataset, limits)
        names = chosen_variables(source, options.get("variables"))
        first = dataset.variables[names[0]]
        for name in names:
            if set(dataset.variables[name].dimensions) != set(first.dimensions):
                raise source.refuse(f"has variables of different dimensions: {names[0]} and {name}.", CHOOSE)
        dims = {name: _dimension(source, name) for name in first.dimensions}
        axes: dict[DimensionType, Axis] = {
            d.type: _axis(source, name) for name, d in dims.items() if d.type in ("x", "y")
        }
        box = _box(source, names[0], axes, options.get("crs"))
        meta = _meta(source, names, dims, box, options["scale"])
        called = {old: dim.name for old, dim in dims.items()}
        variables = tuple(variable_of(source, name, called, options["scale"]) for name in names)
        upward = box is not None and axes["y"].ascending
        leftward = box is not None and not axes["x"].ascending
        return meta, NetcdfOp(file, stamp(file.path), variables, box, upward, leftward)


# --- dimensions ---------------------------------------------------------------------------------------------


def _dimension(source: Source, name: str) -> Dimension:
    kind = type_of(source, name)
    if kind in ("x", "y"):
        return Dimension(name if name in source.own else kind, kind)
    length = source.dataset.dimensions[name].size
    if length > source.limits.cells:
        raise FileSizeExceeded(f"{source.file.name}: the dimension {name} has {length:,} labels, too many.")
    variable = source.dataset.variables.get(name)
    if variable is None or name not in variable.dimensions:
        return Dimension(name, kind, tuple(range(length)))
    told = attributes_of(variable)
    values = variable[:]
    if variable.dtype is not str and variable.dtype.kind == "S" and values.ndim == 2:
        values = netCDF4.chartostring(values)
    if kind == "temporal" and np.asarray(values).dtype.kind in "iuf":
        return Dimension(name if source.ours else "t", kind, _instants(source, name, values, told))
    period = told.get("period") if kind == "temporal" else None
    return Dimension(name, kind, tuple(map(_label, np.ravel(values).tolist())), None, period)


def _label(value: Any) -> Label:
    return value if isinstance(value, int | float) else str(value)


def _instants(source: Source, name: str, values: Array, told: Mapping[str, Any]) -> tuple[np.datetime64, ...]:
    units, calendar = str(told.get("units", "")), str(told.get("calendar", "standard"))
    if units == "seconds since 1970-01-01" and values.dtype.kind == "f" and np.isfinite(values).all():
        return tuple(np.rint(values * 1000.0).astype(np.int64).astype("datetime64[ms]"))
    try:
        dates = cftime.num2pydate(values, units, calendar)
    except (ValueError, OverflowError, TypeError) as error:
        raise source.refuse(
            f"has dates in {name} that cannot be understood (units {units!r}, calendar {calendar!r})."
        ) from error
    return tuple(instant(date) for date in np.ravel(dates))


def _axis(source: Source, name: str) -> Axis:
    length = source.dataset.dimensions[name].size
    if length > _LONGEST:
        raise FileSizeExceeded(f"{source.file.name}: the dimension {name} has {length:,} labels, too many.")
    variable = source.dataset.variables.get(name)
    if variable is None or variable.dimensions != (name,):
        raise source.refuse(f"has no coordinates of {name}.")
    try:
        return axis_of(np.asarray(variable[:], np.float64), attributes_of(variable))
    except InvalidInput as error:
        raise source.refuse(f"cannot be placed: {name} {error.message}", error.hint) from error


def _box(source: Source, name: str, axes: Mapping[DimensionType, Axis], crs: Any) -> Box | None:
    if not axes:
        return None
    if axes.keys() != {"x", "y"}:
        raise source.refuse(f"has only one of x and y in {name}.")
    told = attributes_of(source.dataset.variables[name])
    mapping = source.dataset.variables.get(str(told.get("grid_mapping", "")).split(" ")[0].rstrip(":"))
    of_mapping = {} if mapping is None else attributes_of(mapping)
    try:
        crs = crs_name(crs) if crs is not None else crs_of(of_mapping, axes["x"], axes["y"])
        return box_of(axes["x"], axes["y"], crs, of_mapping.get("GeoTransform"))
    except InvalidInput as error:
        raise source.refuse(f"cannot be placed: {error.message}", error.hint) from error


# --- the cube -----------------------------------------------------------------------------------------------


def _meta(
    source: Source, names: Sequence[str], dims: Mapping[str, Dimension], box: Box | None, scale: bool
) -> CubeMeta:
    variables = source.dataset.variables
    long = [attributes_of(variables[n]).get("long_name") for n in names]
    labels = tuple(map(str, long)) if source.ours and all(long) else tuple(names)
    inner = [d for d in dims.values() if d.type in ("y", "x")]
    inner.sort(key=lambda d: d.type, reverse=True)
    outer = [d for d in dims.values() if d.type not in ("y", "x")]
    bands = [name for name, kind in source.own.items() if kind == "bands"]
    if source.ours and not bands and len(names) == 1:
        order = [*outer, *inner]
    elif bands and set(source.own) == {*(d.name for d in dims.values()), bands[0]}:
        known = {d.name: d for d in (*outer, *inner)} | {bands[0]: Dimension(bands[0], "bands", labels)}
        order = [known[name] for name in source.own]
    else:
        after = 1 + max((n for n, d in enumerate(outer) if d.type == "temporal"), default=-1)
        order = [*outer[:after], Dimension("bands", "bands", labels), *outer[after:], *inner]
    if len({d.name for d in order}) < len(order):
        raise source.refuse("has two dimensions of one name.")
    dtype = np.result_type(*(dtype_of(source, name, scale) for name in names))
    meta = CubeMeta(tuple(order), dtype, box, _geometries(source, dims))
    if box is None and meta.size > source.limits.cells:
        raise FileSizeExceeded(
            f"{source.file.name} has {meta.size:,} values, too many without a regular grid of x and y.",
            hint="Its variables need coordinates of x and y, or of longitude and latitude.",
        )
    return meta


def _geometries(source: Source, dims: Mapping[str, Dimension]) -> Geometries | None:
    dim = next((d for d in dims.values() if d.type == "geometry"), None)
    variable = None if dim is None else source.dataset.variables.get(f"{dim.name}_wkt")
    if dim is None:
        return None
    if variable is None or variable.dimensions != (dim.name,):
        raise source.refuse(f"has no geometries for its dimension {dim.name}.")
    try:
        shapes = tuple(shapely.from_wkt(np.asarray(variable[:], object)))
        return Geometries(crs_name(str(attributes_of(variable).get("crs"))), shapes)
    except (GEOSException, TypeError, InvalidInput) as error:
        raise source.refuse(f"has geometries in {dim.name}_wkt that cannot be understood.") from error
