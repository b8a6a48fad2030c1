"""Outputs that are computed while they are written.

What is left to do after the last stage that reads files or calls user-defined functions is a pure function of
what lies on scratch. Such an output is computed piece by piece when its writer asks for it, instead of being
written to scratch, read again and then written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from acreage.core.cube import Cube, CubeMeta
from acreage.core.grid import Box
from acreage.engine.plan import Context, WindowLog
from acreage.engine.program import Program
from acreage.engine.store import Stored, read_stored


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
