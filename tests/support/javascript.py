"""JavaScript packages of tests, which `make js` installs into build/js."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "build" / "js" / "node_modules"
SCRIPTS = ROOT / "tests" / "clients" / "js"


def require_packages() -> Path:
    """The folder of the packages; the test is skipped where they are not installed."""
    if shutil.which("node") is None or not (PACKAGES / "@openeo" / "js-client").is_dir():
        pytest.skip("no openEO JavaScript client: Node.js 20, npm and `make js` are needed")
    return PACKAGES


def run_script(name: str, *arguments: str, timeout: float = 800) -> str:
    """What a script of tests/clients/js prints.

    Raises:
        RuntimeError: it failed; with what it printed as an error.
    """
    environment = {**os.environ, "NODE_PATH": str(require_packages())}
    done = subprocess.run(
        ["node", str(SCRIPTS / name), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    return done.stdout
