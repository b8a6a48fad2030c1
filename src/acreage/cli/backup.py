"""`acreage backup` and `acreage restore`: a server's database and files in one archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from acreage.backend.backup import back_up
from acreage.backend.backup import restore as restored
from acreage.backend.settings import load_server_settings
from acreage.backend.storage import Storage

StorageOption = Annotated[Path, typer.Option(help="The server's storage folder.")]
_STORAGE = Path("acreage-storage")


def backup(
    out: Annotated[Path, typer.Argument(help="The archive, a tar file; it must not exist.")],
    storage: StorageOption = _STORAGE,
) -> None:
    """Write database, results, logs and files of users of a server into one archive.

    The server may run meanwhile. Results in a bucket stay there.

    Example: `acreage backup backup-2026-03-01.tar --storage storage`
    """
    settings, own = load_server_settings(), Storage(storage.absolute())
    made = back_up(settings.database or own.database, own, out)
    more = f"; {made.missing} files were deleted meanwhile" if made.missing else ""
    Console(stderr=True).print(f"{out}: {made.jobs} jobs, {made.files} files{more}.", soft_wrap=True)


def restore(
    archive: Annotated[Path, typer.Argument(help="An archive that `acreage backup` wrote.")],
    storage: StorageOption = _STORAGE,
) -> None:
    """Put a backup into a new storage folder and, with ACREAGE_SERVER_DATABASE, an empty database.

    Example: `acreage restore backup-2026-03-01.tar --storage storage`
    """
    settings = load_server_settings()
    found = restored(archive, settings.database, storage.absolute())
    more = f"; of {found.missing} jobs the results are not in it" if found.missing else ""
    Console(stderr=True).print(f"{storage}: {found.jobs} jobs{more}.", soft_wrap=True)
