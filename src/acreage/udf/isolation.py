"""How the child process of a UDF is started: its command and its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

#: Where the dynamic loader finds libraries is a property of the installation; nothing else is passed on.
_INHERITED = ("LD_LIBRARY_PATH",)
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def worker_script() -> Path:
    """The program that the child runs; its siblings `channel.py` and `convention.py` must lie beside it."""
    return Path(__file__).with_name("worker.py")


def child_command(python: Path, script: Path, control_fd: int) -> list[str]:
    """Command line of a worker. A sandbox (bubblewrap, a container) is put in front of it here.

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
        "HOME": str(home),
        "TMPDIR": str(home),
        "XDG_CACHE_HOME": str(home),
        "MPLCONFIGDIR": str(home),
        "NUMBA_CACHE_DIR": str(home),
    }
