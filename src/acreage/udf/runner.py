"""Runs UDFs in a pool of child processes."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from weakref import WeakValueDictionary

import numpy.typing as npt

from acreage.core.errors import InvalidInput
from acreage.core.udf import LabelledArray, UdfCode, UdfDataResult, UdfProbe, UdfResult
from acreage.udf import channel
from acreage.udf.bubblewrap import MODEL, PACKAGES, Sandbox
from acreage.udf.checks import check_json, check_runtime, check_spatial, garbled, labelled, without_array
from acreage.udf.contract import UdfLimits
from acreage.udf.dependencies import not_installed, read_dependencies
from acreage.udf.errors import UdfMemoryExceeded, UdfProcessDied
from acreage.udf.isolation import Isolation, counts_in_sandbox, is_sandboxed
from acreage.udf.models import ModelCache, with_model_at
from acreage.udf.packages import Lease, PackageCache
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
        models: fetches the model that a context names; without it, contexts pass as they are, and a UDF in a
            sandbox finds no file that they name.
        isolation: whether UDFs run in a sandbox; see `acreage.udf.isolation`.
        trusted: whether the author of the UDFs may do what this process may. If not, they run in a sandbox or
            not at all, and without GPUs.
        packages: installs what a UDF declares and the interpreter does not have; without it, such a UDF is
            refused.
    """

    def __init__(
        self,
        limits: UdfLimits | None = None,
        workers: int = 1,
        models: ModelCache | None = None,
        *,
        isolation: Isolation = "auto",
        trusted: bool = True,
        packages: PackageCache | None = None,
    ) -> None:
        if workers < 1:
            raise InvalidInput(f"A UDF runner with {workers} workers.", hint="Give at least one.")
        self._limits = limits or UdfLimits()
        self._workers = workers
        self._models = models
        self._isolation: Isolation = isolation
        self._trusted = trusted
        self._packages = packages
        self._free = threading.Condition()
        self._idle: list[tuple[_Key, WorkerProcess, UdfProbe]] = []
        self._leases: dict[tuple[str, ...], Lease] = {}
        self._live = 0
        self._busy: set[WorkerProcess] = set()
        self._closed = False
        # Also when the runner is forgotten or the interpreter ends, no child stays behind.
        self._finalizer = weakref.finalize(self, _stop_all, self._idle, self._busy, self._leases)

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
        check_json(header, "labels or attributes of the data cube")
        with self._worker(code, context) as (worker, _, given):
            message = {"kind": "array", "header": header, "context": given}
            reply, fd = worker.ask(message, array.values)
            values = self._take(worker, reply, fd)
            log = worker.log.take()
        result = labelled(values, reply.get("header"), log)
        check_spatial(array, result, log)
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
        passed = {**given, "proj": data.get("proj")}
        check_json(passed, "data of the UDF")
        with self._worker(code, context) as (worker, _, inside):
            reply = without_array(*worker.ask({"kind": "data", "data": passed, "context": inside}))
            log = worker.log.take()
        if not isinstance(reply.get("data"), dict):
            raise garbled(log)
        return UdfDataResult(reply["data"], log)

    def describe(
        self, code: UdfCode, metadata: Mapping[str, Any], context: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """What the UDF's `apply_metadata` makes of a cube's metadata, None without one (errors as `run`)."""
        passed = dict(metadata)
        check_json(passed, "metadata of the data cube")
        with self._worker(code, context) as (worker, probe, given):
            if not probe.has_metadata:
                return None
            message = {"kind": "metadata", "metadata": passed, "context": given}
            reply = without_array(*worker.ask(message))
            log = worker.log.take()
        found = reply.get("metadata")
        if not isinstance(found, dict):
            raise garbled(log)
        return found

    def probe(self, code: UdfCode) -> UdfProbe:
        """Load the UDF without data and say what it offers (errors as `run`)."""
        with self._worker(code, {}) as (_, probe, _):
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
        return _of_this_process, (self._arguments,)

    @property
    def _arguments(self) -> _Arguments:
        return self._limits, self._workers, self._models, self._isolation, self._trusted, self._packages

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _worker(
        self, code: UdfCode, context: Mapping[str, Any]
    ) -> Iterator[tuple[WorkerProcess, UdfProbe, dict[str, Any]]]:
        """A worker that has loaded the UDF, what it offers, and the context as the UDF sees it."""
        check_runtime(code)
        check_json(dict(context), "context of the UDF")
        sandboxed = is_sandboxed(self._isolation, self._trusted)
        model = code.model
        if model is None and self._models is not None:
            model = self._models.local_file(context)
        given = dict(context)
        if model is not None:
            given = with_model_at(context, MODEL / model.name if sandboxed else model)
        # A sandbox holds one model from its start.
        key = (code.sha256, code.name, code.owner, model if sandboxed else None)
        worker, probe = self._checkout(key, code, sandboxed)
        try:
            yield worker, probe, given
        except UdfMemoryExceeded:
            worker.kill()  # its memory is fragmented at best
            raise
        finally:
            self._give_back(key, worker, probe)

    def _checkout(self, key: _Key, code: UdfCode, sandboxed: bool) -> tuple[WorkerProcess, UdfProbe]:
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
            return self._start(key, code, sandboxed)
        except BaseException:
            with self._free:
                self._live -= 1
                self._free.notify()
            raise

    def _start(self, key: _Key, code: UdfCode, sandboxed: bool) -> tuple[WorkerProcess, UdfProbe]:
        dependencies, folder = self._dependencies(code)
        sandbox = None
        if sandboxed:
            sandbox = Sandbox(self._limits.scratch_bytes, key[-1], folder, devices=self._trusted)
        worker = WorkerProcess(self._limits, sandbox)
        with self._free:
            self._busy.add(worker)
        try:
            message = {
                "kind": "load",
                "source": code.source,
                "name": code.name,
                "memory_bytes": self._limits.memory_bytes,
                # Elsewhere the system counts what its user runs at all.
                "processes": self._limits.processes if sandboxed and counts_in_sandbox() else None,
                "packages": None if folder is None else str(PACKAGES if sandboxed else folder),
            }
            reply = without_array(*worker.ask(message))
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

    def _dependencies(self, code: UdfCode) -> tuple[tuple[str, ...], Path | None]:
        """What the UDF declares, and the folder with what of it is not installed here."""
        declared = read_dependencies(code.source)
        if not declared.missing:
            return declared.requirements, None
        if self._packages is None:
            raise not_installed(declared.missing)
        with self._free:
            lease = self._leases.get(declared.missing)
        if lease is None:
            lease = self._packages.environment(declared.missing)
            with self._free:
                lease = self._leases.setdefault(declared.missing, lease)
        return declared.requirements, lease.folder

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
                    "The UDF's result is larger than the memory it may take.",
                    hint="Return less at once, or ask for more memory.",
                    log=worker.log_text(),
                )
            return channel.copy_array(reply, fd)
        except channel.ChannelBroken:
            worker.kill()
            raise garbled(worker.log.take()) from None
        finally:
            if fd >= 0:
                os.close(fd)


_Key = tuple[str, str, str, Path | None]
_Arguments = tuple[UdfLimits, int, ModelCache | None, Isolation, bool, PackageCache | None]
_arrived: WeakValueDictionary[_Arguments, ProcessUdfRunner] = WeakValueDictionary()
_arriving = threading.Lock()


def _of_this_process(arguments: _Arguments) -> ProcessUdfRunner:
    """The runner with these arguments that travelled to this process, made at the first arrival."""
    with _arriving:
        runner = _arrived.get(arguments)
        if runner is None or runner._closed:
            limits, workers, models, isolation, trusted, packages = arguments
            runner = _arrived[arguments] = ProcessUdfRunner(
                limits, workers, models, isolation=isolation, trusted=trusted, packages=packages
            )
        return runner


def _stop_all(
    idle: list[tuple[_Key, WorkerProcess, UdfProbe]],
    busy: set[WorkerProcess],
    leases: dict[tuple[str, ...], Lease],
) -> None:
    while idle:
        idle.pop()[1].stop()
    for worker in list(busy):
        worker.kill()  # its caller stops it
    while leases:
        leases.popitem()[1].release()
