"""Runs UDFs in a pool of child processes."""

from __future__ import annotations

import json
import os
import platform
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from acreage.core.errors import InvalidInput, UdfError
from acreage.core.udf import LabelledArray, UdfCode, UdfDataResult, UdfLogLine, UdfProbe, UdfResult
from acreage.udf import channel
from acreage.udf.contract import UdfLimits
from acreage.udf.dependencies import check_dependencies
from acreage.udf.errors import (
    UdfArgumentInvalid,
    UdfMemoryExceeded,
    UdfProcessDied,
    UdfResultInvalid,
    UdfRuntimeUnsupported,
    UdfVersionUnsupported,
)
from acreage.udf.models import ModelCache
from acreage.udf.process import WorkerProcess


class ProcessUdfRunner:
    """A pool of workers behind `acreage.core.udf.UdfRunner`, safe to call from many threads.

    A worker loads one UDF and keeps it: what the UDF holds in its module, such as a model, is there at its
    next call. A worker never sees a second UDF. One that died is replaced at the next call.

    Pickled, it travels as these arguments. In the process where it is unpickled, all copies are one runner,
    as long as somebody holds it; its workers end with it.

    Args:
        limits: of a call.
        workers: child processes at most; further callers wait.
        models: fetches the model that a context names; without it, contexts pass as they are.
    """

    def __init__(
        self, limits: UdfLimits | None = None, workers: int = 1, models: ModelCache | None = None
    ) -> None:
        if workers < 1:
            raise InvalidInput(f"A UDF runner with {workers} workers.", hint="Give at least one.")
        self._limits = limits or UdfLimits()
        self._workers = workers
        self._models = models
        self._free = threading.Condition()
        self._idle: list[tuple[_Key, WorkerProcess, UdfProbe]] = []
        self._live = 0
        self._busy: set[WorkerProcess] = set()
        self._closed = False
        # Also when the runner is forgotten or the interpreter ends, no child stays behind.
        self._finalizer = weakref.finalize(self, _stop_all, self._idle, self._busy)

    def run(self, code: UdfCode, array: LabelledArray, context: Mapping[str, Any]) -> UdfResult:
        """Apply the UDF to one array (see `acreage.core.udf.UdfRunner`).

        Raises:
            UdfError: one of `acreage.udf.errors`, with the UDF's log.
        """
        header = {
            "dims": list(array.dims),
            "labels": {name: list(labels) for name, labels in array.labels.items()},
            "temporal": list(array.temporal),
            "attrs": dict(array.attrs),
        }
        message = {"kind": "array", "header": header, "context": self._context(context)}
        _check_json(message["header"], "labels or attributes of the data cube")
        with self._worker(code) as (worker, _):
            reply, fd = worker.ask(message, array.values)
            values = self._take(worker, reply, fd)
            log = worker.log.take()
        result = _labelled(values, reply.get("header"), log)
        _check_spatial(array, result, log)
        return UdfResult(result, log)

    def run_features(
        self, code: UdfCode, data: Mapping[str, Any], context: Mapping[str, Any]
    ) -> UdfDataResult:
        """Apply the UDF to openEO's `UdfData` in JSON (errors as `run`).

        `data` has `feature_collection_list`, `structured_data_list`, `datacubes` and `proj`, each optional.
        """
        given = {
            key: data.get(key) or []
            for key in ("datacubes", "feature_collection_list", "structured_data_list")
        }
        message = {
            "kind": "data",
            "data": {**given, "proj": data.get("proj")},
            "context": self._context(context),
        }
        _check_json(message["data"], "data of the UDF")
        with self._worker(code) as (worker, _):
            reply = _without_array(*worker.ask(message))
            log = worker.log.take()
        if not isinstance(reply.get("data"), dict):
            raise _garbled(log)
        return UdfDataResult(reply["data"], log)

    def describe(
        self, code: UdfCode, metadata: Mapping[str, Any], context: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """What the UDF's `apply_metadata` makes of a cube's metadata, None without one (errors as `run`)."""
        message = {"kind": "metadata", "metadata": dict(metadata), "context": self._context(context)}
        _check_json(message["metadata"], "metadata of the data cube")
        with self._worker(code) as (worker, probe):
            if not probe.has_metadata:
                return None
            reply = _without_array(*worker.ask(message))
            log = worker.log.take()
        found = reply.get("metadata")
        if not isinstance(found, dict):
            raise _garbled(log)
        return found

    def probe(self, code: UdfCode) -> UdfProbe:
        """Load the UDF without data and say what it offers (errors as `run`)."""
        with self._worker(code) as (_, probe):
            return probe

    def resident_bytes(self) -> int:
        """Resident size of the largest process that waits for a call; 0 where none does."""
        with self._free:
            return max((worker.resident_bytes() for _, worker, _ in self._idle), default=0)

    def close(self) -> None:
        """End all workers; calls that still run fail with `UdfProcessDied`."""
        with self._free:
            self._closed = True
            self._free.notify_all()
        self._finalizer()

    def __reduce__(self) -> tuple[object, ...]:
        return _of_this_process, (self._limits, self._workers, self._models)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _context(self, context: Mapping[str, Any]) -> dict[str, Any]:
        _check_json(dict(context), "context of the UDF")
        return dict(context) if self._models is None else self._models.localise(context)

    @contextmanager
    def _worker(self, code: UdfCode) -> Iterator[tuple[WorkerProcess, UdfProbe]]:
        _check_runtime(code)
        key = (code.sha256, code.name)
        worker, probe = self._checkout(key, code)
        try:
            yield worker, probe
        except UdfMemoryExceeded:
            worker.kill()  # its memory is fragmented at best
            raise
        finally:
            self._give_back(key, worker, probe)

    def _checkout(self, key: _Key, code: UdfCode) -> tuple[WorkerProcess, UdfProbe]:
        evicted: WorkerProcess | None = None
        with self._free:
            while True:
                if self._closed:
                    raise UdfProcessDied("The UDF runner is closed.", hint="Make a new one.")
                position = next((i for i, (k, _, _) in enumerate(self._idle) if k == key), None)
                if position is not None:
                    _, worker, probe = self._idle.pop(position)
                    self._busy.add(worker)
                    return worker, probe
                if self._live < self._workers:
                    self._live += 1
                    break
                if self._idle:
                    _, evicted, _ = self._idle.pop(0)
                    break
                self._free.wait()
        try:
            if evicted is not None:
                evicted.stop()
            return self._start(code)
        except BaseException:
            with self._free:
                self._live -= 1
                self._free.notify()
            raise

    def _start(self, code: UdfCode) -> tuple[WorkerProcess, UdfProbe]:
        dependencies = check_dependencies(code.source)
        worker = WorkerProcess(self._limits)
        with self._free:
            self._busy.add(worker)
        try:
            message = {
                "kind": "load",
                "source": code.source,
                "name": code.name,
                "memory_bytes": self._limits.memory_bytes,
            }
            reply = _without_array(*worker.ask(message))
        except BaseException:
            with self._free:
                self._busy.discard(worker)
            worker.stop()
            raise
        probe = UdfProbe(
            entry=str(reply.get("entry")),
            signature=str(reply.get("signature")),
            has_metadata=reply.get("has_metadata") is True,
            dependencies=dependencies,
        )
        return worker, probe

    def _give_back(self, key: _Key, worker: WorkerProcess, probe: UdfProbe) -> None:
        with self._free:
            self._busy.discard(worker)
            keep = worker.alive and not self._closed
            if keep:
                self._idle.append((key, worker, probe))
            else:
                self._live -= 1
            self._free.notify()
        if not keep:
            worker.stop()

    def _take(self, worker: WorkerProcess, reply: dict[str, Any], fd: int) -> npt.NDArray[Any]:
        try:
            limit = self._limits.memory_bytes
            if limit is not None and fd >= 0 and os.fstat(fd).st_size > limit:
                raise UdfMemoryExceeded(
                    "The UDF's result is larger than the memory it may take.", log=worker.log_text()
                )
            return channel.copy_array(reply, fd)
        except channel.ChannelBroken:
            worker.kill()
            raise _garbled(worker.log.take()) from None
        finally:
            if fd >= 0:
                os.close(fd)


_Key = tuple[str, str]
_Arguments = tuple[UdfLimits, int, ModelCache | None]
_arrived: WeakValueDictionary[_Arguments, ProcessUdfRunner] = WeakValueDictionary()
_arriving = threading.Lock()


def _of_this_process(limits: UdfLimits, workers: int, models: ModelCache | None) -> ProcessUdfRunner:
    """The runner with these arguments that travelled to this process, made at the first arrival."""
    key = (limits, workers, models)
    with _arriving:
        runner = _arrived.get(key)
        if runner is None or runner._closed:
            runner = _arrived[key] = ProcessUdfRunner(limits, workers, models)
        return runner


def _stop_all(idle: list[tuple[_Key, WorkerProcess, UdfProbe]], busy: set[WorkerProcess]) -> None:
    while idle:
        idle.pop()[1].stop()
    for worker in list(busy):
        worker.kill()  # its caller stops it


def _check_runtime(code: UdfCode) -> None:
    if code.runtime.lower() not in ("python", "python3"):
        raise UdfRuntimeUnsupported(f"There is no UDF runtime {code.runtime!r} here.", hint="Use Python.")
    here = platform.python_version_tuple()
    if code.version and tuple(code.version.split(".")) != here[: len(code.version.split("."))]:
        raise UdfVersionUnsupported(
            f"There is no Python {code.version} for UDFs here.",
            hint=f"Ask for {here[0]} or {here[0]}.{here[1]}.",
        )


def _check_json(value: Any, what: str) -> None:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise UdfArgumentInvalid(
            f"The {what} is not JSON: {error}.", hint="Use strings, numbers, lists and objects."
        ) from None


def _without_array(reply: dict[str, Any], fd: int) -> dict[str, Any]:
    if fd >= 0:
        os.close(fd)
    return reply


def _garbled(log: tuple[UdfLogLine, ...]) -> UdfError:
    return UdfProcessDied(
        "The UDF's process sent a reply that cannot be read.",
        hint="A UDF must leave file descriptors alone that it did not open.",
        log=[str(line) for line in log],
    )


def _labelled(values: npt.NDArray[Any], header: Any, log: tuple[UdfLogLine, ...]) -> LabelledArray:
    try:
        return LabelledArray(
            values,
            tuple(header["dims"]),
            {name: tuple(_each_label(labels)) for name, labels in header["labels"].items()},
            tuple(header["temporal"]),
            dict(header["attrs"]),
        )
    except (KeyError, TypeError, AttributeError):
        raise _garbled(log) from None
    except ValueError as error:
        raise UdfResultInvalid(
            f"The UDF's result cannot be used: {error}.", log=[str(x) for x in log]
        ) from None


def _each_label(labels: Any) -> Iterator[Any]:
    for label in labels:
        if not isinstance(label, str | int | float):
            raise TypeError(f"a label {label!r}")
        yield label


def _check_spatial(given: LabelledArray, got: LabelledArray, log: tuple[UdfLogLine, ...]) -> None:
    """x and y may go, but not change: the engine knows a window's pixels by their place."""
    for name in ("x", "y"):
        before, after = given.sizes.get(name), got.sizes.get(name)
        if before is None or after is None:
            continue
        problem = ""
        if before != after:
            problem = f"{after} pixels along {name}, where it was given {before}"
        elif not np.array_equal(given.labels.get(name, ()), got.labels.get(name, ())):
            problem = f"other coordinates along {name} than it was given"
        if problem:
            raise UdfResultInvalid(
                f"The UDF returned {problem}.",
                hint="Return the same pixels in the same order; apply_neighborhood shows an overlap.",
                log=[str(line) for line in log],
            )
