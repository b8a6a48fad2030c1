"""Loads of a window whose pixels are sampled, and blocks of which are decoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acreage.catalog.items import SourceItem
from acreage.core.arrays import Array, BoolArray, null_like
from acreage.core.cube import Cube, CubeMeta
from acreage.core.grid import Box
from acreage.engine.composites import kernels
from acreage.engine.composites.observations import StepObservations, null_and_offset
from acreage.engine.composites.sampling import CELL, SampleMaps
from acreage.engine.mosaic import Pixels
from acreage.engine.plan import Context
from acreage.engine.sources import SourceOp, TimeStep
from acreage.engine.tiles import NotSimple, tiled_file


@dataclass(frozen=True)
class SampledSource:
    """A load as `SourceOp` does it, equal to the last bit: sampled where samples suffice.

    Attributes:
        op: the load.
        maps: where windows lie on lattices.
        bands: positions of those that are read, the others are null; None: all.
    """

    op: SourceOp
    maps: SampleMaps
    bands: frozenset[int] | None = None

    def run(self, inputs: Sequence[Cube], out: CubeMeta, context: Context) -> Cube:
        """Read every time step over the output's box."""
        assert out.box is not None
        values = np.full((*out.shape[:2], out.box.size), null_like(out.dtype), out.dtype)
        valid = np.zeros(values.shape, bool)
        keep = np.ones(out.box.size, bool)
        pixels = np.arange(out.box.size, dtype=np.int32)
        for t, step in enumerate(self.op.steps):
            observed = observations_of(self.op, step, out.box, keep, self.maps, context)
            context.log.touched.update(
                (self.op.collection, item.id) for item in observed.mosaic.items_with_pixels()
            )
            for b, band in enumerate(self.op.bands):
                if self.bands is not None and b not in self.bands:
                    continue
                observed.observe(band, pixels, values[t, b], valid[t, b])
        if not valid.all():
            np.copyto(values, null_like(values.dtype), where=~valid)
        return Cube(values.reshape(out.shape), None if valid.all() else valid.reshape(out.shape), out)


def observations_of(
    op: SourceOp, step: TimeStep, window: Box, keep: BoolArray, maps: SampleMaps, context: Context
) -> StepObservations:
    """The observations of one time step over a window.

    Args:
        op: the load.
        step: one of its steps.
        window: target pixels.
        keep: (window pixels), flat: pixels that no mask nulls.
        maps: where windows lie on lattices.
        context: of the run; its dropped items are left out, and its `kept` pixels used and filled.
    """

    def read(item: SourceItem, band: str, box: Box) -> Pixels | None:
        if band == op.reference:
            _keep_reference(op, item, window, context)
        return op.read_band(item, band, box, context)

    items = step.without(op.collection, context.dropped)
    return StepObservations(op, items, window, keep, maps, context.log, read)


def _keep_reference(op: SourceOp, item: SourceItem, window: Box, context: Context) -> None:
    """Decode once what several readers of a window ask for: the reference band over all of the window."""
    key = (op.collection, item.id, op.reference)
    raster = item.rasters[op.reference]
    if context.kept is None or key in context.kept or key in context.log.failures:
        return
    file = None if raster.db or raster.border is not None else tiled_file(raster)
    # Masks look at some pixels around the window.
    box = window.expand(*(n // 16 + 64 for n in (window.width, window.height)))
    needed = box.project(raster.box.grid, CELL + 8).intersect(raster.box)
    if file is None or needed.is_empty:
        return
    values: Array = np.empty(needed.shape, file.dtype)
    valid = np.zeros(needed.shape, bool)
    nulls = null_and_offset(raster, file.dtype)
    rows, columns = needed.slices_in(raster.box)
    try:
        with file.opened() as descriptor:
            for row in range(rows.start // file.block[0], -(-rows.stop // file.block[0])):
                for column in range(columns.start // file.block[1], -(-columns.stop // file.block[1])):
                    there = file.box_of(row, column)
                    part = there.intersect(needed)
                    block = file.decoded(descriptor, row, column)[part.slices_in(there)]
                    at = part.slices_in(needed)
                    kernels.unpack(block, *nulls, False, np.zeros((1, 1), np.int8), 0, values[at], valid[at])
    except NotSimple:
        return
    context.kept[key] = (needed, values, None if valid.all() else valid)
    context.log.read.add(key)
    context.log.pixels += needed.size
