"""A small simulated scene: satellite images of a landscape whose truth is known, as a static STAC catalog.

The catalog has the form of real ones (asset names as in Earth Search v1); everything in it is simulated and
says so. The forward model shares no code with the engine that will read it.

Files:
    `catalog.json` and a folder for each of the collections sentinel-2-l2a, sentinel-1-sigma0, cop-dem-glo-30
    and esa-worldcover, with their items and COGs; `parcels.gpkg` (label, code, split, ...); `truth.tif` (crop
    code at 10 m, uint8, 0 where no crop class grows); `scene.json` (the settings); `landscape.png`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from acreage.core.errors import InvalidInput
from acreage.core.grid import Box, Grid, transformer
from acreage.core.outputs import whole_folder
from acreage.core.temporal import Season
from acreage.simulate.catalog import AssetFacts, ItemFacts, write_catalog
from acreage.simulate.landscape import Landscape, make_landscape
from acreage.simulate.observe import S2_20M, observe_optical, observe_radar
from acreage.simulate.phenology import Phenology, load_phenology
from acreage.simulate.picture import draw_landscape
from acreage.simulate.settings import SceneSettings

S2_TIME, S1_TIME = time(10, 56, 51, tzinfo=UTC), time(17, 31, 53, tzinfo=UTC)
S1_DESCENDING_TIME = time(5, 59, 12, tzinfo=UTC)
STATIC_TIME = datetime(2021, 1, 1, tzinfo=UTC)
NAN = float("nan")

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class SceneFiles:
    """A simulated scene on disk.

    Attributes:
        folder: holds all the rest.
        bbox: (west, south, east, north) in degrees; every point of it lies in the scene.
        s2_dates, s1_dates: number of observation dates.
        season: first and last day of the observations.
        seed: that it was simulated with.
    """

    folder: Path
    bbox: tuple[float, float, float, float]
    s2_dates: int
    s1_dates: int
    season: Season
    seed: int

    @property
    def catalog(self) -> Path:
        """Root of the STAC catalog."""
        return self.folder / "catalog.json"

    @property
    def parcels(self) -> Path:
        """Parcels with labels and the split into training and test."""
        return self.folder / "parcels.gpkg"

    @property
    def truth(self) -> Path:
        """Crop codes at 10 m."""
        return self.folder / "truth.tif"

    @property
    def settings(self) -> Path:
        """The settings as JSON."""
        return self.folder / "scene.json"

    @property
    def picture(self) -> Path:
        """Picture of the landscape."""
        return self.folder / "landscape.png"


def simulate_scene(
    out: Path, settings: SceneSettings, progress: Progress | None = None, *, threads: int = 2
) -> SceneFiles:
    """Simulate a scene into the folder `out`, which appears whole or not at all.

    `progress` is called after every item with (items done, all items, item id).

    Raises:
        OutputExists: `out` is there already.
        WriteFailed: the disk refused.
    """
    phenology = load_phenology()
    s2 = settings.dates(settings.s2_interval_days, 1)
    s1 = settings.dates(settings.s1_interval_days, 0)
    with whole_folder(out, overwrite=False, ours=()) as work:
        land = make_landscape(settings, phenology)
        total = len(s2) + len(s1) + 2
        items: list[ItemFacts] = []
        with ThreadPoolExecutor(threads) as pool:
            for done, item in enumerate(
                pool.map(lambda make: make(), _jobs(work, settings, phenology, land)), 1
            ):
                items.append(item)
                if progress is not None:
                    progress(done, total, item.id)
        write_catalog(work, settings, items)
        _write_truth(work, phenology, land)
        text = json.dumps({"simulated": True, **_settings_dict(settings)}, indent=1)
        (work / "scene.json").write_text(text + "\n", encoding="utf-8")
        draw_landscape(work / "landscape.png", settings, phenology, land)
    return _files(out, settings)


def open_scene(folder: Path) -> SceneFiles:
    """A scene that was simulated earlier.

    Raises:
        InvalidInput: the folder holds none.
    """
    try:
        data = json.loads((folder / "scene.json").read_text("utf-8"))
        known = {f.name for f in fields(SceneSettings)} - {"season"}
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in known
        }
        return _files(folder, SceneSettings(season=Season.parse(data["season"]), **values))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"{folder} holds no simulated scene: {error}.", hint="Simulate one with `acreage simulate`."
        ) from error


def _files(folder: Path, settings: SceneSettings) -> SceneFiles:
    s2 = settings.dates(settings.s2_interval_days, 1)
    s1 = settings.dates(settings.s1_interval_days, 0)
    return SceneFiles(folder, _inner_bbox(settings.box), len(s2), len(s1), settings.season, settings.seed)


def _jobs(
    work: Path, settings: SceneSettings, phenology: Phenology, land: Landscape
) -> Iterator[Callable[[], ItemFacts]]:
    """One function an item, which observes and writes it."""
    for i, day in enumerate(settings.dates(settings.s2_interval_days, 1)):
        yield lambda i=i, day=day: _optical_item(work, settings, phenology, land, day, i)  # type: ignore[misc]
    for i, day in enumerate(settings.dates(settings.s1_interval_days, 0)):
        yield lambda i=i, day=day: _radar_item(work, settings, phenology, land, day, i)  # type: ignore[misc]
    yield lambda: _static_item(work, "cop-dem-glo-30", "dem", "data", land.dem, land.dem_box, None)
    yield lambda: _static_item(work, "esa-worldcover", "worldcover", "map", land.landcover, land.box, 0.0)


def _optical_item(
    work: Path, settings: SceneSettings, phenology: Phenology, land: Landscape, day: Any, index: int
) -> ItemFacts:
    image = observe_optical(settings, phenology, land, day, index)
    satellite = "ab"[index % 2]
    name = f"SIM_S2{satellite.upper()}_{day:%Y%m%d}_L2A"
    folder = work / "sentinel-2-l2a" / name
    coarse = _coarser(land.box, 2)
    assets = []
    for band, values in image.bands.items():
        box = coarse if band in S2_20M else land.box
        _write_cog(folder / f"{band}.tif", values, box, 0.0)
        assets.append(AssetFacts(band, box, "uint16", 0, scale=0.0001))
    _write_cog(folder / "scl.tif", image.scl, coarse, 0.0)
    assets.append(AssetFacts("scl", coarse, "uint8", 0))
    properties = {
        "platform": f"sentinel-2{satellite}",
        "eo:cloud_cover": image.cloud_cover,
        "earthsearch:boa_offset_applied": True,
    }
    return ItemFacts("sentinel-2-l2a", name, datetime.combine(day, S2_TIME), tuple(assets), properties)


def _radar_item(
    work: Path, settings: SceneSettings, phenology: Phenology, land: Landscape, day: Any, index: int
) -> ItemFacts:
    orbit = settings.s1_orbits[index % len(settings.s1_orbits)]
    image = observe_radar(settings, phenology, land, day, index, orbit)
    name = f"SIM_S1_{day:%Y%m%d}_{orbit[:3].upper()}"
    box = _coarser(land.box, 2)
    for band, values in image.items():
        _write_cog(work / "sentinel-1-sigma0" / name / f"{band}.tif", values, box, NAN)
    properties = {"sat:orbit_state": orbit, "sar:instrument_mode": "IW", "platform": "sentinel-1"}
    moment = datetime.combine(day, S1_TIME if orbit == "ascending" else S1_DESCENDING_TIME)
    assets = tuple(AssetFacts(band, box, "float32", "nan") for band in image)
    return ItemFacts("sentinel-1-sigma0", name, moment, assets, properties)


def _static_item(
    work: Path, collection: str, name: str, asset: str, values: NDArray[Any], box: Box, nodata: float | None
) -> ItemFacts:
    _write_cog(work / collection / name / f"{asset}.tif", values, box, nodata)
    facts = AssetFacts(asset, box, str(values.dtype), None if nodata is None else int(nodata))
    return ItemFacts(collection, name, STATIC_TIME, (facts,), {})


def _write_truth(work: Path, phenology: Phenology, land: Landscape) -> None:
    land.parcels.to_file(work / "parcels.gpkg", layer="parcels", driver="GPKG")
    _write_cog(work / "truth.tif", land.truth, land.box, 0.0, _class_tags(phenology))


def _class_tags(phenology: Phenology) -> dict[str, str]:
    return {f"CLASS_{c.code}": c.name for c in phenology.covers if c.code}


def _write_cog(
    path: Path, values: NDArray[Any], box: Box, nodata: float | None, tags: dict[str, str] | None = None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="COG",
        width=box.width,
        height=box.height,
        count=1,
        dtype=values.dtype,
        crs=box.grid.crs,
        transform=box.affine,
        nodata=nodata,
        compress="deflate",
        blocksize=512,
        # Codes are never averaged; a quicklook of codes and of values alike may be a sample.
        overview_resampling="nearest",
    ) as target:
        target.write(values, 1)
        target.update_tags(SIMULATED="yes", **(tags or {}))


def _coarser(box: Box, factor: int) -> Box:
    """The same area in pixels `factor` times as large; the box's edges lie on them."""
    res = box.grid.res_x * factor
    return Grid.snapped(box.grid.crs, res).box_covering(*box.bounds)


def _inner_bbox(box: Box) -> tuple[float, float, float, float]:
    """Bounds in degrees of a rectangle inside the scene."""
    west, south, east, north = box.bounds
    forward = transformer(box.grid.crs, "EPSG:4326").transform
    lon, lat = forward(np.array([west, west, east, east]), np.array([south, north, south, north]))
    inside = (max(lon[:2]), max(lat[0], lat[2]), min(lon[2:]), min(lat[1], lat[3]))
    return (float(inside[0]), float(inside[1]), float(inside[2]), float(inside[3]))


def _settings_dict(settings: SceneSettings) -> dict[str, Any]:
    return {**asdict(settings), "season": str(settings.season), "crs": settings.box.grid.crs}
