"""Where models are: their items and files, at addresses, in a user's workspace, on this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from acreage.catalog.access import is_remote, shown
from acreage.catalog.access.address import join
from acreage.core.errors import AddressRefused, MlModelInvalid, ProcessParameterInvalid
from acreage.engine.models.item import ModelItem, read_item
from acreage.engine.user_files import UserFiles

_MOST_BYTES = 5_000_000  # of an item


@dataclass(frozen=True)
class ModelFile:
    """A model that a graph has loaded.

    Attributes:
        item: what is known of it.
        address: of its file where whoever runs functions fetches it, empty where it is at hand.
        path: of its file where it is at hand.
        sha256: of the file.
        source: of the code that runs it, None where that follows from the kind of its file.
    """

    item: ModelItem
    address: str
    path: Path | None
    sha256: str
    source: str | None = None


def load_model(arguments: Mapping[str, Any], files: UserFiles) -> ModelFile:
    """The model of a `load_ml_model` node. Its item is read, and checked as a whole.

    Args:
        arguments: of the node, without references.
        files: that the graph may load.

    Raises:
        ProcessParameterInvalid: the arguments name no item.
        MlModelInvalid, MlModelUnsupported: as `read_item`; or its file has another checksum.
        UserFileError: the item or its file is not there, or may not be loaded.
        AccessFailed: an address cannot be had.
    """
    given = [v for v in (arguments.get("uri"), arguments.get("id")) if v is not None]
    if len(given) != 1:
        raise ProcessParameterInvalid(
            "load_ml_model needs `uri`, or `id` in its place.",
            hint="Give the address of the model's STAC item, or the path of a file of yours.",
        )
    document, base = _document(str(given[0]), files)
    item = read_item(document, shown(base.name), files.model_code)
    source = files.model_code.get(item.artifact_type) if item.artifact == "code" else None
    href = item.href
    if is_remote(href) or base.remote:
        address = href if is_remote(href) else join(base.name, href)
        if not is_remote(address):
            raise AddressRefused(f"The model's file {href[:200]!r} is no address of the web.")
        if item.sha256 is not None and address.startswith("http"):
            return ModelFile(item, address, None, item.sha256, source)
        path = files.downloaded(address).path
    else:
        path = base.beside(href, files)
    return ModelFile(item, "", path, _checked(path, item), source)


@dataclass(frozen=True)
class _Base:
    """Where an item was found: an address, or a path as the user knows it."""

    name: str
    remote: bool = False
    machine: bool = False

    def beside(self, href: str, files: UserFiles) -> Path:
        """The file that the item names relative to itself."""
        if self.machine:
            return (Path(self.name).parent / href).absolute()
        path = PurePosixPath(self.name).parent / href
        return files.uploaded([str(path)])[0].path


def _document(address: str, files: UserFiles) -> tuple[Any, _Base]:
    own = None if files.workspace is None else files.workspace.result(address)
    if own is not None:
        base, data = _Base(address), own.read_bytes()
    elif is_remote(address):
        base = _Base(address, remote=True)
        data = files.transport.document(
            address, {"Accept": "application/geo+json, application/json"}, most_bytes=_MOST_BYTES
        )
    elif files.machine_paths:
        base = _Base(address, machine=True)
        data = _read(Path(address), address)
    else:
        base = _Base(address)
        data = _read(files.uploaded([address])[0].path, address)
    try:
        return json.loads(data), base
    except (ValueError, RecursionError) as error:
        raise MlModelInvalid(
            f"{shown(address)} is not JSON.", hint="Give the STAC item that describes the model."
        ) from error


def _read(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise MlModelInvalid(f"The item {name} cannot be read: {error.strerror}.") from error


def _checked(path: Path, item: ModelItem) -> str:
    """The SHA-256 of a file at hand, which must be the item's where that gives one."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MlModelInvalid(
            f"The file {item.href} of the model {item.name!r} cannot be read: {error.strerror}."
        ) from error
    if item.sha256 not in (None, found):
        raise MlModelInvalid(
            f"The file {item.href} of the model {item.name!r} has the SHA-256 {found}, and its item says "
            f"{item.sha256}.",
            hint="It was changed since, or damaged: restore it, or write the item anew.",
        )
    return found
