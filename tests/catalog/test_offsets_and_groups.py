"""Offsets of digital numbers, mosaic groups and superseded processings, on made-up items."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.catalog_items import parsed, stac_item

from acreage.catalog.grouping import drop_superseded, group_of, rank_of, solar_day
from acreage.catalog.sentinel2 import Contradiction, datatake, dn_offset
from acreage.catalog.stac import StacItem, asset_facts

RULE = "solar-day-datatake"


def offset_of(applied: bool | None, baseline: str | None, stated: float | None) -> int:
    band: dict[str, Any] = {"scale": 0.0001} | ({} if stated is None else {"offset": stated})
    properties: dict[str, Any] = {"s2:processing_baseline": baseline}
    if applied is not None:
        properties["earthsearch:boa_offset_applied"] = applied
    item = parsed("X", assets={"blue": {"href": "b.tif", "raster:bands": [band]}}, **properties)
    return dn_offset(item, asset_facts(item, item.assets["blue"]), 0.0001)


@pytest.mark.parametrize(
    ("applied", "baseline", "stated", "expected"),
    [
        (True, "05.09", -0.1, 0),  # Earth Search: metadata of the product, pixels corrected
        (True, None, 0, 0),
        (True, None, None, 0),
        (False, "04.00", -0.1, -1000),
        (False, "03.01", 0, 0),
        (False, "04.00", None, -1000),
        (None, "05.00", -0.1, -1000),
        (None, "05.00", None, -1000),
        (None, "02.12", None, 0),
        (None, "03.99", 0, 0),
        (None, None, -0.1, -1000),
        (None, None, 0, 0),
    ],
)
def test_the_offset_follows_from_what_is_stated(
    applied: bool | None, baseline: str | None, stated: float | None, expected: int
) -> None:
    assert offset_of(applied, baseline, stated) == expected


@pytest.mark.parametrize(
    ("applied", "baseline", "stated", "reason"),
    [
        (None, "04.00", 0, "04.00 means an offset of -1000 DN, but 0 is stated"),
        (False, "04.00", 0, "-1000 DN, but 0"),
        (None, "03.01", -0.1, "03.01 means an offset of 0 DN, but -1000 is stated"),
        (None, None, None, "neither"),
        (False, None, None, "neither"),
        (None, "04.00", -0.05, "neither 0 nor -1000"),
    ],
)
def test_an_offset_is_never_guessed(
    applied: bool | None, baseline: str | None, stated: float | None, reason: str
) -> None:
    with pytest.raises(Contradiction, match=reason):
        offset_of(applied, baseline, stated)


@pytest.mark.parametrize("kept", [None, False])
def test_a_baseline_that_means_another_offset_than_the_one_in_the_name_is_refused(kept: bool | None) -> None:
    name = {"s2:product_uri": "S2A_MSIL2A_20230818T100031_N0400_R122_T33TWM_20230818T143300.SAFE"}
    stated = {"s2:processing_baseline": "02.12", "earthsearch:boa_offset_applied": kept}
    facts = asset_facts(parsed("X"), {})
    with pytest.raises(Contradiction, match=r"baseline 02\.12 is stated, but its name says 04\.00"):
        dn_offset(parsed("X", **name, **stated), facts, 0.0001)
    assert dn_offset(parsed("X", **name, **{"s2:processing_baseline": "05.09"}), facts, 0.0001) == -1000
    assert (
        dn_offset(parsed("X", **name, **{**stated, "earthsearch:boa_offset_applied": True}), facts, 0.0001)
        == 0
    )


@pytest.mark.parametrize(
    "properties",
    [
        {"s2:datatake_id": "GS2A_20230818T100031_042590_N05.09"},
        {"eopf:datatake_id": "GS2A_20230818T100031_042590_N05.10"},
        {"s2:product_uri": "S2A_MSIL2A_20230818T100031_N0509_R122_T33TWM_20230818T143300.SAFE"},
        {"sentinel2:product_title": "S2A_MSIL2A_20230818T100031_N0500_R122_T33TWM_20230818T143300"},
    ],
)
def test_a_datatake_has_one_name_in_every_catalog_and_baseline(properties: dict[str, str]) -> None:
    assert datatake(parsed("X", **properties)) == "S2A_20230818T100031"
    assert datatake(parsed("S2A_MSIL2A_20230818T100031_R122_T33TWM_20230818T143300")) == "S2A_20230818T100031"


@pytest.mark.parametrize(
    ("longitude", "moment", "day"),
    [
        (4.0, "2019-08-01T10:50:00Z", "2019-08-01"),
        (175.0, "2019-07-31T22:20:00Z", "2019-08-01"),
        (-150.0, "2019-08-01T20:50:00Z", "2019-08-01"),
        (-170.0, "2019-08-01T00:10:00Z", "2019-07-31"),
    ],
)
def test_the_solar_day_goes_with_the_sun(longitude: float, moment: str, day: str) -> None:
    item = parsed("X", bbox=[longitude - 0.5, 0, longitude + 0.5, 1], datetime=moment)
    assert solar_day(item) == day


def test_a_bbox_over_the_antimeridian_lies_there() -> None:
    assert solar_day(parsed("X", bbox=[179.5, 0, -179.9, 1], datetime="2019-07-31T22:20:00Z")) == "2019-08-01"


def test_slices_of_one_radar_pass_are_one_group() -> None:
    first = parsed("S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13", platform="sentinel-1a")
    second = parsed("S1A_IW_GRDH_1SDV_20210809T174018_20210809T174043_039156_049F13", platform="sentinel-1a")
    stated = parsed("anything", platform="sentinel-1a", **{"sat:absolute_orbit": 39156})
    other = parsed("S1B_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13", platform="sentinel-1b")
    groups = [group_of(item, "absolute-orbit") for item in (first, second, stated, other)]
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_without_an_orbit_number_passes_are_told_apart_by_direction_and_day() -> None:
    def group(moment: str, state: str) -> str:
        return group_of(
            parsed("S1_x", datetime=moment, platform="s1", **{"sat:orbit_state": state}), "absolute-orbit"
        )

    morning, evening = group("2019-05-05T05:50:00Z", "descending"), group("2019-05-05T17:30:00Z", "ascending")
    assert len({morning, evening, group("2019-05-11T17:30:00Z", "ascending")}) == 3
    assert evening == group("2019-05-05T17:30:25Z", "ascending")


ACQUISITION = "GS2A_20200322T104021_024800_N02.14"


def version(identifier: str, baseline: str, **changes: Any) -> StacItem:
    fields: dict[str, Any] = {
        "s2:processing_baseline": baseline,
        "s2:datatake_id": ACQUISITION,
        "datetime": "2020-03-22T10:46:09.024Z",
    }
    return parsed(identifier, **(fields | changes))


def test_the_newest_processing_of_an_acquisition_replaces_the_others() -> None:
    old, new = version("old", "02.14"), version("new", "05.00", datetime="2020-03-22T10:46:09.500Z")
    assert drop_superseded([old, new], RULE) == ([new], ["old"])
    assert drop_superseded([new, old], RULE) == ([new], ["old"])


def test_of_one_baseline_the_later_made_wins() -> None:
    first = version("a", "05.00", **{"s2:generation_time": "2023-01-01T00:00:00Z"})
    later = version("b", "05.00", **{"s2:generation_time": "2023-06-01T00:00:00Z"})
    assert drop_superseded([first, later], RULE) == ([later], ["a"])


@pytest.mark.parametrize(
    "changes",
    [
        {"grid:code": "MGRS-31UFS"},
        {"s2:datatake_id": "GS2B_20200322T104021_024800_N02.14"},
        {"datetime": "2020-03-22T10:48:30Z"},
        {"s2:datastrip_id": "S2A_OPER_MSI_L2A_DS_SGS__20200322T135643_S20200322T104400_N02.14"},
    ],
    ids=["granule", "datatake", "time", "datastrip"],
)
def test_what_is_another_acquisition_is_kept(changes: dict[str, str]) -> None:
    base = {"s2:datastrip_id": "S2A_OPER_MSI_L2A_DS_SGS__20200322T135643_S20200322T104609_N02.14"}
    pair = [version("a", "02.14", **base), version("b", "05.00", **(base | changes))]
    assert drop_superseded(pair, RULE) == (pair, [])


def test_only_optical_acquisitions_are_superseded() -> None:
    pair = [version("a", "02.14"), version("b", "05.00")]
    for rule in ("absolute-orbit", "static", "item"):
        assert drop_superseded(pair, rule) == (pair, [])  # type: ignore[arg-type]


@st.composite
def archives(draw: st.DrawFn) -> list[StacItem]:
    """Up to twenty processings of a few granules of a few datatakes, in any order."""
    items = []
    for number in range(draw(st.integers(0, 20))):
        start = datetime(2020, 3, 22, 10, 40, 21, tzinfo=UTC) + timedelta(days=draw(st.integers(0, 2)) * 5)
        granule = draw(st.sampled_from(["31UES", "31UFS", "32ULB"]))
        baseline = draw(st.sampled_from(["02.14", "04.00", "05.00"]))
        orbit = f"{24800 + (start.day - 22):06d}"
        items.append(
            parsed(
                f"item-{number:02d}",
                **{
                    "s2:datatake_id": f"GS2A_{start:%Y%m%dT%H%M%S}_{orbit}_N{baseline}",
                    "s2:processing_baseline": baseline,
                    "grid:code": f"MGRS-{granule}",
                    "datetime": f"{start + timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}",
                },
            )
        )
    return draw(st.permutations(items))


@given(archives())
def test_exactly_one_processing_of_each_acquisition_is_kept(items: list[StacItem]) -> None:
    kept, superseded = drop_superseded(items, "solar-day-datatake")
    assert sorted([i.id for i in kept] + superseded) == sorted(i.id for i in items)

    def key(item: StacItem) -> tuple[str, str]:
        return group_of(item, "solar-day-datatake"), item.properties["grid:code"]

    assert sorted(map(key, kept)) == sorted(set(map(key, items)))
    for winner in kept:
        rivals = [i for i in items if key(i) == key(winner)]
        assert winner.properties["s2:processing_baseline"] == max(
            i.properties["s2:processing_baseline"] for i in rivals
        )
        assert all(rank_of(winner) <= rank_of(i) for i in rivals)


@given(archives(), st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order_of_the_answer(items: list[StacItem], random: Any) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)
    kept, superseded = drop_superseded(items, "solar-day-datatake")
    again, superseded_again = drop_superseded(shuffled, "solar-day-datatake")
    assert {i.id for i in kept} == {i.id for i in again}
    assert superseded == superseded_again


def test_made_up_items_are_what_the_helpers_say() -> None:
    assert stac_item("X", datetime="2020-01-01T00:00:00Z")["properties"]["datetime"].startswith("2020")
