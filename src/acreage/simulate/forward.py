"""The forward model as the archive uses it: what stands on the ground, and what a sensor sees of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray

from acreage.core.grid import Box
from acreage.simulate.curves import load_phenology
from acreage.simulate.ground import Ground, Patch
from acreage.simulate.orbits import Pass
from acreage.simulate.scales import load_scales
from acreage.simulate.settings import ArchiveSettings

Float = NDArray[np.float64]
Single = NDArray[np.float32]
_ORDER = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")


class Forward:
    """The simulated ground of an archive and what sensors see of it."""

    def __init__(self, settings: ArchiveSettings) -> None:
        self.seed, self.looks = settings.seed, settings.looks
        self.phenology = load_phenology()
        self.ground = Ground(settings.seed, self.phenology, load_scales())
        self.elevation = self.ground.elevation
        self.patch = self.ground.at
        self._order = [self.phenology.bands.index(b) for b in _ORDER]

    def worldcover(self, year: int) -> Callable[[Float, Float], NDArray[np.uint8]]:
        """WorldCover's codes of a year as a function of EPSG:3035 coordinates."""
        del year
        return lambda x, y: self.ground.at(x, y).landcover

    def reflectance(self, patch: Patch, day: date) -> Single:
        """Noise-free reflectance of the ground, (10, ...)."""
        tables = self.phenology.tables
        step = np.clip((day.timetuple().tm_yday - patch.shift_days) * 4, 0, 1460).astype(int)
        change = tables.change[patch.cover, step] * patch.vigour[..., None]
        return np.moveaxis((tables.base[patch.cover] + change)[..., self._order], -1, 0)

    def optical(
        self, patch: Patch, x: Float, y: Float, box: Box, seen: Pass, moment: datetime
    ) -> tuple[Single, NDArray[np.uint8]]:
        """Reflectance (10, rows, columns) with atmosphere and noise, and SCL at 20 m."""
        ground = self.reflectance(patch, moment.date())
        phase = seen.absolute_orbit * 1.7
        field = np.sin(x / 700 + phase) + np.cos(y / 900 - phase) + np.sin((x + y) / 400 + 2 * phase)
        cloud = np.clip(field - 0.6 - 1.5 * np.sin(phase), 0, 1).astype(np.float32)
        values = ground + cloud * (0.5 - ground)
        scl = np.where(cloud[::2, ::2] > 0.4, 9, 4).astype(np.uint8)
        return values, scl

    def sigma0(
        self, patch: Patch, x: Float, y: Float, elevation: Single, box: Box, seen: Pass
    ) -> dict[str, Single]:
        """Backscatter with speckle, linear power."""
        step = np.clip((seen.node.timetuple().tm_yday - patch.shift_days) * 4, 0, 1460).astype(int)
        level = self.phenology.tables.radar[patch.cover, step]
        out = {}
        for i, name in enumerate(("vv", "vh")):
            rng = np.random.default_rng([seen.absolute_orbit, self.seed, i])
            speckle = rng.gamma(self.looks, 1 / self.looks, patch.shape) if self.looks else 1.0
            out[name] = (10 ** (level[..., i] / 10) * speckle).astype(np.float32)
        return out
