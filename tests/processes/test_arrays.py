"""Arrays made, joined, changed, looked up and walked by callbacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.masked_arrays import (
    CONTEXT,
    INDEX,
    LABEL,
    X,
    call,
    callback,
    columns,
    lists,
    masked,
    pixels,
    scalars,
)

from acreage.core.arrays import Masked
from acreage.core.errors import (
    ArrayElementNotAvailable,
    ArrayElementParameterConflict,
    ArrayElementParameterMissing,
    ArrayLabelConflict,
    ArrayLengthMismatch,
    ArrayNotLabeled,
    LabelExists,
    ProcessParameterInvalid,
)
from acreage.processes.callback import BoundCallback, Callback, CallbackNode, NodeRef, ParameterRef
from acreage.processes.registry import array_processes

DATES = tuple(np.array(["2020-01-01", "2020-01-11"], "datetime64[ms]"))


def test_elements_by_index_and_label() -> None:
    data = pixels([[1, None], [3, 4]], "uint8", labels=("B04", "B08"))
    assert lists(call("array_element", data=data, index=0)) == [1, None]
    assert lists(call("array_element", data=data, label="B08")) == [3, 4]
    dated = pixels([[1, 2], [3, 4]], labels=DATES)
    assert lists(call("array_element", data=dated, label="2020-01-11")) == [3, 4]
    assert lists(call("array_element", data=dated, label="2020-01-11T00:00:00Z")) == [3, 4]


def test_element_of_a_list_keeps_its_own_dtype() -> None:
    element = call("array_element", data=[scalars([1, 2], "uint8"), scalars([0.5, 1], "float64")], index=0)
    assert element.dtype == np.uint8


def test_elements_that_are_not_there() -> None:
    data = pixels([[1, 2], [3, 4]], "uint8", labels=("a", 1))
    for arguments in ({"index": 2}, {"index": -1}, {"label": "c"}, {"label": "1"}):
        with pytest.raises(ArrayElementNotAvailable):
            call("array_element", data=data, **arguments)
        null = call("array_element", data=data, return_nodata=True, **arguments)
        assert lists(null) == [None, None]
        assert null.dtype == np.uint8
    with pytest.raises(ArrayElementParameterMissing):
        call("array_element", data=data)
    with pytest.raises(ArrayElementParameterConflict):
        call("array_element", data=data, index=0, label="a")
    with pytest.raises(ArrayNotLabeled):
        call("array_element", data=[1, 2], label="a")
    with pytest.raises(ProcessParameterInvalid, match="array"):
        call("array_element", data=scalars([1, 2]), index=0)


@given(data=masked("int16", minimum=1), seed=st.integers(0, 1000))
def test_an_index_may_differ_from_pixel_to_pixel(data: Masked, seed: int) -> None:
    places = np.random.default_rng(seed).integers(-1, data.length + 1, data.values.shape[1])
    inside = (places >= 0) & (places < data.length)
    result = call("array_element", data=data, index=Masked(places), return_nodata=True)
    assert lists(result) == [
        c[p] if ok else None for c, p, ok in zip(columns(data), places, inside, strict=True)
    ]
    if not inside.all():
        with pytest.raises(ArrayElementNotAvailable):
            call("array_element", data=data, index=Masked(places))


@given(data=masked("uint8", minimum=0), value=st.integers(0, 5), reverse=st.booleans())
def test_find_and_contains_equal_pythons_search(data: Masked, value: int, reverse: bool) -> None:
    small = Masked(data.values % 4, data.valid, True)
    every = columns(small) or [[]] * data.values.shape[1]
    places = [[i for i, v in enumerate(c) if v == value] for c in every]
    found = call("array_find", data=small, value=value, reverse=reverse)
    assert lists(found) == [p[-1 if reverse else 0] if p else None for p in places]
    assert lists(call("array_contains", data=small, value=value)) == [bool(p) for p in places]
    assert lists(call("array_contains", data=small, value=None)) == [False] * len(every)


def test_labels() -> None:
    assert call("array_labels", data=[5, 6]) == [0, 1]
    assert call("array_labels", data=pixels([[1], [2]], labels=("a", "b"))) == ["a", "b"]
    assert call("array_labels", data=pixels([[1], [2]], labels=DATES)) == [
        "2020-01-01T00:00:00Z",
        "2020-01-11T00:00:00Z",
    ]
    labelled = call("array_create_labeled", data=[7, None], labels=["a", 2])
    assert lists(labelled) == [7, None]
    assert call("array_find_label", data=labelled, label=2) == 1
    assert call("array_find_label", data=labelled, label="2") is None
    assert call("array_find_label", data=[1], label=0) is None
    with pytest.raises(ArrayLengthMismatch):
        call("array_create_labeled", data=[7], labels=["a", "b"])
    with pytest.raises(ProcessParameterInvalid, match="once"):
        call("array_create_labeled", data=[7, 8], labels=["a", "a"])


def test_arrays_of_scalars_of_different_shapes_are_stacked() -> None:
    made = call("array_create", data=[scalars([1, None], "uint8"), 7, scalars([[1, 2], [3, 4]], "int16")])
    assert made.dtype == np.int16
    assert made.values.shape == (3, 2, 2)
    assert lists(made) == [[[1, None], [1, None]], [[7, 7], [7, 7]], [[1, 2], [3, 4]]]
    assert lists(call("array_create", data=[scalars([1, 2])], repeat=2)) == [[1, 2], [1, 2]]
    with pytest.raises(ProcessParameterInvalid, match="repeat"):
        call("array_create", data=[1], repeat=0)


@given(a=masked("uint8"), b=masked("int16"))
def test_concat_puts_one_after_the_other(a: Masked, b: Masked) -> None:
    b = Masked(np.resize(b.values, (b.length, a.values.shape[1])), None, True) if b.values.size else a
    assert lists(call("array_concat", array1=a, array2=b)) == lists(a) + lists(b)
    width = a.values.shape[1]
    assert lists(call("array_concat", array1=[None, 3], array2=a)) == [[None] * width, [3] * width, *lists(a)]


def test_a_single_value_is_joined_as_an_array_of_it() -> None:
    assert call("array_concat", array1=[1, 2], array2=3) == [1, 2, 3]
    single = Masked(np.array([5, 6], np.uint8), np.array([True, False]))
    joined = call("array_concat", array1=pixels([[1, 2], [3, 4]]), array2=single)
    assert lists(joined) == [[1, 2], [3, 4], [5, None]]


def test_labels_of_joined_arrays() -> None:
    one, two = pixels([[1], [2]], labels=("a", "b")), pixels([[3]], labels=("c",))
    assert call("array_concat", array1=one, array2=two).labels == ("a", "b", "c")
    assert call("array_concat", array1=one, array2=[1]).labels is None
    with pytest.raises(ArrayLabelConflict, match="a"):
        call("array_concat", array1=one, array2=one)
    assert call("array_append", data=one, value=5).labels == ("a", "b", 2)
    assert call("array_append", data=one, value=5, label="z").labels == ("a", "b", "z")
    with pytest.raises(LabelExists):
        call("array_append", data=one, value=5, label="b")
    with pytest.raises(ArrayNotLabeled):
        call("array_append", data=[1], value=5, label="b")
    assert call("array_modify", data=one, values=[], index=0, length=1).labels == ("b",)
    assert call("array_modify", data=one, values=two, index=1).labels == ("a", "c", "b")
    assert call("array_modify", data=one, values=[4], index=1).labels is None
    with pytest.raises(ArrayLabelConflict):
        call("array_modify", data=one, values=pixels([[3]], labels=("a",)), index=1)


@given(
    data=masked("int16"),
    values=st.lists(st.none() | st.integers(0, 9), max_size=3),
    index=st.integers(0, 12),
    length=st.integers(0, 12),
)
def test_modify_equals_pythons_slice_assignment(
    data: Masked, values: list[int | None], index: int, length: int
) -> None:
    if index > data.length:
        with pytest.raises(ArrayElementNotAvailable):
            call("array_modify", data=data, values=values, index=index, length=length)
        return
    expected = lists(data)
    expected[index : index + length] = [[v] * data.values.shape[1] for v in values]
    result = call("array_modify", data=data, values=values, index=index, length=length)
    assert lists(result) == expected
    assert result.dtype == np.int16
    first = [row[0] for row in lists(data)]
    assert call("array_modify", data=first, values=values, index=index, length=length) == [
        row[0] for row in expected
    ]


def test_apply_gives_value_index_label_and_context() -> None:
    data = pixels([[1, 2], [3, None]], "uint8", labels=("a", "b"))
    doubled = call("array_apply", data=data, process=callback("multiply", x=X, y=CONTEXT), context=2)
    assert lists(doubled) == [[2, 4], [6, None]]
    assert doubled.labels == ("a", "b")
    assert lists(call("array_apply", data=data, process=callback("constant", x=INDEX))) == [[0, 0], [1, 1]]
    named = call("array_apply", data=data, process=callback("eq", x=LABEL, y="b"))
    assert lists(named) == [[False, False], [True, True]]
    assert call("array_apply", data=[1, None], process=callback("add", x=X, y=INDEX)) == [1, None]
    assert lists(call("array_apply", data=data, process=callback("constant", x=7))) == [[7, 7], [7, 7]]


def test_apply_sees_the_array_of_the_scope_around_it() -> None:
    # Each element less the mean of the whole array.
    functions = tuple(array_processes()[p].function for p in ("mean", "subtract"))
    nodes = (
        CallbackNode("mean", "mean", {"data": ParameterRef("data")}),
        CallbackNode("less", "subtract", {"x": X, "y": NodeRef(0)}),
    )
    data = pixels([[1, 2], [3, None], [5, 8]], "uint8")
    inner = BoundCallback(Callback(nodes, 1, functions), {"data": data})
    assert lists(call("array_apply", data=data, process=inner)) == [[-2, -3], [0, None], [2, 3]]
    sizes = callback("count", data=ParameterRef("data"), condition=True)
    outer = BoundCallback(sizes.callback, {"data": data})
    assert lists(call("array_apply", data=data, process=outer)) == [[3, 3]] * 3


def test_apply_may_look_up_elements_of_another_array() -> None:
    data = pixels([[1, 2], [3, None]], "uint8")
    other = pixels([[10, 20], [30, 40], [50, 60]], "int16")
    look_up = callback("array_element", data=ParameterRef("other"), index=INDEX)
    bound = BoundCallback(look_up.callback, {"other": other})
    assert lists(call("array_apply", data=data, process=bound)) == [[10, 20], [30, 40]]
    by_value = callback("array_element", data=ParameterRef("other"), index=X, return_nodata=True)
    bound = BoundCallback(by_value.callback, {"other": other})
    assert lists(call("array_apply", data=data, process=bound)) == [[30, 60], [None, None]]


def test_apply_refuses_callbacks_that_return_arrays_and_things_that_are_none() -> None:
    data = pixels([[1, 2], [3, 4]])
    with pytest.raises(ProcessParameterInvalid, match="single value"):
        call("array_apply", data=data, process=callback("array_create", data=[X, X]))
    with pytest.raises(ProcessParameterInvalid, match="callback"):
        call("array_apply", data=data, process="add")


@given(data=masked("int16"), limit=st.integers(-50, 50))
def test_filter_by_value_moves_what_is_kept_to_the_front(data: Masked, limit: int) -> None:
    result = call("array_filter", data=data, condition=callback("gt", x=X, y=limit))
    assert result.length == data.length
    for before, after in zip(columns(data), columns(result), strict=True):
        kept = [v for v in before if v is not None and v > limit]
        assert after == kept + [None] * (len(before) - len(kept))
        assert call("array_filter", data=before, condition=callback("gt", x=X, y=limit)) == kept


def test_filter_by_place_shortens_the_array_and_keeps_labels() -> None:
    data = pixels([[1, 2], [None, 4], [5, 6]], "uint8", labels=("a", "b", "c"))
    by_index = call("array_filter", data=data, condition=callback("gte", x=INDEX, y=CONTEXT), context=1)
    assert lists(by_index) == [[None, 4], [5, 6]]
    assert by_index.labels == ("b", "c")
    by_label = call("array_filter", data=data, condition=callback("neq", x=LABEL, y="b"))
    assert lists(by_label) == [[1, 2], [5, 6]]
    season = callback("date_between", x=LABEL, min="2020-01-05", max="2020-02-01")
    dated = call("array_filter", data=pixels([[1], [2]], labels=DATES), condition=season)
    assert dated.labels == DATES[1:]


@pytest.mark.parametrize("bad", [3, "a", None, {"a": 1}])
def test_what_is_no_array_is_refused(bad: Any) -> None:
    for process_id in ("array_create_labeled", "sort", "mean", "all", "cumsum", "array_interpolate_linear"):
        arguments = {"labels": []} if process_id == "array_create_labeled" else {}
        with pytest.raises(ProcessParameterInvalid, match="array"):
            call(process_id, data=bad, **arguments)
