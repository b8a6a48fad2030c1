"""The program inside a UDF's process: `python -I worker.py CONTROL_FD`.

It loads one UDF and answers one request at a time over the inherited socket, until that closes. It runs
without `acreage`, as any openEO back end runs a UDF. Standard output and error are the UDF's log.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.abc
import importlib.util
import json
import linecache
import logging
import os
import resource
import select
import signal
import socket
import sys
import threading
import traceback
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acreage.udf import channel, convention
else:

    def _sibling(name):
        # By path: the folder is not on sys.path, so that a UDF finds nothing of the runner's there.
        spec = importlib.util.spec_from_file_location(f"_udf_{name}", Path(__file__).with_name(f"{name}.py"))
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    channel = _sibling("channel")
    convention = _sibling("convention")

MAX_TEXT = 4000
_DESCRIPTORS = 1024


class _NoAcreage(importlib.abc.MetaPathFinder):
    """Keeps UDFs portable: what is not on other back ends is not found here either."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> None:
        if fullname.partition(".")[0] == "acreage":
            raise ModuleNotFoundError(
                "acreage cannot be imported in a UDF, so that the UDF runs on any openEO back end",
                name=fullname,
            )


class _LogHandler(logging.Handler):
    """Log records as lines with their level, between the lines that are printed."""

    def __init__(self) -> None:
        super().__init__()
        self._stream = sys.stdout

    def emit(self, record: logging.LogRecord) -> None:
        level = next(
            (n for at, n in ((40, "error"), (30, "warning"), (20, "info")) if record.levelno >= at), "debug"
        )
        text = record.getMessage()
        data = getattr(record, "data", None)  # of openeo.udf.inspect
        if data is not None:
            text += f" {data!r}"[:MAX_TEXT]
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + "".join(traceback.format_exception_only(record.exc_info[1]))
        self._stream.write("".join(f"\x1e{level}\x1f{line}\n" for line in text.splitlines()))


class Udf:
    """One loaded UDF: its module, and the function that is called."""

    def __init__(self, source: str, name: str) -> None:
        self.name = name
        self.module = types.ModuleType("udf")
        given = convention.namespace(source)
        self.module.__dict__.update(given)
        sys.modules["udf"] = self.module
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        try:
            code = compile(source, name, "exec", dont_inherit=True)
        except SyntaxError as error:
            where = f"{name}, line {error.lineno}: {(error.text or '').strip()}"
            raise convention.UdfProblem(
                "source", f"The UDF is not valid Python: {error.msg} ({where}).", "Correct the line."
            ) from None
        except ValueError as error:
            raise convention.UdfProblem("source", f"The UDF is not valid Python: {error}.") from None
        exec(code, self.module.__dict__)
        self.entry = convention.find_entry(self.module.__dict__, given)

    @property
    def apply_metadata(self) -> Callable[..., Any] | None:
        """The source's `apply_metadata`, where it has one."""
        found = self.module.__dict__.get("apply_metadata")
        return found if callable(found) else None


def _handle(state: dict[str, Any], message: dict[str, Any], fd: int) -> tuple[dict[str, Any], Any]:
    """Reply and array for one request."""
    kind = message["kind"]
    if kind == "load":
        _limit(message["memory_bytes"], message["processes"])
        state["memory_bytes"] = message["memory_bytes"]
        if message["packages"]:
            sys.path.append(message["packages"])  # behind the others: it holds only what they do not
        state["name"] = message["name"]
        state["udf"] = udf = Udf(message["source"], message["name"])
        return {
            "kind": "loaded",
            "entry": udf.entry.name,
            "signature": udf.entry.signature,
            "has_metadata": udf.apply_metadata is not None,
        }, None
    udf, context = state["udf"], message["context"]
    if kind == "array":
        header = message["header"]
        cube = convention.to_data_array(channel.map_array(message, fd), header)
        values, header = convention.from_result(convention.call_on_array(udf.entry, cube, context), header)
        limit = state["memory_bytes"]
        if limit is not None and values.nbytes > limit:
            raise convention.UdfProblem(
                "memory",
                f"The UDF's result has {values.nbytes} bytes, of {limit} it may take.",
                "Return less at once, or ask for more memory.",
            )
        return {"kind": "array", "header": header}, values
    if kind == "data":
        data = convention.openeo_module("openeo.udf").UdfData.from_dict(
            {**message["data"], "user_context": context}
        )
        result = convention.call_on_data(udf.entry, data, context).to_dict()
        return {"kind": "data", "data": json.loads(json.dumps(result, default=_plain))}, None
    if udf.apply_metadata is None:
        return {"kind": "metadata", "metadata": None}, None
    metadata = convention.openeo_module("openeo.metadata").CollectionMetadata(message["metadata"])
    return {
        "kind": "metadata",
        "metadata": convention.metadata_as_json(udf.apply_metadata(metadata, context)),
    }, None


def _plain(value: Any) -> Any:
    """JSON for what NumPy and pandas put into results."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise convention.UdfProblem(
        "result", f"The UDF's result holds a {type(value).__qualname__}, which is not JSON."
    )


def _limit(memory_bytes: int | None, processes: int | None) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = _DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, _DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    if processes is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    if memory_bytes is not None:
        # Not RLIMIT_AS: libraries such as PyTorch map two to three times the memory that they use.
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
        # Files in memory are of no process's data.
        resource.setrlimit(resource.RLIMIT_FSIZE, (memory_bytes, memory_bytes))


def _failure(error: BaseException, name: str) -> dict[str, Any]:
    """A failure as the runner is told: nothing of the worker's own frames, nor of libraries' paths."""
    if isinstance(error, convention.UdfProblem):
        return {
            "kind": "failed",
            "failure": error.kind,
            "message": error.message,
            "hint": error.hint,
            "trace": [],
        }
    trace = traceback.TracebackException.from_exception(error)
    _keep_frames(trace, name)
    what = "".join(trace.format_exception_only()).strip()[:MAX_TEXT]
    frame = trace.stack[-1] if trace.stack else None
    where = f" ({name}, line {frame.lineno}, in {frame.name}: {frame.line})" if frame else ""
    failure, hint = "raised", "The UDF's log has the traceback."
    if isinstance(error, ImportError):
        failure, hint = "import", "Ask the operator to install the package, or do without it."
    elif isinstance(error, MemoryError) or "can't allocate memory" in what:
        failure, hint = "memory", "Ask for more memory, or work on smaller pieces."
    lines = "".join(trace.format()).splitlines()
    return {
        "kind": "failed",
        "failure": failure,
        "message": f"The UDF raised {what}{where}.",
        "hint": hint,
        "trace": [line[:MAX_TEXT] for line in lines[-200:]],
    }


def _keep_frames(trace: traceback.TracebackException | None, name: str) -> None:
    while trace is not None:
        trace.stack = traceback.StackSummary.from_list([f for f in trace.stack if f.filename == name])
        if trace.__context__ is not trace.__cause__:
            _keep_frames(trace.__context__, name)
        trace = trace.__cause__


def _end_with_runner(sock: socket.socket, home: str) -> None:
    """Ends this process and all it started once the runner is gone, also in the middle of a call."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    poll.poll()
    with contextlib.suppress(OSError):  # what is in it is left to the system
        os.rmdir(home)
    os.killpg(0, signal.SIGKILL)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    ctypes.CDLL(None).fflush(None)


def serve(sock: socket.socket) -> None:
    """Answer requests until the runner closes the channel."""
    state: dict[str, Any] = {"name": "udf.py"}
    channel.send(sock, {"kind": "hello"})
    while True:
        message, fd = channel.receive(sock)
        reply: dict[str, Any]
        try:
            reply, values = _handle(state, message, fd)
        except BaseException as error:  # noqa: BLE001 - whatever a UDF raises, sys.exit() too, is its caller's to know
            reply, values = _failure(error, state["name"]), None
        finally:
            if fd >= 0:
                os.close(fd)
        _flush()
        try:
            channel.send(sock, reply, values, channel.MAX_REPLY)
        except ValueError as error:
            problem = convention.UdfProblem(
                "result",
                f"The UDF's result is too large: {error}.",
                "Return less, or numbers in a data cube.",
            )
            channel.send(sock, _failure(problem, state["name"]))


def main() -> None:
    """Take over the control socket and serve."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.set_inheritable(False)
    sys.argv = ["udf"]
    sys.meta_path.insert(0, _NoAcreage())
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    logging.basicConfig(handlers=[_LogHandler()], level=logging.INFO)
    logging.captureWarnings(capture=True)
    logging.getLogger("openeo.udf.debug").setLevel(logging.DEBUG)
    threading.Thread(target=_end_with_runner, args=(sock, os.getcwd()), daemon=True).start()
    with contextlib.suppress(channel.ChannelBroken):  # which is the runner's end
        serve(sock)


if __name__ == "__main__":
    main()
