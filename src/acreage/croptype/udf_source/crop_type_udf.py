"""The crop type model as an openEO UDF: feature definition, networks, model file reader, `apply_datacube`.

This file is complete in itself: it needs numpy, PyTorch and xarray and nothing of `acreage`, so that any
openEO back end can run its text. Training imports the very same functions, so that the features a model was
trained on and the features it sees in a job cannot drift apart.

Context of the UDF (all of it is data, no code):

- ``model``: path, or ``file://``, ``http://`` or ``https://`` address of the model file;
- ``model_sha256``: hex digest which that file must have;
- ``batch_pixels`` (optional, 2048): pixels of one batch; every batch has this shape, the last one is padded;
- ``threads`` (optional, 1): threads that PyTorch may use in this process.

Input: dimensions t, bands, y, x (any order). S2 bands are reflectance x 10000, VV and VH linear power (or
decibels, where the model was trained on decibels), DEM metres, CROPLAND 1 = cropland, 0 = not, NaN = outside.
Missing observations are NaN, and so is the elevation of a pixel that no elevation tile covers.
Output: dimensions bands, y, x, uint8, bands ``class`` and ``confidence``. Confidence is 100 times the
probability of the class, rounded; 255 where there is no class.
"""

import functools
import hashlib
import io
import json
import math
import pickle
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse
from urllib.request import urlopen

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

FILE_FORMAT = "acreage-crop-type-model"
FILE_VERSION = 1
MASK_BAND = "CROPLAND"
OUTPUT_BANDS = ("class", "confidence")
CODE_OUTSIDE, CODE_NOT_CROPLAND, CODE_NO_OBSERVATION = 0, 254, 255
NO_CONFIDENCE = 255
STATIC_SENSORS = ("DEM",)

Float = NDArray[np.float32]


# ---------------------------------------------------------------------------------------------- features


def sensor_of(band: str) -> str:
    """The sensor whose observations a band shares: a step of a sensor is observed whole or not at all."""
    if re.fullmatch(r"B\d[\dA]", band):
        return "S2"
    if band in ("VV", "VH", "HH", "HV"):
        return "S1"
    if band in STATIC_SENSORS:
        return band
    raise ValueError(f"band {band!r} belongs to no known sensor; known: B01..B12, B8A, VV, VH, HH, HV, DEM")


@dataclass(frozen=True)
class Channel:
    """One input of the network: ``(transform(sources) - offset) / scale``."""

    name: str
    kind: str
    """``linear`` (the value), ``decibel`` (10 log10), ``normalized_difference`` ((a - b) / (a + b))."""
    sources: tuple[str, ...]
    offset: float = 0.0
    scale: float = 1.0

    @property
    def sensor(self) -> str:
        """The sensor of its source bands."""
        return sensor_of(self.sources[0])


@dataclass(frozen=True)
class FeatureSpec:
    """What a model reads: bands and dekads of the cube, in this order, and the channels made of them."""

    bands: tuple[str, ...]
    dekads: tuple[str, ...]
    """First days of the dekads as MM-DD, in the season's order (a season may cross the new year)."""
    channels: tuple[Channel, ...]

    @property
    def s1_unit(self) -> str:
        """Unit of the backscatter that is read: ``linear`` power, or ``db`` where it comes in decibels."""
        kinds = {c.kind for c in self.channels if c.sensor == "S1"}
        return "db" if kinds == {"linear"} else "linear"

    @property
    def temporal(self) -> tuple[Channel, ...]:
        """Channels with a time series."""
        return tuple(c for c in self.channels if c.sensor not in STATIC_SENSORS)

    @property
    def static(self) -> tuple[Channel, ...]:
        """Channels with one value a pixel."""
        return tuple(c for c in self.channels if c.sensor in STATIC_SENSORS)

    @property
    def sensors(self) -> tuple[str, ...]:
        """Sensors with a time series, in the order of their mask channels."""
        return tuple(dict.fromkeys(c.sensor for c in self.temporal))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, as stored in the model file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "FeatureSpec":
        """The definition from its stored form."""
        channels = tuple(Channel(**{**c, "sources": tuple(c["sources"])}) for c in data["channels"])
        return cls(tuple(data["bands"]), tuple(data["dekads"]), channels)


@dataclass(frozen=True)
class Features:
    """Network input of N pixels. Nothing in it depends on what a missing observation's value was."""

    series: Float
    """(N, channels + sensors, T): scaled values, 0 where missing, then one 0/1 observed channel a sensor."""
    static: Float
    """(N, static channels + static sensors), same convention."""
    observed: NDArray[np.bool_]
    """(N, sensors, T)."""


def _usable(values: Float, spec: FeatureSpec, sensor: str) -> NDArray[np.bool_]:
    """(N, T): every band of the sensor is finite, and positive where its logarithm is taken."""
    index = [i for i, band in enumerate(spec.bands) if sensor_of(band) == sensor]
    part = values[:, :, index]
    usable = np.isfinite(part)
    powers = {band for c in spec.channels if c.kind == "decibel" for band in c.sources}
    with np.errstate(invalid="ignore"):
        for place, i in enumerate(index):
            if spec.bands[i] in powers:
                usable[:, :, place] &= part[:, :, place] > 0
    return np.asarray(usable.all(axis=2))


def raw_channel(
    values: Float, spec: FeatureSpec, channel: Channel, usable: NDArray[np.bool_] | None = None
) -> Float:
    """A channel before scaling, (N, T) float32, NaN where its sensor has no usable observation.

    `usable` spares the test for that where the caller has its result, (N, T).
    """
    if usable is None:
        usable = _usable(values, spec, channel.sensor)
    a, *rest = (np.where(usable, values[:, :, spec.bands.index(s)], np.float32(1)) for s in channel.sources)
    if channel.kind == "linear":
        out = a
    elif channel.kind == "decibel":
        out = np.float32(10) * np.log10(a)
    elif channel.kind == "normalized_difference":
        total = a + rest[0]
        out = (a - rest[0]) / np.where(total == 0, np.float32(1), total)
    else:
        raise ValueError(f"channel {channel.name!r} has the unknown kind {channel.kind!r}")
    return np.where(usable, out, np.float32(np.nan)).astype(np.float32)


def features(values: Float, spec: FeatureSpec) -> Features:
    """Network input from cube values.

    `values`: (N, T, bands) float32 in the order of `spec.bands` and `spec.dekads`, NaN where missing.
    """
    n, steps = values.shape[:2]
    observed = np.zeros((n, len(spec.sensors), steps), bool)
    for i, sensor in enumerate(spec.sensors):
        observed[:, i] = _usable(values, spec, sensor)
    series = np.zeros((n, len(spec.temporal) + len(spec.sensors), steps), np.float32)
    for i, channel in enumerate(spec.temporal):
        usable = observed[:, spec.sensors.index(channel.sensor)]
        series[:, i] = _scaled(raw_channel(values, spec, channel, usable), channel)
    series[:, len(spec.temporal) :] = observed
    static = np.zeros((n, 2 * len(spec.static)), np.float32)
    for i, channel in enumerate(spec.static):
        value, known = _first_known(raw_channel(values, spec, channel))
        static[:, 2 * i] = _scaled(value, channel)
        static[:, 2 * i + 1] = known
    return Features(series, static, observed)


def _scaled(raw: Float, channel: Channel) -> Float:
    scaled = (raw - np.float32(channel.offset)) / np.float32(channel.scale)
    # Far outliers (a cloud's edge, a radio interference) carry no more than "very high"; they must not rule.
    return np.asarray(np.clip(np.nan_to_num(scaled, nan=0.0), -6, 6), np.float32)


def _first_known(raw: Float) -> tuple[Float, NDArray[np.bool_]]:
    known = np.isfinite(raw)
    first = known.argmax(axis=1)
    return np.asarray(raw[np.arange(len(raw)), first]), np.asarray(known.any(axis=1))


def dekad_of(label: Any) -> str:
    """MM-DD of the first day of the dekad that a time label names.

    Understands dates (datetime64, ISO text) and openEO's dekad labels ``YYYY-01`` .. ``YYYY-36``.
    """
    text = str(label.astype("datetime64[D]")) if isinstance(label, np.datetime64) else str(label)
    if date := re.match(r"\d{4}-(\d{2})-(\d{2})", text):
        return f"{date[1]}-{(1, 11, 21)[min((int(date[2]) - 1) // 10, 2)]:02d}"
    if (ordinal := re.fullmatch(r"\d{4}-(\d{2})", text)) and 1 <= int(ordinal[1]) <= 36:
        month, third = divmod(int(ordinal[1]) - 1, 3)
        return f"{month + 1:02d}-{(1, 11, 21)[third]:02d}"
    raise ValueError(f"time label {text!r} is neither a date nor a dekad label YYYY-01 .. YYYY-36")


def differences(spec: FeatureSpec, bands: list[str], labels: list[Any]) -> list[str]:
    """Everything in which a cube's bands and time labels differ from what a model reads; empty if nothing."""
    found = []
    if missing := [b for b in spec.bands if b not in bands]:
        found.append(
            f"bands missing from the cube: {', '.join(missing)} (it has {', '.join(bands) or 'none'})"
        )
    dekads = [dekad_of(label) for label in labels]
    if lacking := [d for d in spec.dekads if d not in dekads]:
        found.append(f"dekads missing from the cube: {', '.join(lacking)}")
    if extra := [d for d in dekads if d not in spec.dekads]:
        found.append(f"dekads the model does not know: {', '.join(extra)}")
    if not lacking and not extra and dekads != list(spec.dekads):
        found.append(f"dekads in another order or repeated: {', '.join(dekads)}")
    return found


# ---------------------------------------------------------------------------------------------- networks


class TemporalCnn(nn.Module):
    """Convolutions over the season, after Pelletier et al. 2019 (TempCNN), with mask channels as inputs.

    ``forward``: series (N, C, T) and static (N, S) float32 to logits (N, classes).
    """

    def __init__(
        self,
        channels: int,
        steps: int,
        static: int,
        classes: int,
        width: int = 48,
        kernel: int = 5,
        hidden: int = 96,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(2):
            layers += [
                nn.Conv1d(channels if i == 0 else width, width, kernel, padding=kernel // 2),
                nn.BatchNorm1d(width),
                nn.ReLU(),
                nn.Dropout(dropout),
            ]
        self.convolutions = nn.Sequential(*layers, nn.AvgPool1d(2, ceil_mode=True))
        self.head = nn.Sequential(
            nn.Linear(width * math.ceil(steps / 2) + static, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )

    def forward(self, series: Tensor, static: Tensor) -> Tensor:
        """Logits (N, classes)."""
        encoded = self.convolutions(series).flatten(1)
        return torch.as_tensor(self.head(torch.cat([encoded, static], dim=1)))


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "temporal_cnn": TemporalCnn,
}
"""Architectures a model file may name. A worker has only this file, so a new one is added here."""


class Ensemble(nn.Module):
    """Mean probability of networks trained on different parts of the samples: series, static to (N, K)."""

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, series: Tensor, static: Tensor) -> Tensor:
        """Probabilities (N, classes), of logits of every member."""
        return torch.stack([m(series, static).softmax(dim=1) for m in self.members]).mean(dim=0)


def build_network(
    architecture: str, settings: dict[str, Any], spec: FeatureSpec, classes: int, members: int = 1
) -> Ensemble:
    """A network of that architecture, sized for a feature definition; weights from torch's random state."""
    if architecture not in NETWORKS:
        raise ValueError(f"unknown architecture {architecture!r}; known: {', '.join(sorted(NETWORKS))}")
    channels = len(spec.temporal) + len(spec.sensors)
    static = 2 * len(spec.static)
    make = NETWORKS[architecture]
    return Ensemble([make(channels, len(spec.dekads), static, classes, **settings) for _ in range(members)])


# -------------------------------------------------------------------------------------------- model files


@dataclass(frozen=True)
class Classifier:
    """A model ready to run: feature definition, network in evaluation mode, class code of each output."""

    spec: FeatureSpec
    network: Ensemble
    codes: NDArray[np.uint8]

    def probabilities(self, values: Float, batch_pixels: int = 2048) -> Float:
        """(N, classes) float32 for cube values (N, T, bands); batches of one fixed shape, last one padded."""
        out = np.empty((len(values), len(self.codes)), np.float32)
        for start in range(0, len(values), batch_pixels):
            part = values[start : start + batch_pixels]
            short = batch_pixels - len(part)
            out[start : start + len(part)] = self._batch(np.pad(part, ((0, short), (0, 0), (0, 0))))[
                : len(part)
            ]
        return out

    def _batch(self, values: Float) -> Float:
        inputs = features(values, self.spec)
        with torch.inference_mode():
            result = self.network(torch.from_numpy(inputs.series), torch.from_numpy(inputs.static))
        return np.asarray(result.numpy(), np.float32)

    def classify(
        self, values: Float, batch_pixels: int = 2048
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Class codes and confidences (0..100), each (N,) uint8."""
        probabilities = self.probabilities(values, batch_pixels)
        confidence = np.rint(100 * probabilities.max(axis=1, initial=0)).astype(np.uint8)
        return self.codes[probabilities.argmax(axis=1)] if len(values) else confidence, confidence


def _check_content(content: bytes) -> None:
    """ValueError for bytes that were cut short or changed; PyTorch itself does not look at checksums."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error, OSError) as error:
        raise ValueError("the model file cannot be read: it is no model file, or damaged") from error
    if damaged is not None:
        raise ValueError(f"the model file cannot be read: it is damaged ({damaged} has another checksum)")


def read_model(content: bytes) -> tuple[dict[str, Any], Classifier]:
    """Metadata and runnable model out of a model file's bytes; ValueError says why it cannot be used."""
    _check_content(content)
    try:
        stored = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if not isinstance(stored, dict) or stored.get("format") != FILE_FORMAT:
            raise ValueError("it is not a crop type model")
        if stored.get("version") != FILE_VERSION:
            raise ValueError(
                f"it has format version {stored.get('version')!r}, this code reads {FILE_VERSION}"
            )
        metadata = json.loads(stored["metadata"])
        spec = FeatureSpec.from_dict(metadata["features"])
        codes = np.array([c["code"] for c in metadata["legend"]["classes"]], np.uint8)
        net = metadata["network"]
        network = build_network(net["architecture"], net["settings"], spec, len(codes), net["members"])
        network.load_state_dict(stored["state"])
    except (
        ValueError,
        KeyError,
        TypeError,
        RuntimeError,
        EOFError,
        OSError,
    ) as error:
        raise ValueError(f"the model file cannot be read: {error}") from error
    except pickle.UnpicklingError as error:
        # PyTorch's own message advises to read the file with its code switched on.
        raise ValueError(
            "the model file cannot be read: it holds other things than text and numbers"
        ) from error
    network.eval()
    return metadata, Classifier(spec, network, codes)


@functools.lru_cache(maxsize=4)
def load_classifier(path: str, sha256: str) -> Classifier:
    """The model at a path, checked against its digest; once per process, however many windows follow."""
    address = urlparse(path)
    try:
        if address.scheme in ("http", "https"):
            with urlopen(path, timeout=120) as response:
                content = response.read()
        elif address.scheme in ("", "file"):
            content = Path(unquote(address.path) if address.scheme else path).read_bytes()
        else:
            raise ValueError(f"context 'model' must be a path or a file, http or https address, not {path!r}")
    except OSError as error:
        raise ValueError(f"the model {path} cannot be read: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.lower():
        raise ValueError(f"model {path} has sha256 {found}, but the job was made for {sha256}")
    return read_model(content)[1]


# ---------------------------------------------------------------------------------------------------- UDF


def apply_metadata(metadata: Any, context: dict[str, Any]) -> Any:
    """The bands of the result, for back ends that ask before they run (`openeo.metadata.CubeMetadata`)."""
    return metadata.rename_labels(dimension="bands", target=list(OUTPUT_BANDS))


# openEO's client looks at the annotations themselves: both must be xarray.DataArray, and real classes, not
# text.
def apply_datacube(cube: xr.DataArray, context: dict[str, Any]) -> xr.DataArray:
    """Class and confidence of every pixel; see the module's text for input, output and context."""
    for key in ("model", "model_sha256"):
        if not isinstance(context.get(key), str):
            raise ValueError(
                f"the UDF's context needs {key!r} as text; it has: {', '.join(sorted(context)) or 'nothing'}"
            )
    torch.set_num_threads(int(context.get("threads", 1)))
    classifier = load_classifier(context["model"], context["model_sha256"])
    return classify_cube(cube, classifier, int(context.get("batch_pixels", 2048)))


def classify_cube(cube: xr.DataArray, classifier: Classifier, batch_pixels: int = 2048) -> xr.DataArray:
    """Output cube (bands, y, x) uint8 for an input cube with dimensions t, bands, y, x."""
    spec = classifier.spec
    if absent := [d for d in ("t", "bands", "y", "x") if d not in cube.dims]:
        raise ValueError(
            f"the cube lacks the dimension(s) {', '.join(absent)}; it has {', '.join(map(str, cube.dims))}"
        )
    bands = [str(b) for b in cube["bands"].values]
    found = differences(spec, bands, list(cube["t"].values))
    if MASK_BAND not in bands:
        found.insert(0, f"band {MASK_BAND} (1 = cropland) is missing from the cube")
    if found:
        raise ValueError("the cube does not match the model: " + "; ".join(found))
    data = cube.transpose("t", "bands", "y", "x").values
    mask, _ = _first_known(data[:, bands.index(MASK_BAND)].reshape(data.shape[0], -1).T.astype(np.float32))
    order = [bands.index(b) for b in spec.bands]
    out = np.full((2, mask.size), NO_CONFIDENCE, np.uint8)
    out[0] = np.where(
        np.isnan(mask), CODE_OUTSIDE, np.where(mask == 1, CODE_NO_OBSERVATION, CODE_NOT_CROPLAND)
    )
    pixels = _observed_pixels(data, np.flatnonzero(mask == 1), order, spec)
    for start in range(0, len(pixels), batch_pixels):
        part = pixels[start : start + batch_pixels]
        out[0, part], out[1, part] = classifier.classify(_gather(data, part, order), batch_pixels)
    coordinates = {d: cube.coords[d] for d in ("y", "x") if d in cube.coords}
    return xr.DataArray(
        out.reshape(2, *data.shape[2:]), {"bands": list(OUTPUT_BANDS), **coordinates}, ("bands", "y", "x")
    )


def _gather(data: NDArray[Any], pixels: NDArray[np.intp], order: list[int]) -> Float:
    """(n, T, bands) float32 of the pixels with these flat y-x indices, without copying the whole window."""
    y, x = np.divmod(pixels, data.shape[3])
    picked = np.stack([data[:, b][:, y, x] for b in order], axis=-1)
    return np.ascontiguousarray(picked.transpose(1, 0, 2), np.float32)


def _observed_pixels(
    data: NDArray[Any], pixels: NDArray[np.intp], order: list[int], spec: FeatureSpec, chunk: int = 65536
) -> NDArray[np.intp]:
    """Those of the pixels in which any sensor with a time series has any usable observation."""
    kept = []
    for start in range(0, len(pixels), chunk):
        part = pixels[start : start + chunk]
        values = _gather(data, part, order)
        seen = np.any([_usable(values, spec, s).any(axis=1) for s in spec.sensors], axis=0)
        kept.append(part[seen])
    return np.concatenate(kept) if kept else pixels
