"""Simulated dekad series of single pixels, for comparing classifiers: no raster is made.

Curves, spreads, cloud statistics and errors of the scene classification are those of the simulated archives
(`acreage.simulate`). What makes the series hard is stated in `Recipe`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from acreage.core.temporal import Season
from acreage.croptype.series import Samples, season_dekads
from acreage.simulate.calendar import season_delay
from acreage.simulate.curves import Phenology, load_phenology
from acreage.simulate.ground import Patch
from acreage.simulate.noise import gaussian_levels
from acreage.simulate.optics import CALIBRATION, CIRRUS, CLOUD, HAZE, NOISE, SHADOW, through_air
from acreage.simulate.radar import sigma0
from acreage.simulate.scales import Scales, load_scales
from acreage.simulate.sky import RIM
from acreage.simulate.surface import reflectance
from pixel_covers import harder

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12", "VV", "VH")
SEASON = Season(date(2021, 3, 1), date(2021, 10, 31))
_SURFACE = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
_ALL = (
    "coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3",
    "nir", "nir08", "nir09", "swir16", "swir22",
)  # fmt: skip

Single = NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """What is simulated. Shares 0..1; all of these are invented, the rest is fitted to real data.

    Attributes:
        regions: places over Europe, 38 to 60 degrees north; a region is wholly in training or in testing.
        parcels: in each region; crops by the region's mix.
        pixels: of each parcel.
        grassland: share of parcels that are permanent grassland, which looks much like temporary grass.
        alike: part of a crop's curves that is the mean of its group's (`pixel_covers.GROUPS`).
        region_shift_days, parcel_shift_days: deviation of a crop's calendar in a region, and of a parcel
            beside the spread of its cover.
        region_vigour: deviation of a crop's vigour in a region, as a factor.
        spread: factor of the spreads of vigour, brightness, greenness and backscatter between parcels.
        haze: deviation of what the atmospheric correction leaves of haze on a date, 0.2 in the archives.
        mixed: share of pixels at a border; up to half of such a pixel is a neighbour's crop.
        cut_ends: share of parcels whose series lack up to six dekads at the start or the end.
        second_orbit: share of regions that Sentinel-2 sees twice in five days.
        sparse_radar: share of regions that Sentinel-1 sees every twelfth day, not every sixth.
        looks: of the speckle of one observation.
        wrong_labels: share of parcels with another crop's label, in training only.
    """

    regions: int = 80
    parcels: int = 650
    pixels: int = 2
    grassland: float = 0.15
    alike: float = 0.6
    region_shift_days: float = 10.0
    parcel_shift_days: float = 8.0
    region_vigour: float = 0.15
    spread: float = 1.4
    haze: float = 0.35
    mixed: float = 0.4
    cut_ends: float = 0.2
    second_orbit: float = 0.4
    sparse_radar: float = 0.3
    looks: float = 8.0
    wrong_labels: float = 0.05


@dataclass(frozen=True)
class Simulated:
    """Series of all pixels, and which of them are for training.

    Attributes:
        samples: labels are the truth; regions and groups (parcels) are set.
        training: (N,) bool.
        noisy_labels: (N,) labels with the errors that training sees.
    """

    samples: Samples
    training: NDArray[np.bool_]
    noisy_labels: NDArray[np.str_]


@dataclass(frozen=True)
class _Pixels:
    """All pixels: their own ground, a neighbour's, and how much of the pixel that is."""

    own: Patch
    neighbour: Patch
    share: Single
    region: NDArray[np.int64]
    parcel: NDArray[np.int64]


def simulate(recipe: Recipe | None = None, seed: int = 0, training_share: float = 0.2) -> Simulated:
    """Series of `regions * parcels * pixels` pixels; the first regions are for training.

    The interior gaps of Sentinel-2 are filled linearly, as the preprocessing graph does.
    """
    recipe = recipe or Recipe()
    rng = np.random.default_rng(seed)
    phenology, scales = harder(load_phenology(), recipe.alike, recipe.spread), load_scales()
    pixels, kinds = _ground(recipe, phenology, scales, rng)
    dekads = season_dekads(SEASON)
    values = np.full((len(pixels.region), len(dekads), len(BANDS)), np.nan, np.float32)
    ends = [*dekads[1:], date(2021, 11, 1)]
    for step, (first, end) in enumerate(zip(dekads, ends, strict=True)):
        days = [first + timedelta(days=i) for i in range((end - first).days)]
        values[:, step, :10] = _optical(pixels, days, recipe, phenology, scales, rng)
        values[:, step, 10:] = _radar(pixels, days, recipe, phenology, rng)
    _cut_ends(values, pixels.parcel, recipe, rng)
    names = np.array([c.name for c in phenology.covers])
    labels = names[pixels.own.cover]
    training = pixels.region < round(recipe.regions * training_share)
    count = len(labels)
    samples = Samples(
        np.array([f"p{i}" for i in range(count)]),
        labels,
        np.char.add("parcel ", pixels.parcel.astype(str)),
        np.char.add("region ", pixels.region.astype(str)),
        BANDS,
        tuple(dekads),
        values,
        gpd.GeoSeries.from_xy(np.zeros(count), np.zeros(count), crs="EPSG:4326"),
    )
    wrong = rng.random(pixels.parcel.max() + 1)[pixels.parcel] < recipe.wrong_labels
    other = rng.choice(kinds, pixels.parcel.max() + 1)[pixels.parcel]
    noisy = np.where(wrong & training, names[other], labels)
    return Simulated(samples.with_gaps_filled(), training, noisy)


def _ground(
    recipe: Recipe, phenology: Phenology, scales: Scales, rng: np.random.Generator
) -> tuple[_Pixels, NDArray[np.int64]]:
    grass = phenology.index("grassland")
    kinds = np.array([*(phenology.index(c.name) for c in phenology.crops), grass])
    latitude, longitude = rng.uniform(38, 60, recipe.regions), rng.uniform(-5, 28, recipe.regions)
    height = rng.gamma(2, 90, recipe.regions)
    delay = [season_delay(*at) for at in zip(longitude, latitude, height, strict=True)]
    crop = np.empty((recipe.regions, recipe.parcels), np.int64)
    for r in range(recipe.regions):
        mix = scales.mix_at(longitude[r], latitude[r])
        # A tenth of the parcels is spread over all crops, so that none is missing from a region.
        weights = np.array([mix.get(phenology.covers[k].name, 0.0) for k in kinds])
        weights[-1] = 0.0
        weights *= (1 - recipe.grassland) / weights.sum()
        weights[-1] = recipe.grassland
        weights = 0.9 * weights + 0.1 / len(kinds)
        crop[r] = rng.choice(kinds, recipe.parcels, p=weights)
    region_shift = rng.normal(0, recipe.region_shift_days, (recipe.regions, len(phenology.covers)))
    spread = np.array([(c.spread.shift_days, c.spread.vigour) for c in phenology.covers])
    region = np.repeat(np.arange(recipe.regions), recipe.parcels)
    cover = crop.ravel()
    shift = region_shift[region, cover] + rng.normal(0, np.hypot(spread[cover, 0], recipe.parcel_shift_days))
    region_vigour = rng.normal(1, recipe.region_vigour, (recipe.regions, len(phenology.covers)))
    vigour = np.clip(region_vigour[region, cover] * rng.normal(1, spread[cover, 1]), 0.3, 1.7)
    place = np.repeat(np.arange(cover.size), recipe.pixels)
    # A neighbour is another parcel of the region.
    beside = region[place] * recipe.parcels + rng.integers(0, recipe.parcels, place.size)
    share = np.where(rng.random(place.size) < recipe.mixed, rng.uniform(0, 0.5, place.size), 0)
    texture = rng.normal(1, 0.05, place.size)

    def patch(at: NDArray[np.int64]) -> Patch:
        codes = np.zeros(at.size, np.uint8)
        return Patch(
            at.astype(np.int64), cover[at].astype(np.uint8), codes, codes,
            (vigour[at] * texture).astype(np.float32), shift[at].astype(np.float32),
            np.array(delay, np.float32)[region[at]],
        )  # fmt: skip

    return _Pixels(patch(place), patch(beside), share.astype(np.float32), region[place], place), kinds


def _optical(
    pixels: _Pixels,
    days: list[date],
    recipe: Recipe,
    phenology: Phenology,
    scales: Scales,
    rng: np.random.Generator,
) -> Single:
    """(N, 10) median of what the mask leaves of a dekad's dates, reflectance x 10000, NaN without any."""
    regions = np.arange(recipe.regions)
    second = regions % 10 < 10 * recipe.second_orbit
    seen: list[Single] = []
    for day in days:
        number = day.toordinal()
        here = ((number + regions) % 5 == 0) | (second & ((number + regions) % 5 == 2))
        if not here.any():
            continue
        chosen = np.flatnonzero(here[pixels.region])
        found = np.full((len(pixels.region), 10), np.nan, np.float32)
        found[chosen] = _scene(pixels, chosen, day, recipe, phenology, scales, rng)
        seen.append(found)
    return _median(np.stack(seen))


def _scene(
    pixels: _Pixels,
    chosen: NDArray[np.int64],
    day: date,
    recipe: Recipe,
    phenology: Phenology,
    scales: Scales,
    rng: np.random.Generator,
) -> Single:
    """(n, 10) reflectance x 10000 of one date, NaN where the scene classification masks it."""
    share = pixels.share[chosen]
    values = (1 - share) * reflectance(phenology, _part(pixels.own, chosen), day, _SURFACE)
    values += share * reflectance(phenology, _part(pixels.neighbour, chosen), day, _SURFACE)
    values = np.ascontiguousarray(values, np.float32)[:, None]
    region, parcel = pixels.region[chosen], pixels.parcel[chosen]
    cloud = _clouds(region, parcel, scales.clouds.cover, scales, rng)
    shadow = (1 - cloud) * _clouds(region, parcel, scales.clouds.cover, scales, rng)
    veil = rng.normal(size=region.max() + 1)[region] - norm.ppf(1 - scales.clouds.cirrus)
    cirrus = np.clip(veil / 1.2, 0, 1).astype(np.float32)
    haze = np.clip(rng.normal(0.18, recipe.haze, region.max() + 1), 0, 1)[region].astype(np.float32)
    which = [_ALL.index(b) for b in _SURFACE]
    air = np.array([HAZE, CLOUD, CIRRUS, SHADOW], np.float32)[:, which]
    gains = rng.normal(1, CALIBRATION, len(which)).astype(np.float32)
    sky = (a.reshape(1, -1) for a in (cloud, cirrus, haze, shadow))
    key = np.uint64(rng.integers(0, 2**63))
    through_air(values, *sky, 1, air, gains, key, 0, 0, NOISE, gaussian_levels())
    errors = scales.errors
    draw = rng.random(len(chosen))
    opacity = cloud + rng.normal(0, errors.edge, len(chosen))
    masked = (opacity > 0.25) & (draw >= errors.missed_cloud)
    masked |= (shadow > 0.3) & (draw >= errors.shadow_missed)
    masked |= (cirrus > 0.25) & (draw >= errors.missed_cloud)
    found = np.asarray(values[:, 0].T * np.float32(10000), np.float32)
    found[masked] = np.nan
    return found


def _clouds(
    region: NDArray[np.int64],
    parcel: NDArray[np.int64],
    cover: float,
    scales: Scales,
    rng: np.random.Generator,
) -> Single:
    """Opacity (n,): a field with a part that a region shares and a part that a parcel shares."""
    wide = scales.clouds.wide
    field = np.sqrt(wide) * rng.normal(size=region.max() + 1)[region]
    field = field + np.sqrt(1 - wide) * rng.normal(size=parcel.max() + 1)[parcel]
    return np.clip((field - norm.ppf(1 - cover)) / RIM, 0, 1).astype(np.float32)


def _radar(
    pixels: _Pixels, days: list[date], recipe: Recipe, phenology: Phenology, rng: np.random.Generator
) -> Single:
    """(N, 2) median of a dekad's VV and VH, linear power, NaN without any."""
    regions = np.arange(recipe.regions)
    every = np.where(regions % 10 < 10 * recipe.sparse_radar, 12, 6)
    angle = np.linspace(31, 45, recipe.regions, dtype=np.float32)[pixels.region]
    seen = [np.full((len(pixels.region), 2), np.nan, np.float32)]
    for day in days:
        here = (day.toordinal() + regions) % every == 0
        if not here.any():
            continue
        chosen = np.flatnonzero(here[pixels.region])
        wet = rng.normal(size=recipe.regions).astype(np.float32)[pixels.region[chosen]]
        share = pixels.share[chosen]
        power = np.zeros((2, len(chosen)), np.float32)
        for patch, part in ((pixels.own, 1 - share), (pixels.neighbour, share)):
            made = sigma0(phenology, _part(patch, chosen), None, day, "ascending", wet, angle[chosen])
            power += part * np.stack(made)
        power *= rng.gamma(recipe.looks, 1 / recipe.looks, power.shape).astype(np.float32)
        found = np.full((len(pixels.region), 2), np.nan, np.float32)
        found[chosen] = power.T
        seen.append(found)
    return _median(np.stack(seen))


def _part(patch: Patch, chosen: NDArray[np.int64]) -> Patch:
    return patch[(chosen,)]


def _median(stack: Single) -> Single:
    """Median over the first axis of what is not NaN; NaN where all is."""
    ordered = np.sort(stack, axis=0)  # NaN last
    count = np.isfinite(stack).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    high = np.minimum(high, len(stack) - 1)
    both = [np.take_along_axis(ordered, at[None], axis=0)[0] for at in (low, high)]
    return np.asarray((both[0] + both[1]) / np.float32(2), np.float32)


def _cut_ends(values: Single, parcel: NDArray[np.int64], recipe: Recipe, rng: np.random.Generator) -> None:
    """Take away the first or the last dekads of some parcels, of both sensors."""
    parcels = parcel.max() + 1
    cut = rng.random(parcels) < recipe.cut_ends
    late = rng.random(parcels) < 0.5
    length = rng.integers(1, 7, parcels)
    step = np.arange(values.shape[1])
    gone = np.where(
        late[parcel, None],
        step >= values.shape[1] - length[parcel, None],
        step < length[parcel, None],
    )
    values[gone & cut[parcel, None]] = np.nan
