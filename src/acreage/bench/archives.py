"""The simulated archives that the benchmarks read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from acreage.bench.blocks import S2 as SENTINEL_2
from acreage.bench.variants import share_archive
from acreage.core.errors import InvalidInput
from acreage.core.outputs import whole_folder
from acreage.core.temporal import Season
from acreage.simulate.archive import Archive, Progress, open_archive, simulate_archive
from acreage.simulate.settings import ArchiveSettings

CENTRE = (4.35, 50.65)  # where four granules of Sentinel-2 overlap, and a slice of Sentinel-1 ends
_TILE = ArchiveSettings.around(
    CENTRE,
    20.0,
    season=Season(date(2019, 1, 3), date(2019, 12, 29)),
    s2_orbits=1,
    s1_every=3,
    reprocessed_every=0,
)
_QUARTER = replace(
    _TILE,
    area=ArchiveSettings.around(CENTRE, 10.0).area,
    season=Season(date(2019, 1, 3), date(2019, 12, 24)),
    s1_directions=("ascending",),
    s1_orbits=2,
)
QUICK_SEASON = Season(date(2019, 5, 1), date(2019, 5, 20))
_QUICK = replace(_TILE, area=ArchiveSettings.around(CENTRE, 1.28).area, season=QUICK_SEASON, s1_every=2)


def settings_for(size_km: float, *, quick: bool) -> ArchiveSettings:
    """What an archive of this size is simulated with; `quick` is 1.28 km and two dekads of May.

    Raises:
        InvalidInput: there is no archive of this size.
    """
    if quick:
        return _QUICK
    known = {20.0: _TILE, 10.0: _QUARTER}
    if size_km not in known:
        raise InvalidInput(f"There is no benchmark of {size_km:g} km.", hint="Give --size-km 10 or 20.")
    return known[size_km]


def archive_at(
    folder: Path, settings: ArchiveSettings | None, progress: Progress | None, threads: int
) -> Archive:
    """The archive in a folder, simulated with `settings` where there is none.

    Raises:
        InvalidInput: what is there is no archive in Earth Search's form, or there is none and no settings.
        WriteFailed: the disk refused.
    """
    if folder.exists() or settings is None:
        found = open_archive(folder)
    else:
        found = simulate_archive(folder, settings, progress, threads=threads)
    if found.settings.form != "earth-search" or found.settings.radar_product != "sigma0":
        raise InvalidInput(
            f"{folder} is in the form of {found.settings.form}; benchmarks read Earth Search's."
        )
    return found


def thinned(archive: Path, out: Path, every: int) -> Path:
    """The archive with every so manieth date of Sentinel-2; its files are shared by hard links.

    Returns:
        Its `catalog.json`. What is there already is used.
    """
    if not out.exists():
        with whole_folder(out, overwrite=False, ours=()) as work:
            share_archive(archive, work)
            kept = set(_days(archive)[::every])
            collection = work / SENTINEL_2 / "collection.json"
            document = json.loads(collection.read_text("utf-8"))
            document["links"] = list(_kept_links(document["links"], kept))
            collection.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return out / "catalog.json"


def dates_of(archive: Path) -> int:
    """Number of dates of Sentinel-2."""
    return len(_days(archive))


def _days(archive: Path) -> list[str]:
    return sorted({home.name.split("_")[2] for home in (archive / SENTINEL_2).iterdir() if home.is_dir()})


def _kept_links(links: Iterable[dict[str, Any]], days: set[str]) -> Iterable[dict[str, Any]]:
    for link in links:
        if link["rel"] != "item" or Path(link["href"]).parent.name.split("_")[2] in days:
            yield link
