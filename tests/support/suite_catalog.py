"""A small catalog of the collections that openEO's own test suite asks for; simulated pixels.

python -m tests.support.suite_catalog FOLDER
"""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.tiny_archive import Layer, TinyArchive, node

WEST, NORTH = 679_000, 5_152_400  # EPSG:32632, around the area of the suite's workflows
COLUMNS = ROWS = 256
FIRST, LAST, EVERY = date(2022, 6, 1), date(2022, 6, 30), 3
VIENNA = (16.0, 48.4)  # EPSG:4326, upper left corner of the soil moisture


def make_catalog(folder: Path) -> Path:
    """Write the archive; its catalog file."""
    rng, archive = np.random.default_rng(2022), TinyArchive(folder)
    day = FIRST
    while day <= LAST:
        stamp = day.strftime("%Y%m%d")
        home = {"grid:code": "MGRS-32TPS", "s2:datatake_id": f"GS2A_{stamp}T101031_036280_N04.00"}
        archive.s2(f"S2A_32TPS_{stamp}_0_L2A", day.isoformat(), _bands(rng), crs="EPSG:32632", **home)
        day += timedelta(days=EVERY)
    for month in (1, 4, 7, 10):
        values = rng.integers(20, 180, (64, 96)).astype(np.uint8)
        layer = Layer(values, 0.01, *VIENNA, nodata=255)
        name = f"c_gls_SSM1km_2020{month:02d}010000_CEURO"
        moment = f"2020-{month:02d}-01T00:00:00Z"
        archive.add("CGLS_SSM_1KM", name, moment, {"B01": layer}, crs="EPSG:4326")
    for item in archive.items["CGLS_SSM_1KM"]:
        item["assets"]["B01"]["type"] = "image/tiff; application=geotiff"
    return archive.write()


def _bands(rng: np.random.Generator) -> dict[str, Layer]:
    made = {}
    for name, low, high in (("B02", 200, 900), ("B03", 300, 1200), ("B04", 200, 2400), ("B08", 800, 5000)):
        fields = np.kron(rng.integers(low, high, (32, 32)), np.ones((8, 8), np.int64))
        values = (fields + rng.integers(0, 60, fields.shape)).astype(np.uint16)
        made[name] = Layer(values, 10, WEST, NORTH)
    classes = rng.choice([4, 5, 8], (ROWS // 2, COLUMNS // 2), p=[0.6, 0.35, 0.05]).astype(np.uint8)
    made["SCL"] = Layer(classes, 20, WEST, NORTH)
    return made


def mean_of_red(file_format: str) -> dict[str, Any]:
    """A process: the mean of a week's red, 84 rows of 96 pixels, in a format of one file."""
    area = {"west": 679_720, "south": 5_151_080, "east": 680_680, "north": 5_151_920, "crs": 32632}
    days = ["2022-06-01", "2022-06-08"]
    load = node(
        "load_collection", id="SENTINEL2_L2A", spatial_extent=area, temporal_extent=days, bands=["B04"]
    )
    inner = {"m": {**node("mean", data={"from_parameter": "data"}), "result": True}}
    reduced = node("reduce_dimension", data="@load", dimension="t", reducer={"process_graph": inner})
    save = {**node("save_result", data="@mean", format=file_format), "result": True}
    return {"process_graph": {"load": load, "mean": reduced, "save": save}}


if __name__ == "__main__":
    print(make_catalog(Path(sys.argv[1])))
