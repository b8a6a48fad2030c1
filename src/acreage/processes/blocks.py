"""How apply_neighborhood cuts a cube into blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from acreage.core.cube import CubeMeta, Dimension
from acreage.core.errors import ProcessParameterInvalid
from acreage.core.grid import Box, parse_crs
from acreage.processes.time_labels import instants

_DURATION = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?"
)


@dataclass(frozen=True, slots=True)
class Range:
    """One block along one dimension: `[start, stop)` without and `[low, high)` with its overlap."""

    start: int
    stop: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Chunking:
    """How one dimension is cut.

    Attributes:
        size: positions a block, None for all.
        overlap: positions seen on either side.
        spatial: True for x and y, where blocks see beyond the cube's end.
        cuts: temporal blocks by duration: their ranges, found already.
    """

    size: int | None
    overlap: int = 0
    spatial: bool = False
    cuts: tuple[Range, ...] | None = None

    @property
    def is_whole(self) -> bool:
        """True where every block has all labels."""
        return self.size is None and self.cuts is None and self.overlap == 0

    @property
    def is_single(self) -> bool:
        """True where every block has one value."""
        return self.size == 1 and self.overlap == 0

    def ranges(self, low: int, high: int) -> list[Range]:
        """The blocks of the positions `[low, high)`, laid from `low`."""
        if self.cuts is not None:
            return list(self.cuts)
        size = max(high - low, 1) if self.size is None else self.size
        found = []
        for start in range(low, high, size):
            stop = min(start + size, high)
            seen = start - self.overlap, stop + self.overlap
            if not self.spatial:
                seen = max(seen[0], low), min(seen[1], high)
            found.append(Range(start, stop, *seen))
        return found


@dataclass(frozen=True, slots=True)
class AnchoredBlocks:
    """The whole blocks that a window touches, with their overlap.

    On the near side the overlap is rounded up to whole blocks: then blocks can be counted from the first
        pixel of whatever was read, be it the cube's first or not.
    """

    columns: int | None
    rows: int | None
    overlap_columns: int
    overlap_rows: int

    def __call__(self, out: Box, full_input: Box) -> Box:
        """The pixels needed, before they are cut to the input."""
        out = out.on(full_input.grid)
        if out.is_empty:
            return out
        x0, x1 = _blocks(out.x0, out.x1, full_input.x0, full_input.x1, self.columns, self.overlap_columns)
        y0, y1 = _blocks(out.y0, out.y1, full_input.y0, full_input.y1, self.rows, self.overlap_rows)
        return Box(full_input.grid, x0, y0, x1, y1)


def _blocks(start: int, stop: int, low: int, high: int, size: int | None, overlap: int) -> tuple[int, int]:
    if size is None:
        return low, high
    first = low + (start - low) // size * size
    last = low + -(-(stop - low) // size) * size
    return first - -(-overlap // size) * size, last + overlap


# --- from the arguments -------------------------------------------------------------------------------------


def chunkings(data: CubeMeta, size: Any, overlap: Any) -> dict[str, Chunking]:
    """How every dimension is cut, from the arguments of apply_neighborhood.

    Raises:
        DimensionNotAvailable: a dimension that the cube does not have.
        ProcessParameterInvalid: sizes that cannot be used.
    """
    sizes, overlaps = _by_dimension(data, size, "size"), _by_dimension(data, overlap or [], "overlap")
    return {d.name: _chunking(data, d, sizes.get(d.name), overlaps.get(d.name)) for d in data.dims}


def _by_dimension(data: CubeMeta, items: Any, what: str) -> dict[str, Mapping[str, Any]]:
    if not isinstance(items, list | tuple) or not all(
        isinstance(i, Mapping) and "dimension" in i for i in items
    ):
        raise ProcessParameterInvalid(
            f"`{what}` of apply_neighborhood is no list of sizes.",
            hint='Write it as [{"dimension": "x", "value": 128, "unit": "px"}].',
        )
    found: dict[str, Mapping[str, Any]] = {}
    for item in items:
        name = data.dim(item["dimension"]).name
        if name in found:
            raise ProcessParameterInvalid(
                f"`{what}` of apply_neighborhood names the dimension {name!r} twice."
            )
        found[name] = item
    return found


def _chunking(
    data: CubeMeta, dim: Dimension, size: Mapping[str, Any] | None, overlap: Mapping[str, Any] | None
) -> Chunking:
    length = None if size is None else size.get("value")
    margin = None if overlap is None else overlap.get("value")
    spatial = dim.type in ("x", "y")
    if isinstance(length, str) or isinstance(margin, str):
        return Chunking(None, cuts=_by_duration(dim, length, margin))
    pixels = None if length is None else _positions(data, dim, length, size or {}, "size")
    around = 0 if margin is None else _positions(data, dim, margin, overlap or {}, "overlap")
    if pixels == 0:
        raise ProcessParameterInvalid(f"The size of a neighbourhood along {dim.name!r} must be above 0.")
    return Chunking(pixels, around if pixels is not None or spatial else 0, spatial)


def _positions(data: CubeMeta, dim: Dimension, value: Any, item: Mapping[str, Any], what: str) -> int:
    """A size in pixels or labels."""
    unit = item.get("unit")
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or value < 0
        or unit not in (None, "px", "m")
    ):
        raise ProcessParameterInvalid(
            f"The {what} along {dim.name!r} is {value!r} {unit or ''}.".replace(" .", "."),
            hint="Give a number that is not negative, and px or m as unit.",
        )
    if dim.type not in ("x", "y"):
        if unit == "m":
            raise ProcessParameterInvalid(
                f"The {what} along {dim.name!r} cannot be in metres.", hint="Use px."
            )
        pixels = float(value)
    elif unit == "px":
        pixels = float(value)
    else:
        if unit == "m" and parse_crs(data.grid.crs).axis_info[0].unit_name != "metre":
            raise ProcessParameterInvalid(
                f"The {what} along {dim.name!r} is in metres, and {data.grid.crs} is not.", hint="Use px."
            )
        pixels = value / (data.grid.res_x if dim.type == "x" else data.grid.res_y)
    if abs(pixels - round(pixels)) > 1e-6:
        raise ProcessParameterInvalid(
            f"The {what} along {dim.name!r} is {pixels:g} pixels, not a whole number."
        )
    return round(pixels)


def _by_duration(dim: Dimension, length: Any, margin: Any) -> tuple[Range, ...]:
    """Temporal blocks of a duration, counted from the start of the filtered extent or the first label."""
    if dim.type != "temporal":
        raise ProcessParameterInvalid(
            f"A duration is given for {dim.name!r}, which is no temporal dimension."
        )
    moments = np.array(instants(dim), "datetime64[ms]")
    if moments.size == 0:
        return ()
    if not all(v is None or isinstance(v, str) for v in (length, margin)):
        raise ProcessParameterInvalid(f"Give both size and overlap along {dim.name!r} as durations.")
    start = dim.extent[0] if dim.extent is not None else moments[0]
    edges = [start]
    step = _duration(length) if length is not None else None
    while step is not None and edges[-1] <= moments[-1]:
        edges.append(_later(start, step, len(edges)))
    if step is None:
        edges.append(moments[-1] + np.timedelta64(1, "ms"))
    around = _duration(margin) if margin is not None else (0, 0)
    cuts = []
    for a, b in pairwise(edges):
        low, high = _later(a, around, -1), _later(b, around, 1)
        at = [int(np.searchsorted(moments, m)) for m in (a, b, low, high)]
        if at[0] < at[1]:
            cuts.append(Range(*at))
    return tuple(cuts)


def _duration(text: str) -> tuple[int, int]:
    """(months, milliseconds) of an ISO 8601 duration of whole numbers."""
    match = _DURATION.fullmatch(text)
    parts = [int(g) if g else 0 for g in match.groups()] if match else []
    if not any(parts):
        raise ProcessParameterInvalid(f"{text!r} is not a duration.", hint="Write it as P1M or P10D.")
    years, months, weeks, days, hours, minutes, seconds = parts
    return years * 12 + months, (((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60_000 + seconds * 1000


def _later(moment: np.datetime64, step: tuple[int, int], times: int) -> np.datetime64:
    months, milliseconds = step
    month = moment.astype("datetime64[M]")
    rest = moment - month.astype("datetime64[ms]")
    moved = (month + np.timedelta64(months * times, "M")).astype("datetime64[ms]")
    return np.datetime64(moved + rest + np.timedelta64(milliseconds * times, "ms"), "ms")
