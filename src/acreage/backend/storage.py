"""Where the server keeps files: of users, of jobs, its own secret."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from acreage.core.errors import FilePathInvalid, InvalidInput, WriteFailed

_LONGEST = 1000
_KEY_BYTES, _KEY_WAIT_S = 32, 2.0


@dataclass(frozen=True)
class Storage:
    """Folders below one.

    Attributes:
        root: of all.
    """

    root: Path

    @staticmethod
    def at(root: Path) -> Storage:
        """The storage in a folder, which is made where it is missing.

        Raises:
            WriteFailed: it cannot be written.
        """
        storage = Storage(root.absolute())
        try:
            # Whoever else is on the machine has no business in there, nor in the database beside the folders.
            storage.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (storage.jobs, storage.instances, storage.root / "files", storage.requests):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise WriteFailed(
                f"The storage {root} cannot be used: {error.strerror}.", hint="Name another folder."
            ) from error
        return storage

    def claim(self, installation: str) -> None:
        """See that the folder belongs to an installation: what its database does not know is swept.

        Raises:
            InvalidInput: it is another's.
            WriteFailed: it cannot be written.
        """
        path = self.root / "installation"
        try:
            if not path.exists():
                path.write_text(installation, "utf-8")
            found = path.read_text("utf-8").strip()
        except OSError as error:
            raise WriteFailed(f"{path} cannot be written: {error.strerror}.") from error
        if found != installation:
            raise InvalidInput(
                f"The storage {self.root} belongs to another database.",
                hint="Serve with the database that it was used with, or name another folder.",
            )

    @property
    def tiles(self) -> Path:
        """Tiles of map services."""
        return self.root / "tiles"

    @property
    def jobs(self) -> Path:
        """A folder a job."""
        return self.root / "jobs"

    @property
    def requests(self) -> Path:
        """A folder for each synchronous request that is being computed."""
        return self.root / "requests"

    @property
    def instances(self) -> Path:
        """Lock files of the servers."""
        return self.root / "instances"

    @property
    def database(self) -> str:
        """Address of the database that needs no other server."""
        return f"sqlite:///{self.root / 'acreage.db'}"

    def files_of(self, user_id: str) -> Path:
        """The folder of a user's files. Ids may hold anything, so it is named by their hash."""
        return self.root / "files" / hashlib.sha256(user_id.encode()).hexdigest()[:32]

    def secret(self) -> bytes:
        """The key that links are signed with; made once.

        Raises:
            WriteFailed: it cannot be written, or is damaged.
        """
        path = self.root / "secret.key"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            pass
        except OSError as error:
            raise WriteFailed(f"{path} cannot be written: {error.strerror}.") from error
        until = time.monotonic() + _KEY_WAIT_S
        while len(key := path.read_bytes()) != _KEY_BYTES:  # another server may be writing it
            if time.monotonic() > until:
                raise WriteFailed(
                    f"{path} is damaged.", hint="Remove it; links to results and logins by password end then."
                )
            time.sleep(0.05)
        return key


def user_path(folder: Path, path: str) -> Path:
    """A file below a folder, by the path that a user gives.

    Raises:
        FilePathInvalid: it is no path below the folder, through links neither.
    """
    parts = path.split("/")
    bad = (
        not path
        or len(path) > _LONGEST
        or any(p in ("", ".", "..") or len(p.encode()) > 200 for p in parts)
        or any(ord(c) < 32 or c in "\\\x7f" for c in path)
        or any(p.startswith(".") for p in parts)
    )
    if not bad:
        found = folder.joinpath(*parts)
        if found.resolve().is_relative_to(folder.resolve()):
            return found
    raise FilePathInvalid(
        f"{path!r} cannot be the path of a file.",
        hint="Use names of folders and a file with / between, none of which begins with a dot.",
    )
