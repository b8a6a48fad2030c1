"""Load nodes: from a search in the catalog to a cube on a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from acreage.catalog.items import BandInfo, CollectionInfo, Raster, Search, SourceItem
from acreage.core.arrays import Array, BoolArray, null_like
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.errors import ItemUnreadable, LabelNotAvailable, NoDataAvailable
from acreage.core.grid import Box, Grid, utm_crs
from acreage.core.provenance import InputItem
from acreage.engine.plan import Context
from acreage.engine.readers import read_raster
from acreage.processes.resample_kernels import index_map, is_identity, resample, support


@dataclass(frozen=True)
class TimeStep:
    """Items that make one time step, best first."""

    label: np.datetime64
    items: tuple[SourceItem, ...]


@dataclass(frozen=True)
class GridRequest:
    """The grid that a loaded cube is asked for: a target and the resampling method.

    Attributes:
        grid: None for the cube's own grid.
        method: openEO's name of the resampling method.
    """

    grid: Grid | None = None
    method: str = "near"


@dataclass(frozen=True)
class SourceOp:
    """Reads the items of a search onto a grid, one mosaic a time step.

    Attributes:
        collection: openEO collection id.
        steps: in time order.
        bands: band names, in order.
        reference: band whose validity decides which item a pixel is taken from.
        method: resampling method.
    """

    collection: str
    steps: tuple[TimeStep, ...]
    bands: tuple[str, ...]
    reference: str
    method: str

    def run(self, inputs: Sequence[Cube], out: CubeMeta, context: Context) -> Cube:
        """Read and mosaic every time step over the output's box."""
        assert out.box is not None
        values = np.full(out.shape, null_like(out.dtype), dtype=out.dtype)
        valid = np.zeros(out.shape, bool)
        for t, step in enumerate(self.steps):
            self._read_step(step, out.box, values[t], valid[t], context)
        return Cube.of(values, valid, out)

    def _read_step(self, step: TimeStep, box: Box, values: Array, valid: BoolArray, context: Context) -> None:
        """Fill one time step, arrays of shape (bands, rows, columns)."""
        touching = [item for item in step.items if _touches(item, box, self.method)]
        if len(touching) == 1:
            for b, band in enumerate(self.bands):
                part = self._read_band(touching[0], band, self.method, box, context)
                if part is not None:
                    values[b], valid[b] = part[0], True if part[1] is None else part[1]
            return
        winner = self._winners(touching, box, context)
        loose = winner < 0
        for n, item in enumerate(touching):
            mine = winner == n
            if not (mine | loose).any():
                continue
            for b, band in enumerate(self.bands):
                part = self._read_band(item, band, self.method, box, context)
                if part is not None:
                    wanted = mine | (loose & ~valid[b])
                    values[b][wanted] = part[0][wanted]
                    valid[b][wanted] = True if part[1] is None else part[1][wanted]

    def _winners(self, items: Sequence[SourceItem], box: Box, context: Context) -> Array:
        """Per pixel the index of the first item whose reference band is valid there.

        Else of the first item that covers the pixel, and -1 where none does (an average may reach there all
        the same): a pixel has the same item whether or not its window holds parts of others. It depends on
        the items, not on the bands that are loaded, so that all loads of a collection agree.
        """
        winner = np.full(box.shape, -1, np.int16)
        for n, item in enumerate(items):
            open_ = winner < 0
            if not open_.any():
                break
            part = self._read_band(item, self.reference, "near", box, context)
            if part is not None:
                winner[open_ & (True if part[1] is None else part[1])] = n
        for n, item in enumerate(items):
            raster = item.rasters.get(self.reference)
            open_ = winner < 0
            if raster is not None and open_.any():
                winner[open_ & _covered(raster, box)] = n
        return winner

    def _read_band(
        self, item: SourceItem, band: str, method: str, box: Box, context: Context
    ) -> tuple[Array, BoolArray | None] | None:
        """One band of one item on the output's box, or None where it has no pixel there."""
        raster = item.rasters.get(band)
        if raster is None or (item.id, band) in context.log.failures:
            return None
        source = source_region(raster.box, box, method)
        if source.is_empty:
            return None
        try:
            values, valid = read_raster(raster, source, item.id, band)
        except ItemUnreadable as error:
            context.log.failures[(item.id, band)] = error.message
            return None
        context.log.read.add(InputItem(item.collection, item.id, item.href))
        context.log.pixels += source.size
        if is_identity(method, raster.box.grid, box.grid) and source.on(box.grid) == box:
            return values, valid
        return resample(values, valid, source, index_map(source.grid, box), method)


@lru_cache(maxsize=8192)
def source_region(raster: Box, box: Box, method: str) -> Box:
    """The pixels of a raster's box that a box on any grid needs."""
    if is_identity(method, raster.grid, box.grid):
        return box.on(raster.grid).intersect(raster)
    return box.project(raster.grid, support(method, raster.grid, box.grid)).intersect(raster)


def _touches(item: SourceItem, box: Box, method: str) -> bool:
    return any(not source_region(r, box, method).is_empty for r in {r.box for r in item.rasters.values()})


def _covered(raster: Raster, box: Box) -> BoolArray:
    """Where a box's pixel centres lie in a raster, whatever its values."""
    source = source_region(raster.box, box, "near")
    if source.is_empty:
        return np.zeros(box.shape, bool)
    _, valid = resample(np.ones(source.shape, bool), None, source, index_map(source.grid, box), "near")
    return np.ones(box.shape, bool) if valid is None else valid


def pick_bands(info: CollectionInfo, wanted: Sequence[str] | None) -> tuple[BandInfo, ...]:
    """The bands of a collection in the order asked; all of them for None. Common names are understood too.

    Raises:
        LabelNotAvailable: the collection has no such band.
    """
    if wanted is None:
        return info.bands
    picked = []
    for name in wanted:
        band = info.band(name) or next((b for b in info.bands if b.common_name == name), None)
        if band is None:
            raise LabelNotAvailable(
                f"Collection {info.id} has no band {name!r}.", hint=f"It has {', '.join(info.band_names)}."
            )
        picked.append(band)
    return tuple(picked)


def time_steps(search: Search) -> tuple[TimeStep, ...]:
    """Items grouped to time steps: one a mosaic group, labelled with the group's first instant."""
    groups: dict[str, list[SourceItem]] = {}
    for item in search.items:
        groups.setdefault(item.group, []).append(item)
    steps = [
        TimeStep(min(i.datetime for i in items), tuple(sorted(items, key=lambda i: (i.rank, i.id))))
        for items in groups.values()
    ]
    return tuple(sorted(steps, key=lambda s: (s.label, s.items[0].group)))


def own_grid(items: Sequence[SourceItem], bands: Sequence[BandInfo], centre: tuple[float, float]) -> Grid:
    """The grid of a cube that nothing resamples: the finest requested band's.

    Where all items lie in one CRS it is that band's own lattice, else whole multiples of its resolution in
    the UTM zone of the area's centre (longitude, latitude).

    Raises:
        NoDataAvailable: no item has any of the bands.
    """
    names = {b.name for b in bands}
    grids = [r.box.grid for item in items for name, r in item.rasters.items() if name in names]
    if not grids:
        raise NoDataAvailable(
            f"None of the {len(items)} items has a readable band of {', '.join(sorted(names))}."
        )
    finest = min(grids, key=lambda g: (g.res_x * g.res_y, g.off_x, g.off_y))
    if len({g.crs for g in grids}) == 1:
        return finest
    zone = utm_crs(*centre)
    metric = [g for g in grids if not g.is_geographic]
    if not metric:
        return Grid.snapped(zone, round(finest.res_y * 111_320, 1))
    return Grid.snapped(zone, min(g.res_x for g in metric))


def cube_dtype(bands: Sequence[BandInfo], items: Sequence[SourceItem]) -> np.dtype[Any]:
    """The dtype that holds all bands: as the collection describes them, and as the items' files say."""
    found: set[np.dtype[Any]] = {np.dtype(b.dtype) for b in bands}
    names = {b.name for b in bands}
    found |= {np.dtype(r.dtype) for item in items for n, r in item.rasters.items() if n in names}
    return np.result_type(*found)


def nodata_of(bands: Sequence[BandInfo]) -> float | int | None:
    """The bands' common null value, or None where they differ."""
    values = {b.nodata for b in bands}
    value = next(iter(values)) if len(values) == 1 else None
    return None if value is None or np.isnan(value) else value


def cube_meta(
    steps: Sequence[TimeStep],
    bands: Sequence[BandInfo],
    box: Box,
    interval: tuple[np.datetime64, np.datetime64] | None,
    attributes: Mapping[str, Any],
) -> CubeMeta:
    """Metadata of a loaded cube: (t, bands, y, x)."""
    items = [i for s in steps for i in s.items]
    return CubeMeta(
        dims=(
            Dimension("t", "temporal", tuple(s.label for s in steps), interval),
            Dimension("bands", "bands", tuple(b.name for b in bands)),
            Dimension("y", "y"),
            Dimension("x", "x"),
        ),
        dtype=cube_dtype(bands, items),
        box=box,
        nodata=nodata_of(bands),
        attributes=tuple(sorted(attributes.items())),
    )
