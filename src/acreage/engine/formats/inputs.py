"""The formats in which users' own files are read."""

from __future__ import annotations

from acreage.engine.formats.model import FormatInfo

INPUTS: tuple[FormatInfo, ...] = ()
