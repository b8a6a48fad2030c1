"""Outputs that are computed while they are written.

What is left to do after the last stage that reads files or calls user-defined functions is a pure function of
what lies on scratch. Such an output is computed piece by piece when its writer asks for it, instead of being
written to scratch, read again and then written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from acreage.core.cube import Cube, CubeMeta
from acreage.core.grid import Box
from acreage.engine.budget import Budget, cube_bytes, window_bytes
from acreage.engine.ops import JoinOp, ProcessOp
from acreage.engine.plan import Context, PlanNode, Stage, WindowLog
from acreage.engine.program import Program
from acreage.engine.store import Stored, read_stored

_STRIP_ROWS = (1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1)
# Arrays of this size come from memory that was used before, instead of fresh pages that must be filled.
_STRIP_BYTES = 32_000_000
_RUN_BYTES = 65_536


@dataclass(frozen=True)
class DerivedCube:
    """A cube that is computed when it is read.

    Attributes:
        program: with this cube as its only target.
        stored: completed nodes that it reads.
        meta: of the cube.
        windows: the pieces in which it is best read.
    """

    program: Program
    stored: Mapping[int, Stored]
    meta: CubeMeta
    windows: tuple[Box, ...] = ()

    def read(self, box: Box | None) -> Cube:
        """A piece; all of it for None."""
        window = self.meta.box if box is None else box
        (cube,) = self.program.run(window, partial(read_stored, self.stored), Context(WindowLog()))
        return cube


def derived_stage(nodes: Sequence[PlanNode], stage: Stage, budget: Budget) -> Stage:
    """The stage as one that is computed while it is written, in strips of rows.

    That is so where its one float result is a pure function of what lies on scratch.
    """
    meta = nodes[stage.targets[0]].meta
    pure = all(isinstance(nodes[i].op, ProcessOp | JoinOp) for i in stage.nodes)
    # Integers are looked at twice: for a null value that is free, and to be written.
    fits = len(stage.targets) == 1 and meta.is_raster and meta.dtype.kind == "f" and stage.composite is None
    if not (pure and fits and stage.given) or stage.partition or budget.processes > 1:
        return stage
    assert stage.box is not None
    rows = _strip_rows(Program.of(nodes, stage), stage.box, meta, budget)
    height = stage.box.height
    tops = range(stage.box.y0, stage.box.y0 + height, rows)
    strips = tuple(replace(stage.box, y0=y, y1=min(y + rows, stage.box.y1)) for y in tops)
    return replace(stage, windows=strips, derived=True)


def _strip_rows(program: Program, box: Box, meta: CubeMeta, budget: Budget) -> int:
    """Rows of the strips of a derived output: the most that stay small, or that fit at all."""
    rows = _STRIP_ROWS[-1]
    for rows in _STRIP_ROWS:
        strip = replace(box, y1=min(box.y0 + rows, box.y1))
        if window_bytes(program, strip) > budget.memory - budget.fixed:
            continue
        # netCDF's library reads and writes runs of less than 64 KiB twice.
        half = box.width * rows // 2 * meta.dtype.itemsize
        if cube_bytes(meta, strip) <= _STRIP_BYTES or half < _RUN_BYTES:
            break
    return rows
