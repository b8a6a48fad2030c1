"""Measurements of the checkout's folder `benchmarks` that are not part of the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from acreage.bench.jobs import centred
from acreage.bench.results import PartResult, Row
from acreage.bench.setup import Bench, answer, probe
from acreage.bench.tile import default_model

_DASK_M = {"map": 10_000.0, "cube": 5000.0}  # side of the square


def measure_inference(bench: Bench) -> PartResult:
    """Inference against the bare network on the same batch shapes, all cropland and fields."""
    about = "cube to classes against the bare network, one thread, CPU seconds of the process"
    missing = _missing(bench, "inference")
    if missing:
        return PartResult("inference", about, (), (("inference", missing),))
    rows: list[Row] = []
    for cropland in (1.0, 0.4):
        bench.tell(f"inference, {100 * cropland:g} % cropland")
        arguments: dict[str, Any] = {"cropland": cropland, "rounds": max(bench.rounds, 3)}
        if bench.quick:
            arguments["side"] = 64
        told = _measure(bench, "inference", arguments)
        case = f"{told['architecture']}, {100 * cropland:g} % cropland"
        for name, key in (("bare network", "bare"), ("acreage", "ours")):
            seconds = tuple(told[f"{key}_s"])
            facts = {"pixels_per_second": told[f"{key}_pixels_per_s"], "pixels": told["pixels"]}
            rows.append(Row(case, name, seconds, seconds, (), facts))
    return PartResult("inference", about, tuple(rows))


def measure_dask(bench: Bench) -> PartResult:
    """One and two Dask workers, as benchmarks/dask_scaling.py measures them: a map, and the cube alone."""
    about = "a map and its cube by Dask distributed, one and two workers of a thread; memory of both clusters"
    missing = _missing(bench, "dask_scaling")
    if missing:
        return PartResult("dask", about, (), (("dask", missing),))
    rows: list[Row] = []
    for what, model in (("map", default_model(bench)), ("cube", None)):
        bench.tell(f"Dask workers, {what}")
        area = centred(bench.area, min(_DASK_M[what], bench.area.width * 10.0))
        arguments = {
            "folder": str(bench.scripts),
            "archive": str(bench.folder("clear")),
            "area": list(area.bounds),
            "season": str(bench.season),
            "repeat": bench.rounds,
            "model": None if model is None else str(model),
        }
        measured = bench.run(_always(probe("dask", **arguments)))
        told = answer(measured)
        case = f"{what}, {area.width / 100:g} km, {told['windows']} windows"
        rows.append(Row(case, "1 worker", (), tuple(told["one"]), (), {"same_bytes": told["same_bytes"]}))
        rows.append(Row(case, "2 workers", (), tuple(told["two"]), (measured.peak_memory,)))
    return PartResult("dask", about, tuple(rows))


def _always(command: list[str]) -> Callable[[Path], list[str]]:
    return lambda folder: command


def _missing(bench: Bench, module: str) -> str:
    if bench.scripts is None:
        return "the checkout's folder benchmarks is not there: give --scripts"
    path = bench.scripts / f"{module}.py"
    return "" if path.is_file() else f"{path.name} is not in {bench.scripts.name}"


def _measure(bench: Bench, module: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    command = probe("script", folder=str(bench.scripts), module=module, arguments=dict(arguments))
    return answer(bench.run(lambda folder: command))
