"""What went wrong with a request to a back end, in the classes that the runner's policy knows."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3.exceptions
from openeo.rest import OpenEoApiError, OpenEoApiPlainError, OpenEoClientException
from openeo.rest.auth.oidc import OidcException

from acreage.core.errors import (
    BackEndDeterministic,
    BackEndError,
    BackEndFull,
    BackEndNonsense,
    BackEndNotFound,
    BackEndOutOfMemory,
    BackEndPaymentRequired,
    BackEndTransient,
    BackEndUnauthorized,
)

_BUSY = {408, 421, 423, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529}
_LOGIN = {
    "AuthenticationRequired",
    "AuthenticationSchemeInvalid",
    "CredentialsInvalid",
    "PermissionsInsufficient",
    "TokenInvalid",
}
_GONE = {"JobNotFound", "ResultsExpired"}
_PAYMENT = {"BudgetInvalid", "PaymentRequired", "BudgetExceeded"}
_FULL_CODES = {"JobLimitReached", "TooManyJobs", "ConcurrentJobsLimit", "ConcurrentJobLimit"}
_FULL = re.compile(r"(too many|limit (of|on|for|reached)|maximum (number )?of).{0,40}\bjobs?\b", re.I | re.S)
_MEMORY = re.compile(r"out of memory|\bOOM\b|OOMKilled|OutOfMemory|memory limit|MemoryError", re.I)
_SHOWN = 300


@dataclass
class LastAnswer(threading.local):
    """The headers of a thread's last answer: the client's exceptions do not carry them."""

    headers: Mapping[str, str] = field(default_factory=dict)

    def keep(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """A hook of requests."""
        self.headers = response.headers

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait. A date counts from the answer's own: what our clock says is no matter."""
        stated = self.headers.get("Retry-After")
        if stated is None:
            return None
        try:
            return max(0.0, float(stated))
        except ValueError:
            until, now = _moment(stated), _moment(self.headers.get("Date", ""))
            return None if until is None or now is None else max(0.0, (until - now).total_seconds())


def _moment(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None


@contextmanager
def translated(backend: str, what: str, answer: LastAnswer, *, changes: bool = False) -> Iterator[None]:
    """Turn what the client raises in this block into a `BackEndError`.

    Args:
        backend: its name.
        what: what was asked for, for the message: "starting job x".
        answer: headers of the last answer.
        changes: whether the request changes something, so that it may be done although no answer came.
    """
    answer.headers = {}
    try:
        yield
    except BackEndError:
        raise
    except OpenEoApiPlainError as error:
        raise _of_answer(backend, what, error, answer, changes=changes) from error
    except requests.exceptions.JSONDecodeError as error:
        raise _nonsense(backend, what, "it is not JSON", answer, changes=changes) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise BackEndTransient(
            f"{backend} cannot be reached ({what}): {_short(error)}.",
            backend=backend,
            may_be_done=changes and not _never_sent(error),
        ) from error
    except OidcException as error:
        raise BackEndUnauthorized(
            f"{backend} cannot be logged in to: {_short(error)}.",
            backend=backend,
            hint="Check the profile's login and its environment variable.",
        ) from error
    except OpenEoClientException as error:
        raise _nonsense(backend, what, _short(error), answer, changes=changes) from error
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        # The client takes for granted what an answer holds.
        reason = f"it has another form than openEO's ({_short(error)})"
        raise _nonsense(backend, what, reason, answer, changes=changes) from error


def _of_answer(
    backend: str, what: str, error: OpenEoApiPlainError, answer: LastAnswer, *, changes: bool
) -> BackEndError:
    """The class of an answer with an error's status."""
    status, code = int(error.http_status_code or 0), str(getattr(error, "code", "") or "")
    text = f"{backend} answered {status} {code} ({what}): {_short(error.message)}".replace("  ", " ")
    said: dict[str, Any] = {"backend": backend, "status": status, "api_code": code}
    by_api = isinstance(error, OpenEoApiError)
    if code in _FULL_CODES or (
        by_api and status in (400, 403, 409, 429) and _FULL.search(str(error.message))
    ):
        return BackEndFull(text, retry_after=answer.retry_after, **said)
    if status == 402 or code in _PAYMENT:
        return BackEndPaymentRequired(text, hint="Raise the budget, or take the back end out.", **said)
    if status == 401 or code in _LOGIN or (status == 403 and not by_api):
        return BackEndUnauthorized(text, hint="Check the profile's login.", **said)
    if status in _BUSY or (status >= 500 and not by_api):
        done = changes and status >= 500 and status != 503
        return BackEndTransient(text, retry_after=answer.retry_after, may_be_done=done, **said)
    if code in _GONE or (status in (404, 410) and by_api and "Link" not in code):
        return BackEndNotFound(text, **said)
    if status == 410:
        return BackEndTransient(text, **said)  # a link that has expired: the next one is fresh
    if not by_api:
        return _nonsense(backend, what, f"status {status}, and it is no openEO error", answer, status=status)
    if _MEMORY.search(f"{code} {error.message}"):
        return BackEndOutOfMemory(text, **said)
    return BackEndDeterministic(text, **said)


def _nonsense(
    backend: str,
    what: str,
    reason: str,
    answer: LastAnswer,
    *,
    status: int | None = None,
    changes: bool = False,
) -> BackEndNonsense:
    kind = answer.headers.get("Content-Type", "")
    told = f" ({kind})" if kind else ""
    return BackEndNonsense(
        f"The answer of {backend}{told} cannot be used ({what}): {reason}.",
        backend=backend,
        status=status,
        may_be_done=changes,
        hint="Open its address in a browser: a proxy or a login page may answer in its place.",
    )


def _never_sent(error: BaseException) -> bool:
    """Whether a request surely did not reach the back end: no connection was made."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    left: list[Any] = [error]
    while left:
        part = left.pop()
        if isinstance(part, urllib3.exceptions.NewConnectionError | urllib3.exceptions.NameResolutionError):
            return True
        if isinstance(part, BaseException):
            left += [a for a in part.args if isinstance(a, BaseException)]
            left += [r for r in [getattr(part, "reason", None)] if isinstance(r, BaseException)]
    return False


def _short(text: object) -> str:
    found = " ".join(str(text).split())
    return found[:_SHOWN] + ("..." if len(found) > _SHOWN else "")
