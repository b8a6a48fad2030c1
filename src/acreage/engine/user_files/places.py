"""Where users' files are: in a folder of their own, or at an address that they give."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import urlsplit

from acreage.catalog.access import Guard, is_remote, shown
from acreage.catalog.access.public import PublicTransport
from acreage.core.errors import AddressRefused, FileNotFound, FilePathInvalid, FileSizeExceeded


class Workspace(Protocol):
    """What a service says of a user's files; it never answers with a file that is not the user's."""

    def resolve(self, path: str) -> Path:
        """The file behind a path as the user knows it.

        Raises:
            FilePathInvalid: the path names no file that the user may have.
            FileNotFound: there is none.
        """
        ...

    def result(self, address: str) -> Path | None:
        """The STAC document of a finished job's results, which the user may read; None for other addresses.

        Args:
            address: what a graph gives `load_stac`: an address of this service, or a job's id.
        """
        ...


@dataclass(frozen=True)
class FolderWorkspace:
    """A folder on this machine, and nothing outside of it, as the workspace of a user."""

    root: Path

    def resolve(self, path: str) -> Path:
        """The file at a path relative to the folder (errors as `Workspace.resolve`)."""
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or not path.isprintable():
            raise FilePathInvalid(
                f"{path[:200]!r} is not the path of a file in your workspace.",
                hint="Give it relative to the workspace, without '..'.",
            )
        root = self.root.resolve()
        try:
            # Links are followed before it is asked where the file lies.
            found = root.joinpath(*parts).resolve(strict=True)
            kind = found.stat().st_mode
        except (OSError, RuntimeError) as error:
            raise FileNotFound(f"There is no file {path[:200]!r} in your workspace.") from error
        if not found.is_relative_to(root) or not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise FilePathInvalid(f"{path[:200]!r} does not lie in your workspace.")
        if stat.S_ISDIR(kind):
            raise FilePathInvalid(f"{path[:200]!r} is a folder.", hint="Name its files.")
        return found

    def result(self, address: str) -> Path | None:
        """None: a folder knows of no jobs."""
        return None


@dataclass(frozen=True)
class Limits:
    """What users' files may take.

    Attributes:
        files: of one load.
        download_bytes: of a file at an address.
        table_bytes: of a GeoJSON or GeoParquet file, unpacked.
        cells: values of a netCDF file without x and y, and labels of a dimension.
        block_bytes: of a block or chunk, which is unpacked as a whole.
        bands: of a file.
        open_bytes: memory of the process that opens files.
        open_seconds: that it may take.
    """

    files: int = 1000
    download_bytes: int = 2_000_000_000
    table_bytes: int = 200_000_000
    cells: int = 20_000_000
    block_bytes: int = 256_000_000
    bands: int = 1000
    open_bytes: int = 2_000_000_000
    open_seconds: float = 60.0


@dataclass(frozen=True)
class UserFile:
    """One file.

    Attributes:
        name: as the user knows it; the only name that messages have.
        path: where it lies.
    """

    name: str
    path: Path


@dataclass(frozen=True)
class StacPlace:
    """What `load_stac` opens.

    Attributes:
        address: path or address of a STAC document.
        guard: by which it is read, with all that it leads to; None for what the machine's own people name.
        dimensions: types of those that the data has, None where that is not stated.
    """

    address: str
    guard: Guard | None = None
    dimensions: frozenset[str] | None = None


@dataclass(frozen=True)
class UserFiles:
    """The files that a user's graph may load.

    Attributes:
        workspace: of the user; None where there are no uploaded files.
        downloads: an existing folder of the job, into which addresses are loaded; None where that is not
            allowed.
        limits: of files.
        transport: by which addresses are reached.
        machine_paths: whether `load_stac` takes paths of this machine, as on the command line.
        model_code: source of the functions that run models, by the `mlm:artifact_type` of their files; for
            files that only code can open.
    """

    workspace: Workspace | None = None
    downloads: Path | None = None
    limits: Limits = Limits()
    transport: PublicTransport = field(default_factory=PublicTransport, compare=False)
    machine_paths: bool = False
    model_code: Mapping[str, str] = field(default_factory=dict)

    def uploaded(self, paths: Sequence[str]) -> tuple[UserFile, ...]:
        """Files of the workspace.

        Raises:
            FilePathInvalid: there is no workspace, or a path is none of it.
            FileNotFound: one is not there.
            FileSizeExceeded: they are too many.
        """
        if self.workspace is None:
            raise FilePathInvalid(
                "There is no workspace from which files could be loaded.",
                hint="Use load_collection or load_stac.",
            )
        if len(paths) > self.limits.files:
            raise FileSizeExceeded(f"{len(paths)} files are too many; {self.limits.files} are the most.")
        return tuple(UserFile(path, self.workspace.resolve(path)) for path in paths)

    def downloaded(self, address: str) -> UserFile:
        """The file at an address, loaded into the folder for downloads once.

        Raises:
            AddressRefused: addresses are not loaded here, or it is not a public one of the web.
            FileSizeExceeded: it is too large.
            AccessFailed: it cannot be had.
        """
        if self.downloads is None:
            raise AddressRefused(
                "Files at addresses are not loaded here.", hint="Use load_collection or load_stac."
            )
        name = PurePosixPath(urlsplit(address).path).name
        key = hashlib.sha256(address.encode()).hexdigest()[:16]
        path = self.downloads / key
        if not path.exists():
            self.transport.download(address, path, self.limits.download_bytes)
        return UserFile(name if name.isprintable() and name else shown(address), path)

    @property
    def guard(self) -> Guard:
        """By which addresses are read that this machine's own people did not name."""
        return Guard(tuple(sorted(self.transport.allowed)))

    def stac(self, address: str) -> StacPlace:
        """What `load_stac` opens: the results of a job where they lie, or the address itself.

        Raises:
            FilePathInvalid: a path of this machine where these are not taken.
        """
        own = None if self.workspace is None else self.workspace.result(address)
        if own is not None:
            return StacPlace(str(own), None, _stated_dimensions(own))
        if not self.machine_paths and not is_remote(address):
            raise FilePathInvalid(
                f"{address[:200]!r} is neither an address nor a job's results.", hint="Give an http address."
            )
        return StacPlace(address, None if self.machine_paths else self.guard)


def _stated_dimensions(document: Path) -> frozenset[str] | None:
    """Types of the dimensions that a STAC document states; None where it states none."""
    try:
        stated = json.loads(document.read_text("utf-8")).get("cube:dimensions")
    except (OSError, ValueError, AttributeError):
        return None  # whoever opens it says what is wrong
    if not isinstance(stated, Mapping) or not stated:
        return None
    return frozenset(str(d.get("type")) for d in stated.values() if isinstance(d, Mapping))
