"""Bodies of requests, checked against the schemas that are published."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from acreage.backend.errors import RequestInvalid
from acreage.backend.openapi.document import schemas

_SHOWN = 200


def check_body(name: str, body: Mapping[str, Any]) -> None:
    """Refuse a body that is not as the published schema of that name has it.

    Raises:
        RequestInvalid: with the first place that is not.
    """
    error = next(_validator(name).iter_errors(body), None)
    if error is not None:
        where = ".".join(map(str, error.absolute_path)) or "The body"
        message = error.message if len(error.message) <= _SHOWN else f"{error.message[:_SHOWN]}..."
        raise RequestInvalid(
            f"`{where[:_SHOWN]}` is not as it should be: {message}.", hint="GET /openapi.json has the schema."
        )


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": {"schemas": dict(schemas())}}
    )
