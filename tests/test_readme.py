"""The commands of the README's chain, run as they stand."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio

ROOT = Path(__file__).parents[1]


def readme_commands() -> list[list[str]]:
    (block,) = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    return [shlex.split(line) for line in block.strip().splitlines()]


@pytest.mark.timeout(600)
def test_the_chain_of_the_readme_runs_from_archive_to_map(tmp_path: Path) -> None:
    commands = readme_commands()
    assert [c[1] for c in commands] == ["simulate", "sample", "train", "validate", "map"]
    for command in commands:
        program = Path(sys.executable).parent / command[0]
        done = subprocess.run(
            [program, *command[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    with rasterio.open(tmp_path / "build/map/classes.tif") as classes:
        assert len(set(classes.read(1).ravel())) > 4
    item = json.loads((tmp_path / "build/map/item.json").read_text())
    read = [link for link in item["links"] if link["rel"] == "derived_from"]
    assert len(read) == len(json.loads((tmp_path / "build/map/provenance.json").read_text())["items"]) > 50
