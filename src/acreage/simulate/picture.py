"""A picture of a simulated landscape: what grows where, the relief, and the crops' curves."""

from __future__ import annotations

import math
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from acreage.simulate.landscape import Landscape
from acreage.simulate.phenology import Phenology
from acreage.simulate.settings import SceneSettings

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LINES = ("-", "--", "-.", ":")


def draw_landscape(out: Path, settings: SceneSettings, phenology: Phenology, land: Landscape) -> None:
    """Draw a PNG: parcels, relief, and each crop's vegetation index and VH backscatter over the season."""
    figure = Figure(figsize=(14.5, 10.5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=[1.15, 1])
    parcels = figure.add_subplot(grid[0, 0])
    _draw_parcels(parcels, phenology, land)
    relief = figure.add_subplot(grid[1, 0])
    west, south, east, north = land.dem_box.bounds
    image = relief.imshow(land.dem, extent=(west, east, south, north), cmap="cividis")
    figure.colorbar(image, ax=relief, label="metres", fraction=0.046, pad=0.02, anchor=(0.0, 0.5))
    relief.set_title("Elevation", fontsize=12)
    for axis in (parcels, relief):
        axis.set_anchor("W")
        axis.set_xlabel("")
        axis.set_ylabel("")
        axis.set_xlim(land.box.bounds[0], land.box.bounds[2])
        axis.set_ylim(land.box.bounds[1], land.box.bounds[3])
        axis.set_aspect("equal")
        axis.set_xticks([])
        axis.set_yticks([])
    _scale_bar(parcels, land.box.bounds)
    _draw_curves(figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, 1]), settings, phenology)
    place = f"{settings.centre[1]:g}° N, {settings.centre[0]:g}° E"
    title = f"Simulated landscape, {settings.size_km:g} km, {place}, {settings.season}, seed {settings.seed}"
    figure.suptitle(title, fontsize=14, fontweight="bold")
    figure.savefig(out, format="png", metadata={"Software": "acreage"})


def _draw_parcels(axis: Axes, phenology: Phenology, land: Landscape) -> None:
    colours = {c.name: c.colour for c in phenology.covers}
    land.parcels.plot(
        ax=axis, color=[colours[n] for n in land.parcels["label"]], edgecolor="black", linewidth=0.4
    )
    marked = land.parcels[land.parcels["split"] == "train"]
    points = marked.geometry.representative_point()
    axis.scatter(points.x, points.y, s=7, color="black", linewidths=0)
    handles = []
    for cover in phenology.covers:
        chosen = land.parcels["label"] == cover.name
        if n := int(chosen.sum()):
            name = cover.name.replace("_", " ")
            text = f"{name}, {n}, {land.parcels['area_ha'][chosen].sum():.0f} ha"
            handles.append(Patch(facecolor=cover.colour, edgecolor="#666666", label=text))
    axis.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize=9,
        title="cover, parcels, area",
    )
    axis.set_title("Parcels (dots: for training)", fontsize=12)
    axis.set_facecolor(colours["grassland"])


def _draw_curves(index: Axes, radar: Axes, settings: SceneSettings, phenology: Phenology) -> None:
    first, last = settings.season.first, settings.season.last
    days = np.arange(first.timetuple().tm_yday, last.timetuple().tm_yday + 1, dtype=float)
    red, nir = phenology.bands.index("red"), phenology.bands.index("nir")
    for i, cover in enumerate(phenology.crops):
        spectrum = phenology.reflectance(cover, days)
        ndvi = (spectrum[nir] - spectrum[red]) / (spectrum[nir] + spectrum[red])
        style: dict[str, Any] = {"color": cover.colour, "linestyle": LINES[i % len(LINES)], "linewidth": 2.2}
        index.plot(days, ndvi, **style)
        radar.plot(days, cover.vh.on(days), label=cover.name.replace("_", " "), **style)
    start = date(first.year, 1, 1)
    ticks = [d for d in days if (start + timedelta(d - 1)).day == 1]
    for axis, title, unit in (
        (index, "Vegetation index without clouds or noise", "NDVI"),
        (radar, "VH backscatter without speckle", "dB"),
    ):
        axis.set_xticks(ticks, [MONTHS[(start + timedelta(d - 1)).month - 1] for d in ticks])
        axis.set_title(title, fontsize=12)
        axis.set_ylabel(unit)
        axis.grid(alpha=0.3)
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
