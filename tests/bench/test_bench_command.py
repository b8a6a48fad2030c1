"""`acreage bench`, small, from end to end; its options and its page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from acreage.bench.page import page_text, write_page
from acreage.bench.preprocessing import ALL, IMPORTS, NEEDED, OURS, WRITING
from acreage.bench.results import PartResult, Results, Row, machine, read_parts, read_results, write_part
from acreage.cli.main import app
from acreage.core.errors import InvalidInput
from acreage.simulate.archive import Archive


def test_the_quick_benchmark_measures_writes_its_page_and_does_not_measure_twice(
    quick_archive: Archive, clear: Path, tmp_path: Path
) -> None:
    options = ["bench", "--quick", "--archive", str(quick_archive.folder), "--out", str(tmp_path / "out")]
    options += ["--scripts", str(tmp_path / "no-scripts")]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    found = read_results(tmp_path / "out" / "results.json")
    assert [part.part for part in found.parts] == ["preprocessing", "planning"]
    preprocessing, planning = found.parts
    assert {ALL, NEEDED, OURS, IMPORTS, WRITING} <= {row.name for row in preprocessing.rows}
    rows = {row.name: row for row in preprocessing.rows}
    assert rows[OURS].cpu > rows[IMPORTS].cpu > 0
    assert 0 < rows[NEEDED].facts["blocks"] <= rows[ALL].facts["blocks"]
    assert min(rows[OURS].peak_memory) > 50e6
    assert planning.rows[0].facts["windows"] >= 1
    assert any(name == "odc-stac" for name, _ in preprocessing.skipped)
    page = (tmp_path / "out" / "benchmarks.md").read_text()
    assert page == page_text(found)
    for said in ("clear: CPU at most 2.0 x", "Not measured: odc-stac", "## Planning"):
        assert said in page
    assert (tmp_path / "out" / "images" / "bench-preprocessing.png").read_bytes().startswith(b"\x89PNG")

    raw = tmp_path / "out" / "raw" / "preprocessing.json"
    before = raw.stat().st_mtime_ns
    result = CliRunner().invoke(app, [*options, "--only", "preprocessing"])
    assert result.exit_code == 0, result.output
    assert raw.stat().st_mtime_ns == before
    assert len(read_results(tmp_path / "out" / "results.json").parts) == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--only", "cooking"], "no part 'cooking'"),
        (["--size-km", "7"], "no benchmark of 7 km"),
        (["--memory", "much"], "not an amount of memory"),
        (["--season", "spring"], "is not a season"),
    ],
)
def test_wrong_options_are_told_without_a_traceback(tmp_path: Path, options: list[str], text: str) -> None:
    result = CliRunner().invoke(app, ["bench", "--out", str(tmp_path / "out"), *options])
    assert result.exit_code == 2, result.output
    assert text in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_numbers_of_another_machine_are_not_mixed_with_those_of_this_one(tmp_path: Path) -> None:
    part = PartResult("planning", "a plan", (Row("tile", "plan", (1.5,), (2.0,), (7,), {"windows": 3}),))
    stamped = write_part(tmp_path, part)
    assert stamped.when
    kept = read_parts(tmp_path, ["planning", "tile"])
    assert kept["planning"] == stamped
    assert list(kept) == ["planning"]
    path = tmp_path / "raw" / "planning.json"
    document = json.loads(path.read_text())
    document["machine"]["cores"] += 1
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidInput, match="another machine"):
        read_parts(tmp_path, ["planning"])


def test_the_page_tells_what_fell_short_what_was_not_measured_and_what_work_is_left(tmp_path: Path) -> None:
    def row(name: str, *cpu: float, **facts: int) -> Row:
        return Row("natural", name, cpu, tuple(2 * v for v in cpu), (10**9,), facts)

    rows = (
        row(ALL, 20.0, 22.0, 21.0, blocks=90),
        row(NEEDED, 10.0, 11.0, 12.0, blocks=45),
        row(OURS, 30.0, 33.0, 36.0),
        row(IMPORTS, 3.0, 3.0, 3.0),
        row(WRITING, 2.0, 2.0, 2.0),
    )
    growth = PartResult("growth", "x", tuple(Row("threads", str(n), (9.0,), (9.0 / n,)) for n in (1, 2)))
    part = PartResult(
        "preprocessing", "20 km", rows, (("odc-stac", "it is not there"),), "2026-01-02T03:04:05Z"
    )
    results = Results("acreage bench", machine(), (part, growth))
    text = write_page(results, tmp_path).read_text()
    assert "| natural: CPU at most 2.0 x decoding the needed blocks once | 3.00 x | **no** |" in text
    assert "| natural | acreage | 33.00 | 66.00 | 1.00 | 3.00 x |" in text
    assert (
        "33.0 CPU seconds are 3.0 of imports and parsing, 2.0 of writing, and 28.0 of the work, 2.55 x"
        in text
    )
    assert "45 of 90 blocks are needed." in text
    assert "- Not measured: odc-stac: it is not there." in text
    assert "Measured 2026-01-02, 3 rounds." in text
    assert (tmp_path / "images" / "bench-growth.png").stat().st_size > 1000
    assert np.isfinite(results.machine["memory_bytes"])
