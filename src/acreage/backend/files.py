"""Files of users."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acreage.backend.disk import Disk
from acreage.backend.errors import FolderOperationUnsupported, StorageQuotaExceeded
from acreage.backend.jobs.logs import timestamp
from acreage.backend.storage import Storage, user_path
from acreage.core.errors import FileNotFound, FilePathInvalid


@dataclass(frozen=True)
class UserFiles:
    """The workspace of each user.

    Attributes:
        storage: of the server.
        quota: bytes of one user at most.
        disk: of the storage.
    """

    storage: Storage
    quota: int
    disk: Disk

    def listed(self, user_id: str) -> list[dict[str, Any]]:
        """All files of a user, by path."""
        folder = self.storage.files_of(user_id)
        found = []
        for path in sorted(_files(folder)):
            state = path.stat()
            found.append(_told(path.relative_to(folder).as_posix(), state))
        return found

    def used(self, user_id: str) -> int:
        """Bytes of a user's files."""
        return sum(p.stat().st_size for p in _files(self.storage.files_of(user_id)))

    def get(self, user_id: str, path: str) -> Path:
        """A file.

        Raises:
            FilePathInvalid, FileNotFound, FolderOperationUnsupported
        """
        found = user_path(self.storage.files_of(user_id), path)
        if found.is_dir():
            raise FolderOperationUnsupported(f"{path!r} is a folder.", hint="Name a file.")
        if not found.is_file():
            raise FileNotFound(f"There is no file {path!r}.")
        return found

    async def put(self, user_id: str, path: str, data: AsyncIterator[bytes]) -> dict[str, Any]:
        """Store a file, in the place of one that is there; it appears whole or not at all.

        Raises:
            FilePathInvalid, StorageQuotaExceeded
            DiskFull: there is no room.
        """
        self.disk.check()
        folder = self.storage.files_of(user_id)
        place = user_path(folder, path)
        if place.is_dir():
            raise FilePathInvalid(f"{path!r} is a folder.")
        replaced = place.stat().st_size if place.is_file() else 0
        free = self.quota - self.used(user_id) + replaced
        try:
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except (FileExistsError, NotADirectoryError) as error:
            raise FilePathInvalid(f"A folder of {path!r} is a file.") from error
        part = place.with_name(f".{secrets.token_hex(8)}.part")
        try:
            with part.open("wb") as file:
                size = 0
                async for chunk in data:
                    size += len(chunk)
                    if size > free:
                        raise StorageQuotaExceeded(
                            f"Files of one user may take {self.quota / 1e6:,.0f} MB in all.",
                            hint="Delete some first.",
                        )
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
        return _told(path, place.stat())

    def delete(self, user_id: str, path: str) -> None:
        """Remove a file, and folders that are empty then.

        Raises:
            FilePathInvalid, FileNotFound, FolderOperationUnsupported
        """
        self.get(user_id, path).unlink(missing_ok=True)
        folder = self.storage.files_of(user_id)
        for parent in user_path(folder, path).parents:
            if parent == folder or any(parent.iterdir()):
                break
            parent.rmdir()


def _files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and not p.is_symlink() and not p.name.startswith(".")]


def _told(path: str, state: os.stat_result) -> dict[str, Any]:
    changed = timestamp(datetime.fromtimestamp(state.st_mtime, UTC))
    return {"path": path, "size": state.st_size, "modified": changed}
