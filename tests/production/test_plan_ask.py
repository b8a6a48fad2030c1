"""What back ends say of costs, asked for a plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.support.back_end_servers import BackEndServer
from tests.support.oidc_server import ACCOUNTS
from tests.support.plans import (
    SEASON_TEXT,
    archive_area,
    profile_document,
    profiles_file,
    tiny_archive,
    tiny_model,
)
from typer.testing import CliRunner

from acreage.cli.main import app
from acreage.core.errors import BackEndNonsense
from acreage.production.ledger.settings import back_ends
from acreage.production.ledger.store import open_ledger
from acreage.production.openeo_answers import estimate_of

STATED = 360.0  # of an hour of one core; high, since costs are rounded and these jobs are small
PRICE = 36_000.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackEndServer]:
    folder = tmp_path_factory.mktemp("server")
    tariff = folder / "tariff.yaml"
    tariff.write_text(yaml.safe_dump({"currency": "EUR", "cpu_hour": PRICE}))
    archive = tiny_archive(folder / "archive")
    running = BackEndServer(folder / "own", archive, {"ACREAGE_SERVER_TARIFF": str(tariff)})
    running.start()
    yield running
    running.stop()


def test_a_back_ends_own_prices_take_the_place_of_the_profiles(
    server: BackEndServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_OF_CARLA", ACCOUNTS["carla"])
    login = {"kind": "basic", "username": "carla", "password_variable": "PASSWORD_OF_CARLA"}
    document = profile_document(url=server.url, login=login, model={"kind": "upload"}, parallel=2)
    document["tariff"] = {"currency": "EUR", "cpu_hour": STATED}
    words = ["plan", tmp_path / "production", "--area", archive_area(), "--grid", "640m", "--ask"]
    words += ["--season", SEASON_TEXT, "--model", tiny_model(tmp_path / "model.pt"), "--samples", 2]
    words += ["--backends", profiles_file(tmp_path / "backends.yaml", {"one": document})]
    words += ["--catalog", server.catalog]
    result = CliRunner().invoke(app, [str(w) for w in words])
    assert result.exit_code == 0, result.output
    assert "one says of" in result.output
    ledger = open_ledger(str(tmp_path / "production"))
    (one,) = back_ends(ledger)
    ledger.close()
    # Prices are a hundred times as high; the engine's estimate of all pixels is above what is kept of them.
    assert 50 < one.cost_factor < 1000
    assert one.factor > 0
    assert server.jobs("carla") == []


def test_estimates_of_other_back_ends_are_taken_as_far_as_they_are_told() -> None:
    told = estimate_of({"costs": 2.5, "duration": "P1DT2H3M4.5S"}, "one")
    assert (told.cost, told.duration_s) == (2.5, 86400 + 2 * 3600 + 3 * 60 + 4.5)
    for document in ({}, {"costs": -1, "duration": "soon"}, {"costs": "free", "duration": 5}):
        empty = estimate_of(document, "one")
        assert (empty.cost, empty.duration_s) == (None, None)
    with pytest.raises(BackEndNonsense, match="is no object"):
        estimate_of("<html>", "one")
