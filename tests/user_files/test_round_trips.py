"""What the engine writes it loads again as it was: values, nulls, labels, places."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.engine_runs import WHOLE
from tests.support.user_files import loaded
from tests.support.written import cubes, raster_meta, vector_cube, write

from acreage.core.cube import Cube, CubeMeta, Dimension, Geometries
from acreage.core.errors import FormatUnsuitable
from acreage.core.grid import Grid
from acreage.engine.user_files import FolderWorkspace, UserFiles

pytestmark = pytest.mark.usefixtures("kept_helper")


def again(
    cube: Cube, name: str, window: int = WHOLE, write_options: Any = None, **options: Any
) -> Cube | None:
    """The cube written and loaded; None where the format cannot hold it."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            paths = write(cube, name, Path(folder), **(write_options or {}))
        except FormatUnsuitable:
            return None
        arguments = {"paths": [p.name for p in paths], "format": name, "options": options}
        node = {"process_id": "load_uploaded_files", "arguments": arguments, "result": True}
        return loaded(UserFiles(FolderWorkspace(Path(folder))), {"load": node}, window)


def assert_as_it_was(found: Cube, cube: Cube) -> None:
    """Equal but for wider numbers where a null value had to be found for the file."""
    assert found.meta.dims == cube.meta.dims
    if cube.meta.box is not None:
        assert found.meta.grid.aligned_with(cube.meta.grid)
        assert found.meta.box == cube.meta.box.on(found.meta.grid)
    assert found.meta.dtype.kind == cube.meta.dtype.kind
    assert found.meta.dtype.itemsize >= cube.meta.dtype.itemsize
    np.testing.assert_array_equal(found.validity(), cube.validity())
    valid = cube.validity()
    np.testing.assert_array_equal(found.values[valid], cube.values[valid].astype(found.meta.dtype))


# --- netCDF ---


@given(cubes(), st.sampled_from([1, 2, WHOLE]), st.sampled_from(["deflate", "none"]))
def test_netcdf_is_loaded_as_it_was_written(cube: Cube, window: int, compression: str) -> None:
    found = again(cube, "netCDF", window, {"compression": compression})
    if found is not None:
        assert_as_it_was(found, cube)


def test_period_labels_and_other_dimensions_come_back_from_netcdf() -> None:
    dims = (
        Dimension("t", "temporal", ("2019-07", "2019-08"), None, "dekad"),
        Dimension("quantile", "other", (0.25, 0.5, 0.75)),
        Dimension("count", "other", (1, 2)),
        Dimension("bands", "bands", ("B04", "a/b")),
        *raster_meta("f4").dims[-2:],
    )
    meta = CubeMeta(dims, np.dtype("f4"), raster_meta("f4").box)
    values = np.arange(meta.size, dtype=np.float32).reshape(meta.shape)
    found = again(Cube.of(values, values % 7 > 0, meta), "netCDF")
    assert found is not None
    assert_as_it_was(found, Cube.of(values, values % 7 > 0, meta))


@pytest.mark.parametrize(
    "grid",
    [
        Grid("EPSG:4326", 0.1, 0.3, 0.05, 0.07),
        Grid("EPSG:32633", 20.0, 10.0, 3.0, 4.0),
        Grid("EPSG:3857", 0.25, 0.25),
    ],
)
def test_places_on_any_grid_come_back_from_netcdf(grid: Grid) -> None:
    box = grid.box_covering(12.01, 47.02, 12.7, 48.1)
    meta = raster_meta("i2", times=0, bands=0).with_box(box)
    cube = Cube.of(np.arange(box.size, dtype=np.int16).reshape(box.shape), None, meta)
    found = again(cube, "netCDF")
    assert found is not None
    assert_as_it_was(found, cube)


@pytest.mark.parametrize("dtype", ["f4", "u1", "i8", "bool"])
def test_vector_cubes_come_back_from_netcdf(dtype: str) -> None:
    cube = vector_cube(dtype)
    found = again(cube, "netCDF")
    assert found is not None
    assert_as_it_was(found, cube)
    assert found.meta.geometries is not None
    assert cube.meta.geometries is not None
    assert found.meta.geometries.crs == "EPSG:4326"
    assert found.meta.geometries.shapes == cube.meta.geometries.shapes


@pytest.mark.parametrize("value", [3.5, 7, True])
def test_a_number_comes_back_from_netcdf(value: Any) -> None:
    array = np.array(value)
    cube = Cube(array, None, CubeMeta((), array.dtype))
    found = again(cube, "netCDF")
    assert found is not None
    assert_as_it_was(found, cube)


# --- GTiff ---


@given(cubes(), st.sampled_from([1, 3, WHOLE]))
def test_geotiffs_are_loaded_as_they_were_written(cube: Cube, window: int) -> None:
    found = again(cube, "GTiff", window)
    if found is None:
        return
    if cube.meta.find("bands") is None:  # a file always has a band
        axis = found.meta.axis("bands")
        assert found.meta.dim("bands").labels == ("B1",)
        valid = None if found.valid is None else found.valid.squeeze(axis)
        found = Cube(found.values.squeeze(axis), valid, found.meta.without_dim("bands"))
    if cube.meta.dtype.kind == "b":  # nor has it booleans
        cube = Cube(
            cube.values.astype(np.uint8), cube.valid, CubeMeta(cube.dims, np.dtype("u1"), cube.meta.box)
        )
    assert_as_it_was(found, cube)


def test_period_labels_of_geotiffs_are_not_taken_for_dates(load: Any, tmp_path: Path) -> None:
    meta = raster_meta("u1").with_dim("t", Dimension("t", "temporal", ("2019-07", "2019-08"), None, "dekad"))
    files = write(Cube(np.zeros(meta.shape, np.uint8), None, meta), "GTiff", tmp_path)
    assert "t" not in load("GTiff", files[0].name).meta.names
    assert "t" in load("GTiff", files[0].name, dates="2019-03-01").meta.names


# --- vector files ---


@pytest.mark.parametrize("name", ["GeoJSON", "Parquet"])
@pytest.mark.parametrize("dtype", ["f8", "i8", "bool"])
def test_vector_files_are_loaded_as_they_were_written(name: str, dtype: str) -> None:
    cube = vector_cube(dtype)
    columns = [f"{b}_{t}" for t in ("2019-03-01", "2019-03-11T10:56:21.024Z") for b in ("B04", "B08")]
    found = again(cube, name, properties=columns)
    assert found is not None
    assert found.meta.dim("geometry").labels == ("a", "b", "c")
    assert found.meta.geometries is not None
    assert cube.meta.geometries is not None
    for one, other in zip(found.meta.geometries.shapes, cube.meta.geometries.shapes, strict=True):
        assert one.normalize() == other.normalize()
    assert [p["crop"] for p in found.meta.geometries.properties] == ["maize", "wheat", None]
    flat = cube.validity().reshape(3, 4)
    np.testing.assert_array_equal(found.validity(), flat)
    np.testing.assert_array_equal(found.values[flat], cube.values.reshape(3, 4)[flat])
    assert found.meta.dtype == np.dtype(dtype)


def test_a_geoparquet_file_keeps_its_crs() -> None:
    cube = vector_cube()
    assert cube.meta.geometries is not None
    geometries = Geometries("EPSG:3035", cube.meta.geometries.shapes, ({},) * 3)
    moved = CubeMeta(cube.dims, cube.meta.dtype, None, geometries)
    found = again(Cube(cube.values, cube.valid, moved), "Parquet")
    assert found is not None
    assert found.meta.geometries is not None
    assert found.meta.geometries.crs == "EPSG:3035"
