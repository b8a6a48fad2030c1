"""One call of a process, run as a graph by the whole engine, as openEO's suite of process tests asks for it.

`EngineRunner` has the methods of that suite's `ProcessTestRunner`, so that the suite can use it as it stands.
Data cubes of its examples enter the graph by a process of their own, `example_cube`, which exists while a
runner is in use and is known to nobody else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
from tests.support.engine_runs import run_cubes

from acreage.catalog.items import Catalog, CollectionInfo, Search
from acreage.core.arrays import Masked
from acreage.core.cube import Cube, CubeMeta, Dimension, DimensionType
from acreage.core.errors import CollectionNotFound
from acreage.core.grid import Box, Grid
from acreage.processes import registry
from acreage.processes.catalogue import process_descriptions
from acreage.processes.dates import is_date, moment
from acreage.processes.operands import plain
from acreage.processes.registry import CubeProcess

EXAMPLE_CUBE = "example_cube"
_SPEC = {
    "id": EXAMPLE_CUBE,
    "description": "The data cube of an example.",
    "parameters": [{"name": "cube", "description": "As examples state it.", "schema": {"type": "object"}}],
    "returns": {"description": "The data cube.", "schema": {"type": "object", "subtype": "datacube"}},
}
_RANK: Mapping[str, int] = {"temporal": 0, "bands": 1, "other": 2, "y": 3, "x": 4}
Json = Any

_UTM = {"reference_system": "EPSG:32632"}
SMALL_CUBE = {
    "type": "datacube",
    "nodata": 255,
    "order": ["bands", "t", "y", "x"],
    "dimensions": {
        "bands": {"type": "bands", "values": ["red", "nir"]},
        "t": {"type": "temporal", "values": ["2021-03-01T00:00:00Z"]},
        "y": {"type": "spatial", "axis": "y", "values": [5000015, 5000005, 4999995], **_UTM},
        "x": {"type": "spatial", "axis": "x", "values": [400005, 400015, 400025], **_UTM},
    },
    "data": [[[[1, 2, 3], [4, 5, 6], [7, 8, 255]]], [[[10, 20, 30], [40, 50, 60], [70, 255, 90]]]],
}  # fmt: skip
"""A data cube as examples state it."""


@dataclass(frozen=True)
class Call:
    """An argument that is made by a node of its own."""

    process_id: str
    arguments: Mapping[str, Json]


class NoCollections:
    """A catalog of nothing: examples load no collection."""

    def collections(self) -> tuple[str, ...]:
        """None."""
        return ()

    def describe(self, collection_id: str) -> CollectionInfo:
        """There is none to describe."""
        raise CollectionNotFound(f"There is no collection {collection_id!r} here.")

    def search(self, collection_id: str, *_: object, **__: object) -> Search:
        """There is none to search."""
        raise CollectionNotFound(f"There is no collection {collection_id!r} here.")


@dataclass(frozen=True)
class Made:
    """What a call made.

    Attributes:
        cube: values, validity and metadata.
        order: dimensions of the first data cube among the arguments, as they stood there.
    """

    cube: Cube
    order: tuple[str, ...]


@dataclass(frozen=True)
class EngineRunner:
    """Runs a process as a graph of one call (and one more for each data cube or labelled array in it)."""

    window: int = 2
    catalog: Catalog = field(default_factory=NoCollections)

    def list_processes(self) -> list[dict[str, Json]]:
        """Every process that the engine knows."""
        return process_descriptions()

    def execute(self, process_id: str, arguments: Mapping[str, Json]) -> Made:
        """The result of one call: parsed, planned, run window by window, taken before it is written."""
        nodes: dict[str, Json] = {}
        nodes["call"] = {
            "process_id": process_id,
            "arguments": _placed(dict(arguments), nodes),
            "result": True,
        }
        with example_cubes():
            (result,) = run_cubes(nodes, self.catalog, self.window).values()
        cubes = [n["arguments"]["cube"] for n in nodes.values() if n["process_id"] == EXAMPLE_CUBE]
        return Made(result, tuple(cubes[0]["order"]) if cubes else ())

    def encode_process_graph(
        self, process: Mapping[str, Json], parent_process_id: str | None = None, parent_parameter: Any = None
    ) -> Json:
        """Callbacks stay as they are: they are part of the graph."""
        return process

    def encode_labeled_array(self, data: Mapping[str, Json]) -> Call:
        """A labelled array, which JSON cannot state: a call that makes it."""
        entries = data["data"]
        values = [None if e["value"] == {"type": "nodata"} else e["value"] for e in entries]
        labels = [e["key"] for e in entries]
        return Call("array_create_labeled", {"data": values, "labels": labels})

    def encode_datacube(self, data: Mapping[str, Json]) -> Call:
        """A data cube, which JSON cannot state: a call that makes it."""
        return Call(EXAMPLE_CUBE, {"cube": data})

    def encode_data(self, data: Json) -> Json:
        """JSON stays as it is; so do NaN and infinity, which Python's JSON has."""
        return data

    def decode_data(self, data: Made, expected: Json) -> Json:
        """A result as examples state them.

        The order of dimensions has no meaning in openEO, and ours is always the same. They are put in the
        order that is expected, or, where that is in a file, in the order of the argument.
        """
        cube, named = data.cube, isinstance(expected, Mapping) and "$ref" in expected
        if named or (isinstance(expected, Mapping) and expected.get("type") == "datacube"):
            return _cube_as_json(cube, {"order": data.order, "dimensions": {}, **expected})
        if cube.meta.dtype.kind == "O":
            return cube.values[()]
        result = plain(Masked(cube.values, cube.valid))
        labelled = isinstance(expected, Mapping) and expected.get("type") == "labeled-array"
        if labelled or _is_entries(expected):
            (dim,) = cube.dims
            pairs = zip(dim.labels, result, strict=True)
            entries = [{"key": k, "value": v} for k, v in pairs]
            return {"type": "labeled-array", "data": entries} if labelled else entries
        return result

    def is_json_only(self) -> bool:
        """NaN and infinity can be arguments."""
        return False

    def get_nodata_value(self) -> None:
        """How null stands in results."""


@contextmanager
def example_cubes() -> Iterator[None]:
    """The process that gives a data cube as examples state it is there as long as this lasts."""
    process = CubeProcess(EXAMPLE_CUBE, _describe, _run, lambda **_: {}, False, _SPEC)
    registry.cube_processes()
    with mock.patch.dict(registry._CUBE, {EXAMPLE_CUBE: process}):
        yield


def _placed(value: Json, nodes: dict[str, Json]) -> Json:
    """Arguments with a node and a reference in place of every `Call`."""
    if isinstance(value, Call):
        key = f"argument{len(nodes)}"
        nodes[key] = {"process_id": value.process_id, "arguments": dict(value.arguments)}
        return {"from_node": key}
    if isinstance(value, Mapping):
        return {k: _placed(v, nodes) for k, v in value.items()}
    if isinstance(value, list):
        return [_placed(v, nodes) for v in value]
    return value


# --- data cubes of examples ---------------------------------------------------------------------------------


def _describe(*, cube: Mapping[str, Json]) -> CubeMeta:
    return _read(cube).meta


def _run(*, cube: Mapping[str, Json], out: CubeMeta) -> Cube:
    found = _read(cube)
    return found if out.box is None else found.crop(out.box)


def _read(cube: Mapping[str, Json]) -> Cube:
    dims = {name: _dimension(name, cube["dimensions"][name]) for name in cube["order"]}
    order = sorted(cube["order"], key=lambda n: _RANK[dims[n].type])
    shape = [len(cube["dimensions"][n]["values"]) for n in cube["order"]]
    given = np.zeros(shape) if cube["data"] is None else np.array(cube["data"], object)
    null = cube.get("nodata")
    valid = np.array([v is not None and v != null and not _is_nan(v) for v in given.ravel()], bool)
    whole = all(isinstance(v, int) for v in given.ravel())
    values = np.where(valid, given.ravel(), 0).astype(np.int64 if whole else np.float64)
    axes = [cube["order"].index(n) for n in order]
    meta = CubeMeta(
        tuple(dims[n] for n in order),
        values.dtype,
        _box(cube["dimensions"]),
        nodata=null if isinstance(null, int) else None,
    )
    return Cube.of(values.reshape(shape).transpose(axes), valid.reshape(shape).transpose(axes), meta)


def _is_entries(expected: Json) -> bool:
    """Whether a labelled array is stated by its entries alone."""
    return isinstance(expected, list) and any(
        isinstance(e, Mapping) and e.keys() == {"key", "value"} for e in expected
    )


def _is_nan(value: Json) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _dimension(name: str, described: Mapping[str, Json]) -> Dimension:
    if described["type"] == "spatial":
        return Dimension(name, "x" if described["axis"] == "x" else "y")
    kind: DimensionType = described["type"]
    labels = described["values"]
    if kind == "temporal":
        return Dimension(name, kind, tuple(moment(v) if is_date(v) else v for v in labels))
    return Dimension(name, kind, tuple(labels))


def _box(dimensions: Mapping[str, Json]) -> Box | None:
    axes = {d["axis"]: d for d in dimensions.values() if d["type"] == "spatial"}
    if not axes:
        return None
    xs, ys = axes["x"]["values"], axes["y"]["values"]
    res_x, res_y = xs[1] - xs[0], ys[0] - ys[1]
    grid = Grid.snapped(axes["x"]["reference_system"], res_x, res_y)
    box = grid.box_covering(xs[0] - res_x / 2, ys[-1] - res_y / 2, xs[-1] + res_x / 2, ys[0] + res_y / 2)
    assert box.shape == (len(ys), len(xs)), "the pixels do not lie on a regular lattice"
    return box


def _cube_as_json(cube: Cube, expected: Mapping[str, Json]) -> Json:
    if not cube.dims and not cube.validity().any():  # the one null of a cube that holds nothing
        return {"type": "datacube", "order": [], "dimensions": {}, "data": []}
    wanted = [n for n in expected["order"] if n in cube.meta.names]
    order = wanted if len(wanted) == len(cube.dims) else list(cube.meta.names)
    values = cube.values.astype(object)
    null = expected.get("nodata", cube.meta.nodata)
    values[~cube.validity()] = math.nan if null is None or _is_nan(null) else null
    return {
        "type": "datacube",
        "order": order,
        "dimensions": {d.name: _dimension_as_json(cube.meta, d, expected["dimensions"]) for d in cube.dims},
        "data": values.transpose([cube.meta.names.index(n) for n in order]).tolist(),
    }


def _dimension_as_json(meta: CubeMeta, dim: Dimension, expected: Mapping[str, Json]) -> Json:
    if dim.type in ("x", "y"):
        about = {"type": "spatial", "axis": dim.type, "values": list(meta.labels_of(dim.name))}
        # openEO's suite takes for an error what the example leaves out.
        named = "axis" in expected.get(dim.name, {"axis": dim.type})
        return about if named else {k: v for k, v in about.items() if k != "axis"}
    wanted = expected.get(dim.name, {}).get("values", ())
    spelled = {moment(v): v for v in wanted if isinstance(v, str) and is_date(v)}
    return {"type": dim.type, "values": [_label(v, spelled) for v in dim.labels]}


def _label(label: Json, spelled: Mapping[np.datetime64, str]) -> Json:
    """A label; instants as they are expected to be spelled, where that is the same instant."""
    if not isinstance(label, np.datetime64):
        return label
    return spelled.get(label) or f"{np.datetime_as_string(label, unit='s')}Z"
