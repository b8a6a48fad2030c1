"""A tiny archive of random pixels on disk, for tests of the engine: nothing in it looks like the Earth.

It lies on the border of UTM zones 31 and 32 (6 degrees east, 50 degrees north). Sentinel-2 comes as two
granules, one a zone, that overlap in the middle; every band and the scene
classification have holes of their own.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

CENTRE = (6.0, 50.0)
S2_DATES = ("2019-03-02", "2019-03-05", "2019-03-14", "2019-04-03", "2019-05-20", "2020-03-08")
S1_DATES = ("2019-03-03", "2019-03-09", "2019-04-01", "2020-03-04")
ZONES = ("EPSG:32631", "EPSG:32632")
S2_ASSETS = {"red": 10, "nir": 10, "rededge1": 20, "scl": 20}
S2_BANDS = ("B04", "B08", "B05", "SCL")
REACH, OVERLAP = 400, 160  # metres that a granule reaches to its own side of the border, and beyond it

Array = NDArray[Any]


def centre_in(crs: str) -> tuple[float, float]:
    """The archive's centre in a CRS, rounded to whole 100 units."""
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(*CENTRE)
    return round(x, -2), round(y, -2)


def make_archive(folder: Path) -> Path:
    """Write the archive; returns its catalog.json."""
    rng = np.random.default_rng(20190301)
    links = [
        _sentinel2(folder, rng),
        _sentinel1(folder, rng),
        _elevation(folder, rng),
        _landcover(folder, rng),
    ]
    path = folder / "catalog.json"
    path.write_text(
        json.dumps(
            {"type": "Catalog", "id": "random", "stac_version": "1.1.0", "description": "", "links": links}
        )
    )
    return path


@contextmanager
def served_in_ranges(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP with byte ranges, as object stores do; yields the address."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, directory=str(folder), **kwargs)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

        def do_GET(self) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            path = Path(self.translate_path(self.path))
            if wanted is None or not path.is_file():
                super().do_GET()
                return
            content = path.read_bytes()
            start = int(wanted[1])
            part = content[start : int(wanted[2]) + 1 if wanted[2] else None]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _sentinel2(folder: Path, rng: np.random.Generator) -> dict[str, str]:
    items = []
    for n, day in enumerate(S2_DATES):
        for side, crs in enumerate(ZONES):
            if side == 1 and n == 1:
                continue  # a date with one granule only
            x, y = centre_in(crs)
            west = x - (REACH if side == 0 else OVERLAP)
            name = f"S2A_{crs[-2:]}_{day.replace('-', '')}"
            transform = {r: Affine(r, 0, west, 0, -r, y + 300) for r in (10, 20)}
            hidden = _patches(rng, 30, 28)
            rasters = {}
            for asset, res in S2_ASSETS.items():
                shape = (600 // res, (REACH + OVERLAP) // res)
                rasters[asset] = (_s2_values(rng, asset, shape, hidden), transform[res], 0)
            platform = {"platform": "sentinel-2a", "grid:code": f"MGRS-{crs[-2:]}UXX"}
            take = {"s2:datatake_id": f"GS2A_{day.replace('-', '')}T103021_01{n}_N02.07"}
            corrected = {"earthsearch:boa_offset_applied": True, "eo:cloud_cover": 10.0 * n}
            items.append(
                _item(
                    folder,
                    "sentinel-2-l2a",
                    name,
                    crs,
                    f"{day}T10:3{n}:21Z",
                    rasters,
                    platform | take | corrected,
                )
            )
    return _collection(folder, "sentinel-2-l2a", items)


def _s2_values(rng: np.random.Generator, asset: str, shape: tuple[int, int], hidden: Array) -> Array:
    rows, columns = (np.arange(n) * h // n for n, h in zip(shape, hidden.shape, strict=True))
    lost = hidden[np.ix_(rows, columns)] | (rng.random(shape) < 0.02)
    if asset == "scl":
        # Clouds in one patch: dilated, they must leave something clear.
        values = rng.choice([4, 4, 4, 5, 5, 6], shape).astype(np.uint8)
        values[_patches(rng, *shape, count=1)] = rng.choice([3, 8, 9, 10])
        return np.where(lost, 0, values).astype(np.uint8)
    # Neighbouring numbers, so that medians of an even count have halves.
    return np.where(lost, 0, rng.integers(1, 6000, shape)).astype(np.uint16)


def _patches(rng: np.random.Generator, rows: int, columns: int, count: int = 3) -> Array:
    mask = np.zeros((rows, columns), bool)
    for _ in range(count):
        r, c = rng.integers(0, rows), rng.integers(0, columns)
        mask[r : r + int(rng.integers(2, 9)), c : c + int(rng.integers(2, 9))] = True
    return mask


def _sentinel1(folder: Path, rng: np.random.Generator) -> dict[str, str]:
    x, y = centre_in(ZONES[0])
    items = []
    for n, day in enumerate(S1_DATES):
        rasters = {}
        for asset in ("vv", "vh"):
            values = rng.gamma(2.0, 0.05, (34, 40)).astype(np.float32)
            values[rng.random(values.shape) < 0.05] = np.nan
            rasters[asset] = (values, Affine(20, 0, x - 400, 0, -20, y + 340), "nan")
        properties = {"sat:orbit_state": "ascending" if n % 2 else "descending", "platform": "sentinel-1a"}
        items.append(
            _item(folder, "sentinel-1-sigma0", f"S1_{n}", ZONES[0], f"{day}T17:31:5{n}Z", rasters, properties)
        )
    return _collection(folder, "sentinel-1-sigma0", items)


def _elevation(folder: Path, rng: np.random.Generator) -> dict[str, str]:
    values = rng.normal(300, 20, (40, 60)).astype(np.float32)
    place = Affine(1 / 3600, 0, 6 - 30 / 3600, 0, -1 / 3600, 50 + 20 / 3600)
    item = _item(
        folder,
        "cop-dem-glo-30",
        "dem",
        "EPSG:4326",
        "2021-04-22T00:00:00Z",
        {"data": (values, place, None)},
        {},
    )
    return _collection(folder, "cop-dem-glo-30", [item])


def _landcover(folder: Path, rng: np.random.Generator) -> dict[str, str]:
    values = rng.choice([0, 10, 30, 40, 40, 40, 50], (130, 200)).astype(np.uint8)
    place = Affine(1 / 12000, 0, 6 - 100 / 12000, 0, -1 / 12000, 50 + 65 / 12000)
    item = _item(
        folder,
        "esa-worldcover",
        "landcover",
        "EPSG:4326",
        "2021-01-01T00:00:00Z",
        {"map": (values, place, 0)},
        {},
    )
    return _collection(folder, "esa-worldcover", [item])


def _item(
    folder: Path,
    collection: str,
    name: str,
    crs: str,
    moment: str,
    rasters: Mapping[str, tuple[Array, Affine, Any]],
    properties: Mapping[str, Any],
) -> dict[str, Any]:
    home = folder / collection / name
    home.mkdir(parents=True)
    assets, outline = {}, None
    for asset, (values, place, nodata) in rasters.items():
        shape = values.shape
        with rasterio.open(
            home / f"{asset}.tif", "w", "GTiff", shape[1], shape[0], 1, crs, place, values.dtype,
            nodata=np.nan if nodata == "nan" else nodata, tiled=True, blockxsize=32, blockysize=32,
            compress="deflate",
        ) as file:  # fmt: skip
            file.write(values, 1)
        facts: dict[str, Any] = {"data_type": str(values.dtype)}
        if nodata is not None:
            facts["nodata"] = nodata
        assets[asset] = {
            "href": f"./{asset}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "proj:shape": list(shape),
            "proj:transform": list(place)[:6],
            "raster:bands": [facts],
        }
        outline = _outline(crs, place, shape)
    assert outline is not None
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": ["https://stac-extensions.github.io/projection/v2.0.0/schema.json"],
        "id": name,
        "collection": collection,
        "geometry": shapely.geometry.mapping(outline),
        "bbox": list(outline.bounds),
        "properties": {"datetime": moment, "proj:code": crs, **properties},
        "assets": assets,
        "links": [],
    }
    (home / f"{name}.json").write_text(json.dumps(item))
    return item


def _outline(crs: str, place: Affine, shape: tuple[int, ...]) -> shapely.Polygon:
    forward = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform
    corners = [(0, 0), (shape[1], 0), (shape[1], shape[0]), (0, shape[0])]
    xs, ys = zip(*[(place.a * c + place.c, place.e * r + place.f) for c, r in corners], strict=True)
    return shapely.Polygon(list(zip(*forward(xs, ys), strict=True)))


def _collection(folder: Path, name: str, items: list[dict[str, Any]]) -> dict[str, str]:
    boxes = np.array([i["bbox"] for i in items])
    moments = sorted(i["properties"]["datetime"] for i in items)
    document = {
        "type": "Collection",
        "id": name,
        "stac_version": "1.1.0",
        "description": "Random pixels",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]]},
            "temporal": {"interval": [[moments[0], moments[-1]]]},
        },
        "links": [{"rel": "item", "href": f"./{i['id']}/{i['id']}.json"} for i in items],
    }
    (folder / name / "collection.json").write_text(json.dumps(document))
    return {"rel": "child", "href": f"./{name}/collection.json"}
