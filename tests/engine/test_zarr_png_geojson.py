"""Zarr, PNG and GeoJSON: read again by the libraries that users have, they equal the cube."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.support.written import DATES, assert_equal, cubes, raster_meta, vector_cube, write

from acreage.core.cube import Cube, CubeMeta, Dimension, Geometries
from acreage.core.errors import FormatUnsuitable, InvalidInput, ProcessParameterInvalid
from acreage.core.grid import Grid
from acreage.engine.plan import Output
from acreage.engine.store import ScratchCube
from acreage.engine.writers import format_for, split_name
from acreage.processes.geometries import in_crs


def big(dtype: str = "u2", **kwargs: Any) -> Cube:
    rng = np.random.default_rng(0)
    meta = raster_meta(dtype, rows=700, columns=300, **kwargs)
    return Cube.of(rng.integers(1, 5000, meta.shape).astype(dtype), rng.random(meta.shape) > 0.1, meta)


def on_scratch(cube: Cube, folder: Path) -> ScratchCube:
    stored = ScratchCube.create(folder / "scratch" / "node", cube.meta)
    stored.write(cube)
    return stored


# --- Zarr ---


@given(cubes(), st.sampled_from(["zstd", "deflate", "none"]))
def test_zarr_read_back_equals_the_cube(cube: Cube, compression: str) -> None:
    bands = cube.meta.find("bands")
    names = ["var"] if bands is None else list(map(str, bands.labels))
    with tempfile.TemporaryDirectory() as folder:
        try:
            (path,) = write(cube, "Zarr", Path(folder), compression=compression)
        except FormatUnsuitable:
            assert cube.meta.dtype.itemsize == 8
            return
        with zarr.storage.ZipStore(path, mode="r") as store:
            group = zarr.open_consolidated(store, mode="r")
            axis = 0 if bands is None else cube.meta.axis("bands")
            values = np.stack([group[n][...] for n in names], axis=axis).reshape(cube.meta.shape)
            fill = group[names[0]].fill_value
    if fill is None:
        null = np.zeros(values.shape, bool)
    else:
        null = np.isnan(values) if values.dtype.kind == "f" else values == fill
    assert_equal(values, null, cube)


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_zarr_in_xarray_has_nulls_dates_and_a_crs(tmp_path: Path, dtype: str) -> None:
    cube = big(dtype)
    (path,) = write(cube, "zarr", tmp_path)
    assert cube.meta.box is not None
    with zarr.storage.ZipStore(path, mode="r") as store, xr.open_zarr(store) as file:
        np.testing.assert_array_equal(file.t.values.astype("datetime64[ms]"), np.array(DATES))
        np.testing.assert_array_equal(file.x.values, cube.meta.box.x_centres())
        np.testing.assert_array_equal(file.y.values, cube.meta.box.y_centres())
        assert "3035" in file.crs.attrs["spatial_ref"]
        for n, band in enumerate(("B04", "B8A")):
            found, valid = file[band].values, cube.validity()[:, n]
            np.testing.assert_array_equal(np.isnan(found), ~valid)
            np.testing.assert_array_equal(found[valid], cube.values[:, n][valid])


def test_zarr_in_gdal_lies_where_the_cube_does(tmp_path: Path) -> None:
    cube = big()
    (path,) = write(cube, "Zarr", tmp_path)
    assert cube.meta.box is not None
    with rasterio.open(f'ZARR:"/vsizip/{path}":/B04:1') as file:
        assert file.crs.to_epsg() == 3035
        assert file.transform == cube.meta.box.affine
        np.testing.assert_array_equal(file.read_masks(1) > 0, cube.validity()[1, 0])


def test_zarr_chunks_are_written_once_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acreage.engine.writers.common._PIECE_BYTES", 1_000_000)
    cube = big()
    (whole,) = write(cube, "Zarr", tmp_path / "whole")
    (pieces,) = write(on_scratch(cube, tmp_path), "Zarr", tmp_path / "pieces")
    with zipfile.ZipFile(pieces) as file:
        assert len(set(file.namelist())) == len(file.namelist())
        assert "B04/0.2.1" in file.namelist()
    with zarr.storage.ZipStore(whole, mode="r") as a, zarr.storage.ZipStore(pieces, mode="r") as b:
        one, other = zarr.open_group(a, mode="r"), zarr.open_group(b, mode="r")
        for band in ("B04", "B8A"):
            np.testing.assert_array_equal(one[band][...], other[band][...])


@pytest.mark.parametrize("cube", [vector_cube(), Cube(np.array(3.5), None, CubeMeta((), np.dtype("f8")))])
def test_zarr_holds_vector_cubes_and_numbers(tmp_path: Path, cube: Cube) -> None:
    (path,) = write(cube, "Zarr", tmp_path)
    with zarr.storage.ZipStore(path, mode="r") as store, xr.open_zarr(store) as file:
        if cube.meta.geometries is None:
            assert float(file["var"]) == 3.5
            return
        assert list(file["geometry"].values) == ["a", "b", "c"]
        assert [shapely.from_wkt(w) for w in file["geometry_wkt"].values] == list(cube.meta.geometries.shapes)
        np.testing.assert_array_equal(file.B04.isnull().values, ~cube.validity()[:, :, 0])


def test_a_zipped_zarr_store_has_a_suffix_of_two_parts(tmp_path: Path) -> None:
    assert split_name("a.b.zarr.zip") == ("a.b", ".zarr.zip")
    output = Output(0, "r", None, {})
    target = format_for(output, raster_meta("u1"), tmp_path / "map.zarr.zip", single=True, overwrite=False)
    assert (target.stem, target.format.name) == ("map", "Zarr")
    with pytest.raises(InvalidInput, match="not the name of a file"):
        format_for(output, raster_meta("u1"), tmp_path / "map.zip", single=True, overwrite=False)


# --- PNG ---


def shown(path: Path) -> Any:
    """Red, green, blue and opacity of a picture, as a browser shows it."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"))


@given(cubes(), st.integers(-5, 5))
def test_one_band_is_grey_between_min_and_max_and_nulls_are_transparent(cube: Cube, low: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        name = "B04" if cube.meta.find("bands") else "var"
        files = write(cube, "PNG", Path(folder), bands=[name], min=low, max=low + 10)
        pictures = np.stack([shown(path) for path in files])
    picked = (slice(None), 0) if cube.meta.find("bands") else (slice(None),)
    shape = (-1, *cube.meta.shape[-2:])
    values, valid = cube.values.reshape(-1, *cube.meta.shape[-3:]), cube.validity()
    if cube.meta.find("bands"):
        values, valid = values[picked], valid.reshape(-1, *cube.meta.shape[-3:])[picked]
    values, valid = values.reshape(shape).astype(np.float64), valid.reshape(shape)
    expected = np.rint(np.clip((values - low) / 10, 0, 1) * 255)
    np.testing.assert_array_equal(pictures[..., 3], np.where(valid, 255, 0))
    for channel in range(3):
        np.testing.assert_array_equal(pictures[..., channel][valid], expected[valid])


def test_three_bands_are_red_green_and_blue_stretched_over_all_dates(tmp_path: Path) -> None:
    meta = raster_meta("f4", bands=3)
    values = np.arange(np.prod(meta.shape), dtype=np.float32).reshape(meta.shape)
    values[1] += 1000
    valid = np.ones(meta.shape, bool)
    valid[0, 1, 0, 0] = False
    cube = Cube.of(values, valid, meta)
    files = write(cube, "PNG", tmp_path, bands=["SCL", "B04", "B8A"])
    assert [f.name for f in files] == ["out_2019-03-01.png", "out_2019-03-11T105621.024Z.png"]
    pictures = np.stack([shown(path) for path in files])
    assert pictures[0, 0, 0, 3] == 0
    assert (pictures[0, ..., 3] > 0).sum() == 11
    for channel, band in enumerate((2, 0, 1)):
        found = values[:, band].astype(np.float64)
        low, high = found[valid[:, band]].min(), found.max()
        expected = np.rint((found - low) / (high - low) * 255)
        opaque = pictures[..., 3] > 0
        np.testing.assert_array_equal(pictures[..., channel][opaque], expected[opaque])


def test_a_fourth_band_is_the_opacity(tmp_path: Path) -> None:
    meta = raster_meta("u1", times=0, bands=1).with_dim("bands", Dimension("bands", "bands", tuple("rgba")))
    values = np.random.default_rng(0).integers(0, 256, meta.shape).astype(np.uint8)
    (path,) = write(Cube.of(values, None, meta), "PNG", tmp_path)
    np.testing.assert_array_equal(shown(path)[..., 3], values[3])
    seen = values[3] > 0
    np.testing.assert_array_equal(np.moveaxis(shown(path), -1, 0)[:3, seen], values[:3, seen])


def test_classes_get_the_colours_of_the_colormap_and_others_none(tmp_path: Path) -> None:
    meta = raster_meta("i2", times=0, bands=1, rows=1, columns=4)
    cube = Cube.of(np.array([[[-7, 1100, 3, 3]]], np.int16), np.array([[[True, True, True, False]]]), meta)
    colours = {"-7": "#00640080", "1100": [240, 150, 255]}
    (path,) = write(cube, "PNG", tmp_path, colormap=colours)
    np.testing.assert_array_equal(
        shown(path)[0], [[0, 100, 0, 128], [240, 150, 255, 255], [0, 0, 0, 0], [0, 0, 0, 0]]
    )


def test_pictures_of_large_cubes_are_written_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acreage.engine.writers.common._PIECE_BYTES", 1_000_000)
    cube = big(bands=1)
    whole = write(cube, "PNG", tmp_path / "whole")
    pieces = write(on_scratch(cube, tmp_path), "PNG", tmp_path / "pieces")
    for a, b in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(shown(a), shown(b))
    assert [p.name for p in sorted((tmp_path / "pieces").iterdir())] == [p.name for p in pieces]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": ["B05"]}, "names B05"),
        ({"bands": ["B04"], "min": [1, 2]}, "2 values for 1 bands"),
        ({"colormap": {"1": "red"}}, "cannot be"),
        ({"bands": ["B04", "B04", "B8A"], "colormap": {"1": "#000000"}}, "one band of whole numbers"),
        ({"colormap": {"x": "#000000"}}, "cannot be"),
        ({"size": 3}, "no option size"),
    ],
)
def test_options_that_pictures_do_not_take_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ProcessParameterInvalid, match=message):
        write(big(), "PNG", tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_two_bands_are_no_picture(tmp_path: Path) -> None:
    with pytest.raises(FormatUnsuitable, match="1, 3 or 4 bands"):
        write(big(), "PNG", tmp_path)


# --- GeoJSON ---


@pytest.mark.parametrize("dtype", ["f4", "u1", "i8", "bool"])
def test_geojson_read_back_equals_the_vector_cube(tmp_path: Path, dtype: str) -> None:
    cube = vector_cube(dtype)
    (path,) = write(cube, "GeoJSON", tmp_path)
    assert cube.meta.geometries is not None
    frame = gpd.read_file(path)
    assert frame.crs.to_epsg() == 4326
    assert frame.geometry.geom_equals(gpd.GeoSeries(list(cube.meta.geometries.shapes), crs=4326)).all()
    document = json.loads(path.read_text())
    assert [f["id"] for f in document["features"]] == ["a", "b", "c"]
    for n, feature in enumerate(document["features"]):
        properties = feature["properties"]
        own = cube.meta.geometries.properties[n]
        assert {k: properties[k] for k in own} == own
        for t, label in enumerate(("2019-03-01", "2019-03-11T10:56:21.024Z")):
            for b, band in enumerate(("B04", "B08")):
                expected = cube.values[n, t, b] if cube.validity()[n, t, b] else None
                assert properties[f"{band}_{label}"] == expected


def test_geojson_is_in_degrees_with_outer_rings_to_the_left(tmp_path: Path) -> None:
    shapes = (shapely.box(4_000_000, 3_000_000, 4_000_100, 3_000_100).reverse(), shapely.Polygon())
    found = Geometries("EPSG:3035", shapes, ({}, {}))
    meta = CubeMeta((Dimension("geometry", "geometry", ("0", "1")),), np.dtype("f4"), None, found)
    cube = Cube.of(np.array([np.inf, 1.0], np.float32), None, meta)
    (path,) = write(cube, "GeoJSON", tmp_path)
    first, second = json.loads(path.read_text())["features"]
    assert first["properties"] == {"value": None}
    assert second["geometry"] is None
    read = shapely.geometry.shape(first["geometry"])
    assert read.exterior.is_ccw
    assert read.normalize() == shapely.normalize(in_crs(found, "EPSG:4326")[0])


def test_a_raster_is_no_geojson(tmp_path: Path) -> None:
    with pytest.raises(FormatUnsuitable, match="cannot hold a raster cube"):
        write(big(), "GeoJSON", tmp_path)


def test_too_many_values_for_a_table_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    meta = raster_meta("u1", rows=10_000, columns=10_000)
    for name in ("JSON", "CSV"):
        with pytest.raises(FormatUnsuitable, match="too many"):
            format_for(Output(0, "r", name, {}), meta, tmp_path / "o", single=True, overwrite=False)


def test_the_grid_of_pictures_may_be_any(tmp_path: Path) -> None:
    meta = raster_meta("u1", times=0, bands=0)
    assert meta.box is not None
    degrees = meta.with_box(Grid.snapped(4326, 0.001).box_covering(5, 50, 5.004, 50.003))
    cube = Cube.of(np.full(degrees.shape, 9, np.uint8), None, degrees)
    (path,) = write(cube, "PNG", tmp_path)
    assert (shown(path)[..., :3] == 9).all()
