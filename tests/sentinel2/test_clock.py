"""Items whose time contradicts their own names are named and counted, and not used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.catalog_items import WORLD, parsed, stac_item, write_catalog

from acreage.catalog import Search, open_catalog
from acreage.catalog.clock import LAUNCHES, clock_fault

NOW = np.datetime64("2024-01-01T00:00:00", "ms")
MONTH = (np.datetime64("2022-06-01", "ms"), np.datetime64("2022-07-01", "ms"))
PRODUCT = "S2A_MSIL2A_20220601T105022_N0400_R051_T31UES_20220601T170000"
DATATAKE = "GS2A_20220601T105022_036261_N04.00"


@pytest.mark.parametrize(
    ("identifier", "changes", "reason"),
    [
        ("S2A_31UES_20220601_0_L2A", {"datetime": "2022-06-02T10:57:00Z"}, "own name S2A_31UES_2022"),
        ("S2A_31UES_20220601_0_L2A", {"datetime": "2021-06-01T10:57:00Z"}, "own name"),
        (PRODUCT, {"datetime": "2022-06-01T22:57:00Z"}, "own name S2A_MSIL2A_20220601T105022"),
        ("x", {"s2:datatake_id": DATATAKE, "datetime": "2022-06-01T08:57:00Z"}, "own name GS2A_2022"),
        ("x", {"eopf:datatake_id": DATATAKE, "datetime": "2022-06-01T12:35:00Z"}, "own name GS2A_2022"),
        ("x", {"datetime": "2024-06-01T12:00:00Z"}, "lies in the future"),
        ("x", {"datetime": "2014-06-01T12:00:00Z"}, "before the launch of S2A on 2015-06-23"),
        ("x", {"datetime": "2016-06-01T12:00:00Z", "platform": "Sentinel-2B"}, "launch of S2B on 2017-03-07"),
        (
            "x",
            {"start_datetime": "2022-06-02T00:00:00Z", "end_datetime": "2022-06-01T00:00:00Z"},
            "end_datetime lies before its start_datetime",
        ),
        ("x", {"s2:generation_time": "2022-05-31T12:00:00Z"}, "after its s2:generation_time"),
        (
            "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13",
            {"datetime": "2021-08-10T17:40:00Z", "platform": "sentinel-1a"},
            "own name S1A_IW_GRDH",
        ),
    ],
)  # fmt: skip
def test_a_wrong_time_is_told(identifier: str, changes: dict[str, Any], reason: str) -> None:
    fault = clock_fault(parsed(identifier, **changes), NOW)
    assert fault is not None
    assert reason in fault


@pytest.mark.parametrize(
    ("identifier", "changes"),
    [
        # Real offsets from the datatake's start: -6 s to 12 minutes.
        ("x", {"s2:datatake_id": "GS2A_20161202T100402_007555_N00.01", "datetime": "2016-12-02T10:03:56Z"}),
        ("x", {"s2:datatake_id": DATATAKE, "datetime": "2022-06-01T11:02:31Z"}),
        # A datatake that goes on over midnight.
        ("x", {"s2:datatake_id": "GS2A_20220601T235022_036261_N04.00", "datetime": "2022-06-02T00:15:00Z"}),
        ("S2A_60HUD_20220601_0_L2A", {"datetime": "2022-06-02T00:15:00Z"}),
        # The date in this name is that of processing.
        ("S2A_OPER_MSI_L2A_TL_2APS_20230602T025701_A041483_T01WCR", {"datetime": "2023-06-01T00:07:24Z"}),
        ("anything", {"datetime": "2022-06-01T00:00:00Z", "platform": "my-drone"}),
    ],
)
def test_what_may_be_true_is_not_refused(identifier: str, changes: dict[str, Any]) -> None:
    assert clock_fault(parsed(identifier, **changes), NOW) is None


@pytest.mark.parametrize("name", ["s2-earthsearch/stac_items", "flanders-2019/catalog.json"])
def test_no_real_item_is_refused(real_data: Path, name: str) -> None:
    catalog = open_catalog(real_data / name)
    for collection in catalog.collections():
        found = catalog.search(collection, WORLD, bands=())
        assert [p for p in found.problems if p.kind == "clock"] == []


@given(st.integers(-10_000, 10_000))
def test_every_skew_of_more_than_a_datatake_is_found_and_none_within(minutes: int) -> None:
    start = np.datetime64("2022-06-01T10:50:22", "ms")
    moment = start + np.timedelta64(minutes, "m")
    fault = clock_fault(parsed("x", **{"s2:datatake_id": DATATAKE, "datetime": f"{moment}Z"}), NOW)
    assert (fault is None) == (-5 <= minutes <= 101)


def searched(folder: Path, *items: dict[str, Any]) -> Search:
    return open_catalog(write_catalog(folder, items)).search("SENTINEL2_L2A", WORLD, MONTH, bands=("B02",))


def test_a_skewed_item_is_a_problem_of_the_search_and_not_among_its_items(tmp_path: Path) -> None:
    good = stac_item("S2A_31UES_20220601_0_L2A")
    skewed = stac_item(
        "S2A_31UFS_20220601_0_L2A", **{"grid:code": "MGRS-31UFS", "datetime": "2022-06-12T10:50:22Z"}
    )
    found = searched(tmp_path, good, skewed)
    assert [i.id for i in found.items] == ["S2A_31UES_20220601_0_L2A"]
    (problem,) = found.problems
    assert (problem.item, problem.asset, problem.kind) == ("S2A_31UFS_20220601_0_L2A", "", "clock")


def test_an_item_that_its_wrong_time_hides_from_a_search_is_told_all_the_same(tmp_path: Path) -> None:
    hidden = stac_item("S2A_31UES_20220601_0_L2A", datetime="2019-06-01T10:50:22Z")
    elsewhere = stac_item("S2A_31UFS_20210601_0_L2A", datetime="2020-06-01T10:50:22Z")
    good = stac_item("S2A_31UET_20220605_0_L2A", datetime="2022-06-05T10:50:22Z")
    found = searched(tmp_path, good, hidden, elsewhere)
    assert [i.id for i in found.items] == ["S2A_31UET_20220605_0_L2A"]
    assert [(p.item, p.kind) for p in found.problems] == [("S2A_31UES_20220601_0_L2A", "clock")]


def test_launches_are_known_for_every_satellite_that_flies() -> None:
    assert set(LAUNCHES) == {"S1A", "S1B", "S1C", "S1D", "S2A", "S2B", "S2C"}
