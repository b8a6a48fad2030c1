"""`acreage serve` as a process of its own, on a tiny archive, for tests of logins."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import requests
from tests.support.oidc import free_port
from tests.support.tiny_archive import Layer, TinyArchive, extent, load, node

ACCOUNTS = {"carla": "secret-of-carla:with-colon", "dora": "secret-of-dora"}
_START_S = 60


def tiny_catalog(folder: Path) -> Path:
    """One day of Sentinel-2, 32 by 32 pixels."""
    archive = TinyArchive(folder)
    bands = {name: Layer(np.full((32, 32), value, np.uint16)) for name, value in (("B02", 500), ("B04", 700))}
    archive.s2("S2A_1", "2024-05-01", bands)
    return archive.write()


def small_graph(**options: Any) -> dict[str, Any]:
    """A process that reads the archive and saves a GeoTIFF."""
    cube = load(["B02"], extent(16, 16), ["2024-05-01", "2024-05-02"])
    saved = node("save_result", data="@load", format="GTiff", **options)
    return {"process_graph": {"load": cube, "save": {**saved, "result": True}}}


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        url: of its API.
        storage: its files.
        output: what it and its processes print.
        pid: of its process.
    """

    url: str
    storage: Path
    output: Path
    pid: int = 0

    def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> requests.Response:
        """One request."""
        headers = {
            **({} if token is None else {"Authorization": f"Bearer {token}"}),
            **more.pop("headers", {}),
        }
        return requests.request(method, self.url + path, headers=headers, timeout=60, **more)

    def login(self, name: str) -> str:
        """The bearer token of an account."""
        answer = requests.get(f"{self.url}/credentials/basic", auth=(name, ACCOUNTS[name]), timeout=60)
        return f"basic//{answer.json()['access_token']}"

    def run_job(self, token: str, document: Mapping[str, Any]) -> str:
        """The id of a job that was run to its end."""
        made = self.ask("POST", "/jobs", token, json=dict(document))
        assert made.status_code == 201, made.text
        job = made.headers["OpenEO-Identifier"]
        assert self.ask("POST", f"/jobs/{job}/results", token).status_code == 202
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if self.ask("GET", f"/jobs/{job}", token).json()["status"] not in ("queued", "running"):
                return job
            time.sleep(0.2)
        raise TimeoutError(job)


@contextmanager
def running_server(
    folder: Path,
    catalog: Path,
    *,
    users: Sequence[str] = tuple(ACCOUNTS),
    within: Sequence[str] = (),
    **environment: str,
) -> Iterator[Served]:
    """A server with accounts of `ACCOUNTS`, and settings as environment variables.

    Args:
        folder: for its files.
        catalog: that it serves.
        users: names of the accounts. One alone is trusted: graphs may name files of this machine.
        within: a command that runs it.
        environment: settings.
    """
    port = free_port()
    accounts = folder / "accounts"
    accounts.write_text("# for tests\n" + "".join(f"{n}:{ACCOUNTS[n]}\n" for n in users))
    command = [*within, sys.executable, "-c", "from acreage.cli.main import main; main()", "serve"]
    command += ["--catalog", str(catalog), "--port", str(port), "--storage", str(folder / "storage")]
    own = {"ACREAGE_SERVER_USERS": str(accounts), "ACREAGE_CACHE": str(folder / "cache"), **environment}
    output = folder / "output.txt"
    with output.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **own})
    served = Served(f"http://127.0.0.1:{port}", folder / "storage", output, process.pid)
    try:
        _wait(served, process)
        yield served
    finally:
        process.terminate()
        process.wait(30)


def _wait(served: Served, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            served.ask("GET", "/health")
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"The server did not start: {served.output.read_text('utf-8')[-3000:]}")
