"""What a fresh clone installs is what pyproject.toml asks for, and the package carries its data files."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import acreage

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _locked() -> dict[str, str]:
    lines = (ROOT / "requirements" / "lock.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): pinned for name, pinned in pins}


def test_the_lock_file_holds_every_dependency_at_a_version_that_is_allowed() -> None:
    project = PYPROJECT["project"]
    wanted = [Requirement(text) for text in project["dependencies"] + project["optional-dependencies"]["dev"]]
    locked = _locked()
    missing = [r.name for r in wanted if canonicalize_name(r.name) not in locked]
    assert not missing, "run `make lock`"
    assert [str(r) for r in wanted if locked[canonicalize_name(r.name)] not in r.specifier] == []


def test_pytorch_is_pinned_without_its_gpu_libraries() -> None:
    locked = _locked()
    assert locked["torch"] == "2.13.0"
    assert [name for name in locked if re.match(r"nvidia|cuda|triton", name)] == []


def test_every_data_file_of_the_package_is_installed_with_it() -> None:
    package = ROOT / "src" / "acreage"
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["acreage"]
    carried = {path for pattern in patterns for path in package.glob(pattern)}
    files = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    numba_caches = {path for path in files if path.suffix in (".nbi", ".nbc")}
    assert files - carried - numba_caches == set()


def test_every_folder_with_code_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "src" / "acreage").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_the_version_is_that_of_the_installed_package() -> None:
    assert acreage.__version__ == version("acreage") == PYPROJECT["project"]["version"]
