"""The import contracts of pyproject.toml are those of docs/architecture.md, for folders to come as well."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLATFORM_PARTS = {"catalog", "processes", "udf"}
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "catalog": {"core"},
    "processes": {"core"},
    "udf": {"core"},
    "engine": {"core", "catalog", "processes"},
    "backend": {"core", "engine", *PLATFORM_PARTS},
    "croptype": {"core", "catalog"},
    "production": {"core", "catalog", "croptype"},
    "publish": {"core", "catalog", "croptype", "production"},
    "simulate": {"core"},
}
ALLOWED["bench"] = set(ALLOWED)
ALLOWED["cli"] = set(ALLOWED)
MAY_SERVE = {"backend", "publish", "cli"}


def _lint(folder: Path, imports: dict[str, set[str]]) -> subprocess.CompletedProcess[str]:
    """Run the project's contracts on a package of empty folders with the given imports among them."""
    for name in ALLOWED:
        package = folder / "src" / "acreage" / name
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        lines = [f"import acreage.{target}.part\n" for target in sorted(imports.get(name, ()))]
        (package / "part.py").write_text("".join(lines), encoding="utf-8")
    (folder / "src" / "acreage" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache", "--no-logo"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": "src", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_the_design_allows_passes(tmp_path: Path) -> None:
    done = _lint(tmp_path, ALLOWED)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("folder", [name for name in ALLOWED if name != "cli"])
def test_every_import_that_the_design_does_not_allow_is_found(tmp_path: Path, folder: str) -> None:
    forbidden = set(ALLOWED) - ALLOWED[folder] - {folder}
    done = _lint(tmp_path, {folder: forbidden})
    assert done.returncode == 1, done.stdout
    found = {name for name in forbidden if f"acreage.{folder}.part -> acreage.{name}.part" in done.stdout}
    assert found == forbidden


def test_every_folder_below_the_servers_is_kept_from_web_frameworks() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {contract["id"]: contract for contract in config["tool"]["importlinter"]["contracts"]}
    folders = {path.parent.name for path in (ROOT / "src" / "acreage").glob("*/__init__.py")}
    listed = {name.removeprefix("acreage.") for name in contracts["no-web-framework"]["source_modules"]}
    assert listed == folders - MAY_SERVE
    assert {"fastapi", "starlette"} <= set(contracts["no-web-framework"]["forbidden_modules"])
