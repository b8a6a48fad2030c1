"""Filters on item properties: spelled as any catalog does, pushed where safe, never silently empty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.catalog_items import stac_item, write_catalog
from tests.support.stac_api import StacApi, passes_cql2, stac_api

from acreage.catalog import Catalog, open_catalog
from acreage.catalog.items import SourceItem
from acreage.catalog.properties import facts, value_of
from acreage.catalog.query import as_cql2, as_query_extension, check_query, matches, pushable
from acreage.core.errors import InvalidInput, NoDataAvailable
from acreage.engine.compiler import compile_graph
from acreage.engine.parser import parse_graph
from acreage.engine.property_filters import as_query, passes
from acreage.processes.callback import Callback

S2 = "sentinel-2-l2a"
COLLECTION = {
    "type": "Collection", "id": S2, "stac_version": "1.1.0", "description": "", "license": "other",
    "links": [],
    "extent": {"spatial": {"bbox": [[4, 50, 5, 51]]},
               "temporal": {"interval": [["2022-01-01T00:00:00Z", None]]}},
}  # fmt: skip
QUERY = "https://api.stacspec.org/v1.0.0/item-search#query"
FILTER = (
    "https://api.stacspec.org/v1.0.0/item-search#filter",
    "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json",
)
VALUE = {"from_parameter": "value"}


def node(process: str, **arguments: Any) -> dict[str, Any]:
    """A process graph of one process on the value."""
    return {"process_graph": {"p": {"process_id": process, "arguments": arguments, "result": True}}}


def either(process: str, *conditions: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """`and` or `or` of conditions."""
    nodes = {f"n{k}": {"process_id": p, "arguments": a} for k, (p, a) in enumerate(conditions)}
    sides = {side: {"from_node": f"n{k}"} for k, side in enumerate(("x", "y"))}
    return {"process_graph": {**nodes, "r": {"process_id": process, "arguments": sides, "result": True}}}


def graph(properties: dict[str, Any]) -> dict[str, Any]:
    load = {
        "id": "SENTINEL2_L2A", "spatial_extent": {"west": 4.0, "south": 50.0, "east": 4.02, "north": 50.02},
        "temporal_extent": ["2022-01-01", "2023-01-01"], "bands": ["B02"], "properties": properties,
    }  # fmt: skip
    return {
        "load": {"process_id": "load_collection", "arguments": load},
        "save": {
            "process_id": "save_result", "result": True,
            "arguments": {"data": {"from_node": "load"}, "format": "netCDF"},
        },
    }  # fmt: skip


def condition(process_graph: dict[str, Any]) -> Callback:
    parsed = parse_graph(graph({"p": process_graph}))
    return next(n for n in parsed.nodes if n.process_id == "load_collection").arguments["properties"]["p"]


def item(number: int, **properties: Any) -> dict[str, Any]:
    made = stac_item(f"i{number}", datetime=f"2022-06-{number + 1:02d}T10:50:22Z", **properties)
    made["assets"]["blue"]["proj:transform"] = [10, 0, 570000, 0, -10, 5541000]
    made["assets"]["blue"]["proj:shape"] = [400, 400]
    return made


def server(*classes: str) -> StacApi:
    items = [
        item(
            n,
            **{
                "eo:cloud_cover": 10.0 * n,
                "sat:orbit_state": "descending" if n % 2 else "ascending",
                "sat:relative_orbit": 50 + n,
                "grid:code": "MGRS-31UES" if n < 3 else "MGRS-31UFS",
                "s2:datatake_id": f"GS2A_2022060{n + 1}T105022_03626{n}_N04.00",
            },
        )
        for n in range(6)
    ]
    return StacApi({S2: COLLECTION}, items, page=50, more_classes=classes)


def planned(catalog: Catalog, properties: dict[str, Any]) -> list[str]:
    _, _, sources = compile_graph(parse_graph(graph(properties)), catalog)
    return sorted(i.id for i in sources[0].items)


CASES = [
    ({"eo:cloud_cover": node("lte", x=VALUE, y=20)}, [0, 1, 2]),
    ({"cloudCover": node("lte", x=VALUE, y=20)}, [0, 1, 2]),
    ({"eo:cloud_cover": node("gt", x=20, y=VALUE)}, [0, 1]),
    ({"eo:cloud_cover": node("between", x=VALUE, min=10, max=30)}, [1, 2, 3]),
    ({"eo:cloud_cover": node("between", x=VALUE, min=10, max=30, exclude_max=True)}, [1, 2]),
    ({"sat:orbit_state": node("eq", x=VALUE, y="descending")}, [1, 3, 5]),
    ({"orbitDirection": node("eq", x=VALUE, y="DESCENDING")}, [1, 3, 5]),
    ({"orbitDirection": node("neq", x=VALUE, y="DESCENDING")}, [0, 2, 4]),
    ({"relativeOrbitNumber": node("array_contains", data=[50, 54], value=VALUE)}, [0, 4]),
    ({"tileId": node("eq", x=VALUE, y="31UFS")}, [3, 4, 5]),
    ({"s2:mgrs_tile": node("eq", x=VALUE, y="31UES")}, [0, 1, 2]),
    ({"mgrs:grid_square": node("eq", x=VALUE, y="FS")}, [3, 4, 5]),
    ({"mgrs:utm_zone": node("eq", x=VALUE, y=31)}, [0, 1, 2, 3, 4, 5]),
    (
        {"sat:relative_orbit": either("or", ("eq", {"x": VALUE, "y": 51}), ("gte", {"x": VALUE, "y": 54}))},
        [1, 4, 5],
    ),
    (
        {"sat:relative_orbit": either("and", ("gt", {"x": VALUE, "y": 51}), ("lt", {"x": VALUE, "y": 54}))},
        [2, 3],
    ),
    (
        {
            "tileId": node("eq", x=VALUE, y="31UES"),
            "eo:cloud_cover": node("lt", x=VALUE, y=20),
            "sat:orbit_state": node("eq", x=VALUE, y="ascending"),
        },
        [0],
    ),
]


@pytest.mark.parametrize("classes", [(), (QUERY,), FILTER], ids=["no filters", "query", "CQL2"])
def test_a_filter_leaves_the_same_items_whatever_the_api_can_filter(classes: tuple[str, ...]) -> None:
    with stac_api(server(*classes)) as api:
        catalog = open_catalog(api.address)
        for properties, expected in CASES:
            assert planned(catalog, properties) == [f"i{n}" for n in expected], properties


def test_what_all_processings_share_is_pushed_in_the_catalogs_own_spelling() -> None:
    with stac_api(server(QUERY)) as api:
        planned(open_catalog(api.address), {"tileId": node("eq", x=VALUE, y="31UFS")})
        assert api.searches[-1]["query"] == {"grid:code": {"eq": "MGRS-31UFS"}}
    with stac_api(server(*FILTER)) as api:
        planned(open_catalog(api.address), {"orbitDirection": node("eq", x=VALUE, y="ASCENDING")})
        prop = {"property": "sat:orbit_state"}
        assert api.searches[-1]["filter-lang"] == "cql2-json"
        assert api.searches[-1]["filter"] == {
            "op": "or",
            "args": [{"op": "=", "args": [prop, "ascending"]}, {"op": "isNull", "args": [prop]}],
        }


def test_an_old_processing_does_not_pass_in_place_of_a_newer_one_that_is_filtered_out() -> None:
    api = server(QUERY)
    shared = {
        "s2:datatake_id": "GS2A_20220601T105022_036260_N04.00",
        "s2:product_uri": "S2A_MSIL2A_20220601T105022_N0400_R051_T31UES_20220601T160000.SAFE",
        "eo:cloud_cover": 5.0,
    }
    old = item(0, **shared)
    new = item(0, **{**shared, "eo:cloud_cover": 50.0, "s2:processing_baseline": "05.00"})
    new["id"] = "i0-new"
    api.items[:] = [old, new, api.items[2]]
    with stac_api(api):
        catalog = open_catalog(api.address)
        assert planned(catalog, {"eo:cloud_cover": node("lte", x=VALUE, y=20)}) == ["i2"]
        assert "query" not in api.searches[-1]


def test_an_api_that_refuses_the_filter_is_asked_without_it() -> None:
    api = server(*FILTER)
    with stac_api(api):
        catalog = open_catalog(api.address)
        wanted = {"orbitDirection": node("eq", x=VALUE, y="ASCENDING")}
        catalog.describe("SENTINEL2_L2A")
        planned(catalog, wanted)  # the sample is read now, so that the next request is the search
        api.refusals.append((400, {}, '{"code": "BadRequest", "description": "isNull is not supported"}'))
        assert planned(catalog, wanted) == ["i0", "i2", "i4"]
        assert "filter" not in api.searches[-1]


def test_a_filter_on_a_property_that_no_item_has_names_those_there_are(tmp_path: Path) -> None:
    root = write_catalog(tmp_path, server().items)
    with pytest.raises(
        InvalidInput, match=r"filtered by 'eo:cloudcover', which none of its items has"
    ) as caught:
        planned(open_catalog(root), {"eo:cloudcover": node("lte", x=VALUE, y=20)})
    assert "eo:cloud_cover" in caught.value.hint
    with pytest.raises(InvalidInput, match="'view:azimuth'"):
        planned(open_catalog(root), {"view:azimuth": node("is_nan", x=VALUE)})


def test_a_filter_that_leaves_nothing_says_how_many_items_it_left_out(tmp_path: Path) -> None:
    root = write_catalog(tmp_path, server().items)
    with pytest.raises(NoDataAvailable, match="6 items are left out by the filters"):
        planned(open_catalog(root), {"eo:cloud_cover": node("gt", x=VALUE, y=99)})


@pytest.mark.parametrize(
    ("properties", "name", "expected"),
    [
        ({"grid:code": "MGRS-4QFJ"}, "tileId", "04QFJ"),
        ({"s2:mgrs_tile": "04QFJ"}, "grid:code", "MGRS-4QFJ"),
        ({"mgrs:utm_zone": 4, "mgrs:latitude_band": "Q", "mgrs:grid_square": "FJ"}, "grid:code", "MGRS-4QFJ"),
        ({"grid:code": "MGRS-33TWN"}, "mgrs:utm_zone", 33),
        ({"grid:code": "MGRS-33TWN"}, "mgrs:latitude_band", "T"),
        ({"sat:orbit_state": "ascending"}, "orbitDirection", "ASCENDING"),
        ({"orbitDirection": "DESCENDING"}, "sat:orbit_state", "descending"),
        ({"sat:relative_orbit": 79}, "relativeOrbitNumber", 79),
        ({"eo:cloud_cover": 12.5}, "cloudCover", 12.5),
        ({"platform": "sentinel-2a"}, "platform", "sentinel-2a"),
        ({"platform": "sentinel-2a"}, "tileId", None),
        ({"grid:code": "WRS2-1"}, "tileId", "WRS2-1"),
    ],
)
def test_a_property_is_found_under_other_catalogs_names(
    properties: dict[str, Any], name: str, expected: object
) -> None:
    assert value_of(properties, name) == expected


def test_real_items_have_tile_orbit_and_clouds_under_every_name(real_data: Path) -> None:
    folder = real_data / "s2-earthsearch" / "stac_items"
    item_ = json.loads((folder / "S2B_33TWN_20220226_0_L2A.json").read_text())["properties"]
    assert value_of(item_, "tileId") == value_of(item_, "s2:mgrs_tile") == "33TWN"
    assert value_of(item_, "cloudCover") == item_["eo:cloud_cover"]
    cdse = json.loads((real_data / "stac-items" / "cdse_s2_l2a_T55WFR_20260527_N0512.json").read_text())
    properties = cdse["features"][0]["properties"]
    assert value_of(properties, "tileId") == "55WFR"
    assert value_of(properties, "orbitDirection") == "DESCENDING"
    assert value_of(properties, "relativeOrbitNumber") == 17
    pc = json.loads((real_data / "stac-items" / "pc_s2_l2a_item_T06VVN.json").read_text())["properties"]
    assert value_of(pc, "grid:code") == "MGRS-6VVN"
    assert value_of(pc, "mgrs:utm_zone") == 6


def test_every_name_belongs_to_one_fact() -> None:
    names = [s.name for fact in set(facts().values()) for s in fact.spellings]
    assert len(names) == len(set(names)) == len(facts())


def test_filters_that_cannot_be_said_to_a_catalog_are_still_evaluated() -> None:
    begins = condition(node("text_begins", data=VALUE, pattern="MGRS-31"))
    assert as_query({"grid:code": begins}) == {}
    held = SourceItem(
        "i", "C", "", np.datetime64("2022-01-01"), (0, 0, 1, 1), "g", (), {}, {"tileId": "31UES"}
    )
    assert passes(held, {"grid:code": begins})
    assert as_query({"p": condition(node("eq", x=VALUE, y=3, delta=0.5))}) == {}
    half = either("and", ("gt", {"x": VALUE, "y": 1}), ("eq", {"x": VALUE, "y": 3, "delta": 0.5}))
    assert as_query({"p": condition(half)}) == {"p": {"gt": 1}}
    other = either("or", ("gt", {"x": VALUE, "y": 1}), ("eq", {"x": VALUE, "y": 3, "delta": 0.5}))
    assert as_query({"p": condition(other)}) == {}


NUMBERS = st.integers(-3, 3)
COMPARISONS = st.one_of(
    st.tuples(st.sampled_from(["eq", "neq", "lt", "lte", "gt", "gte"]), NUMBERS).map(lambda c: {c[0]: c[1]}),
    st.lists(NUMBERS, min_size=1, max_size=3).map(lambda v: {"in": v}),
    st.tuples(NUMBERS, NUMBERS).map(lambda v: {"between": sorted(v)}),
)
CONDITIONS = st.one_of(COMPARISONS, st.lists(COMPARISONS, min_size=1, max_size=3).map(lambda v: {"any": v}))


@settings(max_examples=120)
@given(CONDITIONS, st.one_of(st.none(), NUMBERS))
def test_what_is_told_to_a_catalog_never_lets_less_through(
    filters: dict[str, Any], value: int | None
) -> None:
    query = {"p": filters}
    check_query(query)
    properties = {} if value is None else {"p": value}
    if matches(properties, query):
        assert passes_cql2(properties, as_cql2(query))
        if value is not None:
            said = as_query_extension(query)
            assert matches(properties, said)
    if value is not None:
        assert matches(properties, query) == passes_cql2(properties, as_cql2(query))


def test_only_fixed_properties_are_pushed_where_processings_replace_each_other() -> None:
    query = {"tileId": {"eq": "31UES"}, "eo:cloud_cover": {"lte": 20}, "unknown": {"eq": 1}}
    known = {"s2:mgrs_tile": "31UFS", "eo:cloud_cover": 3}
    assert pushable(query, known, supersedes=True) == {"s2:mgrs_tile": {"eq": "31UES"}}
    assert pushable(query, known, supersedes=False) == {
        "s2:mgrs_tile": {"eq": "31UES"},
        "eo:cloud_cover": {"lte": 20},
    }
