"""Broken archives: a clear error or a counted, reported gap; never a silent hole, never half a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from tests.support.tiny_archive import Layer, TinyArchive, chain, extent, load, node, write_layer

from acreage.catalog import open_catalog
from acreage.core.errors import (
    AcreageError,
    CollectionNotFound,
    ItemUnreadable,
    LabelNotAvailable,
    NoDataAvailable,
    OutputExists,
    WriteFailed,
)
from acreage.engine import writers
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.program import Program
from acreage.engine.run import RunResult, run_plan

MARCH = ["2019-03-01", "2019-04-01"]
AREA = extent(64, 64)
DAYS = ("2019-03-02", "2019-03-12", "2019-03-22")


def values_of(n: int) -> np.ndarray[Any, Any]:
    return np.full((64, 64), 100 * (n + 1), np.uint16)


@pytest.fixture
def tiny(tmp_path: Path) -> TinyArchive:
    """Three dates, not written yet; item `i1` is the one that tests break."""
    made = TinyArchive(tmp_path / "archive")
    for n, day in enumerate(DAYS):
        made.s2(f"i{n}", day, {"B04": Layer(values_of(n)), "SCL": Layer(np.full((32, 32), 4, np.uint8), 20)})
    return made


def execute(
    graph: Mapping[str, Any],
    root: Path,
    out: Path,
    *,
    tolerance: int = 0,
    overwrite: bool = False,
    window: int = 32,
) -> RunResult:
    plan = make_plan(parse_graph(graph), open_catalog(root), Budget(4_000_000_000, 2, window))
    return run_plan(plan, out, tolerance=tolerance, overwrite=overwrite)


GRAPH = chain(load(["B04"], AREA, MARCH))


def truncate(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])


def cut_tail(path: Path) -> None:
    """The header is whole, the pixels are not."""
    rng = np.random.default_rng(0)
    write_layer(path, Layer(rng.integers(1, 60000, (64, 64)).astype(np.uint16)))
    data = path.read_bytes()
    path.write_bytes(data[:-3000])


def html(path: Path) -> None:
    path.write_text("<html><body>503 Service Unavailable</body></html>")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def elsewhere(path: Path) -> None:
    write_layer(path, Layer(values_of(1)), "EPSG:32633")


def shifted(path: Path) -> None:
    write_layer(path, Layer(values_of(1), west=500_020.0))


def other_size(path: Path) -> None:
    write_layer(path, Layer(values_of(1)[:50]))


FAULTS = [Path.unlink, truncate, cut_tail, html, empty, elsewhere, shifted, other_size]
IDS = ["missing", "truncated", "cut tail", "HTML", "empty", "other CRS", "shifted", "other size"]


@pytest.mark.parametrize("fault", FAULTS, ids=IDS)
def test_an_unreadable_file_is_an_error_that_names_item_band_and_reason(
    tiny: TinyArchive, tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    root = tiny.write()
    fault(tiny.folder / "sentinel-2-l2a" / "i1" / "red.tif")
    out = tmp_path / "out" / "cube.nc"
    with pytest.raises(ItemUnreadable) as caught:
        execute(GRAPH, root, out)
    assert "i1" in caught.value.message
    assert "B04" in caught.value.message
    assert "1 items could not be read (0 tolerated)" in caught.value.message
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


@pytest.mark.parametrize("fault", FAULTS, ids=IDS)
def test_a_tolerated_fault_is_counted_and_leaves_a_gap_in_its_own_date_only(
    tiny: TinyArchive, tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    root = tiny.write()
    fault(tiny.folder / "sentinel-2-l2a" / "i1" / "red.tif")
    done = execute(GRAPH, root, tmp_path / "cube.nc", tolerance=1)
    assert {(item, band) for item, band, _ in done.failures} == {("i1", "B04")}
    assert all(reason for *_, reason in done.failures)
    assert {i.id for i in done.items_read} == {"i0", "i2"}
    with xr.open_dataset(tmp_path / "cube.nc") as cube:
        days = [str(t)[:10] for t in cube.t.values]
        for n, day in enumerate(DAYS):
            if n == 1:
                part = cube.B04[days.index(day)].isnull() if day in days else xr.DataArray([True])
                assert bool(part.all())
            else:
                assert bool((cube.B04[days.index(day)] == 100 * (n + 1)).all())


def test_tolerance_counts_items_and_not_their_bands_or_windows(tiny: TinyArchive, tmp_path: Path) -> None:
    root = tiny.write()
    for item in ("i0", "i1"):
        for asset in ("red", "scl"):
            html(tiny.folder / "sentinel-2-l2a" / item / f"{asset}.tif")
    graph = chain(load(["B04", "SCL"], AREA, MARCH))
    with pytest.raises(ItemUnreadable, match=r"2 items could not be read \(1 tolerated\)"):
        execute(graph, root, tmp_path / "cube.nc", tolerance=1)
    done = execute(graph, root, tmp_path / "cube.nc", tolerance=2)
    assert len({item for item, *_ in done.failures}) == 2
    assert [i.id for i in done.items_read] == ["i2"]


def test_an_item_without_the_asset_is_a_gap_that_must_be_allowed(tiny: TinyArchive, tmp_path: Path) -> None:
    del tiny.items["sentinel-2-l2a"][1]["assets"]["red"]
    root = tiny.write()
    with pytest.raises(ItemUnreadable, match=r"i1.*B04.*no asset"):
        execute(GRAPH, root, tmp_path / "cube.nc")
    done = execute(GRAPH, root, tmp_path / "cube.nc", tolerance=1)
    assert [(item, band) for item, band, _ in done.failures] == [("i1", "B04")]


def test_an_asset_that_the_graph_does_not_read_may_be_missing(tiny: TinyArchive, tmp_path: Path) -> None:
    for asset in ("nir", "swir16"):
        assert asset not in tiny.items["sentinel-2-l2a"][1]["assets"]
    assert execute(GRAPH, tiny.write(), tmp_path / "cube.nc").failures == ()


def test_every_item_without_the_asset_is_an_error(tiny: TinyArchive, tmp_path: Path) -> None:
    root = tiny.write()
    with pytest.raises(AcreageError, match="B11"):
        execute(chain(load(["B11"], AREA, MARCH)), root, tmp_path / "cube.nc")


# --- nothing to load ---


def message_of(graph: Mapping[str, Any], root: Path) -> str:
    with pytest.raises(AcreageError) as caught:
        make_plan(parse_graph(graph), open_catalog(root), Budget(4_000_000_000, 1))
    assert isinstance(caught.value, NoDataAvailable | CollectionNotFound | LabelNotAvailable)
    return str(caught.value)


def test_an_empty_season_says_which_dates_were_asked_for(tiny: TinyArchive) -> None:
    text = message_of(chain(load(["B04"], AREA, ["2021-01-01", "2021-02-01"])), tiny.write())
    assert "2021-01-01" in text
    assert "SENTINEL2_L2A" in text


def test_an_area_outside_says_where_the_collection_lies(tiny: TinyArchive) -> None:
    far = {"west": 20.0, "south": 40.0, "east": 20.1, "north": 40.1}
    text = message_of(chain(load(["B04"], far, MARCH)), tiny.write())
    assert "outside of that area" in text
    assert "20.00000" in text


def test_a_filter_that_no_item_passes_is_an_error(tiny: TinyArchive) -> None:
    condition = {"c": {**node("lt", x={"from_parameter": "value"}, y=10), "result": True}}
    graph = chain(load(["B04"], AREA, MARCH))
    graph["n0"]["arguments"]["properties"] = {"eo:cloud_cover": {"process_graph": condition}}
    with pytest.raises(AcreageError, match="'eo:cloud_cover', which none of its items has"):
        make_plan(parse_graph(graph), open_catalog(tiny.write()), Budget(4_000_000_000, 1))


def test_a_filter_that_no_item_passes_says_how_many_it_left_out(tiny: TinyArchive) -> None:
    condition = {"c": {**node("eq", x={"from_parameter": "value"}, y="sentinel-9z"), "result": True}}
    graph = chain(load(["B04"], AREA, MARCH))
    graph["n0"]["arguments"]["properties"] = {"platform": {"process_graph": condition}}
    assert "items are left out by the filters on properties" in message_of(graph, tiny.write())


def test_an_unknown_collection_and_band_are_named_with_those_that_exist(tiny: TinyArchive) -> None:
    root = tiny.write()
    assert "SENTINEL2_L2A" in message_of(chain(load(["B04"], AREA, MARCH, "SENTINEL_2")), root)
    assert "B04" in message_of(chain(load(["B4"], AREA, MARCH)), root)


# --- clouds ---


def test_a_cube_that_is_all_cloud_stays_null(tmp_path: Path) -> None:
    made = TinyArchive(tmp_path / "archive")
    for n, day in enumerate(DAYS):
        made.s2(f"i{n}", day, {"B04": Layer(values_of(n)), "SCL": Layer(np.full((32, 32), 9, np.uint8), 20)})
    equal = {"e": {**node("eq", x={"from_parameter": "x"}, y=9), "result": True}}
    median = {"m": {**node("median", data={"from_parameter": "data"}), "result": True}}
    graph = {
        "s2": load(["B04"], AREA, MARCH),
        "scl": load(["SCL"], AREA, MARCH),
        "fine": node("resample_spatial", data="@scl", resolution=10),
        "cloud": node("apply", data="@fine", process={"process_graph": equal}),
        "flat": node("drop_dimension", data="@cloud", name="bands"),
        "clear": node("mask", data="@s2", mask="@flat"),
        "out": {
            **node("reduce_dimension", data="@clear", dimension="t", reducer={"process_graph": median}),
            "result": True,
        },
    }
    execute(graph, made.write(), tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.read(1, masked=True).mask.all()


# --- outputs ---


def test_an_output_that_is_there_is_kept_unless_overwriting_is_asked_for(
    tiny: TinyArchive, tmp_path: Path
) -> None:
    root, out = tiny.write(), tmp_path / "cube.nc"
    out.write_text("precious")
    with pytest.raises(OutputExists, match=r"cube\.nc"):
        execute(GRAPH, root, out)
    assert out.read_text() == "precious"
    execute(GRAPH, root, out, overwrite=True)
    assert out.read_bytes()[1:4] == b"HDF"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive", "cube.nc", "cube.nc.inputs.json"]


def test_each_time_steps_file_counts_as_the_output(tiny: TinyArchive, tmp_path: Path) -> None:
    root = tiny.write()
    done = execute(GRAPH, root, tmp_path / "cube.tif")
    names = [f.name for f in done.files[0]]
    assert len(names) == 3
    assert all(name.startswith("cube_2019-03-") for name in names)
    with pytest.raises(OutputExists):
        execute(GRAPH, root, tmp_path / "cube.tif")


def test_a_file_whose_name_only_begins_alike_is_no_obstacle(tiny: TinyArchive, tmp_path: Path) -> None:
    (tmp_path / "cube_old.tif").write_text("another result")
    execute(GRAPH, tiny.write(), tmp_path / "cube.tif")
    assert (tmp_path / "cube_old.tif").read_text() == "another result"


def two_outputs() -> dict[str, Any]:
    return {
        "a": load(["B04"], AREA, MARCH),
        "s1": node("save_result", data="@a", format="netCDF"),
        "s2": {**node("save_result", data="@a", format="GTiff"), "result": True},
    }


def test_a_failure_in_a_later_writer_leaves_no_file_of_an_earlier_one(
    tiny: TinyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("acreage.engine.writers.geotiff._to_cog", full)
    with pytest.raises(WriteFailed, match="No space left"):
        execute(two_outputs(), tiny.write(), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failure_while_files_get_their_names_puts_the_old_ones_back(
    tiny: TinyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = tiny.write(), tmp_path / "out"
    execute(two_outputs(), root, out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    rename, calls = writers.os.replace, []

    def failing(source: Path, final: Path) -> None:
        calls.append(final)
        if len(calls) == 6:
            raise OSError(5, "Input/output error")
        rename(source, final)

    monkeypatch.setattr(writers.os, "replace", failing)
    with pytest.raises(WriteFailed):
        execute(two_outputs(), root, out, overwrite=True)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ItemUnreadable("broken", item="x")])
def test_an_interruption_between_windows_leaves_nothing(
    tiny: TinyArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    calls = []
    inner = Program.run

    def failing(self: Any, *args: Any) -> Any:
        calls.append(1)
        if len(calls) > 2:
            raise error
        return inner(self, *args)

    monkeypatch.setattr(Program, "run", failing)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    plan = make_plan(parse_graph(GRAPH), open_catalog(tiny.write()), Budget(4_000_000_000, 1, 16))
    with pytest.raises(error if isinstance(error, type) else type(error)):
        run_plan(plan, tmp_path / "cube.nc", scratch=scratch)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive", "scratch"]
    assert list(scratch.iterdir()) == []


def test_an_output_folder_that_is_a_file_is_a_clear_error(tiny: TinyArchive, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WriteFailed):
        execute(GRAPH, tiny.write(), tmp_path / "file" / "cube.nc")
