"""What all tests share: where the real data is, no network, and no skip that nobody sees."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

# The same examples on every run: a failure is a change in the code, never the luck of the draw.
hypothesis.settings.register_profile(
    "default", derandomize=True, max_examples=15, deadline=None, print_blob=True, database=None
)
# `make proof`: many examples, drawn afresh.
hypothesis.settings.register_profile("proof", max_examples=1000, deadline=None, print_blob=True)
hypothesis.settings.load_profile("default")

# They take longest: begun first, so that no test process is left with one of them at the end.
LONG = (
    "tests/test_readme.py",
    "tests/fault_table/test_fault_table.py",
    "tests/properties/test_random_graphs.py",
    "tests/simulate/test_archive.py",
)

# Markers of tests that need what a machine for builds may lack.
MAY_BE_SKIPPED = ("gpu", "checkout")
REQUIRE_ALL = "ACREAGE_REQUIRE_ALL"
REAL_DATA = "ACREAGE_REAL_DATA"
# Nobody listens there. pytest-socket watches Python's own sockets only; this keeps curl inside GDAL and
# child processes from the network too, while loopback stays open.
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "GDAL_HTTP_PROXY"):
            patch.setenv(name, NOWHERE)
        for name in ("no_proxy", "NO_PROXY"):
            patch.setenv(name, "127.0.0.1,localhost,::1")
        yield


@pytest.fixture(scope="session", autouse=True)
def _default_settings() -> Iterator[None]:
    """The developer's own ACREAGE_ settings do not reach the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("ACREAGE_") and name not in (REQUIRE_ALL, REAL_DATA):
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def _own_quarantine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test's commands put into quarantine is in no other test, nor in the developer's own."""
    monkeypatch.setenv("ACREAGE_QUARANTINE", str(tmp_path_factory.mktemp("quarantine")))


@pytest.fixture(scope="module")
def kept_helper() -> Iterator[None]:
    """The helper that opens users' files serves a module: every run ends it, and starting one takes long."""
    from acreage.engine.user_files.isolation import end_helper

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acreage.engine.run.end_helper", lambda: None)
        yield
    end_helper()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data: $ACREAGE_REAL_DATA, or ../shared/data beside the checkout."""
    named = os.environ.get(REAL_DATA)
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not there (set {REAL_DATA} to its folder)")
    return folder.resolve()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, in their order."""
    places = {ROOT / name: n for n, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def _skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


def _fail_if_required(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With ACREAGE_REQUIRE_ALL=1 a test skipped for a missing part is a failed test."""
    if report.skipped and os.environ.get(REQUIRE_ALL) == "1":
        reason = _skip_reason(report)
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: skipped, and {REQUIRE_ALL}=1 allows no skips: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if not hasattr(report, "wasxfail") and not any(map(item.get_closest_marker, MAY_BE_SKIPPED)):
        _fail_if_required(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    _fail_if_required(report)
    return report
