"""What lies on disk of a job: what its process is to do, its log, what it made, how it ended."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from acreage.backend.jobs.logs import JobLog, Level


@dataclass(frozen=True)
class JobSpec:
    """What the process of a job is to do.

    Attributes:
        job_id: of the job.
        user_id: whose.
        trusted: whether the user's code may run without isolation from the machine.
        process: whose graph calls predefined processes only.
        options: of the job: memory, threads, tolerance and the like, as its user gave them.
        log_level: the least that is logged.
        files: folder of the user's files.
        synchronous: whether somebody waits for the one result.
        bucket: where results are put (`BucketAddress`); None: they stay in the attempt's folder.
        place: of this attempt in the bucket.
        results: STAC documents of the jobs that the graph loads, by what it names.
    """

    job_id: str
    user_id: str
    trusted: bool
    process: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    log_level: Level = "info"
    files: str = ""
    synchronous: bool = False
    bucket: Mapping[str, Any] | None = None
    place: str = ""
    results: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How the process of a job ended.

    Attributes:
        status: `finished` or `error`.
        error: openEO code and message.
        usage: what was used: `cpu_seconds`, `seconds`, `peak_memory`, `source_pixels` and counts of items.
        files: of the result: name, media type, size and what else is known of each.
        about: of all files: area, time, CRS, dimensions, bands.
        place: in the bucket of results; empty where files lie in the attempt's folder.
    """

    status: str
    error: Mapping[str, Any] | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Mapping[str, Any], ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    http_status: int = 500
    place: str = ""


@dataclass(frozen=True)
class Progress:
    """How far the work of a job has come.

    Attributes:
        share: 0 to 1.
        source_pixels: asked of the files so far.
    """

    share: float = 0.0
    source_pixels: int = 0


@dataclass(frozen=True)
class JobFolder:
    """The folder of a job; every attempt has one of its own inside.

    Attributes:
        path: of the job.
        attempt: number of the attempt.
    """

    path: Path
    attempt: int = 1

    @property
    def attempt_path(self) -> Path:
        """Where this attempt works."""
        return self.path / f"attempt-{self.attempt}"

    @property
    def results(self) -> Path:
        """Files of the result."""
        return self.attempt_path / "results"

    @property
    def scratch(self) -> Path:
        """What is spilled; gone when the attempt ends."""
        return self.attempt_path / "scratch"

    def log(self, level: Level = "info") -> JobLog:
        """Of all attempts."""
        return JobLog(self.path / "log.jsonl", level)

    def begin(self, spec: JobSpec) -> None:
        """Make the folder of a new attempt; those of earlier ones go.

        Raises:
            OSError: the disk refuses.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for old in self.path.glob("attempt-*"):
            shutil.rmtree(old)
        self.results.mkdir(parents=True)
        self.scratch.mkdir()
        _write(self.attempt_path / "spec.json", asdict(spec))

    def spec(self) -> JobSpec:
        """What is to be done."""
        return JobSpec(**json.loads((self.attempt_path / "spec.json").read_text("utf-8")))

    def tell_progress(self, share: float, source_pixels: int = 0) -> None:
        """Say how far the work has come, 0 to 1, and what was read for it."""
        with suppress(OSError):
            _write(self.attempt_path / "progress.json", [share, source_pixels])

    def progress(self) -> Progress:
        """How far the work has come."""
        try:
            share, pixels = json.loads((self.attempt_path / "progress.json").read_text("utf-8"))
            return Progress(float(share), int(pixels))
        except (OSError, ValueError, TypeError):
            return Progress()

    def end(self, outcome: Outcome) -> None:
        """Say how the work ended; the last that its process does.

        Raises:
            OSError: the disk refuses.
        """
        _write(self.attempt_path / "outcome.json", asdict(outcome))

    def outcome(self) -> Outcome | None:
        """How the work ended; None where its process died."""
        try:
            document = json.loads((self.attempt_path / "outcome.json").read_text("utf-8"))
            return Outcome(**{**document, "files": tuple(document["files"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def clean(self) -> None:
        """Remove what is spilled."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    def clear(self) -> None:
        """Remove what this attempt made."""
        self.clean()
        shutil.rmtree(self.results, ignore_errors=True)

    def remove_results(self) -> None:
        """Remove all attempts; the log stays."""
        for old in self.path.glob("attempt-*"):
            shutil.rmtree(old, ignore_errors=True)

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.path, ignore_errors=True)


def _write(path: Path, value: Any) -> None:
    """Whole or not at all, also where the machine stops."""
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
