"""Errors of windows reach the client as raised: every class of the error tree is pickled whole."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
from inspect import signature

import pytest

import acreage
from acreage.core.errors import AcreageError, InvalidProcessGraph, ProcessGraphError
from acreage.core.inputs import InputAsset
from acreage.engine.tolerance import TooManyFailures

# Programs, not modules.
_NOT_IMPORTED = ("acreage.udf.worker",)


def _tree() -> list[type[AcreageError]]:
    for module in pkgutil.walk_packages(acreage.__path__, "acreage."):
        if module.name not in _NOT_IMPORTED:
            importlib.import_module(module.name)
    found: dict[str, type[AcreageError]] = {}
    left = [AcreageError]
    while left:
        kind = left.pop()
        if kind.__module__.startswith("acreage."):
            found[f"{kind.__module__}.{kind.__qualname__}"] = kind
        left += kind.__subclasses__()
    return [kind for _, kind in sorted(found.items())]


def _made(kind: type[AcreageError]) -> AcreageError:
    if issubclass(kind, InvalidProcessGraph):
        return kind([ProcessGraphError("One.", hint="Do."), ProcessGraphError("Two.")])
    if issubclass(kind, TooManyFailures):
        asset = InputAsset("S2", "item", "B04", "failed", "truncated", "It ends early.")
        return (
            kind("Too many.", failed=[asset])
            if "message" in signature(kind).parameters
            else kind([asset], {})
        )
    extra = {
        name: value
        for name, value in {"item": "S2A", "asset": "B04", "log": ("a", "b"), "status": 503}.items()
        if name in signature(kind).parameters
    }
    return kind("What was wrong.", hint="What to do.", **extra)


@pytest.mark.parametrize("kind", _tree(), ids=lambda kind: kind.__qualname__)
def test_an_error_is_the_same_after_it_was_pickled(kind: type[AcreageError]) -> None:
    error = _made(kind)
    same = pickle.loads(pickle.dumps(error))
    assert type(same) is kind
    assert str(same) == str(error)
    assert (same.message, same.hint, same.code, same.exit_code) == (
        error.message,
        error.hint,
        error.code,
        error.exit_code,
    )
    assert {k: str(v) for k, v in vars(same).items()} == {k: str(v) for k, v in vars(error).items()}
    assert same.args == error.args


def test_the_tree_is_not_empty() -> None:
    assert len(_tree()) > 60
