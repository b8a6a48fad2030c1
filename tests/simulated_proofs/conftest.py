"""Simulated archives over the boundary of the UTM zones 31 and 32, whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from acreage.core.temporal import Season
from acreage.simulate.archive import Archive, simulate_archive
from acreage.simulate.settings import ArchiveSettings

MAY = Season(date(2019, 5, 1), date(2019, 5, 31))
BEFORE, AFTER = date(2019, 4, 1), date(2019, 7, 1)
Simulate = Callable[..., Archive]


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulate:
    """Simulates 1.2 km on both sides of 6 degrees east in May; each archive once."""
    made: dict[str, Archive] = {}
    folder: Path = tmp_path_factory.mktemp("simulated")

    def simulate(name: str, **settings: Any) -> Archive:
        if name not in made:
            where = settings.pop("centre", (6.0, 50.75))
            chosen = ArchiveSettings.around(where, 1.2, **{"season": MAY, "margin_m": 200.0, **settings})
            made[name] = simulate_archive(folder / name, chosen)
        return made[name]

    return simulate


@pytest.fixture(scope="session")
def with_offset(simulated: Simulate) -> Archive:
    """All products of baseline 04.00 or later: their digital numbers are 1000 too high."""
    return simulated(
        "with-offset",
        form="planetary-computer",
        sensors=("sentinel-2",),
        baseline_switch=BEFORE,
        reprocessed_every=0,
    )


@pytest.fixture(scope="session")
def without_offset(simulated: Simulate) -> Archive:
    """The same acquisitions, all of a baseline before 04.00."""
    return simulated(
        "without-offset",
        form="planetary-computer",
        sensors=("sentinel-2",),
        baseline_switch=AFTER,
        reprocessed_every=0,
    )


@pytest.fixture(scope="session")
def reprocessed(simulated: Simulate) -> Archive:
    """Both sides of baseline 04.00, and every second acquisition is there in two processings."""
    return simulated("reprocessed", form="planetary-computer", sensors=("sentinel-2",), reprocessed_every=2)
