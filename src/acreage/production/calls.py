"""The runner's calls to back ends, as they run beside its loop; none of them writes into the ledger."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from acreage.core.errors import BackEndNotFound, LeaseLost
from acreage.production.backends import BackEnd, Fetched, JobRequest, LogLine, RemoteJob, RemoteStatus
from acreage.production.clock import Clock
from acreage.production.ledger.values import Attempt, TileRecord
from acreage.production.parts import JobMaker, Products, download_folder

_FEW = 3
"""So many jobs are asked for one by one; more are looked up in the list of all."""
_LISTED = 4
_MORE = 100


@dataclass(frozen=True)
class Made:
    """A job that is there now.

    Attributes:
        remote_id: at the back end.
        request: it was made of.
        found: whether it was there already.
    """

    remote_id: str
    request: JobRequest
    found: bool


@dataclass(frozen=True)
class Looked:
    """What a back end told of the jobs that it was asked for.

    Attributes:
        jobs: that it knows.
        lost: ids that it does not know.
    """

    jobs: tuple[RemoteJob, ...]
    lost: frozenset[str]


@dataclass(frozen=True)
class Explained:
    """Why a job failed.

    Attributes:
        job: with its costs.
        lines: of its log that are errors; the last ones where none is.
    """

    job: RemoteJob
    lines: tuple[LogLine, ...]


@dataclass
class Calls:
    """What is asked of back ends.

    Attributes:
        clock: of the production.
        maker: of jobs.
        products: that are taken in.
        results: folder of the production's products.
        mine_until: when the runner's leases end; it is moved as they are renewed.
    """

    clock: Clock
    maker: JobMaker
    products: Products
    results: Path
    mine_until: float = 0.0

    def make(self, backend: BackEnd, tile: TileRecord, attempt: Attempt, unsure: bool) -> Made:
        """The attempt's job: one that is there already, where that may be, else a new one."""
        request = self.maker.request(tile, attempt)
        if unsure and (known := backend.find(attempt.token)) is not None:
            return Made(known, request, True)
        self._check_lease(tile)
        return Made(backend.create(request), request, False)

    def start(self, backend: BackEnd, tile: TileRecord, attempt: Attempt, unsure: bool) -> RemoteStatus:
        """Start a job once: its state is read before, where it may have been started already."""
        assert attempt.remote_id is not None
        if unsure and (status := backend.state(attempt.remote_id).status) != "created":
            return status
        self._check_lease(tile)
        backend.start(attempt.remote_id)
        return "queued"

    def look(self, backend: BackEnd, wanted: frozenset[str]) -> Looked:
        """How jobs are: by the list, whose newest are first, and one by one where they are not in it."""
        found: dict[str, RemoteJob] = {}
        if len(wanted) > _FEW:
            for number, job in enumerate(backend.states()):
                if job.id in wanted:
                    found[job.id] = job
                if len(found) == len(wanted) or number >= _LISTED * len(wanted) + _MORE:
                    break
        lost = set()
        for remote_id in sorted(wanted - found.keys()):
            try:
                found[remote_id] = backend.state(remote_id)
            except BackEndNotFound:
                lost.add(remote_id)
        return Looked(tuple(found.values()), frozenset(lost))

    def settle(self, backend: BackEnd, remote_id: str) -> RemoteJob:
        """A job that ended, with its costs and usage."""
        return backend.state(remote_id)

    def explain(self, backend: BackEnd, remote_id: str) -> Explained:
        """Why a job failed, and what it cost."""
        job, lines = backend.state(remote_id), backend.logs(remote_id)
        return Explained(job, tuple(line for line in lines if line.level == "error") or lines[-3:])

    def fetch(self, backend: BackEnd, attempt: Attempt, afresh: bool) -> Fetched:
        """Download the results of a job.

        Args:
            backend: that has them.
            attempt: whose.
            afresh: whether what is there of them is of no use.
        """
        assert attempt.remote_id is not None
        folder = download_folder(self.results, attempt)
        if afresh:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        return backend.fetch(attempt.remote_id, folder)

    def accept(self, tile: TileRecord, attempt: Attempt, fetched: Fetched) -> None:
        """Verify a product and put it into its place; the download goes."""
        self.products.accept(tile, attempt, fetched)
        shutil.rmtree(fetched.folder, ignore_errors=True)

    def discard(self, backend: BackEnd, token: str, remote_id: str | None) -> None:
        """Delete a job that was made and never started."""
        known = remote_id or backend.find(token)
        if known is not None and backend.state(known).status == "created":
            backend.delete(known)

    def _check_lease(self, tile: TileRecord) -> None:
        """Just before a job is made or started: a machine that slept may have lost its tiles meanwhile."""
        if self.clock.now() >= self.mine_until:
            raise LeaseLost(f"The lease of tile {tile.id} ended before its job was sent.")
