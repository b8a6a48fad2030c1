"""What a stranger or a user may try against a running server; docs/security.md lists it."""

from __future__ import annotations

import gzip
import io
import json
import socket
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import rasterio
import requests
from affine import Affine
from defusedxml import ElementTree
from tests.support.oidc_server import Served, running_server, small_graph, tiny_catalog
from tests.support.servers.faulty import Answer, serving
from tests.support.tiny_archive import node

from acreage.backend.signing import Signer

PATHS = (
    "../../secret.key",
    "..%2f..%2fsecret.key",
    "%2e%2e/%2e%2e/secret.key",
    "..%252f..%252fsecret.key",
    "..%5c..%5csecret.key",
    "....//....//secret.key",
    "%c0%ae%c0%ae/secret.key",
    "%2fetc%2fpasswd",
    "/etc/passwd",
    "a/%00/../../secret.key",
    "a%0d%0aX-Injected: 1",
)
IDS = (
    "../../secret.key",
    "..%2F..%2Fsecret.key",
    "' OR 1=1 --",
    "%25",
    "%00",
    "*",
    "j-%0a",
    "\u202e",
    "a" * 4000,
)
BOMB = b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;'>]><kml>&b;</kml>"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    catalog = tiny_catalog(tmp_path_factory.mktemp("archive"))
    with running_server(tmp_path_factory.mktemp("server"), catalog) as running:
        yield running


@pytest.fixture(scope="module")
def token(served: Served) -> str:
    return served.login("carla")


def raw(served: Served, request: bytes) -> bytes:
    """The answer to bytes that no client would send."""
    parts = urlsplit(served.url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        with suppress(TimeoutError):
            while chunk := connection.recv(65_536):
                answer += chunk
                connection.settimeout(1)
    return answer


def files_below(folder: Path) -> dict[str, bytes]:
    """What lies in the storage, the database and users' own files apart."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and not p.name.startswith("acreage.db") and "files" not in p.relative_to(folder).parts
    }


def memory_of(served: Served) -> int:
    """Bytes of the server's process."""
    port = urlsplit(served.url).port
    for process in psutil.Process().children():
        if str(port) in process.cmdline():
            return int(process.memory_info().rss)
    raise LookupError(port)


# --- paths and ids ---


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_paths_of_files_lead_nowhere_else(served: Served, token: str, method: str) -> None:
    key, before = (served.storage / "secret.key").read_bytes(), files_below(served.storage)
    head = f"Host: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\nContent-Length: 4\r\n\r\nevil"
    for path in PATHS:
        answer = raw(served, f"{method} /files/{path} HTTP/1.1\r\n{head}".encode())
        status = int(answer.split(b" ", 2)[1])
        assert key not in answer
        assert b"root:" not in answer
        assert b"X-Injected: 1\r\n" not in answer
        assert status < 500, (path, answer)
        # Names that are harmless here: dots that are part of one, percent signs.
        assert status >= 400 or method != "GET", (path, answer)
    assert files_below(served.storage) == before


@pytest.mark.parametrize("kind", ["jobs", "services", "process_graphs", "collections", "processes"])
def test_ids_are_looked_up_and_nothing_else(served: Served, token: str, kind: str) -> None:
    for odd in IDS:
        for suffix in ("", "/logs", "/results/assets/x"):
            answer = served.ask("GET", f"/{kind}/{odd}{suffix}", token)
            assert 400 <= answer.status_code < 500, (odd, suffix, answer.text)
            assert answer.json()["code"]


# --- links ---


def test_an_expired_link_is_refused_and_a_forged_one_before_that(served: Served, token: str) -> None:
    job = served.run_job(token, {"process": small_graph()})
    signer = Signer((served.storage / "secret.key").read_bytes(), -10)
    user = served.ask("GET", "/me", token).json()["user_id"]
    query: dict[str, str] = {"user": user, **signer.sign(user, job, "", "")}
    path = f"/jobs/{job}/results/canonical"
    answer = served.ask("GET", path, params=query)
    assert (answer.status_code, answer.json()["code"]) == (410, "ResultLinkExpired")
    later = {**query, "expires": str(int(time.time()) + 1000)}
    assert served.ask("GET", path, params=later).status_code == 403
    good = {"user": user, **Signer(signer.key, 100).sign(user, job, "", "")}
    assert served.ask("GET", path, params=good).status_code == 200


def test_names_of_results_lead_nowhere_else_even_if_signed(served: Served, token: str) -> None:
    job = served.run_job(token, {"process": small_graph()})
    user = served.ask("GET", "/me", token).json()["user_id"]
    signer = Signer((served.storage / "secret.key").read_bytes(), 100)
    for name in ("../spec.json", "./x", "../../log.jsonl", "a/b", "\\spec.json", ".hidden"):
        query = {"user": user, "attempt": "1", **signer.sign(user, job, "1", name)}
        quoted = requests.utils.quote(name, safe="")
        answer = served.ask("GET", f"/jobs/{job}/results/assets/{quoted}", params=query)
        assert answer.status_code in (400, 404), (name, answer.text)
        assert b"job_id" not in answer.content


# --- bombs ---


def test_a_compressed_body_is_not_unpacked(served: Served, token: str) -> None:
    before = memory_of(served)
    for encoding in ("gzip", "deflate", "br", "zstd"):
        body = gzip.compress(b"0" * 500_000_000 if encoding == "gzip" else b"0" * 1000)
        headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
        answer = served.ask("POST", "/validation", token, data=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "RequestInvalid")
    assert memory_of(served) - before < 100e6


def test_a_body_of_very_many_values_is_refused_and_a_strangers_is_not_parsed(
    served: Served, token: str
) -> None:
    headers = {"Content-Type": "application/json"}
    for text in ("[" + "0," * 1_500_000 + "0]", '{"process_graph": [' + "[]," * 1_500_000 + "0]}"):
        answer = served.ask("POST", "/validation", token, data=text, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "RequestInvalid")
        assert "1,000,000" in answer.json()["message"]
        for login in (None, "basic//forged"):
            answer = served.ask("POST", "/validation", login, data=b"{" + text.encode(), headers=headers)
            assert answer.status_code in (401, 403)


def test_archives_and_documents_of_users_are_kept_and_not_opened(served: Served, token: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.tif", b"\0" * 50_000_000)
        archive.writestr("../../escaped.tif", b"x")
    uploads = {"bomb.zip": packed.getvalue(), "bomb.kml": BOMB, "bomb.gml": BOMB, "bomb.vrt": BOMB}
    for name, data in uploads.items():
        assert served.ask("PUT", f"/files/{name}", token, data=data).json()["size"] == len(data)
        assert served.ask("GET", f"/files/{name}", token).content == data
    for path in (*uploads, "bomb.zip/a.tif", "/vsizip/bomb.zip/a.tif", "/vsigzip/bomb.zip"):
        for form in ("GTiff", "netCDF", "GeoJSON", "Parquet"):
            load = {**node("load_uploaded_files", paths=[path], format=form), "result": True}
            answer = served.ask("POST", "/validation", token, json={"process_graph": {"load": load}})
            assert answer.status_code in (200, 400, 404), answer.text
            errors = answer.json().get("errors", [answer.json()])
            assert errors, (path, form)
            assert str(served.storage) not in answer.text
    assert not list(served.storage.rglob("escaped.tif"))


def test_rasters_that_say_they_are_giant_cost_nothing(served: Served, token: str, tmp_path: Path) -> None:
    path, before = tmp_path / "giant.tif", memory_of(served)
    profile: dict[str, Any] = {"driver": "GTiff", "width": 1_000_000, "height": 1_000_000, "count": 1}
    profile |= {"dtype": "uint8", "crs": "EPSG:32631", "transform": Affine(1, 0, 0, 0, -1, 1_000_000)}
    profile |= {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "SPARSE_OK": True, "BIGTIFF": "YES"}
    profile["compress"] = "deflate"
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.ones((1, 16, 16), np.uint8), window=((0, 16), (0, 16)))
    assert path.stat().st_size < 8_000_000
    assert served.ask("PUT", "/files/giant.tif", token, data=path.read_bytes()).status_code == 200
    load = node("load_uploaded_files", paths=["giant.tif"], format="GTiff")
    graph = {"load": load, "save": {**node("save_result", data="@load", format="GTiff"), "result": True}}
    began = time.monotonic()
    answer = served.ask("POST", "/validation", token, json={"process_graph": graph})
    assert [e["code"] for e in answer.json()["errors"]] == ["MemoryBudgetExceeded"]
    assert "10,000 windows" in answer.text
    assert memory_of(served) - before < 200e6
    assert time.monotonic() - began < 30
    served.ask("DELETE", "/files/giant.tif", token)


def test_a_title_cannot_write_into_a_document_of_xml(served: Served, token: str) -> None:
    title = "]]></ows:Title><evil>&a;<!ENTITY a SYSTEM 'file:///etc/passwd'>"
    body = {"type": "wmts", "title": title, "process": small_graph()}
    made = served.ask("POST", "/services", token, json=body)
    answer = served.ask("GET", f"/services/{made.headers['OpenEO-Identifier']}/wmts")
    root = ElementTree.fromstring(answer.text)
    assert [e.text for e in root.iter("{http://www.opengis.net/ows/1.1}Title")] == [title, title]
    assert not list(root.iter("evil"))


# --- addresses inside ---


def test_no_address_of_a_graph_leads_into_the_servers_network(served: Served, token: str) -> None:
    with serving(lambda request: Answer(200, {}, json.dumps(small_graph()).encode())) as inner:
        remote = {"process_id": "mine", "namespace": f"{inner.address}/p.json", "arguments": {}}
        calls = {
            "namespace": {"a": {**remote, "result": True}},
            "load_url": {
                "a": {**node("load_url", url=f"{inner.address}/a.tif", format="GTiff"), "result": True}
            },
            "load_stac": {"a": {**node("load_stac", url=f"{inner.address}/c.json"), "result": True}},
            "load_geojson": {
                "a": {**node("load_url", url=f"{inner.address}/a.json", format="GeoJSON"), "result": True}
            },
        }
        for name, graph in calls.items():
            process = {"process_graph": graph}
            stored = served.ask("PUT", "/process_graphs/reaching", token, json=process)
            assert stored.status_code == 200, stored.text
            call = {"a": {"process_id": "reaching", "arguments": {}, "result": True}}
            for asked in (process, {"process_graph": call}):
                answer = served.ask("POST", "/validation", token, json=asked)
                assert answer.status_code == 400 or answer.json()["errors"], (name, answer.text)
            service = served.ask("POST", "/services", token, json={"type": "xyz", "process": process})
            tile = served.ask("GET", f"/services/{service.headers['OpenEO-Identifier']}/tiles/0/0/0.png")
            assert 400 <= tile.status_code < 500, (name, tile.text)
        # What computes is another process.
        job = served.run_job(token, {"process": {"process_graph": calls["load_url"]}})
        assert served.ask("GET", f"/jobs/{job}", token).json()["status"] == "error"
        assert inner.requests == []


# --- HTTP ---


def test_thousands_of_ranges_cost_nothing(served: Served, token: str) -> None:
    assert served.ask("PUT", "/files/ranges.bin", token, data=b"x" * 1_000_000).status_code == 200
    before, began = memory_of(served), time.monotonic()
    headers = {"Range": "bytes=" + ",".join(f"{n}-" for n in range(5000))}
    answer = served.ask("GET", "/files/ranges.bin", token, headers=headers)
    assert answer.status_code < 500
    assert len(answer.content) < 20_000_000
    assert memory_of(served) - before < 200e6
    assert time.monotonic() - began < 20


def test_browsers_run_nothing_that_users_store(served: Served, token: str) -> None:
    page = b"<script>alert(1)</script>"
    assert served.ask("PUT", "/files/page.html", token, data=page).status_code == 200
    answer = served.ask("GET", "/files/page.html", token)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    for path in ("/files/page.html", "/", "/jobs/<script>alert(1)</script>"):
        told = served.ask("GET", path, token).headers
        assert told["X-Content-Type-Options"] == "nosniff"
        assert told["Content-Type"].startswith("text/html") == (path == "/files/page.html")


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\0\1\2\3" * 1000 + b"\r\n\r\n",
    ],
    ids=["two lengths", "a negative length", "a giant header", "a giant address", "no HTTP"],
)
def test_requests_that_are_none_are_refused(served: Served, request_line: bytes) -> None:
    try:
        answer = raw(served, request_line)
    except ConnectionError:  # refused while it was sent
        answer = b""
    assert b" 500 " not in answer[:20]
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 200"))
    assert b"user_id" not in answer
    assert served.ask("GET", "/health").status_code == 200
