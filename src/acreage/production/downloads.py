"""Files of results: which there are, and downloading them in parts that go on after a break."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import requests

from acreage.core.errors import BackEndNonsense, BackEndTransient, WriteFailed

Ask = Callable[[str, Mapping[str, str]], requests.Response]
"""Asks for an address with headers; the answer's body is streamed."""
_CHUNK = 1 << 20
_MULTIHASHES = {"11": "sha1", "12": "sha256", "13": "sha512", "d5": "md5"}


@dataclass(frozen=True)
class RemoteFile:
    """A file of results.

    Attributes:
        name: that it gets on this machine.
        href: its address.
        roles: as its metadata have them; `account` is the account of the inputs, `asset` without any.
        media_type: as stated.
        size: bytes, where stated.
        checksum: multihash in hexadecimal, where stated.
    """

    name: str
    href: str
    roles: tuple[str, ...] = ("asset",)
    media_type: str = ""
    size: int | None = None
    checksum: str | None = None

    @property
    def is_raster(self) -> bool:
        """Whether it is a GeoTIFF with data."""
        tiff = "tiff" in self.media_type or self.name.lower().endswith((".tif", ".tiff"))
        return tiff and not {"metadata", "thumbnail", "overview"} & set(self.roles)


def files_of(document: Mapping[str, Any], base: str, backend: str) -> tuple[RemoteFile, ...]:
    """The files that the metadata of results name: assets, and what describes them.

    Args:
        document: STAC collection or item.
        base: its own address; relative ones are relative to it.
        backend: for messages.

    Raises:
        BackEndNonsense: there are none, or one has no address.
    """
    assets = document.get("assets")
    if not isinstance(assets, Mapping) or not assets:
        raise BackEndNonsense(f"The results of {backend} have no assets.", backend=backend)
    found: dict[str, RemoteFile] = {}
    for key, asset in assets.items():
        if not isinstance(asset, Mapping) or not isinstance(asset.get("href"), str):
            raise BackEndNonsense(f"The asset {key} of {backend} has no address.", backend=backend)
        file = _file(str(key), asset, urljoin(base, asset["href"]), found)
        found[file.name] = file
    for link in document.get("links") or ():
        if (
            isinstance(link, Mapping)
            and link.get("rel") == "describedby"
            and isinstance(link.get("href"), str)
        ):
            about = {"type": link.get("type"), "roles": ["account"]}
            file = _file(str(link.get("title") or "inputs.json"), about, urljoin(base, link["href"]), found)
            found[file.name] = file
    return tuple(found.values())


def _file(key: str, about: Mapping[str, Any], href: str, taken: Mapping[str, Any]) -> RemoteFile:
    name = (
        key
        if re.fullmatch(r"[\w.-]+\.[A-Za-z0-9]{1,10}", key)
        else PurePosixPath(unquote(urlsplit(href).path)).name
    )
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "asset"
    while name in taken:
        name = f"again-{name}"
    roles = about.get("roles")
    size, checksum = about.get("file:size"), about.get("file:checksum")
    return RemoteFile(
        name,
        href,
        tuple(map(str, roles)) if isinstance(roles, list) and roles else ("asset",),
        str(about.get("type") or ""),
        size if isinstance(size, int) and not isinstance(size, bool) else None,
        checksum if isinstance(checksum, str) else None,
    )


def checksum_of(path: Path, stated: str) -> bool | None:
    """Whether a file has a multihash; None: the hash is of no kind that is known here."""
    try:
        raw = bytes.fromhex(stated)
    except ValueError:
        return None
    # The code and the length are variable-length integers; MD5's code takes two bytes.
    name, start = _MULTIHASHES.get(stated[:2].lower()), 3 if stated[:2].lower() == "d5" else 2
    if name is None or len(raw) <= start:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, name).digest() == raw[start:]


def is_whole(path: Path, file: RemoteFile) -> bool:
    """Whether a file lies there as its metadata say; without a stated size or checksum it is not known."""
    if not path.is_file() or (file.size is None and file.checksum is None):
        return False
    if file.size is not None and path.stat().st_size != file.size:
        return False
    return file.checksum is None or checksum_of(path, file.checksum) is not False


def download(file: RemoteFile, folder: Path, ask: Ask, part: int, backend: str) -> Path:
    """Download a file in parts of so many bytes; what an earlier try left is continued.

    Raises:
        BackEndTransient: fewer bytes came than were announced.
        WriteFailed: the disk refused.
    """
    target, partial = folder / file.name, folder / f".{file.name}.part"
    if is_whole(target, file):
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file.size is not None and partial.exists() and partial.stat().st_size > file.size:
            partial.unlink()
        _parts(file, partial, ask, part, backend)
        partial.replace(target)
        _mark(partial).unlink(missing_ok=True)
    except requests.RequestException:
        raise
    except OSError as error:
        raise WriteFailed(
            f"{target} cannot be written: {error.strerror or error}.", hint="Make room, then run on."
        ) from error
    return target


def _mark(partial: Path) -> Path:
    """Where it is kept which version of a file an unfinished download is of."""
    return partial.with_suffix(".etag")


def _parts(file: RemoteFile, partial: Path, ask: Ask, part: int, backend: str) -> None:
    done = partial.stat().st_size if partial.exists() else 0
    mark = _mark(partial)
    etag = mark.read_text("utf-8") if mark.exists() else ""
    if done and not etag:
        partial.unlink()  # it is not known which version its bytes are of
        done = 0
    while True:
        headers = {"Range": f"bytes={done}-{done + part - 1}"}
        if done:
            headers["If-Range"] = etag
        with ask(file.href, headers) as answer:
            ranged = answer.status_code == 206
            if not ranged:
                done = 0  # the whole file, or another version of it
            etag = answer.headers.get("ETag", "")
            if ranged and etag and not etag.startswith("W/"):
                mark.write_text(etag, "utf-8")
            expected = _announced(answer)
            written = _write(partial, answer, append=done > 0)
            total = _total(answer) if ranged else None
        done += written
        if expected is not None and written != expected:
            raise BackEndTransient(
                f"{backend} sent {written:,} of {expected:,} bytes of {file.name}.", backend=backend
            )
        if not ranged or total is None or done >= total:
            return


def _write(partial: Path, answer: requests.Response, *, append: bool) -> int:
    written = 0
    with partial.open("ab" if append else "wb") as out:
        for chunk in _chunks(answer):
            out.write(chunk)
            written += len(chunk)
    return written


def _chunks(answer: requests.Response) -> Iterator[bytes]:
    yield from answer.iter_content(_CHUNK)


def _announced(answer: requests.Response) -> int | None:
    if answer.headers.get("Content-Encoding"):
        return None  # the length is that of the packed bytes
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _total(answer: requests.Response) -> int | None:
    total = answer.headers.get("Content-Range", "").rpartition("/")[2]
    return int(total) if total.isdecimal() else None
