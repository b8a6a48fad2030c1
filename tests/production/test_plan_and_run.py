"""From an area to products by the commands alone: plan, run, status, at a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from tests.support.oidc_server import ACCOUNTS, running_server
from tests.support.plans import SEASON_TEXT, archive_area, profiles_file, tiny_archive, tiny_model

pytestmark = pytest.mark.timeout(900)
PASSWORD = "WEST_PASSWORD"


@dataclass(frozen=True)
class Commands:
    """Calls `acreage` in a folder, as a shell does."""

    folder: Path

    def __call__(self, *words: str, status: int = 0) -> str:
        program = Path(sys.executable).parent / "acreage"
        environment = {**os.environ, PASSWORD: ACCOUNTS["carla"], "COLUMNS": "160"}
        done = subprocess.run(
            [program, *words], cwd=self.folder, capture_output=True, text=True, timeout=600, env=environment
        )
        assert done.returncode == status, f"{words}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def acreage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """A folder with a catalog, a model, and the profile of a server that runs."""
    folder = tmp_path_factory.mktemp("plan-and-run")
    catalog = tiny_archive(folder / "archive")
    tiny_model(folder / "model.pt")
    with running_server(folder, catalog) as server:
        west = {
            "url": server.url,
            "login": {"kind": "basic", "username": "carla", "password_variable": PASSWORD},
            "model": {"kind": "upload", "folder": "models"},
            "job": {"memory": {"memory": "{mb}MB"}, "cores": "cores"},
            "machine": {"cores": 2, "memory_mb": 6000, "worker_memory_mb": 3000},
            "tariff": {"currency": "EUR", "cpu_hour": 0.36},
        }
        profiles_file(folder / "backends.yaml", {"west": west})
        yield Commands(folder)


def test_an_area_becomes_products(acreage: Commands) -> None:
    plan = ["plan", "europe", "--area", archive_area(), "--grid", "640m", "--season", SEASON_TEXT]
    plan += ["--model", "model.pt", "--backends", "backends.yaml", "--catalog", "archive/catalog.json"]
    acreage(*plan)
    before = json.loads(acreage("status", "europe", "--json"))
    acreage("run", "europe")
    after = json.loads(acreage("status", "europe", "--json", "--picture", "europe.png"))
    assert before["tiles"]["waiting"] > 1
    assert after["tiles"]["done"] == before["tiles"]["waiting"]
    assert after["tiles"].get("skipped") == before["tiles"].get("skipped")
    products = sorted((acreage.folder / "europe" / "results").glob("*/classes.tif"))
    assert len(products) == after["tiles"]["done"]
    mapped = 0
    for path in products:
        with rasterio.open(path) as file:
            assert (file.width, file.height, file.crs.to_epsg()) == (64, 64, 3035)
            mapped += np.isin(file.read(1), [3, 17]).sum()
    assert mapped > 1000
    assert (acreage.folder / "europe.png").stat().st_size > 10_000
    # Once more: nothing is left to do, and nothing is done again.
    acreage("run", "europe")
    again = json.loads(acreage("status", "europe", "--json"))
    assert again == after
