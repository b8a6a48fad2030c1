"""A picture of a simulated landscape: what grows where, the relief, and the crops' curves."""

from __future__ import annotations

import math
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch as Swatch
from numpy.typing import NDArray

from acreage.simulate.curves import Phenology
from acreage.simulate.forward import Forward
from acreage.simulate.settings import ArchiveSettings

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LINES = ("-", "--", "-.", ":")
PIXELS = 900  # longest side of a panel


def draw_landscape(out: Path, settings: ArchiveSettings, forward: Forward, parcels: gpd.GeoDataFrame) -> None:
    """Draw a PNG: covers, relief, and each crop's vegetation index and VH backscatter over the season."""
    west, south, east, north = settings.area
    step = max(10.0, (east - west) / PIXELS, (north - south) / PIXELS)
    x, y = np.meshgrid(np.arange(west + step / 2, east, step), np.arange(north - step / 2, south, -step))
    patch = forward.ground.at(x, y)
    figure = Figure(figsize=(14.5, 10.5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=[1.15, 1])
    covers, relief = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    extent = (west, east, south, north)
    _draw_covers(covers, forward.phenology, patch.cover, extent, parcels)
    image = relief.imshow(forward.ground.elevation(x, y), extent=extent, cmap="cividis")
    figure.colorbar(image, ax=relief, label="metres", fraction=0.046, pad=0.02, anchor=(0.0, 0.5))
    relief.set_title("Elevation", fontsize=12)
    for axis in (covers, relief):
        axis.set_anchor("W")
        axis.set_xlim(west, east)
        axis.set_ylim(south, north)
        axis.set_aspect("equal")
        axis.set_xticks([])
        axis.set_yticks([])
    _scale_bar(covers, settings.area)
    shown = np.unique(patch.cover)
    _draw_curves(
        figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, 1]), settings, forward.phenology, shown
    )
    lon, lat = (settings.bbox[0] + settings.bbox[2]) / 2, (settings.bbox[1] + settings.bbox[3]) / 2
    size = f"{(east - west) / 1000:g} x {(north - south) / 1000:g} km"
    title = (
        f"Simulated landscape, {size} at {lat:.3f}° N, {lon:.3f}° E, {settings.season}, seed {settings.seed}"
    )
    figure.suptitle(title, fontsize=14, fontweight="bold")
    figure.savefig(out, format="png", metadata={"Software": "acreage"})


def _draw_covers(
    axis: Axes,
    phenology: Phenology,
    cover: NDArray[np.uint8],
    extent: tuple[float, float, float, float],
    parcels: gpd.GeoDataFrame,
) -> None:
    colours = [c.colour for c in phenology.covers]
    axis.imshow(
        cover,
        extent=extent,
        cmap=ListedColormap(colours),
        vmin=-0.5,
        vmax=len(colours) - 0.5,
        interpolation="nearest",
    )
    counts = np.bincount(cover.ravel(), minlength=len(colours))
    handles = [
        Swatch(
            facecolor=c.colour,
            edgecolor="#666666",
            label=f"{c.name.replace('_', ' ')}, {100 * counts[i] / cover.size:.1f} %",
        )
        for i, c in enumerate(phenology.covers)
        if counts[i]
    ]
    axis.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize=9,
        title="cover, share",
    )
    marked = parcels[parcels["split"] == "train"]
    if 0 < len(marked) <= 2000:
        places = marked.geometry.representative_point()
        axis.scatter(places.x, places.y, s=4, color="black", linewidths=0)
    axis.set_title(f"{len(parcels)} parcels (dots: for training)", fontsize=12)


def _draw_curves(
    index: Axes, radar: Axes, settings: ArchiveSettings, phenology: Phenology, shown: NDArray[np.uint8]
) -> None:
    first, last = settings.season.first, settings.season.last
    start = date(first.year, 1, 1)
    days = np.arange((first - start).days + 1, (last - start).days + 2, dtype=float)
    red, nir = phenology.bands.index("red"), phenology.bands.index("nir")
    crops = [phenology.covers[int(i)] for i in shown if phenology.covers[int(i)].is_crop]
    for i, cover in enumerate(crops):
        spectrum = cover.optical.on(days)
        ndvi = (spectrum[nir] - spectrum[red]) / (spectrum[nir] + spectrum[red])
        style: dict[str, Any] = {"color": cover.colour, "linestyle": LINES[i % len(LINES)], "linewidth": 2.2}
        index.plot(days, ndvi, **style)
        radar.plot(days, cover.radar.on(days)[1], label=cover.name.replace("_", " "), **style)
    ticks = [d for d in days if (start + timedelta(d - 1)).day == 1]
    for axis, title, unit in (
        (index, "Vegetation index without clouds or noise", "NDVI"),
        (radar, "VH backscatter without speckle", "dB"),
    ):
        axis.set_xticks(ticks, [MONTHS[(start + timedelta(d - 1)).month - 1] for d in ticks])
        axis.set_title(title, fontsize=12)
        axis.set_ylabel(unit)
        axis.grid(alpha=0.3)
    if crops:
        radar.legend(fontsize=9, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))


def _scale_bar(axis: Axes, bounds: tuple[float, float, float, float]) -> None:
    width = bounds[2] - bounds[0]
    power = 10 ** math.floor(math.log10(width / 4))
    length = max(k * power for k in (1, 2, 5) if k * power <= width / 4)
    x, y = bounds[0] + 0.04 * width, bounds[1] + 0.04 * width
    axis.plot([x, x + length], [y, y], color="white", linewidth=6, solid_capstyle="butt")
    axis.plot([x, x + length], [y, y], color="black", linewidth=3, solid_capstyle="butt")
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    axis.annotate(
        text, (x + length / 2, y), (0, 5), textcoords="offset points", ha="center", fontsize=9, bbox=box
    )
