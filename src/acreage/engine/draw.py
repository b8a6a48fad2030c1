"""A picture of a process graph or of its plan: SVG by Graphviz."""

from __future__ import annotations

from pathlib import Path

import graphviz

from acreage.core.cube import CubeMeta
from acreage.core.errors import InvalidInput, WriteFailed
from acreage.engine.plan import Plan
from acreage.engine.sources import SourceOp

_COLOURS = {"source": "#d9ead3", "udf": "#fce5cd", "process": "#eef3f8", "output": "#d0e0f0"}


def draw_plan(plan: Plan, path: Path) -> None:
    """Write the plan as SVG: nodes with the shape of their cubes, stages as frames, outputs as files.

    Raises:
        InvalidInput: the path does not end in .svg, or Graphviz is not installed.
        WriteFailed: the file cannot be written.
    """
    if path.suffix.lower() != ".svg":
        raise InvalidInput(f"{path.name} is not an SVG file name.", hint="Name it with .svg.")
    try:
        data = to_dot(plan).pipe(format="svg")
    except graphviz.ExecutableNotFound as error:
        raise InvalidInput(
            "Graphviz is needed to draw a graph, and its program `dot` is not installed.",
            hint="Install it, for example with `apt-get install graphviz`.",
        ) from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise WriteFailed(f"{path} cannot be written: {error.strerror}.") from error


def to_dot(plan: Plan) -> graphviz.Digraph:
    """The plan in Graphviz's language."""
    dot = graphviz.Digraph(
        graph_attr={"rankdir": "TB", "fontname": "Helvetica", "nodesep": "0.3", "ranksep": "0.35"},
        node_attr={"shape": "box", "style": "rounded,filled", "fontname": "Helvetica", "fontsize": "10"},
        edge_attr={"fontname": "Helvetica", "fontsize": "8", "color": "#666666"},
    )
    items = {s.node: len(s.items) for s in plan.sources}
    targets = {t for s in plan.stages for t in s.targets}
    for index, node in enumerate(plan.nodes):
        kind = (
            "source"
            if isinstance(node.op, SourceOp)
            else "udf"
            if node.process_id == "run_udf"
            else "process"
        )
        lines = [node.process_id, node.key] if node.process_id not in node.key else [node.key]
        if isinstance(node.op, SourceOp):
            lines.append(f"{node.op.collection}, {items.get(index, 0)} items")
        lines.append(shape_text(node.meta))
        dot.node(
            str(index), "\n".join(lines), fillcolor=_COLOURS[kind], penwidth="2" if index in targets else "1"
        )
        for source in node.inputs:
            dot.edge(str(source), str(index))
    for number, output in enumerate(plan.outputs):
        name = f"out{number}"
        dot.node(name, output.format or "result", shape="note", fillcolor=_COLOURS["output"])
        dot.edge(str(output.node), name)
    return dot


def shape_text(meta: CubeMeta) -> str:
    """`t 24, bands 13, y 64, x 64 float32`."""
    sizes = ", ".join(f"{n} {k}" for n, k in zip(meta.names, meta.shape, strict=True))
    grid = "" if meta.box is None else f"\n{_crs(meta.grid.crs)} {meta.grid.res_x:g}"
    return f"{sizes} {meta.dtype}{grid}"


def _crs(name: str) -> str:
    return name if len(name) <= 12 else name[:12] + "..."
