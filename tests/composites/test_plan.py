"""What a plan says of streaming composites: what fired, why others did not, and what is decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.composites.graphs import Graph, callback, composite, of
from tests.composites.test_equality import fires, planned
from tests.support.engine_runs import assert_same_cube, cubes_of
from tests.support.tiny_archive import node

from acreage.catalog.items import Catalog
from acreage.core.errors import InvalidInput
from acreage.engine.planner import REWRITES

NAME = "streaming-composite"


def notes(graph: Graph, catalog: Catalog) -> str:
    return " ".join(n for n in planned(graph, catalog).notes if n.startswith(NAME))


def test_every_needed_block_is_decoded_once_in_one_window(catalog: Catalog) -> None:
    plan = planned(composite(("dilated", "cover")), catalog, threads=1)
    assert plan.estimate.amplification == pytest.approx(1.0)
    assert "'made' from SENTINEL2_L2A, 6 periods, 2 masks read first" in " ".join(plan.notes)


def test_it_can_be_switched_off_by_name_and_gives_the_same(catalog: Catalog) -> None:
    graph = composite(("eq",), interpolate=True)
    off = planned(graph, catalog, without=[NAME])
    assert not fires(off)
    for key, cube in cubes_of(off).items():
        assert_same_cube(cube, cubes_of(planned(graph, catalog))[key])


def test_an_unknown_rewrite_is_refused_with_the_names_there_are(catalog: Catalog) -> None:
    with pytest.raises(InvalidInput, match="no rewrite 'fast'") as caught:
        planned(composite(()), catalog, without=["fast"])
    assert all(name in caught.value.hint for name in REWRITES)


def _with(graph: Graph, key: str, new: dict[str, Any], user: str = "made") -> Graph:
    """The graph with a node put before `user`'s data."""
    before = graph[user]["arguments"]["data"]
    new["arguments"]["data"] = before
    changed = {**graph, key: new}
    changed[user] = {**graph[user], "arguments": {**graph[user]["arguments"], "data": {"from_node": key}}}
    return changed


def _replaced() -> Graph:
    graph = composite(("eq",))
    graph["m0"]["arguments"]["replacement"] = 0
    return graph


def _scaled() -> Graph:
    return _with(composite(("eq",)), "scaled", node("apply", process=callback("divide", x=of("x"), y=2)))


def _resampled() -> Graph:
    return _with(composite(("eq",)), "coarse", node("resample_spatial", resolution=20, projection=3035))


def _along_dates() -> Graph:
    graph = composite(("eq",))
    graph["later"] = node(
        "apply_dimension",
        data="@eq",
        dimension="t",
        process=callback("array_concat", array1=of("data"), array2=[]),
    )
    graph["m0"]["arguments"]["mask"] = {"from_node": "later"}
    return graph


def _overlapping() -> Graph:
    graph = composite(("eq",))
    graph["made"] = node(
        "aggregate_temporal",
        data="@m0",
        intervals=[["2019-03-01", "2019-04-01"], ["2019-03-05", "2019-05-01"]],
        reducer=callback("median", data=of("data")),
    )
    return graph


def _mask_a_band() -> Graph:
    graph = composite(("eq",))
    graph["m0"]["arguments"]["mask"] = {"from_node": "wide"}
    graph["wide"] = node("apply", data="@s2_on", process=callback("gt", x=of("x"), y=2000))
    return graph


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_replaced, "'m0' replaces masked values by 0, not by null"),
        (_scaled, "'scaled' (apply) lies between the load and the aggregation"),
        (_resampled, "'coarse' (resample_spatial) lies between the load and the aggregation"),
        (_along_dates, "'later' (apply_dimension), which works along the dates"),
        (_overlapping, "its intervals overlap"),
        (_mask_a_band, "has a value for each of 2 bands"),
    ],
)
def test_the_plan_says_why_it_did_not_fire(catalog: Catalog, make: Callable[[], Graph], reason: str) -> None:
    graph = make()
    assert reason in notes(graph, catalog)
    assert not fires(planned(graph, catalog))
