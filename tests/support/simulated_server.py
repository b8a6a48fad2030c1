"""A simulated back end behind the real API: the server of `acreage serve`, but jobs only take their time.

    python -m tests.support.simulated_server STORAGE PORT PARALLEL

Routes, accounts, database, leases and job processes are the server's own; only the command of a job is
`simulated_job.py`. Its account is `anna` with the password `secret`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import uvicorn
from tests.support.oidc import free_port

from acreage.backend.app import create_app
from acreage.backend.server import make_server
from acreage.backend.settings import ServerSettings
from acreage.backend.work import Work
from acreage.core.errors import ProductWrong
from acreage.production.backends import Fetched, JobRequest
from acreage.production.ledger.values import Attempt, TileRecord
from acreage.production.profiles import Profile

JOB = Path(__file__).with_name("simulated_job.py")
RECORD = "started.jsonl"
PRODUCT = "product.json"


@dataclass(frozen=True)
class StandIn(Work):
    """Work that only takes its time."""

    record: Path

    def command(self, attempt: Path) -> list[str]:
        return [sys.executable, "-I", str(JOB), str(attempt), str(self.record)]

    def isolation(self) -> str:
        return ""


def main() -> None:
    """The server."""
    folder, port, parallel = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    settings = ServerSettings(jobs_at_once=parallel, jobs_per_user=10_000)
    server = make_server(settings, StandIn(folder / RECORD), folder / "storage", {"anna": "secret"})
    uvicorn.run(create_app(server), host="127.0.0.1", port=port, log_config=None, access_log=False)


@dataclass(frozen=True)
class SimulatedServer:
    """A running one.

    Attributes:
        folder: of its files.
        port: where it listens.
    """

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def started(self) -> Counter[str]:
        """Starts of job processes, by job: the back end's own record of what it worked on."""
        return Counter(line["job"] for line in self._lines())

    def tiles(self) -> dict[str, str]:
        """The tile of each job that was started."""
        return {line["job"]: line["tile"] for line in self._lines()}

    def _lines(self) -> Iterator[dict[str, str]]:
        path = self.folder / RECORD
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            yield json.loads(line)

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs, as the API lists them."""
        login = requests.get(f"{self.url}/credentials/basic", auth=("anna", "secret"), timeout=60)
        headers = {"Authorization": f"Bearer basic//{login.json()['access_token']}"}
        address: str | None = f"{self.url}/jobs?limit=1000"
        found: list[dict[str, Any]] = []
        while address is not None:
            page = requests.get(address, headers=headers, timeout=60).json()
            found += page["jobs"]
            address = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
        return found


@contextmanager
def simulated_servers(folder: Path, parallel: Sequence[int]) -> Iterator[list[SimulatedServer]]:
    """Servers of so many jobs at once each."""
    servers, processes = [], []
    try:
        for number, places in enumerate(parallel):
            server = SimulatedServer(folder / f"server-{number}", free_port())
            server.folder.mkdir(parents=True)
            command = [sys.executable, "-m", "tests.support.simulated_server"]
            command += [str(server.folder), str(server.port), str(places)]
            with (server.folder / "output.txt").open("wb") as out:
                processes.append(subprocess.Popen(command, stdout=out, stderr=out))
            servers.append(server)
        for server, process in zip(servers, processes, strict=True):
            _wait(server, process)
        yield servers
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)


def _wait(server: SimulatedServer, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        with suppress(requests.ConnectionError):
            if requests.get(f"{server.url}/health", timeout=10).status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError((server.folder / "output.txt").read_text("utf-8")[-3000:])


def profile(url: str, parallel: int) -> Profile:
    """Of such a server; the password is in the environment."""
    login = {"kind": "basic", "username": "anna", "password_variable": "SIMULATED_PASSWORD"}
    document = {"url": url, "login": login, "parallel": parallel, "model": {"kind": "upload"}}
    return Profile.from_dict({**document, "timeout_s": 30})


@dataclass(frozen=True)
class SimulatedMaker:
    """Jobs for such servers.

    Attributes:
        about: what is the same for all: shares of failures.
    """

    about: Mapping[str, float]

    def request(self, tile: TileRecord, attempt: Attempt) -> JobRequest:
        text = json.dumps({"tile": tile.id, "seconds": tile.core_seconds, **self.about})
        graph = {"tile": {"process_id": "constant", "arguments": {"x": text}, "result": True}}
        return JobRequest(attempt.token, f"simulated {attempt.token}", graph)


@dataclass(frozen=True)
class SimulatedProducts:
    """Takes their products in: a file that names its tile, with the size and checksum that were told.

    Attributes:
        results: folder of the products.
    """

    results: Path

    def accept(self, tile: TileRecord, attempt: Attempt, fetched: Fetched) -> None:
        content = json.loads((fetched.folder / PRODUCT).read_text("utf-8"))
        if content["tile"] != tile.id or content["job"] != attempt.remote_id:
            raise ProductWrong(f"The results are of {content}, not of {tile.id}.")
        out = self.results / tile.id
        out.mkdir(parents=True, exist_ok=True)
        part = out / "product.part"
        part.write_text(json.dumps(content), "utf-8")
        part.replace(out / PRODUCT)


if __name__ == "__main__":
    main()
