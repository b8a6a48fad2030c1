"""resample_spatial and resample_cube_spatial."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import DimensionNotAvailable, InvalidInput, ProcessParameterInvalid
from acreage.core.grid import Box, Grid, crs_name, parse_crs
from acreage.processes.registry import Footprint, Warp, cube_process
from acreage.processes.resample_kernels import check_method, index_map, resample, support

ALIGNMENTS = ("upper-left", "lower-left", "upper-right", "lower-right")


@dataclass(frozen=True, slots=True)
class NoPixels:
    """A cube of which only the metadata is needed."""

    def __call__(self, out: Box, full_input: Box) -> Box:
        """An empty box at the input's corner."""
        return Box(full_input.grid, full_input.x0, full_input.y0, full_input.x0, full_input.y0)


def spatial_box(data: CubeMeta, process_id: str) -> Box:
    """The box of a cube with both x and y.

    Raises:
        DimensionNotAvailable: one of them is missing.
    """
    if data.box is None or not {"x", "y"} <= {d.type for d in data.dims}:
        raise DimensionNotAvailable(
            f"{process_id} needs the dimensions x and y; the data cube has {', '.join(data.names) or 'none'}."
        )
    return data.box


# --- where the pixels go ------------------------------------------------------------------------------------


def target_grid(
    source: Grid, *, resolution: Any, projection: Any, method: str = "near", align: str = "upper-left"
) -> tuple[Grid, str]:
    """The grid and method that resample_spatial asks for, from its arguments and the grid of its input.

    New grids are snapped: pixel edges lie on whole multiples of the resolution from the CRS origin.

    Args:
        source: the grid that is resampled (for a loaded cube, a band's own native grid).
        resolution: number or [x, y] in units of the target CRS; 0 keeps the source's, per axis.
        projection: EPSG number, WKT2 or None for the source's.
        method: resampling method.
        align: one of the four corners. On a snapped grid all four give the same pixels.

    Raises:
        ProcessParameterInvalid: nothing to do, a wrong value, or a kept resolution in another unit.
    """
    if align not in ALIGNMENTS:
        raise ProcessParameterInvalid(
            f"{align!r} is not an alignment.", hint=f"Use one of {', '.join(ALIGNMENTS)}."
        )
    res_x, res_y = _resolutions(resolution)
    if projection is None and not res_x and not res_y:
        raise ProcessParameterInvalid(
            "resample_spatial was given neither a resolution nor a projection.",
            hint="Give `resolution`, `projection` or both.",
        )
    crs = source.crs if projection is None else _projection(projection)
    if crs == source.crs:
        return (
            Grid(
                crs,
                res_x or source.res_x,
                res_y or source.res_y,
                0.0 if res_x else source.off_x,
                0.0 if res_y else source.off_y,
            ),
            method,
        )
    if not (res_x and res_y) and _unit(crs) != _unit(source.crs):
        raise ProcessParameterInvalid(
            f"The resolution cannot be kept from {source.crs} ({_unit(source.crs)}) to {crs} ({_unit(crs)}).",
            hint="Give `resolution` in the unit of the target projection.",
        )
    return Grid(crs, res_x or source.res_x, res_y or source.res_y), method


def _resolutions(resolution: Any) -> tuple[float, float]:
    sides = resolution if isinstance(resolution, list | tuple) else [resolution, resolution]
    good = len(sides) == 2 and all(
        isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v < float("inf") for v in sides
    )
    if not good:
        raise ProcessParameterInvalid(
            f"{resolution!r} is not a resolution.", hint="Give one number, or two for x and y; 0 keeps it."
        )
    return float(sides[0]), float(sides[1])


def _projection(projection: Any) -> str:
    if isinstance(projection, bool) or not isinstance(projection, int | str):
        raise ProcessParameterInvalid(
            f"{projection!r} is not a projection.", hint="Give an EPSG number or a WKT2 text."
        )
    try:
        name = crs_name(projection)
    except InvalidInput as error:
        raise ProcessParameterInvalid(f"In `projection`: {error.message}", hint=error.hint) from error
    if not (parse_crs(name).is_projected or parse_crs(name).is_geographic):
        raise ProcessParameterInvalid(
            f"{projection!r} is not a CRS for maps.", hint="Give a projected or geographic CRS."
        )
    return name


def _unit(crs: str) -> str:
    return str(parse_crs(crs).axis_info[0].unit_name)


# --- resample_spatial ---------------------------------------------------------------------------------------


def _resampled(data: CubeMeta, full: Box, grid: Grid, method: str) -> CubeMeta:
    check_method(method, data.dtype)
    if grid.aligned_with(full.grid):
        return data.with_box(full.on(full.grid))
    box = full.project(grid)
    if box.is_empty and not full.is_empty:
        raise ProcessParameterInvalid(
            f"The data cube has no place in {grid.crs}.", hint="Choose another projection."
        )
    return replace(data.with_box(box), may_be_null=True)


def _describe_spatial(
    *, data: CubeMeta, resolution: Any, projection: Any, method: str, align: str
) -> CubeMeta:
    full = spatial_box(data, "resample_spatial")
    grid, method = target_grid(
        full.grid, resolution=resolution, projection=projection, method=method, align=align
    )
    return _resampled(data, full, grid, method)


def _warp(data: CubeMeta, method: str, out: CubeMeta) -> Footprint:
    assert out.box is not None
    return Warp(support(method, data.grid, out.box))


def _spatial_footprints(*, data: CubeMeta, method: str, out: CubeMeta, **_: Any) -> dict[str, Footprint]:
    return {"data": _warp(data, method, out)}


@cube_process("resample_spatial", describe=_describe_spatial, footprints=_spatial_footprints)
def resample_spatial(
    *, data: Cube, resolution: Any, projection: Any, method: str, align: str, out: CubeMeta
) -> Cube:
    """The cube on a snapped grid of another resolution or projection.

    Pixel edges lie on whole multiples of the resolution from the origin of the CRS, so neighbouring areas and
    jobs meet without a seam. All corners of such a grid coincide, so every value of `align` gives the same
    pixels. Only a resolution of 0 in an unchanged CRS keeps the source's own lattice.
    """
    return _run(data, method, out)


def _run(data: Cube, method: str, out: CubeMeta) -> Cube:
    assert out.box is not None
    assert data.meta.box is not None
    imap = index_map(data.meta.box.grid, out.box)
    values, valid = resample(data.values, data.valid, data.meta.box, imap, method)
    return Cube.of(values, valid, out)


# --- resample_cube_spatial ----------------------------------------------------------------------------------


def cube_target_grid(target: CubeMeta | Grid, method: str = "near") -> tuple[Grid, str]:
    """The grid and method that resample_cube_spatial asks for.

    Raises:
        DimensionNotAvailable: the target has no x and y.
    """
    if isinstance(target, Grid):
        return target, method
    return spatial_box(target, "resample_cube_spatial").grid, method


def _describe_cube_spatial(*, data: CubeMeta, target: CubeMeta, method: str) -> CubeMeta:
    full = spatial_box(data, "resample_cube_spatial")
    return _resampled(data, full, *cube_target_grid(target, method))


def _cube_footprints(*, data: CubeMeta, target: CubeMeta, method: str, out: CubeMeta) -> dict[str, Footprint]:
    return {"data": _warp(data, method, out), "target": NoPixels()}


@cube_process("resample_cube_spatial", describe=_describe_cube_spatial, footprints=_cube_footprints)
def resample_cube_spatial(*, data: Cube, target: Cube, method: str, out: CubeMeta) -> Cube:
    """The cube on the grid of another cube.

    It keeps its own area (whole pixels of the target's grid that cover it) and everything else; no pixel of
    the target is read.
    """
    return _run(data, method, out)
