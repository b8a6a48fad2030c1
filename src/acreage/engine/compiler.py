"""From a parsed graph to plan nodes: what every node's output looks like and which pixels it needs.

A loaded cube's grid stays open until something asks for it: a node that only filters or relabels is compiled
once for every grid that is asked of it, so that the first resample applies to each band's own native grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from acreage.catalog.items import Catalog
from acreage.core.cube import CubeMeta
from acreage.core.errors import InvalidProcessGraph, ProcessGraphError, ProcessParameterInvalid
from acreage.core.grid import Grid
from acreage.core.udf import UdfCode, UdfRunner
from acreage.engine.constants import constant_cube, constant_json, constant_value
from acreage.engine.emptied import check_left
from acreage.engine.functions import FunctionCall, Functions, callback_call
from acreage.engine.graph import Graph, GraphNode, substitute
from acreage.engine.loading import Loader
from acreage.engine.models import ModelFile, load_model, predicted
from acreage.engine.models.predict import PREDICTIONS
from acreage.engine.ops import (
    ConstantOp,
    InputRef,
    ProcessOp,
    fill,
)
from acreage.engine.plan import Output, PlanNode, SourceSummary
from acreage.engine.schemas import check_references
from acreage.engine.sources import GridRequest
from acreage.engine.user_files import LOADS as FILE_LOADS
from acreage.engine.user_files import RasterCatalog, Ready, ScaleOp, UserFiles, load_files
from acreage.processes.callback import Callback, NodeRef
from acreage.processes.inspecting import inspect
from acreage.processes.registry import (
    POINTWISE,
    CubeProcess,
    Footprint,
    array_processes,
    cube_processes,
)
from acreage.processes.resampling import cube_target_grid, target_grid
from acreage.processes.scl_dilation import DEFAULTS, scl_band
from acreage.processes.vectors import load_geojson

OWN_GRID = GridRequest()
_LOADS = ("load_collection", "load_stac", *FILE_LOADS)


@dataclass(frozen=True)
class Constant:
    """A value known while planning: JSON, or an array with labels."""

    value: Any


Value = int | Constant


@dataclass
class Compiler:
    """Compiles one graph; use `compile_graph`."""

    graph: Graph
    loader: Loader
    functions: Functions
    files: UserFiles = field(default_factory=UserFiles)
    nodes: list[PlanNode] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    values: dict[tuple[int, GridRequest], Value] = field(default_factory=dict)
    open_grid: set[int] = field(default_factory=set)
    trimmed: set[int] = field(default_factory=set)
    problems: list[ProcessGraphError] = field(default_factory=list)
    loaded: dict[int, Ready | RasterCatalog] = field(default_factory=dict)
    models: dict[int, ModelFile] = field(default_factory=dict)

    def run(self) -> None:
        """Compile every node; all problems are listed that do not follow from one another."""
        failed: set[int] = set()
        for index, node in enumerate(self.graph.nodes):
            if failed.intersection(node.inputs):
                failed.add(index)
                continue
            try:
                self.values[(index, OWN_GRID)] = self._compile(index, OWN_GRID)
            except ProcessGraphError as error:
                failed.add(index)
                self.problems.append(_located(error, node))
        if len(self.problems) == 1:
            raise self.problems[0]
        if self.problems:
            raise InvalidProcessGraph(self.problems)
        for index in self.graph.outputs:
            if self.graph.nodes[index].process_id != "save_result":
                key = self.graph.nodes[index].key
                self.outputs.append(
                    Output(
                        self._cube_node(self.values[(index, OWN_GRID)], key),
                        key,
                        None,
                        {},
                        index in self.trimmed,
                    )
                )

    def _compile(self, index: int, request: GridRequest) -> Value:
        node = self.graph.nodes[index]
        self._check_inputs(node)
        match node.process_id:
            case "load_collection" | "load_stac":
                return self._load(index, node, request)
            case "load_ml_model":
                self.models[index] = load_model(self._argument(node.arguments, [], request), self.files)
                return Constant({"name": self.models[index].item.name})
            case "ml_predict" | "ml_predict_probabilities":
                return self._prediction(node)
            case "load_geojson":
                cube = load_geojson(node.arguments["data"], node.arguments["properties"] or ())
                return self._add(PlanNode(node.key, node.process_id, (), (), cube.meta, ConstantOp(cube)))
            case "load_uploaded_files" | "load_url":
                return self._load_files(index, node, request)
            case "save_result":
                return self._save(node)
            case "inspect" if self._is_cube(node.arguments["data"]):
                return self._inspected(index, node, request)
            case "run_udf":
                return self._top_level_udf(node)
            case "trim_cube":
                self.trimmed.add(index)
                return self.values[(node.arguments["data"].index, OWN_GRID)]
            case "resample_spatial" | "resample_cube_spatial":
                value = self._resample_at_source(node)
                if value is not None:
                    return value
        if node.process_id in array_processes():
            return self._constant(node)
        return self._process(index, node, cube_processes()[node.process_id], request)

    def _load(self, index: int, node: GraphNode, request: GridRequest) -> int:
        node = replace(node, arguments=self._argument(node.arguments, [], request))
        self.open_grid.add(index)
        meta, op = self.loader.load(index, node, request)
        made = self._add(PlanNode(node.key, node.process_id, (), (), meta, op))
        for name in self.loader.absent_dimensions(node):
            if len(self.nodes[made].meta.dim(name).labels) == 1:
                made = self._made(node.key, "drop_dimension", {"data": InputRef(0), "name": name}, [made])
        return made

    def _load_files(self, index: int, node: GraphNode, request: GridRequest) -> int:
        """A cube of users' files: as it is, or what a search among rasters gives, on any grid."""
        if index not in self.loaded:
            arguments = self._argument(node.arguments, [], request)
            self.loaded[index] = load_files(node.process_id, arguments, self.files)
        found = self.loaded[index]
        if isinstance(found, Ready):
            return self._add(PlanNode(node.key, node.process_id, (), (), found.meta, found.op))
        self.open_grid.add(index)
        self.loader.user_catalogs[index] = found
        meta, op = self.loader.load(index, node, request)
        made = self._add(PlanNode(node.key, node.process_id, (), (), meta, op))
        if found.scaled:
            scale = ScaleOp(tuple(found.scales[name] for name in op.bands))
            meta = replace(meta, dtype=ScaleOp.dtype_of(meta.dtype), nodata=None)
            made = self._add(PlanNode(node.key, node.process_id, (made,), (POINTWISE,), meta, scale))
        if not found.dated:
            made = self._made(node.key, "drop_dimension", {"data": InputRef(0), "name": "t"}, [made])
        return made

    def _check_inputs(self, node: GraphNode) -> None:
        self._check_references(node)
        for source in node.inputs:
            if isinstance(given := self.values[(source, OWN_GRID)], int):
                check_left(self.nodes, given)
        if node.process_id != "save_result" and self.trimmed.intersection(node.inputs):
            raise ProcessGraphError(
                "The labels that trim_cube leaves are known when all pixels are: nothing can come behind it.",
                hint="Use it last, right before save_result.",
            )

    def _check_references(self, node: GraphNode) -> None:
        if node.process_id == "run_udf" or node.process_id in array_processes():
            return  # they say themselves what they do not take
        for name, value in node.arguments.items():
            if (node.process_id, name) == ("save_result", "data"):
                continue  # numbers and arrays are saved too, as JSON
            check_references(node.process_id, name, value, self._constant_of)

    def _constant_of(self, index: int) -> tuple[Any] | None:
        value = self.values[(index, OWN_GRID)]
        return (constant_json(value.value),) if isinstance(value, Constant) else None

    def _process(self, index: int, node: GraphNode, process: CubeProcess, request: GridRequest) -> Value:
        inputs: list[int] = []
        arguments = {
            n: self._argument(v, inputs, request if process.grid_transparent else OWN_GRID)
            for n, v in node.arguments.items()
        }
        metas = {n: fill(v, [self.nodes[i].meta for i in inputs]) for n, v in arguments.items()}
        udf = next(
            (v for v in node.arguments.values() if isinstance(v, Callback) and v.udf is not None), None
        )
        if udf is not None:
            return self._add_udf(node, callback_call(node, udf, self.nodes[inputs[0]].meta), inputs)
        if (
            process.grid_transparent
            and isinstance(node.arguments.get("data"), NodeRef)
            and node.arguments["data"].index in self.open_grid
        ):
            self.open_grid.add(index)
        if node.process_id == "mask_scl_dilation":
            return self._mask_scl_dilation(node.key, process.describe(**metas), arguments, inputs)
        return self._made(node.key, node.process_id, arguments, inputs)

    def _made(self, key: str, process_id: str, arguments: Mapping[str, Any], inputs: list[int]) -> int:
        """A node of a process; `InputRef` in its arguments stands for the input of that position."""
        process = cube_processes()[process_id]
        for given in inputs:
            check_left(self.nodes, given)
        metas = {n: fill(v, [self.nodes[i].meta for i in inputs]) for n, v in arguments.items()}
        meta = process.describe(**metas)
        by_name = process.footprints(**metas, out=meta)
        footprints: list[Footprint] = [POINTWISE] * len(inputs)
        for name, value in arguments.items():
            if isinstance(value, InputRef) and name in by_name:
                footprints[value.position] = by_name[name]
        op = ProcessOp(process_id, arguments)
        return self._add(PlanNode(key, process_id, tuple(inputs), tuple(footprints), meta, op))

    def _mask_scl_dilation(
        self, key: str, meta: CubeMeta, arguments: Mapping[str, Any], inputs: list[int]
    ) -> int:
        """As the processes that it consists of: what comes after them sees a mask, as any other."""
        name, given = scl_band(meta, arguments["scl_band_name"]), inputs[arguments["data"].position]
        only = {"data": InputRef(0)}
        scl = self._made(key, "filter_bands", {**only, "bands": [name], "wavelengths": None}, [given])
        cloud = self._made(key, "to_scl_dilation_mask", {**only, **DEFAULTS}, [scl])
        return self._made(key, "mask", {**only, "mask": InputRef(1), "replacement": None}, [given, cloud])

    def _argument(self, value: Any, inputs: list[int], request: GridRequest) -> Any:
        """An argument with constants put in, and an `InputRef` for every cube."""
        if isinstance(value, NodeRef):
            found = self.values.get((value.index, request))
            if found is None:
                found = self.values[(value.index, OWN_GRID)]
            if isinstance(found, Constant):
                return constant_json(found.value)
            # One entry a use: a cube that is used twice may be needed with two footprints.
            inputs.append(found)
            return InputRef(len(inputs) - 1)
        if isinstance(value, Mapping):
            return {k: self._argument(v, inputs, request) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._argument(v, inputs, request) for v in value]
        return value

    def _add(self, node: PlanNode) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    # --- grids ---

    def _resample_at_source(self, node: GraphNode) -> Value | None:
        """A resample of a cube whose grid is still open: its source is compiled anew on the target grid."""
        data = node.arguments["data"]
        if not isinstance(data, NodeRef) or data.index not in self.open_grid:
            return None
        own = self.values[(data.index, OWN_GRID)]
        assert isinstance(own, int)
        meta = self.nodes[own].meta
        if node.process_id == "resample_spatial":
            a = node.arguments
            grid, method = target_grid(
                meta.grid,
                resolution=a["resolution"],
                projection=a["projection"],
                method=a["method"],
                align=a["align"],
            )
        else:
            inputs: list[int] = []
            target = self._argument(node.arguments["target"], inputs, OWN_GRID)
            target = fill(target, [self.nodes[i].meta for i in inputs])
            grid, method = cube_target_grid(target, node.arguments["method"])
        return self._on_grid(data.index, GridRequest(grid, method))

    def _on_grid(self, index: int, request: GridRequest) -> Value:
        """The value of a node on a requested grid; the chain up to its load is compiled where needed."""
        chain = [index]
        while self.graph.nodes[chain[-1]].process_id not in _LOADS:
            data = self.graph.nodes[chain[-1]].arguments["data"]
            assert isinstance(data, NodeRef)
            chain.append(data.index)
        for step in reversed(chain):
            if (step, request) not in self.values:
                self.values[(step, request)] = self._compile(step, request)
        return self.values[(index, request)]

    # --- constants, outputs, user-defined functions ---

    def _constant(self, node: GraphNode) -> Constant:
        """An array process at the top level: computed now, from constants."""
        replacement: dict[int, Any] = {}
        for source in node.inputs:
            value = self.values[(source, OWN_GRID)]
            if isinstance(value, int) and node.process_id == "dimension_labels":
                replacement[source] = self.nodes[value].meta
                continue
            if not isinstance(value, Constant):
                raise ProcessParameterInvalid(
                    f"Process {node.process_id!r} works on numbers and arrays, not on data cubes.",
                    hint="Call it inside apply, reduce_dimension or another process that takes a callback.",
                )
            replacement[source] = value.value
        arguments = {k: substitute(v, replacement) for k, v in node.arguments.items()}
        with np.errstate(all="ignore"):
            result = array_processes()[node.process_id].function(**arguments)
        return Constant(constant_value(result))

    def _is_cube(self, value: Any) -> bool:
        return isinstance(value, NodeRef) and isinstance(self.values[(value.index, OWN_GRID)], int)

    def _inspected(self, index: int, node: GraphNode, request: GridRequest) -> Value:
        """The data cube itself; what is known of it goes to the log, once."""
        data = node.arguments["data"].index
        own = self.values[(data, OWN_GRID)]
        if data in self.open_grid:
            self.open_grid.add(index)
        if request == OWN_GRID and isinstance(own, int):
            about = self._argument({k: v for k, v in node.arguments.items() if k != "data"}, [], OWN_GRID)
            inspect(self.nodes[own].meta, **about)
        return self.values.get((data, request), own)

    def _cube_node(self, value: Value, key: str) -> int:
        if isinstance(value, int):
            return value
        cube = constant_cube(value.value)
        return self._add(PlanNode(key, "constant", (), (), cube.meta, ConstantOp(cube)))

    def _save(self, node: GraphNode) -> Value:
        data = node.arguments["data"]
        value = self.values[(data.index, OWN_GRID)] if isinstance(data, NodeRef) else Constant(data)
        index = self._cube_node(value, node.key)
        how = self._argument({k: node.arguments[k] for k in ("format", "options")}, [], OWN_GRID)
        trim = isinstance(data, NodeRef) and data.index in self.trimmed
        self.outputs.append(Output(index, node.key, how["format"], how["options"] or {}, trim))
        return index

    def _top_level_udf(self, node: GraphNode) -> Value:
        inputs: list[int] = []
        self._argument(node.arguments["data"], inputs, OWN_GRID)
        if len(inputs) != 1:
            raise ProcessParameterInvalid(
                "run_udf needs a data cube.", hint="Pass a loaded cube or a vector cube as data."
            )
        a = node.arguments
        code = UdfCode(a["udf"], a["runtime"], a.get("version"))
        return self._add_udf(node, FunctionCall(code, a.get("context") or {}), inputs)

    def _prediction(self, node: GraphNode) -> Value:
        """A model on a cube: a function as `run_udf` has it, whose source is not the user's."""
        inputs: list[int] = []
        self._argument(node.arguments["data"], inputs, OWN_GRID)
        model = node.arguments["model"]
        found = self.models.get(model.index) if isinstance(model, NodeRef) else None
        if found is None or len(inputs) != 1:
            raise ProcessParameterInvalid(
                f"{node.process_id} needs a data cube, and a model of load_ml_model.",
                hint='Refer to its node: {"from_node": "its name"}.',
            )
        given = self.nodes[inputs[0]].meta
        dimensions = self._argument(node.arguments["dimensions"], [], OWN_GRID)
        scores = node.process_id == "ml_predict_probabilities"
        run = predicted(found, given, dimensions, scores=scores)
        made = self._add_udf(node, FunctionCall(run.code, run.context, blocks=run.blocks), inputs)
        if run.renamed is not None:
            arguments = {"data": InputRef(0), "source": run.renamed, "target": PREDICTIONS}
            made = self._made(node.key, "rename_dimension", arguments, [made])
        meta = self.nodes[made].meta
        kept = replace(meta.dim(PREDICTIONS), type="bands") if meta.find("bands") is None else None
        if kept is not None:
            self.nodes[made] = replace(self.nodes[made], meta=meta.with_dim(PREDICTIONS, kept))
        return made

    def _add_udf(self, node: GraphNode, call: FunctionCall, inputs: list[int]) -> int:
        footprint, meta, op = self.functions.planned(call, self.nodes[inputs[0]].meta)
        return self._add(PlanNode(node.key, "run_udf", (inputs[0],), (footprint,), meta, op))


def compile_graph(
    graph: Graph, catalog: Catalog, udf: UdfRunner | None = None, files: UserFiles | None = None
) -> tuple[tuple[PlanNode, ...], tuple[Output, ...], tuple[SourceSummary, ...]]:
    """Plan nodes, outputs and sources of a graph; nothing but metadata is read.

    Args:
        graph: as it was parsed.
        catalog: where its collections are.
        udf: runner of user-defined functions.
        files: users' files that it may load; None: no uploaded files, no addresses of files.

    Raises:
        ProcessGraphError: one problem, or all of them in an `InvalidProcessGraph`.
        CatalogError: a collection is not there, or has nothing for the area and time.
        UdfError: a user-defined function refused the probe.
    """
    loader = Loader(graph, catalog, files)
    compiler = Compiler(graph, loader, Functions(udf), files or UserFiles())
    compiler.run()
    kept, renumbered = _prune(compiler.nodes, [o.node for o in compiler.outputs])
    outputs = tuple(replace(o, node=renumbered[o.node]) for o in compiler.outputs)
    return kept, outputs, loader.summaries(kept)


def _prune(nodes: list[PlanNode], wanted: list[int]) -> tuple[tuple[PlanNode, ...], dict[int, int]]:
    """The nodes that the outputs need, renumbered."""
    alive = set(wanted)
    for index in range(len(nodes) - 1, -1, -1):
        if index in alive:
            alive.update(nodes[index].inputs)
    order = sorted(alive)
    renumbered = {old: new for new, old in enumerate(order)}
    kept = tuple(
        PlanNode(n.key, n.process_id, tuple(renumbered[i] for i in n.inputs), n.footprints, n.meta, n.op)
        for n in (nodes[i] for i in order)
    )
    return kept, renumbered


def _located(error: ProcessGraphError, node: GraphNode) -> ProcessGraphError:
    if isinstance(error, InvalidProcessGraph):
        return error
    located = type(error).__new__(type(error))
    ProcessGraphError.__init__(
        located, f"Node {node.key!r} ({node.process_id}): {error.message}", hint=error.hint
    )
    return located


__all__ = ["Compiler", "Constant", "Grid", "compile_graph"]
