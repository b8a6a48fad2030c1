"""Random callbacks as process graph JSON, from a table of what every array process takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

Json = Any
Draw = st.DrawFn
Make = Callable[["Writer"], Json]
Argument = str | Make

NUMBERS = st.one_of(
    st.sampled_from([0, 1, 2, -1, 0.5, 10, 1000.25]),
    st.integers(-50, 4000),
    st.floats(-100, 100, allow_nan=False, width=32),
)
DATES = st.sampled_from(["2019-03-01", "2019-03-14", "2019-04-03", "2020-01-01T12:00:00Z"])
UNITS = st.sampled_from(["day", "month", "hour", "year", "week"])
TEXTS = st.sampled_from(["B04", "B", "0", "2019-03-05", "vv", ""])
WHOLE = st.integers(0, 3)


def _value(strategy: st.SearchStrategy[Any]) -> Make:
    return lambda w: w.draw(strategy)


def _optional_flag(w: Writer) -> Json:
    return w.draw(st.booleans())


def _per_element(kind: str) -> Make:
    """A nested callback with x, index and label."""

    def make(w: Writer) -> Json:
        leaves = {w.element: [{"from_parameter": "x"}], "num": [{"from_parameter": "index"}]}
        if w.element == "num":
            leaves["num"] = [{"from_parameter": "x"}, {"from_parameter": "index"}]
        leaves |= _from_outside(w)
        return callback(w.draw, kind, leaves, depth=w.draw(st.integers(0, 1)))

    return make


def _from_outside(w: Writer) -> dict[str, list[Json]]:
    """The array of the scope around, where a nested callback can see it."""
    return {k: v for k, v in w.leaves.items() if v == [{"from_parameter": "data"}]}


def _condition(w: Writer) -> Json:
    leaves = {w.element: [{"from_parameter": "x"}], **_from_outside(w)}
    return callback(w.draw, "bool", leaves, depth=w.draw(st.integers(0, 1)))


def _few(strategy: st.SearchStrategy[Any]) -> Make:
    return lambda w: w.draw(st.lists(strategy, min_size=1, max_size=3))


def _numbers_and_pixels(w: Writer) -> Json:
    return [w.make("num", 0) for _ in range(w.draw(st.integers(1, 4)))]


def _texts(w: Writer) -> Json:
    return [w.draw(TEXTS) for _ in range(w.draw(st.integers(1, 3)))]


def _labels(w: Writer) -> Json:
    return [f"l{i}" for i in range(3)]


_X = {"x": "num"}
_XY = {"x": "num", "y": "num"}
_BOTH = {"x": "bool", "y": "bool"}
_DATA = {"data": "nums", "ignore_nodata": _optional_flag}
_PATTERN: Mapping[str, Argument] = {
    "data": "text",
    "pattern": _value(TEXTS),
    "case_sensitive": _optional_flag,
}
_SORTING: Mapping[str, Argument] = {
    "data": "nums",
    "asc": _optional_flag,
    "nodata": _value(st.sampled_from([None, True, False])),
}
_UNARY = ("absolute", "arccos", "arcosh", "arcsin", "arctan", "arsinh", "artanh", "ceil", "cos", "cosh",
          "floor", "int", "ln", "sgn", "sin", "sinh", "sqrt", "tan", "tanh", "constant")  # fmt: skip
_BINARY = ("add", "subtract", "multiply", "divide", "mod", "arctan2", "normalized_difference")
_REDUCERS = ("first", "last", "max", "min", "mean", "median", "product", "sd", "sum", "variance")


def _rejected(w: Writer) -> Json:
    return w.make("num", 0) if w.draw(st.booleans()) else None


def _counted(w: Writer) -> Json:
    return w.draw(st.sampled_from([None, True])) or _condition(w)


def _line(w: Writer) -> Json:
    """A model function a + b x."""

    def held(index: int) -> Json:
        arguments = {"data": {"from_parameter": "parameters"}, "index": index}
        return {"process_id": "array_element", "arguments": arguments}

    bx = {"x": {"from_node": "b"}, "y": {"from_parameter": "x"}}
    y = {"x": {"from_node": "a"}, "y": {"from_node": "bx"}}
    nodes = {
        "a": held(0),
        "b": held(1),
        "bx": {"process_id": "multiply", "arguments": bx},
        "y": {"process_id": "add", "arguments": y, "result": True},
    }
    return {"process_graph": nodes}


def _three(w: Writer) -> Json:
    return [w.make("num", 0) for _ in range(3)]


# What each process gives, and how each of its parameters is drawn: a kind, or a function of the writer.
# Kinds: num, bool, text, date (one value a pixel) and nums, bools (arrays).
PROCESSES: Mapping[str, tuple[str, Mapping[str, Argument]]] = {
    **dict.fromkeys(_UNARY, ("num", _X)),
    **dict.fromkeys(_BINARY, ("num", _XY)),
    "exp": ("num", {"p": "num"}),
    "log": ("num", {"x": "num", "base": "num"}),
    "power": ("num", {"base": "num", "p": "num"}),
    "round": ("num", {"x": "num", "p": _value(st.integers(-2, 3))}),
    "clip": (
        "num",
        {"x": "num", "min": _value(st.integers(-50, 100)), "max": _value(st.integers(101, 3000))},
    ),
    "linear_scale_range": (
        "num",
        {"x": "num", "inputMin": _value(st.integers(-10, 0)), "inputMax": _value(st.integers(5, 4000)),
         "outputMax": _value(st.integers(1, 255))},
    ),
    "e": ("num", {}),
    "pi": ("num", {}),
    "nan": ("num", {}),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), ("bool", _XY)),
    "eq": ("bool", {**_XY, "delta": _value(st.sampled_from([None, 1, 50.5]))}),
    "neq": ("bool", {**_XY, "delta": _value(st.sampled_from([None, 1, 50.5]))}),
    "between": (
        "bool",
        {"x": "num", "min": _value(st.integers(-50, 100)), "max": _value(st.integers(50, 3000)),
         "exclude_max": _optional_flag},
    ),
    **dict.fromkeys(("is_infinite", "is_nan", "is_nodata", "is_valid"), ("bool", _X)),
    **dict.fromkeys(("and", "or", "xor"), ("bool", _BOTH)),
    "not": ("bool", {"x": "bool"}),
    "all": ("bool", {"data": "bools", "ignore_nodata": _optional_flag}),
    "any": ("bool", {"data": "bools", "ignore_nodata": _optional_flag}),
    "if": ("num", {"value": "bool", "accept": "num", "reject": _rejected}),
    **dict.fromkeys(_REDUCERS, ("num", _DATA)),
    "count": ("num", {"data": "nums", "condition": _counted}),
    "array_element": ("num", {"data": "nums", "index": _value(WHOLE), "return_nodata": lambda w: True}),
    "array_find": ("num", {"data": "nums", "value": "num", "reverse": _optional_flag}),
    "array_find_label": ("num", {"data": "nums", "label": _value(TEXTS)}),
    "array_contains": ("bool", {"data": "nums", "value": "num"}),
    "array_append": ("nums", {"data": "nums", "value": "num"}),
    "array_apply": ("nums", {"data": "nums", "process": _per_element("num")}),
    "array_concat": ("nums", {"array1": "nums", "array2": "nums"}),
    "array_create": ("nums", {"data": _numbers_and_pixels, "repeat": _value(st.integers(1, 2))}),
    "array_create_labeled": ("nums", {"data": _three, "labels": _labels}),
    "array_filter": ("nums", {"data": "nums", "condition": _per_element("bool")}),
    "array_interpolate_linear": ("nums", {"data": "nums"}),
    "array_labels": ("labels", {"data": "nums"}),
    "array_modify": ("nums", {"data": "nums", "values": _numbers_and_pixels, "index": _value(WHOLE),
                              "length": _value(st.integers(0, 2))}),
    **dict.fromkeys(("cummax", "cummin", "cumproduct", "cumsum", "extrema"), ("nums", _DATA)),
    "quantiles": ("nums", {**_DATA, "probabilities": _value(st.sampled_from([[0.1, 0.5], [0.25], 4]))}),
    "fit_curve": ("nums", {"data": "nums", "parameters": lambda w: [1, 0.5], "function": _line,
                           "ignore_nodata": _optional_flag}),
    "inspect": ("num", {"data": "num", "level": lambda w: "debug"}),
    "order": ("nums", _SORTING),
    "rearrange": ("nums", {"data": "nums", "order": lambda w: w.draw(st.sampled_from([[0], [1, 0]]))}),
    "sort": ("nums", _SORTING),
    "text_begins": ("bool", _PATTERN),
    "text_ends": ("bool", _PATTERN),
    "text_contains": ("bool", _PATTERN),
    "text_find": ("num", _PATTERN),
    "text_concat": ("text", {"data": _texts, "separator": _value(TEXTS)}),
    "date_between": ("bool", {"x": "date", "min": lambda w: "2019-03-05", "max": lambda w: "2019-12-31",
                              "exclude_max": _optional_flag}),
    "date_difference": ("num", {"date1": "date", "date2": "date", "unit": _value(UNITS)}),
    "date_shift": ("date", {"date": "date", "value": _value(st.integers(-40, 40)), "unit": _value(UNITS)}),
}  # fmt: skip

# Processes that may stand anywhere in a random expression; the others are only drawn when they are asked for.
_COMMON = {
    kind: sorted(p for p, (gives, _) in PROCESSES.items() if gives == kind)
    for kind in ("num", "bool", "nums", "text", "date")
}


class Writer:
    """Writes one callback: nodes are added as they are drawn, from the leaves up.

    Args:
        draw: hypothesis's.
        leaves: references and constants by kind.
    """

    def __init__(self, draw: Draw, leaves: Mapping[str, list[Json]]) -> None:
        self.draw = draw
        self.leaves = leaves
        self.nodes: dict[str, Json] = {}
        self.element = "bool" if "bools" in leaves else "num"

    def make(self, kind: str, depth: int) -> Json:
        """A value of a kind: a leaf, or a call with arguments of less depth."""
        leaves = self.leaves.get(kind, [])
        if depth <= 0 or self.draw(st.integers(0, 3)) == 0:
            if leaves and self.draw(st.integers(0, 4)) > 0:
                return self.draw(st.sampled_from(leaves))
            return self._without_leaf(kind)
        if kind == "bools":
            return self._without_leaf(kind)
        return self.call(self.draw(st.sampled_from(_COMMON[kind])), depth - 1)

    def call(self, process_id: str, depth: int) -> Json:
        """One node that calls this process."""
        arguments = {
            name: self.make(how, depth) if isinstance(how, str) else how(self)
            for name, how in PROCESSES[process_id][1].items()
        }
        key = f"n{len(self.nodes)}"
        self.nodes[key] = {"process_id": process_id, "arguments": arguments}
        return {"from_node": key}

    def node(self, process_id: str, **arguments: Json) -> Json:
        """One node with these arguments."""
        key = f"n{len(self.nodes)}"
        self.nodes[key] = {"process_id": process_id, "arguments": arguments}
        return {"from_node": key}

    def _without_leaf(self, kind: str) -> Json:
        """A value of a kind from values of other kinds, or a constant."""
        arrays = self.leaves.get("nums") or self.leaves.get("bools")
        match kind:
            case "num" if self.leaves.get("nums") and self.draw(st.booleans()):
                reducer = self.draw(st.sampled_from(["mean", "max", "first", "median"]))
                return self.node(reducer, data=self.leaves["nums"][0])
            case "num":
                return self.draw(NUMBERS)
            case "bool" if self.leaves.get("bools"):
                return self.node("any", data=self.leaves["bools"][0])
            case "bool":
                return self.node("gt", x=self._number_leaf(), y=self.draw(st.integers(0, 3000)))
            case "nums" if arrays:
                return self.leaves["nums"][0] if "nums" in self.leaves else self._numbers_of_bools()
            case "nums":
                return [self._number_leaf(), self.draw(NUMBERS), self._number_leaf()]
            case "bools" if self.leaves.get("nums"):
                return self.node("array_apply", data=self.leaves["nums"][0], process=_GREATER)
            case "bools":
                return [self._without_leaf("bool"), True]
            case "text":
                return self.draw(TEXTS)
            case "date":
                return self.draw(DATES)
        raise AssertionError(kind)

    def _number_leaf(self) -> Json:
        leaves = self.leaves.get("num")
        if leaves:
            return leaves[0]
        if self.leaves.get("nums"):
            return self.node("mean", data=self.leaves["nums"][0])
        if self.leaves.get("bool"):
            return self.node("if", value=self.leaves["bool"][0], accept=3, reject=5.5)
        return self.draw(NUMBERS)

    def _numbers_of_bools(self) -> Json:
        return self.node("array_apply", data=self.leaves["bools"][0], process=_AS_NUMBER)


_GREATER = {
    "process_graph": {
        "g": {"process_id": "gt", "arguments": {"x": {"from_parameter": "x"}, "y": 700}, "result": True}
    }
}
_AS_NUMBER = {
    "process_graph": {
        "i": {
            "process_id": "if",
            "arguments": {"value": {"from_parameter": "x"}, "accept": 2, "reject": 7},
            "result": True,
        }
    }
}


def callback(
    draw: Draw,
    kind: str,
    leaves: Mapping[str, list[Json]],
    *,
    depth: int = 2,
    process_id: str | None = None,
) -> Json:
    """A callback that gives a value of a kind (`num`, `bool`, `nums`).

    Args:
        draw: hypothesis's.
        kind: of its result; with `process_id` the result is brought to it.
        leaves: what its parameters are, by kind.
        depth: of the expression.
        process_id: a process that it must call.
    """
    w = Writer(draw, leaves)
    result = w.make(kind, depth) if process_id is None else _brought_to(w, kind, process_id, depth)
    if not (isinstance(result, Mapping) and "from_node" in result):
        result = (
            w.node("constant", x=result) if kind in ("num", "bool") else w.node("array_create", data=result)
        )
    w.nodes[result["from_node"]]["result"] = True
    return {"process_graph": w.nodes}


def _brought_to(w: Writer, kind: str, process_id: str, depth: int) -> Json:
    """A call of a process, and what makes its result a value of a kind that depends on it."""
    made = w.call(process_id, depth)
    gives = PROCESSES[process_id][0]
    if gives == "labels":
        made, gives = w.node("count", data=made, condition=True), "num"
    if gives == "text":
        made, gives = w.node("text_find", data=made, pattern="0"), "num"
    if gives == "date":
        made, gives = w.node("date_difference", date1="2019-01-01", date2=made), "num"
    if gives == kind or (gives == "bool" and kind == "num"):
        return made
    if gives == "nums":
        return w.node(w.draw(st.sampled_from(["sum", "last", "max"])), data=made)
    assert kind == "nums"
    if gives == "bool":
        made = w.node("if", value=made, accept=w.make("num", 0), reject=4.25)
    base = w.make("nums", 0)
    return w.node("array_append", data=base, value=made)
