"""Back ends that are away, busy, poor, forgetful or talk nonsense, by the openEO client over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.oidc import free_port
from tests.support.servers.scripted import Answer, Scripted, error, html, scripted

from acreage.core.errors import (
    BackEndDeterministic,
    BackEndError,
    BackEndFull,
    BackEndNonsense,
    BackEndNotFound,
    BackEndOutOfMemory,
    BackEndPaymentRequired,
    BackEndTransient,
    BackEndUnauthorized,
    InvalidInput,
)
from acreage.production.backends import JobRequest, Limits
from acreage.production.openeo_backend import OpenEoBackEnd
from acreage.production.openeo_failures import LastAnswer
from acreage.production.profiles import Profile

JOB = JobRequest(
    "token-1", "Crop types t token-1", {"a": {"process_id": "add", "arguments": {}, "result": True}}
)
LISTED = {"id": "j", "status": "created", "created": "2026-01-01T00:00:00Z"}


@pytest.fixture
def script() -> Iterator[Scripted]:
    with scripted() as running:
        yield running


@pytest.fixture
def backend(script: Scripted, monkeypatch: pytest.MonkeyPatch) -> OpenEoBackEnd:
    return backend_at(script.url, monkeypatch)


def backend_at(url: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> OpenEoBackEnd:
    monkeypatch.setenv("A_PASSWORD", "secret")
    login = {"kind": "basic", "username": "anna", "password_variable": "A_PASSWORD"}
    profile = {"url": url, "login": login, "model": {"kind": "upload"}, "timeout_s": 2, **more}
    return OpenEoBackEnd("west", Profile.from_dict(profile))


@pytest.mark.parametrize(
    ("answer", "kind", "done", "wait"),
    [
        (error(400, "ProcessUnsupported", "no add"), BackEndDeterministic, False, None),
        (error(400, "JobLimitReached", "1000 jobs"), BackEndFull, False, None),
        (error(403, "Forbidden", "Limit of 2 concurrent jobs reached"), BackEndFull, False, None),
        (error(429, "TooManyRequests", "slow down", **{"Retry-After": "7"}), BackEndTransient, False, 7.0),
        (error(402, "PaymentRequired", "no credits"), BackEndPaymentRequired, False, None),
        (error(400, "Internal", "executor: out of memory"), BackEndOutOfMemory, False, None),
        (error(500, "Internal", "oops"), BackEndTransient, True, None),
        (error(503, "InfrastructureBusy", "busy", **{"Retry-After": "3.5"}), BackEndTransient, False, 3.5),
        (error(501, "FeatureUnsupported", "no jobs"), BackEndDeterministic, False, None),
        (html(502), BackEndTransient, True, None),
        (html(404), BackEndNonsense, False, None),
        (html(200), BackEndNonsense, True, None),
        (Answer(201, {}), BackEndNonsense, True, None),
        (Answer(200, ["job"]), BackEndNonsense, True, None),
        (Answer(301, b"", {"Location": "/login"}), BackEndNonsense, True, None),
    ],
)
def test_what_a_back_end_answers_to_a_new_job_has_a_class(
    script: Scripted,
    backend: OpenEoBackEnd,
    answer: Answer,
    kind: type[BackEndError],
    done: bool,
    wait: float | None,
) -> None:
    script.answers["POST /jobs"] = answer
    with pytest.raises(BackEndError) as caught:
        backend.create(JOB)
    assert type(caught.value) is kind, caught.value
    assert caught.value.may_be_done is done
    assert getattr(caught.value, "retry_after", None) == wait
    assert caught.value.backend == "west"
    assert "secret" not in str(caught.value)
    assert script.asked.count("POST /jobs") == 1


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "12"}, 12.0),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT", "Date": "Fri, 31 Dec 1999 23:59:00 GMT"}, 59.0),
        ({"Retry-After": "Fri, 31 Dec 2099 23:59:59 GMT", "Date": "Fri, 31 Dec 2099 23:59:00 GMT"}, 59.0),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, None),
        ({"Retry-After": "soon", "Date": "today"}, None),
        ({}, None),
    ],
)
def test_a_date_to_wait_for_counts_from_the_back_ends_own_clock(
    headers: dict[str, str], wait: float | None
) -> None:
    answer = LastAnswer()
    answer.headers = headers
    assert answer.retry_after == wait


def test_a_back_end_that_is_away_has_done_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = backend_at(f"http://127.0.0.1:{free_port()}", monkeypatch)
    with pytest.raises(BackEndTransient, match="cannot be reached") as caught:
        backend.create(JOB)
    assert not caught.value.may_be_done


def test_a_connection_that_ends_without_an_answer_may_have_made_the_job(
    script: Scripted, backend: OpenEoBackEnd
) -> None:
    backend_made = []

    def cut(headers: Any, body: bytes) -> Answer:
        backend_made.append(body)
        return Answer(201, b"x" * 100, cut=100)

    script.answers["POST /jobs"] = cut
    with pytest.raises(BackEndTransient) as caught:
        backend.create(JOB)
    assert caught.value.may_be_done
    assert len(backend_made) == 1


def test_a_back_end_that_does_not_answer_is_left_after_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        backend = backend_at(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch, timeout_s=1)
        with pytest.raises(BackEndTransient, match="timed out"):
            backend.limits()


def test_html_at_every_place_is_nonsense_and_nothing_worse(
    script: Scripted, backend: OpenEoBackEnd, tmp_path: Path
) -> None:
    for path in ("GET /jobs", "GET /jobs/j", "GET /jobs/j/logs", "GET /jobs/j/results", "GET /me"):
        script.answers[path] = html()
    calls = (
        lambda: backend.find("t"),
        lambda: backend.state("j"),
        lambda: backend.logs("j"),
        lambda: backend.fetch("j", tmp_path),
        backend.limits,
    )
    for call in calls:
        with pytest.raises(BackEndNonsense, match="text/html"):
            call()
    script.answers["GET /"] = html()
    fresh = OpenEoBackEnd("west", backend.profile)
    with pytest.raises(BackEndNonsense):
        fresh.limits()


@pytest.mark.parametrize(
    "document",
    [
        {"status": "running"},
        {"id": "", "status": "running"},
        {"id": "j", "status": "busy"},
        {"id": "other", "status": "running"},
        {"id": "j"},
        [],
        None,
        "running",
    ],
)
def test_a_job_that_is_told_wrongly_is_nonsense(
    script: Scripted, backend: OpenEoBackEnd, document: Any
) -> None:
    script.answers["GET /jobs/j"] = Answer(body=document)
    with pytest.raises(BackEndNonsense):
        backend.state("j")


def test_a_lost_job_is_not_found_and_may_be_deleted(script: Scripted, backend: OpenEoBackEnd) -> None:
    gone = error(404, "JobNotFound", "no j")
    for path in (
        "GET /jobs/j",
        "POST /jobs/j/results",
        "GET /jobs/j/results",
        "DELETE /jobs/j",
        "DELETE /jobs/j/results",
    ):
        script.answers[path] = gone
    for call in (lambda: backend.state("j"), lambda: backend.start("j"), lambda: backend.fetch("j", Path())):
        with pytest.raises(BackEndNotFound):
            call()
    backend.delete("j")
    backend.cancel("j")


def test_amounts_that_cannot_be_count_as_not_told(script: Scripted, backend: OpenEoBackEnd) -> None:
    lies = {"parallel_jobs": -3, "active_jobs": "many"}
    script.answers["GET /me"] = Answer(body={"user_id": "anna", "budget": -1, "limits": lies})
    assert backend.limits() == Limits(None, None, None, "EUR")
    script.answers["GET /me"] = Answer(
        body={"budget": 12.5, "limits": {"parallel_jobs": 2, "active_jobs": 9}}
    )
    assert backend.limits() == Limits(2, 9, 12.5, "EUR")
    usage = {
        "cpu": {"value": 2, "unit": "cpu-hours"},
        "duration": {"value": 3, "unit": "fortnights"},
        "max_memory": {"value": 2, "unit": "gb"},
    }
    told = {**LISTED, "progress": "half", "costs": float("1e3"), "usage": usage}
    script.answers["GET /jobs/j"] = Answer(body=told)
    job = backend.state("j")
    assert (job.progress, job.costs) == (None, 1000.0)
    assert (job.usage.cpu_seconds, job.usage.duration_s, job.usage.peak_memory_mb) == (7200.0, None, 2000.0)


def test_a_token_is_looked_for_on_every_page_and_in_jobs_that_are_listed_without_title(
    script: Scripted, backend: OpenEoBackEnd
) -> None:
    first = {"jobs": [{**LISTED, "id": "a", "title": "other"}, {**LISTED, "id": "b"}]}
    script.answers["GET /jobs"] = Answer(
        body={**first, "links": [{"rel": "next", "href": f"{script.url}/more"}]}
    )
    script.answers["GET /more"] = Answer(
        body={"jobs": [{**LISTED, "id": "c", "title": "x token-1"}], "links": []}
    )
    script.answers["GET /jobs/b"] = Answer(body={**LISTED, "id": "b", "title": "y token-2"})
    assert backend.find("token-1") == "c"
    assert backend.find("token-2") == "b"
    assert backend.find("token-3") is None
    assert script.asked.count("GET /jobs/b") == 1


def test_of_two_jobs_with_a_token_the_started_one_counts(script: Scripted, backend: OpenEoBackEnd) -> None:
    jobs = [
        {**LISTED, "id": "new", "title": "t1"},
        {**LISTED, "id": "run", "status": "running", "title": "t1"},
    ]
    script.answers["GET /jobs"] = Answer(body={"jobs": jobs, "links": []})
    assert backend.find("t1") == "run"


def test_pages_that_lead_in_a_circle_end(script: Scripted, backend: OpenEoBackEnd) -> None:
    link = {"rel": "next", "href": f"{script.url}/jobs"}
    script.answers["GET /jobs"] = Answer(body={"jobs": [], "links": [link]})
    with pytest.raises(BackEndNonsense, match="circle"):
        backend.find("t")


def test_an_expired_login_is_made_anew_once(script: Scripted, backend: OpenEoBackEnd) -> None:
    tokens = iter(("one", "two", "three", "four"))
    good = {"basic//two"}

    def log_in(headers: Any, body: bytes) -> Answer:
        return Answer(body={"access_token": next(tokens)})

    def me(headers: Any, body: bytes) -> Answer:
        token = headers["Authorization"].removeprefix("Bearer ")
        return Answer(body={}) if token in good else error(403, "TokenInvalid", "expired")

    script.answers["GET /credentials/basic"] = log_in
    script.answers["GET /me"] = me
    backend.limits()
    assert script.asked.count("GET /credentials/basic") == 2
    good.clear()
    with pytest.raises(BackEndUnauthorized):
        backend.limits()
    assert script.asked.count("GET /credentials/basic") == 3


def test_wrong_passwords_and_unset_variables_are_told(
    script: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.answers["GET /credentials/basic"] = error(403, "CredentialsInvalid", "wrong")
    backend = backend_at(script.url, monkeypatch)
    with pytest.raises(BackEndUnauthorized, match="CredentialsInvalid"):
        backend.limits()
    monkeypatch.delenv("A_PASSWORD")
    with pytest.raises(InvalidInput, match="A_PASSWORD"):
        OpenEoBackEnd("west", backend.profile)


def test_logs_give_errors_even_where_much_was_said_after_them(
    script: Scripted, backend: OpenEoBackEnd
) -> None:
    lines = [{"id": "0", "level": "error", "message": "first", "code": "UdfRaised"}]
    lines += [{"id": str(i), "level": "info", "message": f"line {i}"} for i in range(1000)]
    script.answers["GET /jobs/j/logs"] = Answer(body={"logs": [*lines, "x", {"level": "info"}], "links": []})
    found = backend.logs("j")
    assert (found[0].level, found[0].message, found[0].code) == ("error", "first", "UdfRaised")
    assert found[-1].message == "line 999"
    assert len(found) == 201


# --- downloads ---


def _results(script: Scripted, **asset: Any) -> None:
    assets = {"map.tif": {"href": f"{script.url}/map.tif", "type": "image/tiff", **asset}}
    script.answers["GET /jobs/j/results"] = Answer(body={"type": "Collection", "assets": assets, "links": []})


def _ranged(content: bytes, etag: str, asked: list[str], cut_at: int | None = None) -> Any:
    def answer(headers: Any, body: bytes) -> Answer:
        asked.append(headers.get("Range", ""))
        first, last = (int(n) for n in headers["Range"].removeprefix("bytes=").split("-"))
        if headers.get("If-Range", etag) != etag:
            return Answer(200, content, {"ETag": etag})
        part = content[first : last + 1]
        sent = {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(content)}", "ETag": etag}
        return Answer(206, part, sent, cut=10 if cut_at == len(asked) else 0)

    return answer


def test_a_download_goes_on_in_parts_where_it_broke_off(
    script: Scripted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content, asked = bytes(range(256)) * 10, []
    backend = backend_at(script.url, monkeypatch, download_part=1000)
    _results(script)
    script.answers["GET /map.tif"] = _ranged(content, '"v1"', asked, cut_at=2)
    with pytest.raises(BackEndTransient):
        backend.fetch("j", tmp_path)
    fetched = backend.fetch("j", tmp_path)
    assert (tmp_path / "map.tif").read_bytes() == content
    assert (fetched.files, fetched.bytes) == (("map.tif",), len(content))
    assert asked[0] == "bytes=0-999"
    assert int(asked[2].removeprefix("bytes=").split("-")[0]) >= 1000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.tif"]


def test_a_file_that_changed_between_two_parts_is_downloaded_anew(
    script: Scripted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    backend = backend_at(script.url, monkeypatch, download_part=1000)
    _results(script)
    script.answers["GET /map.tif"] = _ranged(b"old" * 1000, '"v1"', asked, cut_at=2)
    with pytest.raises(BackEndTransient):
        backend.fetch("j", tmp_path)
    script.answers["GET /map.tif"] = _ranged(b"new!" * 900, '"v2"', asked)
    backend.fetch("j", tmp_path)
    assert (tmp_path / "map.tif").read_bytes() == b"new!" * 900


def test_a_server_without_ranges_gives_the_file_at_once(
    script: Scripted, backend: OpenEoBackEnd, tmp_path: Path
) -> None:
    _results(script)
    script.answers["GET /map.tif"] = Answer(200, b"whole" * 1000)
    backend.fetch("j", tmp_path)
    assert (tmp_path / "map.tif").read_bytes() == b"whole" * 1000


@pytest.mark.parametrize(
    "document", [{}, {"assets": {}}, {"assets": []}, {"assets": {"a": {}}}, {"assets": {"a": "x"}}, [], 3]
)
def test_results_without_files_are_nonsense(
    script: Scripted, backend: OpenEoBackEnd, document: Any, tmp_path: Path
) -> None:
    script.answers["GET /jobs/j/results"] = Answer(body=document)
    with pytest.raises(BackEndNonsense):
        backend.fetch("j", tmp_path)


def test_names_of_files_stay_in_the_folder(script: Scripted, backend: OpenEoBackEnd, tmp_path: Path) -> None:
    assets = {
        "../../evil.tif": {"href": f"{script.url}/..%2F..%2Fevil.tif"},
        "evil.tif": {"href": f"{script.url}/b.tif"},
        "data": {"href": f"{script.url}/b.tif?signature=1"},
    }
    script.answers["GET /jobs/j/results"] = Answer(body={"assets": assets})
    script.answers["GET /..%2F..%2Fevil.tif"] = Answer(200, b"a")
    script.answers["GET /b.tif"] = Answer(200, b"b")
    fetched = backend.fetch("j", tmp_path / "in")
    assert fetched.files == ("evil.tif", "again-evil.tif", "b.tif")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_model_is_uploaded_once(script: Scripted, backend: OpenEoBackEnd, tmp_path: Path) -> None:
    model = tmp_path / "model.pt"
    model.write_bytes(b"weights")
    stored: dict[str, bytes] = {}

    def put(headers: Any, body: bytes) -> Answer:
        stored["models/a-model.pt"] = body
        return Answer(200, {"path": "models/a-model.pt", "size": len(body)})

    def listed(headers: Any, body: bytes) -> Answer:
        return Answer(body={"files": [{"path": p, "size": len(b)} for p, b in stored.items()], "links": []})

    script.answers["PUT /files/models/a-model.pt"] = put
    script.answers["GET /files"] = listed
    assert backend.upload(model, "models/a-model.pt")
    assert stored == {"models/a-model.pt": b"weights"}
    assert not backend.upload(model, "models/a-model.pt")
