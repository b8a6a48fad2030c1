"""The feature definition of a model, fitted to its training samples.

The transformation itself stands in the UDF's own file, which training and inference share.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from acreage.core.errors import InvalidInput
from acreage.croptype.series import Samples
from acreage.croptype.udf_source.crop_type_udf import (
    Channel,
    Features,
    FeatureSpec,
    features,
    raw_channels,
    sensor_of,
)

__all__ = ["Channel", "FeatureSpec", "Features", "feature_matrix", "features", "fit_features"]

INDICES = (
    ("NDVI", "B08", "B04"),
    ("NDMI", "B08", "B11"),
    ("NDRE", "B08", "B05"),
    ("NDYI", "B03", "B02"),
)
"""Normalised differences: vegetation, moisture, red edge, yellowness (rapeseed in flower)."""


def default_channels(bands: tuple[str, ...], s1_unit: str = "linear") -> tuple[Channel, ...]:
    """Unscaled channels that can be made of these bands: S2 bands and indices, S1 in decibel, DEM.

    Args:
        bands: of the series.
        s1_unit: `linear` where S1 comes in linear power, `db` where it comes in decibels.

    Raises:
        InvalidInput: a band of no known sensor.
    """
    try:
        sensors = {band: sensor_of(band) for band in bands}
    except ValueError as error:
        raise InvalidInput(f"The series cannot be used: {error}.") from error
    optical = [Channel(b, "linear", (b,)) for b in bands if sensors[b] == "S2"]
    indices = [
        Channel(name, "normalized_difference", (a, b)) for name, a, b in INDICES if a in bands and b in bands
    ]
    kind = "linear" if s1_unit == "db" else "decibel"
    radar = [Channel(b, kind, (b,)) for b in bands if sensors[b] == "S1"]
    terrain = [Channel(b, "linear", (b,)) for b in bands if sensors[b] == "DEM"]
    if not optical and not radar:
        raise InvalidInput("The series have neither Sentinel-2 nor Sentinel-1 bands.")
    return (*optical, *indices, *radar, *terrain)


def fit_features(samples: Samples) -> FeatureSpec:
    """Feature definition of a model: the samples' bands and dekads, each channel scaled to mean 0 and
    standard deviation 1 over every usable observation of the samples.
    """
    dekads = tuple(d.strftime("%m-%d") for d in samples.dekads)
    if len(set(dekads)) != len(dekads):
        raise InvalidInput(
            f"The series reach over more than a year ({samples.dekads[0]} to {samples.dekads[-1]}).",
            hint="Choose a season within one year, with --season.",
        )
    spec = FeatureSpec(samples.bands, dekads, default_channels(samples.bands, samples.s1_unit))
    fitted = []
    for channel, values in zip(spec.channels, raw_channels(samples.values, spec), strict=True):
        known = values[np.isfinite(values)].astype(np.float64)
        if known.size == 0:
            raise InvalidInput(f"No sample has a usable observation of {channel.name}.")
        fitted.append(replace(channel, offset=float(known.mean()), scale=float(known.std()) or 1.0))
    return replace(spec, channels=tuple(fitted))


def feature_matrix(values: NDArray[np.float32], spec: FeatureSpec) -> NDArray[np.float32]:
    """The same features as one row a sample, NaN where missing: what classical classifiers take.

    (N, channels x T + static channels) float32 for values (N, T, bands).
    """
    made = features(values, spec)
    count = len(spec.temporal)
    sensor = [spec.sensors.index(c.sensor) for c in spec.temporal]
    series = np.where(made.observed[:, sensor], made.series[:, :count], np.float32(np.nan))
    static = np.where(made.static[:, 1::2] > 0, made.static[:, ::2], np.float32(np.nan))
    return np.concatenate([series.reshape(len(values), -1), static], axis=1)
