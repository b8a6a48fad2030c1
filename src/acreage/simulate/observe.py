"""The forward model: what Sentinel-2 and Sentinel-1 see of a simulated landscape on a date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from acreage.simulate.landscape import Landscape, smooth_noise
from acreage.simulate.phenology import Cover, Phenology, double_logistics
from acreage.simulate.settings import Orbit, SceneSettings

S2_20M = ("rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22")
SCL_NODATA, SCL_SHADOW, SCL_VEGETATION, SCL_BARE = 0, 3, 4, 5
SCL_CLOUD_MEDIUM, SCL_CLOUD_HIGH, SCL_CIRRUS = 8, 9, 10
CLOUD_REFLECTANCE, CIRRUS_REFLECTANCE = 0.55, 0.30
SHADOW_DARKENING = 0.55
DESCENDING_DB = -0.4  # another incidence angle

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sky:
    """Clouds of a date at 10 m: optical opacity of clouds and of cirrus, darkness of shadows, all 0..1."""

    cloud: Float
    cirrus: Float
    shadow: Float


@dataclass(frozen=True, eq=False)
class OpticalImage:
    """One Sentinel-2 date.

    Attributes:
        bands: DN = reflectance x 10000, uint16, 0 is nodata; 10 m bands (H, W), 20 m bands (H/2, W/2).
        scl: scene classification, uint8, 20 m.
        cloud_cover: percentage of the valid pixels with SCL 8, 9 or 10.
    """

    bands: dict[str, NDArray[np.uint16]]
    scl: NDArray[np.uint8]
    cloud_cover: float


def surface(phenology: Phenology, land: Landscape, day: date) -> Float:
    """Reflectance of the ground (bands, rows, columns) at 10 m, 0..1, without atmosphere or noise."""
    out = np.empty((len(phenology.bands), *land.box.shape))
    for cover, where, shift in _covers_on(phenology, land):
        days = day.timetuple().tm_yday - shift
        out[:, where] = phenology.reflectance(cover, days, land.vigour[where].astype(np.float64))
    return out


def sky(settings: SceneSettings, land: Landscape, index: int) -> Sky:
    """Clouds, cirrus and shadows of the S2 date with this index in the season."""
    rng = settings.rng("sky", index)
    kind, amount = rng.random(), rng.beta(1.2, 1.6)
    # Four dates in ten are clear, three partly cloudy, three overcast; as in a western European year.
    cover = 0.0 if kind < 0.4 else (0.75 * amount if kind < 0.7 else 0.8 + 0.2 * amount)
    cover = min(1.0, cover * settings.cloudy)
    shape = land.box.shape
    density = smooth_noise(rng, shape, max(shape[1] / 16, 3.0)) + 0.25 * smooth_noise(rng, shape, 3.0)
    cloud = _opacity(density, cover)
    has_cirrus = rng.random() < 0.12 * min(1.0, settings.cloudy)
    veil = _opacity(smooth_noise(rng, shape, max(shape[1] / 6, 3.0)), 0.6) if has_cirrus else np.zeros(shape)
    east, north = rng.integers(-30, -8), rng.integers(10, 35)
    shadow = np.roll(cloud, (-north, east), axis=(0, 1)) if cover > 0 else np.zeros(shape)
    return Sky(cloud, veil, shadow * (1.0 - cloud))


def observe_optical(
    settings: SceneSettings, phenology: Phenology, land: Landscape, day: date, index: int
) -> OpticalImage:
    """A Sentinel-2 L2A date: surface, shadows, clouds, noise, sampling to 20 m, and the swath's edge."""
    clouds = sky(settings, land, index)
    ground = surface(phenology, land, day)
    seen = ground * (1.0 - SHADOW_DARKENING * clouds.shadow)
    seen += clouds.cirrus * (CIRRUS_REFLECTANCE - seen) * 0.35
    seen += clouds.cloud * (CLOUD_REFLECTANCE - seen)
    rng = settings.rng("noise", index)
    outside = _outside_swath(settings, land, index)
    bands: dict[str, NDArray[np.uint16]] = {}
    for i, name in enumerate(phenology.bands):
        values = _mean2(seen[i]) if name in S2_20M else seen[i]
        values = values + rng.normal(0.0, settings.noise, values.shape) * np.sqrt(0.25 + values * 3)
        gone = outside[::2, ::2] if name in S2_20M else outside
        dn = np.clip(np.rint(values * 10000), 1, 16000)
        bands[name] = np.where(gone, 0, dn).astype(np.uint16)
    red, nir = (phenology.bands.index(b) for b in ("red", "nir"))
    scl = _scene_classes(clouds, _mean2(ground[red]), _mean2(ground[nir]))
    scl[outside[::2, ::2]] = SCL_NODATA
    valid = int((scl != SCL_NODATA).sum())
    cloudy = int(np.isin(scl, (SCL_CLOUD_MEDIUM, SCL_CLOUD_HIGH, SCL_CIRRUS)).sum())
    return OpticalImage(bands, scl, round(100.0 * cloudy / valid, 2) if valid else 100.0)


def observe_radar(
    settings: SceneSettings, phenology: Phenology, land: Landscape, day: date, index: int, orbit: Orbit
) -> dict[str, NDArray[np.float32]]:
    """A Sentinel-1 date: sigma0, linear power, VV and VH at 20 m, with soil moisture and speckle."""
    rng = settings.rng("radar", index)
    wetness = float(rng.normal(0.0, 0.7))
    out = {}
    for name in ("vv", "vh"):
        level = np.empty(land.box.shape)
        for cover, where, shift in _covers_on(phenology, land):
            days = day.timetuple().tm_yday - shift
            curve: Float = (cover.vv if name == "vv" else cover.vh).on(days)
            # Moisture shows where the soil does.
            level[where] = curve + wetness * (1.0 - 0.7 * _green(cover, days))
        if orbit == "descending":
            level += DESCENDING_DB
        power = _mean2(10.0 ** (level / 10.0))
        if settings.looks > 0:
            power = power * rng.gamma(settings.looks, 1.0 / settings.looks, power.shape)
        out[name] = power.astype(np.float32)
    return out


def _covers_on(phenology: Phenology, land: Landscape) -> list[tuple[Cover, NDArray[np.bool_], Float]]:
    """Every cover that occurs: (cover, its pixels, shift in days of each of them)."""
    by_name = {c.name: i for i, c in enumerate(phenology.covers)}
    kinds = np.array([*(by_name[n] for n in land.parcels["label"]), by_name["grassland"]])[land.parcel]
    shifts = np.append(land.parcels["shift_days"].to_numpy(), 0.0)[land.parcel]
    return [(phenology.covers[k], kinds == k, shifts[kinds == k]) for k in np.unique(kinds)]


def _green(cover: Cover, days: Float) -> Float:
    return np.clip(double_logistics(cover.green, days), 0.0, 1.0)


def _opacity(density: Float, cover: float) -> Float:
    """Opacity 0..1 with this share of pixels above one half; it fades over a rim."""
    if cover <= 0:
        return np.zeros(density.shape)
    if cover >= 1:
        return np.ones(density.shape)
    edge = float(np.quantile(density, 1.0 - cover))
    return np.asarray(np.clip((density - edge) / 0.5 + 0.5, 0.0, 1.0))


def _scene_classes(clouds: Sky, red: Float, nir: Float) -> NDArray[np.uint8]:
    """SCL at 20 m. Thin rims (opacity under 0.25) go unseen, as they do in the real product."""
    cloud, cirrus, shadow = _mean2(clouds.cloud), _mean2(clouds.cirrus), _mean2(clouds.shadow)
    scl = np.where((nir - red) / (nir + red) > 0.45, SCL_VEGETATION, SCL_BARE)
    scl[shadow > 0.4] = SCL_SHADOW
    scl[cirrus > 0.4] = SCL_CIRRUS
    scl[cloud > 0.25] = SCL_CLOUD_MEDIUM
    scl[cloud > 0.7] = SCL_CLOUD_HIGH
    return scl.astype(np.uint8)


def _outside_swath(settings: SceneSettings, land: Landscape, index: int) -> NDArray[np.bool_]:
    """Pixels beyond a slanted swath edge, in whole 20 m pixels."""
    rows, columns = land.box.shape
    every = settings.swath_edge_every
    if every == 0 or index % every != every - 1:
        return np.zeros((rows, columns), bool)
    place = settings.rng("swath", index).uniform(0.3, 0.8)
    y, x = np.mgrid[0 : rows // 2, 0 : columns // 2]
    beyond = x > place * columns / 2 - 0.2 * (y - rows / 4)
    return np.asarray(np.kron(beyond, np.ones((2, 2), bool)))


def _mean2(values: Float) -> Float:
    """Means of 2 x 2 pixels."""
    rows, columns = values.shape
    return np.asarray(values.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3)))
