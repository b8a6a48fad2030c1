"""The file formats of the back end: their names, what they hold and which options they take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acreage.core.errors import FormatUnsuitable
from acreage.engine.formats.inputs import INPUTS
from acreage.engine.formats.model import FormatInfo
from acreage.engine.formats.outputs import OUTPUTS

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
    return {
        "input": {info.name: info.document() for info in INPUTS},
        "output": {info.name: info.document() for info in OUTPUTS},
    }


def input_format(name: str) -> FormatInfo:
    """The input format of this name, in any case.

    Raises:
        FormatUnsuitable: files of that format are not read; the message lists those that are.
    """
    return _named(name, INPUTS, "read")


def output_format(name: str) -> FormatInfo:
    """The output format of this name, in any case.

    Raises:
        FormatUnsuitable: files of that format are not written; the message lists those that are.
    """
    return _named(name, OUTPUTS, "written")


def _named(name: str, infos: Sequence[FormatInfo], done: str) -> FormatInfo:
    wanted = name.lower()
    wanted = _ALIASES.get(wanted, wanted)
    found = next((info for info in infos if info.name.lower() == wanted), None)
    if found is None:
        raise FormatUnsuitable(
            f"Files of the format {name!r} are not {done}.",
            hint=f"Use one of {', '.join(info.name for info in infos)}.",
        )
    return found


__all__ = ["INPUTS", "OUTPUTS", "FormatInfo", "file_formats", "input_format", "output_format"]
