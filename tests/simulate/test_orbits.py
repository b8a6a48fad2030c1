"""Orbits, dates, times and edges of swaths are those of real items."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from acreage.core.grid import transformer
from acreage.core.temporal import Season
from acreage.simulate.orbits import MISSIONS, Direction, coverage, passes, track
from acreage.simulate.schedule import acquisitions, slices
from acreage.simulate.settings import ArchiveSettings

FLANDERS = (4.063, 50.746)


def place(longitude: float, latitude: float) -> tuple[float, float]:
    x, y = transformer("EPSG:4326", "EPSG:3035").transform(longitude, latitude)
    return float(x), float(y)


def around(longitude: float, latitude: float) -> tuple[float, float, float, float]:
    x, y = place(longitude, latitude)
    return (x - 300, y - 300, x + 300, y + 300)


def orbits_over(mission: str, longitude: float, latitude: float) -> tuple[tuple[int, Direction], ...]:
    return tuple((r, d) for r, d, _ in coverage(mission, around(longitude, latitude)))


def test_every_real_sentinel2_date_of_a_site_is_a_pass(real_data: Path) -> None:
    real = {
        json.loads(p.read_text("utf-8"))["properties"]["datetime"][:10]
        for p in real_data.glob("flanders-2019/sentinel-2-l2a/*/*.json")
    }
    season = Season(date(2018, 8, 1), date(2019, 12, 1))
    assert orbits_over("sentinel-2", *FLANDERS) == ((51, "descending"),)
    seen = passes("sentinel-2", ((51, "descending"),), season, place(*FLANDERS))
    days = {p.time_at(*place(*FLANDERS)).date().isoformat() for p in seen}
    assert len(real) == 72
    assert real <= days


def test_real_sentinel1_passes_of_a_site_come_within_a_minute(real_data: Path) -> None:
    real = sorted(
        datetime.strptime(p.name[3:18], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        for p in real_data.glob("flanders-2019/sentinel-1-sigma0/S1_*")
    )
    season = Season(date(2018, 8, 1), date(2019, 12, 1))
    ascending = tuple(o for o in orbits_over("sentinel-1", *FLANDERS) if o[1] == "ascending")
    assert ascending == ((161, "ascending"),)
    times = [p.time_at(*place(*FLANDERS)) for p in passes("sentinel-1", ascending, season, place(*FLANDERS))]
    for moment in real:
        assert min(abs(t - moment) for t in times) < timedelta(minutes=1), moment


@pytest.mark.parametrize(
    ("satellite", "absolute", "relative", "moment", "longitude", "latitude"),
    [
        # As stated by s2:datatake_id, s2:product_uri and datetime of real items.
        ("sentinel-2a", 42590, 122, "2023-08-18T10:07:54", 15.7, 46.45),
        ("sentinel-2b", 33610, 122, "2023-08-13T10:07:53", 15.7, 46.45),
        ("sentinel-2a", 38958, 65, "2022-12-07T10:28:04", 8.4, 46.46),
        ("sentinel-2a", 31436, 122, "2021-06-29T10:07:35", 15.7, 47.3),
        ("sentinel-2a", 21097, 79, "2019-07-07T09:57:41", 15.7, 47.3),
        ("sentinel-2b", 11259, 79, "2019-05-03T09:57:44", 15.7, 47.3),
        ("sentinel-1a", 39156, 59, "2021-08-09T17:40:05", 3.37, 45.5),
        ("sentinel-1b", 30148, 22, "2021-12-23T05:11:35", 13.5, 41.8),
    ],
)
def test_orbit_numbers_and_times_of_real_items(
    satellite: str, absolute: int, relative: int, moment: str, longitude: float, latitude: float
) -> None:
    mission = satellite[:-1]
    assert MISSIONS[mission].relative_orbit(satellite, absolute) == relative
    stated = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    season = Season(stated.date(), stated.date())
    directions: tuple[Direction, ...] = ("ascending", "descending")
    found = [
        p
        for p in passes(mission, tuple((relative, d) for d in directions), season, place(longitude, latitude))
        if p.absolute_orbit == absolute and p.satellite == satellite
    ]
    times = [p.time_at(*place(longitude, latitude)) for p in found]
    assert min(abs(t - stated) for t in times) < timedelta(seconds=60)


@pytest.mark.parametrize(
    ("mission", "relative", "direction", "longitude", "latitude", "side"),
    [
        # Corners of nodata triangles in footprints of 33TWM (eastern edge) and 32TMS (western edge).
        ("sentinel-2", 122, "descending", 16.396, 45.958, 0),
        ("sentinel-2", 122, "descending", 16.418, 46.010, 0),
        ("sentinel-2", 65, "descending", 7.692, 46.686, 1),
        ("sentinel-2", 65, "descending", 7.786, 46.947, 1),
        # Corners of slices: near edge first.
        ("sentinel-1", 59, "ascending", 1.512, 46.034, 0),
        ("sentinel-1", 59, "ascending", 5.189, 44.939, 1),
        ("sentinel-1", 22, "descending", 14.925, 40.877, 0),
        ("sentinel-1", 22, "descending", 12.190, 42.780, 1),
    ],
)
def test_edges_of_the_swath_are_those_of_real_footprints(
    mission: str, relative: int, direction: Direction, longitude: float, latitude: float, side: int
) -> None:
    x, y = place(longitude, latitude)
    across = float(track(mission, relative, direction).across(np.array(x), np.array(y)))
    assert across == pytest.approx(MISSIONS[mission].swath[side], abs=2500)


def test_a_satellite_that_is_gone_is_not_seen() -> None:
    season = Season(date(2022, 5, 1), date(2022, 6, 30))
    seen = passes("sentinel-1", ((161, "ascending"),), season, place(*FLANDERS))
    assert {p.satellite for p in seen} == {"sentinel-1a"}
    days = sorted(p.node.date() for p in seen)
    assert {(b - a).days for a, b in pairwise(days)} == {12}


def test_schedules_know_baselines_duplicates_and_gaps() -> None:
    settings = ArchiveSettings.around((5.985, 45.108), 3.2, reprocessed_every=4)
    seen = acquisitions(settings)
    before = [a for a in seen if a.sensed.date() < settings.switch]
    assert {a.processings[0].baseline for a in before} == {"03.01"}
    assert {a.processings[0].baseline for a in seen[len(before) :]} == {"04.00"}
    assert sum(len(a.processings) == 2 for a in seen) == pytest.approx(len(seen) / 4, abs=1)
    assert all(a.processings[-1].generated > a.sensed for a in seen)
    cuts = slices(settings)
    assert {c.seen.direction for c in cuts} == {"ascending", "descending"}
    orbits = [c.seen.absolute_orbit for c in cuts]
    assert len(set(orbits)) < len(orbits)  # some passes come in two slices
    assert {c.software for c in cuts} == {"002.84", "003.10"}
    assert slices(settings) == cuts
