"""Each fault injected: what it is called, who finds it, and that nothing of its item is in the result."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.breakable_archive import AREA, BANDS, GRAPH, ITEMS, MARCH, S2, Archive, along_x, over_time
from tests.support.engine_runs import assert_same_cube, settled
from tests.support.faults import FAULTS, FileFault, break_block, cut_tail, html
from tests.support.tiny_archive import chain, load, node

from acreage.core.errors import ItemUnreadable, OutputExists, WriteFailed
from acreage.core.inputs import Inputs
from acreage.engine import sources
from acreage.engine.inspection import inspect_items
from acreage.engine.readers import close_readers
from acreage.engine.run import run_plan
from acreage.engine.tolerance import TooManyFailures

MERGED = {
    "red": load(["B04"], AREA, MARCH),
    "scl": load(["SCL"], AREA, MARCH),
    "fine": node("resample_cube_spatial", data="@scl", target="@red"),
    "both": node("merge_cubes", cube1="@red", cube2="@fine"),
    "out": {**over_time("median"), "result": True},
}
MERGED["out"]["arguments"]["data"] = {"from_node": "both"}
PARCELS = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "properties": {},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x, y], [x + d, y], [x + d, y + d], [x, y + d], [x, y]]],
            },
        }
        for x, y, d in ((3.0005, 50.545, 0.001), (3.004, 50.546, 0.002), (3.0100, 50.5475, 0.003))
    ],
}
INNER = {"r": {**node("mean", data={"from_parameter": "data"}), "result": True}}
GRAPHS = {
    "reduced": GRAPH,
    "two loads": MERGED,
    "two stages": chain(load(["B04"], AREA, MARCH), over_time(), along_x()),
    "parcels": chain(
        load(["B04", "B05"], AREA, MARCH),
        over_time("max"),
        node("aggregate_spatial", geometries=PARCELS, reducer={"process_graph": INNER}),
    ),
}


PLACES = [(item, band) for item in ITEMS for band in BANDS]
UNSEEN = ("cut tail", "all zero")  # by the search, which looks at headers


def fates(inputs: Inputs, item: str) -> dict[str, str]:
    return {a.band: a.kind or a.fate for a in inputs.assets if a.item == item}


def last(graph: dict[str, Any]) -> str:
    return next(key for key, step in graph.items() if step.get("result"))


def never_listed(archive: Archive, graph: dict[str, Any], items: tuple[str, ...], **options: Any) -> Any:
    archive.mend()
    cubes, result = settled(archive.plan(graph, without=items, **options))
    assert result.failures == ()
    return cubes[last(graph)]


# --- the fault table ---


CASES = [
    (fault, found_by)
    for fault in FAULTS
    for found_by in ("search", "inspection", "windows")
    if fault.when_read is not None or found_by != "windows"  # only an inspection sees what can be read
]


@pytest.mark.parametrize(("fault", "found_by"), CASES, ids=[f"{f.name}, {by}" for f, by in CASES])
def test_every_fault_is_named_counted_and_its_item_is_left_out_whole(
    archive: Archive, fault: FileFault, found_by: str
) -> None:
    path = archive.file("west1", "B04")
    if found_by == "search":
        fault.inject(path)
    plan = archive.plan(GRAPH)
    if found_by != "search":
        fault.inject(path)
    inspect = None if found_by == "windows" else inspect_items
    with pytest.raises(ItemUnreadable, match=r"1 items could not be read \(0 tolerated\)") as caught:
        settled(plan, inspect=inspect)
    kind = fault.when_read if found_by == "windows" else fault.kind
    assert isinstance(caught.value, TooManyFailures)
    assert {(a.item, a.band, a.kind) for a in caught.value.failed} == {("west1", "B04", kind)}
    assert f"1 {kind}" in caught.value.message
    assert "west1" in caught.value.message
    cubes, result = settled(plan, inspect=inspect, tolerance=1)
    told = fates(result.inputs, "west1")
    assert told == {"B04": kind, "B05": "with-item", "SCL": "with-item"}
    assert all(reason for *_, reason in result.failures)
    assert {i.id for i in result.items_read} == set(ITEMS) - {"west1"}
    assert_same_cube(cubes["n1"], never_listed(archive, GRAPH, ("west1",)))


@pytest.mark.parametrize("bands", [BANDS, ("SCL",)], ids=["all bands", "the reference band"])
def test_an_item_with_several_broken_bands_counts_once(archive: Archive, bands: tuple[str, ...]) -> None:
    plan = archive.plan(GRAPH)
    for band in bands:
        html(archive.file("east0", band))
    cubes, result = settled(plan, tolerance=1)
    assert {a.band for a in result.inputs.failed} == set(bands)
    assert result.inputs.counts()[S2]["items"] == {"expected": 6, "read": 5, "skipped": 0, "failed": 1}
    assert_same_cube(cubes["n1"], never_listed(archive, GRAPH, ("east0",)))


def test_two_items_of_one_id_are_both_out(archive: Archive) -> None:
    """Which of them is meant nobody can say, so neither is in any band or window."""
    folder = archive.folder / "sentinel-2-l2a"
    other = json.loads((folder / "west1" / "west1.json").read_text())
    other["assets"] = json.loads((folder / "west2" / "west2.json").read_text())["assets"]
    (folder / "west2" / "other.json").write_text(json.dumps(other))
    listed = json.loads((folder / "collection.json").read_text())
    listed["links"].append({"rel": "item", "href": "./west2/other.json"})
    (folder / "collection.json").write_text(json.dumps(listed))
    plan = archive.plan(GRAPH)
    with pytest.raises(TooManyFailures, match="1 duplicate-id"):
        settled(plan)
    cubes, result = settled(plan, tolerance=1)
    assert fates(result.inputs, "west1") == {
        "": "duplicate-id", "B04": "with-item", "B05": "with-item", "SCL": "with-item",
    }  # fmt: skip
    assert_same_cube(cubes["n1"], never_listed(archive, GRAPH, ("west1",)))


def test_a_file_that_turns_bad_between_windows_is_in_none_of_them(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = archive.plan(GRAPH, window=16)
    path, calls, inner = archive.file("west0", "B05"), [], sources.read_raster

    def read(raster: Any, box: Any, item: str, band: str) -> Any:
        if (item, band) == ("west0", "B05"):
            calls.append(box)
            if len(calls) == 4:
                html(path)
            close_readers()
        return inner(raster, box, item, band)

    monkeypatch.setattr(sources, "read_raster", read)
    cubes, result = settled(plan, tolerance=1)
    assert len(calls) > 4
    assert fates(result.inputs, "west0") == {"B04": "with-item", "B05": "not-an-image", "SCL": "with-item"}
    assert_same_cube(cubes["n1"], never_listed(archive, GRAPH, ("west0",), window=16))


def test_an_item_hidden_by_one_that_fails_is_read_in_its_place_and_may_fail_too(archive: Archive) -> None:
    plan = archive.plan(GRAPH)
    order = [i.id for i in plan.sources[0].items if i.id.endswith("0")]
    break_block(archive.file(order[0], "B04"), 1 if order[0] == "west0" else 0)
    cut_tail(archive.file(order[1], "SCL"))
    with pytest.raises(TooManyFailures):
        settled(plan, tolerance=1)
    cubes, result = settled(plan, tolerance=2)
    assert {i.item for i in result.inputs.items if i.fate == "failed"} == set(order)
    assert_same_cube(cubes["n1"], never_listed(archive, GRAPH, tuple(order)))


# --- nothing is lost, and windows do not matter ---


@pytest.fixture(scope="module")
def everything(_archive: Archive) -> Archive:
    """The archive, for a test that mends it after every example."""
    return _archive


@given(
    broken=st.dictionaries(
        st.sampled_from(ITEMS),
        st.dictionaries(st.sampled_from(BANDS), st.integers(0, 3), min_size=1, max_size=3),
        max_size=4,
    ),
    name=st.sampled_from(sorted(GRAPHS)),
    window=st.sampled_from([16, 24, 33, 96]),
    threads=st.sampled_from([1, 2]),
)
@settings(max_examples=14)
def test_random_faults_leave_what_a_run_without_their_items_gives(
    everything: Archive, broken: dict[str, dict[str, int]], name: str, window: int, threads: int
) -> None:
    graph = GRAPHS[name]
    try:
        plan = everything.plan(graph, window, threads)
        for item, bands in broken.items():
            for band, block in bands.items():
                break_block(everything.file(item, band), block)
        cubes, result = settled(plan, tolerance=len(broken))
        failed = {i.item for i in result.inputs.items if i.fate == "failed"}
        assert failed <= set(broken)
        # Exactly one fate each, and all of what was planned.
        assert [a.key for a in result.inputs.assets] == [e.key for e in plan.expected]
        counts = result.inputs.counts()[S2]["items"]
        assert counts["expected"] == counts["read"] + counts["skipped"] + counts["failed"] == len(ITEMS)
        if failed:
            with pytest.raises(TooManyFailures):
                settled(plan, tolerance=len(failed) - 1)
        if name in ("reduced", "two loads"):
            assert failed == {i for i, bands in broken.items() if _needed(graph, bands)}
        whole = never_listed(everything, graph, tuple(failed), window=96)
        assert_same_cube(cubes[last(graph)], whole)
    finally:
        everything.mend()


@given(
    before=st.dictionaries(st.sampled_from(PLACES), st.sampled_from(FAULTS), max_size=4),
    after=st.dictionaries(st.sampled_from(PLACES), st.sampled_from(FAULTS), max_size=4),
)
@settings(max_examples=8)
def test_random_kinds_of_faults_are_all_told_and_counted(
    everything: Archive, before: dict[tuple[str, str], FileFault], after: dict[tuple[str, str], FileFault]
) -> None:
    """Before the search and behind it, on any files: each is found, none is in the result."""
    after = {place: fault for place, fault in after.items() if place not in before}
    broken = {**before, **after}
    items = {item for item, _ in broken}
    try:
        for place, fault in before.items():
            fault.inject(everything.file(*place))
        plan = everything.plan(GRAPH)
        for place, fault in after.items():
            fault.inject(everything.file(*place))
        _, result = settled(plan, inspect=inspect_items, tolerance=len(items))
        told = {(a.item, a.band): a.kind for a in result.inputs.assets if a.fate == "failed"}
        # A file that the search could not use leaves its item out, whose other files nobody looks at then.
        lost_early = {item for (item, _), fault in before.items() if fault.name not in UNSEEN}
        assert {item for item, _ in told} == items
        for (item, band), fault in broken.items():
            if item not in lost_early or (fault.name not in UNSEEN and (item, band) in before):
                assert told[(item, band)] == fault.kind
        assert set(told) <= set(broken)
        counts = result.inputs.counts()[S2]
        assert sum(counts["failed"].values()) == counts["items"]["failed"] == len(items)
        assert {i.id for i in result.items_read} == set(ITEMS) - items
        if items:
            with pytest.raises(TooManyFailures, match=f"^{len(items)} items could not be read"):
                settled(plan, inspect=inspect_items, tolerance=len(items) - 1)
    finally:
        everything.mend()


def _needed(graph: dict[str, Any], bands: dict[str, int]) -> bool:
    read = {b for step in graph.values() for b in step["arguments"].get("bands", ())}
    return bool(read & set(bands))


def test_outputs_and_their_account_appear_together(archive: Archive, tmp_path: Path) -> None:
    html(archive.file("west2", "SCL"))
    result = run_plan(archive.plan(GRAPH), tmp_path / "cube.nc", tolerance=1)
    assert result.inputs_file == tmp_path / "cube.nc.inputs.json"
    account = json.loads(result.inputs_file.read_text())
    assert Inputs.from_dict(account) == result.inputs
    assert account["inspected"] is False
    assert account["collections"][S2]["failed"] == {"not-an-image": 1}
    again = run_plan(archive.plan(GRAPH), tmp_path / "folder", tolerance=1)
    assert again.inputs_file == tmp_path / "folder" / "inputs.json"


def test_a_file_of_the_accounts_name_is_not_replaced_unasked(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "inputs.json").write_text("somebody's own")
    with pytest.raises(OutputExists, match=r"inputs\.json"):
        run_plan(archive.plan(GRAPH), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["inputs.json"]
    run_plan(archive.plan(GRAPH), tmp_path, overwrite=True)
    assert json.loads((tmp_path / "inputs.json").read_text())["collections"]


def test_a_place_that_cannot_be_written_is_found_before_the_first_window(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: Any) -> Any:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    done: list[int] = []
    with pytest.raises(WriteFailed, match="Read-only file system"):
        run_plan(archive.plan(GRAPH), tmp_path / "new" / "cube.nc", progress=lambda n, _: done.append(n))
    assert done == []
    assert not (tmp_path / "new").exists()


def test_no_output_is_left_where_its_account_cannot_be_written(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = os.replace

    def full(source: Any, final: Any) -> None:
        if Path(final).name.endswith("inputs.json"):
            raise OSError(28, "No space left on device")
        inner(source, final)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WriteFailed, match="No space left"):
        run_plan(archive.plan(GRAPH), tmp_path / "cube.nc")
    assert list(tmp_path.iterdir()) == []
