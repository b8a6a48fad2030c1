from __future__ import annotations

import itertools
from datetime import date
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from tests.support.ledgers import tile_record
from tests.support.plans import ListedCatalog, listed_item, profile

from acreage.core.errors import InvalidInput
from acreage.core.temporal import Season
from acreage.croptype.orbits import cover_of, radar_pass
from acreage.croptype.workflow import CubeSettings
from acreage.production.areas import find_area
from acreage.production.ledger.values import BackEndRecord, TileState
from acreage.production.planning.choices import chosen_orbit, chosen_tolerance
from acreage.production.planning.costs import common_currency, load_of
from acreage.production.planning.estimates import (
    JobModel,
    Load,
    Need,
    choose_samples,
    fit,
    kept_part,
)
from acreage.production.planning.kept import Kept
from acreage.production.planning.observations import Observed, observations
from acreage.production.planning.outside import check_within
from acreage.production.planning.packing import Fleet, can_make, forecast
from acreage.production.planning.places import find_places, zone_of
from acreage.production.planning.priorities import priorities
from acreage.production.tiles import TileGrid

SEASON = Season(date(2019, 3, 1), date(2019, 4, 10))
SETTINGS = CubeSettings()


# --- places ---


def test_tiles_have_the_country_that_has_most_of_them_and_their_zone() -> None:
    area = find_area("BE,NL,LU")
    places = find_places(TileGrid(50_000).covering(area.geometry), area)
    by_country = {c: [p for p in places if p.country == c] for c in ("BE", "NL", "LU")}
    assert sum(len(v) for v in by_country.values()) == len(places)
    brussels = next(p for p in places if p.outline.contains(shapely.Point(4.35, 50.85)))
    assert (brussels.country, brussels.zone) == ("BE", "31N")
    for place in places[::7]:
        shares = {c: place.outline.intersection(s).area for c, s in area.countries.items()}
        assert shares[place.country] == max(shares.values())


def test_an_area_that_is_no_country_has_the_countries_around() -> None:
    area = find_area("5.9,50.6,6.2,50.9")
    places = find_places(TileGrid(10_000).covering(area.geometry), area)
    assert {p.country for p in places} >= {"BE", "DE"}
    sea = find_area("-20,40,-19.5,40.4")
    (one, *_) = find_places(TileGrid(20_000).covering(sea.geometry), sea)
    assert (one.country, one.zone) == ("", "27N")


@pytest.mark.parametrize(
    ("bounds", "zone"),
    [((-180, 10, -179, 11), "1N"), ((179, -1, 180, -0.5), "60S"), ((5.9, 45, 6.0, 46), "31N")],
)
def test_zones(bounds: tuple[float, float, float, float], zone: str) -> None:
    assert zone_of(shapely.box(*bounds)) == zone


# --- what catalogs hold ---


def _catalog() -> ListedCatalog:
    rng = np.random.default_rng(4)
    optical, radar = [], []
    for n in range(60):
        x, y = rng.uniform(3.0, 6.5), rng.uniform(49.5, 52.0)
        day = f"2019-0{3 + n % 2}-{1 + n % 28:02}T10:00"
        shape = shapely.box(x, y, x + 0.7, y + 0.5)
        optical.append(listed_item(f"s2-{n}", day, shape))
        leaning = shapely.Polygon([(x, y), (x + 1.5, y + 0.2), (x + 1.4, y + 1.1), (x - 0.1, y + 0.9)])
        # Two slices a pass, of one month; a third of the passes descending.
        number = n // 4 * 2 + n % 2
        orbit = {
            "sat:absolute_orbit": number,
            "sat:orbit_state": ("ascending", "descending")[number % 3 == 0],
        }
        radar.append(listed_item(f"s1-{n}", day, leaning, **orbit))
    return ListedCatalog({SETTINGS.collections[0]: optical, SETTINGS.collections[1]: radar}, [])


def test_products_of_each_tile_are_those_of_a_search_of_its_own(tmp_path: Path) -> None:
    area = find_area("3,50,6,51.5")
    places = find_places(TileGrid(20_000).covering(area.geometry), area)
    catalog = _catalog()
    found, unusable = observations(catalog, "here", places, SEASON, SETTINGS, Kept())
    assert unusable.number == 0
    asked = len(catalog.asked)
    assert asked <= 2 * 2 * 4  # two collections, two months, blocks of 500 km
    start, end = SEASON.interval
    for place, mine in itertools.islice(zip(places, found, strict=True), 0, None, 11):
        optical, radar = (
            [
                i
                for i in catalog.items[name]
                if start <= i.datetime < end
                and shapely.from_wkb(i.footprint or b"").intersects(place.outline)
            ]
            for name in SETTINGS.collections[:2]
        )
        assert (mine.s2, mine.s1) == (len(optical), len(radar))
        covers = cover_of([p for i in radar if (p := radar_pass(i, SETTINGS)) is not None], place.outline)
        for cover in covers:
            assert mine.coverage[cover.direction] == pytest.approx(cover.coverage)


def test_an_interrupted_plan_asks_only_what_it_does_not_know(tmp_path: Path) -> None:
    area = find_area("3,50,6,51.5")
    places = find_places(TileGrid(20_000).covering(area.geometry), area)
    catalog, kept = _catalog(), Kept(tmp_path / "kept")

    def stop(done: int, _every: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        observations(catalog, "here", places, SEASON, SETTINGS, kept, stop)
    first = len(catalog.asked)
    again = observations(catalog, "here", places, SEASON, SETTINGS, kept)
    fresh = _catalog()
    assert again == observations(fresh, "here", places, SEASON, SETTINGS, Kept())
    assert len(catalog.asked) == len(fresh.asked)
    assert 0 < first < len(fresh.asked)
    observations(catalog, "elsewhere", places, SEASON, SETTINGS, kept)
    assert len(catalog.asked) == 2 * len(fresh.asked)
    for file in (tmp_path / "kept").iterdir():
        file.write_text('{"half')  # the disk was full
    assert observations(catalog, "here", places, SEASON, SETTINGS, kept) == again
    kept.forget()
    assert not (tmp_path / "kept").exists()


def test_an_area_outside_of_every_collection_is_refused_before_anything_is_asked() -> None:
    area = find_area("20,40,21,41")
    places = find_places(TileGrid(20_000).covering(area.geometry), area)
    catalog = _catalog()
    with pytest.raises(InvalidInput, match=r"lies outside of collection SENTINEL2_L2A.*order of the coord"):
        check_within({"one": catalog}, SETTINGS.collections[:2], places)
    assert catalog.asked == []


# --- what is chosen ---


def test_the_direction_with_more_cover_is_chosen_and_only_spare_passes_may_fail() -> None:
    seen = Observed(10, 10, {"ascending": 5, "descending": 4}, {"ascending": 3.2, "descending": 3.9})
    assert chosen_orbit(seen, "best") == "descending"
    assert chosen_orbit(seen, "both") == "both"
    assert chosen_orbit(Observed(), "best") == "ascending"
    dekads = 4  # from 1 March to 10 April
    dense = Observed(1, 1, {}, {"ascending": 2.0 * dekads, "descending": 0.9 * dekads})
    assert chosen_tolerance(dense, "ascending", SEASON, 0.05) == 0.05
    assert chosen_tolerance(dense, "descending", SEASON, 0.05) == 0.0
    assert chosen_tolerance(dense, "ascending", SEASON, 1.0) == 0.5


# --- estimates ---

COEFFICIENTS = st.floats(0.01, 5.0)


@given(
    st.tuples(COEFFICIENTS, COEFFICIENTS, COEFFICIENTS, COEFFICIENTS),
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 200)), min_size=8, max_size=14, unique=True),
)
def test_needs_that_follow_the_rule_are_found_again(
    rule: tuple[float, float, float, float], products: list[tuple[int, int]]
) -> None:
    truth = JobModel(rule, rule, (500.0, 2.0))
    loads = [Load(0.5 + 0.4 * (n % 5), 1.0, s2, s1) for n, (s2, s1) in enumerate(products)]
    found = fit([(load, truth.need(load)) for load in loads])
    for load in loads:
        mine, true = found.need(load), truth.need(load)
        assert mine.core_seconds == pytest.approx(true.core_seconds, rel=1e-3)
        assert mine.source_megapixels == pytest.approx(true.source_megapixels, rel=1e-3)
        assert mine.memory_mb >= true.memory_mb


def test_memory_is_never_told_less_than_a_sample_took() -> None:
    samples = [(Load(4.0, 1.0, s2, 10), Need(10.0, mb, 1.0)) for s2, mb in ((5, 900), (50, 700), (90, 2050))]
    model = fit(samples)
    assert all(model.need(load).memory_mb >= need.memory_mb for load, need in samples)
    assert model.need(samples[0][0]).memory_mb % 100 == 0
    assert (model.samples, fit(samples[:1]).error) == (3, 0.0)


def test_less_cropland_takes_less_but_never_nothing() -> None:
    shares = [kept_part(s) for s in (0.0, 0.001, 0.1, 0.5, 1.0)]
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] == 1.0


def test_a_tile_of_20_km_has_four_million_pixels_of_10_m() -> None:
    tile = tile_record(0, cropland_share=0.3, s2_items={"a": 7, "b": 9}, s1_items={"a": 4})
    assert load_of(tile, 10.0) == Load(4.0, 0.3, 9, 4)
    assert load_of(tile, 20.0).megapixels == 1.0


def test_samples_stand_for_all() -> None:
    loads = [Load(4.0, 0.5, n, 0) for n in range(100)]
    chosen = choose_samples(loads, 5)
    assert sorted(chosen) == [0, 25, 50, 74, 99] or sorted(chosen) == [0, 25, 50, 75, 99]
    assert choose_samples(loads[:2], 5) == (0, 1)
    assert choose_samples([], 5) == choose_samples(loads, 0) == ()


# --- machines ---


def test_four_workers_of_3800_mb_fit_a_machine_of_16_gb_and_four_cores() -> None:
    fleet = Fleet.of(BackEndRecord("one", profile().to_dict()))
    assert (fleet.machines, fleet.assumed) == (2, False)
    assert [fleet.workers(mb) for mb in (1000, 3800, 4000, 4001, 8000, 16_000, 16_001)] == [
        8,
        8,
        8,
        6,
        4,
        2,
        0,
    ]
    limited = Fleet.of(BackEndRecord("one", profile().to_dict(), parallel=3))
    assert [limited.workers(mb) for mb in (3800, 16_000)] == [3, 2]
    unknown = Fleet.of(BackEndRecord("one", profile(machine={}).to_dict()))
    assert (unknown.workers(3800), unknown.assumed) == (4, True)
    told = Fleet.of(BackEndRecord("one", profile(machine={}).to_dict(), found_parallel=10))
    assert (told.machines, told.workers(3800), told.assumed) == (3, 10, False)


def test_time_and_cost_of_each_back_end_and_of_all_together() -> None:
    tiles = [tile_record(n, core_seconds=100.0, cost=0.01, memory_mb=3800) for n in range(80)]
    tiles += [tile_record(100, state=TileState.SKIPPED), tile_record(101, state=TileState.DONE)]
    tiles += [tile_record(102, core_seconds=1e9, cost=5.0, memory_mb=99_000)]
    fast = BackEndRecord("fast", profile().to_dict(), factor=0.5, cost_factor=2.0)
    slow = BackEndRecord("slow", profile(machine={"count": 1}).to_dict())
    found = forecast(iter(tiles), [fast, slow])
    first, second = found.back_ends
    # 80 jobs of 100 s on 8 workers at half the time; on 4 workers.
    assert (first.workers, first.tiles, first.too_large) == (8, 80, 1)
    assert first.seconds == pytest.approx(max(80 * 50 / 8, 1e9 * 0.5))
    assert second.cost == pytest.approx(0.8)
    assert first.cost == pytest.approx(1.6)
    tiles.pop()
    found = forecast(iter(tiles), [fast, slow])
    first, second = found.back_ends
    assert (first.seconds, second.seconds) == (pytest.approx(500.0), pytest.approx(2000.0))
    assert (first.share, second.share) == (pytest.approx(0.8), pytest.approx(0.2))
    assert found.seconds == pytest.approx(400.0)
    assert found.cost == pytest.approx(0.8 * 1.6 + 0.2 * 0.8)
    assert forecast([], [fast]).seconds == 0.0


def test_a_back_end_makes_only_tiles_that_it_has_products_of_and_that_are_not_bound_elsewhere() -> None:
    here = tile_record(0, s2_items={"one": 5, "two": 0}, s1_items={"one": 4, "two": 0})
    assert can_make(here, "one")
    assert not can_make(here, "two")
    assert can_make(here, "new")
    assert not can_make(tile_record(0, backend="two"), "one")


def test_back_ends_of_two_currencies_cannot_be_compared() -> None:
    profiles = {"a": profile(), "b": profile(tariff={"currency": "credits"})}
    with pytest.raises(InvalidInput, match="charge in EUR and credits"):
        common_currency(profiles)


# --- priorities ---

TABLE = pd.DataFrame(
    {"cropland_share": [0.5, None, 0.2], "core_seconds": [10.0, 20.0, 40.0], "country": ["FR", "BE", "FR"]},
    index=["a", "b", "c"],
)


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("cropland_share", (0.5, 0.0, 0.2)),
        ("-core_seconds", (-10.0, -20.0, -40.0)),
        ("(country == 'FR') * 100 + core_seconds", (110.0, 20.0, 140.0)),
        ("country == 'FR' and core_seconds > 20", (0.0, 0.0, 1.0)),
        ("1", (1.0, 1.0, 1.0)),
        ("cropland_share / core_seconds", (0.05, 0.0, 0.005)),
    ],
)
def test_priorities_are_expressions_of_columns(expression: str, wanted: tuple[float, ...]) -> None:
    assert priorities(TABLE, expression) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("cropland", "names cropland, which is no column"),
        ("core_seconds +", "is no expression"),
        ("", "is no expression"),
        ("core_seconds.sum()", "is not allowed"),
        ("__import__('os').system('true')", "is not allowed"),
        ("@pd", "is no expression"),
        ("[c for c in country]", "is not allowed"),
        ("9 ** 9 ** 9", "is not allowed"),
        ("core_seconds / 0", "is no number for 3 tiles, the first: a"),
        ("country", "is no number for 3 tiles"),
        ("country + core_seconds", "cannot be computed"),
        ("-" * 2000 + "core_seconds", "longer than"),
    ],
)
def test_what_is_no_priority_is_refused(expression: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        priorities(TABLE, expression)
