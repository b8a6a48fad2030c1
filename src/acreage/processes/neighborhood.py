"""apply_neighborhood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from acreage.core.arrays import null_like
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.errors import (
    DataCubePropertiesImmutable,
    ProcessGraphError,
    ProcessParameterInvalid,
)
from acreage.core.grid import Box
from acreage.processes import convolution as loops
from acreage.processes.blocks import AnchoredBlocks, Chunking, Range, chunkings
from acreage.processes.callback import Callback
from acreage.processes.convert import aligned, owned, to_array
from acreage.processes.eager import describe_callback, is_array_callback, run_callback
from acreage.processes.probing import callback_meta, null_array
from acreage.processes.registry import Footprint, cube_process
from acreage.processes.resampling import spatial_box

# --- apply_neighborhood: what comes out ---------------------------------------------------------------------


def _checked(process: Any) -> Callback:
    if not isinstance(process, Callback):
        raise ProcessParameterInvalid(
            f"A process graph is needed here, not {process!r}.", hint='Give an object with a "process_graph".'
        )
    if process.udf is not None:
        raise ProcessGraphError(
            "A run_udf callback reached apply_neighborhood itself.",
            hint="Run user-defined functions through the engine.",
        )
    return process


def array_dimension(data: CubeMeta, chunks: Mapping[str, Chunking]) -> str | None:
    """The one dimension along which neighbourhoods are longer than a single value, or None."""
    free = [n for n in data.names if not chunks[n].is_single]
    return free[0] if len(free) == 1 else None


def _describe_neighborhood(
    *, data: CubeMeta, process: Any, size: Any, overlap: Any, context: Any
) -> CubeMeta:
    callback = _checked(process)
    spatial_box(data, "apply_neighborhood")
    chunks = chunkings(data, size, overlap)
    along = array_dimension(data, chunks)
    if along is not None and is_array_callback(callback):
        return _describe_array(data, callback, along, chunks[along], context)
    if is_array_callback(callback):
        raise ProcessParameterInvalid(
            f"The callback of apply_neighborhood ({', '.join(callback.process_ids)}) computes on arrays, "
            "but each neighbourhood is a data cube.",
            hint="Use processes on data cubes, or make all sizes but one 1.",
        )
    kinds = [_kinds_of_blocks(data, name, chunks[name]) for name in data.names]
    accepted = []
    for ranges in product(*kinds):
        block = _block_meta(data, dict(zip(data.names, ranges, strict=True)))
        made = describe_callback(callback, {"data": block, "context": context})
        accepted.append(_accepted(data, block, made, chunks))
    return replace(accepted[0], may_be_null=True)


def _kinds_of_blocks(data: CubeMeta, name: str, chunk: Chunking) -> list[Range]:
    """The first block of every length along a dimension: those where the cube ends are shorter."""
    by_length: dict[int, Range] = {}
    low, high = _span(data, name)
    for block in chunk.ranges(low, high):
        by_length.setdefault(block.high - block.low, block)
    return list(by_length.values()) or [Range(low, low, low, low)]


def _describe_array(
    data: CubeMeta, callback: Callback, along: str, chunk: Chunking, context: Any
) -> CubeMeta:
    kinds = _kinds_of_blocks(data, along, chunk)
    described = [_describe_block(data, callback, along, chunk, block, context) for block in kinds]
    return described[0]


def _describe_block(
    data: CubeMeta, callback: Callback, along: str, chunk: Chunking, block: Range, context: Any
) -> CubeMeta:
    labels = None if data.dim(along).type in ("x", "y") else data.dim(along).labels[block.low : block.high]
    sample = null_array(data, block.high - block.low, labels)
    found = callback_meta(callback, {"data": sample, "context": context})
    if found.length is None or (found.length != sample.length and not chunk.is_whole):
        raise DataCubePropertiesImmutable(
            "The callback of apply_neighborhood gives "
            f"{'one value' if found.length is None else f'{found.length} values'} "
            f"for {sample.length} values along {along!r}, but must keep the dimension.",
            hint="Use reduce_dimension to drop a dimension.",
        )
    made = replace(data, dtype=found.dtype, nodata=None, may_be_null=True)
    if found.length == sample.length:
        return made
    if data.dim(along).type in ("x", "y"):
        raise DataCubePropertiesImmutable("apply_neighborhood cannot change the pixels along x or y.")
    names = found.labels if found.labels is not None else tuple(range(found.length))
    return made.with_dim(along, replace(data.dim(along), labels=names))


def _span(data: CubeMeta, name: str) -> tuple[int, int]:
    """First and last-plus-one position along a dimension; absolute for x and y."""
    dim = data.dim(name)
    if data.box is not None and dim.type == "x":
        return data.box.x0, data.box.x1
    if data.box is not None and dim.type == "y":
        return data.box.y0, data.box.y1
    return 0, len(dim.labels)


def _block_meta(data: CubeMeta, ranges: Mapping[str, Range]) -> CubeMeta:
    """Metadata of one neighbourhood: x and y with the full overlap, labels as far as there are any."""
    assert data.box is not None
    dims = tuple(
        d if d.type in ("x", "y") else replace(d, labels=d.labels[ranges[d.name].low : ranges[d.name].high])
        for d in data.dims
    )
    spatial = {d.type: ranges[d.name] for d in data.dims if d.type in ("x", "y")}
    x, y = spatial["x"], spatial["y"]
    return replace(data, dims=dims, box=Box(data.box.grid, x.low, y.low, x.high, y.high), may_be_null=True)


def _accepted(data: CubeMeta, block: CubeMeta, made: CubeMeta, chunks: Mapping[str, Chunking]) -> CubeMeta:
    """The result's metadata, if the callback kept what it must keep."""
    if made.names != block.names or made.box != block.box:
        raise DataCubePropertiesImmutable(
            f"The callback of apply_neighborhood makes a cube ({', '.join(made.names)}) of one with "
            f"({', '.join(block.names)}), "
            "or moves its pixels; dimensions and pixels must stay as they are."
        )
    dims: list[Dimension] = []
    for old, new, full in zip(block.dims, made.dims, data.dims, strict=True):
        if new.labels != old.labels and not chunks[full.name].is_whole:
            raise DataCubePropertiesImmutable(
                f"The callback of apply_neighborhood changes the labels of {full.name!r}, along which it "
                "sees only a part.",
                hint=f"Give null as the size along {full.name!r}.",
            )
        dims.append(new if chunks[full.name].is_whole else full)
    return replace(data, dims=tuple(dims), dtype=made.dtype, nodata=made.nodata)


# --- apply_neighborhood: run --------------------------------------------------------------------------------


def _neighborhood_footprints(*, data: CubeMeta, size: Any, overlap: Any, **_: Any) -> dict[str, Footprint]:
    chunks = chunkings(data, size, overlap)
    x, y = (chunks[d.name] for kind in ("x", "y") for d in data.dims if d.type == kind)
    return {"data": AnchoredBlocks(x.size, y.size, x.overlap, y.overlap)}


@cube_process("apply_neighborhood", describe=_describe_neighborhood, footprints=_neighborhood_footprints)
def apply_neighborhood(
    *, data: Cube, process: Callback, size: Any, overlap: Any, context: Any, out: CubeMeta
) -> Cube:
    """A callback on blocks of the cube, laid from its upper left pixel and first labels.

    A block is `size` long, shorter where the cube ends; with `overlap` the callback also sees that much
    around it, null where the cube ends in x or y (labels simply end). Of what it returns, the block itself is
    kept. Where blocks are longer than one value along a single dimension, the callback gets arrays instead of
    cubes.
    """
    callback = _checked(process)
    chunks = chunkings(data.meta, size, overlap)
    along = array_dimension(data.meta, chunks)
    as_array = along is not None and is_array_callback(callback)
    values = np.full(out.shape, null_like(out.dtype), out.dtype)
    valid = np.zeros(out.shape, bool)
    for ranges in _blocks(data.meta, out, chunks, along if as_array else None):
        block = _block(data, _block_meta(data.meta, ranges))
        if as_array:
            assert along is not None
            made = _run_array(callback, block, along, context, out.dtype)
        else:
            made = run_callback(callback, {"data": block, "context": context})
        _keep(made, ranges, data.meta, out, chunks, values, valid)
    return owned(values, valid, out)


def _blocks(
    data: CubeMeta, out: CubeMeta, chunks: Mapping[str, Chunking], along: str | None
) -> list[dict[str, Range]]:
    """Every block that touches the output; for a callback on arrays, single values are taken all at once."""
    ranges = []
    for name in data.names:
        low, high = _span(data, name)
        spatial = data.dim(name).type in ("x", "y")
        first, last = _span(out, name) if spatial else (low, high)
        if along is not None and name != along:
            ranges.append([Range(first, last, first, last)])
        else:
            ranges.append([r for r in chunks[name].ranges(low, high) if r.start < last and r.stop > first])
    return [dict(zip(data.names, combination, strict=True)) for combination in product(*ranges)]


def _block(data: Cube, meta: CubeMeta) -> Cube:
    """The data of one neighbourhood, nulls where the cube ends."""
    assert meta.box is not None
    assert data.meta.box is not None
    values = np.full(meta.shape, null_like(meta.dtype), meta.dtype)
    valid = np.zeros(meta.shape, bool)
    common = meta.box.intersect(data.meta.box)
    source, target = [], []
    for dim, part in zip(data.dims, meta.dims, strict=True):
        if dim.type in ("x", "y"):
            axis = 1 if dim.type == "x" else 0
            source.append(common.slices_in(data.meta.box)[axis])
            target.append(common.slices_in(meta.box)[axis])
        else:
            start = dim.labels.index(part.labels[0]) if part.labels else 0
            source.append(slice(start, start + len(part.labels)))
            target.append(slice(None))
    values[tuple(target)] = data.values[tuple(source)]
    valid[tuple(target)] = True if data.valid is None else data.valid[tuple(source)]
    return owned(values, valid, meta)


def _run_array(callback: Callback, block: Cube, along: str, context: Any, dtype: np.dtype[Any]) -> Cube:
    result = aligned(callback(data=to_array(block, along), context=context), len(block.meta.shape))
    axis = block.meta.axis(along)
    others = [n for i, n in enumerate(block.meta.shape) if i != axis]
    shape = (result.length, *others)
    made = np.moveaxis(np.broadcast_to(result.values, shape), 0, axis)
    mask = None if result.valid is None else np.moveaxis(np.broadcast_to(result.valid, shape), 0, axis)
    meta = replace(block.meta, dtype=dtype)
    if result.length != block.meta.shape[axis]:
        labels = tuple(range(result.length))
        meta = meta.with_dim(along, replace(block.meta.dim(along), labels=labels))
    return Cube.of(np.ascontiguousarray(made), mask, meta)


def _keep(
    made: Cube,
    ranges: Mapping[str, Range],
    data: CubeMeta,
    out: CubeMeta,
    chunks: Mapping[str, Chunking],
    values: loops.Array,
    valid: loops.Array,
) -> None:
    """Copy the block without its overlap, as far as it is wanted."""
    source, target = [], []
    for dim in data.dims:
        at = ranges[dim.name]
        low, high = _span(out, dim.name)
        if dim.type not in ("x", "y") and chunks[dim.name].is_whole:
            source.append(slice(None))
            target.append(slice(None))
            continue
        start, stop = max(at.start, low), min(at.stop, high)
        source.append(slice(start - at.low, stop - at.low))
        target.append(slice(start - low, stop - low))
    values[tuple(target)] = made.values[tuple(source)]
    valid[tuple(target)] = made.validity()[tuple(source)]
