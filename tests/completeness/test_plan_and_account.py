"""What a plan says of its inputs, what an inspection remembers, and the invariant."""

from __future__ import annotations

import csv
import json
import os
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from click.testing import Result
from tests.support.breakable_archive import AREA, BANDS, DAYS, GRAPH, ITEMS, MARCH, S2, Archive, over_time
from tests.support.engine_runs import settled
from tests.support.faults import cut_tail, html
from tests.support.tiny_archive import WEST, Layer, chain, extent, load, node
from typer.testing import CliRunner

from acreage.catalog.items import Bounds, ItemProblem, SourceItem
from acreage.cli.main import app
from acreage.core.inputs import SKIPS, Inputs
from acreage.engine.completeness import InputsUnaccounted, account
from acreage.engine.inspected import RememberedInspection
from acreage.engine.inspection import inspect_items
from acreage.engine.plan import Fault, Plan
from acreage.engine.quarantine import Quarantine

RESOLUTIONS = {"B04": 10, "B05": 20}
CLEAR = {"c": {**node("lt", x={"from_parameter": "value"}, y=15), "result": True}}


def states(plan: Plan) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for e in plan.expected:
        found.setdefault(e.kind or e.state, set()).add(e.item)
    return found


# --- plans ---


def test_a_plan_lists_every_band_that_a_load_or_its_mosaic_may_read(archive: Archive) -> None:
    plan = archive.plan(chain(load(["B04"], AREA, MARCH)))
    assert {e.key for e in plan.expected} == {(S2, item, band) for item in ITEMS for band in ("B04", "SCL")}
    assert all(Path(e.href).is_file() and Path(e.item_href).is_file() for e in plan.expected)
    assert pickle.loads(pickle.dumps(plan)).expected == plan.expected
    alone = archive.plan(chain(load(["B04"], extent(20, 20), MARCH)))
    assert {e.key for e in alone.expected if e.state == "expected"} == {
        (S2, f"west{n}", "B04") for n in range(3)
    }


def test_what_is_left_out_at_plan_time_is_listed_with_its_reason(archive: Archive, tmp_path: Path) -> None:
    store = Quarantine(tmp_path)
    store.add(S2, "west1", "by hand")
    graph = chain(load(["B04", "SCL"], AREA, MARCH))
    graph["n0"]["arguments"]["properties"] = {"eo:cloud_cover": {"process_graph": CLEAR}}
    old = next(i for i in archive.made.items["sentinel-2-l2a"] if i["id"] == "west0")
    html(archive.file("east0", "B04"))
    plan = archive.plan(graph, quarantined=store.read())
    assert old["id"] in states(plan)["expected"]
    found = states(plan)
    assert found["filtered"] == {"west2", "east2"}
    assert found["quarantined"] == {"west1"}
    assert found["not-an-image"] == {"east0"}
    assert {e.reason for e in plan.expected if e.kind == "filtered"} == {SKIPS["filtered"]}
    _, result = settled(plan, tolerance=1)
    counts = result.inputs.counts()[S2]
    assert counts["items"] == {"expected": 6, "read": 2, "skipped": 3, "failed": 1}
    assert counts["skipped"] == {"filtered": 2, "quarantined": 1}


def test_a_replaced_processing_is_listed(archive: Archive) -> None:
    first = archive.made.items["sentinel-2-l2a"][0]
    again = {**first, "id": "newer", "properties": {**first["properties"], "s2:processing_baseline": "05.09"}}
    folder = archive.folder / "sentinel-2-l2a" / "newer"
    folder.mkdir(exist_ok=True)
    again["assets"] = {
        k: {**v, "href": str(archive.folder / "sentinel-2-l2a" / first["id"] / v["href"])}
        for k, v in first["assets"].items()
    }
    archive.made.items["sentinel-2-l2a"].append(again)
    try:
        archive.root = archive.made.write()
        plan = archive.plan(GRAPH)
    finally:
        archive.made.items["sentinel-2-l2a"].pop()
    assert states(plan)["superseded"] == {first["id"]}
    assert settled(plan)[1].inputs.counts()[S2]["skipped"] == {"superseded": 1}


def test_an_item_whose_outline_reaches_further_than_its_pixels_is_outside(archive: Archive) -> None:
    item = next(i for i in archive.made.items["sentinel-2-l2a"] if i["id"] == "east0")
    stated = {k: item[k] for k in ("bbox", "geometry")}
    west, south, east, north = item["bbox"]
    item["bbox"] = [west - 0.01, south, east, north]
    item["geometry"] = shapely.geometry.mapping(shapely.box(*item["bbox"]))
    try:
        archive.root = archive.made.write()
        plan = archive.plan(chain(load(["B04"], extent(20, 20), MARCH)))
    finally:
        item.update(stated)
    assert states(plan)["outside"] == {"east0"}
    _, result = settled(plan)
    assert result.inputs.counts()[S2]["skipped"] == {"outside": 1}
    assert {i.id for i in result.items_read} == {f"west{n}" for n in range(3)}


def test_an_item_whose_pixels_others_have_too_is_hidden(archive: Archive) -> None:
    """One more granule of each date, in the order behind the others, over the western one."""
    for n in range(3):
        layers = {b: Layer(_values(archive.file(f"west{n}", b)), r) for b, r in RESOLUTIONS.items()}
        layers["SCL"] = Layer(np.full((32, 32), 4, np.uint8), 20)
        archive.made.s2(f"above{n}", DAYS[n], layers, **{"grid:code": "MGRS-31UEZ", "s2:sequence": "9"})
    try:
        archive.root = archive.made.write()
        plan = archive.plan(chain(load(["B04", "SCL"], extent(20, 20), MARCH)))
    finally:
        del archive.made.items["sentinel-2-l2a"][-3:]
    _, result = settled(plan)
    kinds = {(a.item[:-1], a.band): a.kind or a.fate for a in result.inputs.assets}
    assert kinds == {
        ("above", "B04"): "read",
        ("above", "SCL"): "read",
        ("west", "B04"): "hidden",
        ("west", "SCL"): "hidden",
    }


def test_what_was_read_does_not_depend_on_windows(archive: Archive) -> None:
    """An item whose pixels all come from another is hidden, whatever is undecided elsewhere in its window."""
    red, scl = np.full((64, 64), 900, np.uint16), np.full((32, 32), 4, np.uint8)
    hole = scl.copy()
    hole[:, :4] = 0
    covers = {"first": (WEST, hole), "hole": (WEST - 560, np.zeros_like(scl)), "last": (WEST + 320, scl)}
    for number, (name, (west, classes)) in enumerate(covers.items()):
        parts = {"B04": Layer(red, 10, west), "SCL": Layer(classes, 20, west)}
        tile = {"grid:code": f"MGRS-31UE{'ABC'[number]}", "s2:sequence": str(9 - number)}
        archive.made.s2(name, "2019-03-22", parts, **tile)
    try:
        archive.root = archive.made.write()
        graph = chain(load(["B04"], extent(64, 64), ["2019-03-20", "2019-03-25"]))
        plans = [archive.plan(graph, window=window) for window in (16, 32, 1000)]
    finally:
        del archive.made.items["sentinel-2-l2a"][-3:]
    for plan in plans:
        kinds = {(a.item, a.band): a.kind or a.fate for a in settled(plan)[1].inputs.assets}
        assert kinds[("first", "B04")] == kinds[("first", "SCL")] == "read"
        assert kinds[("hole", "SCL")] == "read"
        assert kinds[("last", "B04")] == kinds[("last", "SCL")] == "hidden"


def test_what_was_read_of_several_lattices_does_not_depend_on_windows(archive: Archive) -> None:
    """Two granules of one lattice, and one half a pixel beside it that comes first and hides one of them."""
    red, scl = np.full((64, 80), 900, np.uint16), np.full((32, 40), 4, np.uint8)
    for name, west, columns, rank in (("beside", 5, 80, "9"), ("hidden", 0, 64, "8"), ("seen", 640, 64, "7")):
        parts = {
            "B04": Layer(red[:, :columns], 10, WEST + west),
            "SCL": Layer(scl[:, : columns // 2], 20, WEST + west),
        }
        tile = {"grid:code": f"MGRS-31UE{'CBA'[int(rank) - 7]}", "s2:sequence": rank}
        archive.made.s2(name, "2019-03-22", parts, **tile)
    try:
        archive.root = archive.made.write()
        graph = chain(load(["B04"], extent(120, 64), ["2019-03-20", "2019-03-25"]))
        plans = [archive.plan(graph, window=window) for window in (16, 32, 1000)]
    finally:
        del archive.made.items["sentinel-2-l2a"][-3:]
    for plan in plans:
        kinds = {(a.item, a.band): a.kind or a.fate for a in settled(plan)[1].inputs.assets}
        assert kinds[("beside", "B04")] == kinds[("seen", "B04")] == "read"
        assert kinds[("hidden", "B04")] == "hidden"


def _values(path: Path) -> Any:
    with rasterio.open(path) as file:
        return file.read(1)


def test_an_item_that_cannot_be_used_at_all_is_counted(archive: Archive) -> None:
    broken = archive.folder / "sentinel-2-l2a" / "west2" / "west2.json"
    broken.write_text("{")
    plan = archive.plan(GRAPH)
    assert len([e for e in plan.expected if e.state == "failed"]) == 1
    _, result = settled(plan, tolerance=1)
    assert result.inputs.counts()[S2]["items"]["failed"] == 1
    assert "west2" in result.inputs.failed[0].item


# --- the command ---


def execute(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["execute", *map(str, arguments)], env={"COLUMNS": "220", "TERM": "dumb"})


def test_the_plan_prints_counts_and_on_request_every_input(archive: Archive, tmp_path: Path) -> None:
    graph = tmp_path / "graph.json"
    graph.write_text(json.dumps(GRAPH))
    html(archive.file("east0", "B04"))
    short = execute(graph, "--catalog", archive.root, "--plan")
    assert short.exit_code == 0, short.output
    assert "1 not-an-image" in short.output
    assert "east0" not in short.output.split("note:")[0]
    full = execute(graph, "--catalog", archive.root, "--plan", "--items").output
    assert all(item in full for item in ITEMS)
    for name in ("items.csv", "items.json"):
        done = execute(graph, "--catalog", archive.root, "--items-out", tmp_path / name)
        assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "items.json").read_text())
    with (tmp_path / "items.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == rows
    assert len(rows) == len(ITEMS) * len(BANDS)
    refused = execute(graph, "--catalog", archive.root, "--items-out", tmp_path / "items.txt")
    assert refused.exit_code == 2
    assert ".csv" in refused.output


def test_the_command_inspects_unless_it_is_told_not_to_and_records_it(
    archive: Archive, tmp_path: Path
) -> None:
    graph, out = tmp_path / "graph.json", tmp_path / "cube.nc"
    graph.write_text(json.dumps(chain(load(["B04", "SCL"], extent(20, 20), MARCH), over_time())))
    cut_tail(archive.file("west0", "B04"))  # blocks that this area does not need
    seen = execute(graph, "--catalog", archive.root, "--out", out)
    assert seen.exit_code == 3
    assert "1 truncated" in seen.output
    blind = execute(graph, "--catalog", archive.root, "--out", out, "--no-inspect")
    assert blind.exit_code == 0, blind.output
    assert json.loads(Path(f"{out}.inputs.json").read_text())["inspected"] is False
    assert "not inspected" in blind.output


# --- inspections ---


def test_only_items_that_the_outputs_need_pixels_of_are_looked_at(archive: Archive) -> None:
    # The reducer stands between, so that the load itself is of the whole area.
    part = node("filter_bbox", extent=extent(20, 20))
    plan = archive.plan(chain(load(["B04", "SCL"], AREA, MARCH), over_time(), part))
    assert {e.item for e in plan.expected if e.state == "expected"} == set(ITEMS)
    looked = {i.id: group.bands for group in plan.inspections for i in group.items}
    assert looked == dict.fromkeys([f"west{n}" for n in range(3)], ("B04", "SCL"))
    whole = archive.plan(chain(load(["B04", "SCL"], AREA, MARCH), over_time()))
    assert {i.id for group in whole.inspections for i in group.items} == set(ITEMS)


def test_an_inspection_is_not_repeated_until_a_file_changes(archive: Archive, tmp_path: Path) -> None:
    looked: list[str] = []

    def inspect(
        items: Sequence[SourceItem], bands: Sequence[str], area: Bounds, threads: int
    ) -> tuple[ItemProblem, ...]:
        looked.extend(item.id for item in items)
        return inspect_items(items, bands, area, threads)

    def run() -> tuple[Any, ...]:
        looked.clear()
        remembering = RememberedInspection(inspect, tmp_path / "inspected")
        return settled(archive.plan(GRAPH), inspect=remembering, tolerance=1)[1].failures

    cut_tail(archive.file("west0", "B04"))
    first = run()
    assert sorted(looked) == sorted(ITEMS)
    assert [f[:2] for f in first] == [("west0", "B04")]
    assert run() == first
    assert looked == []
    os.utime(archive.file("east1", "SCL"), ns=(1, 1))
    assert run() == first
    assert looked == ["east1"]
    archive.mend()
    assert run() == ()
    assert "west0" in looked


def test_what_could_not_be_reached_is_looked_at_again(archive: Archive, tmp_path: Path) -> None:
    plan, times = archive.plan(GRAPH), []

    def inspect(items: Sequence[SourceItem], *_: Any) -> tuple[ItemProblem, ...]:
        times.append(len(items))
        return (ItemProblem("west0", "B04", "The server is away.", "unreadable"),)

    remembering = RememberedInspection(inspect, tmp_path)
    for _ in range(2):
        settled(plan, inspect=remembering, tolerance=1)
    assert times == [6, 1]


# --- the invariant ---


def test_an_input_that_nobody_accounts_for_is_an_error(archive: Archive) -> None:
    plan = archive.plan(GRAPH)
    keys = [e.key for e in plan.expected]
    with pytest.raises(InputsUnaccounted, match="in the result, and must not be"):
        account(plan.expected, {(S2, "stranger", "B04")}, {}, set())
    with pytest.raises(InputsUnaccounted, match="in the result, and must not be"):
        account(plan.expected, {keys[0]}, {keys[1]: Fault("empty", "x")}, set())
    with pytest.raises(InputsUnaccounted, match="does not expect"):
        account(plan.expected, set(), {(S2, "stranger", "B04"): Fault("empty", "x")}, set())
    with pytest.raises(InputsUnaccounted):
        account([*plan.expected, plan.expected[0]], set(), {}, set())
    skipped = replace(plan.expected[0], state="skipped", kind="outside")
    with pytest.raises(InputsUnaccounted):
        account([skipped, *plan.expected[1:]], {skipped.key}, {}, set())


def test_accounts_of_several_jobs_join(archive: Archive) -> None:
    html(archive.file("west0", "B04"))
    _, one = settled(archive.plan(GRAPH), tolerance=1)
    archive.mend()
    _, two = settled(archive.plan(GRAPH))
    both = Inputs.merged([two.inputs, one.inputs])
    assert both.counts()[S2]["items"] == {"expected": 6, "read": 5, "skipped": 0, "failed": 1}
    assert Inputs.from_dict(json.loads(json.dumps(both.to_dict()))) == both
