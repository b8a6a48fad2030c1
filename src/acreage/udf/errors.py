"""The ways in which a UDF fails, each with what to do about it."""

from __future__ import annotations

from acreage.core.errors import UdfError


class UdfRuntimeUnsupported(UdfError):
    """The runtime of a UDF is not offered here."""

    code = "InvalidRuntime"


class UdfVersionUnsupported(UdfError):
    """The version of a UDF's runtime is not offered here."""

    code = "InvalidVersion"


class UdfSourceInvalid(UdfError):
    """The source of a UDF cannot be loaded: a syntax error, a failing import, no function to call."""

    code = "UdfSourceInvalid"


class UdfDependencyMissing(UdfError):
    """A package that a UDF declares or imports is not installed."""

    code = "UdfDependencyMissing"


class UdfArgumentInvalid(UdfError):
    """A UDF was given data or a context that cannot be handed over."""

    code = "UdfArgumentInvalid"


class UdfRaised(UdfError):
    """The UDF's own code raised an exception."""

    code = "UdfRaised"


class UdfResultInvalid(UdfError):
    """A UDF returned something that is not a data cube, or one of another shape than it may."""

    code = "UdfResultInvalid"


class UdfTimeout(UdfError):
    """A UDF took longer, or more CPU, than it may."""

    code = "UdfTimeout"


class UdfMemoryExceeded(UdfError):
    """A UDF took more memory than it may."""

    code = "UdfMemoryExceeded"


class UdfProcessesExceeded(UdfError):
    """A UDF had more processes and threads than it may."""

    code = "UdfProcessesExceeded"


class UdfProcessDied(UdfError):
    """The process of a UDF ended by itself or was killed by a signal."""

    code = "UdfProcessDied"


class UdfIsolationMissing(UdfError):
    """A UDF may be run in a sandbox only, and there is none here."""

    code = "UdfIsolationMissing"
    http_status = 403


class UdfModelUnavailable(UdfError):
    """The model that a UDF's context names cannot be had, or is not the one that was meant."""

    code = "UdfModelUnavailable"


#: What the worker calls a failure, and the error that is raised for it.
BY_KIND: dict[str, type[UdfError]] = {
    "source": UdfSourceInvalid,
    "import": UdfDependencyMissing,
    "argument": UdfArgumentInvalid,
    "raised": UdfRaised,
    "result": UdfResultInvalid,
    "memory": UdfMemoryExceeded,
}
