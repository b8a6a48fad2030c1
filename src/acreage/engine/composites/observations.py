"""The observations of one time step over a window: which blocks are decoded, and the kept pixels sampled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acreage.catalog.items import Raster, SourceItem
from acreage.core.arrays import Array, BoolArray, null_like
from acreage.core.errors import ItemUnreadable
from acreage.core.grid import Box, Grid
from acreage.engine.composites import kernels
from acreage.engine.composites.sampling import METHODS, SampleMap, SampleMaps
from acreage.engine.composites.winners import MOST_ITEMS, winners
from acreage.engine.mosaic import Pixels, ReadBand, StepMosaic
from acreage.engine.placement import EDGE, moved_to, on_lattice
from acreage.engine.plan import WindowLog
from acreage.engine.readers import block_shape
from acreage.engine.sources import SourceOp, TimeStep
from acreage.engine.tiles import NotSimple, tiled_file
from acreage.processes.index_maps import largest_span, make_index_map
from acreage.processes.resample_kernels import FOUR_SAMPLES_FROM

DEFAULT_BLOCK = (512, 512)


@dataclass
class StepObservations:
    """Samples one time step of a source, band by band.

    Attributes:
        op: the load.
        step: its items.
        window: target pixels.
        keep: (window pixels) boolean, flat: pixels that no mask nulls.
        maps: where windows lie on lattices.
        log: what was read and what failed.
        read: pixels of one band of an item over a box on its raster's own grid, None where unreadable.
        unread: items and bands of which nothing was read because all that they would give is masked.
    """

    op: SourceOp
    step: TimeStep
    window: Box
    keep: BoolArray
    maps: SampleMaps
    log: WindowLog
    read: ReadBand
    unread: set[tuple[str, str]] = field(default_factory=set)
    _winners: dict[Box, NDArray[Any]] = field(default_factory=dict)
    _needed: dict[tuple[Box, Box, tuple[int, int]], BoolArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.any_kept = bool(self.keep.any())
        self.mosaic = StepMosaic(
            self.step.items, self.step.lattices, self.op.reference, self.op.method, self.window, self.read
        )
        groups = [tuple(n for n in g if self.mosaic.touching(n)) for g in self.step.lattices]
        self._groups = [g for g in groups if g]

    def samples(self, band: str) -> SampleMap | None:
        """Where the window lies on the lattice of a band, None where sampling a frame does not suffice.

        That is so where several lattices meet, where pixels shrink, or where a method needs more than
        samples.
        """
        rasters = self._rasters(band)
        if len(self._groups) != 1 or not rasters:
            return None
        grid = next(iter(rasters.values())).box.grid
        if not self._samples_suffice(grid, [on_lattice(r.box, grid) for r in rasters.values()]):
            return None
        return self.maps.get(grid, self.window, self.op.method)

    def skip(self, band: str) -> None:
        """Note that nothing of a band is read because no pixel is kept."""
        self.unread.update(
            (item.id, band) for item in self.mosaic.items_with_pixels() if band in item.rasters
        )

    def observe(self, band: str, pixels: NDArray[np.int32], out: Array, ok: BoolArray) -> None:
        """Sample a band at kept pixels.

        Args:
            band: which.
            pixels: (n) positions in the window.
            out: (n), written where `ok`.
            ok: (n), written: pixels that are kept and have a valid value.
        """
        ok[:] = False
        if not self.any_kept:
            self.skip(band)
            return
        samples = self.samples(band)
        if samples is not None:
            frame = np.empty(samples.frame.shape, self.dtype(band))
            valid = np.empty(frame.shape, bool)
            self.fill_frame(band, samples, frame, valid)
            samples.gather(frame, None if valid.all() else valid, self.keep, pixels, out, ok)
            return
        if not self._groups:
            return
        values = np.full((1, *self.window.shape), null_like(out.dtype), out.dtype)
        known = np.zeros(values.shape, bool)
        self.mosaic.fill((band,), values, known)
        np.take(values.reshape(-1), pixels, out=out)
        np.logical_and(known.reshape(-1)[pixels], self.keep[pixels], out=ok)

    def dtype(self, band: str) -> np.dtype[Any]:
        """Of a band's pixels as they are resampled."""
        return np.result_type(*(np.dtype("f4" if r.db else r.dtype) for r in self._rasters(band).values()))

    def _rasters(self, band: str) -> dict[int, Raster]:
        numbers = self._groups[0] if self._groups else ()
        return {n: r for n in numbers if (r := self.step.items[n].rasters.get(band)) is not None}

    def _samples_suffice(self, grid: Grid, places: Sequence[Box]) -> bool:
        """Whether sampling is the same as resampling: nothing is shrunk, no centre lies on an edge."""
        if self.op.method not in METHODS:
            return False
        if self.op.method == "bilinear" and largest_span(grid, self.window) * FOUR_SAMPLES_FROM > 1.0:
            return False
        return grid.crs != self.window.grid.crs or not _on_edges(grid, self.window, places)

    def fill_frame(self, band: str, samples: SampleMap, frame: Array, valid: BoolArray) -> None:
        """Read the pixels of a band that kept samples need; all others are null.

        Args:
            band: which.
            samples: from `samples`.
            frame: (rows, columns) of `samples.frame`, written where `valid`.
            valid: of the same shape, written.
        """
        valid[:] = False
        rasters, grid = self._rasters(band), samples.frame.grid
        winner = None
        for n, raster in rasters.items():
            item = self.step.items[n]
            place = on_lattice(raster.box, grid)
            common = place.intersect(samples.frame)
            if common.is_empty:
                continue
            blocks = self._blocks(samples, place, _blocks_of(raster, item, band))
            if not blocks.any():
                self.unread.add((item.id, band))
                continue
            if winner is None and len(rasters) > 1:
                winner = self._winner(samples.frame)
            if self._unpack(n, band, place, blocks, samples.frame, winner, frame, valid):
                continue
            for part in _parts(
                blocks, place, common, _blocks_of(raster, item, band), whole=raster.border is not None
            ):
                mine = None if winner is None else winner[part.slices_in(samples.frame)]
                if mine is not None and not ((mine == n) | (mine < 0)).any():
                    continue
                read = self.read(item, band, moved_to(part, place, raster.box))
                if read is not None:
                    _put(read, part, samples, mine, n, frame, valid)

    def _blocks(self, samples: SampleMap, place: Box, shape: tuple[int, int]) -> BoolArray:
        """Which blocks kept samples touch; found once for all bands of a lattice and a block size."""
        key = samples.frame, place, shape
        if key not in self._needed:
            self._needed[key] = samples.needed_blocks(self.keep, place, shape)
        return self._needed[key]

    def _winner(self, frame: Box) -> NDArray[Any]:
        """Per pixel of a frame the item that it is taken from; found once for all bands of a resolution."""
        if frame not in self._winners:
            group, reference = self._groups[0], self.op.reference
            grids = {i.rasters[reference].box.grid.crs for i in self.step.items if reference in i.rasters}
            if grids <= {frame.grid.crs} and len(self.step.items) <= MOST_ITEMS:
                self._winners[frame] = winners(self.step.items, group, reference, frame, self.read)
            else:
                self._winners[frame] = self.mosaic.winner(group, frame)
        return self._winners[frame]

    def _unpack(
        self,
        number: int,
        band: str,
        place: Box,
        blocks: BoolArray,
        into: Box,
        winner: NDArray[Any] | None,
        frame: Array,
        valid: BoolArray,
    ) -> bool:
        """Decompress an item's blocks straight into the frame; False where GDAL is to read them."""
        item = self.step.items[number]
        raster = item.rasters[band]
        key = (self.op.collection, item.id, band)
        file = (
            None if raster.db or raster.border is not None or key in self.log.failures else tiled_file(raster)
        )
        if file is None:
            return False
        todo = []
        for row, column in np.argwhere(blocks).tolist():
            there = file.box_of(row, column)
            part = moved_to(there, raster.box, place).intersect(into)
            if part.is_empty:
                continue
            mine = None if winner is None else winner[part.slices_in(into)]
            if mine is not None and kernels.all_of(mine, number):
                mine = None
            if mine is None or kernels.any_of(mine, number, valid[part.slices_in(into)]):
                todo.append((row, column, there, part, mine))
        if not todo:
            return True
        nulls = null_and_offset(raster, file.dtype)
        try:
            with file.opened() as descriptor:
                for row, column, there, part, mine in todo:
                    values = file.decoded(descriptor, row, column)
                    at = part.slices_in(into)
                    inside = moved_to(part, place, raster.box).slices_in(there)
                    chosen = np.zeros((1, 1), np.int8) if mine is None else mine
                    kernels.unpack(
                        values[inside], *nulls, mine is not None, chosen, number, frame[at], valid[at]
                    )
                    self.log.pixels += part.size
        except NotSimple:
            return False
        self.log.read.add(key)
        return True


def null_and_offset(raster: Raster, dtype: np.dtype[Any]) -> tuple[bool, Any, int, int, int]:
    """What `kernels.unpack` takes: whether there is a null value, the value, the offset and its limits."""
    nodata = raster.nodata
    known = nodata is not None and not np.isnan(nodata)
    null = dtype.type(nodata) if known and _fits(nodata, dtype) else dtype.type(0)
    known = known and _fits(nodata, dtype)
    if dtype.kind == "f" or not raster.dn_offset:
        return known, null, 0, 0, 0
    info = np.iinfo(dtype)
    return known, null, int(raster.dn_offset), max(1, int(info.min)), int(info.max)


def _fits(value: Any, dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or (
        float(value).is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
    )


def _put(
    read: Pixels,
    part: Box,
    samples: SampleMap,
    winner: NDArray[Any] | None,
    number: int,
    frame: Array,
    valid: BoolArray,
) -> None:
    at = part.slices_in(samples.frame)
    values, known = read
    if winner is None:
        frame[at] = values
        valid[at] = True if known is None else known
        return
    mask = np.ones((1, 1), bool) if known is None else known
    kernels.place(values, mask, known is not None, winner, number, frame[at], valid[at])


def _blocks_of(raster: Raster, item: SourceItem, band: str) -> tuple[int, int]:
    file = tiled_file(raster)
    if file is not None:
        return file.block
    try:
        return block_shape(raster, item.id, band)
    except ItemUnreadable:  # reading will name it
        return DEFAULT_BLOCK


def _parts(
    blocks: BoolArray, place: Box, common: Box, shape: tuple[int, int], *, whole: bool
) -> Iterator[Box]:
    """The needed blocks as rectangles, cut to the frame: runs of a row, equal ones of several rows together.

    `whole`: as one rectangle, for rasters whose blocks cannot be read each by itself.
    """
    runs: list[
        tuple[int, int, int, int]
    ] = []  # first row, last row, first column, last column; ends excluded
    for j, row in enumerate(blocks):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        for start, stop in edges.reshape(-1, 2).tolist():
            if runs and runs[-1][1:] == (j, start, stop) and len(edges) == 2:
                runs[-1] = (runs[-1][0], j + 1, start, stop)
            else:
                runs.append((j, j + 1, start, stop))
    if whole and runs:
        first = (
            min(r[0] for r in runs),
            max(r[1] for r in runs),
            min(r[2] for r in runs),
            max(r[3] for r in runs),
        )
        runs = [first]
    for top, bottom, left, right in runs:
        part = Box(
            place.grid,
            place.x0 + left * shape[1],
            place.y0 + top * shape[0],
            min(place.x0 + right * shape[1], place.x1),
            min(place.y0 + bottom * shape[0], place.y1),
        ).intersect(common)
        if not part.is_empty:
            yield part


def _on_edges(grid: Grid, window: Box, places: Sequence[Box]) -> bool:
    """Whether a pixel centre lies on the right or lower edge of a raster of the window's own CRS."""
    at = make_index_map(grid, window)
    columns, rows = at.columns[0], at.rows[:, 0]
    return any(
        bool((np.abs(columns - p.x1) <= 2 * EDGE).any() or (np.abs(rows - p.y1) <= 2 * EDGE).any())
        for p in places
    )
