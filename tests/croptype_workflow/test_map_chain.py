"""The whole chain on a tiny archive: graph, engine, UDF, product; and what it says where nothing was seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from tests.support.faults import break_block
from tests.support.small_site import SEASON, SETTINGS, SIZE, small_archive, small_model
from tests.support.tiny_archive import NORTH, WEST

from acreage.catalog import open_catalog
from acreage.cli.embedded import EmbeddedRunner
from acreage.core.errors import AcreageError, MemoryBudgetExceeded, NoDataAvailable, OutputExists
from acreage.core.grid import Box
from acreage.core.inputs import Inputs
from acreage.core.legend import NO_OBSERVATION, NOT_CROPLAND
from acreage.core.temporal import Season
from acreage.croptype.mapping import MapJob, MapResult, make_map
from acreage.croptype.orbits import choose_orbit
from acreage.croptype.workflow import CubeSettings, map_grid
from acreage.engine.budget import Budget
from acreage.engine.tolerance import NONE, Tolerance, TooManyFailures
from acreage.udf.contract import UdfLimits
from acreage.udf.models import ModelCache
from acreage.udf.runner import ProcessUdfRunner


def area() -> Box:
    """20 x 20 pixels at the centre of the archive."""
    to_map = Transformer.from_crs("EPSG:32631", SETTINGS.crs, always_xy=True)
    x, y = to_map.transform(WEST + 5 * SIZE, NORTH - 5 * SIZE)
    return map_grid(SETTINGS).box_covering(x - 99, y - 99, x + 91, y + 91)


BUDGET = Budget(3_000_000_000, 1, 16)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def udf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessUdfRunner]:
    models = ModelCache(tmp_path_factory.mktemp("models"))
    with ProcessUdfRunner(UdfLimits(timeout_s=120), workers=1, models=models) as runner:
        yield runner


def mapped(
    root: Path,
    model: Path,
    udf: ProcessUdfRunner,
    out: Path,
    tolerance: Tolerance = NONE,
    budget: Budget = BUDGET,
    **changes: Any,
) -> MapResult:
    job = MapJob(
        **{
            "area": area(),
            "area_name": "tiny",
            "season": SEASON,
            "model": model,
            "settings": SETTINGS,
            **changes,
        }
    )
    return make_map(job, EmbeddedRunner(open_catalog(root), budget, udf, tolerance=tolerance), out)


def counts_on_cropland(result: MapResult) -> tuple[set[int], set[int]]:
    """The numbers of S2 and of S1 observations that occur on cropland."""
    with rasterio.open(result.product.observations) as file, rasterio.open(result.product.classes) as classes:
        cropland = classes.read(1) != NOT_CROPLAND
        s2, s1 = (set(np.unique(band[cropland]).tolist()) for band in file.read())
    return s2, s1


def test_clear_sky_gives_classes_on_cropland_and_counts_of_every_observation(
    tmp_path: Path, model: Path, udf: ProcessUdfRunner
) -> None:
    result = mapped(small_archive(tmp_path / "a", 4, 0.1), model, udf, tmp_path / "map")
    pixels = result.product.pixels
    assert set(pixels) <= {1, 2, NOT_CROPLAND}
    assert sum(pixels.values()) == area().size
    assert pixels[NOT_CROPLAND] > 50
    assert sum(n for code, n in pixels.items() if code in (1, 2)) > 50
    assert counts_on_cropland(result) == ({3}, {3})
    assert {i.id for i in result.job.items} == {
        *(f"s2-{n}" for n in range(3)),
        *(f"s1-{n}" for n in range(3)),
        "dem",
        "lc",
    }


def test_batches_are_planned_with_the_job_and_do_not_change_the_map(
    tmp_path: Path, model: Path, udf: ProcessUdfRunner
) -> None:
    root = small_archive(tmp_path / "a", 4, 0.1)
    with pytest.raises(MemoryBudgetExceeded, match=r"needs at least 3.* 3GB are given"):
        mapped(root, model, udf, tmp_path / "none", budget=Budget(3_000_000_000, 1, udf=2_500_000_000))
    assert not (tmp_path / "none").exists()
    usual = mapped(root, model, udf, tmp_path / "usual")
    small = mapped(root, model, udf, tmp_path / "small", batch_pixels=256)
    made = [Path(r.product.classes).read_bytes() for r in (usual, small)]
    assert made[0] == made[1]
    graph = json.loads(small.product.provenance.read_text())["process_graph"]
    assert '"batch_pixels": 256' in json.dumps(graph)


def test_the_better_covered_orbit_alone_is_read_and_recorded_with_the_map(
    tmp_path: Path, model: Path, udf: ProcessUdfRunner
) -> None:
    root = small_archive(tmp_path / "a", 4, 0.1)
    choice = choose_orbit(open_catalog(root), area(), SEASON, SETTINGS)
    settings = choice.applied(SETTINGS)
    result = mapped(root, model, udf, tmp_path / "map", settings=settings, orbit=choice)
    assert counts_on_cropland(result) == ({3}, {2})
    assert {i.id for i in result.job.items if i.id.startswith("s1")} == {"s1-1", "s1-2"}
    recorded = {
        "s1_coefficient": "sigma0-ellipsoid",
        "s1_unit": "linear",
        "s1_orbit": {
            "asked": "best",
            "chosen": "ascending",
            "ascending": {"acquisitions": 2, "coverage": 2.0},
            "descending": {"acquisitions": 1, "coverage": 1.0},
        },
    }
    assert json.loads((tmp_path / "map" / "provenance.json").read_text())["preprocessing"] == recorded
    (item,) = (json.loads(p.read_text()) for p in (tmp_path / "map").glob("*item*.json"))
    assert item["properties"]["acreage:preprocessing"] == recorded


def test_a_product_that_was_lost_is_in_no_pixel_and_named_in_the_map(
    tmp_path: Path, model: Path, udf: ProcessUdfRunner
) -> None:
    root = small_archive(tmp_path / "a", 4, 0.1)
    # Reflectance that cannot be read: its scene classification alone must not count as an observation.
    break_block(tmp_path / "a" / "sentinel-2-l2a" / "s2-1" / "nir.tif", 6)
    with pytest.raises(TooManyFailures, match="1 unreadable"):
        mapped(root, model, udf, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    result = mapped(root, model, udf, tmp_path / "map", Tolerance.parse(["SENTINEL2_L2A=34%"]))
    assert counts_on_cropland(result) == ({2}, {3})
    item = json.loads(result.product.item.read_text())
    s2 = item["properties"]["acreage:inputs"]["collections"]["SENTINEL2_L2A"]
    assert s2["items"] == {"expected": 3, "read": 2, "skipped": 0, "failed": 1}
    assert s2["failed"] == {"unreadable": 1}
    derived = {link["title"] for link in item["links"] if link["rel"] == "derived_from"}
    assert {title for title in derived if title.startswith("SENTINEL2_L2A")} == {
        "SENTINEL2_L2A/s2-0",
        "SENTINEL2_L2A/s2-2",
    }
    account = Inputs.from_dict(json.loads(result.product.inputs.read_text()))
    assert {a.band for a in account.failed} == {"B08"}
    assert account == result.job.inputs
    told = json.loads(result.product.provenance.read_text())["inputs"]
    assert [(a["item"], a["kind"]) for a in told["failed"]] == [("s2-1", "unreadable")]


def test_clouds_all_season_and_no_radar_are_reported_as_cropland_without_observation(
    tmp_path: Path, model: Path, udf: ProcessUdfRunner
) -> None:
    result = mapped(small_archive(tmp_path / "a", 9, float("nan")), model, udf, tmp_path / "map")
    assert set(result.product.pixels) == {NO_OBSERVATION, NOT_CROPLAND}
    assert counts_on_cropland(result) == ({0}, {0})


def test_clouds_all_season_leave_the_radar_to_decide_and_the_counts_say_so(
    tmp_path: Path, model: Path, udf: ProcessUdfRunner
) -> None:
    result = mapped(small_archive(tmp_path / "a", 9, 0.1), model, udf, tmp_path / "map")
    assert set(result.product.pixels) <= {1, 2, NOT_CROPLAND}
    assert counts_on_cropland(result) == ({0}, {3})
    assert result.product.unseen == (area().size - result.product.pixels[NOT_CROPLAND], 0)


def test_a_failed_map_leaves_nothing_and_a_finished_one_is_not_overwritten(
    tmp_path: Path, model: Path, udf: ProcessUdfRunner
) -> None:
    root = small_archive(tmp_path / "a", 4, 0.1)
    out = tmp_path / "maps" / "map"
    (root.parent / "sentinel-2-l2a" / "s2-1" / "red.tif").write_bytes(b"nothing")
    with pytest.raises(AcreageError, match="s2-1"):
        mapped(root, model, udf, out)
    assert not out.parent.exists() or list(out.parent.iterdir()) == []
    far = Box(area().grid, 0, -100, 20, -80)
    with pytest.raises(NoDataAvailable):
        mapped(root, model, udf, out, area=far)
    out.mkdir(parents=True)
    (out / "classes.tif").write_text("precious")
    with pytest.raises(OutputExists):
        mapped(root, model, udf, out)
    assert (out / "classes.tif").read_text() == "precious"


def test_a_model_for_other_bands_refuses_before_anything_is_read(
    tmp_path: Path, model: Path, udf: ProcessUdfRunner
) -> None:
    root = small_archive(tmp_path / "a", 4, 0.1)
    settings = CubeSettings(s2_bands=("B02", "B03", "B04"), buffer=150.0)
    with pytest.raises(AcreageError, match="B08"):
        mapped(root, model, udf, tmp_path / "map", settings=settings)
    with pytest.raises(AcreageError, match="10-21"):
        mapped(root, model, udf, tmp_path / "map", season=Season.parse("2019-03-01/2019-09-30"))
    assert not (tmp_path / "map").exists()
