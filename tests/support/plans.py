"""What tests of planning need: a tiny archive, a model for it, profiles, and a catalog of made-up items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import yaml
from pyproj import Transformer
from tests.support.croptype_samples import QUICK, make_samples
from tests.support.tiny_archive import NORTH, WEST, Layer, TinyArchive

from acreage.catalog.items import Bounds, CollectionInfo, Interval, Search, SourceItem
from acreage.core.legend import Legend, LegendClass
from acreage.croptype.modelfile import save_model
from acreage.croptype.training import train
from acreage.production.profiles import Profile

SEASON_TEXT = "2019-03-01/2019-10-31"
DAYS = ("2019-04-02", "2019-06-11", "2019-08-20")
S2_ASSETS = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
SIZE = 128


def tiny_archive(folder: Path) -> Path:
    """1.28 km, three dates of each sensor; cropland in the west, none in the east; ascending but for one.

    Its values are random: constant ones are implausible.
    """
    made, half, rng = TinyArchive(folder), SIZE // 2, np.random.default_rng(7)
    for n, day in enumerate(DAYS):
        layers = {name: Layer(rng.integers(300, 3000, (SIZE, SIZE)).astype(np.uint16)) for name in S2_ASSETS}
        layers["scl"] = Layer(np.full((half, half), 4, np.uint8), 20)
        stated = {
            "platform": "sentinel-2a",
            "grid:code": "MGRS-31UES",
            "s2:datatake_id": f"GS2A_{day.replace('-', '')}T105621_019308_N02.07",
            "earthsearch:boa_offset_applied": True,
        }
        made.add("sentinel-2-l2a", f"s2-{n}", f"{day}T10:56:21Z", layers, **stated)
        radar = Layer(rng.gamma(4.0, 0.025, (SIZE, SIZE)).astype(np.float32), nodata=None)
        orbit = {"sat:absolute_orbit": n, "sat:orbit_state": "descending" if n == 0 else "ascending"}
        made.add("sentinel-1-sigma0", f"s1-{n}", f"{day}T17:30:00Z", {"vv": radar, "vh": radar}, **orbit)
    height = Layer(np.full((50, 50), 20, np.float32), 30, nodata=None)
    made.add("cop-dem-glo-30", "dem", "2021-04-22T00:00:00Z", {"data": height})
    cover = np.full((SIZE, SIZE), 40, np.uint8)
    cover[:, half:] = 10
    made.add("esa-worldcover", "lc", "2021-01-01T00:00:00Z", {"map": Layer(cover)})
    return made.write()


def archive_area() -> str:
    """A square of the map's grid that lies within the archive, as the command line takes it."""
    to_map = Transformer.from_crs("EPSG:32631", "EPSG:3035", always_xy=True)
    x, y = to_map.transform(WEST + 5 * SIZE, NORTH - 5 * SIZE)
    return f"EPSG:3035:{x - 400:.0f},{y - 400:.0f},{x + 400:.0f},{y + 400:.0f}"


def tiny_model(path: Path) -> Path:
    """A small model of two crops, for `SEASON_TEXT`."""
    legend = Legend(
        "test",
        (
            LegendClass(3, "wheat", "Wheat", "#e2b007", (40,), ("110101????", "1110")),
            LegendClass(17, "maize", "Maize", "#f4d03f", (40,), ("110106????", "12??")),
        ),
    )
    save_model(train(make_samples(), legend, (40,), QUICK), path)
    return path


def profile_document(**changes: Any) -> dict[str, Any]:
    """A back end that lets four workers of 3.8 GB work on each of its two machines."""
    return {
        "url": "http://127.0.0.1:9/openeo/1.2",
        "model": {"kind": "address", "href": "http://127.0.0.1:9/{sha256}"},
        "machine": {"count": 2},
        "tariff": {"currency": "EUR", "cpu_hour": 0.36},
        **changes,
    }


def profile(**changes: Any) -> Profile:
    """The same, read."""
    return Profile.from_dict(profile_document(**changes))


def profiles_file(path: Path, profiles: Mapping[str, Mapping[str, Any]]) -> Path:
    """The YAML file of back ends."""
    path.write_text(yaml.safe_dump({"backends": {name: dict(p) for name, p in profiles.items()}}))
    return path


@dataclass(frozen=True)
class ListedCatalog:
    """A catalog of items that are held in memory, without files; it counts what it was asked.

    Attributes:
        items: by collection.
        asked: bounds and intervals of the searches.
    """

    items: Mapping[str, Sequence[SourceItem]]
    asked: list[tuple[str, Bounds, Interval]]

    def collections(self) -> tuple[str, ...]:
        return tuple(self.items)

    def describe(self, collection_id: str) -> CollectionInfo:
        from acreage.catalog.items import BandInfo

        boxes = [shapely.box(*i.bbox) for i in self.items[collection_id]]
        bounds = shapely.union_all(boxes).bounds
        bands = (BandInfo("B1"),)
        return CollectionInfo(collection_id, "", "", bands, (bounds,), (None, None), "item")

    def search(
        self,
        collection_id: str,
        bounds: Bounds,
        interval: Interval = (None, None),
        bands: tuple[str, ...] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Search:
        self.asked.append((collection_id, bounds, interval))
        start, end = interval
        area = shapely.box(*bounds)
        found = [
            i
            for i in self.items[collection_id]
            if shapely.box(*i.bbox).intersects(area)
            and (start is None or i.datetime >= start)
            and (end is None or i.datetime < end)
        ]
        return Search(tuple(found))


def listed_item(name: str, moment: str, footprint: shapely.Geometry, **properties: Any) -> SourceItem:
    """An item without files."""
    return SourceItem(
        name,
        "any",
        "",
        np.datetime64(moment, "ms"),
        footprint.bounds,
        str(properties.get("sat:absolute_orbit", name)),
        (),
        {},
        properties,
        shapely.to_wkb(footprint),
    )
