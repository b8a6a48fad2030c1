"""The registry: every process the engine knows, with its description, its function and its footprint."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Protocol

from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import ProcessUnsupported
from acreage.core.grid import Box, Grid
from acreage.processes.callback import ArrayFunction
from acreage.processes.specs import load_spec


class Footprint(Protocol):
    """From pixels of the output to the pixels of one input that they need; engine cuts the answer to the
    input.
    """

    def __call__(self, out: Box, full_input: Box) -> Box:
        """The input pixels for some output pixels; may reach beyond the input."""
        ...


@dataclass(frozen=True, slots=True)
class Pointwise:
    """Each output pixel needs the same pixel of the input (both on one grid)."""

    def __call__(self, out: Box, full_input: Box) -> Box:
        """The same pixels."""
        return out.on(full_input.grid)


@dataclass(frozen=True, slots=True)
class Halo:
    """Each output pixel needs so many pixels around it."""

    columns: int
    rows: int

    def __call__(self, out: Box, full_input: Box) -> Box:
        """The pixels and their halo."""
        return out.on(full_input.grid).expand(self.columns, self.rows)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Output pixels are computed in blocks anchored at the input's corner, each with an overlap around it.

    A value of None spans the whole axis.
    """

    columns: int | None
    rows: int | None
    overlap_columns: int = 0
    overlap_rows: int = 0

    def __call__(self, out: Box, full_input: Box) -> Box:
        """The blocks that the pixels lie in, with their overlap."""
        out = out.on(full_input.grid)
        if out.is_empty:
            return out
        x0, x1 = _whole_blocks(
            out.x0, out.x1, full_input.x0, full_input.x1, self.columns, self.overlap_columns
        )
        y0, y1 = _whole_blocks(out.y0, out.y1, full_input.y0, full_input.y1, self.rows, self.overlap_rows)
        return Box(full_input.grid, x0, y0, x1, y1)


def _whole_blocks(
    start: int, stop: int, low: int, high: int, size: int | None, overlap: int
) -> tuple[int, int]:
    if size is None:
        return low, high
    first = low + (start - low) // size * size
    last = low + -(-(stop - low) // size) * size
    return first - overlap, last + overlap


@dataclass(frozen=True, slots=True)
class Warp:
    """Output pixels lie on another grid: the covering input pixels plus a margin for the kernel's support."""

    margin: int

    def __call__(self, out: Box, full_input: Box) -> Box:
        """The covering pixels on the input's grid, and the margin."""
        return out.project(full_input.grid, self.margin)


@dataclass(frozen=True, slots=True)
class Span:
    """Unbounded along one or both axes; ends a stage. The whole input along these axes is needed."""

    axes: frozenset[Literal["x", "y"]] = frozenset({"x", "y"})

    def __call__(self, out: Box, full_input: Box) -> Box:
        """The whole input along the unbounded axes."""
        if self.axes == {"x", "y"}:
            return full_input
        out = out.on(full_input.grid)
        if "x" in self.axes:
            return Box(out.grid, full_input.x0, out.y0, full_input.x1, out.y1)
        return Box(out.grid, out.x0, full_input.y0, out.x1, full_input.y1)


POINTWISE = Pointwise()
WHOLE = Span()

Describe = Callable[..., CubeMeta]
Run = Callable[..., Cube]
Footprints = Callable[..., Mapping[str, Footprint]]


@dataclass(frozen=True)
class CubeProcess:
    """A process on data cubes.

    All three functions take the process's openEO parameters by name (defaults of the description filled in).
    Cube
    arguments are `CubeMeta` in `describe` and `footprints`, and `Cube` in `run`; callbacks are `Callback`.

    Attributes:
        id: process id.
        describe: metadata of the output over its full extent; raises ProcessGraphError subclasses for bad
            arguments.
        run: the eager function; its keyword `out: CubeMeta` says which piece to compute. Each input cube
            covers exactly what
            its footprint asks for (cut to the input's full extent).
        footprints: by name of each cube parameter; a cube parameter that is not named is Pointwise. Takes
            `out: CubeMeta` too.
        grid_transparent: True for processes that neither read pixels nor care about the grid, so that a
            loaded cube's
            grid may still be decided after them.
    """

    id: str
    describe: Describe
    run: Run
    footprints: Footprints
    grid_transparent: bool = False
    spec: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class ArrayProcess:
    """A process on scalars and arrays, used in callbacks and on plain values."""

    id: str
    function: ArrayFunction
    spec: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class EngineProcess:
    """A process that the engine itself carries out: loading, saving, run_udf, trim_cube."""

    id: str
    spec: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


Process = CubeProcess | ArrayProcess | EngineProcess
ENGINE_PROCESSES = (
    "load_collection",
    "load_stac",
    "load_geojson",
    "load_uploaded_files",
    "load_url",
    "save_result",
    "load_ml_model",
    "ml_predict",
    "ml_predict_probabilities",
    "run_udf",
    "trim_cube",
)

_CUBE: dict[str, CubeProcess] = {}
_ARRAY: dict[str, ArrayProcess] = {}


def _pointwise_everywhere(**_: Any) -> Mapping[str, Footprint]:
    return {}


def cube_process(
    process_id: str,
    *,
    describe: Describe,
    footprints: Footprints = _pointwise_everywhere,
    grid_transparent: bool = False,
) -> Callable[[Run], Run]:
    """Register the decorated eager function as a cube process."""

    def register(run: Run) -> Run:
        if process_id in _CUBE:
            raise ValueError(f"process {process_id} is registered twice")
        _CUBE[process_id] = CubeProcess(
            process_id, describe, run, footprints, grid_transparent, load_spec(process_id)
        )
        return run

    return register


def array_process(process_id: str) -> Callable[[ArrayFunction], ArrayFunction]:
    """Register the decorated function as an array process (keyword arguments by openEO parameter names)."""

    def register(function: ArrayFunction) -> ArrayFunction:
        if process_id in _ARRAY:
            raise ValueError(f"process {process_id} is registered twice")
        _ARRAY[process_id] = ArrayProcess(process_id, function, load_spec(process_id))
        return function

    return register


@lru_cache(maxsize=1)
def _load_all() -> None:
    import acreage.processes as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def cube_processes() -> Mapping[str, CubeProcess]:
    """All cube processes by id."""
    _load_all()
    return _CUBE


def array_processes() -> Mapping[str, ArrayProcess]:
    """All array processes by id."""
    _load_all()
    return _ARRAY


def engine_processes() -> Mapping[str, EngineProcess]:
    """The processes that the engine carries out itself, by id."""
    return {p: EngineProcess(p, load_spec(p)) for p in ENGINE_PROCESSES}


def process_ids() -> tuple[str, ...]:
    """Every id that a graph may call, sorted."""
    return tuple(sorted({*cube_processes(), *array_processes(), *ENGINE_PROCESSES}))


def description(process_id: str) -> Mapping[str, Any]:
    """The openEO description of a process.

    Raises:
        ProcessUnsupported: the id is not known; the message names the closest known ids.
    """
    found = cube_processes().get(process_id) or array_processes().get(process_id)
    if found is not None:
        return found.spec
    if process_id in ENGINE_PROCESSES:
        return load_spec(process_id)
    from difflib import get_close_matches

    close = get_close_matches(process_id, process_ids(), n=3)
    raise ProcessUnsupported(
        f"Process {process_id!r} is not supported.",
        hint=f"Did you mean {' or '.join(close)}?" if close else "",
    )


__all__ = [
    "POINTWISE",
    "WHOLE",
    "ArrayProcess",
    "Blocks",
    "CubeProcess",
    "EngineProcess",
    "Footprint",
    "Grid",
    "Halo",
    "Pointwise",
    "Process",
    "Span",
    "Warp",
    "array_process",
    "array_processes",
    "cube_process",
    "cube_processes",
    "description",
    "engine_processes",
    "process_ids",
]
