"""The file formats of the back end: their names, what they hold and which options they take."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml

from acreage.core.errors import FormatUnsuitable
from acreage.engine.formats.model import DataKind, FormatInfo

Direction = Literal["input", "output"]
_ALIASES = {
    "cog": "gtiff",
    "geotiff": "gtiff",
    "tiff": "gtiff",
    "nc": "netcdf",
    "netcdf4": "netcdf",
    "geoparquet": "parquet",
}


def file_formats() -> dict[str, Any]:
    """The answer to `GET /file_formats` of the openEO API 1.2.0: input and output formats by name."""
    directions: tuple[Direction, ...] = ("input", "output")
    return {d: {name: info.document() for name, info in formats(d).items()} for d in directions}


@cache
def formats(direction: Direction) -> Mapping[str, FormatInfo]:
    """The formats in which users' files are read (`input`), or results written (`output`), by name."""
    text = (resources.files("acreage.engine.formats") / "formats.yaml").read_text("utf-8")
    listed = yaml.safe_load(text)[direction]
    return {
        name: FormatInfo(name, **{**said, "kinds": tuple(said["kinds"])}) for name, said in listed.items()
    }


def input_format(name: str) -> FormatInfo:
    """The input format of this name, in any case.

    Raises:
        FormatUnsuitable: files of that format are not read; the message lists those that are.
    """
    return _named(name, "input", "read")


def output_format(name: str) -> FormatInfo:
    """The output format of this name, in any case.

    Raises:
        FormatUnsuitable: files of that format are not written; the message lists those that are.
    """
    return _named(name, "output", "written")


def _named(name: str, direction: Direction, done: str) -> FormatInfo:
    wanted = name.lower()
    wanted = _ALIASES.get(wanted, wanted)
    found = next((info for known, info in formats(direction).items() if known.lower() == wanted), None)
    if found is None:
        raise FormatUnsuitable(
            f"Files of the format {name!r} are not {done}.",
            hint=f"Use one of {', '.join(formats(direction))}.",
        )
    return found


__all__ = ["DataKind", "Direction", "FormatInfo", "file_formats", "formats", "input_format", "output_format"]
