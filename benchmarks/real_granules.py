"""Two adjacent real granules, 33TWL and 33TWM, on two dates: their seam measured, and plausible reflectance.

    .venv/bin/python benchmarks/real_granules.py --data ../shared/data --out build/real-granules

Prints the numbers of docs/real-granules.md and writes its picture. The files are decimated to 120 m, so the
pixels of the two granules lie half a pixel (60 m) apart in y; both lie on one lattice of 60 m.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from pyproj import Transformer

from acreage.catalog import open_catalog
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.run import run_plan

Array = NDArray[Any]
UTM, EUROPE = "EPSG:32633", "EPSG:3035"
# Over the northern edge of 33TWL at 5 100 000 m and the southern one of 33TWM at 5 090 220 m.
AREA = {"west": 525000, "east": 600000, "south": 5085000, "north": 5112000, "crs": 32633}
BANDS = ("B02", "B03", "B04", "B08", "SCL")
PAIRS = (
    ("S2B_33TWL_20230813_0_L2A", "S2B_33TWM_20230813_0_L2A"),
    ("S2A_33TWL_20230818_0_L2A", "S2A_33TWM_20230818_0_L2A"),
)
OVERLAP_WEST, OVERLAP_SOUTH, OVERLAP_NORTH = 499980, 5090220, 5100000
PIXEL, FINE = 120, 60  # metres; the finer lattice holds the pixels of both granules


@dataclass(frozen=True)
class Seam:
    """Differences between neighbours in y, in DN, over all columns where the seam and its sides are valid.

    Attributes:
        pairs: number of columns.
        across: mean absolute difference between the last pixel of the one granule and the first of the other.
        north, south: the same one pixel further in, inside each granule.
        nulls: null pixels within three pixels of the seam.
    """

    pairs: int
    across: float
    north: float
    south: float
    nulls: int

    @property
    def ratio(self) -> float:
        """Difference across the seam over the mean of those beside it; 1 where nothing shows."""
        return self.across / ((self.north + self.south) / 2)


@dataclass(frozen=True)
class Overlap:
    """Two granules of one datatake where both are valid, on the lattice of 60 m.

    Attributes:
        cells: number of cells.
        equal: share of cells with equal scene classification.
        correlation: of B04, the granules where their metadata place them.
        shift_x, shift_y: metres by which the second would have to move for the best correlation (parabola).
    """

    cells: int
    equal: float
    correlation: float
    shift_x: float
    shift_y: float


def graph(projection: int | None, method: str) -> dict[str, Any]:
    """Both dates of both granules, on their own grid or resampled to 120 m of a projection."""
    load = {
        "process_id": "load_collection",
        "arguments": {
            "id": "SENTINEL2_L2A",
            "spatial_extent": AREA,
            "temporal_extent": ["2023-08-01", "2023-09-01"],
            "bands": list(BANDS),
        },
    }
    if projection is None:
        return {"s2": {**load, "result": True}}
    warp = {
        "process_id": "resample_spatial",
        "arguments": {
            "data": {"from_node": "s2"}, "projection": projection, "resolution": PIXEL, "method": method,
        },
        "result": True,
    }  # fmt: skip
    return {"s2": load, "warped": warp}


@lru_cache(maxsize=32)
def _read(path: Path) -> tuple[Array, Affine]:
    with rasterio.open(path) as file:
        return file.read(1), file.transform


def placed_at(path: Path, x: Array, y: Array) -> Array:
    """The file's pixels under points, 0 outside; x and y are UTM metres of one shape."""
    values, transform = _read(path)
    columns = np.floor((x - transform.c) / transform.a).astype(int)
    rows = np.floor((y - transform.f) / transform.e).astype(int)
    inside = (columns >= 0) & (columns < values.shape[1]) & (rows >= 0) & (rows < values.shape[0])
    found = np.zeros(x.shape, values.dtype)
    found[inside] = values[rows[inside], columns[inside]]
    return found


def measure_seam(values: Array, valid: Array, south: Array, either: Array) -> Seam:
    """Differences across the seam.

    Args:
        values, valid: (rows, columns) of a mosaic, rows southward.
        south: True where the southern granule is the one that is shown.
        either: True where any granule is valid.
    """
    edge = ~south[:-1] & south[1:]  # row r is the north's last, r + 1 the south's first
    edge[:2] = edge[-3:] = False
    rows, columns = np.nonzero(edge)
    around = np.stack([valid[rows + k, columns] for k in (-1, 0, 1, 2)])
    far = np.stack([either[rows + k, columns] & ~valid[rows + k, columns] for k in range(-2, 4)])
    own = ~south[rows - 1, columns] & south[rows + 2, columns]
    good = around.all(axis=0) & own
    rows, columns = rows[good], columns[good]
    v = values.astype(np.float64)

    def mean(k: int) -> float:
        return float(np.abs(v[rows + k, columns] - v[rows + k + 1, columns]).mean())

    return Seam(int(good.sum()), mean(0), mean(-1), mean(1), int(far.sum()))


def measure_overlap(folder: Path, south: str, north: str) -> Overlap:
    """Agreement of two granules where both have pixels."""
    x, y = np.meshgrid(
        np.arange(OVERLAP_WEST + FINE / 2, OVERLAP_WEST + 109_800, FINE),
        np.arange(OVERLAP_NORTH - FINE / 2, OVERLAP_SOUTH, -FINE),
    )
    scl = [placed_at(folder / name / "SCL.tif", x, y) for name in (south, north)]
    red = [placed_at(folder / name / "B04.tif", x, y).astype(np.float64) for name in (south, north)]
    both = (scl[0] != 0) & (scl[1] != 0)

    def correlation(dx: int, dy: int) -> float:
        moved = placed_at(folder / north / "B04.tif", x - dx, y - dy).astype(np.float64)
        known = both & (moved != 0)
        return float(np.corrcoef(red[0][known], moved[known])[0, 1])

    here = correlation(0, 0)
    shifts = []
    for dx, dy in ((PIXEL, 0), (0, PIXEL)):
        back, ahead = correlation(-dx, -dy), correlation(dx, dy)
        shifts.append(PIXEL * (ahead - back) / (2 * (2 * here - ahead - back)))
    return Overlap(int(both.sum()), float((scl[0] == scl[1])[both].mean()), here, shifts[0], shifts[1])


def shown(folder: Path, pair: tuple[str, str], x: Array, y: Array, crs: str) -> tuple[Array, Array]:
    """Where the southern granule is shown, and where either is valid, at pixel centres of a CRS."""
    xx, yy = np.meshgrid(x, y)
    if crs != UTM:
        xx, yy = Transformer.from_crs(crs, UTM, always_xy=True).transform(xx, yy)
    south, north = (placed_at(folder / name / "SCL.tif", xx, yy) != 0 for name in pair)
    return south, south | north


def run(data: Path, process_graph: Mapping[str, Any]) -> xr.Dataset:
    """The engine's mosaic, one variable a band."""
    catalog = open_catalog(data / "s2-earthsearch" / "full_products" / "catalog.json")
    plan = make_plan(parse_graph(process_graph), catalog, Budget(4_000_000_000, 2, 512), None)
    with tempfile.TemporaryDirectory() as folder:
        result = run_plan(plan, Path(folder) / "mosaic.nc", tolerance=6)
        return xr.load_dataset(result.files[0][0], mask_and_scale=False)


def draw(cube: xr.Dataset, folder: Path, path: Path) -> None:
    """Both dates in true colour, and which granule is shown where."""
    figure, axes = plt.subplots(3, 1, figsize=(7.0, 7.6), layout="constrained")
    extent = (cube.x.values[0] - 60, cube.x.values[-1] + 60, cube.y.values[-1] - 60, cube.y.values[0] + 60)
    for step, (axis, pair) in enumerate(zip(axes[:2], PAIRS, strict=True)):
        colour = np.stack([cube[b].values[step].astype(float) for b in ("B04", "B03", "B02")], axis=-1)
        known = (colour > 0).all(axis=-1, keepdims=True)
        axis.imshow(np.where(known, np.clip(colour / 2500, 0, 1) ** 0.7, 1.0), extent=extent)
        axis.set_title(f"{pair[0].split('_')[2]}: both granules, one time step", fontsize=9)
    south, either = shown(folder, PAIRS[0], cube.x.values, cube.y.values, EUROPE)
    classes = np.where(south, 1.0, np.where(either, 2.0, np.nan))
    axes[2].imshow(classes, extent=extent, cmap="Pastel1", vmin=0.5, vmax=9.5, interpolation="nearest")
    axes[2].set_title("Shown: 33TWL (red), 33TWM (blue)", fontsize=9)
    for axis in axes:
        axis.set_axis_off()
    figure.savefig(path, dpi=80)
    plt.close(figure)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(128)
    small.save(path, optimize=True)


def main() -> None:
    """Print the figures and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("build/real-granules"))
    options = parser.parse_args()
    folder = options.data / "s2-earthsearch" / "full_products" / "sentinel-2-l2a"
    figures: dict[str, Any] = {}
    for pair in PAIRS:
        figures[pair[0].split("_")[2]] = asdict(measure_overlap(folder, *pair))
    pictures = {}
    for crs, method in ((UTM, "near"), (EUROPE, "near"), (EUROPE, "bilinear")):
        cube = run(options.data, graph(None if crs == UTM else int(crs[5:]), method))
        pictures[crs, method] = cube
        for step, pair in enumerate(PAIRS):
            day = pair[0].split("_")[2]
            south, either = shown(folder, pair, cube.x.values, cube.y.values, crs)
            for band in BANDS[:-1]:
                values = cube[band].values[step]
                seam = measure_seam(values, values != 0, south, either)
                key = f"{day} {crs} {method} {band}"
                figures[key] = asdict(seam) | {"ratio": seam.ratio}
    options.out.mkdir(parents=True, exist_ok=True)
    draw(pictures[EUROPE, "near"], folder, options.out / "granules.png")
    (options.out / "figures.json").write_text(json.dumps(figures, indent=2))
    for key, value in figures.items():
        print(key, {k: round(v, 3) for k, v in value.items()})


if __name__ == "__main__":
    main()
