"""Plan the EU's countries with generated files in published layouts, and time it.

Generated into FOLDER, once (what is there is kept): WorldCover files as ESA publishes them (3 degrees, 36 000
pixels a side, blocks of 1024, deflate, overviews down to 562 pixels) of a made-up landscape within real
borders, and stac-geoparquet of Sentinel-2, Sentinel-1 and elevation whose items follow those of a simulated
archive (`acreage simulate`, form earth-search); no file is behind these. Run:

    python benchmarks/plan_continent.py FOLDER --archive ARCHIVE --model MODEL [--area EU27]

docs/production.md quotes what this prints.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import orjson
import rasterio
import shapely
import stac_geoparquet.arrow as arrow
import tifffile
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.features import rasterize
from rasterio.transform import from_origin

from acreage.production.areas import countries_around, find_area
from acreage.production.tiles import TileGrid

CELL, PIXELS, BLOCK = 3, 36_000, 1024
DRAWN = 8  # the landscape is drawn at every eighth pixel; the files' own pixels repeat it
LEVELS = (2, 4, 8, 16, 32, 64)
FIRST, LAST = datetime(2023, 3, 1, tzinfo=UTC), datetime(2023, 10, 31, tzinfo=UTC)
GRANULE, STEP = 109_800.0, 100_000.0
SLICE = (250_000.0, 170_000.0)


# --- land cover ---


def cells(area: str) -> list[tuple[int, int]]:
    """West and south of the cells that the area's tiles touch."""
    found = set()
    for tile in TileGrid().covering(find_area(area).geometry):
        west, south, east, north = tile.outline.bounds
        for x in (west, east):
            for y in (south, north):
                found.add((math.floor(x / CELL) * CELL, math.floor(y / CELL) * CELL))
    return sorted(found)


@functools.cache
def borders() -> tuple[Any, ...]:
    """Parts of the countries of Europe and around."""
    found = countries_around(shapely.box(-35, 24, 45, 75))
    return tuple(part for shape in found.values() for part in shapely.get_parts(shape))


def landscape(west: int, south: int) -> NDArray[np.uint8]:
    """Classes of a cell at every `DRAWN`th pixel: fields of some hectares, more cropland on some plains."""
    size = PIXELS // DRAWN
    rng = np.random.default_rng([west + 180, south + 90])
    square = shapely.box(west, south, west + CELL, south + CELL)
    shapes = [s for s in borders() if s.intersects(square)]
    transform = from_origin(west, south + CELL, CELL / size, CELL / size)
    land = np.zeros((size, size), np.uint8)
    if shapes:
        land = rasterize([(s, 1) for s in shapes], (size, size), transform=transform)
    coarse = rng.random((12, 12))
    at = np.linspace(0, 10.999, size)
    y, x = at.astype(int), at - at.astype(int)
    rows = coarse[y] * (1 - x[:, None]) + coarse[y + 1] * x[:, None]
    plains = rows[:, y] * (1 - x) + rows[:, y + 1] * x
    fields = np.repeat(np.repeat(rng.random((size // 5 + 1, size // 4 + 1), np.float32), 5, 0), 4, 1)
    fields, noise = fields[:size, :size], rng.random((size, size), np.float32)
    wanted = np.clip(1.6 * plains - 0.45, 0, 0.9) * max(0.0, 1 - max(0, south - 55) / 12)
    classes = np.full((size, size), 10, np.uint8)
    classes[fields < 0.55] = 30
    classes[fields < wanted] = 40
    classes[noise < 0.02] = 50
    return (classes * land).astype(np.uint8)  # rasterize makes wider integers


def write_cell(path: Path, west: int, south: int, *, full: bool = False) -> bool:
    """One file; False where the cell is sea, of which none is published.

    Blocks of levels finer than the landscape is drawn at are left empty (the plan does not read them), unless
    they are wanted in full: then each file takes minutes.
    """
    drawn = landscape(west, south)
    if not drawn.any():
        return False
    part = path.with_suffix(".part.tif")
    encode = partial(imagecodecs.deflate_encode, level=1)
    with tifffile.TiffWriter(part) as file:
        for factor in (1, *LEVELS):
            size = PIXELS // factor
            file.write(
                _blocks(drawn, factor, encode) if full or factor >= DRAWN else _empty(factor),
                shape=(size, size),
                dtype=np.uint8,
                tile=(BLOCK, BLOCK),
                compression="adobe_deflate",
                photometric="minisblack",
                subfiletype=0 if factor == 1 else 1,
                metadata=None,
                extratags=_georeference(west, south) if factor == 1 else [],
            )
    part.replace(path)
    return True


def _blocks(drawn: NDArray[np.uint8], factor: int, encode: Any) -> Iterator[bytes]:
    """Encoded blocks of a level, edges filled up."""
    size = PIXELS // factor
    kept: dict[bytes, bytes] = {}
    for top in range(0, size, BLOCK):
        for left in range(0, size, BLOCK):
            rows = np.minimum((np.arange(top, top + BLOCK) * factor) // DRAWN, len(drawn) - 1)
            columns = np.minimum((np.arange(left, left + BLOCK) * factor) // DRAWN, len(drawn) - 1)
            block = np.ascontiguousarray(drawn[np.ix_(rows, columns)])
            if block.min() == block.max():
                key = bytes([int(block[0, 0])])
                yield kept.setdefault(key, kept.get(key) or encode(block))
            else:
                yield encode(block)


def _empty(factor: int) -> Iterator[bytes]:
    yield from [b""] * (-(-(PIXELS // factor) // BLOCK)) ** 2


def _georeference(west: int, south: int) -> list[tuple[int, int, int, Any, bool]]:
    step = CELL / PIXELS
    keys = (1, 1, 0, 4, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326, 2054, 0, 1, 9102)
    return [
        (33550, 12, 3, (step, step, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, float(west), float(south + CELL), 0.0), True),
        (34735, 3, len(keys), keys, True),
        (42113, 2, 2, "0", True),
    ]


def make_landcover(folder: Path, area: str) -> None:
    """All cells of an area."""
    folder.mkdir(parents=True, exist_ok=True)
    sea = folder.with_name("sea.json")
    known = set(json.loads(sea.read_text())) if sea.exists() else set()
    places = cells(area)
    for number, (west, south) in enumerate(places, 1):
        name = f"{'NS'[south < 0]}{abs(south):02}{'EW'[west < 0]}{abs(west):03}"
        path = folder / f"ESA_WorldCover_10m_2021_v200_{name}_Map.tif"
        if path.exists() or name in known:
            continue
        if not write_cell(path, west, south):
            known.add(name)
            sea.write_text(json.dumps(sorted(known)))
        print(f"\r{number} of {len(places)} cells", end="", file=sys.stderr, flush=True)


# --- items ---


def squares(area: str, width: float, height: float, step: tuple[float, float]) -> list[dict[str, Any]]:
    """Squares of UTM zones over an area: zone, lower left corner, ring in degrees."""
    land = shapely.prepared.prep(find_area(area).geometry)
    found = []
    for zone in range(25, 37):
        to_degrees = Transformer.from_crs(f"EPSG:{32600 + zone}", "EPSG:4326", always_xy=True)
        for x in np.arange(100_000.0, 900_000.0, step[0]):
            for y in np.arange(2_700_000.0, 7_900_000.0, step[1]):
                corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
                ring = [list(map(float, to_degrees.transform(*c))) for c in corners]
                middle = to_degrees.transform(x + width / 2, y + height / 2)
                # A square belongs to its zone, and to the next where it reaches over.
                if abs(middle[0] - (zone * 6 - 183)) < 3.4 and land.intersects(shapely.Polygon(ring)):
                    found.append({"zone": zone, "x": x, "y": y, "ring": ring})
    return found


def moved(template: bytes, name: str, square: dict[str, Any], moment: datetime, **properties: Any) -> Any:
    """The template's item at another place and time."""
    item = orjson.loads(template)
    item["id"] = name
    item["geometry"] = {"type": "Polygon", "coordinates": [square["ring"]]}
    lon, lat = zip(*square["ring"], strict=True)
    item["bbox"] = [min(lon), min(lat), max(lon), max(lat)]
    item["links"] = []
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    item["properties"] |= {"datetime": stamp, **properties}
    for key in ("start_datetime", "end_datetime"):
        if key in item["properties"]:
            item["properties"][key] = stamp
    width, height = square["size"]
    holders = [item["properties"], *item["assets"].values()]
    for holder in (h for h in holders if "proj:transform" in h):
        step = float(holder["proj:transform"][0])
        holder["proj:transform"] = [step, 0, square["x"], 0, -step, square["y"] + height]
        holder["proj:shape"] = [round(height / step), round(width / step)]
    for key in ("proj:epsg", "proj:code"):
        if key in item["properties"]:
            code = 32600 + square["zone"]
            item["properties"][key] = code if key == "proj:epsg" else f"EPSG:{code}"
    item["properties"].pop("proj:bbox", None)
    for asset in item["assets"].values():
        asset["href"] = f"https://example.com/{name}/{Path(asset['href']).name}"
    return item


def sentinel2(template: bytes, area: str) -> Iterator[Any]:
    """Every twenty days, half of the granules by two orbits: about a quarter of what there is."""
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    places = [{**s, "size": (GRANULE, GRANULE)} for s in squares(area, GRANULE, GRANULE, (STEP, STEP))]
    moment = FIRST + timedelta(hours=10)
    while moment < LAST:
        day = (moment - FIRST).days
        for number, place in enumerate(places):
            column, row = int(place["x"] // STEP), int(place["y"] // STEP)
            if day % 20 in ((number + column) % 20, *([(number + column + 9) % 20] if column % 2 else [])):
                code = f"{place['zone']}{letters[row % 20]}{letters[column]}{letters[row % 24]}"
                name = f"S2A_{code}_{moment:%Y%m%d}_{number}_L2A"
                yield moved(template, name, place, moment, **{"grid:code": f"MGRS-{code}"})
        moment += timedelta(days=1)


def sentinel1(template: bytes, area: str) -> Iterator[Any]:
    """Slices of both directions, each every twelve days, and ascending ones twice in the east."""
    places = [{**s, "size": SLICE} for s in squares(area, *SLICE, (200_000.0, 160_000.0))]
    moment, orbit = FIRST + timedelta(hours=5), 40_000
    while moment < LAST:
        day = (moment - FIRST).days
        for number, place in enumerate(places):
            for direction, shift in (("descending", 0), ("ascending", 5)):
                dense = direction == "ascending" and place["zone"] > 32
                if (day + number + shift) % (6 if dense else 12) == 0:
                    name = f"S1A_IW_GRDH_1SDV_{moment:%Y%m%dT%H%M%S}_{direction[:4]}_{number}_sigma0"
                    orbit += 1
                    told = {"sat:orbit_state": direction, "sat:absolute_orbit": orbit}
                    yield moved(template, name, place, moment, **told)
        moment += timedelta(days=1)


def elevation(template: bytes, area: str) -> Iterator[Any]:
    """One item a degree."""
    for west, south in cells(area):
        for x in range(west, west + CELL):
            for y in range(south, south + CELL):
                item = orjson.loads(template)
                name = f"Copernicus_DSM_COG_10_N{y:02}_00_{'EW'[x < 0]}{abs(x):03}_00_DEM"
                box = shapely.box(x, y, x + 1, y + 1)
                item |= {"id": name, "geometry": shapely.geometry.mapping(box), "links": []}
                item["bbox"] = [x, y, x + 1, y + 1]
                for holder in (item["properties"], *item["assets"].values()):
                    if "proj:transform" in holder:
                        step = 1 / 3600
                        holder["proj:transform"] = [step, 0, x - step / 2, 0, -step, y + 1 + step / 2]
                        holder["proj:shape"] = [3600, 3600]
                for asset in item["assets"].values():
                    asset["href"] = f"https://example.com/{name}.tif"
                yield item


KINDS = {
    "SENTINEL2_L2A": ("sentinel-2-l2a", sentinel2),
    "SENTINEL1_GRD": ("sentinel-1-sigma0", sentinel1),
    "COPERNICUS_30": ("cop-dem-glo-30", elevation),
}


def make_items(folder: Path, archive: Path, area: str) -> dict[str, int]:
    """The stac-geoparquet of each collection; returns the numbers of items."""
    counts = {}
    for collection, (kind, generate) in KINDS.items():
        path = folder / f"{kind}.parquet"
        if not path.exists():
            first = sorted(p for p in (archive / kind).rglob("*.json") if p.name != "collection.json")[0]
            template = json.loads(first.read_text()) | {"collection": kind}
            # Names and times of the template's own acquisition.
            properties = template["properties"]
            template["properties"] = {k: v for k, v in properties.items() if "2019" not in str(v)}
            facts = ("href", "proj:shape", "proj:transform", "raster:bands")
            for name, asset in template["assets"].items():
                template["assets"][name] = {k: v for k, v in asset.items() if k in facts}
            part = path.with_suffix(".part")
            items = generate(orjson.dumps(template), area)
            batches = arrow.parse_stac_items_to_arrow(items, chunk_size=2000, schema="FirstBatch")
            arrow.to_parquet(batches, part)
            part.replace(path)
        counts[collection] = count_rows(path)
    return counts


def count_rows(path: Path) -> int:
    """Rows of a file."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def write_catalog(folder: Path) -> Path:
    """The configuration that puts them together."""
    entries = {c: {"catalog": f"{kind}.parquet"} for c, (kind, _) in KINDS.items()}
    entries["ESA_WORLDCOVER_10M_2021_V2"] = {"catalog": "landcover"}
    path = folder / "catalog.json"
    path.write_text(json.dumps({"collections": entries}, indent=1))
    return path


BACK_ENDS = {
    "backends": {
        "north": {
            "url": "https://north.example/openeo/1.2",
            "model": {"kind": "address", "href": "https://north.example/{sha256}/{name}"},
            "machine": {"count": 40},
            "tariff": {"currency": "EUR", "cpu_hour": 0.04, "memory_gb_hour": 0.005},
        },
        "south": {
            "url": "https://south.example/openeo/1.2",
            "model": {"kind": "address", "href": "https://south.example/{sha256}/{name}"},
            "machine": {
                "count": 10, "cores": 16, "memory_mb": 64_000, "worker_memory_mb": 7_600, "worker_cores": 2,
            },
            "tariff": {"currency": "EUR", "cpu_hour": 0.06},
            "speed": 1.3,
        },
    }
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, then plan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--area", default="EU27")
    parser.add_argument("--season", default="2023-03-01/2023-10-31")
    parser.add_argument("--only-generate", action="store_true")
    given = parser.parse_args(arguments)
    make_landcover(given.folder / "landcover", given.area)
    counts = make_items(given.folder, given.archive, given.area)
    files = sorted((given.folder / "landcover").glob("*_Map.tif"))
    size = sum(f.stat().st_size for f in files)
    with rasterio.open(files[0]) as one:
        print(f"{len(files)} land cover files, {size / 1e9:.1f} GB, {one.width} pixels, {one.overviews(1)}")
    print(", ".join(f"{name}: {number:,} items" for name, number in counts.items()))
    if given.only_generate:
        return
    profiles = given.folder / "backends.json"
    profiles.write_text(json.dumps(BACK_ENDS))
    command = [sys.executable, "-c", "from acreage.cli.main import main; main()", "plan"]
    command += [str(given.folder / f"plan-{time.strftime('%Y%m%d-%H%M%S')}"), "--area", given.area]
    command += ["--season", given.season, "--model", str(given.model), "--backends", str(profiles)]
    command += ["--catalog", str(write_catalog(given.folder))]
    started = time.monotonic()
    subprocess.run(command, check=True)
    print(f"{time.monotonic() - started:.1f} s in all")


if __name__ == "__main__":
    main()
