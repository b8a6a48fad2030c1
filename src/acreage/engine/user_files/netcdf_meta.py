"""What a user's netCDF file is as a data cube: its bands, dimensions and nulls, by the CF conventions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cftime
import netCDF4
import numpy as np
import shapely
from shapely.errors import GEOSException

from acreage.core.arrays import Array
from acreage.core.cube import CubeMeta, Dimension, DimensionType, Geometries, Label
from acreage.core.errors import FileContentInvalid, FileSizeExceeded, InvalidInput, ProcessParameterInvalid
from acreage.core.grid import Box, crs_name
from acreage.core.temporal import instant
from acreage.engine.ops import udf_dtype
from acreage.engine.user_files.hdf5 import refers_elsewhere
from acreage.engine.user_files.netcdf import NetcdfOp, Variable, attributes_of, opened, stamp
from acreage.engine.user_files.netcdf_place import Axis, axis_of, box_of, crs_of
from acreage.engine.user_files.places import Limits, UserFile
from acreage.engine.writers.cf import DIMENSIONS, TRUTH

_AXES: Mapping[str, DimensionType] = {
    "projection_x_coordinate": "x",
    "longitude": "x",
    "projection_y_coordinate": "y",
    "latitude": "y",
}
_NAMES: Mapping[str, DimensionType] = {
    **dict.fromkeys(("x", "lon", "longitude", "easting"), "x"),
    **dict.fromkeys(("y", "lat", "latitude", "northing"), "y"),
}
_TYPES: Mapping[str, DimensionType] = {
    "x": "x", "y": "y", "temporal": "temporal", "bands": "bands", "geometry": "geometry", "other": "other",
}  # fmt: skip
_MOST_VARIABLES = 10_000
_LONGEST = 10_000_000  # labels of x or y
_LATER = "Choose some by the option 'variables'."


@dataclass(frozen=True)
class _Source:
    """An open file on its way to a cube.

    Attributes:
        file: which.
        dataset: of the library.
        limits: of files.
        own: names and types of the cube's dimensions in order, where this software wrote the file.
    """

    file: UserFile
    dataset: Any
    limits: Limits
    own: Mapping[str, DimensionType]

    def refuse(self, message: str, hint: str = "") -> FileContentInvalid:
        """An error that names the file."""
        return FileContentInvalid(f"{self.file.name} {message}", hint=hint)


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
        source = _Source(file, dataset, limits, _own_dimensions(dataset))
        names = _chosen(source, options.get("variables"))
        first = dataset.variables[names[0]]
        for name in names:
            if set(dataset.variables[name].dimensions) != set(first.dimensions):
                raise source.refuse(f"has variables of different dimensions: {names[0]} and {name}.", _LATER)
        dims = {name: _dimension(source, name) for name in first.dimensions}
        axes: dict[DimensionType, Axis] = {
            d.type: _axis(source, name) for name, d in dims.items() if d.type in ("x", "y")
        }
        box = _box(source, names[0], axes, options.get("crs"))
        meta = _meta(source, names, dims, box, options["scale"])
        called = {old: dim.name for old, dim in dims.items()}
        variables = tuple(_variable(source, name, called, options["scale"]) for name in names)
        upward = box is not None and axes["y"].ascending
        leftward = box is not None and not axes["x"].ascending
        return meta, NetcdfOp(file, stamp(file.path), variables, box, upward, leftward)


def _own_dimensions(dataset: Any) -> dict[str, DimensionType]:
    text = attributes_of(dataset).get(DIMENSIONS)
    own: dict[str, DimensionType] = {}
    for part in text.split() if isinstance(text, str) else ():
        name, _, kind = part.rpartition(":")
        if kind not in _TYPES:
            return {}
        own[name] = _TYPES[kind]
    return own


# --- variables ----------------------------------------------------------------------------------------------


def _chosen(source: _Source, wanted: Sequence[str] | None) -> list[str]:
    """Names of the variables that become bands: those asked for, else all that hold data."""
    variables = source.dataset.variables
    if wanted is not None:
        unknown = [name for name in wanted if name not in variables]
        if unknown:
            raise ProcessParameterInvalid(
                f"{source.file.name} has no variable {', '.join(unknown)}.",
                hint=f"It has {', '.join(list(variables)[:30])}.",
            )
        return list(wanted)
    told = [attributes_of(v) for v in variables.values()]
    helpers = {str(a["grid_mapping"]).split()[0].rstrip(":") for a in told if a.get("grid_mapping")}
    helpers |= {str(a[k]) for a in told for k in ("bounds", "climatology") if k in a}
    helpers |= {word for a in told if "coordinates" in a for word in str(a["coordinates"]).split()}
    helpers |= {name for name in variables if name in source.dataset.dimensions}
    helpers |= {f"{name}_wkt" for name in source.dataset.dimensions}
    found = [
        name
        for name, variable in variables.items()
        if name not in helpers and getattr(variable.dtype, "kind", "") in "iuf"
    ]
    most = max((len(variables[name].dimensions) for name in found), default=0)
    if not source.own and most:  # beside data: numbers that describe the file
        raster = [n for n in found if len(_spatial(source, n)) == 2]
        found = raster or [n for n in found if variables[n].dimensions]
    if not found:
        raise source.refuse("has no variable of numbers.", "A netCDF file needs at least one.")
    if len(found) > source.limits.bands:
        raise FileSizeExceeded(
            f"{source.file.name} has {len(found)} variables; {source.limits.bands} are the most.", hint=_LATER
        )
    return found


def _spatial(source: _Source, name: str) -> set[DimensionType]:
    kinds = {_type(source, dim) for dim in source.dataset.variables[name].dimensions}
    return kinds & {"x", "y"}


def _variable(source: _Source, name: str, called: Mapping[str, str], scale: bool) -> Variable:
    variable = source.dataset.variables[name]
    told = attributes_of(variable)
    chunks = variable.chunking()
    if (
        isinstance(chunks, list | tuple)
        and math.prod(chunks) * variable.dtype.itemsize > source.limits.block_bytes
    ):
        raise FileSizeExceeded(
            f"{source.file.name}: the chunks of {name} are too large to be unpacked.",
            hint="Write it in smaller chunks, for example by nccopy -c.",
        )
    unsigned = str(told.get("_Unsigned", "")).lower() == "true" and variable.dtype.kind == "i"
    kind = np.dtype(f"u{variable.dtype.itemsize}") if unsigned else variable.dtype
    low, high = told.get("valid_min"), told.get("valid_max")
    if np.size(told.get("valid_range", ())) == 2:
        low, high = np.ravel(told["valid_range"])
    factor, offset = (
        _number(told.get(key), default) for key, default in (("scale_factor", 1.0), ("add_offset", 0.0))
    )
    if factor is None or offset is None or factor == 0:
        raise source.refuse(f"has a scale_factor or add_offset of {name} that is no number.")
    return Variable(
        name=name,
        dims=tuple(called[dim] for dim in variable.dimensions),
        nulls=tuple(_nulls(told, variable.dtype, kind)),
        low=_number(low, None),
        high=_number(high, None),
        scale=factor if scale else 1.0,
        offset=offset if scale else 0.0,
        unsigned=unsigned,
        truth=told.get("flag_meanings") == TRUTH,
    )


def _nulls(told: Mapping[str, Any], dtype: np.dtype[Any], kind: np.dtype[Any]) -> list[float | int]:
    """Numbers that stand for null, as a file's values have them; NaN stands for it anyway."""
    found: list[float | int] = []
    for value in (v for key in ("_FillValue", "missing_value") for v in np.ravel(told.get(key, ()))):
        if not np.issubdtype(np.asarray(value).dtype, np.number):
            continue
        if kind.kind == "f":
            found += [] if np.isnan(value) else [float(kind.type(value))]
        elif float(value).is_integer():
            number = int(value)
            found.append(number % 2 ** (8 * dtype.itemsize) if kind != dtype else number)
    return list(dict.fromkeys(found))


def _number(value: Any, default: float | None) -> float | None:
    if value is None:
        return default
    array = np.asarray(value)
    if array.size != 1 or not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
        return None
    return float(array.ravel()[0])


def _dtype(source: _Source, name: str, scale: bool) -> np.dtype[Any]:
    variable = _variable(source, name, {d: d for d in source.dataset.variables[name].dimensions}, scale)
    kind: np.dtype[Any] = source.dataset.variables[name].dtype
    if getattr(kind, "kind", "") not in "iuf":
        raise source.refuse(f"holds no numbers in {name}.", _LATER)
    kind = np.dtype(f"u{kind.itemsize}") if variable.unsigned else kind.newbyteorder("=")
    if variable.truth:
        return np.dtype(bool)
    return udf_dtype(kind) if (variable.scale, variable.offset) != (1.0, 0.0) else kind


# --- dimensions ---------------------------------------------------------------------------------------------


def _type(source: _Source, name: str) -> DimensionType:
    if name in source.own:
        return source.own[name]
    variable = source.dataset.variables.get(name)
    if variable is None or variable.dimensions != (name,) or getattr(variable.dtype, "kind", "") not in "iuf":
        return "other"
    told = attributes_of(variable)
    if " since " in str(told.get("units", "")):
        return "temporal"
    axis = {"X": "x", "Y": "y"}.get(str(told.get("axis", "")), "")
    found = _AXES.get(str(told.get("standard_name", ""))) or _TYPES.get(axis) or _NAMES.get(name.lower())
    return found or "other"


def _dimension(source: _Source, name: str) -> Dimension:
    kind = _type(source, name)
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
        return Dimension(name if source.own else "t", kind, _instants(source, name, values, told))
    period = told.get("period") if kind == "temporal" else None
    return Dimension(name, kind, tuple(map(_label, np.ravel(values).tolist())), None, period)


def _label(value: Any) -> Label:
    return value if isinstance(value, int | float) else str(value)


def _instants(
    source: _Source, name: str, values: Array, told: Mapping[str, Any]
) -> tuple[np.datetime64, ...]:
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


def _axis(source: _Source, name: str) -> Axis:
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


def _box(source: _Source, name: str, axes: Mapping[DimensionType, Axis], crs: Any) -> Box | None:
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
    source: _Source, names: Sequence[str], dims: Mapping[str, Dimension], box: Box | None, scale: bool
) -> CubeMeta:
    variables = source.dataset.variables
    long = [attributes_of(variables[n]).get("long_name") for n in names]
    labels = tuple(map(str, long)) if source.own and all(long) else tuple(names)
    inner = [d for d in dims.values() if d.type in ("y", "x")]
    inner.sort(key=lambda d: d.type, reverse=True)
    outer = [d for d in dims.values() if d.type not in ("y", "x")]
    bands = [name for name, kind in source.own.items() if kind == "bands"]
    if source.own and not bands and len(names) == 1:
        order = [*outer, *inner]
    elif source.own and bands and set(source.own) == {*(d.name for d in dims.values()), bands[0]}:
        known = {d.name: d for d in (*outer, *inner)} | {bands[0]: Dimension(bands[0], "bands", labels)}
        order = [known[name] for name in source.own]
    else:
        after = 1 + max((n for n, d in enumerate(outer) if d.type == "temporal"), default=-1)
        order = [*outer[:after], Dimension("bands", "bands", labels), *outer[after:], *inner]
    if len({d.name for d in order}) < len(order):
        raise source.refuse("has two dimensions of one name.")
    dtype = np.result_type(*(_dtype(source, name, scale) for name in names))
    meta = CubeMeta(tuple(order), dtype, box, _geometries(source, dims))
    if box is None and meta.size > source.limits.cells:
        raise FileSizeExceeded(
            f"{source.file.name} has {meta.size:,} values, too many without a regular grid of x and y.",
            hint="Its variables need coordinates of x and y, or of longitude and latitude.",
        )
    return meta


def _geometries(source: _Source, dims: Mapping[str, Dimension]) -> Geometries | None:
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
