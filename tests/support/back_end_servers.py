"""`acreage serve` as back ends of a production: on a port that stays theirs when they are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests
from tests.support.oidc import free_port
from tests.support.oidc_server import ACCOUNTS

_START_S = 240


@dataclass
class BackEndServer:
    """A server.

    Attributes:
        folder: of its files.
        catalog: that it serves.
        environment: settings.
        port: where it listens, also when it was started again.
        process: of it, while it runs.
        starts: how often it was started.
    """

    folder: Path
    catalog: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def url(self) -> str:
        """Its own address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, wait: bool = True) -> None:
        """Start it, on what it left when it ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        accounts = self.folder / "accounts"
        accounts.write_text("".join(f"{n}:{p}\n" for n, p in ACCOUNTS.items()))
        command = [sys.executable, "-c", "from acreage.cli.main import main; main()", "serve"]
        command += ["--catalog", str(self.catalog), "--port", str(self.port)]
        command += ["--storage", str(self.folder / "storage")]
        own = {
            "ACREAGE_SERVER_USERS": str(accounts),
            "ACREAGE_CACHE": str(self.folder / "cache"),
            "ACREAGE_QUARANTINE": str(self.folder / "quarantine"),
            **self.environment,
        }
        with (self.folder / "output.txt").open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **own})
        self.starts += 1
        until = time.monotonic() + _START_S
        while wait and time.monotonic() < until:
            with suppress(requests.RequestException):
                if requests.get(f"{self.url}/health", timeout=10).status_code == 200:
                    return
            assert self.process.poll() is None, (self.folder / "output.txt").read_text("utf-8")[-2000:]
            time.sleep(0.2)

    def kill(self) -> None:
        """End it and its jobs at once, as when a machine is switched off."""
        assert self.process is not None
        with suppress(psutil.Error):
            below = psutil.Process(self.process.pid).children(recursive=True)
            self.process.kill()
            for one in below:
                with suppress(psutil.Error):
                    one.kill()
        self.process.wait(60)

    def stop(self) -> None:
        """End it in peace."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def jobs(self, user: str) -> list[dict[str, Any]]:
        """What it has on record of a user's jobs: the documents of all of them."""
        login = requests.get(f"{self.url}/credentials/basic", auth=(user, ACCOUNTS[user]), timeout=60)
        headers = {"Authorization": f"Bearer basic//{login.json()['access_token']}"}
        address: str | None = f"{self.url}/jobs?limit=1000"
        found: list[dict[str, Any]] = []
        while address is not None:
            page = requests.get(address, headers=headers, timeout=60).json()
            found += page["jobs"]
            address = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
        return [requests.get(f"{self.url}/jobs/{j['id']}", headers=headers, timeout=60).json() for j in found]
