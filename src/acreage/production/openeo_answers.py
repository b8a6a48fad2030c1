"""Documents of the openEO API as values: what is not as the API has it is said, never guessed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import pandas as pd

from acreage.core.errors import BackEndNonsense
from acreage.production.backends import Limits, LogLine, RemoteJob, RemoteStatus, RemoteUsage

STATUSES: tuple[str, ...] = get_args(RemoteStatus)
LEVELS = ("error", "warning", "info", "debug")
_SECONDS = {
    "cpu-seconds": 1.0,
    "seconds": 1.0,
    "s": 1.0,
    "minutes": 60.0,
    "cpu-hours": 3600.0,
    "hours": 3600.0,
}
_MEGABYTES = {
    "mb": 1.0,
    "megabytes": 1.0,
    "gb": 1e3,
    "mib": 2**20 / 1e6,
    "gib": 2**30 / 1e6,
    "bytes": 1e-6,
    "b": 1e-6,
}


def job_of(document: Any, backend: str) -> RemoteJob:
    """A job's metadata, of a list or of its own.

    Raises:
        BackEndNonsense: it has no id, or a status that the API does not have.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("id"), str) or not document["id"]:
        raise BackEndNonsense(f"{backend} tells of a job without an id.", backend=backend)
    status = document.get("status")
    if status not in STATUSES:
        raise BackEndNonsense(
            f"{backend} tells of job {document['id']} that it is {status!r}, which is no status of the API.",
            backend=backend,
        )
    title = document.get("title")
    return RemoteJob(
        document["id"],
        status,
        title if isinstance(title, str) else "",
        amount(document.get("progress")),
        amount(document.get("costs")),
        usage_of(document.get("usage")),
    )


def usage_of(document: Any) -> RemoteUsage:
    """What a job used, in the units that are told; unknown units count as not told."""
    if not isinstance(document, Mapping):
        return RemoteUsage()
    duration = _measured(document.get("duration"), _SECONDS)
    peak = _measured(document.get("max_memory") or document.get("max_executor_memory"), _MEGABYTES)
    return RemoteUsage(_measured(document.get("cpu"), _SECONDS), duration, peak)


@dataclass(frozen=True)
class RemoteEstimate:
    """What a job is expected to cost and to take, as far as the back end tells.

    Attributes:
        cost: in the back end's currency.
        duration_s: wall clock.
    """

    cost: float | None = None
    duration_s: float | None = None


def estimate_of(document: Any, backend: str) -> RemoteEstimate:
    """An estimate; the duration is ISO 8601's.

    Raises:
        BackEndNonsense: it is no object.
    """
    if not isinstance(document, Mapping):
        raise BackEndNonsense(f"The estimate of {backend} is no object.", backend=backend)
    stated = document.get("duration")
    seconds: float | None = None
    if isinstance(stated, str):
        try:
            seconds = amount(pd.Timedelta(stated).total_seconds())
        except ValueError:
            seconds = None
    return RemoteEstimate(amount(document.get("costs")), seconds)


def limits_of(account: Any, capabilities: Any) -> Limits:
    """What `GET /me` and the capabilities tell; amounts that cannot be are as good as not told."""
    account = account if isinstance(account, Mapping) else {}
    capabilities = capabilities if isinstance(capabilities, Mapping) else {}
    stated = account.get("limits")
    limits = stated if isinstance(stated, Mapping) else {}
    billing = capabilities.get("billing")
    currency = billing.get("currency") if isinstance(billing, Mapping) else None
    return Limits(
        _count(limits.get("parallel_jobs")),
        _count(limits.get("active_jobs")),
        amount(account.get("budget")),
        currency if isinstance(currency, str) else None,
    )


def members(document: Any, name: str, backend: str) -> Sequence[Any]:
    """A list that an answer must have.

    Raises:
        BackEndNonsense: it has none.
    """
    found = document.get(name) if isinstance(document, Mapping) else None
    if not isinstance(found, list):
        raise BackEndNonsense(f"The answer of {backend} has no list of {name}.", backend=backend)
    return found


def next_page(document: Mapping[str, Any]) -> str | None:
    """The address of the next page."""
    links = document.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, Mapping) and link.get("rel") == "next" and isinstance(link.get("href"), str):
            return str(link["href"])
    return None


def log_lines(entries: Sequence[Any]) -> Iterator[LogLine]:
    """Lines of a log; what is no line is left out."""
    for entry in entries:
        if isinstance(entry, Mapping) and isinstance(entry.get("message"), str):
            level, code = str(entry.get("level", "info")).lower(), entry.get("code")
            yield LogLine(level if level in LEVELS else "info", entry["message"], str(code) if code else "")


def amount(value: Any) -> float | None:
    """A number of 0 or more; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def _count(value: Any) -> int | None:
    found = amount(value)
    return int(found) if found is not None and found >= 1 else None


def _measured(document: Any, units: Mapping[str, float]) -> float | None:
    if not isinstance(document, Mapping):
        return None
    value, factor = amount(document.get("value")), units.get(str(document.get("unit", "")).lower())
    return None if value is None or factor is None else value * factor
