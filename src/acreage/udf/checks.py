"""What is asked of a call before it is made, and of a reply before it is believed."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from acreage.core.errors import UdfError
from acreage.core.udf import LabelledArray, UdfCode, UdfLogLine
from acreage.udf.errors import (
    UdfArgumentInvalid,
    UdfProcessDied,
    UdfResultInvalid,
    UdfRuntimeUnsupported,
    UdfVersionUnsupported,
)


def check_runtime(code: UdfCode) -> None:
    """Refuse another runtime, or another version of it, than this interpreter."""
    if code.runtime.lower() not in ("python", "python3"):
        raise UdfRuntimeUnsupported(f"There is no UDF runtime {code.runtime!r} here.", hint="Use Python.")
    here = platform.python_version_tuple()
    if code.version and tuple(code.version.split(".")) != here[: len(code.version.split("."))]:
        raise UdfVersionUnsupported(
            f"There is no Python {code.version} for UDFs here.",
            hint=f"Ask for {here[0]} or {here[0]}.{here[1]}.",
        )


def check_json(value: Any, what: str) -> None:
    """Refuse what JSON cannot hold."""
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise UdfArgumentInvalid(
            f"The {what} is not JSON: {error}.", hint="Use strings, numbers, lists and objects."
        ) from None


def without_array(reply: dict[str, Any], fd: int) -> dict[str, Any]:
    """A reply that should have no array: a descriptor that came with it is closed."""
    if fd >= 0:
        os.close(fd)
    return reply


def garbled(log: tuple[UdfLogLine, ...]) -> UdfError:
    """The error for a reply that makes no sense."""
    return UdfProcessDied(
        "The UDF's process sent a reply that cannot be read.",
        hint="A UDF must leave file descriptors alone that it did not open.",
        log=[str(line) for line in log],
    )


def labelled(values: npt.NDArray[Any], header: Any, log: tuple[UdfLogLine, ...]) -> LabelledArray:
    """The array of a reply with what its header says, every part of it checked."""
    try:
        return LabelledArray(
            values,
            tuple(header["dims"]),
            {name: tuple(_each_label(labels)) for name, labels in header["labels"].items()},
            tuple(header["temporal"]),
            dict(header["attrs"]),
        )
    except (KeyError, TypeError, AttributeError):
        raise garbled(log) from None
    except ValueError as error:
        raise UdfResultInvalid(
            f"The UDF's result cannot be used: {error}.", log=[str(x) for x in log]
        ) from None


def _each_label(labels: Any) -> Iterator[Any]:
    for label in labels:
        if not isinstance(label, str | int | float):
            raise TypeError(f"a label {label!r}")
        yield label


def check_spatial(given: LabelledArray, got: LabelledArray, log: tuple[UdfLogLine, ...]) -> None:
    """x and y may go, but not change: the engine knows a window's pixels by their place."""
    for name in ("x", "y"):
        before, after = given.sizes.get(name), got.sizes.get(name)
        if before is None or after is None:
            continue
        problem = ""
        if before != after:
            problem = f"{after} pixels along {name}, where it was given {before}"
        elif not np.array_equal(given.labels.get(name, ()), got.labels.get(name, ())):
            problem = f"other coordinates along {name} than it was given"
        if problem:
            raise UdfResultInvalid(
                f"The UDF returned {problem}.",
                hint="Return the same pixels in the same order; apply_neighborhood shows an overlap.",
                log=[str(line) for line in log],
            )
