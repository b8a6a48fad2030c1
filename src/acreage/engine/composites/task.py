"""One period of a streaming composite over one window: masks first, then band by band.

The order of reading is the design. A task reads the masks of its few dates; blocks that no kept pixel touches
are never decoded; of each band the kept pixels of those dates are gathered, reduced, and written to scratch.
No more than one band's kept observations of one period are in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acreage.core.arrays import Array, BoolArray, Masked, null_like
from acreage.core.cube import Cube, CubeMeta, Label
from acreage.core.grid import Box
from acreage.core.inputs import ItemKey
from acreage.core.udf import UdfRunner
from acreage.engine.composites.model import Composite, Sink
from acreage.engine.composites.observations import StepObservations
from acreage.engine.composites.sampling import Picks, SampleMap, SampleMaps, medians
from acreage.engine.composites.sources import SampledSource, observations_of
from acreage.engine.composites.timewise import bands_used, has_dates, on_dates
from acreage.engine.halves import HalvesScratch
from acreage.engine.plan import Context, PlanNode, Stage, WindowLog
from acreage.engine.program import Program
from acreage.engine.sources import SourceOp
from acreage.engine.store import CountScratch, ScratchCube, Stored, read_stored
from acreage.processes.callback import Callback, ParameterRef
from acreage.processes.comparison import is_valid
from acreage.processes.convert import check_dtype
from acreage.processes.masking import masked_where

MAPS = SampleMaps(192_000_000)
"""Where the windows of this process lie on the lattices of their sources."""

_local = threading.local()

Part = tuple[Box | None, int]
"""A window and a period."""


@dataclass(frozen=True)
class Kept:
    """The observations of one period over a window, and which pixels are kept of them.

    Attributes:
        observations: one a date.
        window: target pixels.
    """

    observations: Sequence[StepObservations]
    window: Box

    @cached_property
    def some(self) -> Sequence[StepObservations]:
        """Those of which any pixel is kept."""
        return [o for o in self.observations if o.any_kept]

    @cached_property
    def picks(self) -> Picks:
        """The kept pixels of each of `some`: the same for all bands."""
        return Picks.of([o.keep for o in self.some], self.window)

    @cached_property
    def pixels(self) -> NDArray[np.int32]:
        """Positions in the window of the pixels that any date keeps."""
        if not self.some:
            return np.zeros(0, np.int32)
        return np.flatnonzero(np.logical_or.reduce([o.keep for o in self.some])).astype(np.int32)


@dataclass(frozen=True)
class CompositeTask:
    """Computes periods of windows; the same function for every executor.

    Attributes:
        nodes: of the stage.
        composite: what is computed.
        stored: scratch of the results, and completed nodes that masks read.
        udf: runner of user-defined functions.
        dropped: items that are out for the whole job.
    """

    nodes: Mapping[int, PlanNode]
    composite: Composite
    stored: Mapping[int, Stored]
    udf: UdfRunner | None = None
    dropped: frozenset[ItemKey] = frozenset()

    @staticmethod
    def of(
        nodes: Sequence[PlanNode],
        stage: Stage,
        stored: Mapping[int, Stored],
        udf: UdfRunner | None,
        dropped: frozenset[ItemKey],
    ) -> CompositeTask:
        """The task of a stage."""
        assert stage.composite is not None
        known = {i: nodes[i] for i in (*stage.nodes, *stage.given)}
        return CompositeTask(known, stage.composite, stored, udf, dropped)

    def __call__(self, part: Part) -> tuple[WindowLog, tuple[Cube, ...]]:
        """The window's log; results are in scratch."""
        window, period = part
        assert window is not None
        log = WindowLog()
        context = Context(log, self.udf, self.dropped, {})
        op = self._source
        steps = self.composite.periods[period]
        observations = [self._observations(step, window, context) for step in steps]
        log.touched.update(
            (op.collection, item.id) for o in observations for item in o.mosaic.items_with_pixels()
        )
        kept = Kept(observations, window)
        for band in self.composite.bands:
            self._reduce_band(band, kept, window, period)
        log.masked.update((op.collection, *key) for o in observations for key in o.unread)
        log.masked -= log.read
        return log, ()

    @property
    def _source(self) -> SourceOp:
        op = self.nodes[self.composite.source].op
        assert isinstance(op, SourceOp)
        return op

    # --- masks ---

    def _observations(self, step: int, window: Box, context: Context) -> StepObservations:
        op = self._source
        keep = np.ones(window.shape, bool)
        for where in self._masked_where(step, window, context):
            keep &= ~where
            if not keep.any():
                break

        return observations_of(op, op.steps[step], window, keep.reshape(-1), MAPS, context)

    def _masked_where(self, step: int, window: Box, context: Context) -> Iterator[BoolArray]:
        """(rows, columns) of each mask, those without dates first: what they null needs no others."""
        meta = self.nodes[self.composite.source].meta
        label = meta.dim("t").labels[step]
        times = replace(meta.dim("t"), labels=(label,))
        dims = tuple(
            times if d.name == "t" else replace(d, labels=d.labels[:1]) if d.type == "bands" else d
            for d in meta.dims
        )
        dated = [m for m in self.composite.masks if has_dates(self.nodes[m])]
        for mask in self.composite.masks:
            if mask not in dated:
                own = self.nodes[mask].meta.box
                assert own is not None
                yield _layer(masked_where(dims, read_stored(self.stored, mask, window.on(own.grid))), window)
        for cube in self._dated_masks(dated, label, window, context):
            yield _layer(masked_where(dims, cube), window)

    def _dated_masks(
        self, masks: Sequence[int], label: Label, window: Box, context: Context
    ) -> tuple[Cube, ...]:
        if not masks:
            return ()
        parts = self.composite.timewise
        nodes = {**self.nodes, **on_dates(self.nodes, parts.nodes, [label])}
        for index in parts.nodes:
            op = nodes[index].op
            if isinstance(op, SourceOp):
                bands = bands_used(self.nodes, parts.nodes, index) if index not in masks else None
                nodes[index] = replace(nodes[index], op=SampledSource(op, MAPS, bands))
        program = Program(nodes, parts.nodes, frozenset(parts.given), tuple(dict.fromkeys(masks)))
        # Masks may lie on another spelling of the grid.
        return program.run(window, partial(read_stored, self.stored), context)

    # --- results ---

    def _reduce_band(
        self,
        band: int,
        kept: Kept,
        window: Box,
        period: int,
    ) -> None:
        sinks = [s for s in self.composite.sinks if band in s.bands]
        if self._median_at_once(band, kept, sinks, window, period):
            return
        observations, pixels = kept.observations, kept.pixels
        meta = self.nodes[self.composite.source].meta
        name = self._source.bands[band]
        stack = np.empty((len(observations), pixels.size), meta.dtype)
        ok = np.zeros(stack.shape, bool)
        for observed, out, known in zip(observations, stack, ok, strict=True):
            observed.observe(name, pixels, out, known)
        times = meta.dim("t").labels
        labels = tuple(times[s] for s in self.composite.periods[period])
        # What stands under a null means nothing, but may not be something that arithmetic trips over.
        if meta.dtype.kind == "f":
            stack[~ok] = np.nan
        data = Masked(stack, ok, True, labels)
        for sink in sinks:
            at = sink.bands.index(band)
            place = self.stored[sink.node]
            if isinstance(place, CountScratch):
                counted = np.zeros(window.size, np.int32)
                counted[pixels] = np.count_nonzero(is_valid(Masked(stack, ok)).values, axis=0)
                place.write(counted.reshape(window.shape), window, period, at)
            else:
                assert isinstance(place, ScratchCube | HalvesScratch)
                place.write(self._reduced(sink, data, pixels, window), {"t": period, "bands": at})

    def _median_at_once(
        self,
        band: int,
        kept: Kept,
        sinks: Sequence[Sink],
        window: Box,
        period: int,
    ) -> bool:
        """Sample and sort in one pass, where all dates lie on one lattice and plain medians are asked for."""
        name = self._source.bands[band]
        maps = [o.samples(name) for o in kept.some]
        if not maps or any(m is None or m is not maps[0] for m in maps):
            return False
        samples, dtype = maps[0], np.result_type(*(o.dtype(name) for o in kept.some))
        assert samples is not None
        if not self._medians_suffice(samples, dtype, sinks):
            return False
        for observed in kept.observations:
            if not observed.any_kept:
                observed.skip(name)
        frames = _buffer("frames", (len(kept.some), *samples.frame.shape), dtype)
        valid = _buffer("valid", frames.shape, np.dtype(bool))
        for observed, frame, known in zip(kept.some, frames, valid, strict=True):
            observed.fill_frame(name, samples, frame, known)
        floats = dtype.kind == "f"
        counted = (
            np.empty(window.shape, np.int32) if floats or any(s.reducer is None for s in sinks) else None
        )
        out: NDArray[np.float32] = np.empty(window.shape, np.float32)
        medians(samples, frames, valid, kept.picks, out, counted)
        for sink in sinks:
            place, at = self.stored[sink.node], sink.bands.index(band)
            if isinstance(place, CountScratch):
                assert counted is not None
                place.write(counted, window, period, at)
            else:
                assert isinstance(place, ScratchCube | HalvesScratch)
                known = counted > 0 if floats and counted is not None else None
                place.write_plane(out, known, window, {"t": period, "bands": at})
        return True

    def _medians_suffice(self, samples: SampleMap, dtype: np.dtype[Any], sinks: Sequence[Sink]) -> bool:
        small = dtype == np.float32 or (dtype.kind in "iu" and dtype.itemsize <= 2)
        same = dtype == self.nodes[self.composite.source].meta.dtype
        reducers = [s.reducer for s in sinks if s.reducer is not None]
        return small and same and samples.method == "bilinear" and all(map(is_plain_median, reducers))

    def _reduced(self, sink: Sink, data: Masked, pixels: NDArray[np.int32], window: Box) -> Cube:
        """One band of one period: what the reducer makes of the kept pixels, and of nothing elsewhere."""
        meta = self.nodes[sink.node].meta
        assert sink.reducer is not None
        nothing = Masked(
            np.full((data.values.shape[0], 1), null_like(data.dtype), data.dtype),
            np.zeros((data.values.shape[0], 1), bool),
            True,
            data.labels,
        )
        values = np.empty(window.size, meta.dtype)
        valid = np.empty(window.size, bool)
        for array, where in ((nothing, slice(None)), (data, pixels)):
            if where is pixels and not pixels.size:
                continue
            result = sink.reducer(data=array, context=sink.context)
            check_dtype(result, meta)
            values[where] = result.values
            valid[where] = True if result.valid is None else result.valid
        plane = (1, 1, *window.shape)
        return Cube.of(values.reshape(plane), valid.reshape(plane), _plane_meta(meta, window))


def is_plain_median(reducer: Callback) -> bool:
    """Whether a reducer is the median of the valid values, and nothing else."""
    if reducer.process_ids != ("median",):
        return False
    arguments = reducer.nodes[0].arguments
    return arguments.get("data") == ParameterRef("data") and arguments.get("ignore_nodata", True) is True


def _buffer(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Memory of this thread that its next task uses again: fresh pages cost as much as filling them."""
    size = int(np.prod(shape)) * dtype.itemsize
    held: dict[str, Array] = _local.__dict__.setdefault("buffers", {})
    if name not in held or held[name].size < size:
        held[name] = np.empty(size, np.uint8)
    return held[name][:size].view(dtype).reshape(shape)


def _plane_meta(meta: CubeMeta, window: Box) -> CubeMeta:
    """Metadata of one band of one period."""
    one = meta.with_dim("t", replace(meta.dim("t"), labels=meta.dim("t").labels[:1]))
    return one.with_dim("bands", replace(one.dim("bands"), labels=one.dim("bands").labels[:1])).with_box(
        window
    )


def _layer(where: BoolArray, window: Box) -> BoolArray:
    layer: BoolArray = np.broadcast_to(where, (1, 1, *window.shape))[0, 0]
    return layer
