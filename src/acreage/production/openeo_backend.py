"""An openEO back end behind the production's Protocol, by openEO's official client."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import requests
from openeo.rest.connection import Connection

from acreage.core.errors import (
    BackEndDeterministic,
    BackEndNonsense,
    BackEndNotFound,
    BackEndUnauthorized,
    InvalidInput,
)
from acreage.production.backends import Fetched, JobRequest, Limits, LogLine, RemoteJob
from acreage.production.downloads import download, files_of
from acreage.production.openeo_answers import (
    RemoteEstimate,
    estimate_of,
    job_of,
    limits_of,
    log_lines,
    members,
    next_page,
)
from acreage.production.openeo_failures import LastAnswer, translated
from acreage.production.openeo_login import check_secrets, connect
from acreage.production.profiles import Profile

T = TypeVar("T")
DOCUMENT = "results.json"
"""The metadata of results, as they came, beside the files."""
_PAGE = 100
_MOST_PAGES = 10_000
_LOG_PAGES, _LOG_LINES = 50, 200
_NOT_THERE = {"JobNotStarted", "JobNotFound", "JobNotRunning"}


class OpenEoBackEnd:
    """See `acreage.production.backends.BackEnd`.

    It connects at the first call. A login that is not taken is made anew once.

    Args:
        name: in the production.
        profile: of it.
        uploads: files of this machine, each with its path among the account's files there, that jobs need:
            they are uploaded before the first job is made.

    Raises:
        InvalidInput: an environment variable that the profile names is not set.
    """

    def __init__(self, name: str, profile: Profile, uploads: Sequence[tuple[Path, str]] = ()) -> None:
        check_secrets(profile, name)
        self._name = name
        self.profile = profile
        self._answer = LastAnswer()
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._titles: dict[str, str] = {}
        self._uploads = tuple(uploads)
        self._uploaded = False
        self._uploading = threading.Lock()

    @property
    def name(self) -> str:
        """As the Protocol."""
        return self._name

    def limits(self) -> Limits:
        """As the Protocol."""
        return self._asked("limits", lambda c: limits_of(c.describe_account(), c.capabilities().capabilities))

    def create(self, job: JobRequest) -> str:
        """As the Protocol."""
        with self._uploading:
            if not self._uploaded:
                for source, target in self._uploads:
                    self.upload(source, target)
                self._uploaded = True

        def ask(connection: Connection) -> str:
            made = connection.create_job(
                {"process_graph": dict(job.graph)},
                title=job.title,
                budget=job.budget,
                additional=dict(job.options),
                validate=False,
            )
            return str(made.job_id)

        return self._asked(f"making the job {job.title}", ask, changes=True)

    def find(self, token: str) -> str | None:
        """As the Protocol. Where lists have no titles, the jobs themselves are asked for theirs."""
        found = [job for job in self.states() if token in (job.title or self._title(job.id))]
        # Were there two, the one that was started is the one that is paid for.
        found.sort(key=lambda job: job.status == "created")
        return found[0].id if found else None

    def start(self, remote_id: str) -> None:
        """As the Protocol."""
        self._asked(f"starting job {remote_id}", lambda c: c.job(remote_id).start(), changes=True)

    def state(self, remote_id: str) -> RemoteJob:
        """As the Protocol."""
        document = self._asked(f"state of job {remote_id}", lambda c: c.job(remote_id).describe())
        job = job_of(document, self._name)
        if job.id != remote_id:
            raise BackEndNonsense(
                f"{self._name} was asked for job {remote_id} and tells of {job.id}.", backend=self._name
            )
        return job

    def states(self) -> Iterator[RemoteJob]:
        """As the Protocol."""
        for page in self._pages("/jobs", "jobs", {"limit": _PAGE}, _MOST_PAGES):
            for entry in page:
                yield job_of(entry, self._name)

    def logs(self, remote_id: str) -> tuple[LogLine, ...]:
        """As the Protocol: errors first of all, then the last of the other lines."""
        lines: deque[LogLine] = deque(maxlen=_LOG_LINES)
        errors: deque[LogLine] = deque(maxlen=_LOG_LINES)
        for page in self._pages(f"/jobs/{remote_id}/logs", "logs", {}, _LOG_PAGES):
            for line in log_lines(page):
                (errors if line.level == "error" else lines).append(line)
        return (*errors, *lines)

    def fetch(self, remote_id: str, folder: Path) -> Fetched:
        """As the Protocol; the metadata are written beside the files (`DOCUMENT`).

        Raises:
            WriteFailed: the disk of this machine refused.
        """
        base, document = self._asked(f"results of job {remote_id}", lambda c: _results(c, remote_id))
        if not isinstance(document, Mapping):
            raise BackEndNonsense(f"The results of job {remote_id} at {self._name} are no object.")
        files = files_of(document, base, self._name)
        for file in files:
            self._asked(
                f"downloading {file.name} of job {remote_id}",
                lambda c, f=file: download(f, folder, _streamed(c), self.profile.download_part, self._name),  # type: ignore[misc]
            )
        names = tuple(f.name for f in files)
        return Fetched(folder, names, sum((folder / n).stat().st_size for n in names), document)

    def cancel(self, remote_id: str) -> None:
        """As the Protocol."""
        self._harmless(f"cancelling job {remote_id}", lambda c: c.job(remote_id).stop())

    def delete(self, remote_id: str) -> None:
        """As the Protocol."""
        self._harmless(f"deleting job {remote_id}", lambda c: c.job(remote_id).delete())

    def estimate(self, remote_id: str) -> RemoteEstimate:
        """What a job that was not started is expected to cost and to take."""
        document = self._asked(
            f"estimate of job {remote_id}",
            lambda c: c.get(f"/jobs/{remote_id}/estimate", expected_status=200).json(),
        )
        return estimate_of(document, self._name)

    def upload(self, source: Path, target: str) -> bool:
        """Put a file into the account's files, unless one of that path and size is there.

        Args:
            source: on this machine.
            target: path at the back end, which stands for the content: another content has another path.

        Returns:
            Whether it was uploaded.

        Raises:
            BackEndDeterministic: the back end keeps no files.
        """
        size = source.stat().st_size
        for page in self._pages("/files", "files", {}, _MOST_PAGES):
            for entry in page:
                if isinstance(entry, Mapping) and (entry.get("path"), entry.get("size")) == (target, size):
                    return False
        self._asked(f"uploading {source.name}", lambda c: c.upload_file(source, target))
        return True

    def can_upload(self) -> bool:
        """Whether the back end keeps files of its users."""
        what = "capabilities"
        return self._asked(what, lambda c: bool(c.capabilities().supports_endpoint("/files/{path}", "PUT")))

    # --- requests ---

    def _asked(self, what: str, ask: Callable[[Connection], T], *, changes: bool = False) -> T:
        """What a request gives; after a refused login it is made once more with a new one."""
        connection = self._logged_in(what)
        try:
            with translated(self._name, what, self._answer, changes=changes):
                return ask(connection)
        except BackEndUnauthorized:
            self._forget(connection)
        connection = self._logged_in(what)
        with translated(self._name, what, self._answer, changes=changes):
            return ask(connection)

    def _logged_in(self, what: str) -> Connection:
        with self._lock:
            if self._connection is None:
                try:
                    with translated(self._name, f"login for {what}", self._answer):
                        self._connection = connect(self.profile, self._answer, self._name)
                except InvalidInput as error:
                    raise BackEndUnauthorized(error.message, backend=self._name, hint=error.hint) from error
            return self._connection

    def _forget(self, connection: Connection) -> None:
        """Log in anew at the next call, unless another thread did already."""
        with self._lock:
            if self._connection is connection:
                self._connection = None

    def _harmless(self, what: str, ask: Callable[[Connection], Any]) -> None:
        try:
            self._asked(what, ask, changes=True)
        except BackEndNotFound:
            return
        except BackEndDeterministic as error:
            if error.api_code not in _NOT_THERE:
                raise

    def _pages(self, path: str, name: str, parameters: Mapping[str, Any], most: int) -> Iterator[list[Any]]:
        """Pages of a list; one that leads back to itself is refused."""
        seen: set[str] = set()
        address: str | None = path
        asked: dict[str, Any] = dict(parameters)
        while address is not None:
            if address in seen or len(seen) >= most:
                raise BackEndNonsense(
                    f"Pages of {path} at {self._name} lead in a circle, or never end.", backend=self._name
                )
            seen.add(address)
            document = self._asked(
                f"list {path}",
                lambda c, a=address, p=asked: c.get(a, params=p or None, expected_status=200).json(),  # type: ignore[misc]
            )
            yield list(members(document, name, self._name))
            address, asked = next_page(document), {}

    def _title(self, remote_id: str) -> str:
        """The title of a job that a list tells without it; jobs keep theirs."""
        if remote_id not in self._titles:
            try:
                self._titles[remote_id] = self.state(remote_id).title
            except BackEndNotFound:
                return ""  # deleted meanwhile
        return self._titles[remote_id]


def _results(connection: Connection, remote_id: str) -> tuple[str, Any]:
    """Address and metadata of a job's results."""
    path = f"/jobs/{remote_id}/results"
    return connection.build_url(path), connection.get(path, expected_status=200).json()


def _streamed(connection: Connection) -> Callable[[str, Mapping[str, str]], requests.Response]:
    def ask(address: str, headers: Mapping[str, str]) -> requests.Response:
        answer: requests.Response = connection.get(address, headers=dict(headers), stream=True)
        return answer

    return ask
