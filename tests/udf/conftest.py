"""Runners that leave no child behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from acreage.udf.contract import UdfLimits
from acreage.udf.isolation import Isolation, isolation_available
from acreage.udf.models import ModelCache
from acreage.udf.packages import PackageCache
from acreage.udf.runner import ProcessUdfRunner


@pytest.fixture
def make_runner() -> Iterator[Callable[..., ProcessUdfRunner]]:
    made: list[ProcessUdfRunner] = []

    def make(
        workers: int = 1,
        isolation: Isolation = "auto",
        trusted: bool = True,
        models: ModelCache | None = None,
        packages: PackageCache | None = None,
        **limits: float,
    ) -> ProcessUdfRunner:
        runner = ProcessUdfRunner(
            UdfLimits(**limits),  # type: ignore[arg-type]
            workers=workers,
            models=models,
            isolation=isolation,
            trusted=trusted,
            packages=packages,
        )
        made.append(runner)
        return runner

    yield make
    for runner in made:
        runner.close()


@pytest.fixture(scope="module")
def runner() -> Iterator[ProcessUdfRunner]:
    with ProcessUdfRunner(UdfLimits(timeout_s=120), workers=1) as shared:
        yield shared


@pytest.fixture(scope="session")
def bubblewrap() -> None:
    """Skips where UDFs cannot be isolated, and says why."""
    state = isolation_available()
    if not state.available:
        pytest.skip(state.reason)
