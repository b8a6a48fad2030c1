"""Simulated archives for tests, made once for each state of the simulator and kept in the folder `build`."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import rasterio

from acreage.core.errors import OutputExists
from acreage.core.temporal import Season
from acreage.simulate.archive import Archive, open_archive, simulate_archive
from acreage.simulate.settings import ArchiveSettings, settings_to_dict

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "test-archives"

# On 6 degrees east, where UTM zones 31 and 32 meet; in the overlap of two rows of granules; and where the
# eastern edge of relative orbit 8 of Sentinel-2 crosses: four granules a datatake, two zones, nodata edges.
BOUNDARY = ArchiveSettings.around(
    (5.985, 45.108),
    3.2,
    season=Season(date(2019, 4, 1), date(2019, 6, 30)),
    seed=3,
    s2_every=3,
    s1_every=3,
    reprocessed_every=4,
)


# The same place in half a kilometre and three months, for what does not depend on size.
TINY = replace(
    BOUNDARY,
    area=ArchiveSettings.around((5.999, 45.108), 0.6).area,
    margin_m=200.0,
    sensors=("sentinel-2", "sentinel-1"),
    s2_orbits=1,
)


def boundary_archive(**changes: object) -> Archive:
    """The archive over the zone boundary in Earth Search's form, or with other settings."""
    return archive_of(replace(BOUNDARY, **changes))  # type: ignore[arg-type]


def archive_of(settings: ArchiveSettings) -> Archive:
    """The archive of these settings, simulated if it is not kept yet."""
    folder = KEPT / _key(settings)
    if not (folder / "archive.json").exists():
        _forget_old()
        with suppress(OutputExists):  # another test process was faster
            simulate_archive(folder, settings)
    return open_archive(folder)


def _key(settings: ArchiveSettings) -> str:
    text = json.dumps(settings_to_dict(settings), sort_keys=True)
    return f"{_sources()}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _sources() -> str:
    """A digest of all that the pixels depend on."""
    digest = hashlib.sha256(rasterio.__gdal_version__.encode())
    package = ROOT / "src" / "acreage"
    for path in (package / "core" / "grid.py", *sorted((package / "simulate").rglob("*"))):
        if path.suffix in (".py", ".json"):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:10]


def _forget_old() -> None:
    """Remove archives of earlier states that no test can still be reading."""
    for folder in KEPT.glob("[!.]*-*"):
        if not folder.name.startswith(_sources()) and time.time() - folder.stat().st_mtime > 86_400:
            shutil.rmtree(folder, ignore_errors=True)
