"""Inference from the cube to classes, against the bare network on ready-made tensors of the same batch shape.

    .venv/bin/python benchmarks/inference.py --out build/inference.json

Both run in this process on the same threads, in turns; times are CPU seconds of the process, so that other
programs on the machine disturb them little. The bare network is the one that inference runs (members merged,
normalisations in the weights), its input one batch that stays in the cache: nothing is gathered, no feature
is made, and it ends with logits. Ours is `classify_cube`: mask, gather, features, network, softmax,
confidence and the output cube.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from acreage.croptype.features import default_channels
from acreage.croptype.modelfile import open_model
from acreage.croptype.training import TrainingOptions
from acreage.croptype.udf_source.crop_type_udf import (
    BATCH_PIXELS,
    NETWORKS,
    Classifier,
    FeatureMaker,
    FeatureSpec,
    build_network,
    classify_cube,
)

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12", "VV", "VH")
DEKADS = tuple(f"{month:02d}-{day:02d}" for month in range(3, 11) for day in (1, 11, 21))
FIELD = 12
"""Side of the square fields that cropland comes in, pixels."""


@dataclass(frozen=True)
class InferenceTimes:
    """What one run measured.

    Attributes:
        architecture, members, parameters: the network.
        precision, threads, batch_pixels: how it ran.
        cropland: share of the window's pixels that are cropland.
        pixels: cropland pixels that were classified in each round.
        rounds: how often each was run, in turns.
        bare_s, ours_s: CPU seconds of each round.
        bare_pixels_per_s, ours_pixels_per_s: cropland pixels a second, of the median rounds.
        ratio: ours over bare: the median over rounds of the ratio of their speeds.
    """

    architecture: str
    members: int
    parameters: int
    precision: str
    threads: int
    batch_pixels: int
    cropland: float
    pixels: int
    rounds: int
    bare_s: tuple[float, ...]
    ours_s: tuple[float, ...]
    bare_pixels_per_s: float
    ours_pixels_per_s: float
    ratio: float


def measure(
    classifier: Classifier | None = None,
    cropland: float = 1.0,
    side: int | None = None,
    rounds: int = 9,
    batch_pixels: int = BATCH_PIXELS,
    threads: int = 1,
    precision: str = "fp32",
) -> InferenceTimes:
    """Time `classify_cube` and the bare network in turns.

    Args:
        classifier: the model; the default architecture with random weights where None.
        cropland: share of the window's pixels that are cropland, in square fields.
        side: of the window, pixels; where None, so many that about 65 000 are cropland.
        rounds: of each; one more comes first and does not count.
        batch_pixels: shape of a batch, of both.
        threads: that PyTorch may use.
        precision: `fp32` or `bf16`, of both.
    """
    classifier = classifier or untrained()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        side = side or round(256 / cropland**0.5)
        cube, pixels = window(classifier.spec, cropland, side)
        bare = _bare(classifier, batch_pixels, precision)
        batches = -(-pixels // batch_pixels)
        bare_s, ours_s = [], []
        for turn in range(rounds + 1):
            first = _seconds(bare, batches)
            second = _seconds(lambda: classify_cube(cube, classifier, batch_pixels, precision), 1)
            if turn:
                # The last batch is padded: the bare network is only asked for as many pixels as ours.
                bare_s.append(first * pixels / (batches * batch_pixels))
                ours_s.append(second)
    finally:
        torch.set_num_threads(before)
    members = list(classifier.network.members)
    return InferenceTimes(
        architecture=next(n for n, kind in NETWORKS.items() if type(members[0]) is kind),
        members=len(members),
        parameters=sum(p.numel() for p in classifier.network.parameters()),
        precision=precision,
        threads=threads,
        batch_pixels=batch_pixels,
        cropland=round(pixels / side**2, 4),
        pixels=pixels,
        rounds=rounds,
        bare_s=tuple(bare_s),
        ours_s=tuple(ours_s),
        bare_pixels_per_s=pixels / statistics.median(bare_s),
        ours_pixels_per_s=pixels / statistics.median(ours_s),
        ratio=statistics.median(b / o for b, o in zip(bare_s, ours_s, strict=True)),
    )


def untrained(architecture: str | None = None, members: int | None = None, classes: int = 14) -> Classifier:
    """A model with random weights: its speed is that of a trained one."""
    options = TrainingOptions()
    spec = FeatureSpec(BANDS, DEKADS, default_channels(BANDS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(
            architecture or options.architecture, {}, spec, classes, members or options.members
        )
    return Classifier(spec, network.eval(), np.arange(1, classes + 1, dtype=np.uint8))


def window(spec: FeatureSpec, cropland: float, side: int) -> tuple[xr.DataArray, int]:
    """A cube as the UDF gets it, with a third of the S2 dekads missing, and its number of cropland pixels."""
    rng = np.random.default_rng(0)
    bands = (*spec.bands, *(() if "DEM" in spec.bands else ("DEM",)), "CROPLAND")
    values = rng.random((len(spec.dekads), len(bands), side, side), np.float32)
    values *= 4000
    values += 0.01
    optical = [i for i, b in enumerate(bands) if b.startswith("B")]
    missing = rng.random((len(spec.dekads), side, side)) < 0.33
    for i in optical:
        values[:, i][missing] = np.nan
    mask = _fields(rng, cropland, side)
    values[:, -1] = mask
    dates = [np.datetime64(f"2021-{d}") for d in spec.dekads]
    coordinates = {"t": dates, "bands": list(bands)}
    return xr.DataArray(values, coordinates, ("t", "bands", "y", "x")), int(mask.sum())


def _fields(rng: np.random.Generator, share: float, side: int) -> NDArray[np.float32]:
    count = -(-side // FIELD)
    # The share is met by fields as a whole, not field by field.
    chosen = np.zeros(count * count, np.float32)
    chosen[rng.permutation(count * count)[: round(share * count * count)]] = 1
    return np.kron(chosen.reshape(count, count), np.ones((FIELD, FIELD), np.float32))[:side, :side]


def _bare(classifier: Classifier, batch_pixels: int, precision: str) -> Callable[[], object]:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    network = classifier.compiled(dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    shape = FeatureMaker(classifier.spec).empty(batch_pixels).shape
    series = torch.randn(shape, generator=generator).to(dtype).permute(2, 1, 0)
    static = torch.zeros((batch_pixels, 2 * len(classifier.spec.static)), dtype=dtype)

    def run() -> object:
        with torch.inference_mode():
            return network.logits(series, static)

    return run


def _seconds(call: Callable[[], object], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        call()
    return time.process_time() - start


def main() -> None:
    """Measure and print; write the numbers with `--out`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a model file; the default network, untrained, otherwise")
    parser.add_argument("--architecture", choices=sorted(NETWORKS))
    parser.add_argument("--members", type=int)
    parser.add_argument("--batch-pixels", type=int, default=BATCH_PIXELS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    classifier = (
        open_model(given.model).classifier if given.model else untrained(given.architecture, given.members)
    )
    found = [
        measure(
            classifier,
            cropland,
            rounds=given.rounds,
            batch_pixels=given.batch_pixels,
            threads=given.threads,
            precision=given.precision,
        )
        for cropland in (1.0, 0.3)
    ]
    print(f"{found[0].architecture}, {found[0].members} members, {found[0].parameters} parameters")
    for f in found:
        print(
            f"{f.cropland:6.1%} cropland: bare {f.bare_pixels_per_s:9.0f} pixels/s, "
            f"ours {f.ours_pixels_per_s:9.0f} pixels/s, ratio {f.ratio:.3f}"
        )
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps([asdict(f) for f in found], indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
