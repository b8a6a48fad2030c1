"""Arguments held against the JSON Schemas of process descriptions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft7Validator

from acreage.core.errors import ProcessParameterInvalid
from acreage.engine.problems import Problems
from acreage.processes.callback import Callback, NodeRef, ParameterRef
from acreage.processes.registry import description


@cache
def _validator(process_id: str, parameter: str) -> Draft7Validator:
    spec = description(process_id)
    schema = next(p["schema"] for p in spec["parameters"] if p["name"] == parameter)
    return Draft7Validator({"anyOf": schema} if isinstance(schema, list) else schema)


def check_schema(process_id: str, name: str, value: Any, where: str, problems: Problems) -> None:
    """Check plain JSON values against the parameter's schema; what holds references is known only later."""
    if not _is_plain(value):
        return
    errors = sorted(_validator(process_id, name).iter_errors(value), key=lambda e: len(e.path))
    if not errors:
        return
    shown = json.dumps(value)
    problems.add(
        ProcessParameterInvalid(
            f"Node {where}: the value {shown[:80]}{'...' if len(shown) > 80 else ''} does not suit the "
            f"parameter {name!r} of process {process_id!r}: {_reason(errors[0])}."
        )
    )


def _reason(error: Any) -> str:
    if error.validator == "anyOf":
        parts = [_reason(e) for e in error.context]
        return "; or ".join(dict.fromkeys(parts))[:300]
    return str(error.message)[:200]


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(v) for v in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(v) for v in value)
    return not isinstance(value, NodeRef | ParameterRef | Callback)
