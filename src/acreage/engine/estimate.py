"""What a plan will cost, before a pixel is read.

The rates were fitted to measured jobs on two cores (docs/engine.md names the commands); they are meant to be
right within a factor of two, and a production's own measurements replace them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from acreage.catalog.items import Raster
from acreage.core.errors import ItemUnreadable
from acreage.core.grid import Box
from acreage.engine.budget import Budget, cube_bytes, window_bytes
from acreage.engine.composites.memory import composite_bytes
from acreage.engine.decode import border_halo
from acreage.engine.geometry_stage import AGGREGATE, aggregate_program
from acreage.engine.placement import source_region
from acreage.engine.plan import Estimate, PlanNode, Stage
from acreage.engine.program import Program
from acreage.engine.readers import block_shape
from acreage.engine.sources import SourceOp

SECONDS_PER_DECODED_BYTE = 8e-9
SECONDS_PER_FILE = 1.0e-3
SECONDS_PER_RESAMPLED_PIXEL = 8e-9
SECONDS_PER_PROCESSED_BYTE = 2.5e-9
DEFAULT_BLOCK = (512, 512)


@dataclass
class _Reads:
    """Blocks of one raster shape: how often each is decoded."""

    shape: tuple[int, int]
    counts: np.ndarray[tuple[int, int], np.dtype[np.int32]]


@dataclass
class _Tally:
    blocks: dict[tuple[Box, tuple[int, int]], _Reads] = field(default_factory=dict)
    source_pixels: int = 0
    decoded: int = 0
    distinct: int = 0
    resampled: int = 0
    processed: int = 0
    files: int = 0


def estimate(nodes: Sequence[PlanNode], stages: Sequence[Stage], budget: Budget) -> Estimate:
    """The estimate of a plan; reads the header of one file a collection and band for its block size."""
    tally = _Tally()
    memory = 0
    for stage in stages:
        by_geometry = nodes[stage.targets[0]].process_id == AGGREGATE
        program = aggregate_program(nodes, stage) if by_geometry else Program.of(nodes, stage)
        peaks = [0]
        for window in stage.distinct_windows:
            needed = program.regions(window)
            peaks += stage_peaks(nodes, stage, program, window)
            for index, region in needed.items():
                tally.processed += cube_bytes(nodes[index].meta, region)
        memory = max(memory, sum(sorted(peaks)[-budget.threads :]))
        for index in program.order:
            op = nodes[index].op
            if isinstance(op, SourceOp):
                regions = [r.get(index) for r in map(program.regions, stage.distinct_windows)]
                _tally_source(op, [r for r in regions if r is not None and not r.is_empty], tally)
    scratch = sum(
        cube_bytes(nodes[t].meta, s.box) for s in stages for t in s.targets if nodes[t].meta.is_raster
    )
    seconds = (
        tally.decoded * SECONDS_PER_DECODED_BYTE
        + tally.files * SECONDS_PER_FILE
        + tally.resampled * SECONDS_PER_RESAMPLED_PIXEL
        + tally.processed * SECONDS_PER_PROCESSED_BYTE
    )
    return Estimate(
        windows=sum(len(s.windows) for s in stages),
        source_pixels=tally.source_pixels,
        decoded_bytes=tally.decoded,
        amplification=tally.decoded / tally.distinct if tally.distinct else 1.0,
        memory_bytes=budget.fixed + memory,
        scratch_bytes=scratch,
        core_seconds=seconds,
    )


def stage_peaks(nodes: Sequence[PlanNode], stage: Stage, program: Program, window: Box | None) -> list[int]:
    """Expected bytes of the tasks of a window: one, or of a composite one a period."""
    if stage.derived:  # one piece at a time
        return [window_bytes(program, window)] if window == stage.windows[0] else []
    if stage.composite is None or window is None:
        return [window_bytes(program, window)]
    return [composite_bytes(nodes, stage.composite, window)] * len(stage.composite.periods)


def _tally_source(op: SourceOp, regions: Sequence[Box], tally: _Tally) -> None:
    """Count the blocks that these regions decode; rasters of one shape and place are counted together."""
    alike: dict[tuple[Box, str, str, int], list[Raster]] = defaultdict(list)
    names: dict[str, str] = {}
    for step in op.steps:
        for item in step.items:
            for band in op.bands:
                raster = item.rasters.get(band)
                if raster is not None:
                    halo = border_halo(raster.border)
                    alike[(raster.box, raster.dtype, band, halo)].append(raster)
                    names.setdefault(raster.href, item.id)
    for (box, dtype, band, halo), rasters in alike.items():
        rows, columns = _block(rasters[0], names[rasters[0].href], band)
        counts = np.zeros((-(-box.height // rows), -(-box.width // columns)), np.int32)
        pixels = 0
        for region in regions:
            part = source_region(box, region, op.method)
            if part.is_empty:
                continue
            part = part.expand(halo, halo).intersect(box)
            r, c = part.slices_in(box)
            counts[r.start // rows : -(-r.stop // rows), c.start // columns : -(-c.stop // columns)] += 1
            pixels += part.size
            tally.files += len(rasters)
            tally.resampled += region.size * len(rasters)
        block_bytes = (
            min(rows, box.height) * min(columns, box.width) * np.dtype(dtype).itemsize * len(rasters)
        )
        tally.source_pixels += pixels * len(rasters)
        tally.decoded += int(counts.sum()) * block_bytes
        tally.distinct += int((counts > 0).sum()) * block_bytes


def _block(raster: Raster, item: str, band: str) -> tuple[int, int]:
    try:
        return block_shape(raster, item, band)
    except ItemUnreadable:  # the run will name it; a plan must not fail on one file
        return DEFAULT_BLOCK
