"""The peers: what their scripts share, and how the command finds them and compares what they wrote."""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import xarray as xr
from benchmarks.peers.common import (
    S2,
    by_day,
    dekad_of,
    dekad_starts,
    fill_gaps,
    masked,
    offset_of,
    read_task,
    write,
)

import acreage.bench.peers
from acreage.bench.goals import goals
from acreage.bench.jobs import preprocessing_graph
from acreage.bench.page import page_text
from acreage.bench.peers import PEERS, Agreement, agreement, peer_command, peer_scripts
from acreage.bench.preprocessing import ALL, NEEDED, OURS
from acreage.bench.results import PartResult, Results, Row, machine
from acreage.bench.scene_mask import cloud_mask
from acreage.bench.setup import Bench
from acreage.simulate.archive import Archive

SCRIPTS = Path(__file__).parents[2] / "benchmarks"


def _item(day: str, **properties: Any) -> pystac.Item:
    when = datetime.fromisoformat(day).replace(hour=10, tzinfo=UTC)
    return pystac.Item(f"item-{day}", None, None, when, properties)


@pytest.fixture
def bench(quick_archive: Archive, tmp_path: Path) -> Bench:
    days = quick_archive.settings.season
    return Bench(quick_archive, tmp_path / "work", days, scripts=SCRIPTS, quick=True)


def test_dekads_begin_on_the_1st_11th_and_21st_the_first_before_the_season() -> None:
    starts = dekad_starts(date(2019, 2, 15), date(2019, 3, 10))
    assert [str(s.date()) for s in starts] == ["2019-02-11", "2019-02-21", "2019-03-01"]
    assert len(dekad_starts(date(2019, 3, 1), date(2019, 10, 31))) == 24
    days = np.array(["2019-02-20T23:59", "2019-02-21", "2019-02-28", "2019-03-10T10:00"], "datetime64[ns]")
    assert [str(s.date()) for s in dekad_of(days)] == ["2019-02-11", "2019-02-21", "2019-02-21", "2019-03-01"]


def test_inner_gaps_are_filled_along_a_line_and_ends_are_not() -> None:
    rng = np.random.default_rng(3)
    series = np.where(rng.random((200, 9)) < 0.5, np.nan, rng.random((200, 9))).astype(np.float32)
    steps = np.arange(9)
    for given, found in zip(series, fill_gaps(series), strict=True):
        there = ~np.isnan(given)
        wanted = given
        if there.any():
            wanted = np.interp(steps, steps[there], given[there], left=np.nan, right=np.nan)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("lazy", [False, True])
def test_every_image_of_a_cube_is_masked_by_itself_now_or_when_it_is_needed(lazy: bool) -> None:
    scl = np.full((3, 1, 120, 110), 4, np.uint8)
    scl[0, 0, 40:60, 50:70], scl[2, 0, 5:9, 5:9] = 9, 8
    images = xr.DataArray(scl, dims=("t", "bands", "y", "x"))
    if lazy:
        images = images.chunk({"t": 1})
    found = masked(images)
    assert (found.chunks is not None) == lazy
    assert found.dims == images.dims
    for image, mask in zip(scl[:, 0], found.values[:, 0], strict=True):
        np.testing.assert_array_equal(mask, cloud_mask(image))
    assert found.values[0].any()
    assert not found.values[1].any()


def test_items_are_put_into_days_in_order_and_each_day_has_one_offset() -> None:
    old = {"s2:processing_baseline": "02.08", "earthsearch:boa_offset_applied": False}
    new = {**old, "s2:processing_baseline": "04.00"}
    items = [_item("2019-05-08", **new), _item("2019-05-03", **old), _item("2019-05-08", **new)]
    days = by_day(items)
    assert {day: len(found) for day, found in days.items()} == {"2019-05-03": 1, "2019-05-08": 2}
    assert list(days) == sorted(days)
    assert [offset_of(found) for found in days.values()] == [0, -1000]
    applied = {**new, "earthsearch:boa_offset_applied": True}
    assert offset_of([_item("2019-05-08", **applied)]) == 0
    with pytest.raises(AssertionError, match="two kinds"):
        offset_of(items)


def test_a_peer_reads_from_its_command_what_it_is_to_compute(bench: Bench, quick_archive: Archive) -> None:
    catalog, season = bench.catalog("natural"), bench.season
    command = peer_command(bench, catalog, SCRIPTS / "x.py", bench.area, season, Path("cube.nc"))
    task = read_task("x", command[2:])
    assert (task.catalog, task.out, task.threads) == (catalog, Path("cube.nc"), 1)
    assert (task.first, task.last) == (season.first, season.last)
    assert task.graph is not None
    assert task.graph.is_file()
    assert tuple(task.area.extent.boundingbox) == bench.area.bounds
    assert task.area.shape == bench.area.shape
    found = task.items(S2)
    days = [str(item.datetime)[:10] for item in found]
    assert days == sorted(set(days))
    assert len(found) == len(list((quick_archive.folder / S2).glob("S2*")))
    late = replace(task, first=date.fromisoformat(days[1]))
    assert [str(item.datetime)[:10] for item in late.items(S2)] == days[1:]


def test_what_openeo_processes_dask_lacks_is_there_in_its_script(bench: Bench) -> None:
    package = importlib.util.find_spec("openeo_processes_dask")
    assert package is not None
    assert package.origin is not None
    sources = (Path(package.origin).parent / "process_implementations").rglob("*.py")
    theirs = {name.strip("_") for path in sources for name in _functions(ast.parse(path.read_text("utf-8")))}
    script = ast.parse((SCRIPTS / "peers" / PEERS["openeo-processes-dask"].script).read_text("utf-8"))
    caller = next(n for n in ast.walk(script) if isinstance(n, ast.ClassDef) and n.name == "Caller")
    lacking = _processes(preprocessing_graph(bench.area, bench.season)) - theirs
    assert lacking == {"load_collection", "sar_backscatter", "save_result", "to_scl_dilation_mask"}
    assert lacking <= _functions(caller)


def _functions(tree: ast.AST) -> set[str]:
    return {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


def _processes(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["process_id"]} if "process_id" in node else set()
        return own.union(*(_processes(v) for v in node.values()))
    return set().union(*(_processes(v) for v in node)) if isinstance(node, list) else set()


def test_a_peer_that_is_not_installed_or_not_there_is_told(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        acreage.bench.peers, "_installed", lambda module: module != "openeo_pg_parser_networkx"
    )
    found, missing = peer_scripts(bench)
    assert set(found) == {"odc-stac", "odc-stac, Dask"}
    assert all(script.is_file() for script in found.values())
    assert missing == [
        ("openeo-processes-dask", "openeo_pg_parser_networkx not installed: see the extra `bench`")
    ]
    for scripts, why in ((tmp_path, "is not there"), (None, "give --scripts")):
        found, missing = peer_scripts(replace(bench, scripts=scripts))
        assert not found
        assert {name for name, _ in missing} == set(PEERS)
        assert all(why in said for _, said in missing)


def test_modules_are_looked_for_without_importing_them() -> None:
    assert acreage.bench.peers._installed("odc.geo")
    assert not acreage.bench.peers._installed("no_such_package.part")
    assert not acreage.bench.peers._installed("odc.no_such_part")


def _cube(path: Path, **bands: np.ndarray) -> Path:
    dims = ("t", "y", "x")
    write(xr.Dataset({name: (dims[-values.ndim :], values) for name, values in bands.items()}), path)
    return path


def test_cubes_agree_by_where_they_have_values_and_how_near_these_are(tmp_path: Path) -> None:
    values = np.full((2, 5, 5), 100, np.float32)
    other = values.copy()
    other[0, 0, :2], values[0, 0, 1] = np.nan, np.nan  # one is missing in both, one in the other
    other[1, 0, 0], other[1, 0, 1] = 104, 106
    height = np.full((5, 5), 7, np.float32)
    ours = _cube(tmp_path / "a.nc", B02=values, DEM=np.stack([height, height]))
    theirs = _cube(tmp_path / "b.nc", B02=other, DEM=height)  # heights once instead of with every date
    assert agreement(ours, theirs) == Agreement(99 / 100, 97 / 98, 98)
    assert agreement(ours, ours) == Agreement(1, 1, 99)
    with pytest.raises(ValueError, match="other bands"):
        agreement(ours, _cube(tmp_path / "c.nc", B03=other))


@pytest.mark.parametrize(("close", "warned"), [(0.999, False), (0.5, True)])
def test_the_page_tells_how_a_peer_agrees_and_what_it_cannot_do(close: float, warned: bool) -> None:
    name = "openeo-processes-dask"
    facts = {"note": PEERS[name].note, "same_places": 0.9999, "close": close, "values": 500}
    rows = (
        *(Row("clear", n, (10.0,), (10.0,), (10**9,), {"blocks": 1}) for n in (ALL, NEEDED, OURS)),
        Row("clear", name, (50.0,), (60.0,), (10**9,), facts),
    )
    results = Results("acreage bench", machine(), (PartResult("preprocessing", "x", rows),))
    text = page_text(results)
    assert "| clear | openeo-processes-dask | 50.00 | 60.00 | 1.00 | 5.00 x |" in text
    assert f"of 500 that both have {100 * close:.2f} % are within 5 %." in text
    assert ("These are other results" in text) == warned
    assert text.count("\n- openeo-processes-dask: it runs the graph of acreage, but not all of it") == 1
    assert not any("odc-stac" in goal.text for goal in goals(results))  # an aim against odc-stac alone
