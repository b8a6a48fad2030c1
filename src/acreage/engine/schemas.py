"""Arguments held against process descriptions: JSON Schemas, and what these say of an object by its subtype.

JSON Schema knows of a data cube and of a callback only that they are objects, as anything in braces is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft7Validator

from acreage.core.errors import ProcessParameterInvalid
from acreage.processes.callback import Callback, NodeRef, ParameterRef
from acreage.processes.registry import array_processes, description

_CUBES = frozenset({"datacube", "raster-cube", "vector-cube"})
_CALLBACK = "process-graph"
# Their descriptions forget the null that a pixel may be, which openEO's own examples give them.
_PIXEL_BY_PIXEL = frozenset({"normalized_difference"})
_GEOJSON = frozenset(
    {"FeatureCollection", "Feature", "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon"}
    | {"MultiPolygon", "GeometryCollection"}
)


def check_literal(process_id: str, parameter: str, value: Any) -> None:
    """Check an argument as the graph states it; what references stand for is known only later.

    Raises:
        ProcessParameterInvalid: it is not what the parameter takes.
    """
    if isinstance(value, NodeRef | ParameterRef):
        return
    what = f"the parameter {parameter!r} of process {process_id!r}"
    if isinstance(value, Callback):
        if _CALLBACK not in _subtypes(process_id, parameter):
            raise ProcessParameterInvalid(f"{what} takes no process graph.", hint="Give it a value.")
        return
    if _is_plain(value):
        _check_schema(_validator(process_id, parameter), value, what)
    if (
        _takes_geometries(process_id, parameter)
        and isinstance(value, Mapping)
        and value.get("type") in _GEOJSON
    ):
        return
    if isinstance(value, Mapping) and _subtypes(process_id, parameter) <= _CUBES:
        raise ProcessParameterInvalid(
            f"{what} takes a data cube, not {_shown(value)}.",
            hint='Refer to the node that makes it: {"from_node": "its name"}.',
        )


def check_references(
    process_id: str, parameter: str, value: Any, constant_of: Callable[[int], tuple[Any] | None]
) -> None:
    """Check what the references of an argument turned out to be.

    Args:
        process_id: of a process on data cubes.
        parameter: the argument's name.
        value: the argument.
        constant_of: gives the value of a node, in a tuple; None for a data cube.

    Raises:
        ProcessParameterInvalid: a value where a data cube is needed, a data cube where there can be none, or
            a value that does not suit the parameter.
    """
    what, subtypes = (
        f"the parameter {parameter!r} of process {process_id!r}",
        _subtypes(process_id, parameter),
    )
    if isinstance(value, NodeRef):
        found = constant_of(value.index)
        if found is not None and subtypes <= _CUBES:
            raise ProcessParameterInvalid(f"{what} takes a data cube, not {_shown(found[0])}.")
        if found is not None:
            _check_schema(_validator(process_id, parameter), found[0], what)
        elif not subtypes & _CUBES:
            raise ProcessParameterInvalid(f"{what} takes no data cube.", hint="Give it a value.")
    elif any(constant_of(i) is None for i in _indices(value)):
        raise ProcessParameterInvalid(f"{what} takes no data cube inside lists or objects.")


@cache
def _alternatives(process_id: str, parameter: str) -> tuple[Mapping[str, Any], ...]:
    schema = next(p["schema"] for p in description(process_id)["parameters"] if p["name"] == parameter)
    return tuple(schema) if isinstance(schema, list) else (schema,)


@cache
def _subtypes(process_id: str, parameter: str) -> frozenset[str | None]:
    """The subtypes of what a parameter takes; None for what has none."""
    return frozenset(a.get("subtype") for a in _alternatives(process_id, parameter))


@cache
def _takes_geometries(process_id: str, parameter: str) -> bool:
    """Whether a parameter takes vector cubes and nothing else; GeoJSON then does as well."""
    dimensions = [a.get("dimensions", ()) for a in _alternatives(process_id, parameter)]
    return all(any(d.get("type") == "geometry" for d in own) for own in dimensions)


@cache
def _validator(process_id: str, parameter: str) -> Draft7Validator:
    alternatives = [_without_range(process_id, a) for a in _alternatives(process_id, parameter)]
    return Draft7Validator(alternatives[0] if len(alternatives) == 1 else {"anyOf": list(alternatives)})


def _without_range(process_id: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A number that may be null is a pixel's value: the process says what comes of one out of range (NaN)."""
    if process_id in _PIXEL_BY_PIXEL and schema.get("type") == "number":
        return {**schema, "type": ["number", "null"]}
    if process_id not in array_processes() or schema.get("type") != ["number", "null"]:
        return schema
    return {k: v for k, v in schema.items() if k not in ("minimum", "maximum")}


def _check_schema(validator: Draft7Validator, value: Any, what: str) -> None:
    errors = sorted(validator.iter_errors(value), key=lambda e: len(e.path))
    if errors:
        raise ProcessParameterInvalid(
            f"the value {_shown(value)} does not suit {what}: {_reason(errors[0])}."
        )


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _reason(error: Any) -> str:
    if error.validator == "anyOf":
        parts = [_reason(e) for e in error.context]
        return "; or ".join(dict.fromkeys(parts))[:300]
    return str(error.message)[:200]


def _indices(value: Any) -> list[int]:
    if isinstance(value, NodeRef):
        return [value.index]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [i for part in parts for i in _indices(part)]


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(v) for v in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(v) for v in value)
    return not isinstance(value, NodeRef | ParameterRef | Callback)
