"""What plan nodes do: run a process, hand a window to a UDF, give a constant. (Loading is in `sources`.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acreage.core.arrays import Array, BoolArray
from acreage.core.cube import Cube, CubeMeta, Dimension, empty_cube
from acreage.core.errors import UdfError
from acreage.core.grid import Box
from acreage.core.temporal import format_instant
from acreage.core.udf import LabelledArray, UdfCode, UdfRunner
from acreage.engine.plan import Context
from acreage.processes.merge import joined
from acreage.processes.registry import Blocks, cube_processes


@dataclass(frozen=True, slots=True)
class InputRef:
    """Stands in a node's arguments for its n-th input cube."""

    position: int


def fill(value: Any, inputs: Sequence[Any]) -> Any:
    """An argument with its input references replaced, at any depth."""
    if isinstance(value, InputRef):
        return inputs[value.position]
    if isinstance(value, Mapping):
        return {k: fill(v, inputs) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [fill(v, inputs) for v in value]
    return value


@dataclass(frozen=True)
class ProcessOp:
    """A registered cube process; looked up by id, so that it travels as a name.

    Attributes:
        process_id: which process.
        arguments: by parameter name, with `InputRef` for the cubes.
    """

    process_id: str
    arguments: Mapping[str, Any]

    def run(self, inputs: Sequence[Cube], out: CubeMeta, context: Context) -> Cube:
        """Run the process on the inputs."""
        arguments = {name: fill(value, inputs) for name, value in self.arguments.items()}
        return cube_processes()[self.process_id].run(**arguments, out=out)


@dataclass(frozen=True)
class JoinOp:
    """A chain of merge_cubes without overlap: every cube is copied once instead of once a merge."""

    def run(self, inputs: Sequence[Cube], out: CubeMeta, context: Context) -> Cube:
        """Put the inputs together."""
        return joined(inputs, out)


@dataclass(frozen=True, eq=False)
class ConstantOp:
    """A cube that is known when the plan is made, such as a vector cube from GeoJSON."""

    cube: Cube

    def run(self, inputs: Sequence[Cube], out: CubeMeta, context: Context) -> Cube:
        """Give the cube."""
        return self.cube


@dataclass(frozen=True)
class UdfOp:
    """A user-defined function on a window; each pixel's result may depend on the whole of its block only.

    Attributes:
        code: the function.
        context: JSON handed to it.
        blocks: set where the graph cuts the cube into blocks of its own (apply_neighborhood); None where a
            window is handed over as it is.
        full: the input's full box, from whose corner blocks count; None for a cube without x and y.
    """

    code: UdfCode
    context: Mapping[str, Any]
    blocks: Blocks | None = None
    full: Box | None = None

    def run(self, inputs: Sequence[Cube], out: CubeMeta, context: Context) -> Cube:
        """Hand the window to the function, or block by block where the graph cuts blocks."""
        if self.blocks is None or self.full is None or out.box is None:
            return self._call(inputs[0], out, context)
        result = empty_cube(out)
        valid = result.validity().copy()
        for block in _blocks_touching(out.box, self.full, self.blocks):
            asked = self.blocks(block, self.full)
            piece = self._call(padded(inputs[0], asked), out.with_box(asked), context)
            part = block.intersect(out.box)
            rows, columns = part.slices_in(out.box)
            cut = piece.crop(part)
            result.values[..., rows, columns] = cut.values
            valid[..., rows, columns] = cut.validity()
        return Cube.of(result.values, valid, out)

    def _call(self, cube: Cube, out: CubeMeta, context: Context) -> Cube:
        result = runner_of(context).run(self.code, to_labelled(cube), dict(self.context))
        context.log.udf_lines.extend(str(line) for line in result.log)
        return from_labelled(result.array, out)


def runner_of(context: Context) -> UdfRunner:
    """The runner of user-defined functions.

    Raises:
        UdfError: there is none.
    """
    if context.udf is None:
        raise UdfError(
            "The graph runs a user-defined function, but this engine was started without a UDF runner.",
            hint="Give the engine a runner.",
        )
    return context.udf


def _blocks_touching(window: Box, full: Box, blocks: Blocks) -> list[Box]:
    """The graph's own blocks (without overlap) that a window touches, in row order, cut to nothing."""
    width = blocks.columns or full.width
    height = blocks.rows or full.height
    found = []
    for row in range((window.y0 - full.y0) // height, -(-(window.y1 - full.y0) // height)):
        for column in range((window.x0 - full.x0) // width, -(-(window.x1 - full.x0) // width)):
            x, y = full.x0 + column * width, full.y0 + row * height
            found.append(Box(window.grid, x, y, x + width, y + height))
    return found


def padded(cube: Cube, box: Box) -> Cube:
    """The cube over exactly this box: cropped, and with nulls where the cube has no pixels."""
    assert cube.meta.box is not None
    common = box.intersect(cube.meta.box)
    if common == box:
        return cube.crop(box)
    result = empty_cube(cube.meta.with_box(box))
    valid = result.validity().copy()
    if not common.is_empty:
        rows, columns = common.slices_in(box)
        part = cube.crop(common)
        result.values[..., rows, columns] = part.values
        valid[..., rows, columns] = part.validity()
    return Cube.of(result.values, valid, result.meta)


def udf_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The float type that holds every value of a cube of this dtype and NaN for null."""
    if dtype.kind == "f":
        return dtype
    small = dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize <= 2)
    return np.dtype(np.float32 if small else np.float64)


def to_labelled(cube: Cube) -> LabelledArray:
    """A cube as a UDF sees it: floats with NaN for null, labels as text and numbers."""
    # NaN stands under the nulls of floats already: these are handed over as they are.
    values: Array = cube.values
    if cube.meta.dtype.kind != "f":
        values = values.astype(udf_dtype(cube.meta.dtype))
        if cube.valid is not None:
            values[~cube.valid] = np.nan
    labels = labels_for_udf(cube.meta)
    attrs = {"crs": cube.meta.grid.crs} if cube.meta.is_raster else {}
    temporal = tuple(d.name for d in cube.dims if d.type == "temporal")
    return LabelledArray(values, cube.meta.names, labels, temporal, attrs)


def labels_for_udf(meta: CubeMeta) -> dict[str, tuple[str | int | float, ...]]:
    """Labels of every dimension as text and numbers."""
    return {d.name: tuple(_plain(v) for v in meta.labels_of(d.name)) for d in meta.dims}


def _plain(label: Any) -> str | int | float:
    if isinstance(label, np.datetime64):
        return format_instant(label)
    if isinstance(label, str | int | float):
        return label
    return str(label)


def from_labelled(array: LabelledArray, out: CubeMeta) -> Cube:
    """What a UDF returned, as the cube that was planned.

    Raises:
        UdfError: its dimensions or sizes are not those of the plan.
    """
    if set(array.dims) != set(out.names):
        raise UdfError(
            f"The UDF returned dimensions {', '.join(array.dims)} where {', '.join(out.names)} were planned.",
            hint="A UDF must return the same dimensions for every window.",
        )
    values = np.transpose(array.values, [array.dims.index(n) for n in out.names])
    if values.shape != out.shape:
        raise UdfError(
            f"The UDF returned an array of shape {values.shape} where {out.shape} was planned "
            f"({', '.join(out.names)}).",
            hint="A UDF must keep x and y, and return the same labels for every window.",
        )
    valid: BoolArray | None = None
    if values.dtype.kind == "f":
        valid = ~np.isnan(values)
    if values.dtype != out.dtype:
        with np.errstate(invalid="ignore"):
            values = values.astype(out.dtype)
    return Cube.of(values, valid, out)


def udf_output_meta(
    probe: LabelledArray, given: CubeMeta, dropped: str | None, target: str | None
) -> CubeMeta:
    """The planned output of a UDF, read off its answer to a tiny window of nulls.

    Args:
        probe: what it returned for the probe.
        given: metadata of its input.
        dropped: dimension that the process takes away (reduce_dimension, or another target), or None.
        target: dimension that receives the results instead, or None.

    Raises:
        UdfError: the UDF kept the dimension it had to reduce, or dropped x or y.
    """
    if dropped is not None and dropped in probe.dims and dropped != target:
        raise UdfError(
            f"The UDF returned dimension {dropped!r}, which it was called to reduce.",
            hint=f"Return an array without {dropped!r}.",
        )
    for axis in ("x", "y"):
        if axis in given.names and axis not in probe.dims:
            raise UdfError(f"The UDF dropped dimension {axis!r}.", hint="A UDF must keep x and y.")
    dims = [_udf_dimension(name, probe, given) for name in probe.dims if name not in ("x", "y")]
    dims += [given.dim(n) for n in ("y", "x") if n in given.names]
    return CubeMeta(tuple(dims), probe.values.dtype, given.box, given.geometries)


def _udf_dimension(name: str, probe: LabelledArray, given: CubeMeta) -> Dimension:
    size = probe.sizes[name]
    before = given.dim(name) if name in given.names else None
    if before is not None and before.type in ("temporal", "geometry") and len(before.labels) == size:
        return before
    labels: tuple[Any, ...] = tuple(probe.labels.get(name, range(size)))
    kind = before.type if before is not None else ("bands" if name == "bands" else "other")
    if before is not None and len(before.labels) == size and name not in probe.labels:
        labels = before.labels
    return Dimension(name, kind, labels)
