"""Raw numbers of the benchmarks: a JSON file a part, and all of them with the machine in `results.json`."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from acreage import __version__
from acreage.bench.process import Measured
from acreage.core.errors import InvalidInput
from acreage.core.outputs import whole_file

_LIBRARIES = (
    "numpy",
    "numba",
    "rasterio",
    "torch",
    "xarray",
    "dask",
    "distributed",
    "odc-stac",
    "flox",
    "numbagg",
    "openeo-processes-dask",
)


@dataclass(frozen=True)
class Row:
    """One thing that was measured, several times.

    Attributes:
        case: what it was run on.
        name: what was run.
        cpu_seconds: of the whole process tree, a number a round; empty where it was not measured.
        wall_seconds: a number a round.
        peak_memory: bytes, a number a round; empty where it was not measured.
        facts: what else is to be said, by name.
    """

    case: str
    name: str
    cpu_seconds: tuple[float, ...]
    wall_seconds: tuple[float, ...]
    peak_memory: tuple[int, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(case: str, name: str, runs: Sequence[Measured], **facts: Any) -> Row:
        """From the measured runs."""
        return Row(
            case,
            name,
            tuple(r.cpu_seconds for r in runs),
            tuple(r.wall_seconds for r in runs),
            tuple(r.peak_memory for r in runs),
            facts,
        )

    @property
    def cpu(self) -> float:
        """Median of the processor seconds."""
        return median(self.cpu_seconds)

    @property
    def wall(self) -> float:
        """Median of the wall-clock seconds."""
        return median(self.wall_seconds)


@dataclass(frozen=True)
class PartResult:
    """What a part of the benchmarks found.

    Attributes:
        part: its name.
        about: what was run on what.
        rows: the measurements.
        skipped: (what, why) was not measured.
        when: UTC, when it ended.
        command: that measured it.
    """

    part: str
    about: str
    rows: tuple[Row, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    when: str = ""
    command: str = ""

    def find(self, case: str, name: str) -> Row | None:
        """The row of a case and name."""
        return next((r for r in self.rows if (r.case, r.name) == (case, name)), None)

    @property
    def cases(self) -> tuple[str, ...]:
        """The cases in their order."""
        return tuple(dict.fromkeys(r.case for r in self.rows))


@dataclass(frozen=True)
class Results:
    """All parts, with the command and the machine.

    Attributes:
        command: that made them.
        machine: processor, cores, memory, system, versions.
        parts: in the order in which they are told.
    """

    command: str
    machine: Mapping[str, Any]
    parts: tuple[PartResult, ...]


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "acreage": __version__,
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name)) is not None},
    }


def write_part(folder: Path, found: PartResult) -> PartResult:
    """Keep a part's numbers as `raw/<part>.json`; it appears whole or not at all.

    Returns:
        The part with the time of its end, and its command.
    """
    path = folder / "raw" / f"{found.part}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    stamped = replace(found, when=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), command=_command())
    _write(path, {"machine": machine(), "part": asdict(stamped)})
    return stamped


def read_parts(folder: Path, names: Iterable[str]) -> dict[str, PartResult]:
    """The parts that were measured into this folder earlier.

    Raises:
        InvalidInput: a file cannot be read, or is from another machine or version.
    """
    found, here = {}, machine()
    for name in names:
        path = folder / "raw" / f"{name}.json"
        if path.is_file():
            document = _read(path)
            if document["machine"] != json.loads(json.dumps(here)):
                raise InvalidInput(
                    f"{path} was measured on another machine or with other versions.",
                    hint="Measure it anew with --again, or give another --out.",
                )
            found[name] = part_of(document["part"])
    return found


def write_results(folder: Path, parts: Sequence[PartResult]) -> Path:
    """All numbers with the command and the machine, as `results.json`."""
    results = Results(_command(), machine(), tuple(parts))
    path = folder / "results.json"
    _write(path, asdict(results))
    return path


def read_results(path: Path) -> Results:
    """What `write_results` wrote.

    Raises:
        InvalidInput: it cannot be read.
    """
    document = _read(path)
    try:
        return Results(document["command"], document["machine"], tuple(part_of(p) for p in document["parts"]))
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"{path} holds no results of benchmarks: {error}.") from error


def part_of(data: Mapping[str, Any]) -> PartResult:
    """A part from JSON."""
    rows = tuple(
        Row(
            row["case"],
            row["name"],
            tuple(row["cpu_seconds"]),
            tuple(row["wall_seconds"]),
            tuple(row["peak_memory"]),
            row["facts"],
        )
        for row in data["rows"]
    )
    skipped = tuple((what, why) for what, why in data["skipped"])
    return PartResult(data["part"], data["about"], rows, skipped, data["when"], data.get("command", ""))


def _command() -> str:
    return shlex.join(["acreage", *sys.argv[1:]])


def _write(path: Path, document: Mapping[str, Any]) -> None:
    with whole_file(path) as part:
        part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return found
    except (OSError, ValueError) as error:
        raise InvalidInput(f"The results {path} cannot be read: {error}.") from error


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
