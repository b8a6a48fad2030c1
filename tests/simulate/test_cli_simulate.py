"""`acreage simulate`."""

from __future__ import annotations

from pathlib import Path

import pystac
import pytest
from typer.testing import CliRunner

from acreage.cli.main import app
from acreage.simulate.archive import open_archive


def test_the_command_writes_an_archive_and_says_where_it_is(tmp_path: Path) -> None:
    out = tmp_path / "archive"
    options = ["--size-km", "0.2", "--seed", "3", "--season", "2020-05-01/2020-05-08", "--s2-orbits", "1"]
    result = CliRunner().invoke(app, ["simulate", str(out), *options, "--threads", "1"])
    assert result.exit_code == 0, result.output
    for said in ("Simulated; nothing in it is real.", str(out / "catalog.json"), "sentinel-2-l2a", " MB"):
        assert said in result.output
    catalog = pystac.Catalog.from_file(str(out / "catalog.json"))
    collection = catalog.get_child("sentinel-2-l2a")
    assert collection is not None
    assert {i.datetime.date().isoformat()[:7] for i in collection.get_items() if i.datetime} == {"2020-05"}
    assert open_archive(out).settings.seed == 3
    assert (out / "landscape.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--centre", "here"], "is not a centre"),
        (["--area", "5,50,6"], "is not an area"),
        (["--area", "6,50,5,51"], "is no area"),
        (["--area", "5,50,6,51", "--size-km", "3"], "given twice"),
        (["--size-km", "0"], "No archive can be simulated"),
        (["--centre", "-75,45"], "outside Europe"),
        (["--year", "2019", "--season", "2019-04-01/2019-05-01"], "given twice"),
        (["--season", "spring"], "is not a season"),
        (["--year", "1990"], "cannot be simulated"),
        (["--form", "landsat"], "no catalog form 'landsat'"),
        (["--radar", "grd"], "not published as 'grd'"),
    ],
)
def test_wrong_options_are_told_without_a_traceback(tmp_path: Path, options: list[str], text: str) -> None:
    result = CliRunner().invoke(app, ["simulate", str(tmp_path / "archive"), *options])
    assert result.exit_code == 2, result.output
    assert text in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not (tmp_path / "archive").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    result = CliRunner().invoke(app, ["simulate", str(tmp_path), "--size-km", "0.2"])
    assert (result.exit_code, (tmp_path / "mine.txt").read_text()) == (2, "kept")
    assert "is there already" in result.output
