"""A small continent, produced for real by two servers of ours, while much goes wrong around them.

`.venv/bin/python -m pytest -m proof -s tests/production/test_continent.py` prints what docs/back-ends.md
tells; with `CONTINENT_FOLDER=FOLDER` its ledger, products and pictures stay there.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize
from rasterio.windows import from_bounds
from tests.support.continent import (
    continent_archive,
    continent_model,
    large_tile,
    parcels,
    season,
    small_tiles,
)
from tests.support.continent_run import NOTE, USER, Continent, Trouble, produce, profiles_of, servers
from tests.support.oidc_server import ACCOUNTS
from tests.support.tcp_proxy import network_to

from acreage.cli.demo_truth import AgainstTruth, MappedTile, against_truth, draw_tiles
from acreage.croptype.modelfile import open_model
from acreage.production.history_picture import draw_history
from acreage.production.ledger.events import events
from acreage.production.ledger.outcomes import attempts_of
from acreage.production.ledger.store import open_ledger
from acreage.production.ledger.tiles import tiles
from acreage.production.ledger.values import AttemptState, TileState
from acreage.production.tile_job import Recipe

KEEP = "CONTINENT_FOLDER"
pytestmark = [pytest.mark.proof, pytest.mark.timeout(4 * 3600)]


@pytest.fixture(scope="module")
def continent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Continent]:
    kept = os.environ.get(KEEP)
    folder = Path(kept) if kept else tmp_path_factory.mktemp("continent")
    archive = continent_archive()
    recipe = Recipe.of(continent_model(archive), season(), note=NOTE)
    west, east, words = servers(archive, folder)
    os.environ |= {"CONTINENT_WEST": ACCOUNTS[USER], "CONTINENT_EAST": ACCOUNTS[USER]}
    try:
        west.start()
        east.start()
        with network_to(west.port) as network:
            profiles = profiles_of(f"http://127.0.0.1:{network.port}", east.url, words)
            yield produce(folder, archive, recipe, profiles, Trouble(west, east, network))
    finally:
        west.stop()
        east.stop()
        del os.environ["CONTINENT_WEST"], os.environ["CONTINENT_EAST"]


def test_every_tile_is_done_and_none_was_paid_twice(continent: Continent) -> None:
    every = list(tiles(continent.ledger))
    assert Counter(t.state for t in every) == {TileState.DONE: 61}, [
        (t.id, t.state, t.reason) for t in every if t.state is not TileState.DONE
    ]
    # What the back ends have on record, against the ledger: each job is an attempt's.
    known = {a.remote_id: a for t in every for a in attempts_of(continent.ledger, t.id)}
    ran: dict[str, list[str]] = {}
    for name, jobs in continent.records.items():
        for job in jobs:
            attempt = known[job["id"]]
            assert attempt.backend == name
            assert attempt.token in job["title"]
            if job["status"] != "created":
                assert attempt.paid
                ran.setdefault(attempt.tile, []).append(job["status"])
    assert len(ran) == 61
    assert {statuses.count("finished") for statuses in ran.values()} == {1}
    print(f"{sum(map(len, ran.values()))} jobs ran for 61 tiles")
    costs = {name: sum(j.get("costs") or 0.0 for j in jobs) for name, jobs in continent.records.items()}
    told = Counter[str]()
    for attempt in known.values():
        told[attempt.backend] += attempt.cost or 0.0
    for name in costs:
        assert told[name] == pytest.approx(costs[name], abs=1e-6)
    by = Counter(a.backend for a in known.values() if a.state is AttemptState.VERIFIED)
    assert min(by["west"], by["east"]) >= 5
    print(f"{continent.seconds:.0f} s; jobs {dict(by)}; costs {costs} EUR")
    print(f"runner: {continent.runner_cpu_s:.1f} CPU seconds, verification and products included")


def test_what_was_done_to_the_back_ends_is_in_the_history(continent: Continent) -> None:
    assert len(continent.marks) == 8
    assert continent.network.damaged == 1
    kinds = Counter(e.kind for e in events(continent.ledger))
    print(dict(kinds))
    texts = [e.text for e in events(continent.ledger)]
    assert any("checksum" in text for text in texts), "the damaged image was not seen"
    states = {e.kind for e in events(continent.ledger) if e.backend is not None}
    assert {"claimed", "starting", "started", "ended", "verified", "damaged"} <= states
    pictures = continent.folder / "pictures"
    pictures.mkdir(exist_ok=True)
    draw_history(continent.ledger, pictures / "history.png", continent.marks)


def test_no_seam_sixty_tiles_are_the_large_one_pixel_by_pixel(continent: Continent) -> None:
    """Made by other jobs, at back ends with other names and settings, some of them across a zone's border."""
    compared = 0
    for name in ("classes.tif", "confidence.tif", "observations.tif"):
        with rasterio.open(continent.product(large_tile()) / name) as large:
            for tile in small_tiles():
                with rasterio.open(continent.product(tile) / name) as small:
                    window = (
                        from_bounds(*small.bounds, transform=large.transform).round_offsets().round_lengths()
                    )
                    found = small.read()
                    np.testing.assert_array_equal(found, large.read(window=window), f"{tile.id} {name}")
                    compared += found.size
    print(f"{compared:,} values of {len(small_tiles())} tiles are those of the tile of 20 km")


def test_the_map_is_right(continent: Continent) -> None:
    legend = open_model(continent.recipe.model_file).legend
    with rasterio.open(continent.archive.truth) as source:
        shapes = parcels(continent.archive, "train").geometry.to_crs(source.crs.to_wkt())
        trained = rasterize(
            ((g, 1) for g in shapes), source.shape, transform=source.transform, all_touched=True
        ).astype(bool)
    mapped = [MappedTile(t.id, continent.product(t)) for t in small_tiles()]
    found: AgainstTruth = against_truth(mapped, continent.archive.truth, legend, trained)
    print(
        f"{found.crops:,} pixels of test parcels: accuracy {found.scores.accuracy:.3f}, macro F1 "
        f"{found.scores.macro_f1:.3f}; {found.masked:,} masked, {found.unseen:,} unseen"
    )
    assert found.scores.accuracy > 0.7
    large = [MappedTile(large_tile().id, continent.product(large_tile()))]
    pictures = continent.folder / "pictures"
    pictures.mkdir(exist_ok=True)
    draw_tiles(large, continent.archive.truth, legend, pictures / "map.png", "A small continent", NOTE)


def test_the_ledger_can_be_opened_by_another_program(continent: Continent) -> None:
    again = open_ledger(str(continent.folder))
    assert again.production.name == "A small continent"
    again.close()
