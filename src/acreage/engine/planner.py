"""From a parsed graph to a plan."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from acreage.catalog.items import Catalog
from acreage.core.errors import InvalidInput
from acreage.core.udf import UdfRunner
from acreage.engine.budget import Budget
from acreage.engine.compiler import compile_graph
from acreage.engine.completeness import expectations, inspections
from acreage.engine.composites.find import REWRITE as COMPOSITE
from acreage.engine.composites.find import Found, find_composites
from acreage.engine.demand import demanded, needed_by
from acreage.engine.estimate import estimate
from acreage.engine.graph import Graph
from acreage.engine.joins import REWRITE as JOIN
from acreage.engine.joins import join_merges
from acreage.engine.ops import UdfOp
from acreage.engine.plan import Plan, SourceSummary
from acreage.engine.quarantine import NOTHING, QuarantineList
from acreage.engine.stages import cut_stages
from acreage.engine.user_files import UserFiles

REWRITES = (COMPOSITE, JOIN)
"""Names of what a plan may compute in another order than its graph says, with the same result."""
_NAMED = 12  # absent tiles that a note names


def make_plan(
    graph: Graph,
    catalog: Catalog,
    budget: Budget,
    udf: UdfRunner | None = None,
    quarantined: QuarantineList = NOTHING,
    without: Collection[str] = (),
    files: UserFiles | None = None,
) -> Plan:
    """Plan a graph on metadata alone (a UDF is asked once, with a window of nulls).

    Args:
        graph: as `parse_graph` gives it.
        catalog: where its collections are.
        budget: memory and threads; its `udf` is what a UDF will take beyond what its process has when tried.
        udf: runner of user-defined functions; needed where the graph has one.
        quarantined: products that no job uses.
        without: names of rewrites that are not to be used (`REWRITES`).
        files: users' files that the graph may load.

    Raises:
        InvalidInput: there is no such rewrite.
        ProcessGraphError: the graph cannot be run.
        CatalogError: a collection is missing or has nothing to load.
        UdfError: a UDF refused the probe.
        MemoryBudgetExceeded: no window size fits the budget.
    """
    check_rewrites(without)
    nodes, outputs, sources = compile_graph(graph, catalog, udf, files)
    targets = [o.node for o in outputs]
    if udf is not None and any(isinstance(n.op, UdfOp) for n in nodes):
        budget = replace(budget, udf=budget.udf + udf.resident_bytes())
    found = Found()
    joins: tuple[str, ...] = ()
    if COMPOSITE not in without:
        found = find_composites(nodes, needed_by(nodes, targets))
    if JOIN not in without:
        nodes, joins = join_merges(nodes, needed_by(nodes, targets), targets)
    stages = cut_stages(nodes, targets, budget, found.composites)
    expected = expectations(nodes, sources, quarantined)
    return Plan(
        nodes=nodes,
        stages=stages,
        outputs=outputs,
        sources=sources,
        estimate=estimate(nodes, stages, budget),
        threads=budget.threads,
        notes=tuple(
            dict.fromkeys((*found.notes, *joins, *(n for source in sources for n in _notes(source))))
        ),
        expected=expected,
        inspections=inspections(nodes, sources, expected, demanded(nodes, targets)),
    )


def check_rewrites(names: Collection[str]) -> None:
    """Refuse names that are no rewrites.

    Raises:
        InvalidInput: with the names that there are.
    """
    if unknown := sorted(set(names) - set(REWRITES)):
        raise InvalidInput(
            f"There is no rewrite {', '.join(map(repr, unknown))}.", hint=f"There are {', '.join(REWRITES)}."
        )


def _notes(source: SourceSummary) -> list[str]:
    notes = [*source.notes]
    if source.absent:
        named = ", ".join(source.absent[:_NAMED])
        more = f" and {len(source.absent) - _NAMED} more" if len(source.absent) > _NAMED else ""
        notes.append(
            f"{source.collection}: no tile for {named}{more} (only sea, or not published); null there"
        )
    if source.problems:
        first = source.problems[0]
        notes.append(
            f"{source.collection}: {len(source.problems)} problems with items, the first: "
            f"{first.item} {first.asset} {first.reason}"
        )
    if source.superseded:
        notes.append(
            f"{source.collection}: {len(source.superseded)} items left out, superseded by newer processing"
        )
    return notes
