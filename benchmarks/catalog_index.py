"""Measure the catalog index of a continent: open it, answer a tile and season, its size.

The index is simulated: a real Earth Search item is the template of every item of a lattice of granules over
the EU's bounding area, one acquisition every two days from March to October. Run:

    python benchmarks/catalog_index.py ITEM.json [--items 160000] [--keep FOLDER]

docs/catalogs.md quotes what this prints.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson
from pyproj import Transformer

from acreage.catalog.index import IndexedSource, IndexPolicy
from acreage.catalog.index.coverage import blocks_of
from acreage.catalog.index.documents import prepare
from acreage.catalog.index.store import CollectionStore
from acreage.catalog.sources import Document

COLLECTION = "sentinel-2-l2a"
BOUNDS = (-11.0, 34.0, 35.0, 71.5)
FIRST, LAST = datetime(2025, 3, 1, 10, tzinfo=UTC), datetime(2025, 11, 1, tzinfo=UTC)
SEASON = (np.datetime64("2025-03-01"), np.datetime64("2025-11-01"))
ADDRESS = "https://example.com/simulated"
STRIPE = 3  # rows of cells that are filled at once
STEP, SIDE = 100_000.0, 109_800.0  # metres: granules overlap as the real ones do


def granules() -> Iterator[tuple[str, list[list[float]]]]:
    """A made-up tile code and the footprint of each granule."""
    to_lonlat = Transformer.from_crs("EPSG:3035", "EPSG:4326", always_xy=True)
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    for row, y in enumerate(np.arange(1_400_000, 5_500_000, STEP)):
        for column, x in enumerate(np.arange(2_500_000, 7_400_000, STEP)):
            corners = [(x, y), (x + SIDE, y), (x + SIDE, y + SIDE), (x, y + SIDE), (x, y)]
            ring = [list(map(float, to_lonlat.transform(*c))) for c in corners]
            if all(BOUNDS[0] < lon < BOUNDS[2] and BOUNDS[1] < lat < BOUNDS[3] for lon, lat in ring):
                yield (
                    f"{29 + row // 20}{letters[row % 20]}{letters[column // 20]}{letters[column % 20]}",
                    ring,
                )


def items(
    template: dict[str, Any], tile: str, ring: list[list[float]], every: float
) -> Iterator[dict[str, Any]]:
    """The items of one granule."""
    text = orjson.dumps(template).decode()
    own = template["properties"]["grid:code"].removeprefix("MGRS-")
    path = "/".join((own[:2], own[2], own[3:]))
    text = text.replace(own, tile).replace(path, "/".join((tile[:2], tile[2], tile[3:])))
    own_id = json.loads(text)["id"]
    lon, lat = zip(*ring, strict=True)
    moment = FIRST
    while moment < LAST:
        stamp = f"{moment:%Y%m%d}"
        item = orjson.loads(text.replace(own_id, f"S2B_{tile}_{stamp}_0_L2A"))
        item["bbox"] = [min(lon), min(lat), max(lon), max(lat)]
        item["geometry"] = {"type": "Polygon", "coordinates": [ring]}
        item["properties"]["datetime"] = moment.strftime("%Y-%m-%dT%H:%M:%S.024000Z")
        item["properties"]["eo:cloud_cover"] = (moment.toordinal() * 37 + int(lon[0] * 1e4)) % 10_000 / 100
        yield item
        moment += timedelta(days=every)


def build(template: dict[str, Any], count: int, folder: Path) -> None:
    """Fill the index."""
    places = list(granules())
    every = (LAST - FIRST) / timedelta(days=1) / (count / len(places))
    print(f"{len(places)} granules, an acquisition every {every:.2f} days", flush=True)
    source = IndexedSource(ADDRESS, IndexPolicy(folder), lambda: sys.exit("asked the catalog"))
    store = CollectionStore(source.folder / COLLECTION, COLLECTION)
    source.folder.mkdir(parents=True)
    stac = {"type": "Collection", "id": COLLECTION, "links": []}
    catalog = {"address": ADDRESS, "asked": 0, "collections": {COLLECTION: stac}}
    (source.folder / "catalog.json").write_text(json.dumps(catalog))
    (whole,) = blocks_of(BOUNDS, SEASON)
    at = int(time.time() * 1000)
    start = time.perf_counter()
    with store.writing():
        for y in range(whole.y0, whole.y1, STRIPE):
            block = replace(whole, y0=y, y1=min(y + STRIPE, whole.y1))
            _, south, _, north = block.bounds
            near = [
                (t, r) for t, r in places if max(p[1] for p in r) >= south and min(p[1] for p in r) <= north
            ]
            made = [Document(ADDRESS, i) for tile, ring in near for i in items(template, tile, ring, every)]
            rows, problems = prepare(made)
            del made
            store.add(block, rows, problems, stac, at)
            store.settle(stac)
    print(
        f"{store.count} items kept in {len(store.manifest.parts)} parts, {time.perf_counter() - start:.0f} s"
    )
    for suffix in ("parquet", "rows"):
        size = sum(p.stat().st_size for p in store.folder.glob(f"*.{suffix}"))
        print(f"size of .{suffix}: {size / 1e6:.0f} MB")


def measure(folder: Path, tiles: int = 40) -> None:
    """Answer tiles of 20 km at random places."""
    rng = np.random.default_rng(7)
    begun = time.perf_counter()
    source = IndexedSource(ADDRESS, IndexPolicy(folder), lambda: sys.exit("asked the catalog"))
    places = []
    for _ in range(tiles):
        lon, lat = rng.uniform(-5, 30), rng.uniform(38, 65)
        places.append((lon, lat, lon + 0.18 / np.cos(np.radians(lat)), lat + 0.18))
    first = len(source.find(COLLECTION, places[0], SEASON, None)[0])
    print(f"opening and the first tile ({first} items): {1000 * (time.perf_counter() - begun):.0f} ms")
    for what in ("other places", "the same places again"):
        took, busy, counts = [], [], []
        for place in places:
            start, cpu = time.perf_counter(), time.process_time()
            counts.append(len(source.find(COLLECTION, place, SEASON, None)[0]))
            took.append(1000 * (time.perf_counter() - start))
            busy.append(1000 * (time.process_time() - cpu))
        print(
            f"{what}: median {median(took):.1f} ms, slowest {max(took):.1f} ms a tile; "
            f"processor time {median(busy):.1f} ms; "
            f"{min(counts)} to {max(counts)} items, median {median(counts):.0f}"
        )


def main() -> None:
    """Build where there is nothing yet, and measure in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("item", type=Path, help="a real Earth Search Sentinel-2 item")
    parser.add_argument("--items", type=int, default=160_000)
    parser.add_argument("--keep", type=Path, help="folder for the index, which is kept and used again")
    parser.add_argument("--measure", action="store_true", help="only measure the index in --keep")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        if options.measure:
            measure(folder)
            return
        if not (folder / "example.com_simulated").exists() and not list(folder.glob("example*")):
            build(json.loads(options.item.read_text()), options.items, folder)
        subprocess.run(
            [sys.executable, __file__, str(options.item), "--keep", str(folder), "--measure"], check=True
        )


if __name__ == "__main__":
    main()
