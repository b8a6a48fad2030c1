"""Met at the command line: places that cannot be written, names that were lost, files replaced unasked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.croptype_samples import make_samples
from typer.testing import CliRunner, Result

from acreage.cli.main import app
from acreage.core.errors import InvalidInput, WriteFailed
from acreage.core.outputs import check_writable, whole_file
from acreage.core.temporal import Season
from acreage.croptype.mapping import MapJob, make_map
from acreage.croptype.series import write_samples
from acreage.croptype.workflow import CubeSettings, map_grid


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words])


def below_a_file(folder: Path, name: str) -> Path:
    """A path that no user, not even root, can write to."""
    (folder / "file").write_text("not a folder")
    return folder / "file" / name


def test_a_path_below_a_file_is_an_error_that_says_so(tmp_path: Path) -> None:
    out = below_a_file(tmp_path, "out.txt")
    with pytest.raises(WriteFailed, match=r"out\.txt"), whole_file(out) as part:
        part.write_text("x")
    with pytest.raises(WriteFailed, match="cannot be written"):
        check_writable(out)


def test_looking_whether_a_file_can_be_written_leaves_only_its_folder(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "out.txt")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["new"]


def test_samples_below_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WriteFailed):
        write_samples(make_samples(), below_a_file(tmp_path, "s.parquet"))


def test_train_refuses_a_place_that_it_could_not_write_before_it_trains(tmp_path: Path) -> None:
    samples = tmp_path / "samples.parquet"
    write_samples(make_samples(), samples)
    result = run("train", samples, "--out", below_a_file(tmp_path, "m.pt"))
    assert (result.exit_code, type(result.exception)) == (WriteFailed.exit_code, SystemExit)
    assert "Training" not in result.output


class _Runner:
    def run(self, *_: object) -> None:
        raise AssertionError("nothing may be computed for a map that cannot be written")


@pytest.mark.parametrize("foreign", [True, False])
def test_a_map_refuses_its_folder_before_anything_is_computed(
    tmp_path: Path, foreign: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = CubeSettings()
    box = map_grid(settings).box_covering(3_900_000, 3_000_000, 3_900_100, 3_000_100)
    job = MapJob(box, "a", Season.parse("2019-03-01/2019-10-31"), tmp_path / "model.pt", settings)
    monkeypatch.setattr("acreage.croptype.mapping.map_graph", lambda job: ({}, None, ""))
    if foreign:
        out = tmp_path / "home"
        out.mkdir()
        (out / "thesis.txt").write_text("years of work")
    else:
        out = below_a_file(tmp_path, "map")
    with pytest.raises(InvalidInput if foreign else WriteFailed):
        make_map(job, _Runner(), out, overwrite=True)  # type: ignore[arg-type]


def test_a_report_that_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    samples, report = tmp_path / "samples.parquet", tmp_path / "report.md"
    write_samples(make_samples(), samples)
    report.write_text("precious")
    result = run("validate", samples, "--model", tmp_path / "none.pt", "--out", report)
    assert (result.exit_code, report.read_text()) == (2, "precious")
    assert "--overwrite" in result.output


def test_a_udf_result_that_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    out = tmp_path / "out.nc"
    out.write_text("precious")
    result = run("udf", "run", tmp_path / "none.py", "--data", tmp_path / "none.nc", "--out", out)
    assert (result.exit_code, out.read_text()) == (2, "precious")
    assert "--overwrite" in result.output


def test_a_parameter_that_the_process_does_not_have_is_refused_by_name(tmp_path: Path) -> None:
    graph = tmp_path / "graph.json"
    nodes = {
        "a": {"process_id": "add", "arguments": {"x": {"from_parameter": "first"}, "y": 1}, "result": True}
    }
    graph.write_text(json.dumps(nodes))
    (tmp_path / "catalog").mkdir()
    words = ("execute", graph, "--catalog", tmp_path / "catalog", "--plan", "--parameter")
    result = run(*words, "fist=1")
    assert result.exit_code == 2
    assert "no parameter fist" in result.output
    assert "It has: first." in result.output
    assert "no parameter" not in run(*words, "first=1").output
