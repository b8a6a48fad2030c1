"""Records of jobs: every change of state is one that may be, whoever makes it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from acreage.backend.accounts.users import Accounts, Passwords, User
from acreage.backend.database.tables import JobRow, UserRow
from acreage.backend.errors import JobLimitReached, JobLocked, JobNotFound, JobNotStarted
from acreage.backend.jobs.old import OldJobs
from acreage.backend.jobs.store import JobStore, now
from acreage.core.database import Database

GRAPH = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}


@pytest.fixture
def store(database: Database) -> JobStore:
    accounts = Accounts(database, Passwords.of({}), timedelta(days=1))
    for name in ("anna", "ben"):
        accounts.known(User(name, name, "basic"))
    return JobStore(database, per_user=5, attempts=2, lease=timedelta(seconds=30))


def made(store: JobStore, user: str = "anna", *, queued: bool = True) -> str:
    job = store.create(user, process=GRAPH, options={})
    if queued:
        store.queue(user, job.id)
    return job.id


def status(store: JobStore, job_id: str, user: str = "anna") -> str:
    return store.get(user, job_id).status


def test_turns_go_to_the_user_with_the_fewest_running_jobs_then_to_the_longest_waiting(
    store: JobStore,
) -> None:
    annas, bens = [made(store) for _ in range(3)], [made(store, "ben") for _ in range(2)]
    claimed = [job.id for _ in range(5) if (job := store.claim("one")) is not None]
    assert claimed == [annas[0], bens[0], annas[1], bens[1], annas[2]]
    assert store.claim("one") is None


def test_a_job_is_claimed_once_however_many_ask(store: JobStore) -> None:
    ids = {made(store, user) for user in ("anna", "ben") for _ in range(5)}
    with ThreadPoolExecutor(8) as pool:
        found = [j.id for j in pool.map(lambda n: store.claim(f"s{n % 4}"), range(24)) if j is not None]
    assert sorted(found) == sorted(ids)


def test_only_the_owner_of_the_attempt_ends_it(store: JobStore) -> None:
    job_id = made(store)
    job = store.claim("one")
    assert job is not None
    assert not store.end("two", job_id, 1, "finished")
    assert not store.end("one", job_id, 2, "finished")
    assert status(store, job_id) == "running"
    assert store.end("one", job_id, 1, "finished", costs=2.5, usage={"cpu_seconds": 1.0})
    assert not store.end("one", job_id, 1, "error")
    ended = store.get("anna", job_id)
    assert (ended.status, ended.owner, ended.costs) == ("finished", None, 2.5)
    with store.database.read() as session:
        user = session.get(UserRow, "anna")
        assert user is not None
        assert user.spent == 2.5


def test_a_lost_job_waits_again_until_it_was_begun_too_often(store: JobStore) -> None:
    job_id = made(store)
    for again in (True, False):
        assert store.claim("one") is not None
        assert store.lost() == []  # its lease has not ended
        assert [(x.job_id, x.again) for x in store.lost(["one"])] == [(job_id, again)]
    job = store.get("anna", job_id)
    assert job.status == "error"
    assert job.error is not None
    assert "2 times" in job.error["message"]


def test_a_lease_that_nobody_renews_ends(store: JobStore) -> None:
    short = replace(store, lease=timedelta(seconds=-1))
    job_id = made(short)
    assert short.claim("gone") is not None
    store.renew("gone", [job_id])
    assert store.lost() == []
    short.renew("gone", ["another"])  # what a server does not run is not its any more when the lease ends
    assert store.lost() == []
    short.renew("gone", [job_id])
    assert [x.job_id for x in store.lost()] == [job_id]
    assert not store.end("gone", job_id, 1, "finished")  # what comes too late changes nothing


def test_a_cancelled_job_of_a_lost_server_is_not_begun_again(store: JobStore) -> None:
    job_id = made(store)
    store.claim("one")
    assert store.cancel("anna", job_id)
    assert store.cancelled("one") == [job_id]
    assert [x.again for x in store.lost(["one"])] == [False]
    assert status(store, job_id) == "canceled"


def test_what_is_given_back_counts_as_not_begun(store: JobStore) -> None:
    job_id = made(store)
    for _ in range(4):
        job = store.claim("one")
        assert job is not None
        assert job.attempt == 1
        store.give_back("one", job.id, job.attempt)
        assert status(store, job_id) == "queued"


def test_states_that_do_not_go_together_are_refused(store: JobStore) -> None:
    job_id = made(store, queued=False)
    with pytest.raises(JobNotStarted):
        store.cancel("anna", job_id)
    assert store.queue("anna", job_id)
    assert not store.queue("anna", job_id)
    with pytest.raises(JobLocked):
        store.change("anna", job_id, {"title": "x"})
    store.claim("one")
    with pytest.raises(JobLocked):
        store.delete("anna", job_id)
    with pytest.raises(JobNotFound):
        store.get("ben", job_id)
    with pytest.raises(JobNotFound):
        store.delete("ben", job_id)
    for _ in range(4):
        made(store)
    with pytest.raises(JobLimitReached):
        made(store)
    made(store, "ben")


def test_pages_hold_every_job_once_newest_first(store: JobStore) -> None:
    ids = [made(store, queued=False) for _ in range(7)]
    made(store, "ben", queued=False)
    with store.database.write() as session:  # some at the same moment
        session.execute(update(JobRow).where(JobRow.id.in_(ids[2:5])).values(created=now()))
    found: list[str] = []
    after = None
    while True:
        rows, after = store.listed("anna", 2, after)
        found += [r.id for r in rows]
        if after is None:
            break
    assert sorted(found) == sorted(ids)
    created = [store.get("anna", i).created for i in found]
    assert created == sorted(created, reverse=True)


def test_old_jobs_are_found(store: JobStore) -> None:
    job_id = made(store)
    store.claim("one")
    store.end("one", job_id, 1, "finished")
    old = OldJobs(store.database)
    assert old.ended_before(now() - timedelta(minutes=1), 10) == []
    assert [j.id for j in old.ended_before(now() + timedelta(seconds=1), 10)] == [job_id]
    assert store.counts() == {"finished": 1}
