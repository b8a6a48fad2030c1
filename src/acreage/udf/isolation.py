"""How the child process of a UDF is started: in a sandbox or without, its command and its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from acreage.udf import bubblewrap
from acreage.udf.bubblewrap import Sandbox, sandbox_command
from acreage.udf.errors import UdfIsolationMissing, UdfProcessDied
from acreage.udf.seccomp import seccomp_filter

#: `auto`: bubblewrap where it works, else limits only; `bubblewrap`: nothing else; `none`: limits only.
Isolation = Literal["auto", "bubblewrap", "none"]

#: Where the dynamic loader finds libraries is a property of the installation; nothing else is passed on.
_INHERITED = ("LD_LIBRARY_PATH",)
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_PROBE_SECONDS = 30.0


@dataclass(frozen=True)
class IsolationState:
    """Whether UDFs can be run in a sandbox on this machine.

    Attributes:
        available: whether they can.
        reason: what is there, or why it is not and what to do, in one or two sentences.
    """

    available: bool
    reason: str


@cache
def isolation_available() -> IsolationState:
    """Whether a sandbox can be made here; tried once in a process, in some ten milliseconds."""
    bwrap = bubblewrap.program()
    if bwrap is None:
        return IsolationState(
            False, "bubblewrap is not installed. Install the package bubblewrap (its program is bwrap)."
        )
    # The interpreter alone, without its packages, through the very mounts that a UDF gets.
    command = sandbox_command(
        Sandbox(1 << 20), worker_files(), [sys.executable, "-I", "-S", "-c", ""], None, bwrap
    )
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            text=True,
            timeout=_PROBE_SECONDS,
            env={},
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return IsolationState(False, f"bubblewrap is installed, but does not work: {error}.")
    if done.returncode == 0:
        return IsolationState(True, "bubblewrap is installed and works.")
    said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1].rstrip(".")
    return IsolationState(
        False,
        f"bubblewrap is installed, but cannot make a sandbox here: {said}. It needs version 0.8 or later and "
        "a system that lets the server's user make user namespaces and mount /proc in them; "
        "docs/udf-security.md says what to allow in containers.",
    )


def is_sandboxed(isolation: Isolation, trusted: bool) -> bool:
    """Whether a UDF is to be run in a sandbox.

    Args:
        isolation: as the settings say.
        trusted: whether its author may do what the server's own user may.

    Raises:
        UdfIsolationMissing: it may not be run here.
    """
    if isolation == "none":
        if not trusted:
            raise UdfIsolationMissing(
                "UDFs of users who are not trusted are not run here: the sandbox is switched off.",
                hint="The operator can set ACREAGE_UDF_ISOLATION to auto or bubblewrap.",
            )
        return False
    state = isolation_available()
    if not state.available and (isolation == "bubblewrap" or not trusted):
        whose = "UDFs" if isolation == "bubblewrap" else "UDFs of users who are not trusted"
        raise UdfIsolationMissing(
            f"{whose} are not run here, as they cannot be isolated: {state.reason}",
            hint="The operator of the server can make bubblewrap work.",
        )
    return state.available


def counts_in_sandbox() -> bool:
    """Whether RLIMIT_NPROC counts a sandbox's own processes; before Linux 5.14 it counts all of its user."""
    numbers = os.uname().release.split(".")
    return [int("".join(filter(str.isdigit, n[:3])) or 0) for n in numbers[:2]] >= [5, 14]


def worker_files() -> tuple[Path, ...]:
    """The program that the child runs, and the modules that it reads from beside itself."""
    return tuple(Path(__file__).with_name(name) for name in ("worker.py", "channel.py", "convention.py"))


def child_command(python: Path, script: Path, control_fd: int) -> list[str]:
    """Command line of a worker.

    Args:
        python: interpreter of the environment that the UDF runs in.
        script: the worker program.
        control_fd: inherited descriptor of the control socket.
    """
    # -I: neither PYTHON* variables nor the user's own packages nor the working folder decide on imports.
    return [str(python), "-I", "-X", "faulthandler", str(script), str(control_fd)]


def child_environment(threads: int, home: Path, parent: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment variables of a worker, built anew so that no credentials pass.

    Args:
        threads: for the numerical libraries.
        home: the worker's own, empty folder: home, temporary files and caches.
        parent: the environment to take the loader's paths from; the process's own where None.
    """
    source = os.environ if parent is None else parent
    kept = {name: source[name] for name in _INHERITED if name in source}
    return {
        **kept,
        **dict.fromkeys(_THREADS, str(threads)),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "USER": "udf",
        "LOGNAME": "udf",
        "HOME": str(home),
        "TMPDIR": str(home),
        "XDG_CACHE_HOME": str(home),
        "MPLCONFIGDIR": str(home),
        "NUMBA_CACHE_DIR": str(home),
    }


def start_worker(
    sandbox: Sandbox | None, home: Path | None, threads: int, control_fd: int, log_fd: int
) -> subprocess.Popen[bytes]:
    """Start a worker's process, in a session of its own; killing its process group ends all of it.

    Args:
        sandbox: None for a process with limits only.
        home: its folder on this machine; None with a sandbox, which has one inside.
        threads: for the numerical libraries.
        control_fd: the worker's end of the control socket.
        log_fd: takes its output.

    Raises:
        UdfProcessDied: it could not be started.
    """
    script, *_ = files = worker_files()
    descriptors = [control_fd]
    bwrap = bubblewrap.program() or bubblewrap.PROGRAM
    if sandbox is None:
        command = child_command(Path(sys.executable), script, control_fd)
    else:
        inside = child_command(Path(sys.executable), bubblewrap.WORKER / script.name, control_fd)
        filter_fd = _as_descriptor(seccomp_filter())
        descriptors += [] if filter_fd is None else [filter_fd]
        command = sandbox_command(sandbox, files, inside, filter_fd, bwrap)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log_fd,
            stderr=log_fd,
            cwd=home or "/",
            env=child_environment(threads, home or bubblewrap.HOME),
            pass_fds=descriptors,
            start_new_session=True,
        )

    try:
        return start() if sandbox is None else _starter().submit(start).result()
    except OSError as error:
        raise UdfProcessDied(f"The UDF's process could not be started: {error}.") from error
    finally:
        for fd in descriptors[1:]:
            os.close(fd)


def _as_descriptor(data: bytes | None) -> int | None:
    if data is None:
        return None
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


_starters: dict[int, ThreadPoolExecutor] = {}


def _starter() -> ThreadPoolExecutor:
    """A thread that lives as long as this process.

    `--die-with-parent` ends a sandbox with the thread that made it, and a window's thread may end long
    before its worker.
    """
    return _starters.setdefault(os.getpid(), ThreadPoolExecutor(1, "udf-starter"))
