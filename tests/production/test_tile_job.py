"""A tile's batch job: the graph of a map of exactly that tile, sent in the words of one back end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.other_words import IDS
from tests.support.small_site import SEASON, SETTINGS, small_model

from acreage.core.errors import InvalidInput, ModelMismatch
from acreage.core.temporal import Season
from acreage.croptype.mapping import MapJob, map_graph
from acreage.croptype.udf_source.crop_type_udf import BATCH_PIXELS
from acreage.croptype.workflow import CubeSettings
from acreage.production.profiles import Profile
from acreage.production.tile_job import Recipe, TileSettings, tile_graph, tile_request, upload_path
from acreage.production.tiles import tile_of_id

LEAST: dict[str, Any] = {"url": "https://b.example.org", "model": {"kind": "upload"}}
ROOMY_MB = 16_000


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return Recipe.of(small_model(tmp_path_factory.mktemp("model")), SEASON, SETTINGS)


def settings(tile_id: str = "20kmE402N286", **more: Any) -> TileSettings:
    tile = tile_of_id(tile_id)
    assert tile is not None
    return TileSettings(tile, **more)


def test_the_graph_is_that_of_a_map_of_the_tile(recipe: Recipe) -> None:
    chosen = settings(orbit="descending", s1_coefficient="gamma0-terrain")
    changed = replace(
        SETTINGS, s1_properties=(("sat:orbit_state", "descending"),), s1_coefficient="gamma0-terrain"
    )
    job = MapJob(chosen.tile.box(10), "t", SEASON, recipe.model_file, changed)
    expected, _, digest = map_graph(job)
    found = tile_graph(recipe, chosen, str(recipe.model_file.resolve()), ROOMY_MB)
    assert found == expected["process_graph"]
    assert digest == recipe.sha256


def test_a_tile_of_another_zone_is_made_in_its_own_crs(recipe: Recipe) -> None:
    graph = tile_graph(recipe, settings("32632-20kmE28N542"), "m", ROOMY_MB)
    resampled = {
        n["arguments"]["projection"] for n in graph.values() if n["process_id"] == "resample_spatial"
    }
    assert resampled == {32632}
    (crop,) = [n["arguments"]["extent"] for n in graph.values() if n["process_id"] == "filter_bbox"]
    assert crop == {"west": 280_000, "south": 5_420_000, "east": 300_000, "north": 5_440_000, "crs": 32632}


def test_little_memory_makes_small_batches(recipe: Recipe) -> None:
    def context(memory_mb: int) -> dict[str, Any]:
        graph = tile_graph(recipe, settings(), "m", memory_mb)
        (udf,) = [n for n in graph.values() if n["process_id"] == "apply_dimension" and "context" in str(n)]
        inner = udf["arguments"]["process"]["process_graph"]
        (run,) = [n["arguments"] for n in inner.values() if n["process_id"] == "run_udf"]
        found: dict[str, Any] = run["context"]
        return found

    assert "batch_pixels" not in context(ROOMY_MB)
    assert context(150)["batch_pixels"] < BATCH_PIXELS
    assert context(150)["model_sha256"] == recipe.sha256


def test_options_are_sent_as_the_back_end_takes_them(recipe: Recipe) -> None:
    job = {
        "memory": {"executor-memory": "{gb}G"},
        "cores": "executor-cores",
        "options": {"x": 1},
        "plan": "p",
    }
    words = {"SENTINEL1_GRD": {"id": "radar"}}
    profile = Profile.from_dict({**LEAST, "job": job, "collections": words})
    request = tile_request(recipe, settings(memory_mb=2_500, s1_tolerance=0.1), profile, "tok-1")
    options = {"x": 1, "executor-memory": "3G", "executor-cores": 1, "tolerate": "radar=10%"}
    assert request.options == {"job_options": options, "plan": "p"}
    assert request.title == "Crop types 20kmE402N286 tok-1"
    flat = Profile.from_dict({**LEAST, "job": {"within": "job"}})
    assert tile_request(recipe, settings(memory_mb=2_500), flat, "t").options == {"memory": "2500MB"}
    unknown = tile_request(recipe, settings(), flat, "t")
    assert unknown.options == {"memory": "3800MB"}
    assert unknown.sent["memory_mb"] == 3_800


def test_the_model_is_named_where_the_back_end_finds_it(recipe: Recipe) -> None:
    by_address = {"kind": "address", "href": "https://m.example.org/{sha256}/{name}"}
    profile = Profile.from_dict({**LEAST, "model": by_address})
    request = tile_request(recipe, settings(), profile, "t")
    assert request.sent["model"] == f"https://m.example.org/{recipe.sha256}/model.pt"
    by_upload = Profile.from_dict({**LEAST, "model": {"kind": "upload", "folder": "a/b", "prefix": "/home/"}})
    assert upload_path(recipe, by_upload) == f"a/b/{recipe.sha256[:16]}-model.pt"
    assert (
        tile_request(recipe, settings(), by_upload, "t").sent["model"]
        == f"/home/{upload_path(recipe, by_upload)}"
    )


def test_every_node_but_loads_is_the_same_in_other_words(recipe: Recipe) -> None:
    words = {ours: {"id": theirs, "bands": {"VV": "vv"}} for ours, theirs in IDS.items()}
    plain = tile_request(recipe, settings(), Profile.from_dict(LEAST), "t")
    other = tile_request(recipe, settings(), Profile.from_dict({**LEAST, "collections": words}), "t")
    added = set(other.graph) - set(plain.graph)
    assert len(added) == 1  # behind the one load with a band of another name
    kinds = {k: n["process_id"] for k, n in plain.graph.items()}
    assert kinds == {k: n["process_id"] for k, n in other.graph.items() if k not in added}
    assert set(other.sent["collections"]) == set(IDS)
    assert plain.sent["collections"] == {}


def test_what_cannot_be_made_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ModelMismatch, match="season"):
        Recipe.of(recipe.model_file, Season.parse("2019-04-01/2019-10-31"), SETTINGS)
    with pytest.raises(InvalidInput, match="cannot be read"):
        Recipe.of(tmp_path / "absent.pt", SEASON, CubeSettings())
    with pytest.raises(InvalidInput, match="orbit 'up'"):
        settings(orbit="up")
