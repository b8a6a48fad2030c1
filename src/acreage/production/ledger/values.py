"""What a ledger holds, as frozen values. Times are seconds since 1970 in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypedDict


class TileState(StrEnum):
    """Where a tile stands."""

    SKIPPED = "skipped"
    """Needs no map; the reason says why."""
    WAITING = "waiting"
    WORKING = "working"
    """Has an attempt that is alive."""
    HELD = "held"
    """Needs a person; the reason says why."""
    DONE = "done"


class AttemptState(StrEnum):
    """Where an attempt stands."""

    INTENDED = "intended"
    """Committed before the job is made, so that a job that was made is looked for."""
    CREATED = "created"
    STARTING = "starting"
    """Committed before the job is started, so that its state is read before it is started again."""
    STARTED = "started"
    ENDED = "ended"
    """Finished on the back end."""
    FETCHED = "fetched"
    VERIFIED = "verified"
    FAILED = "failed"
    ABANDONED = "abandoned"
    """Given up before it cost anything."""


LIVE = (
    AttemptState.INTENDED,
    AttemptState.CREATED,
    AttemptState.STARTING,
    AttemptState.STARTED,
    AttemptState.ENDED,
    AttemptState.FETCHED,
)
"""In the order in which an attempt goes through them; it may skip some, and never goes back."""
OCCUPYING = LIVE[:4]
"""Those that take a place at their back end, or are about to."""
CLOSED = (AttemptState.VERIFIED, AttemptState.FAILED, AttemptState.ABANDONED)


class BackEndState(StrEnum):
    """Whether tiles are sent to a back end."""

    OPEN = "open"
    DRAINING = "draining"
    """Finishes what it has, and gets nothing new."""
    OFF = "off"
    BROKEN = "broken"
    """Did not answer well; is tried again at a set time."""


@dataclass(frozen=True)
class Production:
    """What is produced.

    Attributes:
        name: for titles.
        created: when the ledger was made.
        config: JSON-ready: area, grid, resolution, season, model, codes, currency, limits.
        results: folder of the finished products.
        version: of the tables.
        release: of acreage that made the ledger.
    """

    name: str
    created: float
    config: Mapping[str, Any]
    results: Path
    version: int
    release: str


@dataclass(frozen=True)
class BackEndRecord:
    """A back end, as the ledger has it.

    Attributes:
        name: unique in the production.
        config: JSON-ready profile, without secrets.
        state: whether it gets tiles.
        until: when a broken one is tried again.
        note: why it is in this state.
        parallel: jobs at once, as a person set it.
        found_parallel: jobs at once, as its API told or the runner learnt.
        factor: seconds per estimated core-second, learnt.
        cost_factor: cost there per estimated cost, learnt.
        memory_factor: memory that jobs there are given per estimated memory, learnt.
        spent: the costs of all its attempts.
        changed: when this last changed.
    """

    name: str
    config: Mapping[str, Any]
    state: BackEndState = BackEndState.OPEN
    until: float | None = None
    note: str = ""
    parallel: int | None = None
    found_parallel: int | None = None
    factor: float = 1.0
    cost_factor: float = 1.0
    memory_factor: float = 1.0
    spent: float = 0.0
    changed: float = 0.0


@dataclass(frozen=True)
class TileRecord:
    """A tile, as the ledger has it.

    Attributes:
        id: of the grid (`production.tiles`).
        crs: EPSG code with its authority.
        left, bottom, right, top: metres in the CRS.
        west, south, east, north: degrees.
        country: two letters, or empty.
        zone: UTM zone of its centre, as `31N`.
        cropland_share: of its pixels that have a class; None where no file covers it.
        s2_items, s1_items: products expected over the season, by back end.
        orbit: `ascending`, `descending` or `both`.
        s1_coefficient: what Sentinel-1 must be calibrated to.
        s1_tolerance: share of the Sentinel-1 products that may fail.
        memory_mb: estimated, of a worker.
        core_seconds: estimated.
        cost: estimated, by the production's tariff.
        priority: higher comes first.
        backend: the only one that may make it; None: any.
        state: where it stands.
        reason: why it is skipped or held.
        tries: attempts so far.
        not_before: when it may be tried again.
        memory_now: more memory than estimated, after it was too little.
        attempt: the attempt that is alive, or was verified.
        lease_owner, lease_until, lease_number: who works on it.
        changed: when this last changed.
    """

    id: str
    crs: str
    left: float
    bottom: float
    right: float
    top: float
    west: float
    south: float
    east: float
    north: float
    country: str = ""
    zone: str = ""
    cropland_share: float | None = None
    s2_items: Mapping[str, int] = field(default_factory=dict)
    s1_items: Mapping[str, int] = field(default_factory=dict)
    orbit: str = "both"
    s1_coefficient: str = ""
    s1_tolerance: float = 0.0
    memory_mb: int = 0
    core_seconds: float = 0.0
    cost: float = 0.0
    priority: float = 0.0
    backend: str | None = None
    state: TileState = TileState.WAITING
    reason: str = ""
    tries: int = 0
    not_before: float = 0.0
    memory_now: int | None = None
    attempt: int | None = None
    lease_owner: str | None = None
    lease_until: float | None = None
    lease_number: int = 0
    changed: float = 0.0

    @property
    def memory(self) -> int:
        """Megabytes that its next job asks for."""
        return self.memory_now or self.memory_mb

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in the CRS."""
        return self.left, self.bottom, self.right, self.top


@dataclass(frozen=True)
class WaitingTile:
    """What is asked about a tile when it is given out; as of `TileRecord`."""

    id: str
    core_seconds: float
    cost: float
    memory_mb: int
    memory_now: int | None
    priority: float
    backend: str | None
    reason: str

    @property
    def memory(self) -> int:
        """Megabytes that its next job asks for."""
        return self.memory_now or self.memory_mb


@dataclass(frozen=True)
class Attempt:
    """One batch job made for a tile.

    Attributes:
        id: unique in the ledger.
        tile, backend: whose.
        token: in the job's title, by which the job is found again.
        remote_id: the job's id on the back end, once it is known.
        state: where it stands.
        memory_mb: what was asked for.
        profile: JSON-ready: what was sent: collections, options.
        intended_at, created_at, started_at, ended_at, fetched_at, verified_at, closed_at: when.
        cost, cpu_seconds, peak_memory_mb, duration_s: as the back end told.
        error_class, error_text: of a failed one.
        paid: whether it was started, so that it may cost.
    """

    id: int
    tile: str
    backend: str
    token: str
    remote_id: str | None
    state: AttemptState
    memory_mb: int
    profile: Mapping[str, Any]
    intended_at: float
    created_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    fetched_at: float | None = None
    verified_at: float | None = None
    closed_at: float | None = None
    cost: float | None = None
    cpu_seconds: float | None = None
    peak_memory_mb: float | None = None
    duration_s: float | None = None
    error_class: str = ""
    error_text: str = ""
    paid: bool = False


class AttemptFacts(TypedDict, total=False):
    """What may be recorded of an attempt beside its state."""

    remote_id: str
    created_at: float
    fetched_at: float
    cost: float
    cpu_seconds: float
    peak_memory_mb: float
    duration_s: float
    error_class: str
    error_text: str
    profile: Mapping[str, Any]


@dataclass(frozen=True)
class Lease:
    """The right to write about a tile.

    Attributes:
        tile: which.
        owner: who has it.
        number: of all leases that the tile had; writes with an older one are refused.
        until: when others may take it.
    """

    tile: str
    owner: str
    number: int
    until: float


@dataclass(frozen=True)
class Claim:
    """A tile that is worked on."""

    tile: TileRecord
    attempt: Attempt
    lease: Lease


@dataclass(frozen=True)
class Choice:
    """A tile that a back end is to make.

    Attributes:
        tile, backend: which.
        memory_mb: what the job will ask for.
        profile: JSON-ready: what will be sent.
    """

    tile: str
    backend: str
    memory_mb: int
    profile: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """What happened.

    Attributes:
        at: when.
        kind: one word, as `claimed`, `started`, `failed`.
        text: for people.
        tile, attempt, backend: whom it is about.
        data: JSON-ready.
        id: in the order of writing; 0 before it is written.
    """

    at: float
    kind: str
    text: str = ""
    tile: str | None = None
    attempt: int | None = None
    backend: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0
