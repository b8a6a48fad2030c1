"""A simulated archive: images of a landscape whose truth is known, published as a static STAC catalog.

Everything in it is simulated and says so. The forward model shares no code with the engine that will read it.

Files:
    `catalog.json` and a folder for each collection with its items and pixels; the truth on the 10 m grid of
    EPSG:3035: `truth.tif` (crop code, 0 where no class of the legend grows) and `landcover.tif` (WorldCover
    codes); `parcels.gpkg`, `points.gpkg`, `points.parquet` (label, code, split); `archive.json` (the
    settings); `landscape.png`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from acreage.core.errors import InvalidInput
from acreage.core.grid import Box
from acreage.core.outputs import whole_folder
from acreage.simulate.forward import Forward
from acreage.simulate.granules import Granule, granules_over
from acreage.simulate.labels import points_of, split_parcels, write_labels
from acreage.simulate.lattice import coarser
from acreage.simulate.picture import draw_landscape
from acreage.simulate.publish import FORMS
from acreage.simulate.publish.products import OpticalProduct, Published, RadarProduct
from acreage.simulate.publish.radar import COLLECTIONS, publish_radar, resolution
from acreage.simulate.publish.radar import DESCRIPTIONS as RADAR_DESCRIPTIONS
from acreage.simulate.publish.stac import write_catalog
from acreage.simulate.publish.static import DESCRIPTIONS as STATIC_DESCRIPTIONS
from acreage.simulate.publish.static import publish_dem, publish_worldcover
from acreage.simulate.schedule import Acquisition, Slice, acquisitions, slices
from acreage.simulate.sensors import Places, optical_pixels, outline, radar_box, radar_pixels
from acreage.simulate.settings import ArchiveSettings, settings_from_dict, settings_to_dict
from acreage.simulate.truth import write_truth

SETTINGS_FILE = "archive.json"
Progress = Callable[[int, int, str], None]
Job = Callable[[], list[Published]]


@dataclass(frozen=True)
class Archive:
    """A simulated archive on disk.

    Attributes:
        folder: holds all the rest.
        settings: that it was simulated with.
    """

    folder: Path
    settings: ArchiveSettings

    @property
    def catalog(self) -> Path:
        """Root of the STAC catalog."""
        return self.folder / "catalog.json"

    @property
    def parcels(self) -> Path:
        """Parcels with labels and the split into training and test."""
        return self.folder / "parcels.gpkg"

    @property
    def points(self) -> Path:
        """Points inside of these parcels, with the same labels and split."""
        return self.folder / "points.gpkg"

    @property
    def truth(self) -> Path:
        """Crop codes at 10 m, EPSG:3035."""
        return self.folder / "truth.tif"

    @property
    def landcover(self) -> Path:
        """WorldCover codes at 10 m, EPSG:3035."""
        return self.folder / "landcover.tif"

    @property
    def picture(self) -> Path:
        """Picture of the landscape."""
        return self.folder / "landscape.png"

    @property
    def bbox(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees, inside of the area."""
        return self.settings.bbox

    def count(self, collection: str) -> int:
        """Number of items of a collection."""
        return sum(1 for _ in (self.folder / collection).glob("*/*.json"))


def simulate_archive(
    out: Path, settings: ArchiveSettings, progress: Progress | None = None, *, threads: int = 2
) -> Archive:
    """Simulate an archive into the folder `out`, which appears whole or not at all.

    `progress` is called after every product with (products done, all products, id of the last).

    Raises:
        OutputExists: `out` is there already.
        WriteFailed: the disk refused.
    """
    forward = Forward(settings)
    places = Places(forward.ground)
    with whole_folder(out, overwrite=False, ours=()) as work:
        jobs = list(_jobs(work, settings, forward, places))
        published: list[Published] = []
        with ThreadPoolExecutor(threads) as pool:
            try:
                for done, items in enumerate(pool.map(lambda job: job(), jobs), 1):
                    published += items
                    if progress is not None:
                        progress(done, len(jobs), items[-1].id if items else "")
            finally:  # an interrupted run does not wait for what has not begun
                pool.shutdown(cancel_futures=True)
        title = f"{settings.form} form, {settings.season}, seed {settings.seed}"
        write_catalog(work, title, published, _descriptions(settings))
        write_truth(work, settings, forward)
        parcels = split_parcels(forward.ground.parcels(settings.area), settings.seed, settings.train_share)
        write_labels(work, parcels, points_of(parcels, settings.seed))
        draw_landscape(work / "landscape.png", settings, forward, parcels)
        text = json.dumps({"simulated": True, **settings_to_dict(settings)}, indent=1)
        (work / SETTINGS_FILE).write_text(text + "\n", encoding="utf-8")
    return Archive(out, settings)


def open_archive(folder: Path) -> Archive:
    """An archive that was simulated earlier.

    Raises:
        InvalidInput: the folder holds none.
    """
    try:
        data = json.loads((folder / SETTINGS_FILE).read_text("utf-8"))
        if not isinstance(data, dict) or data.pop("simulated", None) is not True:
            raise ValueError(f"{SETTINGS_FILE} does not describe one")
        return Archive(folder, settings_from_dict(data))
    except (OSError, ValueError, InvalidInput) as error:
        raise InvalidInput(
            f"{folder} holds no simulated archive: {error}.", hint="Simulate one with `acreage simulate`."
        ) from error


def _descriptions(settings: ArchiveSettings) -> Mapping[str, str]:
    radar = settings.radar_product
    return {
        "sentinel-2-l2a": f"Sentinel-2 L2A in the form of {settings.form}, with scene classification",
        COLLECTIONS[radar]: RADAR_DESCRIPTIONS[radar],
        **STATIC_DESCRIPTIONS,
    }


def _jobs(work: Path, settings: ArchiveSettings, forward: Forward, places: Places) -> Iterator[Job]:
    """One function a product, which observes and writes it."""
    area = settings.published
    if "sentinel-2" in settings.sensors:
        seen = acquisitions(settings)
        for granule in granules_over(area):
            box = granule.box(10) if settings.full_granules else granule.cut(area)
            for one in seen:
                yield partial(_optical, work, settings, forward, places, granule, box, one)
    if "sentinel-1" in settings.sensors:
        for cut in slices(settings):
            yield partial(_radar, work, settings, forward, places, cut)
    if "dem" in settings.sensors:
        yield partial(publish_dem, work, area, settings.full_granules, forward.ground.elevation)
    if "worldcover" in settings.sensors:
        yield partial(publish_worldcover, work, area, settings.full_granules, forward.worldcover)


def _optical(
    work: Path,
    settings: ArchiveSettings,
    forward: Forward,
    places: Places,
    granule: Granule,
    box: Box,
    one: Acquisition,
) -> list[Published]:
    """All processings of one granule of an acquisition; none where the swath does not reach it."""
    pixels, inside = optical_pixels(forward, places, one.seen, one.sensed, box)
    if not inside.any():
        return []
    middle = granule.middle
    counts = np.bincount(pixels.scl.ravel(), minlength=12)
    percentages = {c: round(100.0 * int(n) / pixels.scl.size, 6) for c, n in enumerate(counts)}
    footprint = outline(inside, coarser(box, 2))
    found = []
    for processing in one.processings:
        product = OpticalProduct(
            seen=one.seen,
            granule=granule,
            processing=processing,
            sensed=one.sensed,
            strip=one.strip,
            moment=one.seen.time_at(*middle),
            box=box,
            footprint=footprint,
            percentages=percentages,
            offset_kept=one.offset_kept,
        )
        found.append(FORMS[settings.form](work, product, pixels))
    return found


def _radar(
    work: Path, settings: ArchiveSettings, forward: Forward, places: Places, cut: Slice
) -> list[Published]:
    radar = settings.radar_product
    box = radar_box(settings.published, cut, resolution(radar))
    seen = radar_pixels(forward, places, cut, box, radar == "rtc")
    if seen is None:
        return []
    tight, pixels, inside = seen
    product = RadarProduct(cut.seen, cut.start, cut.end, cut.take, tight, outline(inside, tight), cut.number)
    return [publish_radar(work, radar, product, pixels, cut.software)]
