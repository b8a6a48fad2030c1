"""The forward model as an archive uses it: one ground, one sky, and what the sensors see on a pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray

from acreage.core.grid import Box
from acreage.simulate.curves import load_phenology
from acreage.simulate.ground import Ground, Patch
from acreage.simulate.noise import key_of, mix
from acreage.simulate.optics import OpticalImage, optical
from acreage.simulate.orbits import MISSIONS, Pass
from acreage.simulate.radar import moisture, sigma0, speckle
from acreage.simulate.scales import load_scales
from acreage.simulate.settings import ArchiveSettings
from acreage.simulate.sky import Sky, means
from acreage.simulate.surface import reflectance

Float = NDArray[np.float64]
Single = NDArray[np.float32]

INCIDENCE = (30.5, 46.0)
"""Degrees at the near and the far edge of Sentinel-1's swath."""
WORLDCOVER_ERRORS: Mapping[int, float] = {2020: 0.04, 2021: 0.02}
"""Share of the parcels whose cropland is mapped as grassland in a year, or the other way round; invented."""
GRASSLAND, CROPLAND = 30, 40


class Forward:
    """The simulated ground and sky of an archive."""

    def __init__(self, settings: ArchiveSettings) -> None:
        scales = load_scales()
        self.seed, self.looks = settings.seed, settings.looks
        self.errors = scales.errors
        self.phenology = load_phenology()
        self.ground = Ground(settings.seed, self.phenology, scales)
        self.sky = Sky(settings.seed, scales.clouds)

    def reflectance(self, patch: Patch, day: date) -> Single:
        """The ground on a day: (10, ...) float32, 0..1, without atmosphere or noise."""
        return reflectance(self.phenology, patch, day)

    def worldcover(self, year: int) -> Callable[[Float, Float], NDArray[np.uint8]]:
        """Codes of WorldCover's year as a function of EPSG:3035 coordinates; some parcels are wrong in it."""
        key = np.uint64(key_of("worldcover", self.seed, year))
        swapped = np.arange(256, dtype=np.uint8)
        swapped[[GRASSLAND, CROPLAND]] = CROPLAND, GRASSLAND

        def codes(x: Float, y: Float) -> NDArray[np.uint8]:
            patch = self.ground.at(x, y)
            numbers, where = np.unique(patch.parcel, return_inverse=True)
            draws = np.array([int(mix(np.uint64(n & 0x7FFFFFFFFFFFFFFF) ^ key)) / 2.0**64 for n in numbers])
            wrong = ((draws < WORLDCOVER_ERRORS[year]) & (numbers >= 0))[where].reshape(patch.shape)
            return np.where(wrong, swapped[patch.landcover], patch.landcover).astype(np.uint8)

        return codes

    def optical(
        self, patch: Patch, middles: tuple[Float, Float], box: Box, seen: Pass, sensed: datetime
    ) -> OpticalImage:
        """What Sentinel-2 sees of a box of 10 m pixels.

        Args:
            patch: the ground under the pixels.
            middles: EPSG:3035 coordinates of the 20 m pixels.
            box: of which the edges lie on 20 m.
            seen: the pass.
            sensed: start of the datatake, which all its granules share.
        """
        key = f"{self.seed} {seen.satellite} {seen.absolute_orbit} {box.grid.crs}"
        sky = self.sky.at(*middles, sensed)
        return optical(self.phenology, patch, sky, sensed.date(), key, (box.x0, box.y0), self.errors)

    def backscatter(
        self, patch: Patch, x: Float, y: Float, elevation: Single | None, day: date, seen: Pass
    ) -> tuple[Single, Single]:
        """VV and VH of a pass on 10 m pixels, linear power without speckle: sigma0.

        `elevation`: metres; None takes the ground for flat and gives gamma0, as after terrain correction.
        """
        near, far = MISSIONS[seen.mission].swath
        across = np.clip((seen.track.across(x, y) - near) / (far - near), 0.0, 1.0)
        angle = np.asarray(INCIDENCE[0] + across * (INCIDENCE[1] - INCIDENCE[0]), np.float32)
        wet = moisture(x, y, day, self.seed)
        vv, vh = sigma0(self.phenology, patch, elevation, day, seen.direction, wet, angle)
        if elevation is None:
            cosine = np.cos(np.radians(angle))
            return np.asarray(vv / cosine, np.float32), np.asarray(vh / cosine, np.float32)
        return vv, vh

    def speckled(self, power: tuple[Single, Single], box: Box, factor: int, seen: Pass) -> dict[str, Single]:
        """The power of 10 m pixels on the product's pixels, `factor` times as large, with speckle.

        `box`: of the product's pixels.
        """
        key = f"{self.seed} {seen.satellite} {seen.absolute_orbit} {box.grid.crs}"
        factors = speckle(key, (box.x0, box.y0), box.shape, self.looks)
        return {
            name: np.asarray(means(values, factor) * noise, np.float32)
            for name, values, noise in zip(("vv", "vh"), power, factors, strict=True)
        }
