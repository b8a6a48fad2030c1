"""The limits that a UDF runs under."""

from __future__ import annotations

from dataclasses import dataclass

from acreage.core.errors import InvalidInput


@dataclass(frozen=True)
class UdfLimits:
    """What one call of a UDF may take.

    Attributes:
        timeout_s: wall-clock seconds of one call, and of loading the source.
        cpu_seconds: CPU seconds of one call over all threads; None for no limit.
        memory_bytes: memory of the UDF's processes, the interpreter and its libraries included (about 150 MB
            without PyTorch, 300 MB with it), the array that it is handed not; None for no limit.
        threads: threads for OpenMP, BLAS, PyTorch and numba inside the UDF.
        processes: processes and threads that a UDF may have at once.
        scratch_bytes: files that a UDF in a sandbox may write.
        log_bytes: of a call's output that is kept, its beginning and end; the rest is counted and dropped.

    Raises:
        InvalidInput: a limit that nothing can meet.
    """

    timeout_s: float = 600.0
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    threads: int = 1
    processes: int = 256
    scratch_bytes: int = 512 * 1024**2
    log_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value <= 0:
                raise InvalidInput(f"The UDF limit {name} is {value}.", hint="Give a number above zero.")
