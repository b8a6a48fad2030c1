"""The examples of openEO's process specifications: read, run, and compared with what they promise."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from tests.support.process_runner import EngineRunner

from acreage.core.errors import AcreageError
from acreage.processes.registry import process_ids

Json = Any
Outcome = Literal["passed", "failed", "skipped"]
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Example:
    """One example.

    Attributes:
        process_id: which process it calls.
        number: its place in the file, counted from 0.
        folder: of the file, where its references start.
        document: as the file has it.
    """

    process_id: str
    number: int
    folder: Path
    document: Mapping[str, Json]

    @property
    def name(self) -> str:
        """Names it in reports."""
        return f"{self.process_id}-{self.number}"


@dataclass(frozen=True)
class Result:
    """What became of an example; `reason` is for people."""

    outcome: Outcome
    reason: str = ""


def read_examples(checkout: Path) -> list[Example]:
    """All examples of a checkout of the process specifications, by process and place."""
    found = []
    for path in sorted((checkout / "tests").glob("*.json5")):
        document = read_json5(path.read_text("utf-8"))
        found += [Example(document["id"], n, path.parent, t) for n, t in enumerate(document["tests"])]
    return found


def read_json5(text: str) -> Json:
    """As much of JSON5 as the examples use: lines of comments, commas at the end, NaN and infinity."""
    without_comments = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    return json.loads(re.sub(r",(\s*[\]}])", r"\1", without_comments))


def run_example(example: Example, runner: EngineRunner) -> Result:
    """Run an example and compare: an error where it throws, else the value to 10 decimals."""
    document = example.document
    missing = [p for p in (example.process_id, *document.get("required", ())) if p not in process_ids()]
    if missing:
        return Result("skipped", f"not served: {', '.join(missing)}")
    if "returns" not in document and not document.get("throws"):
        return Result("skipped", "it promises neither a value nor an error")
    try:
        arguments = {k: _encoded(v, example.folder, runner) for k, v in document["arguments"].items()}
    except FileNotFoundError as error:
        return Result("failed", f"there is no file {Path(error.filename).name}")
    try:
        result = runner.execute(example.process_id, arguments)
    except AcreageError as error:
        if document.get("throws"):
            return Result("passed", f"{error.code}: {error.message}")
        return Result("failed", f"{error.code}: {error.message}")
    if "returns" not in document:
        return Result("failed", f"no error, but {_short(runner.decode_data(result, None))}")
    expected = _dereferenced(document["returns"], example.folder)
    got = runner.decode_data(result, expected)
    differences = list(_differences(got, expected, document.get("delta", _TOLERANCE), "result"))
    return Result("failed", "; ".join(differences)) if differences else Result("passed")


# --- arguments ----------------------------------------------------------------------------------------------


def _encoded(value: Json, folder: Path, runner: EngineRunner) -> Json:
    value = _dereferenced(value, folder)
    if isinstance(value, list):
        return [_encoded(v, folder, runner) for v in value]
    if not isinstance(value, Mapping):
        return runner.encode_data(value)
    if "process_graph" in value:
        return runner.encode_process_graph(value)
    match value.get("type"):
        case "datacube":
            return runner.encode_datacube(value)
        case "labeled-array":
            return runner.encode_labeled_array(value)
        case "nodata":
            return runner.get_nodata_value()
    return {k: _encoded(v, folder, runner) for k, v in value.items()}


def _dereferenced(value: Json, folder: Path) -> Json:
    if not (isinstance(value, Mapping) and isinstance(value.get("$ref"), str)):
        return value
    text = (folder / value["$ref"]).read_text("utf-8")
    return text if value["$ref"].endswith((".txt", ".wkt2")) else read_json5(text)


# --- results ------------------------------------------------------------------------------------------------


def _differences(got: Json, expected: Json, delta: float, where: str) -> Iterator[str]:
    """What differs: numbers by more than `delta`, everything else at all."""
    match expected:
        case {"type": "nodata"}:
            expected = None
        case {"type": "datetime", "value": text}:
            if _instant(got) != _instant(text):
                yield f"{where} is {_short(got)} instead of {text}"
            return
        case {"type": "datacube"}:
            yield from _cube_differences(got, expected, delta, where)
            return
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        if got.keys() != expected.keys():
            yield f"{where} has {', '.join(map(str, got))} instead of {', '.join(map(str, expected))}"
            return
        for key, value in expected.items():
            yield from _differences(got[key], value, delta, f"{where}.{key}")
    elif isinstance(expected, list) and isinstance(got, list):
        if len(got) != len(expected):
            yield f"{where} is {_short(got)} instead of {_short(expected)}"
            return
        for place, (one, other) in enumerate(zip(got, expected, strict=True)):
            yield from _differences(one, other, delta, f"{where}[{place}]")
    elif not _equal(got, expected, delta):
        yield f"{where} is {_short(got)} instead of {_short(expected)}"


def _cube_differences(got: Json, expected: Mapping[str, Json], delta: float, where: str) -> Iterator[str]:
    if not isinstance(got, Mapping) or got.get("type") != "datacube":
        yield f"{where} is {_short(got)} instead of a data cube"
        return
    wanted = expected.get("order", got["order"])
    if got["order"] != wanted or set(wanted) != set(expected["dimensions"]):
        yield f"{where} has the dimensions {got['order']} instead of {wanted}"
        return
    for name, dim in expected["dimensions"].items():
        for key in set(dim) - {"reference_system"}:
            yield from _differences(
                got["dimensions"][name].get(key), dim[key], delta, f"{where}.{name}.{key}"
            )
    if expected["data"] is not None:
        yield from _differences(got["data"], expected["data"], delta, f"{where}.data")


def _equal(got: Json, expected: Json, delta: float) -> bool:
    if _is_number(got) and _is_number(expected):
        if math.isnan(got) or math.isnan(expected):
            return math.isnan(got) and math.isnan(expected)
        return got == expected or abs(got - expected) <= delta * max(1.0, abs(expected))
    return type(got) is type(expected) and bool(got == expected)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _instant(text: Json) -> Json:
    dated = isinstance(text, str) and re.match(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", text)
    return datetime.fromisoformat(text) if dated else text


def _short(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
