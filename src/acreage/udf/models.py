"""Models that a UDF's context names: fetched outside of it, checked, given to it as a read-only file.

`context["model"]` is an address, with `context["model_sha256"]` beside it, or an object with `href` and
`sha256`. The UDF gets the same context with a local path in the address's place, so that one and the same UDF
opens a path here and fetches the address itself on a back end that leaves contexts alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol
from urllib.parse import unquote, urlsplit

import requests
import urllib3.exceptions

from acreage.core.errors import AcreageError
from acreage.udf.errors import UdfModelUnavailable

_CHUNK = 1 << 20
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class Readable(Protocol):
    """Something that bytes are read from."""

    def read(self, amt: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


class Download(Protocol):
    """Fetches a file; picklable, and equal where it does the same."""

    def __call__(self, address: str, path: Path, most_bytes: int, /) -> None:
        """Write what is at an http(s) address into a file that is not there yet.

        Raises:
            AcreageError: it cannot be had, or is larger than `most_bytes`.
        """
        ...


class ModelCache:
    """A folder of models, each under its own hash; safe to share between threads and processes.

    Equal where its arguments are. Pickled, it travels as these: each process verifies for itself.

    Args:
        folder: made where it is not there.
        local_files: whether addresses may be files of this machine. A server for strangers says no.
        max_bytes: of one model.
        timeout_s: for connecting, and between two pieces of a download.
        download: fetches http(s) addresses in the place of a plain request, for addresses of strangers.
    """

    def __init__(
        self,
        folder: Path,
        *,
        local_files: bool = True,
        max_bytes: int = 2 * 1024**3,
        timeout_s: float = 30.0,
        download: Download | None = None,
    ) -> None:
        self._folder = folder
        self._local_files = local_files
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._fetched_by = download
        self._verified: dict[tuple[str, str], Path] = {}
        self._lock = threading.Lock()

    @property
    def _arguments(self) -> tuple[Path, bool, int, float, Download | None]:
        return self._folder, self._local_files, self._max_bytes, self._timeout_s, self._fetched_by

    def __reduce__(self) -> tuple[object, ...]:
        return _model_cache, self._arguments

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelCache) and self._arguments == other._arguments

    def __hash__(self) -> int:
        return hash(self._arguments)

    def localise(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """The context with its model's address replaced by a local, read-only path; as it is without a model.

        Raises:
            UdfModelUnavailable: the model is not there, too large, or has another hash than the context says.
        """
        path = self.local_file(context)
        return dict(context) if path is None else with_model_at(context, path)

    def local_file(self, context: Mapping[str, Any]) -> Path | None:
        """A verified local copy of the model that a context names, if it names one (errors as `localise`)."""
        model = context.get("model")
        if isinstance(model, str):
            return self.fetch(model, _text(context, "model_sha256"))
        if isinstance(model, Mapping) and isinstance(model.get("href"), str):
            return self.fetch(model["href"], _text(model, "sha256"))
        return None

    def fetch(self, href: str, sha256: str | None = None) -> Path:
        """A verified local copy of a model.

        Args:
            href: a path, a file:// or an http(s):// address.
            sha256: in hexadecimal; required for http(s).

        Raises:
            UdfModelUnavailable: as `localise`.
        """
        if sha256 is not None and not _SHA256.fullmatch(sha256):
            raise UdfModelUnavailable(
                f"The hash {sha256!r} of model {href} is no SHA-256.", hint="Give 64 hex digits."
            )
        wanted = sha256.lower() if sha256 else ""
        with self._lock:
            if wanted and (href, wanted) in self._verified:
                return self._verified[href, wanted]
            path = self._cached(href, wanted) if wanted else None
            if path is None:
                with self._opened(href, wanted) as stream:
                    path = self._store(href, stream, wanted)
            if wanted:
                self._verified[href, wanted] = path
            return path

    def _cached(self, href: str, wanted: str) -> Path | None:
        # A local file must be allowed and there, even where a copy of the same content is at hand.
        if urlsplit(href).scheme not in ("http", "https"):
            return None
        path = self._folder / wanted / _file_name(href)
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            return path if hashlib.file_digest(stream, "sha256").hexdigest() == wanted else None

    @contextmanager
    def _opened(self, href: str, wanted: str) -> Iterator[Readable]:
        scheme = urlsplit(href).scheme
        if scheme in ("http", "https"):
            if not wanted:
                raise UdfModelUnavailable(
                    f"The context has no hash for the model {href}.",
                    hint='Put its SHA-256 beside the address, as "model_sha256".',
                )
            fetched = self._plain_download if self._fetched_by is None else self._download_by
            with fetched(href) as stream:
                yield stream
            return
        path = _local_path(href, scheme)
        if not self._local_files:
            raise UdfModelUnavailable(
                f"The model {href} is a file, and files of the server cannot be named in a graph.",
                hint="Give an http(s) address.",
            )
        try:
            stream = path.open("rb")
        except OSError as error:
            raise UdfModelUnavailable(
                f"The model {path} cannot be read: {error.strerror}.",
                hint=f"Check the context's model path; the file must be there on {socket.gethostname()}.",
            ) from None
        with stream:
            yield stream

    @contextmanager
    def _download_by(self, href: str) -> Iterator[Readable]:
        assert self._fetched_by is not None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            try:
                self._fetched_by(href, path, self._max_bytes)
            except AcreageError as error:
                raise UdfModelUnavailable(
                    f"The model {href} cannot be fetched: {error.message}",
                    hint=error.hint or "Check the address and that its server answers.",
                ) from None
            with path.open("rb") as stream:
                yield stream

    @contextmanager
    def _plain_download(self, href: str) -> Iterator[Readable]:
        try:
            with requests.get(href, stream=True, timeout=self._timeout_s) as response:
                response.raise_for_status()
                response.raw.decode_content = True
                yield response.raw
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise UdfModelUnavailable(
                f"The model {href} cannot be fetched: {error}.",
                hint="Check the address and that its server answers.",
            ) from None

    def _store(self, href: str, stream: Readable, wanted: str) -> Path:
        try:
            return self._stored(href, stream, wanted)
        except OSError as error:
            raise UdfModelUnavailable(
                f"The model {href} cannot be kept in {self._folder}: {error.strerror or error}.",
                hint="Make room there, or name another folder in ACREAGE_CACHE.",
            ) from None

    def _stored(self, href: str, stream: Readable, wanted: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".model-", dir=self._folder)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as out:
                found = self._copy(href, stream, out)
            if wanted and found != wanted:
                raise UdfModelUnavailable(
                    f"The model {href} has the SHA-256 {found}, and {wanted} was asked for.",
                    hint="It was changed since, or damaged: restore it, or make the job anew.",
                )
            target = self._folder / found / _file_name(href)
            target.parent.mkdir(exist_ok=True)
            temporary.chmod(0o444)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return target

    def _copy(self, href: str, stream: Readable, out: IO[bytes]) -> str:
        digest, total = hashlib.sha256(), 0
        while chunk := stream.read(_CHUNK):
            total += len(chunk)
            if total > self._max_bytes:
                raise UdfModelUnavailable(
                    f"The model {href} has more than {self._max_bytes} bytes.", hint="Give a smaller one."
                )
            digest.update(chunk)
            out.write(chunk)
        return digest.hexdigest()


def with_model_at(context: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A context that names a model, with this path in its address's place."""
    model = context["model"]
    return {
        **context,
        "model": {**model, "href": str(path)} if isinstance(model, Mapping) else str(path),
    }


def _model_cache(
    folder: Path, local_files: bool, max_bytes: int, timeout_s: float, download: Download | None
) -> ModelCache:
    return ModelCache(
        folder, local_files=local_files, max_bytes=max_bytes, timeout_s=timeout_s, download=download
    )


def _text(values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    return None if value is None else str(value)


def _local_path(href: str, scheme: str) -> Path:
    if scheme == "file":
        return Path(unquote(urlsplit(href).path))
    if scheme and "://" in href:
        raise UdfModelUnavailable(
            f"The model's address {href} cannot be read.", hint="Use a path or http(s)."
        )
    return Path(href)


def _file_name(href: str) -> str:
    name = PurePosixPath(unquote(urlsplit(href).path)).name
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "model"
