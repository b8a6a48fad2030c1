"""Pixels of a product: the forward model run over the cut of a granule or of a slice, piece by piece."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from acreage.core.grid import Box, Grid, transformer
from acreage.simulate.forward import Forward
from acreage.simulate.granules import utm_zone
from acreage.simulate.ground import Ground, Patch, points
from acreage.simulate.lattice import coarser, finer
from acreage.simulate.optics import digital_numbers
from acreage.simulate.orbits import GROUND_CRS, Pass
from acreage.simulate.publish.products import BANDS, BANDS_20M, OpticalPixels
from acreage.simulate.publish.stac import degrees
from acreage.simulate.schedule import Slice

PIECE = 1024
_CACHED_PIXELS = 24_000_000
_NOISE_M = 400.0  # width of the noise along the swath's edge in old products
_NOISE_POWER = 3e-4

Float = NDArray[np.float64]
Single = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Place:
    """Ground coordinates of a piece's pixels and what stands there."""

    x: Float
    y: Float
    patch: Patch


class Places:
    """The ground under pieces of sensors' grids, kept for the next date as long as there is room."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._lock = threading.Lock()
        self._kept: OrderedDict[Box, Place] = OrderedDict()
        self._pixels = 0

    def at(self, piece: Box) -> Place:
        """The ground under a piece."""
        with self._lock:
            if piece in self._kept:
                self._kept.move_to_end(piece)
                return self._kept[piece]
        x, y = points(piece)
        place = Place(x, y, self._ground.at(x, y))
        with self._lock:
            if piece not in self._kept:
                self._kept[piece] = place
                self._pixels += piece.size
            while self._pixels > _CACHED_PIXELS:
                old, _ = self._kept.popitem(last=False)
                self._pixels -= old.size
        return place


def optical_pixels(
    forward: Forward, places: Places, seen: Pass, sensed: datetime, box: Box
) -> tuple[OpticalPixels, NDArray[np.bool_]]:
    """A granule's pixels over `box` (10 m, edges on 20 m), and which 20 m pixels lie in the swath."""
    half = coarser(box, 2)
    bands = {b: np.zeros(half.shape if b in BANDS_20M else box.shape, np.uint16) for b in BANDS}
    scl, inside = np.zeros(half.shape, np.uint8), np.zeros(half.shape, bool)
    for piece in box.windows(PIECE, PIECE):
        place = places.at(piece)
        windows = {10: piece.slices_in(box), 20: coarser(piece, 2).slices_in(half)}
        # The corner that four 10 m pixels share is the middle of their 20 m pixel.
        x = (place.x[::2, ::2] + place.x[1::2, 1::2]) / 2
        y = (place.y[::2, ::2] + place.y[1::2, 1::2]) / 2
        here = seen.inside(x, y)
        if not here.any():
            continue
        inside[windows[20]] = here
        outside = {20: ~here, 10: ~np.repeat(np.repeat(here, 2, axis=0), 2, axis=1)}
        image = forward.optical(place.patch, (x, y), piece, seen, sensed)
        scl[windows[20]] = np.where(here, image.scl, 0)
        for band, name in BANDS.items():
            metres = 20 if band in BANDS_20M else 10
            bands[band][windows[metres]] = digital_numbers(image.bands[name], outside[metres])
    return OpticalPixels(bands, scl), inside


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
    forward: Forward, places: Places, cut: Slice, box: Box, terrain_corrected: bool
) -> tuple[Box, dict[str, Single], NDArray[np.bool_]] | None:
    """A slice's pixels: the part of `box` that it fills, power of `vv` and `vh`, and where it is.

    None where the slice does not reach the box.
    """
    inside = np.zeros(box.shape, bool)
    out = {key: np.full(box.shape, np.nan, np.float32) for key in ("vv", "vh")}
    for piece in box.windows(PIECE // 2, PIECE // 2):
        x, y = points(piece)
        along = cut.seen.track.along(x, y)
        here = cut.seen.inside(x, y) & (along >= cut.first) & (along <= cut.last)
        if not here.any():
            continue
        window = piece.slices_in(box)
        inside[window] = here
        seen = _backscatter(forward, places, cut, piece, terrain_corrected)
        for key, power in seen.items():
            if cut.has_border_noise:
                power = _with_border_noise(power, cut.seen, x, y, piece)
            out[key][window] = np.where(here, power, np.nan)
    if not inside.any():
        return None
    rows, columns = _extent(inside, 1), _extent(inside, 0)
    tight = Box(
        box.grid, box.x0 + columns.start, box.y0 + rows.start, box.x0 + columns.stop, box.y0 + rows.stop
    )
    return tight, {k: np.ascontiguousarray(v[rows, columns]) for k, v in out.items()}, inside[rows, columns]


def _backscatter(
    forward: Forward, places: Places, cut: Slice, piece: Box, terrain_corrected: bool
) -> dict[str, Single]:
    factor = round(piece.grid.res_x / 10)
    fine = finer(piece, factor)
    # One pixel more all round, so that slopes at a piece's edge are those of the whole.
    place = places.at(fine.expand(1, 1))
    elevation = None if terrain_corrected else forward.ground.elevation(place.x, place.y)
    power = forward.backscatter(place.patch, place.x, place.y, elevation, cut.start.date(), cut.seen)
    vv, vh = (np.ascontiguousarray(v[1:-1, 1:-1]) for v in power)
    return forward.speckled((vv, vh), piece, factor, cut.seen)


def _with_border_noise(power: Single, seen: Pass, x: Float, y: Float, piece: Box) -> Single:
    """Very low values along both edges of the swath, as processors before IPF 2.90 left them."""
    edge = ~seen.inside_by(x, y, _NOISE_M)
    rng = np.random.default_rng([seen.absolute_orbit, piece.x0 & 0xFFFFFFFF, piece.y0 & 0xFFFFFFFF])
    noise = (rng.random(power.shape, np.float32) * _NOISE_POWER + 1e-7).astype(np.float32)
    return np.where(edge, noise, power)


def _extent(inside: NDArray[np.bool_], axis: int) -> slice:
    where = np.flatnonzero(inside.any(axis=axis))
    return slice(int(where[0]), int(where[-1]) + 1)


def outline(inside: NDArray[np.bool_], box: Box) -> BaseGeometry:
    """The part of a box (of the mask's pixels) where the mask is True, in degrees.

    Every row's True pixels lie side by side, as those of a swath do that is cut out of a rectangle.
    """
    if inside.all():
        found: BaseGeometry = shapely.box(*box.bounds)
    else:
        rows = np.flatnonzero(inside.any(axis=1))
        first = inside[rows].argmax(axis=1)
        last = inside.shape[1] - inside[rows][:, ::-1].argmax(axis=1)
        # Each row's upper and lower corner, down the left side and up the right one.
        y = np.repeat(rows, 2) + np.tile([0, 1], len(rows))
        columns = np.concatenate([np.repeat(first, 2), np.repeat(last, 2)[::-1]])
        left, _, _, top = box.bounds
        x = left + columns * box.grid.res_x
        ring = np.column_stack([x, top - np.concatenate([y, y[::-1]]) * box.grid.res_y])
        found = shapely.simplify(shapely.make_valid(shapely.Polygon(ring)), 1.5 * box.grid.res_x)
    return degrees(shapely.segmentize(found, 20_000.0), box.grid.crs)
