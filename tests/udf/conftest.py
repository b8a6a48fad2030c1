"""Runners that leave no child behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from acreage.udf.contract import UdfLimits
from acreage.udf.runner import ProcessUdfRunner


@pytest.fixture
def make_runner() -> Iterator[Callable[..., ProcessUdfRunner]]:
    made: list[ProcessUdfRunner] = []

    def make(workers: int = 1, **limits: float) -> ProcessUdfRunner:
        made.append(ProcessUdfRunner(UdfLimits(**limits), workers=workers))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for runner in made:
        runner.close()


@pytest.fixture(scope="module")
def runner() -> Iterator[ProcessUdfRunner]:
    with ProcessUdfRunner(UdfLimits(timeout_s=120), workers=1) as shared:
        yield shared
