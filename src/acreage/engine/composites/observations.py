"""The observations of one time step over a window: which blocks are decoded, and the kept pixels sampled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from acreage.catalog.items import Raster, SourceItem
from acreage.core.arrays import Array, BoolArray, null_like
from acreage.core.errors import ItemUnreadable
from acreage.core.grid import Box, Grid
from acreage.engine.composites import kernels
from acreage.engine.composites.sampling import METHODS, SampleMap, SampleMaps
from acreage.engine.mosaic import Pixels, ReadBand, StepMosaic
from acreage.engine.placement import EDGE, moved_to, on_lattice
from acreage.engine.readers import block_shape
from acreage.engine.sources import SourceOp, TimeStep
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
        read: pixels of one band of an item over a box on its raster's own grid, None where unreadable.
        unread: items and bands of which nothing was read because all that they would give is masked.
    """

    op: SourceOp
    step: TimeStep
    window: Box
    keep: BoolArray
    maps: SampleMaps
    read: ReadBand
    unread: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.any_kept = bool(self.keep.any())
        self.mosaic = StepMosaic(
            self.step.items, self.step.lattices, self.op.reference, self.op.method, self.window, self.read
        )
        groups = [tuple(n for n in g if self.mosaic.touching(n)) for g in self.step.lattices]
        self._groups = [g for g in groups if g]

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
            self.unread.update(
                (item.id, band) for item in self.mosaic.items_with_pixels() if band in item.rasters
            )
            return
        if not self._groups:
            return
        rasters = {n: r for n in self._groups[0] if (r := self.step.items[n].rasters.get(band)) is not None}
        if len(self._groups) == 1 and rasters:
            grid = next(iter(rasters.values())).box.grid
            if self._samples_suffice(grid, [on_lattice(r.box, grid) for r in rasters.values()]):
                self._sample(band, grid, rasters, pixels, out, ok)
                return
        values = np.full((1, *self.window.shape), null_like(out.dtype), out.dtype)
        valid = np.zeros(values.shape, bool)
        self.mosaic.fill((band,), values, valid)
        np.take(values.reshape(-1), pixels, out=out)
        np.logical_and(valid.reshape(-1)[pixels], self.keep[pixels], out=ok)

    def _samples_suffice(self, grid: Grid, places: Sequence[Box]) -> bool:
        """Whether sampling a frame is the same as resampling: nothing is shrunk, no centre lies on an edge."""
        if self.op.method not in METHODS:
            return False
        if self.op.method == "bilinear" and largest_span(grid, self.window) * FOUR_SAMPLES_FROM > 1.0:
            return False
        return grid.crs != self.window.grid.crs or not _on_edges(grid, self.window, places)

    def _sample(
        self,
        band: str,
        grid: Grid,
        rasters: dict[int, Raster],
        pixels: NDArray[np.int32],
        out: Array,
        ok: BoolArray,
    ) -> None:
        samples = self.maps.get(grid, self.window, self.op.method)
        frame = np.empty(
            samples.frame.shape, np.result_type(*(np.dtype(_dtype(r)) for r in rasters.values()))
        )
        valid = np.zeros(frame.shape, bool)
        winner = None
        for n, raster in rasters.items():
            item = self.step.items[n]
            place = on_lattice(raster.box, grid)
            common = place.intersect(samples.frame)
            if common.is_empty:
                continue
            blocks = samples.needed_blocks(self.keep, place, _blocks_of(raster, item, band))
            if not blocks.any():
                self.unread.add((item.id, band))
                continue
            if winner is None and len(rasters) > 1:
                winner = self.mosaic.winner(self._groups[0], samples.frame)
            for part in _parts(
                blocks, place, common, _blocks_of(raster, item, band), whole=raster.border is not None
            ):
                mine = None if winner is None else winner[part.slices_in(samples.frame)]
                if mine is not None and not ((mine == n) | (mine < 0)).any():
                    continue
                read = self.read(item, band, moved_to(part, place, raster.box))
                if read is not None:
                    _put(read, part, samples, mine, n, frame, valid)
        samples.gather(frame, None if valid.all() else valid, self.keep, pixels, out, ok)


def _put(
    read: Pixels,
    part: Box,
    samples: SampleMap,
    winner: NDArray[np.int16] | None,
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


def _dtype(raster: Raster) -> str:
    return "float32" if raster.db else raster.dtype


def _blocks_of(raster: Raster, item: SourceItem, band: str) -> tuple[int, int]:
    try:
        return block_shape(raster, item.id, band)
    except ItemUnreadable:  # reading will name it
        return DEFAULT_BLOCK


def _parts(
    blocks: BoolArray, place: Box, common: Box, shape: tuple[int, int], *, whole: bool
) -> Iterator[Box]:
    """The needed blocks as rectangles, cut to the frame: runs of a block row, equal ones of several rows together.

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
