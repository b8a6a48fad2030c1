"""A UDF called in this very process, without limits or sandbox: for a debugger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acreage.core.udf import LabelledArray
from acreage.udf import convention
from acreage.udf.checks import check_spatial, labelled
from acreage.udf.errors import BY_KIND, UdfProcessDied


def call_directly(path: Path, source: str, array: LabelledArray, context: Mapping[str, Any]) -> LabelledArray:
    """What the UDF of a file makes of an array; its own exceptions pass as they are.

    Args:
        path: of the source; a debugger finds its lines by it.
        source: the code.
        array: what it is applied to.
        context: JSON handed to it.

    Raises:
        UdfError: there is no function to call, or its result is no such data cube.
    """
    header: dict[str, Any] = {
        "dims": list(array.dims),
        "labels": {name: list(labels) for name, labels in array.labels.items()},
        "temporal": list(array.temporal),
        "attrs": dict(array.attrs),
    }
    try:
        given = convention.namespace(source)
        names = {**given, "__name__": "udf", "__file__": str(path)}
        exec(compile(source, str(path.resolve()), "exec", dont_inherit=True), names)
        entry = convention.find_entry(names, {**given, "__name__": "udf", "__file__": str(path)})
        cube = convention.to_data_array(array.values.copy(), header)
        result = convention.call_on_array(entry, cube, json.loads(json.dumps(dict(context))))
        values, header = convention.from_result(result, header)
    except convention.UdfProblem as problem:
        kind = BY_KIND.get(problem.kind, UdfProcessDied)
        raise kind(problem.message, hint=problem.hint) from None
    found = labelled(values, header, ())
    check_spatial(array, found, ())
    return found
