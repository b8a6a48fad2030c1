"""`acreage index`: what is asked, shown, written and refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from tests.support.catalog_items import stac_item, write_catalog
from typer.testing import CliRunner, Result

from acreage.cli.main import app

WHERE = ("--area", "4.05,50.05,4.1,50.1", "--season", "2022-05-01/2022-06-30")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["index", *map(str, arguments)], env={"COLUMNS": "200", "TERM": "dumb"})


@pytest.fixture
def catalog(tmp_path: Path) -> tuple[str | Path, ...]:
    """Options for a catalog with both years of WorldCover in one collection, and an index of its own."""
    items = [
        stac_item(f"map-{year}", collection="esa-worldcover", datetime=f"{year}-06-01T00:00:00Z")
        for year in (2020, 2021)
    ]
    path = write_catalog(tmp_path / "stac", items, "esa-worldcover")
    return "--catalog", path, "--index", tmp_path / "index"


def test_what_was_asked_is_shown_once_for_each_collection_of_the_catalog(
    catalog: tuple[str | Path, ...],
) -> None:
    both = ("--collections", "ESA_WORLDCOVER_10M_2020_V1,ESA_WORLDCOVER_10M_2021_V2")
    asked = run(*catalog, *WHERE, *both)
    assert asked.exit_code == 0, asked.output
    assert "2 items new, 0 items gone, 0 items changed" in asked.output
    for output in (asked.output, run(*catalog, "--show").output):
        assert sum("esa-worldcover" in line for line in output.splitlines()) == 1


SHOWN = ((*WHERE,), ("--refresh",), ("--max-age", "0"), WHERE[:2])


@pytest.mark.parametrize("more", SHOWN)
def test_options_that_showing_would_ignore_are_refused(
    more: tuple[str, ...], catalog: tuple[str | Path, ...]
) -> None:
    result = run(*catalog, "--show", *more)
    assert result.exit_code == 2
    assert f"{', '.join(itertools.islice(more, 0, None, 2))} would do nothing" in result.output


def test_refreshing_all_and_refreshing_what_is_old_do_not_go_together(
    catalog: tuple[str | Path, ...],
) -> None:
    result = run(*catalog, *WHERE, "--refresh", "--max-age", "3")
    assert result.exit_code == 2
    assert "--max-age would do nothing" in result.output


def test_stac_geoparquet_needs_no_index_and_is_said_to(
    catalog: tuple[str | Path, ...], tmp_path: Path
) -> None:
    wanted = ("--collections", "ESA_WORLDCOVER_10M_2021_V2")
    assert run(*catalog, *WHERE, *wanted, "--export", tmp_path / "items").exit_code == 0
    result = run("--catalog", tmp_path / "items", *WHERE, *wanted)
    assert result.exit_code == 2
    assert "is stac-geoparquet, which is searched as it is: it needs no index" in result.output
    assert "ACREAGE_INDEX_USE" not in result.output
