"""The simulated landscape: parcels with a crop or cover each, relief, and what grows at every pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy.ndimage import gaussian_filter

from acreage.core.grid import Box, Grid
from acreage.simulate.phenology import Cover, Phenology
from acreage.simulate.settings import SceneSettings

DEM_RESOLUTION = 30.0
MARGIN_M = 4.0  # half the width of the tracks between parcels


@dataclass(frozen=True, eq=False)
class Landscape:
    """The ground truth of a scene.

    Attributes:
        box: 10 m pixels.
        parcels: one row a parcel, in the scene's CRS: parcel_id, label (crop or cover name), code (truth),
            landcover, split (`train` or `test` for crops, empty for others), area_ha, shift_days, vigour.
        parcel: index of the parcel at every pixel (rows, columns) int32; -1 on the tracks between parcels.
        vigour: factor of the green cover at every pixel, float32.
        truth: crop code at every pixel, uint8; 0 where no crop class grows.
        landcover: WorldCover code at every pixel, uint8.
        dem_box, dem: elevation in metres, float32, on a 30 m grid that covers the scene.
    """

    box: Box
    parcels: gpd.GeoDataFrame
    parcel: NDArray[np.int32]
    vigour: NDArray[np.float32]
    truth: NDArray[np.uint8]
    landcover: NDArray[np.uint8]
    dem_box: Box
    dem: NDArray[np.float32]


def make_landscape(settings: SceneSettings, phenology: Phenology) -> Landscape:
    """Divide the scene into rectangular parcels and let something grow on each."""
    box = settings.box
    shapes = _divide(settings, box)
    covers = _assign(settings, phenology, shapes)
    rng = settings.rng("parcels")
    parcels = gpd.GeoDataFrame(
        {
            "parcel_id": np.arange(1, len(shapes) + 1),
            "label": [c.name for c in covers],
            "code": np.array([c.code for c in covers], np.int16),
            "landcover": np.array([c.landcover for c in covers], np.int16),
            "split": _split(settings, covers),
            "area_ha": np.round(shapely.area(shapes) / 1e4, 4),
            "shift_days": np.round(np.clip(rng.normal(0.0, 5.0, len(shapes)), -12, 12), 2),
            "vigour": np.round(np.clip(rng.normal(1.0, 0.06, len(shapes)), 0.8, 1.1), 4),
        },
        geometry=shapes,
        crs=box.grid.crs,
    )
    parcel = rasterize(
        ((shape, i) for i, shape in enumerate(parcels.geometry)),
        out_shape=box.shape,
        transform=box.affine,
        fill=-1,
        dtype=np.int32,
    )
    track = next(c.landcover for c in phenology.others if c.name == "grassland")
    codes = np.append(parcels["code"].to_numpy(), 0)  # index -1: the tracks
    landcover = np.append(parcels["landcover"].to_numpy(), track)
    texture = smooth_noise(settings.rng("texture"), box.shape, 6.0) * 0.05
    inside = np.append(parcels["vigour"].to_numpy(), 1.0)[parcel] * (1.0 + texture)
    dem_box = Grid.snapped(box.grid.crs, DEM_RESOLUTION).box_covering(*box.bounds)
    return Landscape(
        box,
        parcels,
        parcel,
        inside.astype(np.float32),
        codes[parcel].astype(np.uint8),
        landcover[parcel].astype(np.uint8),
        dem_box,
        _relief(settings, dem_box),
    )


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> NDArray[np.float64]:
    """A random field of mean 0 and standard deviation 1, correlated over about `sigma` pixels."""
    field = gaussian_filter(rng.standard_normal(shape), sigma, mode="reflect", truncate=3.0)
    spread = float(field.std())
    return np.asarray((field - field.mean()) / (spread if spread > 0 else 1.0))


def _divide(settings: SceneSettings, box: Box) -> NDArray[np.object_]:
    """Cut a turned square over the scene into rectangles, each in two at a random place, down to parcels."""
    rng = settings.rng("cuts")
    west, south, east, north = box.bounds
    x, y = (west + east) / 2, (south + north) / 2
    half = (east - west) / math.sqrt(2) + 10
    angle = float(rng.uniform(-35, 35))
    largest = settings.parcel_ha * 1e4 * 1.45
    open_, done = [(-half, -half, half, half)], []
    while open_:
        x0, y0, x1, y1 = open_.pop()
        width, height = x1 - x0, y1 - y0
        if width * height <= largest * rng.uniform(0.6, 1.4):
            done.append((x0, y0, x1, y1))
            continue
        at = rng.uniform(0.36, 0.64)
        # Fields are longer than wide: now and then the short side is cut.
        if (width > height) == (rng.random() < 0.88):
            cut = x0 + at * width
            open_ += [(x0, y0, cut, y1), (cut, y0, x1, y1)]
        else:
            cut = y0 + at * height
            open_ += [(x0, y0, x1, cut), (x0, cut, x1, y1)]
    m = MARGIN_M
    boxes = [shapely.box(x + a + m, y + b + m, x + c - m, y + d - m) for a, b, c, d in sorted(done)]
    turned = shapely.transform(np.array(boxes), lambda p: _turn(p, (x, y), math.radians(angle)))
    cut_out = shapely.intersection(turned, shapely.box(*box.bounds))
    return np.asarray(cut_out[shapely.area(cut_out) >= 1200.0])


def _turn(points: NDArray[np.float64], centre: tuple[float, float], angle: float) -> NDArray[np.float64]:
    c, s = math.cos(angle), math.sin(angle)
    return np.asarray((points - centre) @ np.array([[c, s], [-s, c]]) + centre)


def _assign(settings: SceneSettings, phenology: Phenology, shapes: NDArray[np.object_]) -> list[Cover]:
    """A cover for every parcel: shares as wanted; covers that are no crop lie together, crops are mixed."""
    rng = settings.rng("covers")
    points = shapely.get_coordinates(shapely.centroid(shapes))
    grid = settings.box
    rows = np.clip(((grid.bounds[3] - points[:, 1]) / 10).astype(int), 0, grid.height - 1)
    columns = np.clip(((points[:, 0] - grid.bounds[0]) / 10).astype(int), 0, grid.width - 1)
    lie = smooth_noise(rng, grid.shape, grid.width / 12)[rows, columns] + rng.normal(0, 0.25, len(shapes))
    order = np.argsort(lie, kind="stable")
    arable = round(len(shapes) * settings.arable_share)
    out: list[Cover | None] = [None] * len(shapes)
    rest = np.sort(order[arable:])
    kind = np.argsort(smooth_noise(rng, grid.shape, grid.width / 8)[rows[rest], columns[rest]], kind="stable")
    for indices, covers in (
        (rng.permutation(order[:arable]), phenology.crops),
        (rest[kind], phenology.others),
    ):
        for i, cover in zip(indices, _by_share(covers, len(indices)), strict=True):
            out[i] = cover
    return [cover for cover in out if cover is not None]


def _by_share(covers: tuple[Cover, ...], number: int) -> list[Cover]:
    """So many covers, each as often as its share says (largest remainders)."""
    shares = np.array([c.share for c in covers])
    wanted = shares / shares.sum() * number
    counts = np.floor(wanted).astype(int)
    counts[np.argsort(counts - wanted, kind="stable")[: number - counts.sum()]] += 1
    return [cover for cover, n in zip(covers, counts, strict=True) for _ in range(n)]


def _split(settings: SceneSettings, covers: list[Cover]) -> list[str]:
    """`train` or `test` for crop parcels, each crop divided by the wanted share; empty for other covers."""
    rng = settings.rng("split")
    out = [""] * len(covers)
    for name in sorted({c.name for c in covers if c.is_crop}):
        indices = rng.permutation([i for i, c in enumerate(covers) if c.name == name])
        train = round(len(indices) * settings.train_share)
        for rank, i in enumerate(indices):
            out[i] = "train" if rank < train else "test"
    return out


def _relief(settings: SceneSettings, box: Box) -> NDArray[np.float32]:
    """Hills of some tens of metres with smaller ones on them."""
    rng = settings.rng("relief")
    hills = smooth_noise(rng, box.shape, max(box.width / 7, 2.0)) * 14
    return np.asarray(80 + hills + smooth_noise(rng, box.shape, 3.0) * 1.2, np.float32)
