"""The crop type model as an openEO UDF: feature definition, networks, model file reader, `apply_datacube`.

This file is complete in itself: it needs numpy, PyTorch and xarray and nothing of `acreage`, so that any
openEO back end can run its text. Training imports the very same functions, so that the features a model was
trained on and the features it sees in a job cannot drift apart.

Context of the UDF (all of it is data, no code):

- ``model``: path, or ``file://``, ``http://`` or ``https://`` address of the model file;
- ``model_sha256``: hex digest which that file must have;
- ``batch_pixels`` (optional, 1024): pixels of one batch; every batch has this shape, the last one is padded;
- ``threads`` (optional, 1): threads that PyTorch may use in this process;
- ``device`` (optional, ``auto``): ``cpu``, ``cuda``, or ``auto``, which takes CUDA where there is a device;
- ``precision`` (optional, ``auto``): ``fp32``, ``bf16``, or ``auto``, which takes bf16 where the processor
  multiplies in it and the model file records that the classes agree.

Input: dimensions t, bands, y, x (any order). S2 bands are reflectance x 10000, VV and VH linear power (or
decibels, where the model was trained on decibels), DEM metres, CROPLAND 1 = cropland, 0 = not, NaN = outside.
Missing observations are NaN, and so is the elevation of a pixel that no elevation tile covers.
Output: dimensions bands, y, x, uint8, bands ``class`` and ``confidence``. Confidence is 100 times the
probability of the class, rounded; 255 where there is no class.
"""

import copy
import functools
import hashlib
import io
import itertools
import json
import math
import pickle
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

FILE_FORMAT = "acreage-crop-type-model"
FILE_VERSION = 1
MASK_BAND = "CROPLAND"
OUTPUT_BANDS = ("class", "confidence")
CODE_OUTSIDE, CODE_NOT_CROPLAND, CODE_NO_OBSERVATION = 0, 254, 255
NO_CONFIDENCE = 255
BATCH_PIXELS = 1024
LIMIT = 6.0
"""Scaled values are cut off here: far outliers (a cloud's edge, a radio interference) must not rule."""
PRECISIONS = ("auto", "fp32", "bf16")
DEVICES = ("auto", "cpu", "cuda")
BF16_DISAGREEMENT = 0.002
"""Greatest share of samples whose class may change for ``auto`` to choose bf16."""
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
    """(N, channels + sensors, T): scaled values, 0 where missing, then one 0/1 observed channel a sensor.

    In memory the pixels lie side by side: it is the view of an array (T, channels + sensors, N)."""
    static: Float
    """(N, static channels + static sensors), same convention."""
    observed: NDArray[np.bool_]
    """(N, sensors, T)."""


@dataclass(frozen=True)
class _Run:
    """Channels next to each other that one operation makes of bands next to each other."""

    kind: str
    channels: slice
    sources: tuple[slice, ...]


class FeatureMaker:
    """A feature definition as operations on tensors (T, bands, N): training and inference both call it.

    Pixels are the last axis, so that every operation runs over long rows; a batch stays in the processor's
    cache. An observation is usable where all bands of its sensor are finite (and so is their sum), and
    positive where a logarithm is taken.
    """

    def __init__(self, spec: FeatureSpec, device: str = "cpu") -> None:
        self.spec = spec
        self.channels = len(spec.temporal)
        self.runs = _runs(spec)
        self.ratios = tuple(_stretches([c.kind == "normalized_difference" for c in spec.temporal]))
        self.bands_of = {s: [i for i, b in enumerate(spec.bands) if sensor_of(b) == s] for s in spec.sensors}
        powers = {b for c in spec.channels if c.kind == "decibel" for b in c.sources}
        self.powers_of = {s: [i for i in at if spec.bands[i] in powers] for s, at in self.bands_of.items()}
        self.factor = torch.tensor([[1 / c.scale] for c in spec.temporal], device=device)
        self.offset = torch.tensor([[c.offset / c.scale] for c in spec.temporal], device=device)

    def empty(self, pixels: int, device: str = "cpu") -> Tensor:
        """An uninitialised series (T, channels + sensors, pixels) to be filled by `fill`."""
        shape = (len(self.spec.dekads), self.channels + len(self.spec.sensors), pixels)
        return torch.empty(shape, device=device)

    def usable(self, raw: Tensor, sensor: str) -> Tensor:
        """(T, N) bool: the sensor's observation can be used; `raw` is (T, bands, N)."""
        found = _sum(raw, self.bands_of[sensor]).abs_() < math.inf
        for i in self.powers_of[sensor]:
            found &= raw[:, i] > 0
        return found

    def multiplied(self, raw: Tensor, out: Tensor, factor: Tensor) -> None:
        """Write channels times `factor` (channels, 1) into `out` (T, channels, N), anything where missing."""
        for run in self.runs:
            target, times = out[:, run.channels], factor[run.channels]
            a = raw[:, run.sources[0]]
            if run.kind == "linear":
                torch.mul(a, times, out=target)
            elif run.kind == "decibel":
                torch.log10(a, out=target).mul_(10 * times)
            else:
                b = raw[:, run.sources[1]]
                torch.sub(a, b, out=target).div_(a + b)
        for several in self.ratios:
            # Two zeros have no difference; a pair that cancels out ends at the limit, as its sign says.
            out[:, several].nan_to_num_(nan=0.0).mul_(factor[several])

    def fill(self, raw: Tensor, out: Tensor) -> Tensor:
        """Write the series of a batch into `out`; (N,) bool, whether anything was observed.

        `raw` (T, bands, N) float32; `out` as `empty` makes it.
        """
        values = out[:, : self.channels]
        self.multiplied(raw, values, self.factor)
        values.sub_(self.offset).clamp_(-LIMIT, LIMIT)
        bits, seen = values.view(torch.int32), torch.zeros(raw.shape[2], dtype=torch.bool, device=raw.device)
        for i, sensor in enumerate(self.spec.sensors):
            usable = self.usable(raw, sensor)
            out[:, self.channels + i] = usable
            seen |= usable.any(dim=0)
            # All bits or none: zero whatever was there, not-a-number as well; far faster than a choice.
            keep = usable.to(torch.int32).neg_().unsqueeze(1)
            for run in _stretches([c.sensor == sensor for c in self.spec.temporal]):
                bits[:, run].bitwise_and_(keep)
        return seen

    def static(self, raw: Tensor) -> Tensor:
        """(static channels + static sensors, N) of a batch: the first dekad with a value counts."""
        rows = []
        for channel in self.spec.static:
            value = first_known(raw[:, self.spec.bands.index(channel.sources[0])])
            known = value.isfinite()
            scaled = value.sub_(channel.offset).mul_(1 / channel.scale).clamp_(-LIMIT, LIMIT)
            rows += [torch.where(known, scaled, torch.zeros_like(scaled)), known.to(torch.float32)]
        return torch.stack(rows) if rows else raw.new_empty((0, raw.shape[2]))


def first_known(values: Tensor) -> Tensor:
    """(N,) copy: the first finite one of (T, N), NaN or infinite where there is none."""
    found = values[0].clone()
    for later in values[1:]:
        found = torch.where(found.isfinite(), found, later)
    return found


def _sum(raw: Tensor, index: list[int]) -> Tensor:
    """(T, N) sum of bands of (T, bands, N); a few are faster one by one."""
    if len(index) < 4:
        total = raw[:, index[0]].clone()
        for i in index[1:]:
            total.add_(raw[:, i])
        return total
    whole = slice(index[0], index[-1] + 1)
    return (raw[:, whole] if len(index) == whole.stop - whole.start else raw[:, index]).sum(dim=1)


def _stretches(chosen: Sequence[bool]) -> Iterator[slice]:
    """Slices that cover the true entries."""
    start = None
    for i, here in enumerate([*chosen, False]):
        if here and start is None:
            start = i
        elif not here and start is not None:
            yield slice(start, i)
            start = None


def _runs(spec: FeatureSpec) -> tuple[_Run, ...]:
    runs: list[_Run] = []
    for i, channel in enumerate(spec.temporal):
        if channel.kind not in ("linear", "decibel", "normalized_difference"):
            raise ValueError(f"channel {channel.name!r} has the unknown kind {channel.kind!r}")
        at = [spec.bands.index(s) for s in channel.sources]
        last = runs[-1] if runs else None
        if last and last.kind == channel.kind and [s.stop for s in last.sources] == at:
            sources = tuple(slice(s.start, s.stop + 1) for s in last.sources)
            runs[-1] = _Run(channel.kind, slice(last.channels.start, i + 1), sources)
        else:
            runs.append(_Run(channel.kind, slice(i, i + 1), tuple(slice(b, b + 1) for b in at)))
    return tuple(runs)


def _pixels_last(values: Float, size: int) -> Tensor:
    """(T, bands, size) of values (N, T, bands), N at most size; NaN behind them."""
    raw = np.full((*values.shape[1:], size), np.nan, np.float32)
    raw[..., : len(values)] = values.transpose(1, 2, 0)
    return torch.from_numpy(raw)


def _rounded(count: int) -> int:
    # Whole rows of vector registers: the end of an array may be computed by other instructions.
    return -(-max(count, 1) // 64) * 64


def raw_channels(values: Float, spec: FeatureSpec) -> list[Float]:
    """Every channel of `spec.channels` before scaling, (N, T) float32 each, NaN where not usable.

    `values`: (N, T, bands) float32 in the order of `spec.bands` and `spec.dekads`, NaN where missing.
    """
    maker, count = FeatureMaker(spec), len(values)
    raw = _pixels_last(values, _rounded(count))
    out = maker.empty(raw.shape[2])[:, : maker.channels]
    maker.multiplied(raw, out, torch.ones_like(maker.factor))
    usable = {s: maker.usable(raw, s).numpy() for s in spec.sensors}
    made = {
        c.name: np.where(usable[c.sensor], out[:, i].numpy(), np.float32(np.nan))
        for i, c in enumerate(spec.temporal)
    }
    for c in spec.static:
        band = raw[:, spec.bands.index(c.sources[0])].numpy()
        made[c.name] = np.where(np.isfinite(band), band, np.float32(np.nan))
    return [made[c.name][:, :count].T for c in spec.channels]


def features(values: Float, spec: FeatureSpec) -> Features:
    """Network input from cube values.

    `values`: (N, T, bands) float32 in the order of `spec.bands` and `spec.dekads`, NaN where missing.
    """
    maker, count = FeatureMaker(spec), len(values)
    raw = _pixels_last(values, _rounded(count))
    out = maker.empty(raw.shape[2])
    maker.fill(raw, out)
    series = out.numpy()[:, :, :count].transpose(2, 1, 0)
    static = np.ascontiguousarray(maker.static(raw).numpy()[:, :count].T)
    return Features(series, static, series[:, maker.channels :] > 0)


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
    ``working_floats``, here and below: values a pixel that inference holds at once beside its input, at most.
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
        self.working_floats = steps * (channels + 4 * width)
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


class Gru(nn.Module):
    """A gated recurrent network over the season, read both ways; the mean of its states is classified.

    ``forward``: series (N, C, T) and static (N, S) float32 to logits (N, classes).
    """

    def __init__(
        self, channels: int, steps: int, static: int, classes: int, hidden: int = 64, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.recurrence = nn.GRU(channels, hidden, bidirectional=True)
        # Input, gates and states of both directions, and the states joined.
        self.working_floats = steps * (channels + 10 * hidden) + 2 * (2 * hidden + static)
        self.head = nn.Sequential(
            nn.BatchNorm1d(2 * hidden + static), nn.Dropout(dropout), nn.Linear(2 * hidden + static, classes)
        )

    def forward(self, series: Tensor, static: Tensor) -> Tensor:
        """Logits (N, classes)."""
        states, _ = self.recurrence(series.permute(2, 0, 1).contiguous())
        return torch.as_tensor(self.head(torch.cat([states.mean(dim=0), static], dim=1)))


class Transformer(nn.Module):
    """Attention between dekads with a learned place for each; the mean over the season is classified.

    ``forward``: series (N, C, T) and static (N, S) float32 to logits (N, classes).
    """

    def __init__(
        self,
        channels: int,
        steps: int,
        static: int,
        classes: int,
        width: int = 48,
        heads: int = 4,
        layers: int = 2,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.embedding = nn.Linear(channels, width)
        self.working_floats = steps * (channels + 9 * width) + 2 * heads * steps * steps
        self.place = nn.Parameter(0.02 * torch.randn(steps, width))
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 2 * width, dropout, batch_first=True)
            for _ in range(layers)
        )
        self.head = nn.Linear(width + static, classes)

    def forward(self, series: Tensor, static: Tensor) -> Tensor:
        """Logits (N, classes)."""
        tokens = self.embedding(series.permute(0, 2, 1)) + self.place
        for layer in self.encoder:
            tokens = layer(tokens)
        return torch.as_tensor(self.head(torch.cat([tokens.mean(dim=1), static], dim=1)))


class PatchMlp(nn.Module):
    """Patches of consecutive dekads, embedded alike, then one dense layer over the whole season.

    Made for throughput: all its arithmetic is products of large matrices. A patch is a stretch of memory of
    a series whose pixels lie side by side, so that nothing is copied to form it.

    ``forward``: series (N, C, T) and static (N, S) float32 to logits (N, classes).
    """

    def __init__(
        self,
        channels: int,
        steps: int,
        static: int,
        classes: int,
        patch: int = 6,
        stride: int = 3,
        width: int = 48,
        hidden: int = 128,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.patch = min(patch, steps)
        self.starts = _starts(steps, self.patch, stride)
        self.levels = ((self.patch, tuple(self.starts)),)
        self.working_floats = len(self.starts) * width + static + max(width, hidden + classes)
        self.embedding = nn.Sequential(
            nn.Linear(self.patch * channels, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)
        )
        self.head = nn.Sequential(
            nn.Linear(width * len(self.starts) + static, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )

    def forward(self, series: Tensor, static: Tensor) -> Tensor:
        """Logits (N, classes)."""
        n, dekads = len(series), series.permute(0, 2, 1)
        patches = [dekads[:, start : start + self.patch].reshape(n, -1) for start in self.starts]
        embedded = self.embedding(torch.cat(patches)).reshape(len(patches), n, -1)
        together = embedded.permute(1, 0, 2).reshape(n, -1)
        return torch.as_tensor(self.head(torch.cat([together, static], dim=1)))


class PatchCnn(nn.Module):
    """Patches of dekads, patches of those and of those again, a weighted mean over the season, a dense layer.

    As `PatchMlp`, made of products of large matrices. Each feature has a weight at every place of the season:
    near the mean at first, which hardly changes where a crop is early or late, and learned from there, since
    the calendar tells crops apart.

    ``forward``: series (N, C, T) and static (N, S) float32 to logits (N, classes).
    ``levels``: patch, stride and width of each level.
    """

    def __init__(
        self,
        channels: int,
        steps: int,
        static: int,
        classes: int,
        levels: Sequence[Sequence[int]] = ((3, 1, 40), (4, 2, 64), (4, 2, 128)),
        hidden: int = 128,
        dropout: float = 0.3,
        level_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        places, width, floats = steps, channels, [0]
        self.levels: tuple[tuple[int, tuple[int, ...]], ...] = ()
        self.embeddings = nn.ModuleList()
        for patch, stride, wider in levels:
            size = min(patch, places)
            starts = tuple(_starts(places, size, stride))
            self.levels += ((size, starts),)
            linear = nn.Linear(size * width, wider)
            self.embeddings.append(
                nn.Sequential(linear, nn.BatchNorm1d(wider), nn.ReLU(), nn.Dropout(level_dropout))
            )
            places, width = len(starts), wider
            floats.append(places * width)
        self.season = nn.Parameter((1 + 0.5 * torch.randn(places, width)) / places)
        self.working_floats = max(below + own for below, own in itertools.pairwise(floats))
        self.working_floats += static + max(hidden + classes, *(level[2] for level in levels))
        self.head = nn.Sequential(
            nn.Linear(width + static, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )

    def forward(self, series: Tensor, static: Tensor) -> Tensor:
        """Logits (N, classes)."""
        n, rows = len(series), series.permute(0, 2, 1)
        for (size, starts), layers in zip(self.levels, self.embeddings, strict=True):
            patches = torch.cat([rows[:, start : start + size].reshape(n, -1) for start in starts])
            rows = layers(patches).reshape(len(starts), n, -1).permute(1, 0, 2)
        return torch.as_tensor(self.head(torch.cat([(rows * self.season).sum(dim=1), static], dim=1)))


def _starts(steps: int, patch: int, stride: int) -> list[int]:
    """Where patches start; the last one ends with the steps."""
    last = steps - patch
    return [*range(0, last, stride), last]


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "patch_cnn": PatchCnn,
    "patch_mlp": PatchMlp,
    "temporal_cnn": TemporalCnn,
    "gru": Gru,
    "transformer": Transformer,
}
"""Architectures a model file may name. A worker has only this file, so a new one is added here."""


class Ensemble(nn.Module):
    """Mean probability of networks trained on different parts of the samples: series, static to (N, K)."""

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.working_floats = max(int(getattr(m, "working_floats", 0)) for m in members)

    def logits(self, series: Tensor, static: Tensor) -> Tensor:
        """(members, classes, N)."""
        return torch.stack([m(series, static).T for m in self.members])

    def forward(self, series: Tensor, static: Tensor) -> Tensor:
        """Probabilities (N, classes), of logits of every member."""
        return self.logits(series, static).softmax(dim=1).mean(dim=0).T


class MergedPatches(nn.Module):
    """An ensemble of `PatchMlp` or of `PatchCnn` as one network: the first layers of all are one product.

    Normalisations are part of the weights. Only for inference.
    """

    def __init__(self, members: Sequence[PatchMlp | PatchCnn]) -> None:
        super().__init__()
        plain = [fused(copy.deepcopy(m).eval()) for m in members]
        # In each member's own order: one layer a level, then two of the head.
        first, *others = zip(
            *([x for x in m.modules() if isinstance(x, nn.Linear)] for m in plain), strict=True
        )
        self.levels = members[0].levels
        seasons: list[Tensor] = [m.season for m in members if isinstance(m, PatchCnn)]
        self.season = _constant(torch.stack(seasons).unsqueeze(3)) if seasons else None
        self.working_floats = len(members) * members[0].working_floats
        self.embed = _constant(torch.cat([m.weight for m in first]))
        self.embed_bias = _constant(torch.stack([m.bias for m in first]).unsqueeze(2))
        self.weights = nn.ParameterList(_constant(torch.stack([m.weight for m in layer])) for layer in others)
        self.biases = nn.ParameterList(
            _constant(torch.stack([m.bias for m in layer]).unsqueeze(2)) for layer in others
        )

    def logits(self, series: Tensor, static: Tensor) -> Tensor:
        """(members, classes, N)."""
        rows = series.permute(2, 1, 0)
        for depth in range(len(self.levels)):
            rows = self._level(depth, rows, static)
        mixed = torch.baddbmm(self.biases[-2], self.weights[-2], rows).relu_()
        return torch.baddbmm(self.biases[-1], self.weights[-1], mixed)

    def _level(self, depth: int, given: Tensor, static: Tensor) -> Tensor:
        """(members, places x width, N); of the last level the weighted mean, if wanted, and static ones."""
        size, starts = self.levels[depth]
        n, last = given.shape[2], depth == len(self.levels) - 1
        bias = self.embed_bias if depth == 0 else self.biases[depth - 1]
        members, width, _ = bias.shape
        season = self.season if last else None
        places, extra = len(starts) if season is None else 1, static.shape[1] if last else 0
        rows = given.new_empty((members, places * width + extra, n))
        for i, start in enumerate(starts):
            # The bias comes after the product: a product that adds to something begins with a copy of it.
            if depth == 0:
                patch = given[start : start + size].reshape(-1, n)
                made = torch.mm(self.embed, patch).view(members, width, n)
            else:
                weights = self.weights[depth - 1]
                below = weights.shape[2] // size
                made = torch.bmm(weights, given[:, start * below : (start + size) * below])
            if season is None:
                torch.add(made, bias, out=rows[:, i * width : (i + 1) * width]).relu_()
            elif i == 0:
                torch.mul(made.add_(bias).relu_(), season[:, i], out=rows[:, :width])
            else:
                rows[:, :width].addcmul_(made.add_(bias).relu_(), season[:, i])
        if extra:
            rows[:, -extra:] = static.T
        return rows

    def forward(self, series: Tensor, static: Tensor) -> Tensor:
        """Probabilities (N, classes)."""
        return self.logits(series, static).softmax(dim=1).mean(dim=0).T


def _constant(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().contiguous(), requires_grad=False)


def fused(module: nn.Module) -> nn.Module:
    """The module in place, with normalisations in the weights before them and without dropout."""
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential):
            setattr(module, name, nn.Sequential(*_fused_layers(list(child))))
        else:
            fused(child)
    return module


def _fused_layers(layers: list[nn.Module]) -> list[nn.Module]:
    out: list[nn.Module] = []
    for layer in layers:
        before = out[-1] if out else None
        if isinstance(layer, nn.Dropout):
            continue
        if isinstance(layer, nn.BatchNorm1d) and isinstance(before, nn.Conv1d):
            out[-1] = fuse_conv_bn_eval(before, layer)
        elif isinstance(layer, nn.BatchNorm1d) and isinstance(before, nn.Linear):
            out[-1] = fuse_linear_bn_eval(before, layer)
        else:
            out.append(layer)
    return out


def inference_form(network: Ensemble) -> Ensemble | MergedPatches:
    """A copy of a trained ensemble that does the same with less arithmetic."""
    form: Ensemble | MergedPatches
    for kind in (PatchCnn, PatchMlp):
        members = [m for m in network.members if isinstance(m, kind)]
        if len(members) == len(network.members):
            form = MergedPatches(members)
            break
    else:
        form = Ensemble([fused(copy.deepcopy(m).eval()) for m in network.members])
    return form.eval().requires_grad_(requires_grad=False)


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
    bf16_disagreement: float | None = None
    """Share of samples whose class differs in bf16; None where nobody compared."""

    @functools.cached_property
    def _forms(self) -> dict[tuple[str, torch.dtype], Ensemble | MergedPatches]:
        return {}

    def compiled(self, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Ensemble | MergedPatches:
        """The network as it runs: `inference_form` of it, made once for a device and a dtype."""
        if (device, dtype) not in self._forms:
            self._forms[device, dtype] = inference_form(self.network).to(device, dtype)
        return self._forms[device, dtype]

    def probabilities(
        self, values: Float, batch_pixels: int = BATCH_PIXELS, precision: str = "fp32", device: str = "cpu"
    ) -> Float:
        """(N, classes) float32 for cube values (N, T, bands); batches of one fixed shape, last one padded."""
        batch = Batch(self, batch_pixels, precision, device)
        out = np.empty((len(values), len(self.codes)), np.float32)
        for start in range(0, len(values), batch_pixels):
            part = values[start : start + batch_pixels]
            batch.raw.copy_(_pixels_last(part, batch_pixels))
            with torch.inference_mode():
                out[start : start + len(part)] = batch.probabilities(batch.sent())[0].T[: len(part)].cpu()
        return out


class Batch:
    """Buffers and operations of batches of one fixed shape, one at a time, on one device.

    On a CUDA device the copies run in a stream of their own from pinned memory, so that the next batch is
    gathered and sent while this one is computed; on the CPU everything happens at once, in the same order.
    """

    def __init__(self, classifier: Classifier, pixels: int, precision: str, device: str) -> None:
        spec = classifier.spec
        self.pixels, self.device = pixels, device
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        pinned = device == "cuda"
        self.raw = torch.empty((len(spec.dekads), len(spec.bands), pixels), pin_memory=pinned)
        """(T, bands, pixels) in the CPU's memory: what the caller fills."""
        self.found = torch.empty((2, pixels), dtype=torch.uint8, pin_memory=pinned)
        """(2, pixels) class codes and confidences, once `finish` was called."""
        self.taken = 0
        self._maker = FeatureMaker(spec, device)
        self._series = self._maker.empty(pixels, device)
        self._codes = torch.from_numpy(classifier.codes).to(device)
        self._network = classifier.compiled(device, self.dtype)
        self._copies = torch.cuda.Stream() if pinned else None  # type: ignore[no-untyped-call]
        self._sent = torch.empty_like(self.raw, device=device) if pinned else self.raw
        self._done = torch.cuda.Event() if pinned else None  # type: ignore[no-untyped-call]

    def sent(self) -> Tensor:
        """The values on the device, (T, bands, pixels)."""
        if self._copies is not None:
            with torch.cuda.stream(self._copies):
                self._sent.copy_(self.raw, non_blocking=True)
            torch.cuda.current_stream().wait_stream(self._copies)
        return self._sent

    def probabilities(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """(classes, pixels) float32 and whether anything was observed (pixels,), on the device."""
        seen = self._maker.fill(raw, self._series)
        static = self._maker.static(raw).T
        series = self._series.permute(2, 1, 0)
        logits = self._network.logits(series.to(self.dtype), static.to(self.dtype))
        return logits.to(torch.float32).softmax(dim=1).mean(dim=0), seen

    def start(self, taken: int) -> None:
        """Classify the first `taken` pixels of `raw`; on a CUDA device this returns before it is done."""
        self.taken = taken
        with torch.inference_mode():
            probabilities, seen = self.probabilities(self.sent())
            best, place = probabilities.max(dim=0)
            self.found[0].copy_(torch.where(seen, self._codes[place], CODE_NO_OBSERVATION), non_blocking=True)
            confidence = best.mul_(100).round_().to(torch.uint8)
            self.found[1].copy_(torch.where(seen, confidence, NO_CONFIDENCE), non_blocking=True)
            if self._done is not None:
                self._done.record()

    def finish(self) -> NDArray[np.uint8]:
        """(2, taken) class codes and confidences of what was started last."""
        if self._done is not None:
            self._done.synchronize()
        return self.found.numpy()[:, : self.taken]


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
        with torch.random.fork_rng(devices=[]):
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
    compared = metadata.get("metrics", {}).get("bf16") or {}
    return metadata, Classifier(spec, network, codes, compared.get("disagreement"))


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
    device = choose_device(context.get("device", "auto"))
    precision = choose_precision(context.get("precision", "auto"), classifier.bf16_disagreement, device)
    return classify_cube(cube, classifier, int(context.get("batch_pixels", BATCH_PIXELS)), precision, device)


def choose_device(wanted: str) -> str:
    """``cpu`` or ``cuda``; ValueError for a device that is not there."""
    if wanted not in DEVICES:
        raise ValueError(f"context 'device' must be one of {', '.join(DEVICES)}, not {wanted!r}")
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise ValueError("context 'device' is 'cuda', but PyTorch finds no CUDA device here")
    return "cuda" if there and wanted != "cpu" else "cpu"


def choose_precision(
    wanted: str, disagreement: float | None, device: str, cpu_has: bool | None = None
) -> str:
    """``fp32`` or ``bf16``: ``auto`` takes bf16 where it is native and the model's classes agree.

    `disagreement` is what the model file records, None where it records nothing.
    """
    if wanted not in PRECISIONS:
        raise ValueError(f"context 'precision' must be one of {', '.join(PRECISIONS)}, not {wanted!r}")
    if wanted != "auto":
        return wanted
    if disagreement is None or disagreement > BF16_DISAGREEMENT:
        return "fp32"
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = cpu_multiplies_bf16() if cpu_has is None else cpu_has
    return "bf16" if native else "fp32"


@functools.cache
def cpu_multiplies_bf16(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether this processor has instructions for products in bf16 (AMX or AVX-512); only Linux tells."""
    try:
        text = Path(cpuinfo).read_text("utf-8", errors="replace")
    except OSError:
        return False
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(text.split())


def classify_cube(
    cube: xr.DataArray,
    classifier: Classifier,
    batch_pixels: int = BATCH_PIXELS,
    precision: str = "fp32",
    device: str = "cpu",
) -> xr.DataArray:
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
    # A view where y and x lie as usual; a cube in another order of dimensions is copied once.
    planes = data.reshape(*data.shape[:2], -1)
    mask = _mask(planes[:, bands.index(MASK_BAND)])
    out = np.full((2, mask.size), NO_CONFIDENCE, np.uint8)
    out[0] = np.where(np.isnan(mask), CODE_OUTSIDE, CODE_NOT_CROPLAND)
    pixels = np.flatnonzero(mask == 1)
    parts = [pixels[at : at + batch_pixels] for at in range(0, len(pixels), batch_pixels)]
    if parts:
        # On a device one batch is computed while the next one is gathered.
        batches = [
            Batch(classifier, batch_pixels, precision, device) for _ in range(2 if device == "cuda" else 1)
        ]
        blocks = _band_blocks([bands.index(b) for b in spec.bands])
        for part, classified in run_batches(batches, parts, lambda p, raw: gather(planes, p, blocks, raw)):
            out[:, part] = classified
    coordinates = {d: cube.coords[d] for d in ("y", "x") if d in cube.coords}
    return xr.DataArray(
        out.reshape(2, *data.shape[2:]), {"bands": list(OUTPUT_BANDS), **coordinates}, ("bands", "y", "x")
    )


def run_batches(
    batches: Sequence[Batch],
    parts: Iterable[NDArray[np.intp]],
    fill: Callable[[NDArray[np.intp], Float], None],
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint8]]]:
    """Every part with its classes and confidences (2, n), in order.

    `fill` writes the values of a part into (T, bands, pixels); with several batches that many are under way.
    """
    under_way: list[tuple[NDArray[np.intp], Batch]] = []
    for i, part in enumerate(parts):
        if len(under_way) == len(batches):
            earlier, done = under_way.pop(0)
            yield earlier, done.finish()
        batch = batches[i % len(batches)]
        fill(part, batch.raw.numpy())
        batch.start(len(part))
        under_way.append((part, batch))
    for earlier, done in under_way:
        yield earlier, done.finish()


def _mask(band: NDArray[Any]) -> Float:
    """(pixels,) float32: the first known value of (T, pixels), NaN where there is none."""
    mask: Float = band[0].astype(np.float32)
    for later in band[1:]:
        unknown = np.flatnonzero(np.isnan(mask))
        if not unknown.size:
            break
        mask[unknown] = later[unknown]
    return mask


def _band_blocks(order: list[int]) -> list[tuple[slice, slice]]:
    """(where in the model's order, where in the cube) of bands that lie next to each other in both."""
    blocks: list[tuple[slice, slice]] = []
    for i, band in enumerate(order):
        if blocks and blocks[-1][1].stop == band:
            mine, theirs = blocks[-1]
            blocks[-1] = slice(mine.start, i + 1), slice(theirs.start, band + 1)
        else:
            blocks.append((slice(i, i + 1), slice(band, band + 1)))
    return blocks


def gather(
    planes: NDArray[Any], pixels: NDArray[np.intp], blocks: list[tuple[slice, slice]], out: Float
) -> None:
    """Copy pixels of a cube (T, bands of the cube, window) into `out` (T, bands of the model, batch).

    `pixels` rise; behind them `out` is NaN, which is an unobserved pixel.
    """
    count = len(pixels)
    out[:, :, count:] = np.nan
    first, last = int(pixels[0]), int(pixels[-1])
    for mine, theirs in blocks:
        for plane, target in zip(planes[:, theirs], out[:, mine, :count], strict=True):
            if last - first + 1 == count:
                target[...] = plane[:, first : last + 1]
            elif plane.dtype == target.dtype and count == out.shape[2]:
                # "clip" only because it is the mode that writes straight into `out`.
                np.take(plane, pixels, axis=1, out=target, mode="clip")
            else:
                target[...] = plane[:, pixels]
