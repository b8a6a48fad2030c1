"""Filters that leave nothing: openEO has them give a data cube without pixels or bands.

Such a cube may be what a graph ends in. Nothing is computed of it and no file made, since it is nearly always
an area in the wrong coordinates, or a misspelt band.
"""

from __future__ import annotations

from collections.abc import Sequence

from acreage.core.errors import ProcessParameterInvalid
from acreage.engine.ops import ProcessOp
from acreage.engine.plan import Plan, PlanNode

_BY_AREA = frozenset({"filter_bbox", "filter_spatial"})


def check_left(nodes: Sequence[PlanNode], index: int) -> None:
    """Refuse to go on with a node that a filter left without pixels or bands.

    Raises:
        ProcessParameterInvalid: says what there was to filter.
    """
    node = nodes[index]
    if node.process_id in _BY_AREA and node.meta.box is not None and node.meta.box.is_empty:
        had = nodes[node.inputs[0]].meta.box
        covers = ""
        if had is not None:
            covers = f", which covers {', '.join(f'{v:.6g}' for v in had.bounds)} in {had.grid.crs}"
        raise ProcessParameterInvalid(
            f"{node.process_id} in node {node.key!r} leaves no pixel centre of the data cube{covers}.",
            hint="Check its coordinates (longitude first) and their `crs`.",
        )
    bands = node.meta.find("bands")
    if node.process_id == "filter_bands" and bands is not None and not bands.labels:
        had_bands = nodes[node.inputs[0]].meta.find("bands")
        shown = ", ".join(map(str, had_bands.labels)) if had_bands is not None else "none"
        asked = node.op.arguments["bands"] if isinstance(node.op, ProcessOp) else ()
        raise ProcessParameterInvalid(
            f"filter_bands in node {node.key!r} leaves no band: the data cube has none of "
            f"{', '.join(map(str, asked))}; it has {shown}.",
            hint="Ask for one of these, or for a common name such as red.",
        )


def check_written(plan: Plan) -> None:
    """Refuse to run a plan that ends in what a filter left without pixels or bands.

    Raises:
        ProcessParameterInvalid: as `check_left`.
    """
    for output in plan.outputs:
        check_left(plan.nodes, output.node)
