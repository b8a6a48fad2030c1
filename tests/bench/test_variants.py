"""Variants of an archive: other classes, the same pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from tests.support.harness import raster_meta, run_eager

from acreage.bench.archives import dates_of, thinned
from acreage.bench.blocks import S2, WORLDCOVER
from acreage.bench.scene_mask import REACH, cloud_mask
from acreage.bench.variants import cloudy_days, make_variant
from acreage.catalog import open_catalog
from acreage.core.cube import Cube
from acreage.core.errors import InvalidInput
from acreage.simulate.archive import Archive


def _scl(home: Path) -> NDArray[np.uint8]:
    with rasterio.open(home / "SCL.tif") as file:
        return np.asarray(file.read(1))


def _properties(home: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((home / f"{home.name}.json").read_text())["properties"]
    return found


def _homes(archive: Path) -> list[Path]:
    return sorted(p for p in (archive / S2).iterdir() if p.is_dir())


@pytest.fixture(scope="module")
def half(quick_archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("half") / "archive"
    return make_variant(quick_archive.folder, folder, "half-cloudy").parent


def test_the_clear_variant_has_no_cloud_where_there_is_data(quick_archive: Archive, clear: Path) -> None:
    clouds = 0
    for home, original in zip(_homes(clear), _homes(quick_archive.folder), strict=True):
        was, now = _scl(original), _scl(home)
        np.testing.assert_array_equal(now == 0, was == 0)
        assert not cloud_mask(now).any()
        assert _properties(home)["eo:cloud_cover"] == 0
        clouds += int(np.isin(was, (8, 9, 10)).sum())
    assert clouds > 0, "the archive has no cloud to take away"


def test_cropland_is_everywhere_where_the_land_cover_has_data(quick_archive: Archive, clear: Path) -> None:
    paths = sorted((clear / WORLDCOVER).glob("*_2021_*/*_Map.tif"))
    assert paths
    with (
        rasterio.open(paths[0]) as file,
        rasterio.open(quick_archive.folder / paths[0].relative_to(clear)) as source,
    ):
        window = next(w for _, w in source.block_windows(1) if source.read(1, window=w).any())
        was, now = source.read(1, window=window), file.read(1, window=window)
    assert len(np.unique(was)) > 2
    np.testing.assert_array_equal(now, np.where(was == 0, 0, 40))


def test_every_second_date_of_the_half_cloudy_variant_is_cloud_from_edge_to_edge(
    quick_archive: Archive, half: Path
) -> None:
    cloudy = cloudy_days(quick_archive.folder)
    days = sorted({_properties(home)["datetime"][:10] for home in _homes(half)})  # type: ignore[index]
    assert sorted(cloudy) == days[1::2]
    for home in _homes(half):
        scl, properties = _scl(home), _properties(home)
        whole = properties["datetime"][:10] in cloudy  # type: ignore[index]
        assert np.isin(scl, (0, 9)).all() == whole
        assert properties["eo:cloud_cover"] == (100 if whole else 0)
        assert properties["s2:high_proba_clouds_percentage"] == pytest.approx(100 * (scl == 9).mean())


def test_bands_are_shared_and_the_source_stays_as_it_was(quick_archive: Archive, clear: Path) -> None:
    for home, original in zip(_homes(clear), _homes(quick_archive.folder), strict=True):
        assert (home / "B02.tif").stat().st_ino == (original / "B02.tif").stat().st_ino
        assert (home / "SCL.tif").stat().st_ino != (original / "SCL.tif").stat().st_ino
        scl, stated = _scl(original), _properties(original)["s2:vegetation_percentage"]
        assert stated == pytest.approx(100 * (scl == 4).mean(), abs=1e-5)


def test_a_variant_is_made_once_and_another_in_its_place_is_refused(
    quick_archive: Archive, clear: Path
) -> None:
    before = (clear / "catalog.json").stat().st_mtime_ns
    assert make_variant(quick_archive.folder, clear, "clear") == clear / "catalog.json"
    assert (clear / "catalog.json").stat().st_mtime_ns == before
    with pytest.raises(InvalidInput, match="is not the half-cloudy variant"):
        make_variant(quick_archive.folder, clear, "half-cloudy")


def test_a_thinned_archive_lists_every_second_date(quick_archive: Archive, tmp_path: Path) -> None:
    catalog = thinned(quick_archive.folder, tmp_path / "thin", 2)
    links = json.loads((tmp_path / "thin" / S2 / "collection.json").read_text())["links"]
    days = {Path(link["href"]).parent.name.split("_")[2] for link in links if link["rel"] == "item"}
    total = dates_of(quick_archive.folder)
    assert total > 2
    assert len(days) == -(-total // 2)
    assert open_catalog(str(catalog)).describe("SENTINEL2_L2A").bboxes


def test_the_plain_cloud_mask_is_the_federations_away_from_edges() -> None:
    rng = np.random.default_rng(5)
    scl = np.full((160, 160), 4, np.uint8)
    for _ in range(6):
        y, x, size = (int(v) for v in rng.integers(0, 150, 3))
        scl[y : y + size // 8 + 1, x : x + size // 6 + 1] = rng.choice((0, 1, 3, 8, 9, 10))
    arguments = {"kernel1_size": 17, "kernel2_size": 77, "erosion_kernel_size": 3}
    meta = raster_meta(width=160, height=160, bands=("SCL",), dtype=np.uint8)
    data = Cube(scl.reshape(meta.shape), (scl != 0).reshape(meta.shape), meta)
    mask = run_eager("to_scl_dilation_mask", data=data, mask1_values=[0, 2, 4, 5, 6, 7], **arguments)
    inner = (slice(REACH, -REACH), slice(REACH, -REACH))
    found = cloud_mask(scl)
    assert found[inner].any()
    assert not found[inner].all()
    np.testing.assert_array_equal(found[inner], mask.values[..., inner[0], inner[1]].squeeze())
