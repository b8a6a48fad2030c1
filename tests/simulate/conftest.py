"""Small simulated scenes, made once: as it comes, and without clouds, noise or swath edges."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from acreage.core.temporal import Season
from acreage.simulate.scene import SceneFiles, simulate_scene
from acreage.simulate.settings import SceneSettings

SETTINGS = SceneSettings(
    size_km=0.96,
    season=Season(date(2019, 4, 1), date(2019, 7, 10)),
    seed=7,
    s2_interval_days=10,
    s1_interval_days=12,
    s1_orbits=("ascending", "descending"),
    swath_edge_every=5,
)
CLEAR = replace(SETTINGS, cloudy=0.0, noise=0.0, looks=0.0, swath_edge_every=0)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SceneFiles:
    return simulate_scene(tmp_path_factory.mktemp("simulated") / "scene", SETTINGS)


@pytest.fixture(scope="session")
def clear(tmp_path_factory: pytest.TempPathFactory) -> SceneFiles:
    return simulate_scene(tmp_path_factory.mktemp("clear") / "scene.v1", CLEAR)
