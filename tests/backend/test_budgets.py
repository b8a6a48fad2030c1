"""What users may spend is what they can spend."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.backend.test_dispatcher import GRAPH, dispatching, ended, started, until
from tests.support.oidc_server import Served, running_server, small_graph, tiny_catalog

from acreage.backend.accounts.budgets import Budgets
from acreage.backend.accounts.users import Accounts, Passwords, User
from acreage.backend.database.session import open_database
from acreage.backend.errors import PaymentRequired
from acreage.backend.jobs.store import JobStore
from acreage.core.database import Database
from acreage.core.tariff import Tariff, Use

EUR = Tariff("EUR", cpu_hour=1.0, memory_gb_hour=0.1, source_megapixel=0.01, job=0.5)


@pytest.fixture
def budgets(database: Database) -> Budgets:
    accounts = Accounts(database, Passwords.of({}), timedelta(days=1))
    for name in ("anna", "ben"):
        accounts.known(User(name, name, "basic"))
    return Budgets(database, EUR, 10.0)


@pytest.fixture
def store(budgets: Budgets) -> JobStore:
    return JobStore(budgets.database, 100, 2, timedelta(seconds=30), budgets)


def test_a_user_has_the_default_until_given_another_budget(budgets: Budgets) -> None:
    assert budgets.of("anna").left == 10
    assert budgets.give("anna", 3.0).left == 3
    assert budgets.of("ben").left == 10
    assert budgets.give("anna", None).left == 10
    assert budgets.give("not-yet-here", 5.0).left == 5
    budgets.charge("anna", 2.5)
    assert budgets.of("anna").left == 7.5
    assert Budgets(budgets.database, EUR).of("anna").left is None


def test_a_job_that_would_cost_more_than_is_left_is_not_started(store: JobStore, budgets: Budgets) -> None:
    jobs = [store.create("anna", process=GRAPH, options={}).id for _ in range(4)]
    with pytest.raises(PaymentRequired, match="11 EUR; of your budget 10 EUR are left"):
        store.queue("anna", jobs[0], {"costs": 11.0})
    assert store.get("anna", jobs[0]).status == "created"
    for job_id in jobs[:2]:
        store.queue("anna", job_id, {"costs": 4.0})
    with pytest.raises(PaymentRequired, match="another 8"):  # those that wait count
        store.queue("anna", jobs[2], {"costs": 4.0})
    store.queue("anna", jobs[2], {"costs": 2.0})
    job = store.claim("one")
    assert job is not None
    store.end("one", job.id, 1, "finished", costs=1.0)  # it was cheaper than expected
    store.queue("anna", jobs[3], {"costs": 3.0})
    spending = budgets.of("anna")
    assert (spending.spent, spending.left) == (1, 9)
    budgets.give("ben", 0.0)
    with pytest.raises(PaymentRequired):
        store.queue("ben", store.create("ben", process=GRAPH, options={}).id, {"costs": 0.0})


def test_an_estimate_stays_on_the_record_of_its_job(store: JobStore) -> None:
    job_id = store.create("anna", process=GRAPH, options={}).id
    store.estimated("anna", job_id, {"costs": 2.0, "duration": "PT5S"})
    assert store.get("anna", job_id).estimate == {"costs": 2.0, "duration": "PT5S"}
    store.queue("anna", job_id)
    store.estimated("anna", job_id, {"costs": 9.0})
    assert store.get("anna", job_id).estimate == {"costs": 2.0, "duration": "PT5S"}
    store.cancel("anna", job_id)
    store.change("anna", job_id, {"process": GRAPH})
    assert store.get("anna", job_id).estimate is None


def test_jobs_that_are_started_at_once_do_not_share_one_budget(store: JobStore) -> None:
    jobs = [store.create("anna", process=GRAPH, options={}).id for _ in range(8)]

    def start(job_id: str) -> bool:
        try:
            return store.queue("anna", job_id, {"costs": 3.0})
        except PaymentRequired:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(start, jobs)) == 3


def test_an_attempt_that_is_lost_or_begun_again_is_not_paid_for(store: JobStore, budgets: Budgets) -> None:
    job_id = store.create("anna", process=GRAPH, options={}).id
    store.queue("anna", job_id, {"costs": 1.0})
    store.claim("one")
    store.progress("one", job_id, costs=4.0)
    assert budgets.of("anna").left == 6
    store.lost(["one"])
    assert budgets.of("anna").left == 10
    store.claim("two")
    store.progress("two", job_id, costs=4.0)
    store.give_back("two", job_id, 2)
    assert store.get("anna", job_id).costs is None
    store.claim("three")
    store.progress("three", job_id, costs=4.0)
    store.end("three", job_id, 2, "queued")
    assert budgets.of("anna").left == 10


def test_nothing_is_refused_where_nothing_costs_anything(budgets: Budgets) -> None:
    free = Budgets(budgets.database, Tariff(), 0.0)
    free.check(0.0, 0.0, free.of("anna"))
    assert free.exceeded(Use(1e9), "anna", 0.0) == ""


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'test.db'}")
    Accounts(opened, Passwords.of({}), timedelta(days=1)).known(User("anna", "anna", "basic"))
    yield opened
    opened.close()


def test_running_jobs_are_ended_when_the_users_budget_is_used_up(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acreage.backend.jobs.dispatcher._BUDGET_EVERY_S", 0.5)
    with dispatching(sqlite, tmp_path, Tariff("EUR", cpu_hour=3600.0), budget=6.0) as dispatcher:
        jobs = [started(dispatcher, seconds=600) for _ in range(2)]
        until(lambda: bool(dispatcher.store.get("anna", jobs[0]).costs))  # told while it runs
        found = [ended(dispatcher, job) for job in jobs]
        spending = dispatcher.budgets.of("anna")
    assert {(j.error or {}).get("code") for j in found} == {"PaymentRequired"}
    assert "your budget is used up" in (found[0].error or {})["message"]
    assert spending.spent == pytest.approx(sum(j.costs or 0 for j in found))
    # Neither of the two took it all: what both cost was counted.
    assert max(j.costs or 0 for j in found) < 6


@pytest.mark.parametrize(
    "price", [{"cpu_hour": 3600.0}, {"memory_gb_hour": 360_000.0}, {"source_megapixel": 10.0}, {"job": 2.0}]
)
def test_every_term_of_the_tariff_counts_while_a_job_runs(
    sqlite: Database, tmp_path: Path, price: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acreage.backend.jobs.dispatcher._BUDGET_EVERY_S", 0.5)
    with dispatching(sqlite, tmp_path, Tariff("EUR", **price)) as dispatcher:
        job = ended(dispatcher, started(dispatcher, seconds=600, budget=1.0, source_pixels=1_000_000))
    assert job.error is not None
    assert job.error["code"] == "PaymentRequired"
    assert job.costs is not None
    assert job.costs > 1
    assert {"cpu_seconds", "seconds", "peak_memory", "source_pixels"} <= set(job.usage or {})


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("metered")
    tariff = folder / "tariff.yaml"
    tariff.write_text("currency: EUR\njob: 1.0\ncpu_hour: 0.01\n")
    own = {"ACREAGE_SERVER_TARIFF": str(tariff), "ACREAGE_SERVER_USER_BUDGET": "3.5"}
    with running_server(folder, tiny_catalog(tmp_path_factory.mktemp("archive")), **own) as running:
        yield running


def left(served: Served, token: str) -> float:
    found: float = served.ask("GET", "/me", token).json()["budget"]
    return found


def test_jobs_and_requests_use_up_a_budget_that_the_operator_may_raise(metered: Served) -> None:
    token = metered.login("carla")
    assert left(metered, token) == 3.5
    job = metered.run_job(token, {"process": small_graph()})
    about = metered.ask("GET", f"/jobs/{job}", token).json()
    assert about["estimate"]["costs"] >= 1
    assert 1 <= about["costs"] < 1.1
    assert 2.4 < left(metered, token) <= 2.5
    answer = metered.ask("POST", "/result", token, json={"process": small_graph(), "budget": 0.5})
    assert (answer.status_code, answer.json()["code"]) == (402, "PaymentRequired")
    answer = metered.ask("POST", "/result", token, json={"process": small_graph()})
    assert answer.status_code == 200
    assert 1.4 < left(metered, token) <= 1.5
    command = [sys.executable, "-c", "from acreage.cli.main import main; main()", "account"]
    given = [*command, "budget", "carla", "2.5", "--storage", str(metered.storage)]
    assert "may spend" in subprocess.run(given, check=True, capture_output=True, text=True).stdout
    assert 0.3 < left(metered, token) < 0.5
    made = metered.ask("POST", "/jobs", token, json={"process": small_graph()}).headers["OpenEO-Identifier"]
    refused = metered.ask("POST", f"/jobs/{made}/results", token)
    assert (refused.status_code, refused.json()["code"]) == (402, "PaymentRequired")
    assert metered.ask("POST", "/result", token, json={"process": small_graph()}).status_code == 402
    other = metered.login("dora")
    assert left(metered, other) == 3.5
    shown = subprocess.run(
        [*command, "list", "--storage", str(metered.storage)], check=True, capture_output=True, text=True
    ).stdout
    assert "carla" in shown
    wrong = [*command, "budget", "carla", "much", "--storage", str(metered.storage)]
    assert subprocess.run(wrong, capture_output=True).returncode == 2
