"""`acreage plan` and `acreage status` on a tiny archive, as people call them."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from matplotlib.image import imread
from tests.support.plans import (
    SEASON_TEXT,
    archive_area,
    profile_document,
    profiles_file,
    tiny_archive,
    tiny_model,
)
from typer.testing import CliRunner, Result

from acreage.cli.main import app
from acreage.core.errors import InvalidInput, ModelMismatch
from acreage.croptype.modelfile import open_model, save_model
from acreage.production.ledger.attempts import Again, advance, close
from acreage.production.ledger.leases import claim, waiting
from acreage.production.ledger.store import open_ledger
from acreage.production.ledger.tiles import change, tiles
from acreage.production.ledger.values import AttemptState, Choice, TileState
from acreage.production.planning.ledgers import check_threshold, recipe_of


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words])


def said(result: Result) -> str:
    return " ".join(result.output.replace("│", " ").split())


@dataclass(frozen=True)
class Inputs:
    """What every plan here begins with."""

    catalog: Path
    model: Path
    backends: Path

    def plan(self, production: object, *more: object, **changed: object) -> Result:
        given = {"area": archive_area(), "grid": "320m", "season": SEASON_TEXT, "samples": 0, **changed}
        words = [w for name, value in given.items() for w in (f"--{name.replace('_', '-')}", value)]
        return run("plan", production, "--model", self.model, "--backends", self.backends,
                   "--catalog", self.catalog, *words, *more)  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("inputs")
    profiles = {"one": profile_document(), "two": profile_document(tariff={"currency": "EUR", "job": 1.0})}
    return Inputs(
        tiny_archive(folder / "archive"),
        tiny_model(folder / "model.pt"),
        profiles_file(folder / "backends.yaml", profiles),
    )


@pytest.fixture(scope="module")
def planned(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A production that nothing was done to."""
    place = tmp_path_factory.mktemp("planned") / "production"
    result = inputs.plan(place, refuse_over=0.0005)
    assert result.exit_code == 0, result.output
    assert "over which it is refused" in said(result)
    return place


@pytest.fixture
def production(planned: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(planned, tmp_path / "production")


def test_a_plan_is_a_ledger_with_tables_and_a_picture_and_is_not_made_twice(
    inputs: Inputs, tmp_path: Path
) -> None:
    place = tmp_path / "production"
    result = inputs.plan(place, samples=3, s1_tolerance=0.1)
    assert result.exit_code == 0, result.output
    assert "Needs follow from 3 sample tiles" in said(result)
    ledger = open_ledger(str(place))
    found = list(tiles(ledger))
    kinds = {t.state for t in found}
    assert kinds == {TileState.WAITING, TileState.SKIPPED}
    assert all(t.reason == "no cropland" for t in found if t.state is TileState.SKIPPED)
    for tile in found:
        # Cropland is in the archive's west.
        if tile.state is TileState.WAITING:
            assert (dict(tile.s2_items), dict(tile.s1_items)) == ({"one": 3, "two": 3}, {"one": 3, "two": 3})
            assert tile.core_seconds > 0
            assert tile.cost == pytest.approx(tile.core_seconds * 0.36 / 3600, abs=2e-4)
            assert tile.priority == tile.cropland_share
            # Two ascending passes cover more than one descending; none of them is spare.
            assert (tile.orbit, tile.s1_tolerance) == ("ascending", 0.0)
    assert {t.country for t in found} <= {"BE", "FR"}
    with (place / "plan.csv").open() as file:
        assert [r["id"] for r in csv.DictReader(file)] == [t.id for t in found]
    picture = imread(place / "plan.png")
    assert min(picture.shape[:2]) > 500
    assert picture[..., :3].std() > 0.05
    assert recipe_of(ledger.production).model_file == inputs.model
    ledger.close()
    assert not list(tmp_path.glob(".*planning*"))
    again = inputs.plan(place)
    assert again.exit_code == 2
    assert "is there already" in said(again)


def test_edits_are_shown_first_and_taken_when_told(production: Path, tmp_path: Path) -> None:
    place, table = production, tmp_path / "mine.csv"
    assert run("plan", place, "--export", table).exit_code == 0
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    first = next(r for r in rows if r["state"] == "waiting")
    first["priority"] = "7"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    shown = run("plan", place, "--load", table)
    assert f"{first['id']} priority" in said(shown)
    assert "Nothing was changed. Give --yes" in said(shown)
    taken = run("plan", place, "--load", table, "--yes")
    assert "1 tiles changed" in said(taken), taken.output
    assert "The table changes nothing" in said(run("plan", place, "--load", table, "--yes"))
    history = said(run("status", place, "--tile", first["id"]))
    assert "edited" in history
    assert "-> 7.0" in history
    assert run("plan", place, "--export", table).exit_code == 2  # nothing is overwritten unasked


def test_a_plan_over_its_threshold_is_refused_until_it_costs_less(production: Path) -> None:
    ledger = open_ledger(str(production))
    with pytest.raises(InvalidInput, match=r"more than the 0\.00"):
        check_threshold(ledger)
    ids = [t.id for t in tiles(ledger, [TileState.WAITING])]
    change(ledger, {i: {"state": TileState.SKIPPED} for i in ids}, 1.0)
    check_threshold(ledger)
    ledger.close()


def test_status_tells_of_states_failures_and_the_whole_history(production: Path, tmp_path: Path) -> None:
    place = production
    ledger = open_ledger(str(place))
    first = waiting(ledger, 0.0, 1)[0]
    (mine,) = claim(ledger, "a", [Choice(first.id, "one", 3800)], 10.0, 99.0)
    advance(ledger, mine.lease, mine.attempt.id, AttemptState.CREATED, 11.0, remote_id="j-77")
    ended = {"error_class": "OutOfMemory", "error_text": "killed by [the] system", "cost": 0.25}
    close(ledger, mine.lease, mine.attempt.id, AttemptState.FAILED, Again(60.0, 7600), 12.0, **ended)
    ledger.close()
    result = run("status", place, "--picture", tmp_path / "states.png")
    assert result.exit_code == 0, result.output
    assert "Failures by cause" in said(result)
    assert "OutOfMemory one 1 1" in said(result)
    assert "0.25 EUR spent" in said(result)
    assert imread(tmp_path / "states.png")[..., :3].std() > 0.05
    assert run("status", place, "--picture", tmp_path / "states.png").exit_code == 2
    told = json.loads(run("status", place, "--json").output)
    assert told["failures"] == [{"class": "OutOfMemory", "backend": "one", "attempts": 1, "tiles": 1}]
    assert told["backends"]["one"]["spent"] == 0.25
    history = said(run("status", place, "--tile", first.id))
    for word in ("planned", "claimed", "created", "failed", "j-77", "killed by [the] system", "7,600 MB"):
        assert word in history, word
    unknown = run("status", place, "--tile", "20kmE1N1")
    assert unknown.exit_code == 2
    assert "no tile 20kmE1N1" in said(unknown)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"area": "20,40,20.1,40.1"}, "lies outside of collection"),
        ({"area": "Atlantis"}, "is no country"),
        ({"area": "170,-10,171,-9"}, "has no tile"),
        ({"grid": "325m"}, "no whole number of pixels"),
        ({"grid": "320m@EPSG:4326"}, "projected CRS"),
        ({"priority": "croplnd"}, "which is no column"),
        ({"orbit": "sideways"}, "not an orbit direction"),
        ({"season": "2020-03-01/2020-10-31"}, "No catalog has a product of 2020-03-01/2020-10-31"),
        ({"season": "2019-05-01/2019-10-31"}, "was trained on"),
        ({"catalog": "nowhere.json"}, "nowhere.json"),
    ],
)
def test_what_cannot_be_planned_is_told_and_leaves_nothing(
    inputs: Inputs, tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    result = inputs.plan(tmp_path / "production", **changed)
    assert result.exit_code in (2, 3), result.output
    assert words in said(result)
    assert not (tmp_path / "production" / "ledger.db").exists()


def test_results_may_lie_elsewhere(inputs: Inputs, place: str, tmp_path: Path) -> None:
    if place.startswith("postgresql"):
        refused = inputs.plan(place)
        assert refused.exit_code == 2
        assert "needs --results" in said(refused)
    made = inputs.plan(place, "--results", tmp_path / "out" / "results")
    assert made.exit_code == 0, made.output
    assert inputs.plan(place, "--results", tmp_path / "other" / "results").exit_code == 2
    assert (tmp_path / "out" / "plan.csv").exists()
    ledger = open_ledger(place)
    assert ledger.production.results == tmp_path / "out" / "results"
    ledger.close()
    assert "waiting" in said(run("status", place))


def test_another_model_is_noticed(inputs: Inputs, production: Path, tmp_path: Path) -> None:
    ledger = open_ledger(str(production))
    model = tmp_path / "model.pt"
    save_model(replace(open_model(inputs.model), training={"again": True}), model)
    moved = replace(ledger.production, config={**ledger.production.config, "model": str(model)})
    with pytest.raises(ModelMismatch, match="is not the one that production"):
        recipe_of(moved)
    ledger.close()
