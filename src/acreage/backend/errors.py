"""Errors of the API, by openEO's codes, and the JSON that tells them."""

from __future__ import annotations

import math
import uuid
from typing import Any

from acreage.core.errors import AcreageError


class ApiError(AcreageError):
    """A request that cannot be answered as asked."""

    code = "Internal"
    http_status = 400


class NotFound(ApiError):
    """There is nothing under the address."""

    code = "NotFound"
    http_status = 404


class RequestInvalid(ApiError):
    """The body or a parameter of a request cannot be understood."""

    code = "RequestInvalid"


class RequestTooLarge(ApiError):
    """A request's body is larger than the server takes."""

    code = "RequestTooLarge"
    http_status = 413


class TooManyRequests(ApiError):
    """A client asks more often than it may.

    Args:
        message: what there was too much of.
        wait_s: seconds until it may ask again.
    """

    code = "TooManyRequests"
    http_status = 429

    def __init__(self, message: str, *, wait_s: float = 1.0, hint: str = "") -> None:
        self.retry_after = max(1, math.ceil(wait_s))
        super().__init__(message, hint=hint or f"Wait {self.retry_after} s.")


class RequestTimeout(ApiError):
    """A synchronous request took longer than it may."""

    code = "RequestTimeout"
    http_status = 408


class InfrastructureBusy(ApiError):
    """All that computes is busy."""

    code = "InfrastructureBusy"
    http_status = 503


class AuthenticationRequired(ApiError):
    """The address needs a login."""

    code = "AuthenticationRequired"
    http_status = 401


class AuthenticationSchemeInvalid(ApiError):
    """The login is of a kind that the server does not take."""

    code = "AuthenticationSchemeInvalid"
    http_status = 403


class TokenInvalid(ApiError):
    """A token is wrong or has expired."""

    code = "TokenInvalid"
    http_status = 403


class CredentialsInvalid(ApiError):
    """Name and password are not those of an account."""

    code = "CredentialsInvalid"
    http_status = 403


class ProcessGraphNotFound(ApiError):
    """The user has stored no process under this id."""

    code = "ProcessGraphNotFound"
    http_status = 404


class PredefinedProcessExists(ApiError):
    """A process cannot be stored under the id of a predefined one."""

    code = "PredefinedProcessExists"


class ProcessInvalid(ApiError):
    """What is to be stored is no process."""

    code = "ProcessInvalid"


class ProcessGraphComplexity(ApiError):
    """A process graph has more nodes than the server takes."""

    code = "ProcessGraphComplexity"


class JobNotFound(ApiError):
    """The user has no job with this id."""

    code = "JobNotFound"
    http_status = 404


class JobLocked(ApiError):
    """A job that waits or runs cannot be changed."""

    code = "JobLocked"


class JobNotFinished(ApiError):
    """A job has no results yet."""

    code = "JobNotFinished"


class JobNotStarted(ApiError):
    """A job was not started, so that it cannot be stopped."""

    code = "JobNotStarted"


class JobLimitReached(ApiError):
    """A user has as many jobs as one may have."""

    code = "JobLimitReached"


class BudgetInvalid(ApiError):
    """A budget that is no amount of money."""

    code = "BudgetInvalid"


class PaymentRequired(ApiError):
    """What is asked costs more than the budget."""

    code = "PaymentRequired"
    http_status = 402


class BillingPlanInvalid(ApiError):
    """There is no such billing plan."""

    code = "BillingPlanInvalid"


class ResultLinkExpired(ApiError):
    """A signed link is not valid any more."""

    code = "ResultLinkExpired"
    http_status = 410


class ResultLinkInvalid(ApiError):
    """A link's signature is wrong."""

    code = "TokenInvalid"
    http_status = 403


class FolderOperationUnsupported(ApiError):
    """What can be done with files only was asked of a folder."""

    code = "FolderOperationUnsupported"


class StorageQuotaExceeded(ApiError):
    """A user's files would take more than they may."""

    code = "StorageQuotaExceeded"


class StorageFailure(ApiError):
    """The server cannot write."""

    code = "StorageFailure"
    http_status = 507


class DiskFull(StorageFailure):
    """There is no room left where the server keeps its files."""


class ResultStoreFailed(ApiError):
    """The bucket of results cannot be used."""

    code = "StorageFailure"
    http_status = 503


class ResultsExpired(ApiError):
    """The results of a job were deleted, as the server does after some days."""

    code = "ResultsExpired"
    http_status = 410


class RangeNotSatisfiable(ApiError):
    """A file has no such range."""

    code = "RangeNotSatisfiable"
    http_status = 416


class ServiceNotFound(ApiError):
    """The user has no service with this id."""

    code = "ServiceNotFound"
    http_status = 404


class ServiceUnsupported(ApiError):
    """There is no such type of service."""

    code = "ServiceUnsupported"


class ServiceConfigUnsupported(ApiError):
    """A type of service has no such parameter."""

    code = "ServiceConfigUnsupported"


class ServiceConfigInvalid(ApiError):
    """A parameter of a service has a value that it cannot take."""

    code = "ServiceConfigInvalid"


class TileTooLarge(ApiError):
    """A tile takes more work than one may."""

    code = "TileTooLarge"


class FeatureUnsupported(ApiError):
    """The API has this, and the server has not."""

    code = "FeatureUnsupported"
    http_status = 501


def error_headers(error: AcreageError) -> dict[str, str]:
    """Headers that belong to an error."""
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(error.retry_after)}
    return {"WWW-Authenticate": "Bearer"} if error.http_status == 401 else {}


def error_document(error: AcreageError, identifier: str | None = None) -> dict[str, Any]:
    """The JSON body of an error; `identifier` is what the server's log has it under."""
    return {
        "id": identifier or str(uuid.uuid4()),
        "code": error.code,
        "message": str(error),
        "links": [],
    }
