"""Products that are out for every job: shared by jobs and processes, decided on by persons."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from tests.support.breakable_archive import GRAPH, MARCH, S2, Archive
from tests.support.engine_runs import MEMORY, assert_same_cube, settled
from tests.support.faults import html
from tests.support.tiny_archive import chain, extent, load, node
from typer.testing import CliRunner

from acreage.cli.embedded import EmbeddedRunner
from acreage.cli.main import app
from acreage.core.errors import InvalidInput, WriteFailed
from acreage.core.inputs import InputAsset
from acreage.engine.budget import Budget
from acreage.engine.inspection import inspect_items
from acreage.engine.quarantine import JOURNAL, Quarantine
from acreage.engine.tolerance import Limit, Tolerance, TooManyFailures


def failed(item: str, kind: str = "truncated", band: str = "B04") -> InputAsset:
    return InputAsset(S2, item, band, "failed", kind, f"{item} is broken.", "/f.tif", f"/{item}.json")


@pytest.fixture
def store(tmp_path: Path) -> Quarantine:
    return Quarantine(tmp_path / "quarantine")


def states(store: Quarantine) -> dict[str, str]:
    return {e.item: e.state for e in store.read().entries.values()}


# --- jobs ---


def test_a_tolerated_product_is_out_for_the_next_job_which_need_not_tolerate_it(
    archive: Archive, store: Quarantine
) -> None:
    html(archive.file("west0", "B05"))
    first, result = settled(archive.plan(GRAPH), tolerance=1, quarantine=store)
    assert states(store) == {"west0": "quarantined"}
    archive.mend()
    second, later = settled(archive.plan(GRAPH, quarantined=store.read()), quarantine=store)
    assert_same_cube(first["n1"], second["n1"])
    assert later.failures == ()
    assert {(a.item, a.band) for a in later.inputs.quarantined} == {
        ("west0", b) for b in ("B04", "B05", "SCL")
    }
    assert later.inputs.counts()[S2]["skipped"] == {"quarantined": 1}
    assert {i.id for i in later.items_read} == {i.id for i in result.items_read}
    store.release("west0")
    third, _ = settled(archive.plan(GRAPH, quarantined=store.read()), quarantine=store)
    assert not (third["n1"].validity() == first["n1"].validity()).all() or (
        third["n1"].values.tobytes() != first["n1"].values.tobytes()
    )


@pytest.mark.parametrize("found_by", ["search", "inspection"])
def test_a_product_of_one_file_is_put_away_too(archive: Archive, store: Quarantine, found_by: str) -> None:
    """Elevation, land cover: nothing of the item is left when its file is broken."""
    folder = archive.folder / "sentinel-2-l2a" / "west0"
    item = json.loads((folder / "west0.json").read_text())
    item["assets"] = {"red": item["assets"]["red"]}
    (folder / "west0.json").write_text(json.dumps(item))
    graph = chain(load(["B04"], extent(20, 20), MARCH))
    plan = archive.plan(graph)
    html(archive.file("west0", "B04"))
    plan = archive.plan(graph) if found_by == "search" else plan
    settled(plan, tolerance=1, quarantine=store, inspect=inspect_items)
    assert states(store) == {"west0": "quarantined"}
    _, later = settled(archive.plan(graph, quarantined=store.read()), quarantine=store)
    assert later.inputs.counts()[S2]["skipped"] == {"quarantined": 1}
    assert later.failures == ()


def test_what_one_job_of_a_run_lost_is_out_of_its_later_jobs(
    archive: Archive, store: Quarantine, tmp_path: Path
) -> None:
    """Also where the journal only proposes it, as after a network's bad moment."""
    catalog = archive.catalog()
    budget, allowed = Budget(MEMORY, 1, 32), Tolerance(Limit(1))
    runner = EmbeddedRunner(catalog, budget, None, tolerance=allowed, quarantine=store)
    graph = {**GRAPH, "end": {**node("save_result", data="@n1", format="GTiff"), "result": True}}
    graph["n1"] = {key: value for key, value in GRAPH["n1"].items() if key != "result"}
    archive.file("west0", "B04").unlink()
    first = runner.run(graph, tmp_path / "first.tif")
    assert [a.item for a in first.inputs.failed] == ["west0"]
    assert states(store) == {"west0": "proposed"}
    archive.mend()
    second = runner.run(graph, tmp_path / "second.tif")
    assert {a.item for a in second.inputs.quarantined} == {"west0"}
    assert (tmp_path / "first.tif").read_bytes() == (tmp_path / "second.tif").read_bytes()


def test_a_product_that_made_a_job_fail_waits_for_a_decision(archive: Archive, store: Quarantine) -> None:
    html(archive.file("west0", "B05"))
    for _ in range(2):
        with pytest.raises(TooManyFailures):
            settled(archive.plan(GRAPH, quarantined=store.read()), quarantine=store)
        assert states(store) == {"west0": "proposed"}
    store.accept("west0")
    _, result = settled(archive.plan(GRAPH, quarantined=store.read()), quarantine=store)
    assert result.inputs.counts()[S2]["items"] == {"expected": 6, "read": 5, "skipped": 1, "failed": 0}


def test_what_cannot_be_reached_is_put_away_by_the_third_job_that_allows_it(store: Quarantine) -> None:
    for job in ("a", "b", "b"):
        store.record([failed("i", "unreadable")], tolerated=True, job=job)
        assert states(store) == {"i": "proposed"}
    store.record([failed("i", "unreadable")], tolerated=False, job="c")
    assert states(store) == {"i": "proposed"}
    store.record([failed("i", "unreadable")], tolerated=True, job="d")
    assert states(store) == {"i": "quarantined"}


def test_what_a_search_tells_is_not_put_away(store: Quarantine) -> None:
    store.record([failed("i", "missing-band"), failed("j", "clock")], tolerated=True, job="a")
    assert states(store) == {}


def test_a_copy_of_the_product_elsewhere_is_not_put_away(store: Quarantine) -> None:
    store.record([failed("i")], tolerated=True, job="a")
    known = store.read()
    assert known.find(S2, "i", "/i.json") is not None
    assert known.find(S2, "i", "https://elsewhere/i.json") is None
    store.add(S2, "i", "all copies are shifted")
    assert store.read().find(S2, "i", "https://elsewhere/i.json") is not None


def test_a_result_is_kept_where_the_quarantine_cannot_be_written(
    archive: Archive, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    html(archive.file("west0", "B05"))
    store = Quarantine(tmp_path / "file" / "quarantine")
    _, result = settled(archive.plan(GRAPH), tolerance=1, quarantine=store)
    assert len(result.inputs.failed) == 1
    assert "quarantine" in caplog.text
    with pytest.raises(WriteFailed, match="ACREAGE_QUARANTINE"):
        store.add(S2, "i", "why")


# --- processes ---

WRITER = """
import sys
from pathlib import Path
from acreage.core.inputs import InputAsset
from acreage.engine.quarantine import Quarantine
store = Quarantine(Path(sys.argv[1]))
for n in range(60):
    own = InputAsset("S2", f"{sys.argv[2]}-{n}", "B04", "failed", "truncated", "x" * 3000, "", "/own")
    both = InputAsset("S2", f"both-{n}", "B04", "failed", "truncated", "x" * 3000, "", "/both")
    store.record([own, both], tolerated=n % 2 == 0, job=sys.argv[2])
"""


def test_processes_that_write_at_once_lose_nothing(store: Quarantine) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(store.folder), name]) for name in ("a", "b")
    ]
    assert [w.wait(timeout=60) for w in writers] == [0, 0]
    known = store.read()
    assert known.damaged == 0
    assert len(known.entries) == 180
    for n in range(60):
        (entry,) = known.named(f"both-{n}")
        assert entry.jobs == {"a", "b"}
        assert entry.state == ("quarantined" if n % 2 == 0 else "proposed")


def test_half_a_line_of_a_killed_process_costs_that_line_only(store: Quarantine) -> None:
    store.record([failed("i")], tolerated=True, job="a")
    journal = store.folder / JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole[:40])
    assert (states(store), store.read().damaged) == ({"i": "quarantined"}, 1)
    store.record([failed("j")], tolerated=True, job="b")
    assert (states(store), store.read().damaged) == ({"i": "quarantined", "j": "quarantined"}, 1)


# --- persons ---


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["quarantine", *arguments], env={"COLUMNS": "200", "TERM": "dumb"})


def listed(*options: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads(command("list", "--json", *options).stdout)
    return rows


def test_products_are_added_listed_accepted_and_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACREAGE_QUARANTINE", str(tmp_path))
    assert "Nothing is in quarantine." in command("list").output
    Quarantine(tmp_path).record([failed("one")], tolerated=False, job="map 2026-01-01")
    assert command("add", S2, "two", "--reason", "shifted by 40 m").exit_code == 0
    table = command("list").output
    for word in ("one", "proposed", "truncated", "map 2026-01-01", "two", "shifted by 40 m", "person"):
        assert word in table
    assert [row["item"] for row in listed("--proposed")] == ["one"]
    assert command("accept", "one").exit_code == 0
    assert {row["state"] for row in listed()} == {"quarantined"}
    assert command("release", "one", "--collection", S2).exit_code == 0
    assert [row["item"] for row in listed()] == ["two"]


def test_a_decision_on_an_unknown_product_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACREAGE_QUARANTINE", str(tmp_path))
    store = Quarantine(tmp_path)
    store.add(S2, "two", "why")
    for what in ("accept", "release"):
        result = command(what, "one")
        assert result.exit_code == 2
        assert "one is not in the quarantine" in result.output
        assert "two" in result.output
    with pytest.raises(InvalidInput, match=S2[:4]):
        store.accept("two", "SENTINEL1_GRD")
