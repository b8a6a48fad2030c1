"""Who may run UDFs where, and what the sandbox is made of."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.udf.examples import small_cube, udf

import acreage
from acreage.core.udf import LabelledArray
from acreage.udf.errors import UdfIsolationMissing
from acreage.udf.isolation import Isolation, isolation_available
from acreage.udf.runner import ProcessUdfRunner
from acreage.udf.seccomp import _DENIED, _SOCKET, seccomp_filter

MakeRunner = Callable[..., ProcessUdfRunner]
PAGE = Path(__file__).parents[2] / "docs" / "udf-security.md"
ALLOW, EPERM, KILL = 0x7FFF0000, 0x00050001, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


@pytest.fixture
def no_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("acreage.udf.bubblewrap.PROGRAM", "no-such-program")
    isolation_available.cache_clear()
    yield
    monkeypatch.undo()
    isolation_available.cache_clear()


@pytest.mark.usefixtures("no_bubblewrap")
@pytest.mark.parametrize(
    ("isolation", "trusted", "message"),
    [
        ("auto", False, "users who are not trusted are not run here.*bubblewrap is not installed"),
        ("bubblewrap", True, "UDFs are not run here.*bubblewrap is not installed"),
        ("bubblewrap", False, "UDFs are not run here"),
        ("none", False, "the sandbox is switched off"),
    ],
)
def test_without_a_sandbox_strangers_are_refused(
    make_runner: MakeRunner, isolation: Isolation, trusted: bool, message: str
) -> None:
    runner = make_runner(isolation=isolation, trusted=trusted)
    with pytest.raises(UdfIsolationMissing, match=message) as caught:
        runner.run(udf("return cube"), small_cube(), {})
    assert caught.value.http_status == 403
    assert caught.value.hint


@pytest.mark.usefixtures("no_bubblewrap")
def test_without_a_sandbox_trusted_udfs_run_with_limits(make_runner: MakeRunner) -> None:
    result = make_runner().run(
        udf("import os; print(os.path.exists('/opt/udf')); return cube"), small_cube(), {}
    )
    assert result.log[0].message == "False"


def test_a_bubblewrap_that_does_not_work_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("acreage.udf.bubblewrap.PROGRAM", str(broken))
    isolation_available.cache_clear()
    try:
        state = isolation_available()
    finally:
        isolation_available.cache_clear()
    assert not state.available
    assert "No permissions to create new namespace" in state.reason
    assert "docs/udf-security.md" in state.reason


@pytest.mark.usefixtures("bubblewrap")
def test_a_sandbox_outlives_the_thread_that_started_it(make_runner: MakeRunner) -> None:
    runner = make_runner(isolation="bubblewrap")
    code = udf("calls.append(1)\nreturn cube * 0 + len(calls)", before="calls = []")
    ones = LabelledArray(np.ones(1), ("x",))
    for _ in range(3):
        thread = threading.Thread(target=runner.run, args=(code, ones, {}))
        thread.start()
        thread.join()
    assert runner.run(code, ones, {}).array.values[0] == 4


@pytest.mark.usefixtures("bubblewrap")
def test_of_the_interpreters_folder_only_python_is_there(make_runner: MakeRunner) -> None:
    body = """
        import os, sys
        for prefix in {sys.prefix, sys.base_prefix} - {"/usr"}: print(*os.listdir(prefix))
        return cube
        """
    for line in make_runner(isolation="bubblewrap").run(udf(body), small_cube(), {}).log:
        assert set(line.message.split()) <= {"bin", "lib", "lib64", "share", "pyvenv.cfg"}


@pytest.mark.usefixtures("bubblewrap")
def test_the_servers_own_package_is_not_there_where_it_is_installed(tmp_path: Path) -> None:
    packages = tmp_path / "site-packages"
    source = Path(acreage.__file__).parent
    shutil.copytree(source, packages / "acreage", ignore=shutil.ignore_patterns("__pycache__"))
    engine = f"""
import numpy as np, sys
import acreage
from acreage.core.udf import LabelledArray, UdfCode
from acreage.udf.runner import ProcessUdfRunner
assert acreage.__file__.startswith({str(packages)!r})
code = UdfCode("import os\\ndef apply_datacube(cube):\\n    print(os.listdir({str(packages)!r}), "
               "os.listdir({str(packages / "acreage")!r}))\\n    return cube")
with ProcessUdfRunner(isolation="bubblewrap") as runner:
    print(runner.run(code, LabelledArray(np.ones(1), ("x",)), {{}}).log[0].message)
"""
    done = subprocess.run(
        [sys.executable, "-c", engine],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(packages)},
    )
    assert done.stdout.strip() == "['acreage'] []", done.stderr


def verdict(program: bytes, arch: int, number: int, argument: int = 0) -> int:
    """What a filter says of a system call: the instructions that it is made of, interpreted."""
    data = struct.pack("=IIQQ", number, arch, 0, argument)
    at, loaded = 0, 0
    while True:
        code, yes, no, k = struct.unpack_from("=HBBI", program, 8 * at)
        if code == 0x20:
            (loaded,) = struct.unpack_from("=I", data, k)
        elif code == 0x15:
            at += yes if loaded == k else no
        elif code == 0x35:
            at += yes if loaded >= k else no
        else:
            assert code == 0x06
            return int(k)
        at += 1


@pytest.mark.parametrize(("column", "machine"), list(enumerate(ARCHITECTURES)))
def test_the_filter_denies_what_is_listed_and_nothing_else(column: int, machine: str) -> None:
    program, arch = seccomp_filter(machine), ARCHITECTURES[machine]
    assert program is not None
    denied = {numbers[column] for numbers in _DENIED.values()}
    assert len(denied) == len(_DENIED)
    for number in range(600):
        family = socket.AF_INET if number == _SOCKET[column] else 0
        assert verdict(program, arch, number, family) == (EPERM if number in denied else ALLOW)
    for family in range(50):
        known = family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
        assert verdict(program, arch, _SOCKET[column], family) == (ALLOW if known else EPERM)
    assert verdict(program, arch, 0x40000000 + 1) == EPERM
    assert verdict(program, arch + 1, 1) == KILL
    assert seccomp_filter("riscv64") is None


def test_the_page_counts_the_system_calls() -> None:
    assert f"{len(_DENIED)} system calls" in PAGE.read_text("utf-8")
