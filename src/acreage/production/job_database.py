"""Job databases of the openEO client's `MultiBackendJobManager`: a ledger as one, and one into a ledger.

A row is a tile. The manager's own columns (`id`, `backend_name`, `status`, `start_time`, ...) are those of
the tile's newest attempt; `tile` says which it is, and the other columns what its job needs.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
from openeo.extra.job_management import MultiBackendJobManager, get_job_db
from openeo.rest.connection import Connection
from openeo.rest.job import BatchJob

from acreage.core.errors import InvalidInput, OutputExists
from acreage.production.ledger.attempts import advance
from acreage.production.ledger.leases import claim, leave
from acreage.production.ledger.outcomes import attempts_of
from acreage.production.ledger.settings import back_ends
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.tiles import tiles
from acreage.production.ledger.values import Attempt, AttemptState, Choice, TileRecord, TileState
from acreage.production.products import ADOPTED, settings_of
from acreage.production.profiles import Profile
from acreage.production.tile_job import Recipe, tile_request
from acreage.production.tiles import Tile

NOT_STARTED = "not_started"
_SUFFIXES = (".csv", ".parquet", ".geoparquet")
_OF_TILES = {TileState.SKIPPED: "skipped", TileState.DONE: "finished", TileState.HELD: "error"}
_OF_ATTEMPTS = {
    AttemptState.CREATED: "created",
    AttemptState.STARTING: "queued",
    AttemptState.STARTED: "running",
    AttemptState.ENDED: "finished",
    AttemptState.FETCHED: "finished",
    AttemptState.VERIFIED: "finished",
}
_ADOPTED = {
    "created": AttemptState.CREATED,
    "queued_for_start": AttemptState.STARTING,
    "queued": AttemptState.STARTED,
    "running": AttemptState.STARTED,
    "finished": AttemptState.STARTED,
}
"""Jobs that are taken into a ledger: a finished one is looked at again, fetched and verified."""
_LEASE_S = 60.0


@dataclass(frozen=True)
class Adopted:
    """What became of the rows of a job database.

    Attributes:
        adopted: tiles whose jobs the ledger follows now.
        left: rows that changed nothing, by reason.
    """

    adopted: tuple[str, ...]
    left: Mapping[str, int]


def export_jobs(ledger: Ledger, path: Path) -> int:
    """Write a ledger as a job database; tiles of high priority come first. Returns the number of rows.

    Args:
        ledger: of the production.
        path: `.csv` or `.parquet`, which is not there yet.

    Raises:
        OutputExists: it is there.
        InvalidInput: it is neither.
    """
    database = _database(path)
    if database.exists():
        raise OutputExists(f"{path} is there already.", hint="Give another name.")
    rows = [_row(tile, _newest(ledger, tile)) for tile in tiles(ledger)]
    frame = gpd.GeoDataFrame(rows, geometry="geometry", crs="EPSG:4326")
    frame = frame.sort_values("priority", ascending=False, kind="stable").reset_index(drop=True)
    database.initialize_from_df(frame)
    return len(frame)


def import_jobs(ledger: Ledger, path: Path, now: float) -> Adopted:
    """Let a ledger follow the jobs of a job database, whose manager must not run any more.

    Jobs that wait, run or have finished become attempts of their tiles, where these wait in the ledger; the
    next runner goes on with them and starts none a second time. Failed jobs and such as were never made leave
    their tile as it is.

    Raises:
        InvalidInput: it cannot be read, lacks columns, has a tile twice, or names tiles or back ends that the
            ledger does not have. Nothing is changed then.
    """
    frame = _read(path)
    known = {t.id: t for t in tiles(ledger)}
    _check(frame, known, {b.name for b in back_ends(ledger)}, path)
    owner, adopted, left = f"import-{secrets.token_hex(8)}", [], Counter[str]()
    for row in frame.to_dict("records"):
        tile, state = known[row["tile"]], _ADOPTED.get(str(row["status"]))
        if state is None or not _text(row.get("id")):
            left[f"its job is {row['status']}"] += 1
        elif tile.state is not TileState.WAITING:
            left[f"the tile is {tile.state}"] += 1
        elif _adopt(ledger, owner, tile, row, state, now):
            adopted.append(tile.id)
        else:
            left["another runner was faster"] += 1
    leave(ledger, owner, now)
    return Adopted(tuple(adopted), dict(left))


def job_starter(recipe: Recipe, profiles: Mapping[str, Profile]) -> Callable[..., BatchJob]:
    """A `start_job` for `MultiBackendJobManager.run_jobs`, which makes the same jobs as a runner.

    The model must be where the profiles say: the manager uploads nothing.
    """

    def start_job(row: pd.Series, connection: Connection, provider: str, **_: Any) -> BatchJob:
        request = tile_request(recipe, settings_of(_tile(row)), profiles[provider], str(row["token"]))
        return connection.create_job(
            {"process_graph": dict(request.graph)}, title=request.title, additional=dict(request.options)
        )

    return start_job


# --- writing ---


def _newest(ledger: Ledger, tile: TileRecord) -> Attempt | None:
    # Tiles that were never tried are most of them, and cost no question.
    if not tile.tries and tile.attempt is None:
        return None
    found = attempts_of(ledger, tile.id)
    return found[-1] if found else None


def _row(tile: TileRecord, attempt: Attempt | None) -> dict[str, Any]:
    status = _OF_TILES.get(tile.state, NOT_STARTED)
    if tile.state is TileState.WORKING and attempt is not None:
        status = _OF_ATTEMPTS.get(attempt.state, NOT_STARTED)
    made = attempt is not None and status not in (NOT_STARTED, "skipped")
    about = {
        "tile": tile.id,
        "token": attempt.token if attempt is not None and made else f"{tile.id}-{secrets.token_hex(8)}",
        **{n: getattr(tile, n) for n in ("crs", "left", "bottom", "right", "top", "orbit", "s1_coefficient")},
        "memory_mb": tile.memory,
        "cropland_share": tile.cropland_share,
        "priority": tile.priority,
        "reason": tile.reason,
        "geometry": Tile(tile.id, tile.crs, tile.bounds).outline,
        "status": status,
    }
    if attempt is None or not made:
        return {
            **about,
            **dict.fromkeys(("id", "backend_name", "start_time", "running_start_time")),
            "costs": None,
        }
    return {
        **about,
        "id": attempt.remote_id,
        "backend_name": attempt.backend,
        "start_time": _moment(attempt.created_at),
        "running_start_time": _moment(attempt.started_at),
        "costs": attempt.cost,
        "cpu": _with_unit(attempt.cpu_seconds, "cpu-seconds"),
        "duration": _with_unit(attempt.duration_s, "seconds"),
        "max_memory": _with_unit(attempt.peak_memory_mb, "mb"),
    }


def _moment(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _with_unit(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:g} {unit}"


# --- reading ---


def _database(path: Path) -> Any:
    if path.suffix.lower() not in _SUFFIXES:
        raise InvalidInput(f"{path} is no job database.", hint=f"Its name ends in {', '.join(_SUFFIXES)}.")
    return get_job_db(path)


def _read(path: Path) -> pd.DataFrame:
    database = _database(path)
    if not database.exists():
        raise InvalidInput(f"There is no job database {path}.")
    try:
        frame = database.read()
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInput(f"The job database {path} cannot be read: {error}.") from error
    columns = ("tile", "id", "backend_name", "status")
    if missing := [c for c in columns if c not in frame.columns]:
        raise InvalidInput(
            f"The job database {path} has no column {', '.join(missing)}.",
            hint="`tile` holds the ids of the production's grid; the others are the manager's.",
        )
    return MultiBackendJobManager._column_requirements.normalize_df(frame)


def _check(frame: pd.DataFrame, known: Mapping[str, TileRecord], names: set[str], path: Path) -> None:
    ids = [str(i) for i in frame["tile"]]
    followed = frame[frame["status"].isin(list(_ADOPTED))]
    problems = {
        "tiles twice": sorted(i for i, n in Counter(ids).items() if n > 1),
        "tiles that the production lacks": sorted(set(ids) - set(known)),
        "back ends that the production lacks": sorted({_text(b) for b in followed["backend_name"]} - names),
    }
    found = [f"{what}: {', '.join(map(str, which[:10]))}" for what, which in problems.items() if which]
    if found:
        raise InvalidInput(
            f"The job database {path} does not fit the production; {'; '.join(found)}.",
            hint="Nothing was changed.",
        )


def _adopt(
    ledger: Ledger, owner: str, tile: TileRecord, row: Mapping[Any, Any], state: AttemptState, now: float
) -> bool:
    choice = Choice(tile.id, str(row["backend_name"]), tile.memory, {ADOPTED: True})
    claims = claim(ledger, owner, [choice], now, now + _LEASE_S)
    if not claims:
        return False
    (made,) = claims
    text = f"from a job database, where it was {row['status']}"
    advance(
        ledger, made.lease, made.attempt.id, AttemptState.CREATED, now, text=text, remote_id=str(row["id"])
    )
    for step in (AttemptState.STARTING, AttemptState.STARTED):
        if state in (step, AttemptState.STARTED):
            advance(ledger, made.lease, made.attempt.id, step, now)
    return True


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)


def _tile(row: pd.Series) -> TileRecord:
    """What a job needs of a row."""
    text, numbers = ("crs", "orbit", "s1_coefficient"), ("left", "bottom", "right", "top")
    found: dict[str, Any] = {name: _text(row[name]) for name in text}
    found |= {name: float(row[name]) for name in numbers}
    return TileRecord(
        id=str(row["tile"]),
        west=0.0,
        south=0.0,
        east=0.0,
        north=0.0,
        memory_mb=int(row["memory_mb"]),
        **found,
    )
