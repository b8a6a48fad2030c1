"""Signatures that expire: renewed once for all threads, while files stay open; and no secret is ever told."""

from __future__ import annotations

import json
import logging
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.windows import Window
from tests.remote.conftest import Files
from tests.support.catalog_items import WORLD
from tests.support.servers.faulty import Answer, Fault, FaultyServer, Request, busy, folder_backend, serving
from tests.support.servers.signed import Signatures, signed_backend
from tests.support.tiny_archive import Layer, TinyArchive

from acreage.catalog import open_catalog
from acreage.catalog.access import (
    Access,
    AccessConfig,
    AccessFailed,
    RemoteRasters,
    access_for,
    split_signature,
)
from acreage.catalog.access.address import expiry, shown, unsigned, without_queries
from acreage.catalog.access.stores import Reach
from acreage.core.errors import CatalogError, ItemUnreadable
from acreage.engine.readers import read_raster

Make = Callable[..., RemoteRasters]


def read(rasters: RemoteRasters, address: str, access: Access, row: int = 0) -> Any:
    with rasters.dataset(address, access) as dataset:
        return dataset.read(1, window=Window(0, row, 900, 40))


@pytest.fixture
def container(files: Files, tmp_path: Path) -> Path:
    """The files in a container, as storage accounts have them."""
    (tmp_path / "box").mkdir()
    for name in ("a.tif", "a.jp2"):
        (tmp_path / "box" / name).write_bytes((files.folder / name).read_bytes())
    return tmp_path


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    caplog.set_level(logging.DEBUG)
    return lambda: caplog.text


def tokens(server: FaultyServer) -> Access:
    return Access(signing="planetary-computer", token_service=f"{server.address}/token")


# --- token service ---


def test_a_container_is_signed_for_once(files: Files, container: Path, rasters: Make) -> None:
    signatures, pool = Signatures(), rasters()
    with serving(signed_backend(container, signatures)) as server:
        access = tokens(server)
        for name in ("a.tif", "a.jp2"):
            found = read(pool, f"{server.address}/box/{name}", access)
            np.testing.assert_array_equal(found, files.pixels[:40])
    assert len(signatures.given) == 1
    assert [u.renewals for u in pool.transport.conduct.tally.snapshot().values()] == [1]


def test_signatures_that_expire_are_renewed_once_for_all_threads(
    files: Files, container: Path, rasters: Make
) -> None:
    signatures, pool = Signatures(), rasters()
    gate = threading.Barrier(8)
    with serving(signed_backend(container, signatures), pause=0.005) as server:
        address, access = f"{server.address}/box/a.tif", tokens(server)

        def job(n: int) -> None:
            for round_ in range(3):
                if gate.wait(20) == 0:
                    signatures.expire()
                gate.wait(20)
                row = (n * 83 + round_ * 47) % 660
                np.testing.assert_array_equal(read(pool, address, access, row), files.pixels[row : row + 40])

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(job, range(8)))
    assert len(signatures.given) == 3
    refused = [u.renewals for u in pool.transport.conduct.tally.snapshot().values()]
    assert refused == [3]


def test_a_renewal_leaves_open_files_open(files: Files, container: Path, rasters: Make) -> None:
    signatures, pool = Signatures(), rasters()
    with serving(signed_backend(container, signatures)) as server:
        address, access = f"{server.address}/box/a.tif", tokens(server)
        with pool.dataset(address, access) as dataset:
            np.testing.assert_array_equal(dataset.read(1, window=Window(0, 0, 900, 40)), files.pixels[:40])
            signatures.expire()
            np.testing.assert_array_equal(
                dataset.read(1, window=Window(0, 400, 900, 40)), files.pixels[400:440]
            )
        starts = [r for r in server.asked("a.tif") if r.headers["range"].startswith("bytes=0-")]
        assert len(starts) == 1


def test_a_signature_is_renewed_before_it_ends(container: Path, rasters: Make) -> None:
    signatures, pool = Signatures(lifetime=0.6), rasters()
    with serving(signed_backend(container, signatures)) as server:
        address, access = f"{server.address}/box/a.tif", tokens(server)
        read(pool, address, access)
        pause = threading.Event()
        for row in (150, 300, 600):
            pause.wait(0.65)
            read(pool, address, access, row)
        assert len(signatures.given) == 4
        assert signatures.refused == 0


def test_a_service_whose_signatures_are_refused_is_told(container: Path, rasters: Make) -> None:
    signatures = Signatures()

    def forged(request: Request) -> Fault | None:
        return Fault(Answer(403, {}, b"<Error><Code>AuthenticationFailed</Code></Error>"))

    with serving(signed_backend(container, signatures), rule=forged, matching="tif") as server:
        with pytest.raises(
            AccessFailed, match="refuses access: it answers HTTP 403 AuthenticationFailed"
        ) as caught:
            read(rasters(), f"{server.address}/box/a.tif", tokens(server))
        assert "gave a signature that the store refuses" in str(caught.value)
        assert caught.value.status == 403
        assert len(server.asked("tif")) <= 4


@pytest.mark.parametrize("body", [b"{}", b"no JSON", b"[1]", b'{"token": "t", "msft:expiry": "soon"}'])
def test_a_token_service_that_gives_no_token_is_told(container: Path, rasters: Make, body: bytes) -> None:
    odd = Fault(Answer(200, {}, body))
    with (
        serving(signed_backend(container, Signatures()), [odd], matching="token") as server,
        pytest.raises(AccessFailed, match=r"a\.tif cannot be signed for: .*/token"),
    ):
        read(rasters(), f"{server.address}/box/a.tif", tokens(server))


def test_a_busy_token_service_is_asked_again(files: Files, container: Path, rasters: Make) -> None:
    with serving(
        signed_backend(container, Signatures()), [busy(429, 0), busy(503)], matching="token"
    ) as server:
        found = read(rasters(), f"{server.address}/box/a.tif", tokens(server))
        np.testing.assert_array_equal(found, files.pixels[:40])


# --- items that sign ---


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, Any]:
    """A catalog with one item of two bands, and the pixels of B04."""
    pixels = np.random.default_rng(1).integers(1, 9000, (512, 512)).astype(np.uint16)
    made = TinyArchive(tmp_path)
    made.s2("one", "2019-03-05", {"B04": Layer(pixels), "B08": Layer(pixels + 1)})
    made.write()
    return tmp_path, pixels


def test_hrefs_that_an_item_signs_are_asked_of_it_again(archive: tuple[Path, Any]) -> None:
    folder, pixels = archive
    signatures = Signatures()
    with serving(signed_backend(folder, signatures)) as server:
        found = open_catalog(f"{server.address}/catalog.json").search(
            "SENTINEL2_L2A", WORLD, bands=("B04", "B08")
        )
        (item,), problems = found.items, found.problems
        assert problems == ()
        asked = len(signatures.given)
        raster = item.rasters["B04"]
        for text in (repr(item), pickle.dumps(item).decode("latin-1")):
            assert "sig=" not in text
        values, _ = read_raster(raster, raster.box, "one", "B04")
        np.testing.assert_array_equal(values, pixels)
        assert len(signatures.given) == asked, "the signature from the search is good"
        signatures.expire()
        for band, add in (("B04", 0), ("B08", 1)):
            raster = pickle.loads(pickle.dumps(item.rasters[band]))
            box = replace(raster.box, y0=raster.box.y0 + 200)
            values, _ = read_raster(raster, box, "one", band)
            np.testing.assert_array_equal(values, pixels[200:] + add)
        assert len(signatures.given) == asked + 1, "one reading of the item renews all its assets"


def test_an_item_that_cannot_sign_any_longer_is_told_without_secrets(
    archive: tuple[Path, Any], logged: Callable[[], str]
) -> None:
    folder, _ = archive
    signatures = Signatures()
    with serving(signed_backend(folder, signatures)) as server:
        found = open_catalog(f"{server.address}/catalog.json").search("SENTINEL2_L2A", WORLD, bands=("B04",))
        raster = found.items[0].rasters["B04"]
        signatures.lifetime = -1.0
        signatures.expire()
        with pytest.raises(ItemUnreadable, match=r"Item one, band B04: .*refuses access") as caught:
            read_raster(raster, raster.box, "one", "B04")
        (folder / "sentinel-2-l2a" / "one" / "one.json").unlink()
        with pytest.raises(ItemUnreadable, match=r"cannot be signed for: .*one\.json is not there") as gone:
            read_raster(raster, raster.box, "one", "B04")
        signs = [q for r in server.requests if "sig=" in r.path for q in [r.path.partition("sig=")[2]]]
        assert signs
        told = str(caught.value) + repr(caught.value) + str(gone.value) + logged()
        assert not any(sign in told for sign in signs)
        assert "sig=" not in told


# --- fixed headers ---


def demanding(folder: Path, value: str) -> Callable[[Request], Answer]:
    plain = folder_backend(folder)

    def answer(request: Request) -> Answer:
        if request.headers.get("x-api-key") != value:
            return Answer(401, {"Content-Type": "text/plain"}, b"who are you?")
        return plain(request)

    return answer


def test_headers_come_from_the_environment(
    files: Files, rasters: Make, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    access = Access(signing="headers", headers=(("X-Api-Key", "ARCHIVE_KEY"),))
    with serving(demanding(files.folder, "topsecret")) as server:
        address = f"{server.address}/a.tif"
        with pytest.raises(AccessFailed, match="environment variable ARCHIVE_KEY is not set"):
            read(rasters(), address, access)
        monkeypatch.setenv("ARCHIVE_KEY", "wrongsecret")
        with pytest.raises(AccessFailed, match="HTTP 401 Unauthorized: 'who are you") as caught:
            read(rasters(), address, access)
        assert "Check the value of ARCHIVE_KEY" in str(caught.value)
        with pytest.raises(AccessFailed, match="asked for without credentials"):
            read(rasters(), address, Access())
        monkeypatch.setenv("ARCHIVE_KEY", "topsecret")
        np.testing.assert_array_equal(read(rasters(), address, access), files.pixels[:40])
        assert "topsecret" not in logged() + repr(access)
        assert "wrongsecret" not in str(caught.value) + logged()


def test_secrets_do_not_follow_a_redirection_to_another_host(
    files: Files, rasters: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHIVE_KEY", "topsecret")
    access = Access(signing="headers", headers=(("X-Api-Key", "ARCHIVE_KEY"),))
    with serving(folder_backend(files.folder)) as other:

        def moved(_: Request) -> Fault:
            return Fault(Answer(307, {"Location": f"{other.address}/a.tif"}))

        with serving(folder_backend(files.folder), rule=moved) as server:
            read(rasters(), f"{server.address}/a.tif", access)
            assert {r.headers.get("x-api-key") for r in server.requests} == {"topsecret"}
        assert {r.headers.get("x-api-key") for r in other.requests} == {None}


# --- which access an address has ---


@pytest.mark.parametrize(
    ("address", "signing", "endpoint"),
    [
        ("https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/x.tif", "planetary-computer", ""),
        ("s3://eodata/Sentinel-2/x.jp2", "s3", "https://eodata.dataspace.copernicus.eu"),
        ("s3://sentinel-cogs/x.tif", "none", ""),
        ("https://sentinel-cogs.s3.us-west-2.amazonaws.com/x.tif", "none", ""),
        ("s3://mine/x.tif", "s3", ""),
        ("https://example.org/x.tif?a=1", "none", ""),
    ],
)
def test_known_stores_are_reached_as_they_want(address: str, signing: str, endpoint: str) -> None:
    access = access_for(address)
    assert (access.signing, access.endpoint) == (signing, endpoint)


def test_a_configuration_wins_key_by_key() -> None:
    config = AccessConfig.model_validate({"token_service": "http://127.0.0.1/t", "connections": 2})
    access = access_for("https://x.blob.core.windows.net/c/x.tif", config)
    assert (access.signing, access.token_service, access.connections) == (
        "planetary-computer", "http://127.0.0.1/t", 2,
    )  # fmt: skip


def test_credentials_of_a_configuration_sign_for_a_bucket_that_is_public_elsewhere() -> None:
    keys = {"access_key": {"env": "A"}, "secret_key": {"env": "B"}}
    config = AccessConfig.model_validate({"endpoint": "https://mine.example", "credentials": keys})
    access = access_for("s3://esa-worldcover/x.tif", config)
    assert (access.signing, access.addressing, access.region) == ("s3", "path", "")
    unsaid = access_for("s3://esa-worldcover/x.tif", AccessConfig(connections=2))
    assert (unsaid.signing, unsaid.addressing, unsaid.region) == ("none", "virtual", "eu-central-1")


@pytest.mark.parametrize("value", ["hunter2\n", " hunter2", "hun\rter2", "hünter2"])
def test_a_secret_that_cannot_be_sent_is_refused_without_telling_it(
    value: str, monkeypatch: pytest.MonkeyPatch, files: Files, rasters: Make, tmp_path: Path
) -> None:
    monkeypatch.setenv("ARCHIVE_KEY", value)
    access = Access(signing="headers", headers=(("X-Api-Key", "ARCHIVE_KEY"),))
    with serving(folder_backend(files.folder)) as server:
        with pytest.raises(AccessFailed) as of_file:
            read(rasters(), f"{server.address}/a.tif", access)
        entry = {"catalog": f"{server.address}/c.json", "headers": {"X-Api-Key": {"env": "ARCHIVE_KEY"}}}
        (tmp_path / "catalogs.json").write_text(json.dumps({"collections": {"SENTINEL2_L2A": entry}}))
        with pytest.raises(CatalogError) as of_catalog:
            open_catalog(tmp_path / "catalogs.json")
        assert server.requests == []
    told = [str(of_file.value), str(of_catalog.value)]
    assert all("ARCHIVE_KEY" in text and "ter2" not in text for text in told)


def test_headers_of_a_catalog_reach_its_own_server_alone(
    archive: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, _ = archive
    monkeypatch.setenv("TEST_TOKEN", "only-for-one")
    signatures = Signatures()
    with serving(signed_backend(folder, signatures)) as other, serving(folder_backend(folder)) as own:
        path = folder / "sentinel-2-l2a" / "collection.json"
        collection = json.loads(path.read_text())
        for link in collection["links"]:
            if link["rel"] == "item":
                link["href"] = f"{other.address}/sentinel-2-l2a/one/one.json"
        path.write_text(json.dumps(collection))
        entry = {"catalog": f"{own.address}/catalog.json", "headers": {"X-Token": {"env": "TEST_TOKEN"}}}
        config = folder / "catalogs.json"
        config.write_text(json.dumps({"collections": {"SENTINEL2_L2A": entry}}))
        found = open_catalog(config).search("SENTINEL2_L2A", WORLD, bands=("B04",))
        (item,), problems = found.items, found.problems
        assert problems == ()
        signatures.expire()
        raster = item.rasters["B04"]
        read_raster(raster, raster.box, "one", "B04")
        assert {r.headers.get("x-token") for r in own.requests} == {"only-for-one"}
        assert {r.headers.get("x-token") for r in other.requests} == {None}
        assert len(other.asked("one.json")) == 2


@pytest.mark.parametrize("secret", ["user:word@", ""])
def test_a_catalogs_address_with_a_secret_is_refused_without_telling_it(secret: str, tmp_path: Path) -> None:
    address = f"https://{secret}archive.example.org/catalog.json" + ("" if secret else "?token=word")
    (tmp_path / "c.json").write_text(json.dumps({"collections": {"SENTINEL2_L2A": {"catalog": address}}}))
    for given in (address, tmp_path / "c.json"):
        with pytest.raises(
            CatalogError, match=r"archive\.example\.org/catalog\.json is given with"
        ) as caught:
            open_catalog(given)
        assert "word" not in str(caught.value)


WRONG = [
    ({"signing": "magic"}, "signing"),
    ({"endpoint": "eodata"}, "is no http"),
    ({"credentials": {"access_key": {"env": "A"}}}, "go together"),
    ({"credentials": {}}, "either access_key"),
    ({"signing": "none", "headers": {"X": {"env": "A"}}}, "do not go with"),
    ({"signing": "headers"}, "needs headers"),
    ({"connections": 0}, "connections"),
    ({"secret": "x"}, "unknown key"),
]


@pytest.mark.parametrize(("access", "told"), WRONG)
def test_a_wrong_access_in_a_configuration_is_told(tmp_path: Path, access: dict[str, Any], told: str) -> None:
    config = {"collections": {"SENTINEL2_L2A": {"catalog": "c.json", "access": access}}}
    (tmp_path / "catalogs.json").write_text(json.dumps(config))
    with pytest.raises(CatalogError, match=told):
        open_catalog(tmp_path / "catalogs.json")


@pytest.mark.parametrize(
    ("signed", "stable"),
    [
        ("https://h/a.tif?se=1&sp=r&sv=2&sr=c&sig=abc%3D", "https://h/a.tif"),
        ("https://h/a.tif?v=3&sig=abc&se=1", "https://h/a.tif?v=3"),
        ("https://h/a.tif?X-Amz-Date=1&X-Amz-Signature=2&x-id=GetObject", "https://h/a.tif?x-id=GetObject"),
        ("https://h/a.tif?Expires=1&Signature=x&Key-Pair-Id=k", "https://h/a.tif"),
        ("https://h/a.tif?token=abc", "https://h/a.tif"),
        ("https://user:word@h:81/a.tif?v=3", "https://h:81/a.tif?v=3"),
        ("https://user:word@h/a.tif?v=3&token=abc", "https://h/a.tif?v=3"),
    ],
)
def test_what_signs_an_address_is_taken_off(signed: str, stable: str) -> None:
    assert split_signature(signed) == (stable, True)
    assert split_signature(stable) == (stable, False)


def test_a_stored_address_has_no_signature_and_is_signed_by_its_item_again(
    container: Path, rasters: Make
) -> None:
    signatures = Signatures()
    with serving(signed_backend(container, signatures)) as server:
        href = f"{server.address}/box/a.tif?{signatures.query('/box/a.tif')}"
        (container / "item.json").write_text(json.dumps({"assets": {"a": {"href": href}}}))
        stored = unsigned(href)
        assert "sig" not in stored.removesuffix("#signed")
        place, access = Reach().place(stored, str(container / "item.json"))
        assert place == f"{server.address}/box/a.tif"
        assert access is not None
        read(rasters(), place, access)
    assert unsigned("https://h/a.tif?v=1") == "https://h/a.tif?v=1"


def test_other_queries_are_part_of_the_address() -> None:
    for address in (
        "https://h/get?file=a.tif",
        "https://h/a.tif",
        "/local/a.tif",
        "https://h/x?expires=1&st=2",
    ):
        assert split_signature(address) == (address, False)


def test_the_end_of_a_signature_is_read_in_all_forms() -> None:
    assert expiry("https://h/a?se=2026-01-01T00%3A00%3A00Z&sig=1") == 1767225600
    assert expiry("https://h/a?X-Amz-Date=20260101T000000Z&X-Amz-Expires=60") == 1767225660
    assert expiry("https://h/a?X-Goog-Date=20260101T000000Z&X-Goog-Expires=60") == 1767225660
    assert expiry("https://h/a?Expires=1767225600&Signature=1") == 1767225600
    assert expiry("https://h/a") is None
    assert expiry("https://h/a?se=never") is None


def test_addresses_are_shown_without_what_may_be_secret() -> None:
    assert shown("https://me:pw@h:1/a.tif?sig=1#x") == "https://h:1/a.tif"
    assert shown("/local/what?.tif") == "/local/what?.tif"
    assert without_queries("see https://me:pw@h/a?sig=1&b=2 for it") == "see https://h/a for it"


def test_a_signed_href_in_a_local_item_is_read_there_again(container: Path, rasters: Make) -> None:
    signatures = Signatures()
    with serving(signed_backend(container, signatures)) as server:
        item = container / "item.json"

        def publish() -> str:
            href = f"{server.address}/box/a.tif?{signatures.query('/box/a.tif')}"
            item.write_text(json.dumps({"assets": {"a": {"href": href}, "b": {"href": "./b.tif"}}}))
            return href

        place, access = Reach().place(publish(), str(item))
        assert place == f"{server.address}/box/a.tif"
        assert access is not None
        pool = rasters()
        read(pool, place, access)
        signatures.expire()
        publish()
        read(pool, place, access, 300)
        item.unlink()
        signatures.expire()
        with pytest.raises(AccessFailed, match="cannot be read again"):
            read(pool, place, access, 600)
