"""PostgreSQL of Debian's package, in a folder of a test, as a user who may run it."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.oidc import free_port


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def is_installed() -> bool:
    """Whether the package is there."""
    return _programs() is not None


@dataclass(frozen=True)
class Cluster:
    """A running server of databases.

    Attributes:
        port: on 127.0.0.1.
        programs: folder of PostgreSQL's programs.
    """

    port: int
    programs: Path

    def new_database(self, *options: str) -> str:
        """The address of a new, empty database; `options` of createdb."""
        name = f"test_{secrets.token_hex(6)}"
        command = ["createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", *options, name]
        subprocess.run([self.programs / command[0], *command[1:]], check=True)
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster in a folder; PostgreSQL refuses to run as root, whose place its own user takes."""
    programs = _programs()
    assert programs is not None
    own = folder / "data"
    as_user: list[str] = []
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
        own = Path("/tmp") / f"postgresql-{secrets.token_hex(6)}"
        own.mkdir(mode=0o700)
        os.chown(own, account.pw_uid, account.pw_gid)
    port, data = free_port(), own / "cluster"

    def run(*command: str | Path) -> None:
        subprocess.run([*as_user, *command], check=True, stdout=subprocess.DEVNULL, cwd="/")

    try:
        run(programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -c unix_socket_directories={own}"
        run(programs / "pg_ctl", "-D", data, "-o", options, "-l", own / "log", "-w", "start")
        try:
            yield Cluster(port, programs)
        finally:
            run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        if as_user:
            shutil.rmtree(own, ignore_errors=True)
