"""Pictures of a production: its tiles by what was planned for them, and by where they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from acreage.core.outputs import whole_file
from acreage.production.areas import countries_around, moved
from acreage.production.ledger.values import TileRecord, TileState

COLOURS: Mapping[TileState, str] = {
    TileState.SKIPPED: "#dddddd",
    TileState.WAITING: "#56b4e9",
    TileState.WORKING: "#e69f00",
    TileState.HELD: "#d55e00",
    TileState.DONE: "#009e73",
}
"""Of Okabe and Ito, which people with colour vision deficiencies can tell apart."""
_BORDERS = "#777777"
_SIMPLE = 1 / 1500  # of the extent: detail of borders that no pixel shows


@dataclass(frozen=True)
class Panel:
    """One map.

    Attributes:
        title: of it.
        unit: of its values.
        value: of a tile; None: it has none and is grey.
        colours: a colour map.
    """

    title: str
    unit: str
    value: Callable[[TileRecord], float | None]
    colours: str = "viridis"


def draw_values(
    records: Iterable[TileRecord], panels: Sequence[Panel], out: Path, *, title: str, note: str = ""
) -> None:
    """Draw tiles by their values, one map beside the other, as a PNG.

    Args:
        records: of the ledger.
        panels: at most four.
        out: written whole; an earlier one is replaced.
        title, note: above and below.
    """
    squares, values = _Squares(), np.empty((len(panels), 0))
    columns: list[list[float]] = []
    for tile in records:
        squares.add(tile)
        found = (panel.value(tile) for panel in panels)
        columns.append([np.nan if v is None else v for v in found])
    if columns:
        values = np.array(columns).T
    corners, extent, crs = squares.result()
    rows = -(-len(panels) // 2)
    across = min(len(panels), 2)
    figure = _figure(extent, across, rows, note)
    borders = _borders(extent, crs)
    for number, panel in enumerate(panels):
        axis = figure.add_subplot(rows, across, number + 1)
        known = np.isfinite(values[number])
        axis.add_collection(PolyCollection(corners[~known], facecolors="#dddddd", edgecolors="none"))
        shown = PolyCollection(corners[known], cmap=panel.colours, edgecolors="face", linewidths=0.1)
        shown.set_array(values[number][known])
        if known.any():
            low, high = float(values[number][known].min()), float(values[number][known].max())
            shown.set_clim(min(low, 0.0), high if high > min(low, 0.0) else low + 1.0)
            bar = figure.colorbar(shown, ax=axis, fraction=0.04, pad=0.02)
            bar.set_label(panel.unit, fontsize=10)
        axis.add_collection(shown)
        axis.set_title(panel.title, fontsize=12)
        _frame(axis, extent, borders)
    _save(figure, out, title, note)


def draw_states(records: Iterable[TileRecord], out: Path, *, title: str, note: str = "") -> None:
    """Draw tiles by their states, as a PNG; arguments as of `draw_values`."""
    squares, states = _Squares(), []
    for tile in records:
        squares.add(tile)
        states.append(tile.state)
    corners, extent, crs = squares.result()
    figure = _figure(extent, 1, 1, note)
    axis = figure.add_subplot()
    there = np.array(states, dtype=object)
    patches = []
    for state, colour in COLOURS.items():
        mine = there == state
        if mine.any():
            axis.add_collection(
                PolyCollection(corners[mine], facecolors=colour, edgecolors="white", linewidths=0.1)
            )
            patches.append(Patch(facecolor=colour, edgecolor="#666666", label=f"{state}: {mine.sum():,}"))
    _frame(axis, extent, _borders(extent, crs))
    axis.legend(handles=patches, loc="upper left", fontsize=11, framealpha=0.9)
    _save(figure, out, title, note)


Extent = tuple[float, float, float, float]


class _Squares:
    """Corners of tiles: in their CRS where it is one, in degrees else."""

    def __init__(self) -> None:
        self.own: list[Extent] = []
        self.degrees: list[Extent] = []
        self.crs: set[str] = set()

    def add(self, tile: TileRecord) -> None:
        self.own.append(tile.bounds)
        self.degrees.append((tile.west, tile.south, tile.east, tile.north))
        self.crs.add(tile.crs)

    def result(self) -> tuple[NDArray[np.float64], Extent, str]:
        """Corners (tiles, 5, 2), the extent of all, and the CRS."""
        crs = next(iter(self.crs)) if len(self.crs) == 1 else "EPSG:4326"
        bounds = np.array(self.own if len(self.crs) == 1 else self.degrees).reshape(-1, 4)
        left, bottom, right, top = bounds.T
        corners = np.stack(
            [
                np.stack(pair, axis=1)
                for pair in ((left, bottom), (right, bottom), (right, top), (left, top), (left, bottom))
            ],
            axis=1,
        )
        if not len(bounds):
            return corners, (0.0, 0.0, 1.0, 1.0), crs
        margin = 0.02 * max(right.max() - left.min(), top.max() - bottom.min())
        extent = (left.min() - margin, bottom.min() - margin, right.max() + margin, top.max() + margin)
        west, south, east, north = (float(v) for v in extent)
        return corners, (west, south, east, north), crs


def _borders(extent: Extent, crs: str) -> list[NDArray[np.float64]]:
    """Lines of the countries around."""
    around = moved(shapely.box(*extent), crs, "EPSG:4326")
    if around is None:
        return []
    lines = []
    west, south, east, north = extent
    size = max(east - west, north - south)
    for shape in countries_around(around).values():
        # Parts on both sides of the antimeridian would draw lines across the whole map.
        parts = [p for p in shapely.get_parts(shape) if p.bounds[2] - p.bounds[0] < 180]
        # Their lines are cut, not they: a cut is no border.
        outline = shapely.boundary(shapely.MultiPolygon(parts))
        part = shapely.intersection(outline, shapely.box(*shapely.buffer(around, 2).bounds))
        there = None if part.is_empty else moved(part, "EPSG:4326", crs)
        if there is not None:
            simple = shapely.simplify(there, size * _SIMPLE)
            lines += [shapely.get_coordinates(line) for line in shapely.get_parts(simple)]
    return lines


def _figure(extent: Extent, across: int, rows: int, note: str) -> Figure:
    west, south, east, north = extent
    aspect = min(max((north - south) / max(east - west, 1e-9), 0.4), 1.6)
    width = 7.0 if across > 1 else 9.5
    height = rows * width * aspect + 0.9 + 0.2 * (note.count("\n") + 1)
    figure = Figure(figsize=(width * across, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _frame(axis: Axes, extent: Extent, borders: Sequence[NDArray[np.float64]]) -> None:
    axis.add_collection(LineCollection(borders, colors=_BORDERS, linewidths=0.4))
    axis.set_xlim(extent[0], extent[2])
    axis.set_ylim(extent[1], extent[3])
    axis.set_aspect("equal")
    axis.set_xticks([])
    axis.set_yticks([])


def _save(figure: Figure, out: Path, title: str, note: str) -> None:
    figure.suptitle(title, fontsize=15, fontweight="bold")
    if note:
        figure.supxlabel(note, fontsize=10, color="#444444", fontfamily="monospace", ha="center")
    with whole_file(out) as part:
        figure.savefig(part, format="png", metadata={"Software": "acreage"})
