"""Whole jobs on archives on servers with faults: the files written are those of the local archive."""

from __future__ import annotations

import itertools
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.remote.conftest import QUICK
from tests.support.catalog_items import WORLD
from tests.support.servers.faulty import HTML, Answer, Fault, Request, busy, folder_backend, serving
from tests.support.servers.s3 import BUCKET, S3Server, s3_server
from tests.support.servers.signed import Signatures, signed_backend
from tests.support.stac_api import StacApi, api_of_static, stac_api
from tests.support.tiny_archive import Layer, TinyArchive, chain, extent, load, node

from acreage.catalog import open_catalog
from acreage.catalog.access import configure, shared, use_between
from acreage.catalog.index import IndexPolicy
from acreage.catalog.items import Catalog
from acreage.cli.runtime import catalog_at
from acreage.core.errors import AcreageError, CatalogError
from acreage.core.settings import Settings
from acreage.engine.budget import Budget
from acreage.engine.inspection import inspect_items
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.run import RunResult, run_plan

DAYS = ("2019-03-02", "2019-03-12", "2019-03-22")
GRAPH = chain(
    load(["B04", "B08"], extent(128, 128), ["2019-03-01", "2019-04-01"]),
    node("resample_spatial", resolution=20, method="average"),
    node("save_result", format="netCDF"),
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three dates of Sentinel-2, 128 x 128 pixels, as static STAC."""
    rng = np.random.default_rng(5)
    made = TinyArchive(tmp_path_factory.mktemp("archive"))
    for n, day in enumerate(DAYS):
        layers = {b: Layer(rng.integers(1, 9000, (128, 128)).astype(np.uint16)) for b in ("B04", "B08")}
        layers["SCL"] = Layer(rng.choice([3, 4, 5], (64, 64)).astype(np.uint8), 20)
        made.s2(f"item-{n}", day, layers)
    return made.write()


def job(catalog: Catalog, out: Path, threads: int = 3, tolerance: int = 0) -> RunResult:
    plan = make_plan(parse_graph(GRAPH), catalog, Budget(10**9, threads, 32))
    return run_plan(plan, out, tolerance=tolerance)


@pytest.fixture(scope="module")
def expected(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("local") / "cube.nc"
    job(open_catalog(archive), out, threads=1)
    return out.read_bytes()


class Unlucky:
    """Every so manieth request meets the next of some faults, one file no more than three in a row.

    Threads in step would else give one file all the faults, until patience with it ends.
    """

    def __init__(self, every: int, *faults: Fault) -> None:
        self._count = itertools.count(1)
        self._every, self._faults = every, itertools.cycle(faults)
        self._in_row: Counter[str] = Counter()

    def __call__(self, request: Request) -> Fault | None:
        file = request.file
        unlucky = next(self._count) % self._every == 0 and self._in_row[file] < 3
        self._in_row[file] = self._in_row[file] + 1 if unlucky else 0
        return next(self._faults) if unlucky else None


BAD_DAY = (busy(503), Fault(cut=200), busy(429, 0.02), Fault(shift=3), Fault(cut=0), busy(502))


def test_over_http_with_faults_the_output_is_the_local_one(
    archive: Path, expected: bytes, tmp_path: Path
) -> None:
    before = shared().conduct.tally.snapshot()
    with serving(folder_backend(archive.parent), rule=Unlucky(3, *BAD_DAY)) as server:
        result = job(open_catalog(f"{server.address}/catalog.json"), tmp_path / "cube.nc")
        (use,) = use_between(before, shared().conduct.tally.snapshot()).values()
        assert use.requests == len(server.requests)
    assert result.failures == ()
    assert use.retries > 5
    (told,) = result.usage.remote.values()  # the run's own, without the search
    assert 0 < told.requests <= use.requests
    assert result.usage.remote_total == told
    assert (tmp_path / "cube.nc").read_bytes() == expected


@pytest.fixture(scope="module")
def store(archive: Path) -> Iterator[S3Server]:
    with s3_server(archive.parent) as server:
        yield server


@pytest.fixture
def s3(store: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    for name, value in store.environment().items():
        monkeypatch.setenv(name, value)
    yield store
    store.front.rule = None


def test_from_s3_with_faults_the_output_is_the_local_one(
    s3: S3Server, expected: bytes, tmp_path: Path
) -> None:
    s3.front.rule = Unlucky(3, *BAD_DAY)
    result = job(open_catalog(f"s3://{BUCKET}/catalog.json"), tmp_path / "cube.nc")
    assert result.failures == ()
    assert (tmp_path / "cube.nc").read_bytes() == expected
    assert all(i.href.startswith(f"s3://{BUCKET}/") for i in result.items_read)


def test_buckets_of_one_name_on_two_servers_have_an_index_each(
    archive: Path, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, index = f"s3://{BUCKET}/catalog.json", IndexPolicy(tmp_path / "index")
    assert len(open_catalog(address, index=index).search("SENTINEL2_L2A", WORLD, bands=("B04",)).items) == 3
    with serving(lambda _: Answer(404)) as other:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", other.address)
        configure(replace(QUICK, backoff_s=0.012))  # as another process: the environment is read once
        with pytest.raises(CatalogError, match="is not there"):
            open_catalog(address, index=index)
        entry = {"catalog": address, "access": {"endpoint": other.address}}
        (tmp_path / "c.json").write_text(json.dumps({"collections": {"SENTINEL2_L2A": entry}}))
        with pytest.raises(CatalogError, match="is not there"):
            open_catalog(tmp_path / "c.json", index=index)


def test_an_api_whose_assets_lie_in_a_bucket_of_a_configuration(
    s3: S3Server, archive: Path, expected: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("EO_KEY", s3.key)
    monkeypatch.setenv("EO_SECRET", s3.secret)
    with stac_api(in_bucket(archive)) as api:
        entry = {
            "catalog": api.address,
            "access": {
                "endpoint": s3.address,
                "credentials": {"access_key": {"env": "EO_KEY"}, "secret_key": {"env": "EO_SECRET"}},
                "requests_per_second": 1000,
                "connections": 4,
            },
        }
        config = tmp_path / "catalogs.json"
        config.write_text(json.dumps({"collections": {"SENTINEL2_L2A": entry}}))
        job(open_catalog(config), tmp_path / "cube.nc")
        assert (tmp_path / "cube.nc").read_bytes() == expected
        assert not any("authorization" in seen for seen in api.headers_seen)
        monkeypatch.setenv("EO_SECRET", "mistyped")
        with pytest.raises(AcreageError, match="SignatureDoesNotMatch") as caught:
            job(open_catalog(changed(config)), tmp_path / "wrong.nc")
        assert "Check the credentials in EO_KEY and EO_SECRET" in str(caught.value)
        assert "mistyped" not in str(caught.value)


def changed(config: Path) -> Path:
    """A configuration that differs, so that nothing kept for the first is used."""
    text = config.read_text().replace('"connections": 4', '"connections": 5')
    other = config.with_name("other.json")
    other.write_text(text)
    return other


def in_bucket(archive: Path) -> StacApi:
    """The archive as an API whose hrefs are `s3://` addresses."""
    api = api_of_static(archive.parent, ["sentinel-2-l2a"])
    for item in api.items:
        for asset in item["assets"].values():
            path = Path(asset["href"].removeprefix("file://"))
            asset["href"] = f"s3://{BUCKET}/{path.relative_to(archive.parent).as_posix()}"
    return api


def test_signatures_that_expire_in_the_middle_of_a_job_are_renewed(
    archive: Path, expected: bytes, tmp_path: Path
) -> None:
    signatures = Signatures()

    def expire_now_and_then(request: Request) -> Fault | None:
        if next(count) % 12 == 0:
            signatures.expire()
        return None

    count = itertools.count(1)
    with serving(signed_backend(archive.parent, signatures), rule=expire_now_and_then) as server:
        result = job(open_catalog(f"{server.address}/catalog.json"), tmp_path / "cube.nc")
    assert (tmp_path / "cube.nc").read_bytes() == expected
    assert signatures.generation > 2
    assert signatures.refused > 0
    assert "sig=" not in repr(result)


def test_a_token_service_of_a_configuration_signs_a_whole_job(
    archive: Path, expected: bytes, tmp_path: Path
) -> None:
    signatures = Signatures()
    plain = folder_backend(archive.parent)

    def answer(request: Request) -> Answer:
        signing = signed_backend(archive.parent, signatures)
        return plain(request) if request.file.endswith(".json") else signing(request)

    with serving(answer, rule=Unlucky(9, busy(503))) as server:
        entry = {
            "catalog": f"{server.address}/catalog.json",
            "access": {"signing": "planetary-computer", "token_service": f"{server.address}/token"},
        }
        config = tmp_path / "catalogs.json"
        config.write_text(json.dumps({"collections": {"SENTINEL2_L2A": entry}}))
        job(open_catalog(config), tmp_path / "cube.nc")
    assert (tmp_path / "cube.nc").read_bytes() == expected
    assert len(signatures.given) == 1


def test_faults_of_files_are_named_with_item_band_and_address(archive: Path, tmp_path: Path) -> None:
    def page(request: Request) -> Fault | None:
        if "item-1/red.tif" in request.path:
            return HTML
        if "item-2/nir.tif" in request.path:
            return Fault(Answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>"))
        return None

    with serving(folder_backend(archive.parent), rule=page) as server:
        catalog = open_catalog(f"{server.address}/catalog.json")
        with pytest.raises(AcreageError) as caught:
            job(catalog, tmp_path / "cube.nc")
        told = str(caught.value)
        assert "item-1" in told or "item-2" in told
        result = job(catalog, tmp_path / "cube.nc", tolerance=2)
    reasons = {(item, band): reason for item, band, reason, *_ in map(tuple, result.failures)}
    assert "is no image but a text" in reasons["item-1", "B04"]
    assert f"{server.address}/sentinel-2-l2a/item-1/red.tif" in reasons["item-1", "B04"]
    assert "refuses access: it answers HTTP 403 AccessDenied" in reasons["item-2", "B08"]


def test_what_is_wrong_with_remote_files_is_found_before_the_first_window(
    archive: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short"
    shutil.copytree(archive.parent, short)
    cut = short / "sentinel-2-l2a" / "item-2" / "nir.tif"
    cut.write_bytes(cut.read_bytes()[:-3000])

    def page(request: Request) -> Fault | None:
        return HTML if "item-1/red.tif" in request.path else None

    with serving(folder_backend(short), rule=page) as server:
        found = open_catalog(f"{server.address}/catalog.json").search(
            "SENTINEL2_L2A", WORLD, bands=("B04", "B08")
        )
        problems = inspect_items(found.items, ("B04", "B08"), WORLD, threads=2)
    kinds = {(p.item, p.asset): p.kind for p in problems}
    assert kinds["item-1", "B04"] == "not-an-image"
    assert kinds["item-2", "B08"] == "truncated"
    assert ("item-0", "B04") not in kinds


def test_the_settings_of_a_command_are_the_policy_of_its_process(archive: Path) -> None:
    settings = Settings(
        remote_connections=3, remote_requests_per_second=7.5, remote_patience_s=12.0, threads=1
    )
    catalog_at(str(archive), settings)
    policy = shared().policy
    assert (policy.connections, policy.requests_per_second, policy.patience_s) == (3, 7.5, 12.0)


def test_a_busy_api_and_busy_documents_keep_one_policy(archive: Path) -> None:
    with stac_api(in_bucket(archive)) as api:
        api.refusals += [(429, {"Retry-After": "0"}, ""), (503, {}, "")]
        before = shared().conduct.tally.snapshot()
        catalog = open_catalog(api.address)
        assert len(catalog.search("SENTINEL2_L2A", WORLD, bands=("B04",)).items) == 3
        (use,) = use_between(before, shared().conduct.tally.snapshot()).values()
        assert use.retries == 2
        assert use.requests == len(api.requests)
        api.refusals += [(503, {}, "down")] * 20
        with pytest.raises(CatalogError, match=r"503|down"):
            catalog.search("SENTINEL2_L2A", WORLD, bands=("B04",))
        assert len(api.refusals) == 20 - QUICK.attempts


def test_headers_of_remote_files_are_read_where_items_say_too_little(archive: Path, tmp_path: Path) -> None:
    def without_shape(answer: Answer) -> Answer:
        item: dict[str, Any] = json.loads(answer.body)
        for asset in item["assets"].values():
            asset.pop("proj:shape")
        return Answer(200, answer.headers, json.dumps(item).encode())

    def rule(request: Request) -> Fault | None:
        if request.path.endswith("item-1.json"):
            return Fault(change=without_shape)
        return HTML if "item-1/nir.tif" in request.path else None

    with serving(folder_backend(archive.parent), rule=rule) as server:
        found = open_catalog(f"{server.address}/catalog.json").search(
            "SENTINEL2_L2A", WORLD, bands=("B04", "B08")
        )
    assert [len(i.rasters) for i in found.items] == [2, 1, 2]
    (problem,) = found.problems
    assert (problem.item, problem.asset, problem.kind) == ("item-1", "B08", "not-an-image")
    assert "nir.tif" in problem.reason
