"""Files that cannot be used: each is refused by an error that names it, and nothing outside is read."""

from __future__ import annotations

import gzip
import io
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import h5py
import netCDF4
import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from tests.support.engine_runs import cubes_of
from tests.support.user_files import NoCollections, loaded
from tests.support.written import raster_meta, vector_cube, write

from acreage.core.cube import Cube
from acreage.core.errors import (
    AcreageError,
    FileContentInvalid,
    FileNotFound,
    FilePathInvalid,
    FileSizeExceeded,
    FormatUnsuitable,
    ProcessParameterInvalid,
)
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.plan import Context, WindowLog
from acreage.engine.planner import make_plan
from acreage.engine.user_files import FolderWorkspace, Limits, UserFiles, load_files

pytestmark = pytest.mark.usefixtures("kept_helper")

FORMATS = ("GTiff", "netCDF", "GeoJSON", "Parquet")


def sample(name: str, folder: Path) -> Path:
    """A small good file of a format."""
    if name in ("GeoJSON", "Parquet"):
        return write(vector_cube(), name, folder)[0]
    meta = raster_meta("i2", times=0, rows=40, columns=30)
    values = np.arange(meta.size, dtype=np.int16).reshape(meta.shape)
    return write(Cube.of(values, values % 5 > 0, meta), name, folder)[0]


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of a good file of each format."""
    return {name: sample(name, tmp_path_factory.mktemp("good")).read_bytes() for name in FORMATS}


def open_bytes(name: str, data: bytes, **options: Any) -> Cube:
    """A file of these bytes, planned and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mine.bin").write_bytes(data)
        arguments = {"paths": ["mine.bin"], "format": name, "options": options}
        node = {"process_id": "load_uploaded_files", "arguments": arguments, "result": True}
        return loaded(UserFiles(FolderWorkspace(Path(folder))), {"load": node})


# --- contents ---


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["empty", "text", "zeros", "gzip", "other", "png"])
def test_what_is_another_format_is_refused_by_name(good: dict[str, bytes], name: str, kind: str) -> None:
    data = {
        "empty": b"",
        "text": b"date,ndvi\n2019-03-01,0.3\n",
        "zeros": bytes(5000),
        "gzip": gzip.compress(good[name]),
        "other": good["netCDF" if name != "netCDF" else "GTiff"],
        "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    }[kind]
    with pytest.raises(FileContentInvalid, match=r"mine\.bin"):
        open_bytes(name, data)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_what_is_not_whole_is_refused_by_name(good: dict[str, bytes], name: str, share: float) -> None:
    data = good[name][: int(len(good[name]) * share)]
    with pytest.raises(AcreageError, match=r"mine\.bin"):
        open_bytes(name, data)


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_damaged_files_are_loaded_or_refused_but_nothing_breaks(
    good: dict[str, bytes], name: str, data: st.DataObject
) -> None:
    damaged = bytearray(good[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(damaged), 3000) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    try:
        open_bytes(name, bytes(damaged))
    except AcreageError:
        return


# --- GeoTIFF ---


def raw_tif(path: Path, **profile: Any) -> None:
    start = {"driver": "GTiff", "count": 1, "height": 8, "width": 8, "dtype": "uint8", "crs": "EPSG:3035"}
    values = {"transform": Affine(10, 0, 4_000_000, 0, -10, 3_000_000), **start, **profile}
    with rasterio.open(path, "w", **{k: v for k, v in values.items() if v is not None}):
        pass


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"crs": None}, "no place on Earth"),
        ({"transform": Affine(10, 1, 4_000_000, 1, -10, 3_000_000)}, "rotated or not north-up"),
        ({"transform": Affine(10, 0, 4_000_000, 0, 10, 3_000_000)}, "rotated or not north-up"),
        ({"transform": Affine(1e6, 0, 0, 0, -1e6, 1e12)}, "not on Earth"),
        ({"dtype": "complex64"}, "type complex64"),
    ],
)
def test_a_geotiff_that_is_no_map_is_refused_with_the_reason(
    load: Any, tmp_path: Path, profile: dict[str, Any], message: str
) -> None:
    raw_tif(tmp_path / "a.tif", **profile)
    with pytest.raises(FileContentInvalid, match=f"a.tif.*{message}"):
        load("GTiff", "a.tif")


def test_a_virtual_raster_reads_no_other_file(load: Any, tmp_path: Path) -> None:
    raw_tif(tmp_path / "secret.tif")
    rasterio.shutil.copy(tmp_path / "secret.tif", tmp_path / "mine.tif", driver="VRT")
    with pytest.raises(FileContentInvalid, match=r"mine\.tif is not a GeoTIFF"):
        load("GTiff", "mine.tif")


def test_a_file_that_becomes_a_virtual_raster_after_planning_reads_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    raw_tif(tmp_path / "own" / "a.tif")
    raw_tif(tmp_path / "secret.tif")
    arguments = {"paths": ["a.tif"], "format": "GTiff"}
    graph = {"l": {"process_id": "load_uploaded_files", "arguments": arguments, "result": True}}
    files = UserFiles(FolderWorkspace(tmp_path / "own"))
    plan = make_plan(parse_graph(graph), NoCollections(), Budget(10**9, 1, None), files=files)
    (tmp_path / "own" / "a.tif").unlink()
    rasterio.shutil.copy(tmp_path / "secret.tif", tmp_path / "own" / "a.tif", driver="VRT")
    with pytest.raises(AcreageError, match="could not be read") as caught:
        cubes_of(plan)
    assert str(tmp_path) not in str(caught.value)


def test_files_beside_a_geotiff_are_not_looked_at(load: Any, tmp_path: Path) -> None:
    raw_tif(tmp_path / "a.tif", crs=None)
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset><SRS>EPSG:3035</SRS>" + "<a>" * 100_000)
    with pytest.raises(FileContentInvalid, match="no place on Earth"):
        load("GTiff", "a.tif")


def test_blocks_that_are_too_large_to_be_unpacked_are_refused(tmp_path: Path) -> None:
    tiles = {"tiled": True, "blockxsize": 4000, "blockysize": 4000, "compress": "deflate"}
    raw_tif(tmp_path / "a.tif", height=4000, width=4000, SPARSE_OK=True, **tiles)
    files = UserFiles(FolderWorkspace(tmp_path), limits=Limits(block_bytes=1_000_000))
    with pytest.raises(FileSizeExceeded, match="blocks of 4000 x 4000"):
        load_files("load_uploaded_files", {"paths": ["a.tif"], "format": "GTiff"}, files)


def test_more_bands_than_allowed_are_refused(tmp_path: Path) -> None:
    raw_tif(tmp_path / "a.tif", count=5)
    files = UserFiles(FolderWorkspace(tmp_path), limits=Limits(bands=4))
    with pytest.raises(FileSizeExceeded, match="5 bands; 4 are the most"):
        load_files("load_uploaded_files", {"paths": ["a.tif"], "format": "GTiff"}, files)


def test_files_that_do_not_go_together_are_named(load: Any, tmp_path: Path) -> None:
    raw_tif(tmp_path / "a_20190301.tif")
    raw_tif(tmp_path / "b_20190311.tif", count=2)
    raw_tif(tmp_path / "c.tif")
    with pytest.raises(
        FileContentInvalid, match=r"b_20190311\.tif has the bands B1, B2, and a_20190301\.tif has"
    ):
        load("GTiff", "a_20190301.tif", "b_20190311.tif")
    with pytest.raises(FileContentInvalid, match=r"c\.tif has no date"):
        load("GTiff", "a_20190301.tif", "c.tif")
    with pytest.raises(ProcessParameterInvalid, match="2 dates for 1 files"):
        load("GTiff", "c.tif", dates=["2019-03-01", "2019-03-02"])
    with pytest.raises(ProcessParameterInvalid, match="'soon' is not a date"):
        load("GTiff", "c.tif", dates="soon")
    with pytest.raises(ProcessParameterInvalid, match=r"names 2 bands, and c\.tif has 1"):
        load("GTiff", "c.tif", bands=["a", "b"])


# --- netCDF ---


def evil(path: Path, make: Callable[[Any], None]) -> None:
    with h5py.File(path, "w") as file:
        for name, length in (("x", 4), ("y", 3)):
            file.create_dataset(name, data=np.arange(length) * 10.0).make_scale(name)
        make(file)


def external(file: Any) -> None:
    raw = file.create_dataset(
        "v", (3, 4), "u1", external=[(str(Path(file.filename).parent / "secret"), 0, 12)]
    )
    raw.dims[0].attach_scale(file["y"])
    raw.dims[1].attach_scale(file["x"])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((3, 4), "u1")
    layout[:] = h5py.VirtualSource(str(Path(file.filename).parent / "secret.h5"), "v", (3, 4))
    file.create_virtual_dataset("v", layout)


def linked(file: Any) -> None:
    file["v"] = h5py.ExternalLink(str(Path(file.filename).parent / "secret.h5"), "v")


@pytest.mark.parametrize("make", [external, virtual, linked])
def test_a_netcdf_file_that_refers_to_another_file_is_refused(
    load: Any, tmp_path: Path, make: Callable[[Any], None]
) -> None:
    (tmp_path / "secret").write_bytes(bytes(range(12)))
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["v"] = np.ones((3, 4), np.uint8)
    evil(tmp_path / "a.nc", make)
    with pytest.raises(FileContentInvalid, match=r"a\.nc cannot be used: .*(another file|link)"):
        load("netCDF", "a.nc", crs=3035)


def test_chunks_and_tables_that_are_too_large_to_be_unpacked_are_refused(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, length in (("x", 4000), ("y", 4000)):
            file.createDimension(name, length)
            file.createVariable(name, "f8", (name,))[:] = np.arange(length)
        file.createVariable("v", "f8", ("y", "x"), compression="zlib", chunksizes=(4000, 4000))
        file.createVariable("w", "f8", ("y", "x"), compression="zlib", chunksizes=(100, 100))
    files = UserFiles(FolderWorkspace(tmp_path), limits=Limits(block_bytes=1_000_000, cells=1000))

    def load(**options: Any) -> None:
        load_files("load_uploaded_files", {"paths": ["a.nc"], "format": "netCDF", "options": options}, files)

    with pytest.raises(FileSizeExceeded, match="chunks of v"):
        load(crs=3035)
    load(crs=3035, variables=["w"])
    xr.Dataset({"v": (("a", "b"), np.zeros((100, 100)))}).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(FileSizeExceeded, match="10,000 values"):
        load()


def test_a_netcdf_file_that_changes_after_planning_is_refused(tmp_path: Path) -> None:
    path = sample("netCDF", tmp_path)
    made = load_files(
        "load_uploaded_files",
        {"paths": [path.name], "format": "netCDF"},
        UserFiles(FolderWorkspace(tmp_path)),
    )
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(FileContentInvalid, match="was changed"):
        made.op.run((), made.meta, Context(WindowLog()))  # type: ignore[union-attr]


# --- vectors ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "not valid JSON"),
        ('{"type": "FeatureCollection", "features": []}', "no features"),
        ('{"type": "Topology"}', "not a GeoJSON type"),
        ('{"type": "Point", "coordinates": [1e400, 0]}', "finite"),
        ('{"type": "Point", "coordinates": "here"}', "no coordinates"),
        ("\xff\xfe{}", "JSON|GeoJSON"),
    ],
)
def test_geojson_that_is_none_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(FileContentInvalid, match=f"mine.bin.*({message})"):
        open_bytes("GeoJSON", text.encode("latin-1"))


def test_vector_files_that_are_too_large_are_refused(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame({"text": ["a" * 1000] * 1000}, geometry=[shapely.Point(0, 0)] * 1000, crs=4326)
    frame.to_parquet(tmp_path / "a.parquet", compression="zstd")
    (tmp_path / "a.geojson").write_text(
        json.dumps({"type": "Point", "coordinates": [0, 0], "x": "a" * 200_000})
    )
    files = UserFiles(FolderWorkspace(tmp_path), limits=Limits(table_bytes=100_000))
    for name in ("a.parquet", "a.geojson"):
        kind = "Parquet" if name.endswith("parquet") else "GeoJSON"
        with pytest.raises(FileSizeExceeded, match=name):
            load_files("load_uploaded_files", {"paths": [name], "format": kind}, files)


def test_a_parquet_file_without_geometries_is_refused_by_name() -> None:
    frame = gpd.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(0, 0)], crs=4326).drop(columns="geometry")
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    with pytest.raises(FileContentInvalid, match=r"mine\.bin cannot be opened as GeoParquet"):
        open_bytes("Parquet", buffer.getvalue())


# --- paths and arguments ---


@pytest.mark.parametrize(
    "path",
    ["../secret.tif", "/etc/passwd", "a/../../secret.tif", "link.tif", "link/secret.tif", "", "\n", "."],
)
def test_nothing_outside_of_the_workspace_is_read(tmp_path: Path, path: str) -> None:
    raw_tif(tmp_path / "secret.tif")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.tif").symlink_to(tmp_path / "secret.tif")
    (root / "link").symlink_to(tmp_path)
    (root / "a").mkdir()
    with pytest.raises(FilePathInvalid, match=r"workspace|folder"):
        FolderWorkspace(root).resolve(path)


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    workspace = FolderWorkspace(tmp_path)
    for path, error in (
        ("folder", FilePathInvalid),
        ("pipe", FilePathInvalid),
        ("none.tif", FileNotFound),
        ("loop", FileNotFound),
        ("folder/none.tif", FileNotFound),
        ("x" * 5000, FileNotFound),
    ):
        with pytest.raises(error):
            workspace.resolve(path)


def test_links_inside_of_the_workspace_are_followed(tmp_path: Path) -> None:
    raw_tif(tmp_path / "a.tif")
    (tmp_path / "b.tif").symlink_to(tmp_path / "a.tif")
    assert FolderWorkspace(tmp_path).resolve("b.tif") == (tmp_path / "a.tif").resolve()


def test_formats_options_and_numbers_of_files_are_checked(load: Any, tmp_path: Path) -> None:
    sample("netCDF", tmp_path)
    with pytest.raises(FormatUnsuitable, match="'PDF' are not read"):
        load("PDF", "out.nc")
    with pytest.raises(ProcessParameterInvalid, match="no option band"):
        load("netCDF", "out.nc", band=3)
    with pytest.raises(ProcessParameterInvalid, match="one by one"):
        load("netCDF", "out.nc", "out.nc")
    with pytest.raises(AcreageError, match="paths"):
        load("netCDF")


def test_without_a_workspace_there_are_no_files(tmp_path: Path) -> None:
    arguments = {"paths": ["a.tif"], "format": "GTiff"}
    with pytest.raises(FilePathInvalid, match="no workspace"):
        load_files("load_uploaded_files", arguments, UserFiles())
    many = {"paths": ["a.tif"] * 3, "format": "GTiff"}
    files = replace(UserFiles(FolderWorkspace(tmp_path)), limits=Limits(files=2))
    with pytest.raises(FileSizeExceeded, match="3 files are too many"):
        load_files("load_uploaded_files", many, files)
