"""A tile at a real server of ours, which has names of its own, by the openEO client: from job to product."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from tests.support.oidc_server import ACCOUNTS, Served, running_server
from tests.support.other_words import IDS, in_other_words
from tests.support.small_site import SEASON, SETTINGS, SIZE, small_archive, small_model
from tests.support.stac_schemas import validate_file
from tests.support.tiny_archive import NORTH, WEST

from acreage.catalog import open_catalog
from acreage.cli.embedded import EmbeddedRunner
from acreage.core.errors import BackEndUnauthorized, ProductWrong
from acreage.croptype.mapping import MapJob, make_map
from acreage.engine.budget import Budget
from acreage.production.backends import Fetched, JobRequest
from acreage.production.ledger.values import Attempt, AttemptState, TileRecord
from acreage.production.openeo_backend import OpenEoBackEnd
from acreage.production.products import TileJobs, TileProducts
from acreage.production.profiles import Profile
from acreage.production.tile_job import Recipe, upload_path
from acreage.production.tiles import TileGrid
from acreage.udf.contract import UdfLimits
from acreage.udf.models import ModelCache
from acreage.udf.runner import ProcessUdfRunner

PASSWORD = "WEST_PASSWORD"
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Site:
    """A server, what it is known by, and a tile there."""

    server: Served
    backend: OpenEoBackEnd
    jobs: TileJobs
    archive: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    archive = small_archive(folder / "archive", 4, 0.05)
    catalog, words = in_other_words(archive, folder)
    recipe = Recipe.of(small_model(folder), SEASON, SETTINGS, "A test.")
    os.environ[PASSWORD] = ACCOUNTS["carla"]
    # Logins end after a second; the server runs two accounts, so that functions are those of strangers.
    with running_server(folder, catalog, ACREAGE_SERVER_TOKEN_DAYS=str(1.5 / 86400)) as server:
        document = {
            "url": server.url,
            "login": {"kind": "basic", "username": "carla", "password_variable": PASSWORD},
            "collections": words,
            "model": {"kind": "upload", "folder": "models"},
            "job": {"memory": {"memory": "{mb}MB"}, "cores": "cores"},
            "machine": {"cores": 2, "memory_mb": 6000, "worker_memory_mb": 3000},
            "download_part": 1000,
        }
        profile = Profile.from_dict(document)
        uploads = ((recipe.model_file, upload_path(recipe, profile)),)
        backend = OpenEoBackEnd("east", profile, uploads)
        yield Site(server, backend, TileJobs(recipe, {"east": profile}), archive)
    del os.environ[PASSWORD]


def tile_record() -> TileRecord:
    """200 m about the archive's centre, where its cropland ends."""
    to_map = Transformer.from_crs("EPSG:32631", SETTINGS.crs, always_xy=True)
    x, y = to_map.transform(WEST + 5 * SIZE, NORTH - 5 * SIZE)
    tile = TileGrid(200).tile(int((x - 50) // 200), int(y // 200))
    west, south, east, north = tile.outline.bounds
    return TileRecord(
        tile.id, tile.crs, *tile.bounds, west, south, east, north, orbit="ascending", cropland_share=0.5
    )


def attempt_of(tile: TileRecord, token: str, **more: Any) -> Attempt:
    return Attempt(1, tile.id, "east", token, None, AttemptState.INTENDED, 3000, {}, 0.0, **more)


@pytest.fixture(scope="module")
def made(site: Site, tmp_path_factory: pytest.TempPathFactory) -> tuple[Attempt, JobRequest, Fetched]:
    """A job of the tile that ran to its end, and its results."""
    backend, attempt = site.backend, attempt_of(tile_record(), "made-0001")
    request = site.jobs.request(tile_record(), attempt)
    job = backend.create(request)
    assert backend.find("made-0001") == job
    assert backend.find("made-0002") is None
    assert backend.state(job).status == "created"
    backend.start(job)
    until = time.monotonic() + 500
    while (told := backend.state(job)).status in ("queued", "running") and time.monotonic() < until:
        time.sleep(0.5)
    assert told.status == "finished", backend.logs(job)
    assert told.title == request.title
    usage = told.usage
    assert None not in (usage.cpu_seconds, usage.duration_s, usage.peak_memory_mb)
    fetched = backend.fetch(job, tmp_path_factory.mktemp("fetched") / "in")
    done = replace(attempt, remote_id=job, cost=told.costs, cpu_seconds=usage.cpu_seconds)
    return done, request, fetched


def test_the_job_is_in_the_words_of_the_back_end(
    site: Site, made: tuple[Attempt, JobRequest, Fetched]
) -> None:
    attempt, request, _ = made
    assert attempt.remote_id is not None
    loads = [n["arguments"] for n in request.graph.values() if n["process_id"] == "load_collection"]
    assert {load["id"] for load in loads} == set(IDS.values())
    assert {band for load in loads for band in load["bands"]} >= {"optical_b02", "radar_vv", "landcover_map"}
    assert [list(load["properties"]) for load in loads if "properties" in load] == [["orbitDirection"]]
    assert request.sent["options"] == {"job_options": {"memory": "3000MB", "cores": 1}}
    assert request.sent["model"] == f"models/{site.jobs.recipe.model_key}"
    assert any(
        line.message.startswith("streaming-composite: ") for line in site.backend.logs(attempt.remote_id)
    )


def test_the_product_is_that_of_the_embedded_engine_in_our_own_words(
    site: Site, made: tuple[Attempt, JobRequest, Fetched], tmp_path: Path
) -> None:
    attempt, request, fetched = made
    tile = tile_record()
    products = TileProducts(site.jobs, tmp_path / "results", {"back end": "1"})
    for _ in range(2):  # as after a runner that was killed in between
        product = products.product(tile, attempt, fetched)
    recipe = site.jobs.recipe
    settings = replace(SETTINGS, s1_properties=(("sat:orbit_state", "ascending"),))
    job = MapJob(TileGrid(200).tile(0, 0).box(10), tile.id, SEASON, recipe.model_file, settings)
    job = replace(job, area=products_box(tile))
    limits = UdfLimits(timeout_s=120)
    with ProcessUdfRunner(limits, workers=1, models=ModelCache(tmp_path / "models")) as udf:
        runner = EmbeddedRunner(open_catalog(site.archive), Budget(3_000_000_000, 1, 16), udf)
        own = make_map(job, runner, tmp_path / "own").product
    for name in ("classes.tif", "confidence.tif", "observations.tif"):
        with rasterio.open(product.folder / name) as one, rasterio.open(own.folder / name) as other:
            np.testing.assert_array_equal(one.read(), other.read())
            assert (one.transform, one.crs) == (other.transform, other.crs)
    assert len(own.pixels) > 1
    validate_file(product.item)
    told = json.loads(product.provenance.read_text("utf-8"))
    assert told["process_graph"]["process_graph"] == request.graph
    assert told["preprocessing"]["sent"]["backend"] == "east"
    assert told["preprocessing"]["sent"]["job"] == attempt.remote_id
    assert {item["collection"] for item in told["items"]} == set(IDS.values())
    assert told["usage"]["cpu_seconds"] == attempt.cpu_seconds
    assert PASSWORD not in json.dumps(told)
    products.accept(tile, attempt, fetched_copy(fetched, tmp_path))
    assert not (tmp_path / "copy").exists()


def products_box(tile: TileRecord) -> Any:
    from acreage.production.products import settings_of

    return settings_of(tile).tile.box(10)


def fetched_copy(fetched: Fetched, tmp_path: Path) -> Fetched:
    import shutil

    return replace(fetched, folder=Path(shutil.copytree(fetched.folder, tmp_path / "copy")))


def test_an_expired_login_is_renewed_and_the_model_uploaded_once(site: Site) -> None:
    time.sleep(2)
    limits = site.backend.limits()
    assert (limits.parallel, limits.active) == (1, 1000)
    source, target = site.jobs.recipe.model_file, f"models/{site.jobs.recipe.model_key}"
    assert not site.backend.upload(source, target)
    assert site.backend.can_upload()


def test_a_job_is_cancelled_and_deleted_and_that_again_does_nothing(site: Site) -> None:
    job = site.backend.create(site.jobs.request(tile_record(), attempt_of(tile_record(), "gone-1")))
    assert job in [j.id for j in site.backend.states()]
    site.backend.cancel(job)
    site.backend.delete(job)
    site.backend.delete(job)
    site.backend.cancel(job)
    assert site.backend.find("gone-1") is None


def test_a_model_that_was_changed_at_the_back_end_is_refused(site: Site) -> None:
    """What another put into its place must not make maps."""
    recipe = site.jobs.recipe
    other = replace(recipe, sha256="0" * 64)
    profile = site.jobs.profiles["east"]
    request = TileJobs(other, {"east": profile}).request(
        tile_record(), attempt_of(tile_record(), "changed-1")
    )
    token = site.server.login("carla")
    path = f"/files/{request.sent['model']}"
    assert site.server.ask("PUT", path, token, data=recipe.model_file.read_bytes()).status_code == 200
    answer = site.server.ask("POST", "/validation", token, json={"process_graph": dict(request.graph)})
    problems = answer.json()["errors"]
    assert [p["code"] for p in problems] == ["UdfModelUnavailable"], problems
    stranger = site.server.login("dora")
    answer = site.server.ask("POST", "/validation", stranger, json={"process_graph": dict(request.graph)})
    assert [p["code"] for p in answer.json()["errors"]] == ["FileNotFound"]


def test_a_wrong_password_is_told_as_such(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "another")
    with pytest.raises(BackEndUnauthorized, match="Credentials"):
        OpenEoBackEnd("east", site.backend.profile).limits()


def test_results_of_another_tile_are_refused(
    site: Site, made: tuple[Attempt, JobRequest, Fetched], tmp_path: Path
) -> None:
    attempt, _, fetched = made
    tile = tile_record()
    other = replace(tile, left=tile.left + 200, right=tile.right + 200)
    with pytest.raises(ProductWrong, match="not the map of"):
        TileProducts(site.jobs, tmp_path).product(other, attempt, fetched)
    with pytest.raises(ProductWrong, match="another job"):
        TileProducts(site.jobs, tmp_path).product(tile, replace(attempt, token="made-0009"), fetched)
    assert list(tmp_path.iterdir()) == []
