"""Opening files in a process of its own: a damaged file can end the libraries that read it.

A helper process loads these libraries once and is forked for each file, so that a file costs milliseconds. It
ends with the process that started it, or when nothing is asked of it for a while.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import logging
import os
import pickle
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import IO, Any, TypeVar

import psutil

from acreage.core.errors import AcreageError, FileContentInvalid, FileSizeExceeded
from acreage.engine.user_files.places import Limits

T = TypeVar("T")
_log = logging.getLogger(__name__)
_PRELOADED = ("acreage.engine.user_files.load", "geopandas", "h5py", "netCDF4", "pyarrow.parquet")
_LENGTH = struct.Struct("<q")
_IDLE = 60.0  # seconds after which the helper ends


def opened_apart(open_: Callable[..., T], name: str, limits: Limits, *args: Any) -> T:
    """What a function of a module says of a file, called in another process.

    Args:
        open_: what is called.
        name: of the file, for errors.
        limits: of time and memory.
        args: with what it is called.

    Raises:
        FileContentInvalid: the process ended, or took too long.
        FileSizeExceeded: it took too much memory.
        AcreageError: what the function raises.
    """
    answer = _HELPER.ask(pickle.dumps((open_, name, limits, args)))
    if answer is None:
        raise FileContentInvalid(
            f"{name} is damaged: what reads it ends or hangs.", hint="Write it anew, and upload it again."
        )
    found: T | AcreageError = pickle.loads(answer)
    if isinstance(found, AcreageError):
        raise found
    return found


class _Helper:
    """The helper process of this process, started when first wanted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def ask(self, request: bytes) -> bytes | None:
        """The answer to a request; None where its process ended or took too long."""
        with self._lock:
            for _ in range(2):  # the helper itself may have been killed
                process = self._started()
                assert process.stdin is not None
                assert process.stdout is not None
                try:
                    _send(process.stdin, request)
                    return _received(process.stdout)
                except (OSError, EOFError):
                    process.kill()
                    process.wait()
            return None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            command = f"from {__name__} import serve; serve()"
            self._process = subprocess.Popen(
                [sys.executable, "-c", command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if _log.isEnabledFor(logging.DEBUG) else subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            self._owner = os.getpid()
        return self._process

    def close(self) -> None:
        """End the helper, unless it is at work."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._process is not None and self._owner == os.getpid():
                self._process.kill()
                self._process.communicate()
            self._process = None
        finally:
            self._lock.release()


_HELPER = _Helper()
atexit.register(_HELPER.close)


def end_helper() -> None:
    """End the helper of this process, whose memory nobody needs while pixels are read."""
    _HELPER.close()


# --- in the helper ------------------------------------------------------------------------------------------


def serve() -> None:
    """Answer requests from standard input on standard output, each in a process of its own, to its end."""
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever libraries print
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the process that asks decides
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name in _PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    while select.select([source], [], [], _IDLE)[0]:
        try:
            request = _received(source)
        except EOFError:
            return
        _send(target, _answer(request or b""))


def _answer(request: bytes) -> bytes | None:
    open_, name, limits, args = pickle.loads(request)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(writing, open_, name, limits, args)
    os.close(writing)
    deadline = time.monotonic() + limits.open_seconds
    parts = []
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], max(deadline - time.monotonic(), 0))[0]:
            part = pipe.read(1 << 20)
            if not part:
                break
            parts.append(part)
        else:
            os.kill(child, signal.SIGKILL)
    return b"".join(parts) if os.waitpid(child, 0)[1] == 0 else None


def _work(writing: int, open_: Callable[..., Any], name: str, limits: Limits, args: tuple[Any, ...]) -> None:
    """In the process of one file: answer with what was found, or with the error, and end."""
    most = psutil.Process().memory_info().vms + limits.open_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    code = 1
    try:
        try:
            found = open_(*args)
        except MemoryError:
            found = FileSizeExceeded(f"{name} takes more memory than is allowed to be opened.")
        except AcreageError as error:
            found = error
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(pickle.dumps(found))
        gc.collect()  # memory that the file has spoilt shows now
        code = 0
    finally:
        if code:
            traceback.print_exc()  # seen where the log is set to debug
        os._exit(code)


def _send(target: IO[bytes], data: bytes | None) -> None:
    target.write(_LENGTH.pack(-1 if data is None else len(data)) + (data or b""))
    target.flush()


def _received(source: IO[bytes]) -> bytes | None:
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    if length < 0:
        return None
    data = source.read(length)
    if len(data) < length:
        raise EOFError
    return data
