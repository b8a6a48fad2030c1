"""A simulated scene on disk: its pixels follow from the landscape, and its catalog is readable."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
import rasterio.warp
from numpy.typing import NDArray
from rasterio.features import rasterize
from rio_cogeo.cogeo import cog_validate
from tests.simulate.conftest import CLEAR, SETTINGS
from tests.support.stac_schemas import validate_file

from acreage.core.errors import InvalidInput, OutputExists, WriteFailed
from acreage.simulate import scene as scene_module
from acreage.simulate.phenology import load_phenology
from acreage.simulate.scene import SceneFiles, simulate_scene
from acreage.simulate.settings import SceneSettings

S2_ASSETS = {
    "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22", "scl",
}  # fmt: skip


def read(path: Path) -> NDArray[np.generic]:
    with rasterio.open(path) as source:
        return np.asarray(source.read(1))


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".tif", ".json")
    }


def items(files: SceneFiles, collection: str) -> list[pystac.Item]:
    child = pystac.Catalog.from_file(str(files.catalog)).get_child(collection)
    assert child is not None
    return sorted(child.get_items(), key=lambda i: i.id)


def asset(item: pystac.Item, name: str) -> Path:
    return Path(str(item.assets[name].get_absolute_href()))


def test_one_seed_gives_the_same_bytes_and_another_does_not(scene: SceneFiles, tmp_path: Path) -> None:
    again = simulate_scene(tmp_path / "again", SETTINGS, threads=1)
    assert hashes(again.folder) == hashes(scene.folder)
    other = simulate_scene(tmp_path / "other", replace(SETTINGS, seed=8))
    mine, theirs = hashes(scene.folder), hashes(other.folder)
    assert mine["truth.tif"] != theirs["truth.tif"]
    assert [p.name for p in tmp_path.iterdir() if p.name not in ("again", "other")] == []


def test_the_catalog_validates_and_every_asset_is_a_cog_as_described(scene: SceneFiles) -> None:
    catalog = pystac.Catalog.from_file(str(scene.catalog))
    assert {c.id for c in catalog.get_children()} == {
        "sentinel-2-l2a",
        "sentinel-1-sigma0",
        "cop-dem-glo-30",
        "esa-worldcover",
    }
    for path in scene.folder.rglob("*.json"):
        if path.name != "scene.json":
            validate_file(path)
    for item in catalog.get_items(recursive=True):
        assert item.properties["acreage:simulated"] is True
        for name, described in item.assets.items():
            path = asset(item, name)
            assert cog_validate(path, strict=True)[0]
            with rasterio.open(path) as source:
                assert list(source.shape) == described.extra_fields["proj:shape"]
                assert list(source.transform)[:6] == described.extra_fields["proj:transform"]
                assert f"EPSG:{source.crs.to_epsg()}" == item.properties["proj:code"]
                band = described.extra_fields["raster:bands"][0]
                assert source.dtypes[0] == band["data_type"]
                nodata = "nan" if source.nodata != source.nodata else source.nodata
                assert nodata == band.get("nodata")


def test_bands_dates_and_orbits_are_those_of_the_settings(scene: SceneFiles) -> None:
    optical, radar = items(scene, "sentinel-2-l2a"), items(scene, "sentinel-1-sigma0")
    assert len(optical) == scene.s2_dates == 10
    assert len(radar) == scene.s1_dates == 9
    assert all(set(i.assets) == S2_ASSETS for i in optical)
    assert all(set(i.assets) == {"vv", "vh"} for i in radar)
    assert [i.properties["sat:orbit_state"] for i in radar[:3]] == ["ascending", "descending", "ascending"]
    assert all(i.properties["earthsearch:boa_offset_applied"] is True for i in optical)


def test_truth_and_land_cover_are_the_parcels_rasterised(scene: SceneFiles) -> None:
    parcels = gpd.read_file(scene.parcels)
    with rasterio.open(scene.truth) as source:
        truth, transform = source.read(1), source.transform
    codes = rasterize(
        zip(parcels.geometry, parcels["code"], strict=True),
        out_shape=truth.shape,
        transform=transform,
        dtype="uint8",
    )
    assert np.array_equal(truth, codes)
    assert len(np.unique(truth)) >= 8
    landcover = read(asset(items(scene, "esa-worldcover")[0], "map"))
    crops = {c.code for c in load_phenology().crops}
    assert np.array_equal(landcover == 40, np.isin(truth, list(crops)))
    assert {10, 30, 40, 50} == set(np.unique(landcover))


def test_labels_name_the_codes_and_every_crop_is_split(scene: SceneFiles) -> None:
    parcels = gpd.read_file(scene.parcels)
    phenology = load_phenology()
    names = {c.name: c.code for c in phenology.covers}
    assert all(names[row.label] == row.code for row in parcels.itertuples())
    assert parcels.geometry.is_valid.all()
    assert parcels.union_all().area == pytest.approx(parcels.area.sum(), rel=1e-9)
    for cover in phenology.crops:
        splits = parcels["split"][parcels["label"] == cover.name].value_counts()
        assert set(splits.index) == {"train", "test"}
        assert abs(splits["train"] - splits["test"]) <= 1
    others = parcels["split"][~parcels["label"].isin([c.name for c in phenology.crops])]
    assert set(others.fillna("")) == {""}


def inner(parcels: gpd.GeoDataFrame, name: str, files: SceneFiles) -> tuple[pd.Series, NDArray[np.bool_]]:
    """The largest parcel of a crop and its pixels a whole 20 m pixel away from the edge."""
    chosen = parcels[parcels["label"] == name].sort_values("area_ha").iloc[-1]
    with rasterio.open(files.truth) as source:
        inside = rasterize(
            [chosen.geometry.buffer(-25)], out_shape=source.shape, transform=source.transform, dtype="uint8"
        )
    return chosen, inside.astype(bool)


@pytest.mark.parametrize("name", ["wheat", "maize", "rapeseed", "sugar_beet"])
def test_clear_pixels_follow_the_curves_of_their_crop(clear: SceneFiles, name: str) -> None:
    data = json.loads(
        (Path(scene_module.__file__).parent / "data" / "phenology.json").read_text(encoding="utf-8")
    )
    crop = next(c for c in data["covers"] if c["name"] == name)
    parcel, inside = inner(gpd.read_file(clear.parcels), name, clear)
    assert inside.sum() > 20

    def curve(terms: list[list[float]], day: float) -> float:
        return sum(
            h * (1 / (1 + np.exp((s - day) / a)) - 1 / (1 + np.exp((e - day) / b))) for h, s, a, e, b in terms
        )

    for item in items(clear, "sentinel-2-l2a"):
        assert item.datetime is not None
        day = item.datetime.timetuple().tm_yday - parcel.shift_days
        for band in ("green", "nir"):
            i = data["bands"].index(band)
            values = read(asset(item, band))[inside].astype(float) / 10000
            # The vigour of a pixel lies within a fifth of its parcel's; the curve lies between the two ends.
            ends = []
            for vigour in (0.8, 1.2):
                green = min(curve(crop["green"], day) * parcel.vigour * vigour, 1.0)
                dry = min(max(curve(crop["dry"], day), 0.0), 1.0 - green)
                soil = data["soil"][i]
                value = (
                    soil + green * (crop["green_spectrum"][i] - soil) + dry * (crop["dry_spectrum"][i] - soil)
                )
                if "flower" in crop:
                    bloom = np.exp(-0.5 * ((day - crop["flower"]["day"]) / crop["flower"]["width"]) ** 2)
                    value += green * bloom * crop["flower"]["offset"][i]
                ends.append(value)
            assert min(ends) - 0.004 <= values.mean() <= max(ends) + 0.004
    for item in items(clear, "sentinel-1-sigma0"):
        assert item.datetime is not None
        day = item.datetime.timetuple().tm_yday - parcel.shift_days
        power = read(asset(item, "vh"))[inside[::2, ::2] & inside[1::2, 1::2]].astype(float)
        expected = crop["vh"]["base"] + curve(crop["vh"]["terms"], day)
        assert abs(10 * np.log10(power.mean()) - expected) < 2.8  # soil moisture and the orbit's angle


def test_speckle_has_the_wanted_number_of_looks(scene: SceneFiles, clear: SceneFiles) -> None:
    ratio = np.concatenate(
        [
            (read(asset(a, "vv")) / read(asset(b, "vv"))).ravel()
            for a, b in zip(items(scene, "sentinel-1-sigma0"), items(clear, "sentinel-1-sigma0"), strict=True)
        ]
    ).astype(float)
    assert ratio.mean() == pytest.approx(1.0, abs=0.01)
    assert ratio.mean() ** 2 / ratio.var() == pytest.approx(SETTINGS.looks, rel=0.05)


def test_scl_says_where_clouds_and_shadows_changed_the_pixels(scene: SceneFiles, clear: SceneFiles) -> None:
    seen: set[int] = set()
    clear_change = []
    for cloudy, bare in zip(items(scene, "sentinel-2-l2a"), items(clear, "sentinel-2-l2a"), strict=True):
        scl = read(asset(cloudy, "scl"))
        seen |= set(np.unique(scl).tolist())
        change = read(asset(cloudy, "nir08")).astype(int) - read(asset(bare, "nir08")).astype(int)
        blue = read(asset(cloudy, "blue")).astype(int) - read(asset(bare, "blue")).astype(int)
        blue = blue.reshape(scl.shape[0], 2, scl.shape[1], 2).mean(axis=(1, 3))
        assert (blue[scl == 9] > 2500).all()
        assert (blue[scl == 8] > 800).all()
        if (scl == 10).any():  # a veil may lie over a shadow, which darkens a few of its pixels
            assert np.quantile(blue[scl == 10], 0.1) > 150
        if (scl == 3).any():
            assert np.median(change[scl == 3]) < -200
        clear_change.append(np.abs(change[np.isin(scl, (4, 5))]))
        cover = 100 * np.isin(scl, (8, 9, 10)).sum() / max((scl != 0).sum(), 1)
        assert cloudy.properties["eo:cloud_cover"] == pytest.approx(cover, abs=0.01)
    assert {0, 3, 4, 5, 8, 9} <= seen
    # What is called clear is clear, but for noise and for thin rims that no scene classification finds.
    assert np.quantile(np.concatenate(clear_change), 0.9) < 250


def test_beyond_the_swath_edge_every_band_is_nodata_and_nowhere_else(scene: SceneFiles) -> None:
    cut = []
    for item in items(scene, "sentinel-2-l2a"):
        outside = read(asset(item, "scl")) == 0
        cut.append(bool(outside.any()))
        assert not outside.all()
        fine = np.kron(outside, np.ones((2, 2), bool))
        for name in S2_ASSETS - {"scl"}:
            values = read(asset(item, name))
            assert np.array_equal(values == 0, outside if values.shape == outside.shape else fine)
    assert sum(cut) == 2


def test_a_clear_scene_has_no_clouds_and_keeps_its_name_with_a_dot(clear: SceneFiles) -> None:
    assert clear.folder.name == "scene.v1"
    assert [p.name for p in clear.folder.parent.iterdir()] == ["scene.v1"]
    for item in items(clear, "sentinel-2-l2a"):
        assert set(np.unique(read(asset(item, "scl")))) <= {4, 5}
        assert item.properties["eo:cloud_cover"] == 0


def test_nothing_is_overwritten_and_an_interrupted_run_leaves_nothing(
    scene: SceneFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hashes(scene.folder)
    with pytest.raises(OutputExists):
        simulate_scene(scene.folder, SETTINGS)
    assert hashes(scene.folder) == before

    def fail(done: int, total: int, item: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_scene(tmp_path / "scene", SETTINGS, fail)

    def full(*args: object) -> None:
        raise OSError(28, "disk full")

    monkeypatch.setattr(scene_module, "write_catalog", full)
    with pytest.raises(WriteFailed, match="full"):
        simulate_scene(tmp_path / "scene", SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_every_item(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    files = simulate_scene(
        tmp_path / "s", replace(CLEAR, size_km=0.2), lambda done, total, item: calls.append((done, total))
    )
    total = files.s2_dates + files.s1_dates + 2
    assert calls == [(n, total) for n in range(1, total + 1)]


def test_the_bounding_box_lies_inside_the_scene(scene: SceneFiles) -> None:
    with rasterio.open(scene.truth) as source:
        west, south, east, north = rasterio.warp.transform_bounds("EPSG:4326", source.crs, *scene.bbox)
        bounds = source.bounds
    assert bounds.left - 1 <= west < east <= bounds.right + 1
    assert bounds.bottom - 1 <= south < north <= bounds.top + 1
    assert (east - west) > 0.9 * (bounds.right - bounds.left)


@pytest.mark.parametrize(
    "changes",
    [
        {"size_km": 0.0},
        {"centre": (4.0, -30.0)},
        {"centre": (400.0, 50.0)},
        {"s2_interval_days": 0},
        {"s1_orbits": ()},
        {"cloudy": -1.0},
        {"train_share": 1.0},
    ],
)
def test_settings_that_make_no_scene_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="cannot be simulated"):
        replace(SceneSettings(), **changes)  # type: ignore[arg-type]
