"""Maps of simulated tiles against the truth: pixel by pixel, and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from rasterio.windows import from_bounds

from acreage.core.legend import NOT_CROPLAND, OUTSIDE, RESERVED, Legend
from acreage.croptype.metrics import Scores, score

GREY = "#e8e8e8"


@dataclass(frozen=True)
class MappedTile:
    """A tile's map: its name and the product's folder."""

    name: str
    folder: Path


@dataclass(frozen=True)
class AgainstTruth:
    """Maps against the truth, pixel by pixel, without the pixels of parcels that were trained on.

    Attributes:
        scores: over pixels that have a class in the map and one in the truth.
        crops: pixels of which the truth has a class of the legend.
        masked: those that the land cover mask took away.
        unseen: those without a valid observation.
        invented: pixels with a class in the map, but none in the truth.
        classified: pixels with a class in the map.
    """

    scores: Scores
    crops: int
    masked: int
    unseen: int
    invented: int
    classified: int

    @property
    def overall(self) -> float:
        """Share of the truth's crop pixels that the map has right, what it lacks counted as wrong."""
        return float(np.trace(self.scores.confusion)) / self.crops if self.crops else 0.0


def against_truth(
    tiles: Sequence[MappedTile], truth: Path, legend: Legend, trained: NDArray[np.bool_] | None = None
) -> AgainstTruth:
    """Compare maps with the truth.

    Args:
        tiles: whose pixels lie on the truth's grid.
        truth: codes of the legend, 0 where none of its classes grows.
        legend: the map's; other codes of the truth count as no class.
        trained: pixels of the truth's raster that are left out.
    """
    names = [c.name for c in legend.classes]
    index = np.full(256, -1)
    for i, item in enumerate(legend.classes):
        index[item.code] = i
    real: list[NDArray[Any]] = []
    mapped: list[NDArray[Any]] = []
    for tile in tiles:
        codes, there, left_out = _read_pair(tile, truth, trained)
        real.append(index[there[~left_out]])
        mapped.append(codes[~left_out])
    truths, codes = np.concatenate(real), np.concatenate(mapped)
    classes = index[codes]
    both = (truths >= 0) & (classes >= 0)
    crops = truths >= 0
    return AgainstTruth(
        score(truths[both].astype(np.int64), classes[both].astype(np.int64), names),
        int(crops.sum()),
        int((crops & (codes == NOT_CROPLAND)).sum()),
        int((crops & (classes < 0) & (codes != NOT_CROPLAND)).sum()),
        int(((classes >= 0) & ~crops).sum()),
        int((classes >= 0).sum()),
    )


def _read_pair(
    tile: MappedTile, truth: Path, trained: NDArray[np.bool_] | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    """(map, truth, pixels to leave out) of a tile."""
    with rasterio.open(tile.folder / "classes.tif") as source:
        codes, bounds = source.read(1), source.bounds
    with rasterio.open(truth) as source:
        window = from_bounds(*bounds, transform=source.transform).round_offsets().round_lengths()
        there = source.read(1, window=window)
    if there.shape != codes.shape:
        raise ValueError(f"{tile.folder} does not lie on the grid of {truth}")
    if trained is None:
        return codes, there, np.zeros(codes.shape, bool)
    rows, columns = window.toslices()
    return codes, there, trained[rows, columns]


def draw_tiles(
    tiles: Sequence[MappedTile], truth: Path, legend: Legend, out: Path, title: str, note: str
) -> None:
    """Draw a PNG with a row a tile: truth, map, confidence, observation counts of both sensors."""
    figure = Figure(figsize=(19.5, 3.15 * len(tiles) + 1.1), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(tiles), 6, width_ratios=[1, 1, 1.12, 1.12, 1.12, 0.62])
    colours = np.zeros((256, 4), np.uint8)
    for code, colour in legend.colour_table().items():
        colours[code] = colour
    seen: set[int] = set()
    for row, tile in enumerate(tiles):
        codes, there, _ = _read_pair(tile, truth, None)
        known = np.isin(there, [c.code for c in legend.classes])
        real = np.where(known, there, NOT_CROPLAND).astype(np.uint8)
        seen |= set(np.unique(codes).tolist()) | set(np.unique(real).tolist())
        axes = [figure.add_subplot(grid[row, i]) for i in range(5)]
        axes[0].imshow(colours[real], interpolation="nearest")
        axes[1].imshow(colours[codes], interpolation="nearest")
        axes[0].set_ylabel(tile.name, fontsize=13, fontweight="bold")
        for i, (name, band, unit, cmap, most) in enumerate(
            (
                ("confidence.tif", 1, "%", "cividis", 100),
                ("observations.tif", 1, "valid observations", "viridis", None),
                ("observations.tif", 2, "valid observations", "viridis", None),
            ),
            2,
        ):
            _draw_values(figure, axes[i], tile.folder / name, band, unit, cmap, most)
        if row == 0:
            titles = ("Truth", "Map", "Confidence", "Sentinel-2 observations", "Sentinel-1 observations")
            for axis, text in zip(axes, titles, strict=True):
                axis.set_title(text, fontsize=13)
        for axis in axes:
            axis.set_xticks([])
            axis.set_yticks([])
    _draw_legend(figure.add_subplot(grid[:, 5]), legend, seen)
    figure.suptitle(title, fontsize=15, fontweight="bold")
    figure.supxlabel(note, fontsize=10, color="#444444")
    figure.savefig(out, format="png", metadata={"Software": "acreage"})


def _draw_values(
    figure: Figure, axis: Axes, path: Path, band: int, unit: str, cmap: str, most: int | None
) -> None:
    with rasterio.open(path) as source:
        values = np.ma.masked_equal(source.read(band), 255)
    high = most if most is not None else max(int(values.max()) if values.count() else 1, 1)
    image = axis.imshow(values, cmap=cmap, vmin=0, vmax=high, interpolation="nearest")
    axis.set_facecolor(GREY)
    figure.colorbar(image, ax=axis, fraction=0.046, pad=0.02, label=unit)


def _draw_legend(axis: Axes, legend: Legend, seen: set[int]) -> None:
    rows = [(c.code, c.title, c.colour) for c in legend.classes]
    rows += [(r.code, r.title, r.colour) for r in RESERVED if r.code != OUTSIDE]
    patches = [
        Patch(facecolor=colour, edgecolor="#666666", label=title)
        for code, title, colour in rows
        if code in seen
    ]
    axis.axis("off")
    axis.legend(handles=patches, loc="center left", frameon=False, fontsize=10, borderaxespad=0)
