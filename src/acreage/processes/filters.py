"""filter_bbox, filter_temporal, filter_bands, filter_labels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from shapely.geometry import box as rectangle

from acreage.core.arrays import Masked
from acreage.core.cube import Cube, CubeMeta, Dimension, Label
from acreage.core.errors import (
    BandFilterParameterMissing,
    DimensionNotAvailable,
    InvalidInput,
    LabelNotAvailable,
    ProcessGraphError,
    ProcessParameterInvalid,
)
from acreage.core.grid import Box, crs_name, transformer
from acreage.core.temporal import Instant
from acreage.processes.bands import bands_dimension, named, wavelength
from acreage.processes.callback import Callback, as_masked
from acreage.processes.constraints import bounding_box
from acreage.processes.convert import json_label, pick, positions
from acreage.processes.geometry_pixels import centre_bounds
from acreage.processes.registry import cube_process
from acreage.processes.time_labels import instants, interval, temporal_dimension

# --- filter_bbox --------------------------------------------------------------------------------------------


def _bounds_in(crs: str, extent: Any) -> tuple[float, float, float, float]:
    west, south, east, north, source = bounding_box(extent)
    try:
        source = crs_name(source)
    except InvalidInput as error:
        raise ProcessParameterInvalid(f"In `extent`: {error.message}", hint=error.hint) from error
    if source == crs:
        return west, south, east, north
    bounds = transformer(source, crs).transform_bounds(west, south, east, north, densify_pts=21)
    if not all(map(math.isfinite, bounds)):
        raise ProcessParameterInvalid(
            f"The bounding box {west}, {south}, {east}, {north} ({source}) has no place in {crs}.",
            hint="Check its coordinates and its `crs`.",
        )
    west, south, east, north = bounds
    return west, south, east, north


def _describe_bbox(*, data: CubeMeta, extent: Any) -> CubeMeta:
    if data.box is not None:
        if not {"x", "y"} <= {d.type for d in data.dims}:
            raise DimensionNotAvailable(
                f"filter_bbox needs the dimensions x and y; the data cube has {', '.join(data.names)}."
            )
        kept = data.box.intersect(centre_bounds(_bounds_in(data.box.grid.crs, extent), data.box.grid))
        return data.with_box(kept)
    geometry = data.find("geometry")
    if geometry is None or data.geometries is None:
        raise DimensionNotAvailable(
            "filter_bbox needs a data cube with x and y or with geometries; this one has "
            f"{', '.join(data.names) or 'no dimensions'}."
        )
    area = rectangle(*_bounds_in(crs_name(data.geometries.crs), extent))
    shapes = data.geometries.shapes
    keep = [i for i, s in enumerate(shapes) if not s.is_empty and area.covers(s)]
    return _with_geometries(data, geometry, keep)


def _with_geometries(data: CubeMeta, dim: Dimension, keep: list[int]) -> CubeMeta:
    old = data.geometries
    assert old is not None
    kept = replace(
        old,
        shapes=tuple(old.shapes[i] for i in keep),
        properties=tuple(old.properties[i] for i in keep) if old.properties else (),
    )
    labels = tuple(dim.labels[i] for i in keep)
    return replace(data.with_dim(dim.name, replace(dim, labels=labels)), geometries=kept)


@cube_process("filter_bbox", describe=_describe_bbox, grid_transparent=True)
def filter_bbox(*, data: Cube, extent: Any, out: CubeMeta) -> Cube:
    """The pixels whose centres lie in a bounding box, edges included; of a vector cube, the geometries in it.

    A box in another CRS is reprojected: the smallest rectangle in the cube's CRS that holds its outline.
    Where it holds no pixel centre, no pixel is left; only a graph that ends there can be run.
    """
    if out.box is not None:
        return data.crop(out.box)
    dim = out.find("geometry")
    assert dim is not None
    return pick(data, dim.name, positions(data.meta.dim(dim.name), dim.labels), out)


# --- filter_temporal ----------------------------------------------------------------------------------------


def _describe_temporal(*, data: CubeMeta, extent: Any, dimension: str | None) -> CubeMeta:
    bounds = interval(extent, "extent")
    if dimension is not None:
        return _filtered(data, temporal_dimension(data, dimension), *bounds)
    temporal = [d for d in data.dims if d.type == "temporal"] or [temporal_dimension(data, None)]
    for dim in temporal:
        data = _filtered(data, dim, *bounds)
    return data


def _filtered(data: CubeMeta, dim: Dimension, start: Instant | None, end: Instant | None) -> CubeMeta:
    labels = tuple(
        label
        for label, at in zip(dim.labels, instants(dim), strict=True)
        if (start is None or at >= start) and (end is None or at < end)
    )
    new = replace(dim, labels=labels, extent=_extent(dim, start, end))
    return data.with_dim(dim.name, new)


def _extent(dim: Dimension, start: Instant | None, end: Instant | None) -> tuple[Instant, Instant] | None:
    """The old extent cut to the filter; where only one end is known, the labels give the other."""
    known = dim.extent
    if known is None:
        if start is not None and end is not None:
            return start, end
        moments = instants(dim)
        if not moments:
            return None
        known = (min(moments), max(moments) + np.timedelta64(1, "ms"))
    low = known[0] if start is None else max(known[0], start)
    high = known[1] if end is None else min(known[1], end)
    if dim.extent is None:  # what lies outside the labels was asked for all the same
        low, high = (start if start is not None else low), (end if end is not None else high)
    return (low, high) if low < high else (low, low)


@cube_process("filter_temporal", describe=_describe_temporal, grid_transparent=True)
def filter_temporal(*, data: Cube, extent: Any, dimension: str | None, out: CubeMeta) -> Cube:
    """The labels in a half-open interval, [start, end); null is an open end. Periods count by their start."""
    names = [d.name for d in out.dims if d.type == "temporal" and dimension in (None, d.name)]
    for name in names:
        new = out.dim(name)
        where = positions(data.meta.dim(name), new.labels)
        data = pick(data, name, where, data.meta.with_dim(name, new))
    return data


# --- filter_bands -------------------------------------------------------------------------------------------


def _describe_bands(*, data: CubeMeta, bands: Any, wavelengths: Any = None) -> CubeMeta:
    dim = bands_dimension(data)
    if not bands and not wavelengths:
        raise BandFilterParameterMissing(
            "filter_bands was given neither `bands` nor `wavelengths`.", hint="Name the bands to keep."
        )
    for name in bands or []:
        if not isinstance(name, str):
            raise ProcessParameterInvalid(f"{name!r} is no name of a band.", hint="Names are texts, as B04.")
    by_name = {name: named(data, dim, name) for name in bands or []}
    if by_name and not wavelengths and not any(by_name.values()):
        return data.with_dim(dim.name, replace(dim, labels=()))
    kept: list[str] = []
    for name, found in by_name.items():
        if not found:
            raise LabelNotAvailable(
                f"The data cube has no band {name!r}; it has {', '.join(map(str, dim.labels))}.",
                hint="Ask for one of these, or for a common name such as red.",
            )
        kept += found
    for low, high in _ranges(wavelengths):
        lengths = {str(b): wavelength(data, str(b)) for b in dim.labels}
        found = [b for b, length in lengths.items() if length is not None and low <= length <= high]
        if not found:
            raise LabelNotAvailable(
                f"No band of the data cube has a wavelength between {low} and {high} micrometres.",
                hint=f"Name the bands instead; there are {', '.join(lengths)}.",
            )
        kept += found
    return data.with_dim(dim.name, replace(dim, labels=tuple(dict.fromkeys(kept))))


def _ranges(wavelengths: Any) -> list[tuple[float, float]]:
    found = []
    for item in wavelengths or []:
        if not isinstance(item, list | tuple) or len(item) != 2 or not item[0] <= item[1]:
            raise ProcessParameterInvalid(
                f"{item!r} in `wavelengths` is not a range.",
                hint="Give [shortest, longest] in micrometres, such as [0.5, 0.6].",
            )
        found.append((float(item[0]), float(item[1])))
    return found


@cube_process("filter_bands", describe=_describe_bands, grid_transparent=True)
def filter_bands(*, data: Cube, bands: Any, out: CubeMeta, wavelengths: Any = None) -> Cube:
    """Bands by name, common name or wavelength (micrometres, both ends included), in the order asked for.

    Where there is none of the names, no band is left; only a graph that ends there can be run. A name that is
    unknown beside known ones is refused, since a misspelt band would be lost unnoticed.
    """
    new = bands_dimension(out)
    return pick(data, new.name, positions(data.meta.dim(new.name), new.labels), out)


# --- filter_labels ------------------------------------------------------------------------------------------


def _describe_labels(*, data: CubeMeta, condition: Any, dimension: str, context: Any) -> CubeMeta:
    dim = data.dim(dimension)
    if not isinstance(condition, Callback) or condition.udf is not None:
        raise ProcessGraphError(
            "The condition of filter_labels must be a process graph without run_udf.",
            hint="Labels are known before any pixel is read; use comparison or text processes on `value`.",
        )
    if dim.type in ("x", "y"):
        return data.with_box(_run_of_pixels(data, dim, condition, context))
    keep = [i for i, label in enumerate(dim.labels) if _holds(condition, json_label(label), context)]
    if dim.type == "geometry" and data.geometries is not None:
        return _with_geometries(data, dim, keep)
    labels: tuple[Label, ...] = tuple(dim.labels[i] for i in keep)
    return data.with_dim(dimension, replace(dim, labels=labels))


def _holds(condition: Callback, value: Any, context: Any) -> bool:
    result = as_masked(condition(value=value, context=context))
    if result.is_array or result.values.size != 1 or result.dtype.kind != "b":
        raise ProcessParameterInvalid(
            f"The condition of filter_labels gives {result.dtype} for the label {value!r}, not a boolean.",
            hint="End the condition with a comparison.",
        )
    return bool(result.values.reshape(-1)[0]) and bool(result.validity().reshape(-1)[0])


def _run_of_pixels(data: CubeMeta, dim: Dimension, condition: Callback, context: Any) -> Box:
    assert data.box is not None
    centres = data.box.x_centres() if dim.type == "x" else data.box.y_centres()
    result = as_masked(condition(value=Masked(centres), context=context))
    if result.is_array or result.dtype.kind != "b":
        raise ProcessParameterInvalid(
            f"The condition of filter_labels gives {result.dtype} along {dim.name!r}, not booleans.",
            hint="End the condition with a comparison.",
        )
    keep = np.flatnonzero(np.broadcast_to(result.values & result.validity(), centres.shape))
    if not keep.size or keep[-1] - keep[0] + 1 != keep.size:
        what = "no" if not keep.size else "separate runs of"
        raise ProcessParameterInvalid(
            f"The condition of filter_labels keeps {what} labels along {dim.name!r}.",
            hint="Along x and y, one run of neighbouring pixels must stay; use a mask for anything else.",
        )
    first, last = int(keep[0]), int(keep[-1]) + 1
    if dim.type == "x":
        return replace(data.box, x0=data.box.x0 + first, x1=data.box.x0 + last)
    return replace(data.box, y0=data.box.y0 + first, y1=data.box.y0 + last)


@cube_process("filter_labels", describe=_describe_labels, grid_transparent=True)
def filter_labels(*, data: Cube, condition: Callback, dimension: str, context: Any, out: CubeMeta) -> Cube:
    """The labels for which the condition is true. Dates are passed in RFC 3339; x and y as pixel centres."""
    new = out.dim(dimension)
    if new.type in ("x", "y"):
        assert out.box is not None
        return data.crop(out.box)
    return pick(data, dimension, positions(data.meta.dim(dimension), new.labels), out)
