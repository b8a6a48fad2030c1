"""Windowed == whole, bit for bit, for random process graphs that draw on every registered process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.support.engine_runs import WHOLE, assert_same_cube, run_cubes
from tests.support.random_callbacks import PROCESSES
from tests.support.random_graphs import STEPS, graphs, graphs_calling, graphs_with

from acreage.catalog.items import Catalog
from acreage.core.cube import Cube
from acreage.core.errors import ArrayElementNotAvailable
from acreage.processes.registry import process_ids
from acreage.udf.runner import ProcessUdfRunner

# Drawing a graph plans it at every step, and a draw that the engine refuses is drawn again.
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
# Shrinking a graph takes minutes, and the message of a failure has the graph; `make proof` shrinks.
DRAW_ONLY = {"phases": [Phase.explicit, Phase.generate], "suppress_health_check": SLOW}
WINDOWS = st.sampled_from([5, 7, 16, 64])


def _outcome(
    graph: Mapping[str, Any], catalog: Catalog, window: int, udf: ProcessUdfRunner | None
) -> dict[str, Cube] | str:
    """The cubes, or what the engine says of a callback that finds no element (in a period without dates)."""
    try:
        return run_cubes(graph, catalog, window, udf=udf)
    except ArrayElementNotAvailable as error:
        return f"{type(error).__name__}: {error}"


def assert_windows_agree(
    graph: Mapping[str, Any], catalog: Catalog, *windows: int, udf: ProcessUdfRunner | None = None
) -> None:
    whole = _outcome(graph, catalog, WHOLE, udf)
    for window in windows:
        made = _outcome(graph, catalog, window, udf)
        if isinstance(whole, str) or isinstance(made, str):
            assert made == whole, graph
            continue
        assert made.keys() == whole.keys()
        for key, cube in whole.items():
            assert_same_cube(cube, made[key], graph)


# They read a user's own files, which a graph alone does not bring: tests/user_files runs them in windows.
OF_FILES = {"load_uploaded_files", "load_url"}
# They need a model's file: tests/ml_models runs them in windows.
OF_MODELS = {"load_ml_model", "ml_predict", "ml_predict_probabilities"}


def test_every_registered_process_is_drawn() -> None:
    drawn = {*STEPS, *PROCESSES}
    assert drawn == set(process_ids()) - OF_FILES - OF_MODELS


EXAMPLES = pytest.mark.parametrize("examples", [2, pytest.param(20, marks=pytest.mark.proof)])


@EXAMPLES
@pytest.mark.parametrize("process_id", sorted(set(STEPS) - {"run_udf"}))
def test_windowed_is_whole_for_every_process_on_cubes(
    process_id: str, examples: int, address: str, catalog: Catalog
) -> None:
    @settings(max_examples=examples, **DRAW_ONLY)
    @given(graph=graphs_with(process_id, catalog, address), window=WINDOWS)
    def check(graph: Mapping[str, Any], window: int) -> None:
        assert process_id in {n["process_id"] for n in graph.values()}
        assert_windows_agree(graph, catalog, window)

    check()


@EXAMPLES
@pytest.mark.parametrize("process_id", sorted(PROCESSES))
def test_windowed_is_whole_for_every_process_in_callbacks(
    process_id: str, examples: int, address: str, catalog: Catalog
) -> None:
    @settings(max_examples=examples, **DRAW_ONLY)
    @given(graph=graphs_calling(process_id, PROCESSES[process_id][0], catalog, address), window=WINDOWS)
    def check(graph: Mapping[str, Any], window: int) -> None:
        assert_windows_agree(graph, catalog, window)

    check()


def test_windowed_is_whole_for_user_defined_functions(
    address: str, catalog: Catalog, udf_runner: ProcessUdfRunner
) -> None:
    @settings(max_examples=3, **DRAW_ONLY)
    @given(graph=graphs_with("run_udf", catalog, address, udf_runner))
    def check(graph: Mapping[str, Any]) -> None:
        assert_windows_agree(graph, catalog, 16, udf=udf_runner)

    check()


def test_windowed_is_whole_for_random_graphs(address: str, catalog: Catalog) -> None:
    @settings(max_examples=12, **DRAW_ONLY)
    @given(graph=graphs(catalog, address), window=WINDOWS)
    def check(graph: Mapping[str, Any], window: int) -> None:
        assert_windows_agree(graph, catalog, 7, window)

    check()


@pytest.mark.proof
@pytest.mark.timeout(7200)
def test_windowed_is_whole_for_very_many_random_graphs(address: str, catalog: Catalog) -> None:
    @settings(hypothesis.settings.get_profile("proof"), suppress_health_check=SLOW)
    @given(graph=graphs(catalog, address, most=9), window=st.integers(1, 64))
    def check(graph: Mapping[str, Any], window: int) -> None:
        assert_windows_agree(graph, catalog, 7, window)

    check()
