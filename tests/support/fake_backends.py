"""Simulated openEO back ends, in process and on a clock that may be virtual: they queue, run, fail and lie.

Every back end keeps a record of its own of what was made, started and paid, which tests compare with the
ledger. What becomes of a job is drawn from its tile and from how often the tile was started anywhere, so that
it does not depend on who runs it when, and a perfect schedule can be told from the same draws.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import struct
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from acreage.core.errors import (
    BackEndError,
    BackEndFull,
    BackEndNotFound,
    BackEndTransient,
    ProductWrong,
)
from acreage.production.backends import (
    Fetched,
    JobRequest,
    Limits,
    LogLine,
    RemoteJob,
    RemoteStatus,
    RemoteUsage,
)
from acreage.production.clock import Clock
from acreage.production.ledger.values import Attempt, TileRecord

PRODUCT = "product.json"


def draw(*about: object) -> float:
    """A number in [0, 1) that depends on what it is about alone."""
    digest = hashlib.blake2b(repr(about).encode(), digest_size=8).digest()
    return struct.unpack("<Q", digest)[0] / 2**64


@dataclass(frozen=True)
class Fate:
    """What becomes of a job.

    Attributes:
        message: of the error; empty: it succeeds.
        share: of its time after which it ends.
    """

    message: str = ""
    share: float = 1.0


@dataclass
class World:
    """What all simulated back ends share.

    Attributes:
        clock: of the production.
        seed: of all draws.
        transient: share of starts that fail for a while.
        deterministic: share of tiles whose jobs always fail.
        hungry: share of tiles whose jobs need 1.8 times the estimated memory.
        starts: by tile.
    """

    clock: Clock
    seed: int = 0
    transient: float = 0.0
    deterministic: float = 0.0
    hungry: float = 0.0
    starts: Counter[str] = field(default_factory=Counter)

    def fate(self, tile: str, start: int, memory_mb: int, estimated_mb: int) -> Fate:
        """Of the so manieth start of a tile's job, counted from 0."""
        if draw(self.seed, "deterministic", tile) < self.deterministic:
            return Fate("NoDataAvailable: no items for the season", 0.1)
        if draw(self.seed, "hungry", tile) < self.hungry and memory_mb < 1.8 * estimated_mb:
            return Fate("The worker was killed: out of memory", 0.7)
        if draw(self.seed, "transient", tile, start) < self.transient:
            return Fate("executor lost: connection reset by peer", draw(self.seed, "when", tile, start))
        return Fate()

    def work(self, tile: str, core_seconds: float) -> float:
        """Core-seconds of all jobs of a tile until it is done, or has failed for good."""
        total = 0.0
        for start in itertools.count():
            fate = self.fate(tile, start, 10**9, 1)
            total += core_seconds * fate.share
            if not fate.message or fate.share == 0.1:
                return total
        raise AssertionError


@dataclass
class FakeJob:
    """A job of a simulated back end."""

    id: str
    title: str
    tile: str
    core_seconds: float
    memory_mb: int
    estimated_mb: int
    status: RemoteStatus = "created"
    started: float = 0.0
    ends: float = 0.0
    fate: Fate = field(default_factory=Fate)


@dataclass
class FakeBackEnd:
    """A simulated back end.

    Attributes:
        world: that it is in.
        name: in the production.
        speed: core-seconds a second.
        parallel: jobs that it runs at once; more wait.
        told: that its API tells.
        refuses_over: jobs that it takes, waiting ones included; None: any number.
        price: of a core-second.
        forgets: whether a job is gone once its results or log were fetched: a long run shall not need memory.
        wrong: by a call's name, what goes wrong before it; by `after` and its name, after it.
        made, started, finished: jobs, by tile.
        paid: for them.
        busy_until: when its last job ended.
    """

    world: World
    name: str
    speed: float = 1.0
    parallel: int = 2
    told: int | None = None
    refuses_over: int | None = None
    price: float = 0.0
    forgets: bool = False
    wrong: dict[str, Callable[[], None]] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)
    started: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    paid: float = 0.0
    busy_until: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    jobs: OrderedDict[str, FakeJob] = field(default_factory=OrderedDict)
    _running: list[tuple[float, str]] = field(default_factory=list)
    _queue: list[str] = field(default_factory=list)
    _number: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    # --- the Protocol ---

    def limits(self) -> Limits:
        with self._call("limits"):
            return Limits(parallel=self.told)

    def create(self, job: JobRequest) -> str:
        with self._call("create"):
            self._number += 1
            remote_id = f"{self.name}-{self._number}"
            about = job.graph["tile"]["arguments"]
            self.jobs[remote_id] = FakeJob(
                remote_id,
                job.title,
                about["tile"],
                about["core_seconds"],
                job.options["memory_mb"],
                about["memory_mb"],
            )
            self.made[about["tile"]] += 1
            self._after("create")
            return remote_id

    def find(self, token: str) -> str | None:
        with self._call("find"):
            return next((job.id for job in self.jobs.values() if token in job.title), None)

    def start(self, remote_id: str) -> None:
        with self._call("start"):
            job = self._job(remote_id)
            if self.refuses_over is not None and len(self._running) + len(self._queue) >= self.refuses_over:
                raise BackEndFull(f"{self.name}: too many jobs.", backend=self.name)
            if job.status in ("queued", "running"):
                return
            tile = job.tile
            self.started[tile] += 1
            job.fate = self.world.fate(tile, self.world.starts[tile], job.memory_mb, job.estimated_mb)
            self.world.starts[tile] += 1
            job.status = "queued"
            self._queue.append(remote_id)
            self._fill(self.world.clock.now())
            self._after("start")

    def state(self, remote_id: str) -> RemoteJob:
        with self._call("state"):
            return self._told(self._job(remote_id))

    def states(self) -> Iterator[RemoteJob]:
        with self._call("states"):
            found = [self._told(job) for job in reversed(self.jobs.values())]
        return iter(found)

    def logs(self, remote_id: str) -> tuple[LogLine, ...]:
        with self._call("logs"):
            job = self._job(remote_id)
            if job.status == "error" and self.forgets:
                del self.jobs[remote_id]
            return (LogLine("info", "The job began."), LogLine("error", job.fate.message))

    def fetch(self, remote_id: str, folder: Path) -> Fetched:
        with self._call("fetch"):
            job = self._job(remote_id)
            if self.forgets:
                del self.jobs[remote_id]
            return self._results(job, folder)

    def cancel(self, remote_id: str) -> None:
        with self._call("cancel"):
            self._job(remote_id).status = "canceled"

    def delete(self, remote_id: str) -> None:
        with self._call("delete"):
            self.jobs.pop(remote_id, None)

    # --- the inside ---

    def _results(self, job: FakeJob, folder: Path) -> Fetched:
        return Fetched(folder, (PRODUCT,), 100, {"tile": job.tile})

    def _job(self, remote_id: str) -> FakeJob:
        if remote_id not in self.jobs:
            raise BackEndNotFound(f"{self.name} knows no job {remote_id}.", backend=self.name, status=404)
        return self.jobs[remote_id]

    def _told(self, job: FakeJob) -> RemoteJob:
        if job.status not in ("finished", "error"):
            return RemoteJob(job.id, job.status, job.title)
        seconds = (job.ends - job.started) * self.speed
        usage = RemoteUsage(seconds, job.ends - job.started, 0.8 * job.estimated_mb)
        return RemoteJob(job.id, job.status, job.title, 100.0, self.price * seconds, usage)

    def _call(self, name: str) -> threading.RLock:
        """Count a call, let time do its work, and fail where that is wanted."""
        with self._lock:
            self.calls[name] += 1
            self._advance()
            if (wrong := self.wrong.get(name)) is not None:
                wrong()
        return self._lock

    def _after(self, name: str) -> None:
        """What goes wrong after the request was carried out: the answer is lost."""
        if (wrong := self.wrong.get(f"after {name}")) is not None:
            wrong()

    def _advance(self) -> None:
        now = self.world.clock.now()
        while self._running and self._running[0][0] <= now:
            ended, remote_id = heapq.heappop(self._running)
            job = self.jobs.get(remote_id)
            if job is not None:
                job.status = "error" if job.fate.message else "finished"
                self.finished[job.tile] += not job.fate.message
                self.paid += self.price * (job.ends - job.started) * self.speed
                self.busy_until = max(self.busy_until, ended)
            self._fill(ended)

    def _fill(self, now: float) -> None:
        while self._queue and len(self._running) < self.parallel:
            job = self.jobs[self._queue.pop(0)]
            job.status, job.started = "running", now
            job.ends = now + job.core_seconds * job.fate.share / self.speed
            heapq.heappush(self._running, (job.ends, job.id))


@dataclass(frozen=True)
class FakeMaker:
    """Jobs of tiles for simulated back ends."""

    def request(self, tile: TileRecord, attempt: Attempt) -> JobRequest:
        about = {"tile": tile.id, "core_seconds": tile.core_seconds, "memory_mb": tile.memory_mb}
        graph = {"tile": {"process_id": "constant", "arguments": about, "result": True}}
        options = {"memory_mb": attempt.memory_mb}
        return JobRequest(attempt.token, f"test {attempt.token}", graph, options, sent={"options": options})


@dataclass
class FakeProducts:
    """Takes products in that are nothing but the name of their tile."""

    accepted: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[ProductWrong]] = field(default_factory=dict)

    def accept(self, tile: TileRecord, attempt: Attempt, fetched: Fetched) -> None:
        if self.wrong.get(tile.id):
            raise self.wrong[tile.id].pop(0)
        if fetched.document.get("tile") != tile.id:
            raise ProductWrong(f"The results are of tile {fetched.document.get('tile')}, not of {tile.id}.")
        self.accepted[tile.id] += 1


def fails(error: BackEndError, times: int | None = None) -> Callable[[], None]:
    """A fault of a call: always, or so many times."""
    left = itertools.count() if times is None else iter(range(times))

    def fail() -> None:
        if next(left, None) is not None:
            raise error

    return fail


def away(*, may_be_done: bool = False, retry_after: float | None = None) -> BackEndTransient:
    """No connection."""
    return BackEndTransient("It does not answer.", may_be_done=may_be_done, retry_after=retry_after)


def ideal(world: World, tiles: Mapping[str, float], back_ends: list[FakeBackEnd]) -> float:
    """Seconds that no schedule of the same jobs can be faster than: all places busy until the end."""
    work = sum(world.work(tile, seconds) for tile, seconds in tiles.items())
    return work / sum(b.speed * b.parallel for b in back_ends)
