"""Simulated archives in good order, once for all faults, and what they give without a product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.engine_runs import MEMORY, settled
from tests.support.faulty_archives import SETTINGS, Product, Source, Subject, copy_archive, stacked
from tests.support.simulated import archive_of

from acreage.catalog import open_catalog
from acreage.catalog.access import Policy, configure
from acreage.core.cube import Cube
from acreage.core.inputs import Inputs
from acreage.engine.budget import Budget
from acreage.engine.inspection import inspect_items
from acreage.engine.parser import parse_graph
from acreage.engine.plan import Plan
from acreage.engine.planner import make_plan
from acreage.engine.quarantine import NOTHING, QuarantineList

Reference = Callable[[Source, Subject, str], tuple[Cube, Inputs]]


def plan_of(address: str, source: Source, subject: Subject, quarantined: QuarantineList = NOTHING) -> Plan:
    """The plan of the subject's graph on a catalog."""
    graph = parse_graph(subject.graph(source.area))
    return make_plan(graph, open_catalog(address), Budget(MEMORY, 1, 256), None, quarantined)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    """The archives by name."""
    found = {name: Source(archive_of(settings).folder) for name, settings in SETTINGS.items()}
    folder = tmp_path_factory.mktemp("stacked") / "archive"
    return {**found, "stacked": stacked(found["earth-search"], folder)}


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Result and account of an archive in good order, without a product where one is named."""
    known: dict[tuple[Path, Subject, str], tuple[Cube, Inputs]] = {}
    folder = tmp_path_factory.mktemp("references")

    def result(source: Source, subject: Subject, without: str) -> tuple[Cube, Inputs]:
        key = (source.folder, subject, without)
        if key not in known:
            archive = source.folder
            if without:
                archive = folder / str(len(known))
                copy_archive(source.folder, archive)
                Product(archive, subject, without).remove()
            cubes, run = settled(
                plan_of(str(archive / source.catalog), source, subject), inspect=inspect_items
            )
            assert run.failures == ()
            known[key] = (next(iter(cubes.values())), run.inputs)
        return known[key]

    return result


@pytest.fixture(autouse=True)
def _impatient() -> Iterator[None]:
    """Requests to a server that always fails are not repeated for minutes."""
    configure(Policy(backoff_s=0.011))
    configure(Policy(backoff_s=0.01, backoff_limit_s=0.05, patience_s=1.0, requests_per_second=5000.0))
    yield
    configure(Policy())
