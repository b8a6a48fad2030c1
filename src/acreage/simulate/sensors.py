"""Pixels of a product: the forward model run over the cut of a granule or of a slice, piece by piece."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes
from shapely.geometry.base import BaseGeometry

from acreage.core.grid import Box, Grid, transformer
from acreage.simulate.forward import Forward
from acreage.simulate.granules import utm_zone
from acreage.simulate.ground import Patch
from acreage.simulate.lattice import coarser, ground_coordinates, square_mean
from acreage.simulate.orbits import GROUND_CRS, Pass
from acreage.simulate.publish.products import BANDS, BANDS_20M, OpticalPixels
from acreage.simulate.publish.stac import degrees
from acreage.simulate.schedule import Slice

PIECE = 1024
MAX_DN = 16_000
_CACHED_PIXELS = 24_000_000
_NOISE_M = 400.0  # width of the noise along the swath's edge in old products
_NOISE_POWER = 3e-4
_OUTLINE_PIXELS = 1_000_000

Float = NDArray[np.float64]
Single = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Place:
    """Ground coordinates of a piece's pixels and what stands there."""

    x: Float
    y: Float
    patch: Patch
    elevation: Single


class Places:
    """The ground under pieces of sensors' grids, kept for the next date as long as there is room."""

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self._lock = threading.Lock()
        self._kept: OrderedDict[Box, Place] = OrderedDict()
        self._pixels = 0

    def at(self, piece: Box) -> Place:
        """The ground under a piece."""
        with self._lock:
            if piece in self._kept:
                self._kept.move_to_end(piece)
                return self._kept[piece]
        x, y = ground_coordinates(piece)
        place = Place(x, y, self.forward.patch(x, y), self.forward.elevation(x, y))
        with self._lock:
            if piece not in self._kept:
                self._kept[piece] = place
                self._pixels += piece.size
            while self._pixels > _CACHED_PIXELS:
                old, _ = self._kept.popitem(last=False)
                self._pixels -= old.size
        return place


def optical_pixels(
    places: Places, seen: Pass, moment: datetime, box: Box
) -> tuple[OpticalPixels, NDArray[np.bool_]]:
    """A granule's pixels over `box` (10 m, edges on 20 m), and which 20 m pixels lie in the swath."""
    half = coarser(box, 2)
    bands = {b: np.zeros(half.shape if b in BANDS_20M else box.shape, np.uint16) for b in BANDS}
    scl, inside = np.zeros(half.shape, np.uint8), np.zeros(half.shape, bool)
    for piece in box.windows(PIECE, PIECE):
        place = places.at(piece)
        small = coarser(piece, 2)
        rows, columns = piece.slices_in(box)
        down, across = small.slices_in(half)
        # The corner that four 10 m pixels share is the middle of their 20 m pixel.
        x = (place.x[::2, ::2] + place.x[1::2, 1::2]) / 2
        y = (place.y[::2, ::2] + place.y[1::2, 1::2]) / 2
        here = seen.inside(x, y)
        if not here.any():
            continue
        inside[down, across] = here
        values, classes = places.forward.optical(place.patch, place.x, place.y, piece, seen, moment)
        scl[down, across] = np.where(here, classes, 0)
        whole = np.repeat(np.repeat(here, 2, axis=0), 2, axis=1)
        for band, layer in zip(BANDS, values, strict=True):
            if band in BANDS_20M:
                bands[band][down, across] = _numbers(square_mean(layer), here)
            else:
                bands[band][rows, columns] = _numbers(layer, whole)
    return OpticalPixels(bands, scl), inside


def _numbers(values: Single, inside: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Digital numbers: reflectance x 10000, at least 1; 0 outside of the swath."""
    return np.where(inside, np.clip(np.rint(values * 10_000), 1, MAX_DN), 0).astype(np.uint16)


def radar_box(area: tuple[float, float, float, float], cut: Slice, resolution: int) -> Box:
    """Pixels of an area (EPSG:3035) in the UTM zone of the middle of the swath."""
    x, y = _swath_middle(cut.seen, area)
    longitude, latitude = transformer(GROUND_CRS, "EPSG:4326").transform(x, y)
    crs = f"EPSG:{32600 + utm_zone(longitude, latitude)}"
    bounds = transformer(GROUND_CRS, crs).transform_bounds(*area, densify_pts=21)
    return Grid.snapped(crs, float(resolution)).box_covering(*bounds)


def _swath_middle(seen: Pass, area: tuple[float, float, float, float]) -> tuple[float, float]:
    """The point in the middle of the swath at the area's latitude, EPSG:3035."""
    line = seen.track.edge(495_000.0)
    y = (area[1] + area[3]) / 2
    return float(np.interp(y, line[:, 1], line[:, 0])), y


def radar_pixels(
    places: Places, cut: Slice, box: Box
) -> tuple[Box, dict[str, Single], NDArray[np.bool_]] | None:
    """A slice's pixels: the part of `box` that it fills, power of `vv` and `vh`, and where it is.

    None where the slice does not reach the box.
    """
    inside = np.zeros(box.shape, bool)
    out = {key: np.full(box.shape, np.nan, np.float32) for key in ("vv", "vh")}
    for piece in box.windows(PIECE, PIECE):
        place = places.at(piece)
        along = cut.seen.track.along(place.x, place.y)
        here = cut.seen.inside(place.x, place.y) & (along >= cut.first) & (along <= cut.last)
        if not here.any():
            continue
        rows, columns = piece.slices_in(box)
        inside[rows, columns] = here
        seen = places.forward.sigma0(place.patch, place.x, place.y, place.elevation, piece, cut.seen)
        for key, power in seen.items():
            if cut.has_border_noise:
                power = _with_border_noise(power, cut, place, piece)
            out[key][rows, columns] = np.where(here, power, np.nan)
    if not inside.any():
        return None
    rows, columns = _extent(inside, 1), _extent(inside, 0)
    tight = Box(
        box.grid, box.x0 + columns.start, box.y0 + rows.start, box.x0 + columns.stop, box.y0 + rows.stop
    )
    return tight, {k: np.ascontiguousarray(v[rows, columns]) for k, v in out.items()}, inside[rows, columns]


def _with_border_noise(power: Single, cut: Slice, place: Place, piece: Box) -> Single:
    """Very low values along both edges of the swath, as processors before IPF 2.90 left them."""
    edge = ~cut.seen.inside_by(place.x, place.y, _NOISE_M)
    rng = np.random.default_rng([cut.seen.absolute_orbit, piece.x0 & 0xFFFFFFFF, piece.y0 & 0xFFFFFFFF])
    noise = (rng.random(power.shape, np.float32) * _NOISE_POWER + 1e-7).astype(np.float32)
    return np.where(edge, noise, power)


def _extent(inside: NDArray[np.bool_], axis: int) -> slice:
    where = np.flatnonzero(inside.any(axis=axis))
    return slice(int(where[0]), int(where[-1]) + 1)


def outline(inside: NDArray[np.bool_], box: Box) -> BaseGeometry:
    """The part of a box (of the mask's pixels) where the mask is True, in degrees."""
    if inside.all():
        found: BaseGeometry = shapely.box(*box.bounds)
    else:
        step = max(1, int((inside.size / _OUTLINE_PIXELS) ** 0.5))
        affine = box.affine @ box.affine.scale(step)
        parts = shapes(inside[::step, ::step].astype(np.uint8), mask=inside[::step, ::step], transform=affine)
        merged = shapely.union_all([shapely.geometry.shape(part) for part, _ in parts])
        found = shapely.intersection(
            shapely.simplify(merged, 1.5 * step * box.grid.res_x), shapely.box(*box.bounds)
        )
    return degrees(shapely.segmentize(found, 20_000.0), box.grid.crs)
