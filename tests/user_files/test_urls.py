"""load_url: files of the public internet, within limits, and nothing of the private network."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from tests.support.servers.faulty import Answer, FaultyServer, Request, folder_backend, serving
from tests.support.user_files import loaded
from tests.support.written import raster_meta, vector_cube, write

from acreage.catalog.access import AccessFailed, Policy
from acreage.catalog.access.guard import is_public
from acreage.catalog.access.public import PublicTransport
from acreage.core.cube import Cube
from acreage.core.errors import AddressRefused, FileContentInvalid, FileSizeExceeded
from acreage.engine.user_files import Limits, UserFiles

pytestmark = pytest.mark.usefixtures("kept_helper")

QUICK = Policy(attempts=2, backoff_s=0.01, patience_s=5.0, connect_timeout_s=2.0, read_timeout_s=2.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    """A server of `tmp_path`."""
    with serving(folder_backend(tmp_path)) as running:
        yield running


def files_for(server: FaultyServer, folder: Path, **limits: int) -> UserFiles:
    """Users' files that may come from this very server, as an operator would allow it."""
    downloads = folder / "downloads"
    downloads.mkdir()
    transport = PublicTransport(QUICK, [urlsplit(server.address).netloc])
    return UserFiles(downloads=downloads, transport=transport, limits=replace(Limits(), **limits))


def load_url(files: UserFiles, url: str, name: str = "GTiff") -> Cube:
    node = {"process_id": "load_url", "arguments": {"url": url, "format": name}, "result": True}
    return loaded(files, {"load": node})


@pytest.mark.parametrize("name", ["GTiff", "netCDF", "GeoJSON"])
def test_a_file_at_an_address_is_a_cube(server: FaultyServer, tmp_path: Path, name: str) -> None:
    meta = raster_meta("u2", times=0)
    cube = Cube(np.arange(meta.size, dtype=np.uint16).reshape(meta.shape), None, meta)
    (path,) = write(vector_cube() if name == "GeoJSON" else cube, name, tmp_path)
    found = load_url(files_for(server, tmp_path), f"{server.address}/{path.name}?token=secret", name)
    if name == "GeoJSON":
        assert found.meta.dim("geometry").labels == ("a", "b", "c")
    else:
        np.testing.assert_array_equal(found.values, cube.values)


def test_a_file_is_loaded_once_for_a_job(server: FaultyServer, tmp_path: Path) -> None:
    (path,) = write(vector_cube(), "GeoJSON", tmp_path)
    files = files_for(server, tmp_path)
    for _ in range(2):
        load_url(files, f"{server.address}/{path.name}", "GeoJSON")
    assert len(server.requests) == 1


def test_errors_name_the_file_and_not_the_query(server: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"no tiff")
    files = files_for(server, tmp_path)
    for url, error in (("a.tif?key=secret", FileContentInvalid), ("b.tif?key=secret", AccessFailed)):
        with pytest.raises(error, match=r"[ab]\.tif") as caught:
            load_url(files, f"{server.address}/{url}")
        assert "secret" not in str(caught.value)
        assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("how", ["stated", "unstated", "packed"])
def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(tmp_path: Path, how: str) -> None:
    body = bytes(300_000)

    def answer(request: Request) -> Answer:
        if how == "packed":
            return Answer(200, {"Content-Encoding": "gzip"}, gzip.compress(body))
        return Answer(200, {}, body)

    with serving(answer) as server:
        files = files_for(server, tmp_path, download_bytes=100_000)
        with pytest.raises(FileSizeExceeded, match=r"larger than 0\.1 MB"):
            load_url(files, f"{server.address}/a.tif")
        assert files.downloads is not None
        assert list(files.downloads.iterdir()) == []


# --- addresses ---


PRIVATE = """
127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 0.0.0.0 100.64.0.1 224.0.0.1 255.255.255.255
::1 :: fe80::1 fe80::1%eth0 fc00::1 ::ffff:127.0.0.1 ff02::1 64:ff9b::7f00:1 2002:7f00:1:: 2001::1
"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_private_addresses_are_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_known(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "127.1", "[::1]"])
def test_the_private_network_is_not_reached(server: FaultyServer, tmp_path: Path, host: str) -> None:
    files = UserFiles(downloads=tmp_path, transport=PublicTransport(QUICK))
    port = urlsplit(server.address).port
    with pytest.raises((AddressRefused, AccessFailed)):
        load_url(files, f"http://{host}:{port}/a.tif")
    assert server.requests == []


def test_a_redirection_does_not_lead_into_the_private_network(tmp_path: Path) -> None:
    with (
        serving(lambda request: Answer(200, {}, b"secret")) as inner,
        serving(lambda request: Answer(302, {"Location": f"{inner.address}/a.tif"})) as outer,
    ):
        with pytest.raises(AddressRefused, match="not on the public internet"):
            load_url(files_for(outer, tmp_path), f"{outer.address}/a.tif")
        assert inner.requests == []


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://example.org/a.tif", "http:///nothing", "gopher://x"]
)
def test_a_redirection_leads_to_the_web_only(tmp_path: Path, target: str) -> None:
    with serving(lambda request: Answer(302, {"Location": target})) as server:
        files = files_for(server, tmp_path)
        with pytest.raises((AddressRefused, AccessFailed)):
            load_url(files, f"{server.address}/a.tif")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "s3://bucket/a.tif", "/etc/passwd", "http:///a.tif", "http://"]
)
def test_an_address_is_one_of_the_web(tmp_path: Path, url: str) -> None:
    files = UserFiles(downloads=tmp_path, transport=PublicTransport(QUICK))
    with pytest.raises((AddressRefused, AccessFailed)):
        files.downloaded(url)


def test_without_a_folder_for_downloads_no_address_is_asked() -> None:
    with pytest.raises(AddressRefused, match="not loaded here"):
        UserFiles().downloaded("https://example.org/a.tif")


def test_no_logins_and_proxies_of_the_machine_go_along(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login operator password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (path,) = write(vector_cube(), "GeoJSON", tmp_path)
    load_url(files_for(server, tmp_path), f"{server.address}/{path.name}", "GeoJSON")
    assert "authorization" not in server.requests[0].headers


def test_load_stac_takes_no_paths_of_the_machine_in_a_service(tmp_path: Path) -> None:
    node = {"process_id": "load_stac", "arguments": {"url": str(tmp_path / "x.json")}, "result": True}
    with pytest.raises(Exception, match="neither an address nor a job's results"):
        loaded(UserFiles(), {"load": node})
