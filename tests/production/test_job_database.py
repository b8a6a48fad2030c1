"""Ledgers and the job databases of the openEO client's manager, from one to the other and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
from openeo.extra.job_management import MultiBackendJobManager, get_job_db
from tests.support.ledgers import new_ledger, tile_record
from tests.support.servers.scripted import Answer, Scripted, scripted
from tests.support.small_site import SEASON, SETTINGS, small_model

from acreage.core.errors import InvalidInput, OutputExists
from acreage.production.job_database import export_jobs, import_jobs, job_starter
from acreage.production.ledger.attempts import Done, Hold, advance, close
from acreage.production.ledger.leases import claim, take_over
from acreage.production.ledger.outcomes import attempts_of
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.tiles import tile
from acreage.production.ledger.values import AttemptState, Choice, TileState
from acreage.production.profiles import Profile
from acreage.production.tile_job import Recipe


def worked(place: Path) -> Ledger:
    """Six tiles: done, running, held, skipped and two that wait."""
    records = [tile_record(n) for n in range(6)]
    records[3] = tile_record(3, state=TileState.SKIPPED, reason="no cropland")
    ledger = new_ledger(str(place), records)
    choices = [Choice(records[n].id, "one", 3800) for n in range(3)]
    claims = claim(ledger, "me", choices, 10.0, 100.0)
    for made, end in zip(claims, ("done", "", "held"), strict=True):
        for state in (AttemptState.CREATED, AttemptState.STARTED):
            advance(ledger, made.lease, made.attempt.id, state, 20.0, remote_id=f"j-{made.tile.id}")
        if end == "done":
            close(
                ledger,
                made.lease,
                made.attempt.id,
                AttemptState.VERIFIED,
                Done(),
                30.0,
                cost=1.5,
                cpu_seconds=60.0,
            )
        elif end == "held":
            close(
                ledger,
                made.lease,
                made.attempt.id,
                AttemptState.FAILED,
                Hold("look"),
                30.0,
                error_class="udf",
            )
    return ledger


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_ledger_is_a_job_database_of_the_manager(suffix: str, tmp_path: Path) -> None:
    ledger, path = worked(tmp_path / "p"), tmp_path / f"jobs{suffix}"
    assert export_jobs(ledger, path) == 6
    database = get_job_db(path)
    frame = database.read()
    assert isinstance(frame, gpd.GeoDataFrame)
    assert list(frame["status"]) == ["finished", "running", "error", "skipped", "not_started", "not_started"]
    assert list(frame["tile"]) == [tile_record(n).id for n in range(6)]
    first = frame.iloc[0]
    assert (first["id"], first["backend_name"], first["costs"]) == (f"j-{first['tile']}", "one", 1.5)
    assert (first["cpu"], first["start_time"]) == ("60 cpu-seconds", "1970-01-01T00:00:20Z")
    assert database.count_by_status(["not_started"]) == {"not_started": 2}
    assert frame.geometry.is_valid.all()
    with pytest.raises(OutputExists):
        export_jobs(ledger, path)
    with pytest.raises(InvalidInput, match="no job database"):
        export_jobs(ledger, tmp_path / "jobs.xlsx")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_jobs_of_a_manager_are_followed_by_the_ledger_and_not_made_again(suffix: str, tmp_path: Path) -> None:
    ledger, path = new_ledger(str(tmp_path / "p"), 6), tmp_path / f"jobs{suffix}"
    export_jobs(ledger, path)
    database = get_job_db(path)
    frame = database.read()
    for column in ("id", "backend_name", "status"):
        frame[column] = frame[column].astype(object)
    for n, status in enumerate(
        ("finished", "running", "created", "error", "queued_for_start", "not_started")
    ):
        if status != "not_started":
            frame.loc[n, ["id", "backend_name", "status"]] = [f"j{n}", "two", status]
    database.persist(frame)
    found = import_jobs(ledger, path, 50.0)
    ids = [tile_record(n).id for n in range(6)]
    assert sorted(found.adopted) == sorted(ids[n] for n in (0, 1, 2, 4))
    assert found.left == {"its job is error": 1, "its job is not_started": 1}
    states = {n: attempts_of(ledger, ids[n])[0].state for n in (0, 1, 2, 4)}
    assert states == {
        0: AttemptState.STARTED,
        1: AttemptState.STARTED,
        2: AttemptState.CREATED,
        4: AttemptState.STARTING,
    }
    taken = take_over(ledger, "runner", 51.0, 99.0)
    assert {(c.tile.id, c.attempt.remote_id, c.attempt.backend) for c in taken} == {
        (ids[n], f"j{n}", "two") for n in (0, 1, 2, 4)
    }
    again = import_jobs(ledger, path, 60.0)
    assert again.adopted == ()
    assert again.left["the tile is working"] == 4


def changed(frame: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    return frame.assign(**columns)


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"tile": "20kmE200N100"}, "tiles twice: 20kmE200N100"),
        ({"tile": ["20kmE200N100", "20kmE1N1"]}, "tiles that the production lacks: 20kmE1N1"),
        (
            {"status": "running", "id": "j", "backend_name": "three"},
            "back ends that the production lacks: three",
        ),
    ],
)
def test_a_job_database_that_does_not_fit_changes_nothing(
    columns: Mapping[str, Any], named: str, tmp_path: Path
) -> None:
    ledger, path = new_ledger(str(tmp_path / "p"), 2), tmp_path / "jobs.csv"
    export_jobs(ledger, path)
    changed(pd.read_csv(path), **columns).to_csv(path, index=False)
    with pytest.raises(InvalidInput, match=named):
        import_jobs(ledger, path, 5.0)
    waiting = tile(ledger, tile_record(0).id)
    assert waiting is not None
    assert waiting.state is TileState.WAITING


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\x00\x01", b""])
def test_what_is_no_job_database_is_said(content: bytes, tmp_path: Path) -> None:
    ledger = new_ledger(str(tmp_path / "p"), 2)
    for name in ("jobs.csv", "jobs.parquet"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInput, match="job database"):
            import_jobs(ledger, tmp_path / name, 5.0)
    with pytest.raises(InvalidInput, match="There is no job database"):
        import_jobs(ledger, tmp_path / "absent.csv", 5.0)


def pretend_jobs(script: Scripted) -> list[dict[str, Any]]:
    """A back end whose jobs have finished as soon as they are started; returns what it was sent."""
    made: list[dict[str, Any]] = []

    def create(headers: Any, body: bytes) -> Answer:
        made.append(json.loads(body))
        name = f"j{len(made)}"
        told = {"id": name, "status": "created", "created": "2026-01-01T00:00:00Z"}
        script.answers[f"GET /jobs/{name}"] = Answer(body=told)

        def start(headers: Any, body: bytes) -> Answer:
            usage = {"cpu": {"value": 3, "unit": "cpu-seconds"}}
            script.answers[f"GET /jobs/{name}"] = Answer(body={**told, "status": "finished", "usage": usage})
            return Answer(202, b"")

        script.answers[f"POST /jobs/{name}/results"] = start
        return Answer(201, b"", {"OpenEO-Identifier": name})

    script.answers["POST /jobs"] = create
    return made


def test_the_manager_itself_runs_tiles_and_the_ledger_takes_them_over(tmp_path: Path) -> None:
    import openeo

    ledger, path = new_ledger(str(tmp_path / "p"), 3), tmp_path / "jobs.csv"
    export_jobs(ledger, path)
    recipe = Recipe.of(small_model(tmp_path), SEASON, SETTINGS)
    with scripted() as script:
        made = pretend_jobs(script)
        address = {"kind": "address", "href": "https://models.example.org/{name}"}
        profile = Profile.from_dict({"url": script.url, "model": address})
        connection = openeo.connect(script.url, auto_validate=False)
        connection.authenticate_basic("anna", "secret")
        manager = MultiBackendJobManager(poll_sleep=0, root_dir=tmp_path / "jobs", download_results=False)
        manager.add_backend("two", connection, parallel_jobs=2)
        manager.run_jobs(job_db=get_job_db(path), start_job=job_starter(recipe, {"two": profile}))
        connection.session.close()
    assert [m["title"].split()[2] for m in made] == [tile_record(n).id for n in range(3)]
    assert all(m["job_options"] == {"memory": "3800MB"} for m in made)
    found = import_jobs(ledger, path, 5.0)
    assert sorted(found.adopted) == sorted(tile_record(n).id for n in range(3))
