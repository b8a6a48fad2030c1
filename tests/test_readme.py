"""The commands of the README's chain, run: on less land and time by default, as they stand as a proof."""

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


SEASON, LESS = "2019-03-01/2019-10-31", "2019-04-01/2019-06-30"
SMALLER = {
    "simulate": {"--size-km": "0.64", "--season": LESS},
    "sample": {"--season": LESS, "--points": "2"},
    "train": {"--members": "2", "--epochs": "10"},
    "map": {"--season": LESS},
}


def with_options(command: list[str], options: dict[str, str]) -> list[str]:
    """The command with other values of some options."""
    changed = list(command)
    for name, value in options.items():
        if name in changed:
            changed[changed.index(name) + 1] = value
        else:
            changed += [name, value]
    return changed


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("options", "classes"),
    [pytest.param(SMALLER, 2, id="smaller"), pytest.param({}, 4, id="as-it-stands", marks=pytest.mark.proof)],
)
def test_the_chain_of_the_readme_runs_from_archive_to_map(
    options: dict[str, dict[str, str]], classes: int, tmp_path: Path
) -> None:
    commands = readme_commands()
    assert [c[1] for c in commands] == ["simulate", "sample", "train", "validate", "map"]
    assert all(c[c.index("--season") + 1] == SEASON for c in commands if "--season" in c)
    for command in [with_options(c, options.get(c[1], {})) for c in commands]:
        program = Path(sys.executable).parent / command[0]
        done = subprocess.run(
            [program, *command[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    with rasterio.open(tmp_path / "build/map/classes.tif") as file:
        assert len(set(file.read(1).ravel())) > classes
    item = json.loads((tmp_path / "build/map/item.json").read_text())
    read = [link for link in item["links"] if link["rel"] == "derived_from"]
    assert len(read) == len(json.loads((tmp_path / "build/map/provenance.json").read_text())["items"]) > 50
