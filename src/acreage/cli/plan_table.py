"""A plan as tables for people."""

from __future__ import annotations

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from acreage.cli.inputs import expected_table
from acreage.engine.draw import shape_text
from acreage.engine.plan import Plan


def bytes_text(value: float) -> str:
    """A number of bytes as people say it."""
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if abs(value) < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def print_plan(plan: Plan, console: Console) -> None:
    """Sources, inputs, stages and the estimate."""
    console.print(Group(_sources(plan), expected_table(plan), _stages(plan), _estimate(plan)))
    for note in plan.notes:
        console.print(Text(f"note: {note}", style="yellow"))


def _sources(plan: Plan) -> Table:
    table = Table(title="Sources", title_justify="left")
    for name in ("node", "collection", "items", "time steps", "bands", "cube"):
        table.add_column(name, justify="right" if name in ("items", "time steps") else "left")
    for source in plan.sources:
        node = plan.nodes[source.node]
        table.add_row(
            node.key, source.collection, str(len(source.items)), str(source.steps), " ".join(source.bands),
            shape_text(node.meta).replace("\n", ", "),
        )  # fmt: skip
    return table


def _stages(plan: Plan) -> Table:
    table = Table(title="Stages", title_justify="left")
    for name in ("stage", "makes", "operations", "windows", "largest", "result"):
        table.add_column(name, justify="right" if name in ("stage", "operations", "windows") else "left")
    for number, stage in enumerate(plan.stages, 1):
        boxes = [w for w in stage.windows if w is not None]
        largest = max(boxes, key=lambda b: b.size, default=None)
        window = "whole" if largest is None else f"{largest.width} x {largest.height}"
        keys = ", ".join(plan.nodes[t].key for t in stage.targets)
        shape = shape_text(plan.nodes[stage.targets[0]].meta).replace("\n", ", ")
        table.add_row(str(number), keys, str(len(stage.nodes)), str(len(stage.windows)), window, shape)
    return table


def _estimate(plan: Plan) -> Table:
    e = plan.estimate
    table = Table(title="Estimate", title_justify="left", show_header=False)
    expected = [e for e in plan.expected if e.state == "expected"]
    table.add_row(
        "inputs", f"{len({e.key[:2] for e in expected}):,} items, {len({e.href for e in expected}):,} files"
    )
    table.add_row("windows", f"{e.windows}, {plan.threads} at once")
    table.add_row("source pixels", f"{e.source_pixels:,}")
    table.add_row("decoded", f"{bytes_text(e.decoded_bytes)}, {e.amplification:.2f} times the blocks needed")
    table.add_row("memory", bytes_text(e.memory_bytes))
    table.add_row("scratch disk", bytes_text(e.scratch_bytes))
    table.add_row("core-seconds", f"{e.core_seconds:.1f}")
    return table
