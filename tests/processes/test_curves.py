"""fit_curve and predict_curve, against SciPy, NumPy and formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import curve_fit
from tests.support.masked_arrays import call

from acreage.core.arrays import Masked
from acreage.core.cube import Cube, CubeMeta, Dimension
from acreage.core.errors import ProcessParameterInvalid
from acreage.engine.parser import parse_graph
from acreage.processes.callback import Callback
from acreage.processes.least_squares import fit
from support.harness import dates, describe, fill, raster_meta, run_eager, run_windowed

Json = dict[str, Any]
X = {"from_parameter": "x"}
YEAR = 31_557_600


def parameter(index: int) -> Json:
    return {
        "process_id": "array_element",
        "arguments": {"data": {"from_parameter": "parameters"}, "index": index},
    }


def node(process_id: str, *, result: bool = False, **arguments: Any) -> Json:
    return {"process_id": process_id, "arguments": arguments, **({"result": True} if result else {})}


def ref(key: str) -> Json:
    return {"from_node": key}


LINE = {
    "a": parameter(0), "b": parameter(1), "bx": node("multiply", x=ref("b"), y=X),
    "y": node("add", x=ref("a"), y=ref("bx"), result=True),
}  # fmt: skip
DECAY = {  # a * exp(b x)
    "a": parameter(0), "b": parameter(1), "bx": node("multiply", x=ref("b"), y=X),
    "e": node("exp", p=ref("bx")), "y": node("multiply", x=ref("a"), y=ref("e"), result=True),
}  # fmt: skip
HARMONIC = {  # a + b cos(2 pi x / year) + c sin(2 pi x / year)
    "a": parameter(0), "b": parameter(1), "c": parameter(2),
    "w": node("multiply", x=X, y=2 * math.pi / YEAR),
    "cos": node("cos", x=ref("w")), "sin": node("sin", x=ref("w")),
    "bc": node("multiply", x=ref("b"), y=ref("cos")), "cs": node("multiply", x=ref("c"), y=ref("sin")),
    "y": node("sum", data=[ref("a"), ref("bc"), ref("cs")], result=True),
}  # fmt: skip


def function(graph: Json) -> Callback:
    """A model function, compiled as in a process graph."""
    call_ = node("fit_curve", data=[1], parameters=[1], function={"process_graph": graph}, result=True)
    return parse_graph({"fit": call_}).nodes[0].arguments["function"]


def test_a_line_is_the_one_of_polyfit() -> None:
    rng = np.random.default_rng(4)
    y = rng.normal(size=(12, 7)).cumsum(axis=0)
    made = call("fit_curve", data=Masked(y, None, True), parameters=[0, 0], function=function(LINE))
    expected = np.polynomial.polynomial.polyfit(np.arange(12), y, 1)
    np.testing.assert_allclose(made.values, expected, rtol=1e-6, atol=1e-8)
    assert made.validity().all()


def test_a_decay_with_gaps_is_the_one_of_scipy() -> None:
    rng = np.random.default_rng(5)
    x = np.array([0.0, 0.5, 1.5, 2, 4, 5, 7.5, 9])
    y = 3 * np.exp(-0.4 * x)[:, None] * rng.uniform(0.8, 1.2, (8, 20))
    valid = rng.random(y.shape) > 0.2
    made = call("fit_curve", data=Masked(y, valid, True, tuple(x.tolist())), parameters=[1, -0.1],
                function=function(DECAY))  # fmt: skip
    for pixel in range(20):
        use = valid[:, pixel]
        best, _ = curve_fit(lambda x, a, b: a * np.exp(b * x), x[use], y[use, pixel], [1, -0.1])
        np.testing.assert_allclose(made.values[:, pixel], best, rtol=1e-5)


def test_dates_count_in_seconds_since_1970() -> None:
    labels = dates(*(f"2019-{m:02d}-01" for m in range(1, 13)))
    seconds = np.array([label.astype("datetime64[s]").astype(np.int64) for label in labels])
    angle = 2 * math.pi * seconds / YEAR
    y = (0.4 - 0.3 * np.cos(angle) + 0.1 * np.sin(angle))[:, None]
    made = call("fit_curve", data=Masked(y, None, True, labels), parameters=[1, 1, 1],
                function=function(HARMONIC))  # fmt: skip
    np.testing.assert_allclose(made.values[:, 0], [0.4, -0.3, 0.1], rtol=1e-8)


def test_json_in_is_json_out() -> None:
    made = call("fit_curve", data=[1, 3, None, 7], parameters=[0, 0], function=function(LINE))
    assert made == pytest.approx([1, 2])


def test_there_is_no_fit_without_enough_values() -> None:
    line = function(LINE)
    assert call("fit_curve", data=[1, None, None], parameters=[0, 0], function=line) == [None, None]
    assert call("fit_curve", data=[1, 2, None], parameters=[0, 0], function=line, ignore_nodata=False) == [
        None,
        None,
    ]
    assert call("fit_curve", data=[1, 2, math.nan], parameters=[0, 0], function=line) == [None, None]


def test_a_guess_is_needed() -> None:
    with pytest.raises(ProcessParameterInvalid, match="needs a guess"):
        call("fit_curve", data=[1, 2], parameters=[], function=function(LINE))
    with pytest.raises(ProcessParameterInvalid, match="must be a process graph"):
        call("fit_curve", data=[1, 2], parameters=[1], function=3)


@given(st.integers(0, 2**16), st.integers(1, 6))
def test_a_pixel_does_not_see_its_neighbours(seed: int, pixels: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.arange(9.0)
    y = np.exp(-x / 4)[:, None] * rng.uniform(1, 5, (1, pixels)) + rng.normal(0, 0.05, (9, pixels))
    use = rng.random(y.shape) > 0.15

    def model(p: Any) -> Any:
        return p[0] * np.exp(p[1] * x[:, None])

    together, good = fit(model, y, use, np.array([1.0, -0.1]))
    for i in range(pixels):
        alone, same = fit(model, y[:, i : i + 1], use[:, i : i + 1], np.array([1.0, -0.1]))
        assert same[0] == good[i]
        if same[0]:
            assert alone.tobytes() == np.ascontiguousarray(together[:, i : i + 1]).tobytes()


def test_what_diverges_is_no_fit() -> None:
    y = np.array([[1.0], [2.0], [4.0]])

    def model(p: Any) -> Any:
        return np.full((3, 1), np.nan) + p[0]

    assert not fit(model, y, np.ones(y.shape, bool), np.array([1.0]))[1].any()


# --- predict_curve ------------------------------------------------------------------------------------------


def parameters(seed: int = 0, nulls: float = 0.3) -> Cube:
    meta = raster_meta(dtype=np.float64)
    dims = (Dimension("p", "other", (0, 1)), *meta.dims)
    return fill(CubeMeta(dims, meta.dtype, meta.box), seed, nulls)


@pytest.mark.parametrize("labels", [[0, 1, 2.5], ["2019-03-01", "2019-04-01T12:00:00Z"]])
def test_predicted_values_are_those_of_the_formula(labels: list[Any]) -> None:
    cube = parameters()
    arguments = {"parameters": cube, "function": function(LINE), "dimension": "p", "labels": labels}
    made = run_eager("predict_curve", **arguments)
    windowed = run_windowed("predict_curve", 2, 3, **arguments)
    assert windowed.values.tobytes() == made.values.tobytes()
    x = labels
    if isinstance(labels[0], str):
        assert made.meta.dim("p").type == "temporal"
        assert made.meta.dim("p").labels == dates("2019-03-01", "2019-04-01T12:00:00")
        x = [1_551_398_400, 1_554_120_000]
    both = cube.validity().all(axis=0)
    assert (made.validity() == both).all()
    for i, at in enumerate(x):
        expected = cube.values[0] + cube.values[1] * at
        np.testing.assert_allclose(made.values[i][both], expected[both])


def test_a_fitted_curve_is_predicted_where_it_was_measured() -> None:
    labels = dates(*(f"2019-{m:02d}-11" for m in range(1, 13)))
    meta = raster_meta(t=labels, dtype=np.float64)
    seconds = np.array([label.astype("datetime64[s]").astype(np.int64) for label in labels])
    wave = 1 + np.cos(2 * math.pi * seconds / YEAR)
    cube = Cube.of(np.broadcast_to(wave[:, None, None], meta.shape).copy(), None, meta)
    fitted = run_eager("apply_dimension", data=cube, dimension="t", process=_fit_in_callback())
    texts = [f"{np.datetime_as_string(v, unit='s')}Z" for v in labels]
    back = run_eager(
        "predict_curve", parameters=fitted, function=function(HARMONIC), dimension="t", labels=texts
    )
    assert back.meta.dims == cube.meta.dims
    np.testing.assert_allclose(back.values, cube.values, atol=1e-6)


def _fit_in_callback() -> Callback:
    inner = node("fit_curve", data={"from_parameter": "data"}, parameters=[1, 1, 1],
                 function={"process_graph": HARMONIC}, result=True)  # fmt: skip
    outer = node("apply_dimension", data=ref("load"), dimension="t", process={"process_graph": {"f": inner}},
                 result=True)  # fmt: skip
    load = node("load_collection", id="X", spatial_extent=None, temporal_extent=None)
    return parse_graph({"load": load, "apply": outer}).nodes[-1].arguments["process"]


def test_labels_that_cannot_be_predicted_are_refused() -> None:
    arguments = {"parameters": parameters(), "function": function(LINE), "dimension": "p"}
    with pytest.raises(ProcessParameterInvalid, match="needs labels"):
        describe("predict_curve", **arguments)
    with pytest.raises(ProcessParameterInvalid, match="all numbers or all dates"):
        describe("predict_curve", labels=[1, "2019-01-01"], **arguments)
    with pytest.raises(ProcessParameterInvalid, match="holds no parameters"):
        describe("predict_curve", **{**arguments, "dimension": "x"}, labels=[1])
