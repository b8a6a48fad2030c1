"""The command line of the sandbox around a UDF's process (https://github.com/containers/bubblewrap).

Inside there is a read-only view of the interpreter, its packages and the system's libraries, the model, and a
folder of its own in memory; no network, no other process, no other file.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROGRAM = "bwrap"
#: Paths inside of the sandbox.
WORKER = Path("/opt/udf")
PACKAGES = Path("/opt/udf-packages")
MODEL = Path("/model")
HOME = Path("/tmp/udf")
_SHARED_MEMORY = 64 * 1024**2

_SYSTEM = (
    *("/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib32", "/lib64", "/usr/share/zoneinfo"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/alternatives"),
    "/sys/devices/system/cpu",  # PyTorch and OpenMP count cores there
)
_OF_A_PREFIX = ("bin", "lib", "lib64", "share", "pyvenv.cfg")


@dataclass(frozen=True)
class Sandbox:
    """What one sandbox holds beside the interpreter.

    Attributes:
        scratch_bytes: size of its folder for temporary files, in memory.
        model: a file that is mounted read-only in `MODEL`, under its own name.
        packages: a folder of Python packages that is mounted read-only at `PACKAGES`.
        devices: whether GPUs can be used. Their drivers are a large piece of the kernel's surface.
    """

    scratch_bytes: int
    model: Path | None = None
    packages: Path | None = None
    devices: bool = False


def program() -> str | None:
    """Where bubblewrap is installed; None where it is not."""
    return shutil.which(PROGRAM)


def sandbox_command(
    sandbox: Sandbox, files: Sequence[Path], command: Sequence[str], seccomp_fd: int | None, bwrap: str
) -> list[str]:
    """`command` inside of a sandbox.

    Args:
        sandbox: what it holds.
        files: the worker's own, mounted in `WORKER` under their names.
        command: what runs inside.
        seccomp_fd: inherited descriptor of a filter of system calls, if any.
        bwrap: bubblewrap's program.
    """
    mounts = _interpreter()
    return [
        bwrap,
        *("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--cap-drop", "ALL"),
        *("--uid", "65534", "--gid", "65534", "--hostname", "udf"),
        *("--proc", "/proc", *_covered(sandbox.devices), "--dev", "/dev"),
        *("--size", str(_SHARED_MEMORY), "--tmpfs", "/dev/shm"),
        *(_devices() if sandbox.devices else ()),
        *("--size", str(sandbox.scratch_bytes), "--tmpfs", "/tmp", "--dir", str(HOME)),
        # Behind /tmp, where an interpreter's environment may lie.
        *mounts,
        *_hidden(mounts),
        *(part for file in files for part in _read_only(file, WORKER / file.name)),
        *(_read_only(sandbox.model, MODEL / sandbox.model.name) if sandbox.model else ()),
        *(_read_only(sandbox.packages, PACKAGES) if sandbox.packages else ()),
        # What was made for mount points is memory that nobody limits.
        *("--remount-ro", "/dev", "--remount-ro", "/"),
        *("--chdir", str(HOME)),
        *(() if seccomp_fd is None else ("--seccomp", str(seccomp_fd))),
        *("--", *command),
    ]


def _read_only(source: Path, target: Path) -> list[str]:
    return ["--ro-bind", str(source), str(target)]


def _interpreter() -> list[str]:
    """The system's libraries, the interpreter's folders, and other folders of packages that it reads.

    Of a prefix only what belongs to Python: beside it may lie a pip.conf with a password.
    """
    mounts: list[str] = []
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            mounts += ["--symlink", os.readlink(path), name]
        elif path.exists():
            mounts += _read_only(path, path)
    prefixes = [Path(p) for p in dict.fromkeys((sys.base_prefix, sys.base_exec_prefix, sys.prefix))]
    libraries = [Path(p) for p in os.environ.get("LD_LIBRARY_PATH", "").split(":") if p.startswith("/")]
    packages = [Path(p) for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    of_python = [prefix / part for prefix in prefixes for part in _OF_A_PREFIX]
    for path in (*of_python, *_programs(), *libraries, *packages):
        if path.exists() and path != Path("/") and not _below(path, mounts):
            mounts += _read_only(path, path)
    return mounts


def _programs() -> Iterator[Path]:
    """The interpreter's program, and what it is a link to: an environment's lies elsewhere than Python."""
    path = Path(sys.executable)
    yield path
    while path.is_symlink():
        path = Path(os.path.normpath(path.parent / os.readlink(path)))
        yield path


def _mounted(mounts: Sequence[str]) -> list[Path]:
    return [Path(mounts[i + 1]) for i, word in enumerate(mounts) if word == "--ro-bind"]


def _below(path: Path, mounts: Sequence[str]) -> bool:
    return any(path.is_relative_to(mounted) for mounted in _mounted(mounts))


def _hidden(mounts: Sequence[str]) -> list[str]:
    """An empty folder over `acreage`, where it lies among the packages."""
    own = Path(__file__).resolve().parent.parent
    return ["--tmpfs", str(own), "--remount-ro", str(own)] if _below(own, mounts) else []


@cache
def _covered(devices: bool) -> list[str]:
    """Nothing over what of /proc is the whole machine's: its folders, and files that not all may read only.

    Where the server runs as root the UDF's user is root to the kernel too, without its privileges; but files
    such as /proc/sys/kernel/core_pattern ask for the user only.
    """
    words: list[str] = []
    for path in sorted(Path("/proc").iterdir()):
        if path.name.isdigit() or path.is_symlink() or (devices and path.name == "driver"):
            continue
        if path.is_dir():
            words += ["--tmpfs", str(path), "--remount-ro", str(path)]
        elif path.stat().st_mode & 0o777 != 0o444:
            words += _read_only(Path("/dev/null"), path)
    return words


def _devices() -> list[str]:
    return [
        word for path in sorted(Path("/dev").glob("nvidia*")) for word in ("--dev-bind", str(path), str(path))
    ]
