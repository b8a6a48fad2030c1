"""What a job may use, and what its windows take of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from acreage.core.cube import CubeMeta
from acreage.core.errors import MemoryBudgetExceeded
from acreage.core.grid import Box
from acreage.engine.ops import UdfOp
from acreage.engine.program import Program

# Interpreter, libraries, open files, index maps and the writer's buffers, as measured (docs/engine.md).
BASE_MEMORY = 750_000_000


@dataclass(frozen=True)
class Budget:
    """What a job may use.

    Attributes:
        memory: bytes for the whole process; for each, where several processes compute.
        threads: windows computed at once in a process.
        window: fixed window size in pixels, None to choose by memory.
        base: bytes that the process takes beside its windows.
        udf: bytes that each process of a user-defined function takes beside the windows that it is handed.
        processes: that compute windows at once.
        windows: of a stage at most: planning takes about a millisecond for each.
    """

    memory: int
    threads: int
    window: int | None = None
    base: int = BASE_MEMORY
    udf: int = 0
    processes: int = 1
    windows: int = 1_000_000

    @property
    def fixed(self) -> int:
        """Bytes that are taken whatever the windows."""
        return self.base + self.threads * self.udf

    @property
    def share(self) -> float:
        """Bytes for each thread's window."""
        return (self.memory - self.fixed) / self.threads

    @property
    def at_once(self) -> int:
        """Windows computed at once, all processes together."""
        return self.threads * self.processes


def check_fits(needed: int, budget: Budget, threads: int) -> None:
    """Refuse a stage whose windows need so many bytes each, so many at once."""
    floor = budget.fixed + needed * threads
    if floor <= budget.memory:
        return
    fewer = (
        f", or fewer threads ({_gb(budget.base + budget.udf + needed)} would do for one)"
        if threads > 1
        else ""
    )
    raise MemoryBudgetExceeded(
        f"The plan needs at least {_gb(floor)} of memory with {threads} thread{'s' * (threads > 1)}, "
        f"and {budget.memory / 1e9:g}GB are given.",
        hint=f"Give --memory {_gb(floor)} or more{fewer}.",
    )


def _gb(value: float) -> str:
    """Rounded up, so that a budget that follows the advice suffices."""
    return f"{math.ceil(value / 1e7) / 100:g}GB"


def sample_window(full: Box, size: int) -> Box:
    """The window at the centre: halos are whole there, and reprojection is as anywhere."""
    x = full.x0 + max(0, (full.width - size) // 2)
    y = full.y0 + max(0, (full.height - size) // 2)
    return Box(full.grid, x, y, min(x + size, full.x1), min(y + size, full.y1))


def window_bytes(program: Program, window: Box | None) -> int:
    """Expected peak of one window: results that are alive, plus a copy of what a process works on."""
    needed = program.regions(window)
    uses: dict[int, int] = dict.fromkeys(program.targets, 1)
    for index in program.order:
        if index in needed:
            for source in program.nodes[index].inputs:
                uses[source] = uses.get(source, 0) + 1
    sizes = {i: cube_bytes(program.nodes[i].meta, box) for i, box in needed.items()}
    live = sum(sizes[i] for i in program.given if i in needed)
    peak = live
    for index in program.order:
        if index not in needed:
            continue
        node = program.nodes[index]
        live += sizes[index]
        working = max((sizes[s] for s in node.inputs), default=sizes[index] // 4)
        if isinstance(node.op, UdfOp):
            # Handed over in memory that the other process sees, and gathered there into batches beside what
            # the function makes of them.
            working *= 6
        peak = max(peak, live + working)
        for source in dict.fromkeys(node.inputs):
            uses[source] -= node.inputs.count(source)
            if uses[source] <= 0:
                live -= sizes[source]
    return peak


def cube_bytes(meta: CubeMeta, box: Box | None) -> int:
    """Bytes of a cube's values and validity over a box."""
    piece = meta if box is None or meta.box is None else meta.with_box(box)
    return piece.size * (meta.dtype.itemsize + 1)
