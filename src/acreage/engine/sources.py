"""Load nodes: from a search in the catalog to a cube on a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acreage.catalog.items import BandInfo, CollectionInfo, Search, SourceItem
from acreage.core.arrays import Array, BoolArray, null_like
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.errors import ItemUnreadable, LabelNotAvailable, NoDataAvailable
from acreage.core.grid import Box, Grid, utm_crs
from acreage.core.inputs import ItemKey
from acreage.engine.mosaic import StepMosaic
from acreage.engine.placement import lattices
from acreage.engine.plan import Context, Fault
from acreage.engine.readers import read_raster


@dataclass(frozen=True)
class TimeStep:
    """Items that make one time step.

    Attributes:
        label: the time label.
        items: best first.
        lattices: indices of the items that share a lattice.
    """

    label: np.datetime64
    items: tuple[SourceItem, ...]
    lattices: tuple[tuple[int, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lattices", lattices(self.items))

    def without(self, collection: str, dropped: frozenset[ItemKey]) -> TimeStep:
        """The step as if the search had not listed these items of its collection."""
        kept = tuple(i for i in self.items if (collection, i.id) not in dropped)
        return self if len(kept) == len(self.items) else TimeStep(self.label, kept)


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

        def read(item: SourceItem, band: str, source: Box) -> tuple[Array, BoolArray | None] | None:
            return self.read_band(item, band, source, context)

        for t, step in enumerate(self.steps):
            step = step.without(self.collection, context.dropped)
            mosaic = StepMosaic(step.items, step.lattices, self.reference, self.method, out.box, read)
            context.log.touched.update((self.collection, item.id) for item in mosaic.items_with_pixels())
            mosaic.fill(self.bands, values[t], valid[t])
        return Cube.of(values, valid, out)

    def read_band(
        self, item: SourceItem, band: str, source: Box, context: Context
    ) -> tuple[Array, BoolArray | None] | None:
        """Pixels of one band of one item, over a box on its own grid; None where they cannot be read."""
        key = (self.collection, item.id, band)
        if key in context.log.failures:
            return None
        known = None if context.kept is None or band != self.reference else context.kept.get(key)
        if known is not None and known[0].contains(source):
            at = source.slices_in(known[0])
            return known[1][at], None if known[2] is None else known[2][at]
        try:
            values, valid = read_raster(item.rasters[band], source, item.id, band)
        except ItemUnreadable as error:
            context.log.failures[key] = Fault(error.kind, error.message)
            return None
        context.log.read.add(key)
        context.log.pixels += source.size
        if context.kept is not None and band == self.reference:
            context.kept[key] = (source, values, valid)
        return values, valid


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
