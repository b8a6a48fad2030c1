"""create_data_cube."""

from __future__ import annotations

import numpy as np

from acreage.core.cube import Cube, CubeMeta
from acreage.processes.registry import cube_process


def _describe() -> CubeMeta:
    return CubeMeta((), np.dtype(np.float32))


@cube_process("create_data_cube", describe=_describe, grid_transparent=True)
def create_data_cube(*, out: CubeMeta) -> Cube:
    """A cube without dimensions, of one null (float32); add_dimension gives it dimensions of one label."""
    return Cube.of(np.array(np.nan, np.float32), np.array(False), out)
