"""Process graphs run through the whole engine, with the cubes of the result as they were stored."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from acreage.catalog.items import Catalog
from acreage.core.cube import Cube
from acreage.core.udf import UdfRunner
from acreage.engine import run as engine_run
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.plan import Plan
from acreage.engine.planner import make_plan

MEMORY = 4_000_000_000
WHOLE = 1_000_000


def plan_of(
    graph: Mapping[str, Any], catalog: Catalog, window: int, *, threads: int = 1, udf: UdfRunner | None = None
) -> Plan:
    """The plan of a graph for a window size in pixels."""
    return make_plan(parse_graph(graph), catalog, Budget(MEMORY, threads, window), udf)


def run_cubes(
    graph: Mapping[str, Any],
    catalog: Catalog,
    window: int = WHOLE,
    *,
    threads: int = 1,
    udf: UdfRunner | None = None,
    tolerance: int = 0,
) -> dict[str, Cube]:
    """What the engine would write, by output node: values, validity and metadata, before any file format."""
    plan = plan_of(graph, catalog, window, threads=threads, udf=udf)
    return cubes_of(plan, udf=udf, tolerance=tolerance)


def cubes_of(plan: Plan, udf: UdfRunner | None = None, tolerance: int = 0) -> dict[str, Cube]:
    """The outputs of a plan, run as any plan; only the last step, writing files, takes the cubes instead."""
    return settled(plan, udf=udf, tolerance=tolerance)[0]


def settled(plan: Plan, **options: Any) -> tuple[dict[str, Cube], engine_run.RunResult]:
    """As `cubes_of`, with the run's result; options as `run_plan` takes them."""
    found: dict[str, Cube] = {}

    def take(outputs: Any, _: Any) -> tuple[tuple[Path, ...], ...]:
        for output, _, stored in outputs:
            found[output.key] = stored if isinstance(stored, Cube) else stored.read(None)
        return ()

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(engine_run, "check_written"),
        mock.patch.object(engine_run, "write_outputs", take),
        mock.patch.object(engine_run, "format_for", return_value=None),
        mock.patch.object(engine_run, "distinct", lambda targets: targets),
        mock.patch.object(engine_run, "inputs_file", return_value=Path(folder) / "inputs.json"),
    ):
        result = engine_run.run_plan(plan, Path(folder) / "out", **options)
    return found, result


def assert_same_cube(a: Cube, b: Cube, graph: Mapping[str, Any] | None = None) -> None:
    """Equal to the last bit: metadata, dtype, validity, and values where valid."""
    told = "" if graph is None else json.dumps(graph)
    assert a.meta == b.meta, told
    assert a.values.dtype == b.values.dtype == a.meta.dtype, told
    np.testing.assert_array_equal(a.validity(), b.validity(), err_msg=told)
    valid = a.validity()
    if a.values[valid].tobytes() != b.values[valid].tobytes():
        left, right = a.values[valid], b.values[valid]
        np.testing.assert_array_equal(left, right, err_msg=told)
        bits = np.dtype(f"u{a.values.itemsize}")
        np.testing.assert_array_equal(left.view(bits), right.view(bits), err_msg=f"bits differ: {told}")
