"""Footprints of processes that run along a dimension of the caller's choice."""

from __future__ import annotations

from collections.abc import Mapping

from acreage.core.cube import CubeMeta
from acreage.processes.registry import WHOLE, Footprint, Span


def along(data: CubeMeta, dimension: str, out: CubeMeta) -> Mapping[str, Footprint]:
    """Along x or y all of that axis is needed; along anything else, the same pixels."""
    kind = data.dim(dimension).type
    if kind not in ("x", "y"):
        return {}
    if out.box is None:
        return {"data": WHOLE}
    return {"data": Span(frozenset({"x"} if kind == "x" else {"y"}))}
