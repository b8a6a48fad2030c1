"""Files that other software wrote: rasterio, xarray and geopandas are the independent writers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import netCDF4
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
import xarray as xr
from affine import Affine

from acreage.core.errors import FileContentInvalid, ProcessParameterInvalid
from acreage.core.temporal import parse_instant

pytestmark = pytest.mark.usefixtures("kept_helper")

RNG = np.random.default_rng(5)
UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def tif(
    path: Path,
    values: Any,
    *,
    crs: Any = "EPSG:32631",
    transform: Affine = UTM,
    nodata: float | None = None,
    names: tuple[str, ...] = (),
    scales: Any = None,
    offsets: Any = None,
    **tags: str,
) -> Path:
    bands, rows, columns = values.shape
    size = {"count": bands, "height": rows, "width": columns, "dtype": values.dtype}
    with rasterio.open(
        path, "w", driver="GTiff", crs=crs, transform=transform, nodata=nodata, **size
    ) as file:
        file.write(values)
        file.update_tags(**tags)
        for n, name in enumerate(names, 1):
            file.set_band_description(n, name)
        if scales is not None:
            file.scales, file.offsets = scales, offsets
    return path


def numbers(*shape: int, dtype: str = "u2") -> Any:
    return RNG.integers(1, 200, shape).astype(dtype)


# --- GeoTIFF ---


def test_a_geotiff_without_a_date_is_a_cube_without_t(load: Any, tmp_path: Path) -> None:
    values = numbers(2, 5, 7)
    values[0, 1, 1] = 0
    tif(tmp_path / "a.tif", values, nodata=0, names=("red", "nir"))
    cube = load("geotiff", "a.tif")
    assert cube.meta.names == ("bands", "y", "x")
    assert cube.meta.dim("bands").labels == ("red", "nir")
    assert cube.meta.box.affine == UTM
    np.testing.assert_array_equal(cube.values, values)
    np.testing.assert_array_equal(cube.validity(), values != 0)


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("S2_20190301.tif", "2019-03-01"),
        ("T31UFS_20190301T105621Z_B04.tif", "2019-03-01T10:56:21Z"),
        ("ndvi-2019-03-01.tif", "2019-03-01"),
        ("ndvi_2019-03-01T105621.024Z.tif", "2019-03-01T10:56:21.024Z"),
        ("id_201903011.tif", None),
        ("id_20191301.tif", None),
        ("2019-0301.tif", None),
    ],
)
def test_dates_are_read_from_names(load: Any, tmp_path: Path, name: str, date: str | None) -> None:
    tif(tmp_path / name, numbers(1, 2, 2))
    cube = load("GTiff", name)
    expected = None if date is None else (parse_instant(date),)
    assert (cube.meta.dim("t").labels if "t" in cube.meta.names else None) == expected


def test_dates_of_tags_come_first_and_given_ones_before_them(load: Any, tmp_path: Path) -> None:
    tif(tmp_path / "a_20190301.tif", numbers(1, 2, 2), datetime="2020-05-06T07:08:09Z")
    assert load("GTiff", "a_20190301.tif").meta.dim("t").labels == (parse_instant("2020-05-06T07:08:09Z"),)
    given = load("GTiff", "a_20190301.tif", dates=["2021-01-02"]).meta.dim("t").labels
    assert given == (parse_instant("2021-01-02"),)


def test_bands_in_several_files_and_dates_become_one_cube(load: Any, tmp_path: Path) -> None:
    parts = {}
    for date in ("2019-03-11", "2019-03-01"):
        for band in ("B04", "B08"):
            parts[date, band] = numbers(1, 4, 4)
            tif(tmp_path / f"{band}_{date}.tif", parts[date, band], names=(band,))
    cube = load("GTiff", *(f"{band}_{date}.tif" for date, band in parts))
    assert cube.meta.dim("t").labels == (parse_instant("2019-03-01"), parse_instant("2019-03-11"))
    for t, date in enumerate(("2019-03-01", "2019-03-11")):
        for b, band in enumerate(("B04", "B08")):
            np.testing.assert_array_equal(cube.values[t, b], parts[date, band][0])


def test_tiles_of_one_date_are_mosaicked_the_first_wins(load: Any, tmp_path: Path) -> None:
    left, right = numbers(1, 4, 4), numbers(1, 4, 4)
    left[0, 0, 3] = 0
    tif(tmp_path / "left.tif", left, nodata=0)
    tif(tmp_path / "right.tif", right, nodata=0, transform=UTM * Affine.translation(2, 0))
    cube = load("GTiff", "left.tif", "right.tif")
    assert cube.values.shape == (1, 4, 6)
    expected = np.concatenate([left[0], right[0, :, 2:]], axis=1)
    expected[0, 3] = right[0, 0, 1]
    np.testing.assert_array_equal(cube.values[0], expected)


def test_scale_and_offset_give_values_unless_numbers_are_asked_for(load: Any, tmp_path: Path) -> None:
    values = numbers(2, 3, 3, dtype="i2")
    values[1, 0, 0] = -99
    tif(tmp_path / "a.tif", values, nodata=-99, scales=(0.5, 2.0), offsets=(1.0, -3.0))
    cube = load("GTiff", "a.tif")
    assert cube.meta.dtype == np.float32
    assert not cube.validity()[1, 0, 0]
    expected = np.stack([values[0] * 0.5 + 1.0, values[1] * 2.0 - 3.0])
    valid = cube.validity()
    np.testing.assert_array_equal(cube.values[valid], expected[valid].astype(np.float32))
    assert load("GTiff", "a.tif", scale=False).meta.dtype == np.int16


def test_options_name_bands_null_and_crs(load: Any, tmp_path: Path) -> None:
    values = numbers(1, 3, 3)
    values[0, 2, 2] = 77
    tif(tmp_path / "a.tif", values, crs=None)
    cube = load("GTiff", "a.tif", bands=["height"], nodata=77, crs=32633)
    assert (cube.meta.dim("bands").labels, cube.meta.grid.crs) == (("height",), "EPSG:32633")
    assert not cube.validity()[0, 2, 2]


@pytest.mark.parametrize(
    "crs", ["EPSG:4326", "EPSG:3035", "+proj=laea +lat_0=48 +lon_0=9 +ellps=GRS80 +units=m"]
)
def test_any_crs_is_kept(load: Any, tmp_path: Path, crs: str) -> None:
    place = {"EPSG:4326": (8.0, 48.0), "EPSG:3035": (4_000_000, 3_000_000)}.get(crs, (0.0, 0.0))
    step = 0.001 if crs == "EPSG:4326" else 20
    values = numbers(1, 3, 3)
    tif(tmp_path / "a.tif", values, crs=crs, transform=Affine(step, 0, place[0], 0, -step, place[1]))
    cube = load("GTiff", "a.tif")
    np.testing.assert_array_equal(cube.values, values)


def test_what_comes_next_resamples_and_filters_at_the_source(load: Any, tmp_path: Path) -> None:
    values = numbers(1, 40, 40)
    tif(tmp_path / "a_20190301.tif", values)
    then = {
        "coarse": {
            "process_id": "resample_spatial",
            "arguments": {"data": {"from_node": "load"}, "resolution": 20, "method": "near"},
        },
        "part": {
            "process_id": "filter_bbox",
            "arguments": {
                "data": {"from_node": "coarse"},
                "extent": {
                    "west": 500_000,
                    "east": 500_200,
                    "south": 4_999_800,
                    "north": 5_000_000,
                    "crs": 32631,
                },
            },
            "result": True,
        },
    }
    cube = load("GTiff", "a_20190301.tif", then=then)
    assert cube.meta.grid.res_x == 20
    whole = load("GTiff", "a_20190301.tif", then=then, window=3)
    np.testing.assert_array_equal(cube.values, whole.values)
    assert set(np.unique(cube.values)) <= set(np.unique(values))


# --- netCDF ---


def dataset(values: Any, *, x: Any, y: Any, time: Any = None, **attributes: Any) -> xr.Dataset:
    dims = ("time", "y", "x") if time is not None else ("y", "x")
    coords = {"x": ("x", x, {"axis": "X"}), "y": ("y", y, {"axis": "Y"})}
    if time is not None:
        coords["time"] = ("time", time)
    return xr.Dataset({"ndvi": (dims, values, attributes)}, coords)


def test_rows_from_south_to_north_and_foreign_names_are_understood(load: Any, tmp_path: Path) -> None:
    values = numbers(3, 4, 5, dtype="f4")
    values[0, 0, 0] = np.nan
    lat, lon = 50 + 0.25 * np.arange(4), 5 + 0.25 * np.arange(5)
    days = pd.date_range("2019-03-01", periods=3)
    made = xr.Dataset(
        {"t2m": (("time", "latitude", "longitude"), values)},
        {
            "time": days,
            "latitude": ("latitude", lat, {"units": "degrees_north"}),
            "longitude": ("longitude", lon, {"units": "degrees_east"}),
        },
    )
    made.to_netcdf(tmp_path / "era5.nc")
    for window in (2, 1000):
        cube = load("NetCDF", "era5.nc", window=window)
        assert cube.meta.names == ("t", "bands", "y", "x")
        assert cube.meta.dim("bands").labels == ("t2m",)
        assert cube.meta.dim("t").labels == tuple(days.values.astype("datetime64[ms]"))
        assert (cube.meta.grid.crs, cube.meta.box.bounds) == ("EPSG:4326", (4.875, 49.875, 6.125, 50.875))
        np.testing.assert_array_equal(cube.values[:, 0], values[:, ::-1])
        np.testing.assert_array_equal(cube.validity()[:, 0], ~np.isnan(values[:, ::-1]))


def test_packed_numbers_ranges_and_fill_values_are_decoded_as_xarray_does(load: Any, tmp_path: Path) -> None:
    path = tmp_path / "packed.nc"
    values = 0.01 * RNG.integers(0, 100, (2, 4, 4)) + 5
    values[1, 2] = np.nan
    made = dataset(
        values, x=np.arange(4) * 10.0, y=-np.arange(4) * 10.0, time=pd.date_range("2020-01-01", periods=2)
    )
    packing = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 5.0, "_FillValue": -1}
    made.to_netcdf(path, encoding={"ndvi": packing})
    cube = load("netCDF", "packed.nc", crs="EPSG:3035")
    with xr.open_dataset(path) as expected:
        np.testing.assert_allclose(cube.values[:, 0], expected.ndvi.values, rtol=1e-6)
    assert cube.meta.dtype == np.float32
    raw = load("netCDF", "packed.nc", crs=3035, scale=False)
    assert raw.meta.dtype == np.int16
    with netCDF4.Dataset(path, "a") as file:
        file["ndvi"].valid_range = np.array([10, 50], np.int16)
    raw = load("netCDF", "packed.nc", crs=3035, scale=False)
    assert raw.values[raw.validity()].min() >= 10
    assert raw.values[raw.validity()].max() <= 50


def test_unsigned_bytes_of_classic_files_are_understood(load: Any, tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "a.nc", "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("x", 3)
        file.createDimension("y", 2)
        file.createVariable("x", "f8", ("x",))[:] = [0, 1, 2]
        file.createVariable("y", "f8", ("y",))[:] = [1, 0]
        codes = file.createVariable("codes", "i1", ("y", "x"), fill_value=-1)
        codes.set_auto_maskandscale(False)
        codes.setncattr("_Unsigned", "true")
        codes[:] = np.array([[1, 200, 255], [0, 128, 127]], np.uint8).view(np.int8)
    cube = load("netCDF", "a.nc", crs=3035)
    assert cube.meta.dtype == np.uint8
    np.testing.assert_array_equal(cube.values[0], [[1, 200, 0], [0, 128, 127]])
    np.testing.assert_array_equal(cube.validity()[0], [[True, True, False], [True, True, True]])


def test_dimensions_in_any_order_and_variables_by_choice(load: Any, tmp_path: Path) -> None:
    values = numbers(5, 2, 4, dtype="i4")
    made = xr.Dataset(
        {
            "a": (("x", "level", "y"), values),
            "b": (("x", "level", "y"), values + 1),
            "mean": (("level",), np.zeros(2)),
        },
        {"x": np.arange(5) * 100.0, "y": 1000 - np.arange(4) * 100.0, "level": ["low", "high"]},
    )
    made.to_netcdf(tmp_path / "a.nc")
    cube = load("netCDF", "a.nc", crs=3035)
    assert cube.meta.names == ("bands", "level", "y", "x")
    assert cube.meta.dim("level").labels == ("low", "high")
    np.testing.assert_array_equal(cube.values[0], values.transpose(1, 2, 0))
    only = load("netCDF", "a.nc", crs=3035, variables=["b"])
    np.testing.assert_array_equal(only.values[0], values.transpose(1, 2, 0) + 1)
    with pytest.raises(ProcessParameterInvalid, match="no variable c"):
        load("netCDF", "a.nc", crs=3035, variables=["c"])
    with pytest.raises(FileContentInvalid, match="different dimensions"):
        load("netCDF", "a.nc", crs=3035, variables=["a", "mean"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.array([0.0, 10, 30, 40])}, "x has no even steps"),
        ({"x": np.array([0.0, np.nan, 20, 30])}, "no numbers"),
        (
            {"time": ("time", [0.0, 1.0], {"units": "days since 2019-01-01", "calendar": "360_day"})},
            "calendar '360_day'",
        ),
        ({"time": ("time", [0.0, 1.0], {"units": "moons since 2019-01-01"})}, "units 'moons"),
    ],
)
def test_what_is_no_regular_cube_is_refused_with_the_reason(
    load: Any, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    made = dataset(
        numbers(2, 3, 4, dtype="f4"), x=np.arange(4) * 10.0, y=np.arange(3) * 10.0, time=[0.0, 1.0]
    )
    made.assign_coords({k: v if isinstance(v, tuple) else (k, v) for k, v in changes.items()}).to_netcdf(
        tmp_path / "a.nc"
    )
    with pytest.raises(FileContentInvalid, match=message):
        load("netCDF", "a.nc", crs=3035)


def test_a_file_that_names_no_crs_asks_for_one(load: Any, tmp_path: Path) -> None:
    dataset(numbers(3, 4, dtype="f4"), x=np.arange(4) * 10.0, y=np.arange(3) * 10.0).to_netcdf(
        tmp_path / "a.nc"
    )
    with pytest.raises(
        FileContentInvalid, match=r"a.nc cannot be placed.*no coordinate reference system.*'crs'"
    ):
        load("netCDF", "a.nc")


# --- vectors ---


def test_a_geoparquet_file_of_any_crs_is_a_vector_cube(load: Any, tmp_path: Path) -> None:
    shapes = [shapely.box(n * 100, 0, n * 100 + 50, 50) for n in range(3)]
    when = pd.to_datetime(["2019-03-01", None, "2020-01-01"])
    gpd.GeoDataFrame(
        {"crop": ["maize", None, "rye"], "yield": [1.5, np.nan, 3.0], "sown": when},
        geometry=shapes,
        crs=32631,
    ).to_parquet(tmp_path / "fields.parquet")
    cube = load("geoparquet", "fields.parquet", properties=["yield"])
    assert cube.meta.geometries.crs == "EPSG:32631"
    assert cube.meta.geometries.shapes == tuple(shapes)
    np.testing.assert_array_equal(cube.validity()[:, 0], [True, False, True])
    assert cube.meta.geometries.properties[0]["sown"].startswith("2019-03-01")


def test_a_geojson_file_is_what_load_geojson_makes_of_it(load: Any, tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame(
        {"id": ["p", "q"]}, geometry=[shapely.Point(5, 50), shapely.Point(6, 51)], crs=4326
    )
    (tmp_path / "points.geojson").write_text(frame.to_json())
    cube = load("GeoJSON", "points.geojson")
    assert cube.meta.dim("geometry").labels == ("0", "1")
    assert cube.meta.geometries.shapes == tuple(frame.geometry)
    assert [p["id"] for p in cube.meta.geometries.properties] == ["p", "q"]
