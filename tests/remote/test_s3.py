"""Rasters and catalogs from a server that speaks S3's protocol and checks its signatures."""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window
from tests.remote.conftest import QUICK, Files
from tests.remote.test_ranges import FAULTS, WINDOWS, cut_of
from tests.support.servers.faulty import Answer, Fault, Request, busy
from tests.support.servers.s3 import BUCKET, REGION, S3Server, s3_server

from acreage.catalog.access import Access, AccessConfig, AccessFailed, RemoteRasters, Transport, access_for
from acreage.catalog.access.address import s3_url
from acreage.catalog.access.stores import Reach
from acreage.catalog.fetch import Fetcher

Make = Callable[..., RemoteRasters]
ADDRESS = f"s3://{BUCKET}/a.tif"


@pytest.fixture(scope="module")
def running(files: Files) -> Iterator[S3Server]:
    with s3_server(files.folder) as server:
        yield server


@pytest.fixture
def s3(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The server, its credentials in the environment as AWS's tools take them."""
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    running.front.requests.clear()
    yield running
    running.front.faults, running.front.rule = deque(), None
    running.requester_pays = False


def read(rasters: RemoteRasters, address: str = ADDRESS, access: Access | None = None, row: int = 0) -> Any:
    with rasters.dataset(address, access) as dataset:
        return dataset.read(1, window=Window(0, row, 900, 40))


@pytest.mark.parametrize("name", ["a.tif", "a.jp2"])
def test_an_object_is_read_with_the_standard_environment(
    s3: S3Server, files: Files, rasters: Make, name: str
) -> None:
    np.testing.assert_array_equal(read(rasters(), f"s3://{BUCKET}/{name}"), files.pixels[:40])
    assert all(r.headers["authorization"].startswith("AWS4-HMAC-SHA256") for r in s3.front.requests)


def test_credentials_and_endpoint_come_from_where_a_configuration_says(
    running: S3Server, files: Files, rasters: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", running.key)
    monkeypatch.setenv("MY_SECRET", running.secret)
    config = AccessConfig.model_validate(
        {
            "endpoint": running.address,
            "region": REGION,
            "credentials": {"access_key": {"env": "MY_KEY"}, "secret_key": {"env": "MY_SECRET"}},
        }
    )
    access = access_for(ADDRESS, config)
    np.testing.assert_array_equal(read(rasters(), ADDRESS, access), files.pixels[:40])
    assert running.key not in repr(access)
    assert running.secret not in repr(access)
    monkeypatch.delenv("MY_SECRET")
    with pytest.raises(AccessFailed, match=r"archive/a\.tif cannot be signed for: .*MY_SECRET is not set"):
        read(rasters(), ADDRESS, access)


def test_a_profile_of_aws_is_used(
    running: S3Server, files: Files, rasters: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text(
        f"[reader]\naws_access_key_id = {running.key}\naws_secret_access_key = {running.secret}\n"
    )
    (tmp_path / "config").write_text(
        f"[profile reader]\nregion = {REGION}\nendpoint_url = {running.address}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    config = AccessConfig.model_validate({"credentials": {"profile": "reader"}})
    np.testing.assert_array_equal(read(rasters(), ADDRESS, access_for(ADDRESS, config)), files.pixels[:40])
    config = AccessConfig.model_validate({"credentials": {"profile": "nobody"}})
    with pytest.raises(AccessFailed, match=r"cannot be signed for.*nobody"):
        read(rasters(), ADDRESS, access_for(ADDRESS, config))


@pytest.mark.parametrize(
    ("variable", "code"),
    [("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch"), ("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId")],
)
def test_wrong_credentials_are_told_and_never_shown(
    s3: S3Server, rasters: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    variable: str, code: str,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(variable, "wrongwrongwrong")
    with pytest.raises(AccessFailed, match=f"refuses access: it answers HTTP 403 {code}") as caught:
        read(rasters())
    assert "Check the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in str(caught.value)
    # The server runs in this process; what it logs is its own affair.
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith(("moto", "werkzeug"))]
    told = str(caught.value) + "".join(ours)
    assert "wrongwrongwrong" not in told
    assert s3.secret not in told
    signatures = [r.headers["authorization"].rpartition("Signature=")[2] for r in s3.front.requests]
    assert signatures
    assert not any(s in told for s in signatures)
    assert len(s3.front.requests) == 1, "the same credentials are not tried twice"


def test_without_credentials_it_is_told_where_they_were_looked_for(
    s3: S3Server, rasters: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessFailed, match="No credentials were found: set AWS_ACCESS_KEY_ID"):
        read(rasters())


def test_new_credentials_are_taken_when_the_old_ones_end(
    s3: S3Server, files: Files, rasters: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, ended = rasters(), Answer(400, {}, b"<Error><Code>ExpiredToken</Code></Error>")
    read(pool)
    s3.front.rule = lambda _: Fault(ended)
    with pytest.raises(AccessFailed, match="HTTP 400 ExpiredToken"):
        read(pool, row=300)

    def old_is_out(request: Request) -> Fault | None:
        return Fault(ended) if f"={s3.key}/" in request.headers["authorization"] else None

    s3.front.rule = old_is_out
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.other[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.other[1])
    np.testing.assert_array_equal(read(pool, row=300), files.pixels[300:340])
    assert f"={s3.other[0]}/" in s3.front.requests[-1].headers["authorization"]


def test_a_bucket_whose_readers_pay_needs_their_consent(s3: S3Server, files: Files, rasters: Make) -> None:
    s3.requester_pays = True
    with pytest.raises(AccessFailed, match=r"HTTP 403 AccessDenied.*needs requester_pays"):
        read(rasters())
    access = access_for(ADDRESS, AccessConfig(requester_pays=True))
    np.testing.assert_array_equal(read(rasters(), ADDRESS, access), files.pixels[:40])
    signed = s3.front.requests[-1].headers["authorization"]
    assert "x-amz-request-payer" in signed


def test_an_object_that_is_not_there_is_told(s3: S3Server, rasters: Make) -> None:
    with pytest.raises(AccessFailed, match=r"archive/no\.tif is not there: it answers HTTP 404 NoSuchKey"):
        read(rasters(), f"s3://{BUCKET}/no.tif")


@settings(max_examples=15)
@given(faults=st.lists(FAULTS, max_size=5), window=WINDOWS, name=st.sampled_from(["a.tif", "a.jp2"]))
def test_pixels_are_those_of_the_object_whatever_goes_wrong_on_the_way(
    running: S3Server, files: Files, faults: list[Fault | None], window: Window, name: str
) -> None:
    access = Access(
        signing="s3", endpoint=running.address, region=REGION, access_key="HYPO_KEY", secret_key="HYPO_SECRET"
    )
    pool = RemoteRasters(Transport(QUICK))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYPO_KEY", running.key)
        patch.setenv("HYPO_SECRET", running.secret)
        running.front.faults = deque(faults)
        with pool.dataset(f"s3://{BUCKET}/{name}", access) as dataset:
            found = dataset.read(1, window=window)
        running.front.faults = deque()
    pool.close()
    np.testing.assert_array_equal(found, files.pixels[cut_of(window)])


def test_a_throttling_store_is_given_its_pause(s3: S3Server, files: Files, rasters: Make) -> None:
    slow = Answer(503, {"Retry-After": "0.4"}, b"<Error><Code>SlowDown</Code></Error>")
    s3.front.faults = deque([Fault(slow)])
    np.testing.assert_array_equal(read(rasters()), files.pixels[:40])
    first, second = s3.front.requests[:2]
    assert second.at - first.at >= 0.39


def test_signed_addresses_that_expire_while_a_file_is_read_are_asked_for_anew(
    running: S3Server, files: Files, rasters: Make, tmp_path: Path
) -> None:
    """An item on disk whose hrefs are signed anew by its publisher, as services do it."""
    item = tmp_path / "item.json"

    def publish(seconds: int) -> str:
        href = running.presigned("a.tif", seconds)
        item.write_text(json.dumps({"assets": {"red": {"href": href}}}))
        return href

    place, access = Reach().place(publish(1), str(item))
    assert place == f"{running.address}/{BUCKET}/a.tif"
    assert access is not None
    pool = rasters()
    with pool.dataset(place, access) as dataset:
        publish(3600)
        rows = [dataset.read(1, window=Window(0, row, 900, 40)) for row in (0, 130, 260)]
        # The first signature has ended by now, or is replaced shortly before it does.
        threading.Event().wait(1.2)
        rows += [dataset.read(1, window=Window(0, row, 900, 40)) for row in (390, 520, 650)]
    for row, found in zip((0, 130, 260, 390, 520, 650), rows, strict=True):
        np.testing.assert_array_equal(found, files.pixels[row : row + 40])
    use = pool.transport.conduct.tally.snapshot()
    assert sum(u.renewals for u in use.values()) == 1


def test_a_forged_signed_address_is_refused(running: S3Server, rasters: Make, tmp_path: Path) -> None:
    href = running.presigned("a.tif", 3600)[:-4] + "0000"
    item = tmp_path / "item.json"
    item.write_text(json.dumps({"assets": {"red": {"href": href}}}))
    place, access = Reach().place(href, str(item))
    with pytest.raises(AccessFailed, match="HTTP 403 SignatureDoesNotMatch") as caught:
        read(rasters(), place, access)
    assert "X-Amz" not in str(caught.value)


def test_the_region_that_a_bucket_tells_is_used(s3: S3Server, files: Files, rasters: Make) -> None:
    def elsewhere(request: Request) -> Fault | None:
        if f"/{REGION}/s3/" in request.headers["authorization"]:
            return None
        return Fault(
            Answer(301, {"x-amz-bucket-region": REGION}, b"<Error><Code>PermanentRedirect</Code></Error>")
        )

    s3.front.rule = elsewhere
    access = replace(access_for(ADDRESS), region="us-east-1")
    np.testing.assert_array_equal(read(rasters(), ADDRESS, access), files.pixels[:40])
    assert len([r for r in s3.front.requests if "us-east-1" in r.headers["authorization"]]) == 1


def test_documents_are_read_from_buckets_too(s3: S3Server) -> None:
    with pytest.raises(Exception, match=r"s3://archive/a\.tif is not JSON"):
        Fetcher().read_json(ADDRESS)


def test_threads_share_the_limits_of_a_store(s3: S3Server, files: Files, rasters: Make) -> None:
    pool = rasters(connections=2)
    s3.front.faults = deque([busy(503)] * 3)
    with ThreadPoolExecutor(8) as threads:
        rows = list(threads.map(lambda n: read(pool, ADDRESS, None, 80 * n), range(8)))
    for n, found in enumerate(rows):
        np.testing.assert_array_equal(found, files.pixels[80 * n : 80 * n + 40])
    assert s3.front.most >= 1


@pytest.mark.parametrize(
    ("access", "url"),
    [
        (Access(addressing="virtual"), "https://b.s3.eu-west-1.amazonaws.com/x%20y/z.tif"),
        (Access(), "https://s3.eu-west-1.amazonaws.com/b/x%20y/z.tif"),
        (Access(endpoint="http://h:9/pre/"), "http://h:9/pre/b/x%20y/z.tif"),
        (Access(endpoint="https://h", addressing="virtual"), "https://b.h/x%20y/z.tif"),
    ],
)
def test_objects_have_their_address_in_either_style(access: Access, url: str) -> None:
    assert s3_url("s3://b/x y/z.tif", access, "eu-west-1") == url


def test_a_bucket_with_dots_is_named_in_the_path() -> None:
    assert (
        s3_url("s3://a.b/c", Access(addressing="virtual"), "") == "https://s3.us-east-1.amazonaws.com/a.b/c"
    )
