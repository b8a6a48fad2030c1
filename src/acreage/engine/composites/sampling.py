"""Where the pixels of a window lie on a source lattice: one compact map for all images of the lattice."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acreage.core.arrays import Array, BoolArray
from acreage.core.grid import Box, Grid
from acreage.engine.composites import gather_kernels, kernels, median_kernels
from acreage.processes.index_maps import make_index_map
from acreage.processes.kernels import sorting_network
from acreage.processes.resample_kernels import limits, support

CELL = 32
SEGMENT = 128
_ROWS = 128  # of a window located at once: positions are float64 only for so many
BYTES_A_PIXEL = {"bilinear": 8, "near": 4}
METHODS = tuple(BYTES_A_PIXEL)


@dataclass(frozen=True, eq=False)
class SampleMap:
    """Samples of a window's pixels on one lattice.

    Attributes:
        window: target pixels.
        frame: the lattice's pixels that any of them needs, whole cells of 32 wide.
        method: `bilinear` or `near`.
        offset: (window pixels) int32: flat index in the frame of the sample, for `bilinear` of the upper left
            of the four; -1 where there is none.
        fraction_x, fraction_y: (window pixels) uint16, place between the four in 1/65536; empty for `near`.
        bounds: (cell rows, cell columns, 4) int32: frame columns and rows that cells of 32 x 32 pixels need.
        segments: (rows, segments, 4) int32: the same of segments of 128 pixels of a row; empty for `near`.
    """

    window: Box
    frame: Box
    method: str
    offset: NDArray[np.int32]
    fraction_x: NDArray[np.uint16]
    fraction_y: NDArray[np.uint16]
    bounds: NDArray[np.int32] = field(repr=False)
    segments: NDArray[np.int32] = field(repr=False)

    @property
    def reach(self) -> int:
        """Frame pixels that a sample reaches to the right and down."""
        return 1 if self.method == "bilinear" else 0

    def needed_blocks(self, keep: BoolArray, raster: Box, block: tuple[int, int]) -> BoolArray:
        """Which blocks of a raster the support of kept pixels touches.

        Args:
            keep: (window pixels), flat.
            raster: all pixels of the raster, on a spelling of the frame's lattice.
            block: (rows, columns) of a block.

        Returns:
            (block rows, block columns).
        """
        needed = np.zeros((-(-raster.height // block[0]), -(-raster.width // block[1])), bool)
        origin = self.frame.x0 - raster.x0, self.frame.y0 - raster.y0
        kernels.mark_blocks(
            keep, self.offset, self.window.shape, self.frame.width, CELL, self.bounds, self.reach,
            *origin, block[1], block[0], needed,
        )  # fmt: skip
        return needed

    def gather(
        self,
        frame: Array,
        valid: BoolArray | None,
        keep: BoolArray,
        pixels: NDArray[np.int32],
        out: Array,
        ok: BoolArray,
    ) -> None:
        """Sample kept pixels.

        Args:
            frame: values over the frame, any number or boolean dtype.
            valid: validity of the frame, None where all is valid.
            keep: (window pixels), flat; False is not looked at.
            pixels: (n) positions in the window of the pixels that are made.
            out: (n), written where `ok`, of the frame's dtype or a wider one.
            ok: (n), written: where there is a value.
        """
        flat = frame.reshape(-1)
        masked = valid is not None
        known = np.ones(1, bool) if valid is None else valid.reshape(-1)
        if self.method == "near":
            gather_kernels.gather_near(flat, known, masked, self.offset, keep, pixels, out, ok)
            return
        place = (self.frame.width, self.offset, self.fraction_x, self.fraction_y, keep, pixels)
        if frame.dtype.kind in "iu" and frame.dtype.itemsize <= 2:
            gather_kernels.gather_integers(flat, known, masked, *place, out, ok)
        else:
            gather_kernels.gather_floats(flat, known, masked, *place, *limits(frame.dtype), out, ok)


@dataclass(frozen=True, eq=False)
class Picks:
    """The kept pixels of several images, segment by segment of a window's rows.

    Attributes:
        totals: (rows, segments) uint16: pixels of a segment that any image keeps.
        places: (window pixels) uint8: their places, from the segment's first pixel on.
        counts: (n, rows, segments) uint16: pixels of a segment that an image keeps.
        columns: (n, window pixels) uint8: which of the segment's pixels in `places` it keeps, from the
            segment's first pixel on.
    """

    totals: NDArray[np.uint16]
    places: NDArray[np.uint8]
    counts: NDArray[np.uint16]
    columns: NDArray[np.uint8]

    @staticmethod
    def of(keep: Sequence[BoolArray], window: Box) -> Picks:
        """The picks of `keep`, (window pixels) each."""
        together = np.stack(keep)
        counts = np.empty((len(keep), window.height, -(-window.width // SEGMENT)), np.uint16)
        columns = np.empty(together.shape, np.uint8)
        found = Picks(np.empty(counts.shape[1:], np.uint16), np.empty(window.size, np.uint8), counts, columns)
        median_kernels.pick(
            together, window.shape, SEGMENT, found.totals, found.places, found.counts, found.columns
        )
        return found


def medians(
    samples: SampleMap,
    frames: Array,
    valid: BoolArray,
    picks: Picks,
    out: NDArray[np.float32],
    counts: NDArray[np.int32] | None = None,
) -> None:
    """Medians of kept bilinear samples of several images of one lattice.

    Args:
        samples: where the window lies on it, `bilinear`.
        frames: (n, frame rows, frame columns), float32, or integers of at most 16 bits.
        valid: of the same shape.
        picks: what is kept of each image.
        out: (rows, columns) of the window, written; NaN where no observation is left.
        counts: (rows, columns), written where given: number of observations.
    """
    number = len(frames)
    networks = [sorting_network(m) for m in range(number + 1)]
    starts = np.concatenate([[0], np.cumsum([len(n) for n in networks])]).astype(np.int64)
    cells = (number, -(-samples.frame.height // CELL), samples.frame.width // CELL)
    holes = np.empty(cells, bool)
    for one, found in zip(valid, holes, strict=True):
        median_kernels.find_holes(one.view(np.uint64), CELL, CELL // 8, found)
    median_kernels.median_of_frames(
        frames.reshape(number, -1),
        valid.reshape(number, -1),
        holes,
        CELL,
        samples.frame.width,
        samples.offset,
        samples.fraction_x,
        samples.fraction_y,
        samples.segments,
        SEGMENT,
        picks.totals,
        picks.places,
        picks.counts,
        picks.columns,
        np.concatenate(networks),
        starts,
        frames.dtype.type(np.inf if frames.dtype.kind == "f" else np.iinfo(frames.dtype).max),
        out,
        np.zeros((0, 0), np.int32) if counts is None else counts,
    )


def make_sample_map(source: Grid, window: Box, method: str) -> SampleMap:
    """Where a window's pixels lie on a lattice.

    Args:
        source: the lattice.
        window: target pixels, on a grid of another CRS.
        method: `bilinear` (where nothing is shrunk) or `near`.
    """
    frame = window.project(source, support(method, source, window))
    frame = replace(frame, x1=frame.x1 + -frame.width % CELL)
    if frame.size >= 2**31:
        raise ValueError(f"a window that needs {frame.size} source pixels")
    offset = np.empty(window.size, np.int32)
    fractions: list[Any] = [np.empty(window.size if method == "bilinear" else 0, np.uint16) for _ in range(2)]
    place = (frame.x0, frame.y0, frame.width, frame.height)
    for top in range(window.y0, window.y1, _ROWS):
        part = Box(window.grid, window.x0, top, window.x1, min(top + _ROWS, window.y1))
        imap = make_index_map(source, part)
        at = slice((top - window.y0) * window.width, (part.y1 - window.y0) * window.width)
        columns, rows = imap.columns.reshape(-1), imap.rows.reshape(-1)
        if method == "bilinear":
            kernels.locate_bilinear(columns, rows, *place, offset[at], fractions[0][at], fractions[1][at])
        else:
            kernels.locate_near(columns, rows, *place, offset[at])
    cells = (-(-window.height // CELL), -(-window.width // CELL))
    bounds = np.empty((*cells, 4), np.int32)
    bounds[..., :2], bounds[..., 2:] = 2**31 - 1, -1
    kernels.cell_bounds(offset, window.shape, frame.width, CELL, bounds)
    segments = np.empty(
        (window.height, -(-window.width // SEGMENT) if method == "bilinear" else 0, 4), np.int32
    )
    median_kernels.segment_bounds(offset, window.shape, frame.width, SEGMENT, segments)
    return SampleMap(window, frame, method, offset, fractions[0], fractions[1], bounds, segments)


class SampleMaps:
    """Sample maps of the windows that are being computed, shared by threads; the oldest go first.

    Args:
        limit: bytes that are kept at most, beside those in use.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._making: dict[tuple[Grid, Box, str], threading.Lock] = {}
        self._maps: OrderedDict[tuple[Grid, Box, str], SampleMap] = OrderedDict()

    def clear(self) -> None:
        """Forget all maps."""
        with self._lock:
            self._maps.clear()

    def get(self, source: Grid, window: Box, method: str) -> SampleMap:
        """The map, made by the first thread that asks for it."""
        key = (source, window, method)
        with self._lock:
            if key in self._maps:
                self._maps.move_to_end(key)
                return self._maps[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._maps:
                    return self._maps[key]
            made = make_sample_map(source, window, method)
            with self._lock:
                self._maps[key] = made
                self._making.pop(key, None)
                while (
                    sum(m.offset.nbytes * 2 for m in self._maps.values()) > self.limit and len(self._maps) > 1
                ):
                    self._maps.popitem(last=False)
            return made
