"""The rules that tests/conftest.py promises: no network, no skip that nobody sees."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
import pytest_socket

CONFTEST = (Path(__file__).parent / "conftest.py").read_text(encoding="utf-8")
SUITE = """
import pytest

def test_needs_what_is_not_there(real_data):
    assert real_data.is_dir()

def test_needs_a_package():
    pytest.importorskip("no_such_package_for_sure")

@pytest.mark.gpu
def test_needs_a_gpu():
    pytest.skip("no GPU")

@pytest.mark.xfail(strict=True)
def test_is_known_to_fail():
    assert False
"""


def _run_suite(folder: Path, real_data: Path, require_all: str) -> dict[str, int]:
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (folder / "test_suite.py").write_text(SUITE, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = gpu\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"ACREAGE_REAL_DATA": str(real_data), "ACREAGE_REQUIRE_ALL": require_all},
    )
    words = done.stdout.strip().splitlines()[-1].replace(",", "").split(" in ")[0].split()
    return {word: int(number) for number, word in zip(words[::2], words[1::2], strict=True)}


def test_missing_parts_skip_on_a_developers_machine(tmp_path: Path) -> None:
    assert _run_suite(tmp_path, tmp_path / "none", "0") == {"skipped": 3, "xfailed": 1}


def test_missing_parts_fail_where_all_is_required_but_for_a_gpu(tmp_path: Path) -> None:
    assert _run_suite(tmp_path, tmp_path / "none", "1") == {
        "failed": 1,
        "error": 1,
        "skipped": 1,
        "xfailed": 1,
    }


def test_real_data_is_found_by_its_variable(tmp_path: Path) -> None:
    assert _run_suite(tmp_path, tmp_path, "0") == {"passed": 1, "skipped": 2, "xfailed": 1}


def test_the_network_is_closed() -> None:
    with pytest.raises(pytest_socket.SocketConnectBlockedError):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open("http://192.0.2.1/", timeout=1)


def test_the_network_is_closed_to_child_processes() -> None:
    code = "import urllib.request; urllib.request.urlopen('http://192.0.2.1/', timeout=5)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Connection refused" in done.stderr


def test_loopback_is_open() -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Quiet."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/", timeout=5) as answer:
            assert answer.status == 204
        thread.join()
