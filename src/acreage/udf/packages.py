"""Packages that UDFs declare: installed once, kept in a cache, shared by jobs.

Only wheels are taken, so that nothing of a package runs while it is installed; it runs where the UDF runs.
What the interpreter has already is neither installed again nor replaced: its versions are constraints.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from filelock import FileLock

from acreage.core.errors import UdfError
from acreage.udf.errors import UdfDependencyMissing

_PACKAGES, _LEASE, _RESOLVED = "packages", "lease", "resolved.txt"
_DAY_S = 86_400.0
_LAST_LINES = 15
_MAX_LINE = 500


class Lease:
    """An environment that stays on the disk as long as this is held."""

    def __init__(self, environment: Path) -> None:
        self.folder = environment / _PACKAGES
        self._fd = os.open(environment / _LEASE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._fd, fcntl.LOCK_SH)
        os.utime(environment / _LEASE)

    def release(self) -> None:
        """Give it back; may be called again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.release()


@dataclass(frozen=True)
class PackageCache:
    """A folder of environments; safe to share between threads and processes.

    Attributes:
        folder: made where it is not there.
        index: address of a package index, or a folder of wheels; None for what pip is configured for.
        max_bytes: of one environment, and of all together: those longest unused go first.
        max_age_days: after which an environment is resolved anew.
        timeout_s: for one run of pip.
    """

    folder: Path
    index: str | None = None
    max_bytes: int = 5 * 1000**3
    max_age_days: float = 30.0
    timeout_s: float = 600.0

    def environment(self, requirements: Sequence[str]) -> Lease:
        """An environment with these requirements and what they need, beyond what the interpreter has.

        Raises:
            UdfDependencyMissing: they cannot be installed; the log has the last lines of pip.
        """
        constraints = _installed()
        key = _key(requirements, constraints)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / f"{key}.lock"):  # the first installs, the others wait for it
                with self._deciding():
                    current = self._current(key)
                    if current is not None:
                        return Lease(current)
                made = self._install(key, requirements, constraints)
                with self._deciding():
                    lease = Lease(made)
                    self._sweep()
                return lease
        except OSError as error:
            raise UdfDependencyMissing(
                f"The UDF's packages cannot be kept in {self.folder}: {error.strerror or error}.",
                hint="Make room there, or name another folder in ACREAGE_CACHE.",
            ) from None

    def _deciding(self) -> FileLock:
        return FileLock(self.folder / "lock")

    def _current(self, key: str) -> Path | None:
        young = [e for e in self._environments() if e.name.startswith(f"{key}-") and not self._is_old(e)]
        return max(young, key=_made, default=None)

    def _environments(self) -> list[Path]:
        return [path.parent for path in self.folder.glob(f"*/{_RESOLVED}")]

    def _is_old(self, environment: Path) -> bool:
        return time.time() - _made(environment) > self.max_age_days * _DAY_S

    def _sweep(self) -> None:
        """Remove what is too old, and what is too much, as long as nobody uses it."""
        left = sorted(self._environments(), key=_used)
        total = sum(map(_size, left))
        for environment in left:
            size = _size(environment)
            if (self._is_old(environment) or total > self.max_bytes) and _remove(environment):
                total -= size

    def _install(self, key: str, requirements: Sequence[str], constraints: Sequence[str]) -> Path:
        with tempfile.TemporaryDirectory(prefix=".making-", dir=self.folder) as name:
            work = Path(name)
            (work / "constraints.txt").write_text("\n".join(constraints), encoding="utf-8")
            report = work / "report.json"
            self._pip(
                [
                    "--dry-run",
                    "--report",
                    str(report),
                    "--constraint",
                    str(work / "constraints.txt"),
                    *requirements,
                ],
                requirements,
            )
            found = json.loads(report.read_text(encoding="utf-8"))["install"]
            pinned = sorted(f"{i['metadata']['name']}=={i['metadata']['version']}" for i in found)
            made = work / "environment"
            (made / _PACKAGES).mkdir(parents=True)
            if pinned:
                self._pip(["--no-deps", "--target", str(made / _PACKAGES), *pinned], requirements)
            size = _size(made)
            if size > self.max_bytes:
                raise UdfDependencyMissing(
                    f"The UDF's packages take {size / 1e6:,.1f} MB, "
                    f"of {self.max_bytes / 1e6:,.1f} MB that they may.",
                    hint="Declare fewer, or ask the operator to raise ACREAGE_UDF_PACKAGES_SIZE.",
                )
            (made / _RESOLVED).write_text("\n".join(pinned), encoding="utf-8")
            target = self.folder / f"{key}-{time.time_ns()}"
            made.rename(target)
        return target

    def _pip(self, arguments: Sequence[str], requirements: Sequence[str]) -> None:
        source: list[str] = []
        if self.index is not None:
            is_address = "://" in self.index
            source = ["--index-url", self.index] if is_address else ["--no-index", "--find-links", self.index]
        command = [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"),
            *("--only-binary", ":all:", *source, *arguments),
        ]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                check=False,
                text=True,
                timeout=self.timeout_s,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise _failed(requirements, f"pip took longer than {self.timeout_s:g} s", ()) from None
        if done.returncode != 0:
            lines = [line[:_MAX_LINE] for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            told = next(
                (x.removeprefix("ERROR: ") for x in reversed(lines) if x.startswith("ERROR: ")), "pip failed"
            )
            raise _failed(requirements, told, lines[-_LAST_LINES:])


def _failed(requirements: Sequence[str], why: str, log: Sequence[str]) -> UdfError:
    return UdfDependencyMissing(
        f"The UDF's packages {', '.join(requirements)} cannot be installed: {why.rstrip('.')}.",
        hint="Only wheels are taken, in versions that agree with the packages that are there already.",
        log=log,
    )


def _installed() -> list[str]:
    """What the interpreter has, as constraints; `acreage` is nothing that an index knows."""
    found = {d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"]}
    return sorted(f"{name}=={version}" for name, version in found.items() if name != "acreage")


def _key(requirements: Sequence[str], constraints: Sequence[str]) -> str:
    parts = [sorted(requirements), constraints, platform.python_version(), sysconfig.get_platform()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _made(environment: Path) -> float:
    return int(environment.name.rpartition("-")[2]) / 1e9


def _used(environment: Path) -> float:
    try:
        return (environment / _LEASE).stat().st_mtime
    except OSError:
        return 0.0


def _size(environment: Path) -> int:
    return sum(p.lstat().st_size for p in environment.rglob("*") if not p.is_dir())


def _remove(environment: Path) -> bool:
    """Remove an environment, unless somebody holds a lease on it."""
    fd = os.open(environment / _LEASE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        # The record goes first: an environment without it is none.
        (environment / _RESOLVED).unlink(missing_ok=True)
        shutil.rmtree(environment, ignore_errors=True)
        return True
    finally:
        os.close(fd)
