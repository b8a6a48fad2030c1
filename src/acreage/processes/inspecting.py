"""inspect: data written to the log."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np

from acreage.core.arrays import Masked
from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import ProcessParameterInvalid
from acreage.processes.convert import json_label
from acreage.processes.operands import plain
from acreage.processes.registry import array_process

_log = logging.getLogger("acreage.inspect")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_LONGEST, _MOST_LABELS, _MOST_VALUES = 500, 10, 20


@array_process("inspect")
def inspect(data: Any, message: str = "", code: str = "User", level: str = "info") -> Any:
    """The data as they are, after a line of them in the log `acreage.inspect` (a cube's metadata only).

    Records have the code as their attribute `code`, and what is said of the data as `data`.

    Raises:
        ProcessParameterInvalid: there is no such level.
    """
    if level not in _LEVELS:
        raise ProcessParameterInvalid(f"There is no log level {level!r}.", hint=f"Use {', '.join(_LEVELS)}.")
    said = summary(data)
    extra = {"code": code, "data": said}
    _log.log(_LEVELS[level], "%s", f"{message}: {said}" if message else said, extra=extra)
    return data


def summary(data: Any) -> str:
    """What the log says of data: short, however large they are."""
    if isinstance(data, Cube | CubeMeta):
        return _cube(data.meta if isinstance(data, Cube) else data)
    if isinstance(data, Masked) and data.values.size > _MOST_VALUES:
        return _pixels(data)
    value = plain(data) if isinstance(data, Masked) else data
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _cube(meta: CubeMeta) -> str:
    dims = []
    for dim, length in zip(meta.dims, meta.shape, strict=True):
        labels = meta.labels_of(dim.name)
        shown = [*labels[:_MOST_LABELS], "..."] if length > _MOST_LABELS else labels
        dims.append(f"{dim.name} ({dim.type}, {length}: {', '.join(str(json_label(v)) for v in shown)})")
    where = f" in {meta.box.grid.crs}" if meta.box is not None else ""
    return f"data cube of {meta.dtype} with {'; '.join(dims) or 'no dimensions'}{where}"


def _pixels(data: Masked) -> str:
    valid = data.validity()
    known = data.values[valid]
    of = f"{data.values.size:,} values of {data.values.dtype}, {valid.size - known.size:,} of them null"
    if not known.size or known.dtype.kind not in "biuf":
        return of
    low, high = np.nanmin(known), np.nanmax(known)
    return f"{of}, from {low} to {high}"
