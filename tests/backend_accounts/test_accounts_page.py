"""What docs/accounts.md shows works as shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
import yaml
from tests.support.oidc import free_port

from acreage.backend.accounts.oidc import Provider, Providers
from acreage.backend.settings import SERVER_PREFIX, ServerSettings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "accounts.md").read_text("utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(_blocks("yaml"))))
def test_files_of_providers_can_be_read(tmp_path: Path, number: int) -> None:
    file = tmp_path / "providers.yaml"
    file.write_text(_blocks("yaml")[number])
    found = Providers.read(file).all
    assert list(found) == [p["id"] for p in yaml.safe_load(_blocks("yaml")[number])["providers"]]


def test_every_field_of_a_provider_and_no_other_setting_is_named() -> None:
    table = " ".join(re.findall(r"^\| (`.*?) \|", PAGE, flags=re.MULTILINE))
    assert set(Provider.model_fields) <= set(re.findall(r"`(\w+)`", table))
    named = set(re.findall(rf"{SERVER_PREFIX}(\w+)", PAGE))
    assert named <= {name.upper() for name in ServerSettings.model_fields}


def test_commands_start_a_server_on_which_the_client_logs_in(tmp_path: Path, catalog: Path) -> None:
    port = str(free_port())
    shell, code = _blocks("sh")[0].replace("8000", port), _blocks("python")[0].replace("8000", port)
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {**os.environ, "PATH": here, "ACREAGE_CATALOG": str(catalog), "HOME": str(tmp_path)}
    with (tmp_path / "output.txt").open("wb") as out:
        server = subprocess.Popen(
            ["bash", "-ec", shell.replace("acreage serve", "exec acreage serve")],
            cwd=tmp_path, env=settings, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        _wait(f"http://127.0.0.1:{port}/health", server)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=settings
        )
    finally:
        server.terminate()
        server.wait(30)
    assert "'user_id': 'anna'" in done.stdout, done.stderr
    assert (tmp_path / "accounts").stat().st_mode & 0o077 == 0


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            requests.get(address, timeout=10)
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("The server did not start.")
