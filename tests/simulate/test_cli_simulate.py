"""`acreage simulate`."""

from __future__ import annotations

from pathlib import Path

import pystac
from typer.testing import CliRunner

from acreage.cli.main import app


def test_the_command_writes_a_scene_and_says_where_it_is(tmp_path: Path) -> None:
    out = tmp_path / "scene"
    result = CliRunner().invoke(
        app, ["simulate", str(out), "--size-km", "0.2", "--seed", "3", "--year", "2020"]
    )
    assert result.exit_code == 0, result.output
    assert str(out / "catalog.json") in result.output
    catalog = pystac.Catalog.from_file(str(out / "catalog.json"))
    years = {i.datetime.year for i in catalog.get_items(recursive=True) if "SIM" in i.id and i.datetime}
    assert years == {2020}
    assert (out / "landscape.png").read_bytes().startswith(b"\x89PNG")


def test_wrong_options_are_told_without_a_traceback(tmp_path: Path) -> None:
    out = tmp_path / "scene"
    for options, text in ((["--centre", "here"], "not a centre"), (["--size-km", "0"], "size of 0")):
        result = CliRunner().invoke(app, ["simulate", str(out), *options])
        assert result.exit_code == 2
        assert text in result.output
        assert "Traceback" not in result.output
    out.mkdir()
    (out / "mine.txt").write_text("kept")
    result = CliRunner().invoke(app, ["simulate", str(out), "--size-km", "0.2"])
    assert (result.exit_code, (out / "mine.txt").read_text()) == (2, "kept")
    assert "is there already" in result.output
