"""Pictures of a map product: classes, confidence and observation counts side by side."""

from __future__ import annotations

import math
from pathlib import Path
from textwrap import fill
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from acreage.core.legend import OUTSIDE, RESERVED, Legend

PIXELS = 800  # longest side of a panel; larger rasters are read from their overviews
GREY = "#e8e8e8"


def draw_product(
    folder: Path,
    out: Path,
    *,
    legend: Legend,
    title: str,
    note: str = "",
    reference: gpd.GeoDataFrame | None = None,
    label: str = "label",
) -> None:
    """Draw a product's rasters as a PNG.

    Panels: class map, confidence, Sentinel-2 and Sentinel-1 observation counts; with `reference` (parcels
    with a column `label` of reference labels or class names, any CRS) also the reference, and its outlines on
    the map.
    The legend lists the classes that occur, with their area. Colours of the counts and of the confidence are
    viridis and cividis, which people with colour vision deficiencies can read.
    """
    classes, extent, metres = _read(folder / "classes.tif", 1)
    confidence, _, _ = _read(folder / "confidence.tif", 1)
    s2, _, _ = _read(folder / "observations.tif", 1)
    s1, _, _ = _read(folder / "observations.tif", 2)
    parcels = None if reference is None else _parcels(reference, folder / "classes.tif", legend, label)

    columns = 2 if parcels is None else 3
    aspect = classes.shape[0] / classes.shape[1]
    figure = Figure(
        figsize=(4.6 * columns + 2.4, 2 * (3.75 * min(max(aspect, 0.4), 2.0) + 0.55) + 0.9),
        dpi=110,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, columns + 1, width_ratios=[*[4.6] * columns, 2.0])
    axes = [figure.add_subplot(grid[i // columns, i % columns]) for i in range(2 * columns)]
    shown = iter(axes)
    if parcels is not None:
        _draw_reference(next(shown), parcels, extent)
    _draw_classes(next(shown), classes, extent, legend, parcels)
    _draw_values(
        figure, next(shown), confidence, extent, "Confidence", "probability of the class, %", "cividis", 100
    )
    _draw_values(
        figure, next(shown), s2, extent, "Sentinel-2 observations", "valid observations", "viridis", None
    )
    _draw_values(
        figure, next(shown), s1, extent, "Sentinel-1 observations", "valid observations", "viridis", None
    )
    for axis in axes:
        _frame(axis, extent)
    for axis in shown:
        axis.remove()
        axes.remove(axis)
    _scale_bar(axes[0], extent, metres)
    _draw_legend(figure.add_subplot(grid[:, columns]), folder / "classes.tif", legend, parcels)
    figure.suptitle(title, fontsize=15, fontweight="bold")
    if note:
        figure.supxlabel(note, fontsize=10, color="#444444")
    figure.savefig(out, format="png", metadata={"Software": "acreage"})


Extent = tuple[float, float, float, float]


def _read(path: Path, band: int) -> tuple[NDArray[Any], Extent, float]:
    """(values, (west, east, south, north), metres a CRS unit) at no more than `PIXELS` a side."""
    with rasterio.open(path) as source:
        step = max(1, math.ceil(max(source.shape) / PIXELS))
        shape = (math.ceil(source.height / step), math.ceil(source.width / step))
        values = source.read(band, out_shape=shape)
        west, south, east, north = source.bounds
        metres = source.crs.linear_units_factor[1] if source.crs.is_projected else 0.0
    return values, (west, east, south, north), metres


def _parcels(reference: gpd.GeoDataFrame, raster: Path, legend: Legend, label: str) -> gpd.GeoDataFrame:
    with rasterio.open(raster) as source:
        parcels = reference.to_crs(source.crs.to_wkt())
    found = [legend.classify(str(value)) for value in parcels[label]]
    colours = [GREY if c is None else c.colour for c in found]
    return parcels.assign(colour=colours, code=[0 if c is None else c.code for c in found])


def _draw_classes(
    axis: Axes, codes: NDArray[Any], extent: Extent, legend: Legend, parcels: gpd.GeoDataFrame | None
) -> None:
    table = np.zeros((256, 4), np.uint8)
    for code, colour in legend.colour_table().items():
        table[code] = colour
    axis.imshow(table[codes], extent=extent, interpolation="nearest")
    if parcels is not None:
        parcels.boundary.plot(ax=axis, color="black", linewidth=0.45)
    axis.set_title("Crop type map", fontsize=12)


def _draw_reference(axis: Axes, parcels: gpd.GeoDataFrame, extent: Extent) -> None:
    parcels.plot(ax=axis, color=parcels["colour"], edgecolor="black", linewidth=0.6)
    axis.set_title("Reference parcels", fontsize=12)
    axis.set_facecolor("white")


def _draw_values(
    figure: Figure,
    axis: Axes,
    values: NDArray[Any],
    extent: Extent,
    title: str,
    unit: str,
    colours: str,
    most: int | None,
) -> None:
    data = np.ma.masked_equal(values, 255)
    high = most if most is not None else (int(data.max()) if data.count() else 1)
    image = axis.imshow(data, extent=extent, cmap=colours, vmin=0, vmax=max(high, 1), interpolation="nearest")
    axis.set_facecolor(GREY)
    axis.set_title(title, fontsize=12)
    bar = figure.colorbar(image, ax=axis, fraction=0.046, pad=0.02)
    bar.locator = MaxNLocator(integer=True)
    bar.set_label(unit, fontsize=10)
    if not data.count():
        axis.text(0.5, 0.5, "no value", transform=axis.transAxes, ha="center", va="center", fontsize=12)


def _frame(axis: Axes, extent: Extent) -> None:
    axis.set_xlim(extent[0], extent[1])
    axis.set_ylim(extent[2], extent[3])
    axis.set_aspect("equal")
    axis.set_xlabel("")
    axis.set_ylabel("")
    axis.set_xticks([])
    axis.set_yticks([])


def _scale_bar(axis: Axes, extent: Extent, metres: float) -> None:
    """A bar of about a quarter of the width, of 1, 2 or 5 times a power of ten; none in degrees."""
    if metres <= 0:
        return
    width = (extent[1] - extent[0]) * metres
    power = 10 ** math.floor(math.log10(width / 4))
    length = max(k * power for k in (1, 2, 5) if k * power <= width / 4)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    x0 = extent[0] + 0.04 * (extent[1] - extent[0])
    y0 = extent[2] + 0.04 * (extent[3] - extent[2])
    x1 = x0 + length / metres
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    axis.plot([x0, x1], [y0, y0], color="white", linewidth=6, solid_capstyle="butt")
    axis.plot([x0, x1], [y0, y0], color="black", linewidth=3, solid_capstyle="butt")
    axis.annotate(
        text, ((x0 + x1) / 2, y0), (0, 5), textcoords="offset points", ha="center", fontsize=9, bbox=box
    )


def _draw_legend(axis: Axes, raster: Path, legend: Legend, parcels: gpd.GeoDataFrame | None) -> None:
    with rasterio.open(raster) as source:
        counts = np.zeros(256, np.int64)
        for _, window in source.block_windows(1):
            counts += np.bincount(source.read(1, window=window).ravel(), minlength=256)
        pixel = abs(source.transform.a * source.transform.e)
        hectares = pixel * source.crs.linear_units_factor[1] ** 2 / 1e4 if source.crs.is_projected else 0.0
    referenced = set() if parcels is None else set(parcels["code"])
    rows = [(c.code, c.title, c.colour) for c in legend.classes if counts[c.code] or c.code in referenced]
    rows += [(r.code, r.title, r.colour) for r in RESERVED if r.code != OUTSIDE and counts[r.code]]
    if parcels is not None and 0 in referenced:
        rows.append((-1, "Reference of no class", GREY))

    def text(code: int, name: str) -> str:
        area = counts[code] * hectares if code > 0 else 0.0
        return fill(name, 24) + (f"\n{area:,.1f} ha" if area else "")

    patches = [Patch(facecolor=to_rgb(c), edgecolor="#666666", label=text(k, n)) for k, n, c in rows]
    axis.axis("off")
    axis.legend(handles=patches, loc="upper left", frameon=False, fontsize=10, borderaxespad=0)
