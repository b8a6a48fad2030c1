"""Results of batch jobs in a bucket, through a real S3 server that checks signatures."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import rasterio
import requests
from botocore.config import Config
from tests.support.in_process import ask, engineless
from tests.support.oidc_server import Served, running_server, small_graph, tiny_catalog
from tests.support.servers.faulty import Answer, Fault, Request
from tests.support.servers.s3 import BUCKET, REGION, S3Server, s3_server

from acreage.backend.accounts.users import Accounts, Passwords, User
from acreage.backend.bucket import Bucket
from acreage.backend.bucket_address import BucketAddress
from acreage.backend.database.session import open_database
from acreage.backend.database.tables import JobRow
from acreage.backend.errors import ResultStoreFailed
from acreage.backend.housekeeping import Housekeeper, Limits
from acreage.backend.jobs.store import JobStore
from acreage.backend.storage import Storage
from acreage.core.errors import FileNotFound, InvalidInput

DENIED = Fault(Answer(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>"))


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("empty")) as running:
        yield running


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_catalog(tmp_path_factory.mktemp("archive"))


def of_server(s3: S3Server, prefix: str, **more: str) -> dict[str, str]:
    """Settings of a server whose results go to the bucket."""
    return {
        "ACREAGE_SERVER_RESULTS": f"s3://{BUCKET}/{prefix}",
        "ACREAGE_SERVER_RESULTS_ENDPOINT": s3.address,
        "ACREAGE_SERVER_RESULTS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": s3.key,
        "AWS_SECRET_ACCESS_KEY": s3.secret,
        **more,
    }


@pytest.fixture(scope="module")
def served(s3: S3Server, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with running_server(tmp_path_factory.mktemp("served"), archive, **of_server(s3, "of/server")) as running:
        yield running


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret)
    return Bucket(BucketAddress(BUCKET, f"own/{tmp_path.name}", s3.address, REGION))


def keys(s3: S3Server, prefix: str) -> list[str]:
    """Keys below a prefix, as another client sees them."""
    client = boto3.client(
        "s3",
        endpoint_url=s3.address,
        region_name=REGION,
        aws_access_key_id=s3.key,
        aws_secret_access_key=s3.secret,
        config=Config(s3={"addressing_style": "path"}),
    )
    found = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return sorted(o["Key"] for o in found)


def results(served: Served, token: str, job: str) -> dict[str, Any]:
    document: dict[str, Any] = served.ask("GET", f"/jobs/{job}/results", token).json()
    return document


def test_results_in_the_bucket_are_loaded_by_other_jobs(served: Served) -> None:
    token = served.login("carla")
    first = served.run_job(token, {"process": small_graph()})
    graph = {
        "load": {"process_id": "load_stac", "arguments": {"url": f"{served.url}/jobs/{first}/results"}},
        "save": {
            "process_id": "save_result",
            "arguments": {"data": {"from_node": "load"}, "format": "GTiff"},
            "result": True,
        },
    }
    second = served.run_job(token, {"process": {"process_graph": graph}})
    pixels = []
    for job in (first, second):
        (asset,) = served.ask("GET", f"/jobs/{job}/results", token).json()["assets"].values()
        with rasterio.open(io.BytesIO(requests.get(asset["href"], timeout=60).content)) as file:
            pixels.append((file.read().tolist(), file.descriptions, file.tags().get("datetime")))
    assert pixels[0] == pixels[1]
    other = served.login("dora")
    answer = served.ask("POST", "/result", other, json={"process": {"process_graph": graph}})
    assert (answer.status_code, answer.json()["code"]) == (404, "JobNotFound")


def test_results_lie_in_the_bucket_and_come_whole_or_in_parts(served: Served, s3: S3Server) -> None:
    token = served.login("carla")
    job = served.run_job(token, {"process": small_graph()})
    (asset,) = results(served, token, job)["assets"].values()
    whole = requests.get(asset["href"], timeout=60)
    assert whole.status_code == 200
    assert asset["file:checksum"] == "1220" + hashlib.sha256(whole.content).hexdigest()
    assert whole.headers["Content-Type"].startswith("image/tiff")
    part = requests.get(asset["href"], headers={"Range": "bytes=10-19"}, timeout=60)
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.content)}"
    head = requests.head(asset["href"], timeout=60)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(whole.content)))
    beyond = requests.get(asset["href"], headers={"Range": "bytes=99999999-"}, timeout=60)
    assert (beyond.status_code, beyond.json()["code"]) == (416, "RangeNotSatisfiable")
    assert requests.get(asset["href"].replace("signature=", "signature=0"), timeout=60).status_code == 403
    stored = keys(s3, f"of/server/{job}/")
    assert {k.rpartition("/")[2] for k in stored} == {asset["title"], "inputs.json"}
    assert not list((served.storage / "jobs" / job).glob("attempt-*/results/*"))
    texts = [served.output.read_bytes(), served.ask("GET", f"/jobs/{job}/logs", token).content]
    texts += [p.read_bytes() for p in served.storage.rglob("*") if p.is_file()]
    assert not [t for t in texts if s3.secret.encode() in t]
    assert served.ask("DELETE", f"/jobs/{job}", token).status_code == 204
    assert keys(s3, f"of/server/{job}/") == []
    assert requests.get(asset["href"], timeout=60).status_code == 404


def wait(served: Served, token: str, job: str) -> str:
    until = time.monotonic() + 120
    while (state := served.ask("GET", f"/jobs/{job}", token).json()["status"]) in ("queued", "running"):
        assert time.monotonic() < until
        time.sleep(0.2)
    return str(state)


def test_a_store_that_refuses_fails_the_job_with_the_reason_and_leaves_nothing_half(
    served: Served, s3: S3Server
) -> None:
    token = served.login("dora")

    def refuse(request: Request) -> Fault | None:
        return DENIED if request.method == "PUT" and request.path.endswith("inputs.json") else None

    s3.front.rule = refuse
    try:
        job = served.run_job(token, {"process": small_graph()})
    finally:
        s3.front.rule = None
    assert served.ask("GET", f"/jobs/{job}", token).json()["status"] == "error"
    answer = served.ask("GET", f"/jobs/{job}/results", token)
    assert answer.status_code == 424
    assert "AccessDenied" in answer.json()["message"]
    assert "rights" in answer.json()["message"]
    logs = served.ask("GET", f"/jobs/{job}/logs?level=error", token).json()["logs"]
    assert len(logs) == 1


def test_a_job_killed_while_it_uploads_is_done_again_and_the_halves_are_swept(
    served: Served, s3: S3Server
) -> None:
    token = served.login("carla")
    seen: list[Request] = []

    def slow(request: Request) -> Fault | None:
        if request.method == "PUT" and request.path.endswith("inputs.json") and not seen:
            seen.append(request)
            return Fault(DENIED.answer, delay=20)
        return None

    made = served.ask("POST", "/jobs", token, json={"process": small_graph()})
    job = made.headers["OpenEO-Identifier"]
    s3.front.rule = slow
    try:
        served.ask("POST", f"/jobs/{job}/results", token)
        until = time.monotonic() + 60
        while not seen:
            assert time.monotonic() < until
            time.sleep(0.05)
        (process,) = [p for p in psutil.process_iter(["cmdline"]) if job in " ".join(p.info["cmdline"] or ())]
        os.kill(process.pid, signal.SIGKILL)
        assert wait(served, token, job) == "finished"
    finally:
        s3.front.rule = None
    assert len({k.split("/")[3] for k in keys(s3, f"of/server/{job}/")}) == 2
    database = open_database(f"sqlite:///{served.storage / 'acreage.db'}")
    store = JobStore(database, 10, 2, timedelta(seconds=30))
    place = store.get("carla", job).result["place"]  # type: ignore[index]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", s3.key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret)
        bucket = Bucket(BucketAddress(BUCKET, "of/server", s3.address, REGION))
        swept(store, served.storage, bucket)
    database.close()
    assert {k.split("/")[3] for k in keys(s3, f"of/server/{job}/")} == {place}
    (asset,) = results(served, token, job)["assets"].values()
    assert requests.get(asset["href"], timeout=60).status_code == 200


def swept(store: JobStore, folder: Path, bucket: Bucket) -> None:
    """One round of a housekeeper to whom everything is old."""
    limits = Limits(leftovers=timedelta(seconds=-5))
    Housekeeper(store, Storage.at(folder), bucket, limits, lambda: None, lambda ids: ids).round()


def test_links_may_lead_to_the_store_itself(bucket: Bucket, s3: S3Server, tmp_path: Path) -> None:
    server = engineless(
        tmp_path / "s",
        results=str(bucket.address),
        results_endpoint=s3.address,
        results_region=REGION,
        results_redirect=True,
    )
    job = server.jobs.create("anna", process={}, options={})
    (tmp_path / "a b.tif").write_bytes(b"content")
    assert server.bucket is not None
    server.bucket.upload(job.id, "1-a", [tmp_path / "a b.tif"], {})
    with server.database.write() as session:
        row = session.get(JobRow, job.id)
        assert row is not None
        row.status, row.attempt, row.result = "finished", 1, {"place": "1-a", "files": [{"name": "a b.tif"}]}
    query = {"user": "anna", "attempt": "1", **server.signer.sign("anna", job.id, "1", "a b.tif")}
    answer = ask(server, f"/jobs/{job.id}/results/assets/a b.tif", params=query)
    assert answer.status_code == 307
    address = answer.headers["location"]
    assert address.startswith(s3.address)
    assert requests.get(address, timeout=60).content == b"content"
    assert requests.get(address.replace("Signature=", "Signature=0"), timeout=60).status_code == 403
    server.database.close()


def test_what_no_record_names_is_swept_and_nothing_else(bucket: Bucket, s3: S3Server, tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'test.db'}")
    Accounts(database, Passwords.of({}), timedelta(days=1)).known(User("anna", "anna", "basic"))
    store = JobStore(database, 10, 2, timedelta(seconds=30))
    ids = {what: store.create("anna", process={}, options={}).id for what in ("done", "failed", "running")}
    with database.write() as session:
        for what, status in (("done", "finished"), ("failed", "error"), ("running", "running")):
            job = session.get(JobRow, ids[what])
            assert job is not None
            job.status, job.result = status, {"place": "1-new"} if what == "done" else None
    file = tmp_path / "a.tif"
    file.write_bytes(b"x" * 1000)
    for job_id, place in (
        (ids["done"], "1-new"),
        (ids["done"], "1-old"),
        (ids["failed"], "1-a"),
        (ids["running"], "1-a"),
        ("j-forgotten", "1-a"),
    ):
        bucket.upload(job_id, place, [file], {"a.tif": "image/tiff"})
    bucket.claim("me")
    Housekeeper(store, Storage.at(tmp_path / "s"), bucket, Limits(), lambda: None, lambda ids: ids).round()
    assert len(bucket.places()) == 5  # young: their processes may be at work
    # An upload in parts that its process, killed, did not end.
    begun = bucket._client.create_multipart_upload(
        Bucket=BUCKET, Key=f"{bucket.address.prefix}/j-gone/1-a/b.tif"
    )
    swept(store, tmp_path / "s", bucket)
    assert set(bucket.places()) == {(ids["done"], "1-new"), (ids["running"], "1-a")}
    assert f"{bucket.address.prefix}/acreage-installation" in keys(s3, bucket.address.prefix)
    with pytest.raises(Exception, match="NoSuchUpload"):
        bucket._client.list_parts(
            Bucket=BUCKET, Key=f"{bucket.address.prefix}/j-gone/1-a/b.tif", UploadId=begun["UploadId"]
        )
    database.close()


def test_files_in_many_parts_are_put_and_read_whole(bucket: Bucket, tmp_path: Path) -> None:
    file = tmp_path / "large.tif"
    content = os.urandom(1 << 20) * 20
    file.write_bytes(content)
    bucket.upload("j-1", "1-a", [file], {})
    found = bucket.open("j-1", "1-a", "large.tif", None, head=False)
    assert b"".join(found.chunks) == content
    bucket.remove("j-1")
    with pytest.raises(FileNotFound):
        bucket.open("j-1", "1-a", "large.tif", None, head=False)


def test_a_prefix_belongs_to_one_installation(bucket: Bucket) -> None:
    bucket.claim("one")
    bucket.claim("one")
    with pytest.raises(InvalidInput, match="another installation"):
        bucket.claim("two")


def test_a_store_that_cannot_be_used_is_told_without_secrets(
    bucket: Bucket, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret-of-this-user")
    wrong = Bucket(bucket.address)
    with pytest.raises(ResultStoreFailed, match="credentials") as told:
        wrong.claim("me")
    assert "not-the-secret" not in str(told.value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret)
    with pytest.raises(ResultStoreFailed, match="NoSuchBucket"):
        Bucket(BucketAddress("no-such-bucket", "", s3.address, REGION)).places()
    monkeypatch.setattr("acreage.backend.bucket._ATTEMPTS", 1)
    with pytest.raises(ResultStoreFailed, match="cannot be read"):
        Bucket(BucketAddress(BUCKET, "", "http://127.0.0.1:9", REGION)).claim("me")
    for address in ("http://bucket/a", "s3://", "s3://u:p@bucket/a", "s3://bucket/a?b=c"):
        with pytest.raises(InvalidInput, match="names no bucket"):
            BucketAddress.of(address)


def test_a_server_whose_bucket_cannot_be_read_is_not_ready(
    bucket: Bucket, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acreage.backend.bucket._LOOK_EVERY_S", 0)
    server = engineless(
        tmp_path / "s", results=str(bucket.address), results_endpoint=s3.address, results_region=REGION
    )
    server.dispatcher.start()
    try:
        assert ask(server, "/ready").json() == {"status": "ok", "problems": {}, "warnings": {}}
        s3.front.rule = lambda request: DENIED
        answer = ask(server, "/ready")
        assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
        assert answer.json()["problems"] == {"results": "the bucket cannot be read"}
        s3.front.rule = lambda request: Fault(DENIED.answer, delay=10)
        began = time.monotonic()
        assert ask(server, "/ready").status_code == 503
        assert time.monotonic() - began < 10, "a store that hangs is not waited for"
        s3.front.rule = None
        assert ask(server, "/ready").status_code == 200
        asked = len(s3.front.requests)
        monkeypatch.setattr("acreage.backend.bucket._LOOK_EVERY_S", 60)
        assert ask(server, "/ready").status_code == 200
        assert len(s3.front.requests) == asked
    finally:
        s3.front.rule = None
        server.dispatcher.stop()
        server.database.close()


def test_ages_are_those_of_the_store(bucket: Bucket, tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    file.write_bytes(b"x")
    bucket.upload("j-1", "1-a", [file], {})
    (changed,) = bucket.places().values()
    assert abs(datetime.now(UTC) - changed) < timedelta(minutes=1)
