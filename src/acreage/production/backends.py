"""What a production asks of an openEO back end: a Protocol, and the values that cross it.

The runner knows back ends by this alone; it runs the same against the official client over HTTP and against
simulated back ends on a virtual clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

RemoteStatus = Literal["created", "queued", "running", "finished", "error", "canceled"]
LIVE: tuple[RemoteStatus, ...] = ("queued", "running")
ENDED: tuple[RemoteStatus, ...] = ("finished", "error", "canceled")


@dataclass(frozen=True)
class Limits:
    """What a back end tells of the account's limits; None: it does not tell.

    Attributes:
        parallel: jobs that may run at once.
        active: jobs that may wait or run at once.
        budget_left: money of the account.
        currency: of it.
    """

    parallel: int | None = None
    active: int | None = None
    budget_left: float | None = None
    currency: str | None = None


@dataclass(frozen=True)
class JobRequest:
    """A batch job as it is sent: already in the words of one back end.

    Attributes:
        token: unique among all attempts of all productions.
        title: holds the token, so that the job is found by it.
        graph: flat process graph.
        options: members of `POST /jobs` beside title, process and budget, e.g. `job_options`.
        budget: the most that the job may cost; None: no limit of its own.
        sent: what the profile changed, for the ledger (maps of collections and bands, options).
    """

    token: str
    title: str
    graph: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    budget: float | None = None
    sent: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RemoteUsage:
    """What a job used, as far as the back end tells.

    Attributes:
        cpu_seconds: of all its processes.
        duration_s: wall clock.
        peak_memory_mb: 10 ** 6 bytes.
    """

    cpu_seconds: float | None = None
    duration_s: float | None = None
    peak_memory_mb: float | None = None


@dataclass(frozen=True)
class RemoteJob:
    """A job as the back end tells it.

    Attributes:
        id: the back end's.
        status: as the API has it.
        title: with the token.
        progress: percent; None: not told.
        costs: so far, or in all once it has ended; None: not told.
        usage: of it.
    """

    id: str
    status: RemoteStatus
    title: str = ""
    progress: float | None = None
    costs: float | None = None
    usage: RemoteUsage = RemoteUsage()


@dataclass(frozen=True)
class LogLine:
    """A line of a job's log.

    Attributes:
        level: `error`, `warning`, `info` or `debug`.
        message: for people.
        code: openEO's error code; empty where there is none.
    """

    level: str
    message: str
    code: str = ""


@dataclass(frozen=True)
class Fetched:
    """Downloaded results of a job.

    Attributes:
        folder: where they are.
        files: names in it, without the metadata.
        bytes: of all of them.
        document: the back end's metadata of the results, as it sent it.
    """

    folder: Path
    files: tuple[str, ...]
    bytes: int
    document: Mapping[str, Any] = field(default_factory=dict)


class BackEnd(Protocol):
    """An openEO back end. Safe to use from several threads; every call may block.

    All methods raise `BackEndError` (`acreage.core.errors`) of the class that fits, and nothing else. Each
    makes one attempt with a timeout: when to try again is the runner's to say. A login that has expired is
    renewed inside, and the request made once more.
    """

    @property
    def name(self) -> str:
        """In the production."""
        ...

    def limits(self) -> Limits:
        """What the API tells of the account."""
        ...

    def create(self, job: JobRequest) -> str:
        """Make a job (`POST /jobs`), not started; its id at the back end.

        Raises:
            BackEndError: `may_be_done` where it is not known whether there is a job now.
        """
        ...

    def find(self, token: str) -> str | None:
        """The id of the account's job whose title holds a token, looked for on every page of `GET /jobs`."""
        ...

    def start(self, remote_id: str) -> None:
        """Queue a job (`POST /jobs/{id}/results`); the caller has read its state before.

        Raises:
            BackEndError: `may_be_done` where it is not known whether it was started.
        """
        ...

    def state(self, remote_id: str) -> RemoteJob:
        """A job with its costs and usage.

        Raises:
            BackEndNotFound: there is no such job (any more).
        """
        ...

    def states(self) -> Iterator[RemoteJob]:
        """The account's jobs, newest first, a page a call (`GET /jobs`); usage and costs may be missing."""
        ...

    def logs(self, remote_id: str) -> tuple[LogLine, ...]:
        """The last lines of a job's log, errors among them."""
        ...

    def fetch(self, remote_id: str, folder: Path) -> Fetched:
        """Download all results into an empty or half-filled folder; what is there is continued.

        Raises:
            BackEndNotFound: the job or its results are gone.
        """
        ...

    def cancel(self, remote_id: str) -> None:
        """Stop a job that waits or runs; nothing happens to one that does not."""
        ...

    def delete(self, remote_id: str) -> None:
        """Delete a job with its results; nothing happens where there is none."""
        ...
