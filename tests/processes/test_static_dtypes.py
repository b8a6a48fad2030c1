"""The dtype of a result is known before the pixels: the same on nulls and on any values, and as documented."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.support.masked_arrays import INDEX, X, call, callback, pixels, scalars

from acreage.core.arrays import Masked
from acreage.core.errors import ProcessParameterInvalid
from acreage.processes.registry import array_processes

SMALL = ("uint8", "uint16", "int16")
LARGE = ("int32", "int64")
NUMBERS = (*SMALL, *LARGE, "float32", "float64")
FLOATS = {
    **dict.fromkeys(SMALL, "float32"),
    **dict.fromkeys(LARGE, "float64"),
    "float32": "float32",
    "float64": "float64",
}
KEPT = {d: d for d in NUMBERS}
SUMS = {**dict.fromkeys((*SMALL, *LARGE), "int64"), "float32": "float32", "float64": "float64"}
COUNTS = dict.fromkeys(NUMBERS, "int32")
TRUTH = dict.fromkeys(NUMBERS, "bool")
ADDED = {
    **dict.fromkeys(SMALL, "int32"),
    **dict.fromkeys(LARGE, "int64"),
    "float32": "float32",
    "float64": "float64",
}
PRODUCTS = {**dict.fromkeys((*SMALL, *LARGE), "float64"), "float32": "float32", "float64": "float64"}

Make = Callable[[Masked, Masked], Any]

# ruff: noqa: E501 - a table of one case a line is read across
CASES: dict[str, tuple[Make, dict[str, str]]] = {
    **{p: (lambda a, x, p=p: call(p, x=x), FLOATS) for p in ("sqrt", "ln", "sin", "cos", "tan", "arcsin", "arccos")},
    **{p: (lambda a, x, p=p: call(p, x=x), FLOATS) for p in ("arctan", "sinh", "cosh", "tanh", "arsinh", "arcosh")},
    **{p: (lambda a, x, p=p: call(p, x=x, y=x), FLOATS) for p in ("divide", "mod", "arctan2", "normalized_difference")},
    **{p: (lambda a, x, p=p: call(p, x=x), KEPT) for p in ("floor", "ceil", "int", "round", "constant")},
    **{p: (lambda a, x, p=p: call(p, x=x), TRUTH) for p in ("is_nan", "is_nodata", "is_valid", "is_infinite")},
    **{p: (lambda a, x, p=p: call(p, x=x, y=3), TRUTH) for p in ("eq", "neq", "gt", "gte", "lt", "lte")},
    **{p: (lambda a, x, p=p: call(p, data=a), KEPT) for p in ("min", "max", "extrema", "first", "last", "sort")},
    **{p: (lambda a, x, p=p: call(p, data=a), KEPT) for p in ("cummin", "cummax", "array_create")},
    **{p: (lambda a, x, p=p: call(p, data=a), FLOATS) for p in ("mean", "median", "sd", "variance")},
    **{p: (lambda a, x, p=p: call(p, data=a), SUMS) for p in ("sum", "cumsum")},
    **{p: (lambda a, x, p=p: call(p, data=a), PRODUCTS) for p in ("product", "cumproduct")},
    **{p: (lambda a, x, p=p: call(p, data=a), COUNTS) for p in ("count", "order")},
    "add": (lambda a, x: call("add", x=x, y=7), ADDED),
    "subtract": (lambda a, x: call("subtract", x=7, y=x), ADDED),
    "multiply": (lambda a, x: call("multiply", x=x, y=2), ADDED),
    "artanh": (lambda a, x: call("artanh", x=x), FLOATS),
    "exp": (lambda a, x: call("exp", p=x), FLOATS),
    "log": (lambda a, x: call("log", x=x, base=3), FLOATS),
    "power": (lambda a, x: call("power", base=x, p=2), FLOATS),
    "linear_scale_range": (lambda a, x: call("linear_scale_range", x=x, inputMin=0, inputMax=100), FLOATS),
    "clip": (lambda a, x: call("clip", x=x, min=-5, max=10**6), KEPT),
    "absolute": (
        lambda a, x: call("absolute", x=x),
        {**KEPT, "int16": "int32", "int32": "int64"},
    ),
    "sgn": (
        lambda a, x: call("sgn", x=x),
        {**dict.fromkeys((*SMALL, *LARGE), "int8"), "float32": "float32", "float64": "float64"},
    ),
    "between": (lambda a, x: call("between", x=x, min=1, max=5), TRUTH),
    "and": (lambda a, x: call("and", x=call("gt", x=x, y=3), y=None), TRUTH),
    "or": (lambda a, x: call("or", x=call("gt", x=x, y=3), y=False), TRUTH),
    "xor": (lambda a, x: call("xor", x=call("gt", x=x, y=3), y=True), TRUTH),
    "not": (lambda a, x: call("not", x=call("gt", x=x, y=3)), TRUTH),
    "all": (lambda a, x: call("all", data=call("gt", x=a, y=3)), TRUTH),
    "any": (lambda a, x: call("any", data=call("gt", x=a, y=3), ignore_nodata=False), TRUTH),
    "if": (lambda a, x: call("if", value=call("gt", x=x, y=3), accept=x), KEPT),
    "quantiles": (lambda a, x: call("quantiles", data=a, probabilities=[0.1, 0.5]), FLOATS),
    "array_element": (lambda a, x: call("array_element", data=a, index=1), KEPT),
    "array_apply": (lambda a, x: call("array_apply", data=a, process=callback("add", x=X, y=INDEX)), {}),
    "array_filter": (lambda a, x: call("array_filter", data=a, condition=callback("gt", x=X, y=3)), KEPT),
    "array_find": (lambda a, x: call("array_find", data=a, value=3), COUNTS),
    "array_contains": (lambda a, x: call("array_contains", data=a, value=x), TRUTH),
    "array_concat": (lambda a, x: call("array_concat", array1=a, array2=[1, None]), KEPT),
    "array_append": (lambda a, x: call("array_append", data=a, value=x), KEPT),
    "array_modify": (lambda a, x: call("array_modify", data=a, values=[x, 1], index=1, length=1), KEPT),
    "array_create_labeled": (lambda a, x: call("array_create_labeled", data=[x, 1], labels=["a", "b"]), KEPT),
    "rearrange": (lambda a, x: call("rearrange", data=a, order=call("order", data=a)), KEPT),
    "array_interpolate_linear": (lambda a, x: call("array_interpolate_linear", data=a), FLOATS),
    "fit_curve": (
        lambda a, x: call("fit_curve", data=a, parameters=[1, 2], function=callback("add", x=X, y=3)),
        dict.fromkeys(NUMBERS, "float64"),
    ),
    "inspect": (lambda a, x: call("inspect", data=a, level="debug"), KEPT),
}  # fmt: skip
# They take no numbers of pixels, or return the same for every pixel (dimension_labels: of a cube).
NO_PIXELS = {
    "pi", "e", "nan", "array_labels", "array_find_label", "text_begins", "text_contains", "text_ends", "text_find",
    "text_concat", "dimension_labels", "date_shift", "date_between", "date_difference",
}  # fmt: skip


def test_every_array_process_is_held_by_these_tests() -> None:
    assert set(CASES) | NO_PIXELS == set(array_processes())


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("process_id", sorted(CASES))
def test_dtype_and_length_are_the_same_on_nulls_and_on_values(process_id: str, dtype: str) -> None:
    make, documented = CASES[process_id]
    n = 6
    rng = np.random.default_rng(1)
    values = rng.integers(0, 9, (n, 5, 3)).astype(dtype)
    data = Masked(values, rng.random(values.shape) < 0.7, True)
    nulls = Masked(np.zeros((n, 2), dtype), np.zeros((n, 2), bool), True)
    complete = Masked(values, None, True)

    results = [
        make(a, Masked(a.values[0], None if a.valid is None else a.valid[0])) for a in (data, nulls, complete)
    ]

    assert len({r.dtype for r in results}) == 1
    if documented:
        assert results[0].dtype == np.dtype(documented[dtype])
    assert len({(r.is_array, r.is_array and r.length) for r in results}) == 1
    for result, source in zip(results, (data, nulls, complete), strict=True):
        assert result.values.shape[1 if result.is_array else 0 :] == source.values.shape[1:]


@pytest.mark.parametrize(
    ("operation", "x", "y", "expected"),
    [
        ("add", "uint8", "uint8", "int32"),
        ("add", "uint16", "int16", "int32"),
        ("add", "int32", "uint8", "int64"),
        ("add", "uint16", "float32", "float32"),
        ("add", "int32", "float32", "float64"),
        ("add", "float32", "float64", "float64"),
        ("add", "uint64", "uint8", "float64"),
        ("add", "bool", "bool", "int32"),
        ("subtract", "uint32", "uint32", "int64"),
        ("multiply", "uint8", "uint16", "int32"),
        ("multiply", "uint16", "uint16", "int64"),
        ("multiply", "int16", "int16", "int32"),
        ("divide", "uint16", "uint16", "float32"),
        ("divide", "uint16", "int32", "float64"),
        ("normalized_difference", "uint16", "float32", "float32"),
    ],
)
def test_dtype_of_two_arrays(operation: str, x: str, y: str, expected: str) -> None:
    result = call(operation, x=scalars([1, 1], x), y=scalars([1, 1], y))
    assert result.dtype == np.dtype(expected)


@pytest.mark.parametrize(
    ("dtype", "literal", "expected"),
    [
        ("uint16", 5, "int32"),
        ("uint16", 0.5, "float32"),
        ("int32", 0.5, "float64"),
        ("float32", 0.1, "float32"),
        ("float32", 10**6, "float32"),
        ("float64", 0.1, "float64"),
        ("uint8", 10**10, "int64"),
        ("uint8", 10**30, "float64"),
        ("uint8", None, "int32"),
    ],
)
def test_literals_are_weak(dtype: str, literal: Any, expected: str) -> None:
    assert call("add", x=scalars([1, 2], dtype), y=literal).dtype == np.dtype(expected)


def test_a_literal_stays_weak_through_other_processes() -> None:
    factor = call("multiply", x=call("pi"), y=2)
    assert call("multiply", x=scalars([1, 2], "uint16"), y=factor).dtype == np.float32


@pytest.mark.parametrize("operation", ["add", "subtract", "multiply"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32"])
def test_integer_arithmetic_never_wraps(operation: str, dtype: str) -> None:
    info = np.iinfo(dtype)
    ends = [int(info.min), int(info.max)]
    exact = {"add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b}[
        operation
    ]
    pairs = [(a, b) for a in ends for b in ends]
    result = call(operation, x=scalars([a for a, _ in pairs], dtype), y=scalars([b for _, b in pairs], dtype))
    if not (operation == "multiply" and dtype == "uint32"):  # the square of 2**32 - 1 leaves int64
        assert result.values.tolist() == [exact(a, b) for a, b in pairs]


def test_the_extremes_of_a_signed_dtype_have_an_absolute_value() -> None:
    for dtype in ("int8", "int16", "int32"):
        low = int(np.iinfo(dtype).min)
        assert call("absolute", x=scalars([low], dtype)).values.tolist() == [-low]


@pytest.mark.parametrize(
    ("dtype", "low", "high", "expected"),
    [
        ("uint16", 0, 10000, "uint16"),
        ("uint16", -1, 70000, "uint16"),
        ("uint8", 300, 400, "uint16"),
        ("uint8", -20, -10, "int16"),
        ("uint8", 0.5, 9, "float32"),
        ("float32", 0, 1, "float32"),
    ],
)
def test_clip_keeps_the_dtype_unless_a_bound_is_reached_outside_of_it(
    dtype: str, low: float, high: float, expected: str
) -> None:
    result = call("clip", x=scalars([0, 7, 200], dtype), min=low, max=high)
    assert result.dtype == np.dtype(expected)
    assert result.values.tolist() == np.clip([0, 7, 200], low, high).tolist()


@pytest.mark.parametrize(
    ("accept", "reject", "expected"),
    [
        (scalars([1, 2], "uint8"), scalars([1, 2], "uint16"), "uint16"),
        (scalars([1, 2], "uint8"), scalars([1, 2], "int16"), "int16"),
        (scalars([1, 2], "uint16"), 0.5, "float32"),
        (scalars([1, 2], "int32"), 0.5, "float64"),
        (scalars([1, 2], "uint8"), 1000, "uint16"),
        (scalars([1, 2], "uint8"), None, "uint8"),
        (scalars([1, 2], "uint16"), scalars([1, 2], "float32"), "float32"),
        (scalars([1, 2], "int32"), scalars([1, 2], "float32"), "float64"),
        (1, 0, "int64"),
        (None, None, "float32"),
    ],
)
def test_the_two_ways_of_an_if_get_a_common_dtype(accept: Any, reject: Any, expected: str) -> None:
    value = scalars([True, False])
    assert call("if", value=value, accept=accept, reject=reject).dtype == np.dtype(expected)


def test_texts_and_numbers_cannot_share_an_array_of_pixels() -> None:
    with pytest.raises(ProcessParameterInvalid, match="different types"):
        call("array_create", data=[scalars([1, 2]), "a"])
    with pytest.raises(ProcessParameterInvalid, match="must be a number"):
        call("add", x=pixels(["a", "b"]), y=1)
