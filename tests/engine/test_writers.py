"""Files: what is written and read back equals the cube, nulls included."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from rio_cogeo.cogeo import cog_validate
from tests.support.written import DATES, assert_equal, box_of, cubes, raster_meta, vector_cube, write

from acreage.core.cube import Cube, CubeMeta, Dimension, Geometries
from acreage.core.errors import FormatUnsuitable, InvalidInput, ProcessParameterInvalid
from acreage.engine.plan import Output
from acreage.engine.store import ScratchCube
from acreage.engine.writers import distinct, find_format, format_for, write_outputs
from acreage.engine.writers.common import choose_encoding

# --- encoding ---


@given(cubes())
def test_the_null_value_of_a_file_is_no_valid_value_of_the_cube(cube: Cube) -> None:
    try:
        encoding = choose_encoding(cube)
    except FormatUnsuitable:
        assert cube.meta.dtype.itemsize == 8
        return
    encoded = encoding.encode(cube)
    valid = cube.validity()
    np.testing.assert_array_equal(encoded[valid], cube.values[valid])
    if encoding.nodata is None:
        assert valid.all()
    elif np.isnan(encoding.nodata):
        np.testing.assert_array_equal(np.isnan(encoded), ~valid)
    else:
        np.testing.assert_array_equal(encoded == encoding.nodata, ~valid)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2"])
def test_a_cube_that_uses_every_integer_gets_wider_ones(dtype: str) -> None:
    info = np.iinfo(dtype)
    every = np.arange(info.min, info.max + 1).astype(dtype)
    meta = raster_meta(dtype, times=0, bands=0, rows=2, columns=every.size)
    values = np.stack([every, every])
    valid = np.ones(values.shape, bool)
    valid[1] = False
    encoding = choose_encoding(Cube.of(values, valid, meta))
    assert encoding.dtype.itemsize == 2 * np.dtype(dtype).itemsize
    encoded = encoding.encode(Cube.of(values, valid, meta))
    np.testing.assert_array_equal(encoded[0].astype(np.int64), every.astype(np.int64))
    assert (encoded[1] == encoding.nodata).all()


def test_the_sources_null_value_is_kept_where_it_is_free() -> None:
    values, valid = np.full((3, 4), 7, np.uint16), np.eye(3, 4, dtype=bool)
    meta = raster_meta("u2", times=0, bands=0, nodata=0)
    assert choose_encoding(Cube.of(values, valid, meta)).nodata == 0
    values[0, 0] = 0
    assert choose_encoding(Cube.of(values, valid, meta)).nodata == 65535


# --- GTiff ---


@given(cubes())
def test_geotiffs_read_back_equal_the_cube(cube: Cube) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = write(cube, "GTiff", Path(folder))
        except FormatUnsuitable:
            assert cube.meta.dtype.itemsize == 8
            return
        times = len(cube.meta.dim("t").labels) if "t" in cube.meta.names else 1
        assert len(files) == times
        values, null = [], []
        for path in files:
            with rasterio.open(path) as file:
                values.append(file.read())
                null.append(file.read_masks() == 0)
                assert file.crs.to_epsg() == 3035
                assert cube.meta.box is not None
                assert file.transform == cube.meta.box.affine
        assert_equal(np.stack(values).reshape(cube.meta.shape), np.stack(null).reshape(cube.meta.shape), cube)


def big(dtype: str = "u2", **kwargs: Any) -> Cube:
    rng = np.random.default_rng(0)
    meta = raster_meta(dtype, rows=700, columns=900, **kwargs)
    return Cube.of(rng.integers(1, 5000, meta.shape).astype(dtype), rng.random(meta.shape) > 0.1, meta)


@pytest.mark.parametrize("compression", ["deflate", "zstd", "lzw", "none"])
def test_geotiffs_are_valid_cogs(tmp_path: Path, compression: str) -> None:
    for path in write(big(), "GTiff", tmp_path, compression=compression):
        valid, errors, warnings = cog_validate(path, strict=True)
        assert (valid, errors, warnings) == (True, [], [])
        with rasterio.open(path) as file:
            assert file.overviews(1)


def test_each_time_step_is_a_file_that_says_its_date_and_its_bands(tmp_path: Path) -> None:
    files = write(big(), "GTiff", tmp_path)
    assert [f.name for f in files] == ["out_2019-03-01.tif", "out_2019-03-11T105621.024Z.tif"]
    with rasterio.open(files[1]) as file:
        assert file.descriptions == ("B04", "B8A")
        assert file.tags()["datetime"] == "2019-03-11T10:56:21.024Z"


def test_a_band_says_the_range_of_its_valid_values(tmp_path: Path) -> None:
    cube = big(times=1)
    cube = Cube.of(cube.values, cube.validity() & (np.arange(2) == 0)[:, None, None], cube.meta)
    (path,) = write(cube, "GTiff", tmp_path)
    valid = cube.values[cube.validity()]
    with rasterio.open(path) as file:
        told = {name: float(value) for name, value in file.tags(1).items()}
        assert told["STATISTICS_MINIMUM"] == valid.min()
        assert told["STATISTICS_MAXIMUM"] == valid.max()
        assert told["STATISTICS_MEAN"] == pytest.approx(valid.mean())
        assert "STATISTICS_MINIMUM" not in file.tags(2)  # no valid pixel


def test_one_time_step_is_one_file_of_the_plain_name(tmp_path: Path) -> None:
    (path,) = write(big(times=1), "GTiff", tmp_path)
    assert path.name == "out.tif"


def test_two_labels_of_one_name_are_two_files(tmp_path: Path) -> None:
    meta = raster_meta("u1").with_dim("t", Dimension("t", "temporal", (DATES[0], DATES[0])))
    cube = Cube(np.arange(48, dtype=np.uint8).reshape(meta.shape), None, meta)
    files = write(cube, "GTiff", tmp_path)
    assert len({f.name for f in files}) == 2
    with rasterio.open(files[1]) as file:
        np.testing.assert_array_equal(file.read(), cube.values[1])


def test_overviews_by_mode_hold_only_classes_that_are_there(tmp_path: Path) -> None:
    meta = raster_meta("u1", times=1, bands=0, rows=1100, columns=1100)
    values = np.random.default_rng(0).choice([10, 40], meta.shape).astype(np.uint8)
    (path,) = write(Cube(values, None, meta), "GTiff", tmp_path, overview_method="mode")
    with rasterio.open(path, overview_level=0) as file:
        assert set(np.unique(file.read())) == {10, 40}


@pytest.mark.parametrize("options", [{"compression": "zip"}, {"overview_method": "guess"}, {"quality": 3}])
def test_unknown_options_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ProcessParameterInvalid):
        write(big(), "GTiff", tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_what_a_geotiff_cannot_hold_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    two = raster_meta("u1").dims
    cases = [
        CubeMeta((Dimension("run", "other", (1, 2)), *two), np.dtype("u1"), box_of(3, 4)),
        CubeMeta(two[1:3], np.dtype("u1"), box_of(3, 1)),
        raster_meta("u1").with_dim("t", Dimension("t", "temporal", ())),
        CubeMeta((Dimension("bands", "bands", ("a",)),), np.dtype("u1")),
    ]
    for meta in cases:
        with pytest.raises(FormatUnsuitable):
            format_for(Output(0, "r", "GTiff", {}), meta, tmp_path / "a.tif", single=True, overwrite=False)


def test_a_cube_on_scratch_is_written_in_pieces_like_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acreage.engine.writers.common._PIECE_BYTES", 100_000)
    cube = big()
    scratch = ScratchCube.create(tmp_path / "scratch", cube.meta)
    scratch.write(cube)
    for name in ("GTiff", "netCDF"):
        output = Output(0, "r", name, {})
        files = []
        for n, stored in enumerate((cube, scratch)):
            out = tmp_path / f"{name}{n}"
            target = format_for(output, cube.meta, out, single=True, overwrite=False)
            files.append(write_outputs([(output, target, stored)])[0])
        for a, b in zip(*files, strict=True):
            if name == "GTiff":
                with rasterio.open(a) as one, rasterio.open(b) as two:
                    np.testing.assert_array_equal(one.read(), two.read())
            else:
                xr.testing.assert_identical(xr.open_dataset(a), xr.open_dataset(b))


# --- netCDF ---


@given(cubes(), st.sampled_from(["deflate", "none"]))
def test_netcdf_read_back_by_xarray_equals_the_cube(cube: Cube, compression: str) -> None:
    bands = cube.meta.find("bands")
    names = ["var"] if bands is None else list(map(str, bands.labels))
    with tempfile.TemporaryDirectory() as folder:
        try:
            (path,) = write(cube, "netCDF", Path(folder), compression=compression)
        except FormatUnsuitable:
            assert cube.meta.dtype.itemsize == 8
            return
        with xr.open_dataset(path, mask_and_scale=False) as file:
            assert bool(file[names[0]].encoding.get("zlib")) == (compression == "deflate")
            axis = 0 if bands is None else cube.meta.axis("bands")
            values = np.stack([file[n].values for n in names], axis=axis)
            told = file[names[0]].attrs
            fill = told.get("_FillValue", told.get("missing_value"))
    values = values.reshape(cube.meta.shape)
    if fill is None:
        null = np.zeros(values.shape, bool)
    else:
        null = np.isnan(values) if values.dtype.kind == "f" else values == fill
    assert_equal(values, null, cube)


def test_another_compression_of_netcdf_is_refused(tmp_path: Path) -> None:
    meta = raster_meta("u1")
    cube = Cube(np.zeros(meta.shape, np.uint8), None, meta)
    with pytest.raises(ProcessParameterInvalid, match="cannot be 'zstd'"):
        write(cube, "netCDF", tmp_path, compression="zstd")


def test_netcdf_has_cf_time_coordinates_and_a_crs(tmp_path: Path) -> None:
    cube = big("f4")
    (path,) = write(cube, "netCDF", tmp_path)
    with xr.open_dataset(path) as file:
        np.testing.assert_array_equal(file.t.values.astype("datetime64[ms]"), np.array(DATES))
        assert cube.meta.box is not None
        np.testing.assert_array_equal(file.x.values, cube.meta.box.x_centres())
        np.testing.assert_array_equal(file.y.values, cube.meta.box.y_centres())
        assert file.B04.attrs["grid_mapping"] == "crs" or file.B04.encoding["grid_mapping"] == "crs"
        assert "3035" in file.crs.attrs["spatial_ref"]
        assert file.attrs["Conventions"].startswith("CF")
        assert bool((file.B04.isnull().values == ~cube.validity()[:, 0]).all())
    with rasterio.open(f"netcdf:{path}:B04") as file:
        assert file.crs.to_epsg() == 3035
        assert file.transform == cube.meta.box.affine


def test_period_labels_are_text_in_netcdf(tmp_path: Path) -> None:
    meta = raster_meta("f4").with_dim("t", Dimension("t", "temporal", ("2019-07", "2019-08"), None, "dekad"))
    (path,) = write(Cube(np.zeros(meta.shape, np.float32), None, meta), "netCDF", tmp_path)
    with xr.open_dataset(path) as file:
        assert list(file.t.values) == ["2019-07", "2019-08"]


def test_band_names_that_netcdf_cannot_hold_or_that_are_taken_get_others(tmp_path: Path) -> None:
    names = ("x", "crs", "a/b", "1 2", "t")
    meta = raster_meta("f4", bands=1).with_dim("bands", Dimension("bands", "bands", names))
    cube = Cube(np.arange(120, dtype=np.float32).reshape(meta.shape), None, meta)
    (path,) = write(cube, "netCDF", tmp_path)
    with xr.open_dataset(path) as file:
        by_name = {v.attrs.get("long_name"): v.values for v in file.data_vars.values() if v.ndim == 3}
    assert set(by_name) == set(names)
    for n, name in enumerate(names):
        np.testing.assert_array_equal(by_name[name], cube.values[:, n])


# --- vector cubes, scalars, tables ---


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i2", "i8", "bool"])
def test_geoparquet_read_back_equals_the_vector_cube(tmp_path: Path, dtype: str) -> None:
    cube = vector_cube(dtype)
    (path,) = write(cube, "GeoParquet", tmp_path)
    frame = gpd.read_parquet(path)
    assert frame.crs.to_epsg() == 4326
    assert list(frame["geometry"]) == list(cube.meta.geometries.shapes if cube.meta.geometries else ())
    assert list(frame["crop"].where(frame["crop"].notna(), None)) == ["maize", "wheat", None]
    for t, label in enumerate(("2019-03-01", "2019-03-11T10:56:21.024Z")):
        for b, band in enumerate(("B04", "B08")):
            column = frame[f"{band}_{label}"]
            np.testing.assert_array_equal(~column.isna(), cube.validity()[:, t, b])
            valid = cube.validity()[:, t, b]
            np.testing.assert_array_equal(
                column[valid].to_numpy(cube.values.dtype), cube.values[:, t, b][valid]
            )


def test_an_attribute_of_a_geometry_never_hides_a_value_or_the_geometry(tmp_path: Path) -> None:
    cube = vector_cube()
    assert cube.meta.geometries is not None
    properties = tuple({"geometry": "text", "B04_2019-03-01": -1} for _ in range(3))
    geometries = Geometries("EPSG:4326", cube.meta.geometries.shapes, properties)
    changed = Cube(cube.values, cube.valid, CubeMeta(cube.dims, cube.meta.dtype, None, geometries))
    (path,) = write(changed, "GeoParquet", tmp_path)
    frame = gpd.read_parquet(path)
    assert list(frame.geometry) == list(cube.meta.geometries.shapes)
    np.testing.assert_array_equal(frame["B04_2019-03-01"][:2], cube.values[:2, 0, 0])


def test_csv_has_a_row_a_label_and_a_column_a_band(tmp_path: Path) -> None:
    cube = vector_cube()
    (path,) = write(cube, "CSV", tmp_path)
    frame = pd.read_csv(path)
    assert list(frame.columns) == ["geometry", "t", "B04", "B08"]
    values = frame[["B04", "B08"]].to_numpy().reshape(cube.meta.shape)
    assert_equal(values.astype(np.float32), np.isnan(values), cube)
    assert list(frame["t"][:2]) == ["2019-03-01", "2019-03-11T10:56:21.024Z"]


@given(cubes())
def test_json_read_back_equals_the_cube(cube: Cube) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (path,) = write(cube, "JSON", Path(folder))
        document = json.loads(path.read_text())
    assert document["dims"] == list(cube.meta.names)
    assert document["crs"] == "EPSG:3035"
    assert document["labels"]["x"] == list(cube.meta.labels_of("x"))
    flat = np.array(document["data"], object).reshape(cube.meta.shape)
    null = np.vectorize(lambda v: v is None)(flat)
    values = np.where(null, 0, flat).astype(cube.values.dtype)
    assert_equal(values, null, cube)


@pytest.mark.parametrize(
    ("value", "valid", "text"),
    [(3, True, "3"), (0.5, True, "0.5"), (1.0, False, "null"), (True, True, "true")],
)
def test_a_scalar_is_plain_json(tmp_path: Path, value: Any, valid: bool, text: str) -> None:
    array = np.array(value)
    (path,) = write(Cube.of(array, np.array(valid), CubeMeta((), array.dtype)), "JSON", tmp_path)
    assert path.read_text().strip() == text


def test_a_vector_cube_in_json_and_netcdf_carries_its_geometries(tmp_path: Path) -> None:
    cube = vector_cube()
    (path,) = write(cube, "JSON", tmp_path)
    document = json.loads(path.read_text())
    assert [shapely.geometry.shape(g).wkt for g in document["geometries"]] == [
        s.wkt for s in (cube.meta.geometries.shapes if cube.meta.geometries else ())
    ]
    (path,) = write(cube, "netCDF", tmp_path)
    with xr.open_dataset(path) as file:
        assert list(file["geometry"].values) == ["a", "b", "c"]
        np.testing.assert_array_equal(file.B04.isnull().values, ~cube.validity()[:, :, 0])


# --- names ---


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("gtiff", "GTiff"),
        ("COG", "GTiff"),
        ("NETCDF", "netCDF"),
        ("parquet", "Parquet"),
        ("GeoParquet", "Parquet"),
    ],
)
def test_format_names_are_taken_in_any_case(asked: str, name: str) -> None:
    assert find_format(asked).name == name


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(FormatUnsuitable, match="FAX") as caught:
        find_format("FAX")
    assert "netCDF" in caught.value.hint


def test_a_file_name_of_another_format_than_the_graphs_is_refused(tmp_path: Path) -> None:
    output = Output(0, "r", "GTiff", {})
    with pytest.raises(InvalidInput, match="another format"):
        format_for(output, raster_meta("u1"), tmp_path / "a.nc", single=True, overwrite=False)


def test_several_outputs_go_into_a_folder_each_under_its_nodes_name(tmp_path: Path) -> None:
    output = Output(0, "node7", "netCDF", {})
    target = format_for(output, raster_meta("u1"), tmp_path / "all", single=False, overwrite=False)
    assert (target.folder, target.stem) == (tmp_path / "all", "node7")


def test_keys_of_nodes_lead_nowhere_else_and_files_do_not_meet(tmp_path: Path) -> None:
    meta = raster_meta("u1")
    keys = ["../../evil", "a/b", "a b", "A_B", "..", ""]
    targets = distinct(
        [
            format_for(Output(0, key, "netCDF", {}), meta, tmp_path, single=False, overwrite=False)
            for key in keys
        ]
    )
    assert all(t.folder == tmp_path for t in targets)
    assert [t.stem for t in targets] == ["_.._evil", "a_b", "a_b_2", "A_B_3", "result", "result_2"]
