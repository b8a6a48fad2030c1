"""Results of batch jobs in a bucket of an S3-compatible store.

Every attempt of a job has a place of its own, `PREFIX/JOB/PLACE/NAME`, whose name is never used again. A
result is there once the job's record names its place: what lies elsewhere is nobody's, and is swept.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from acreage.backend.bucket_address import BucketAddress, told_as_ours
from acreage.backend.errors import ResultStoreFailed
from acreage.core.errors import FileNotFound, InvalidInput

OWNER = "acreage-installation"
"""Key that says whose the prefix is."""
_ATTEMPTS, _CONNECT_S, _READ_S, _POOL = 5, 10, 60, 50
_LOOK_S, _LOOK_EVERY_S = 2, 5
"""Who asks whether it answers does not wait for long, and whoever asks often asks the store less often."""
_DELETED_AT_ONCE = 1000
_CHUNK = 1 << 18

_log = logging.getLogger(__name__)

Place = tuple[str, str]
"""Id of a job, and the place of one of its attempts."""


@dataclass(frozen=True)
class Opened:
    """A file of a bucket, or a range of it, that is being read.

    Attributes:
        chunks: of the content; ends the transfer when it is closed.
        headers: of HTTP: length, range, tag.
        status: 200, or 206 for a range.
    """

    chunks: Iterator[bytes] = field(repr=False)
    headers: Mapping[str, str]
    status: int


class Bucket:
    """A bucket; safe to use from many threads.

    Args:
        address: where it is.

    Raises:
        ResultStoreFailed: credentials or address cannot be used.
    """

    def __init__(self, address: BucketAddress) -> None:
        self.address = address
        self._looking, self._looked, self._answers = threading.Lock(), -math.inf, True
        with told_as_ours(address, "reached"):
            session = boto3.Session(profile_name=address.profile, region_name=address.region)
            self._client = _client(session, address, _ATTEMPTS, _CONNECT_S, _READ_S)
            self._hasty = _client(session, address, 1, _LOOK_S, _LOOK_S)

    @property
    def answers(self) -> bool:
        """Whether it can be read now, found out within seconds; the log says why not."""
        with self._looking:
            if time.monotonic() - self._looked > _LOOK_EVERY_S:
                try:
                    with told_as_ours(self.address, "read"):
                        self._hasty.head_object(Bucket=self.address.bucket, Key=self._key(OWNER))
                    self._answers = True
                except (ResultStoreFailed, FileNotFound) as error:
                    _log.error("The server is not ready: %s", error.message)
                    self._answers = False
                self._looked = time.monotonic()
            return self._answers

    def claim(self, installation: str) -> None:
        """See that the bucket can be written, and that nobody else keeps results under the prefix.

        Raises:
            ResultStoreFailed: it cannot be read or written.
            InvalidInput: the prefix is another installation's, whose results would be swept.
        """
        owner = self._owner()
        if owner is None:
            with told_as_ours(self.address, "written"):
                self._client.put_object(
                    Bucket=self.address.bucket, Key=self._key(OWNER), Body=installation.encode()
                )
            owner = self._owner()
        if owner != installation:
            raise InvalidInput(
                f"{self.address} holds results of another installation of acreage.",
                hint="Name another prefix, or serve with the database that belongs to it.",
            )

    def _owner(self) -> str | None:
        try:
            with told_as_ours(self.address, "read"):
                found = self._client.get_object(Bucket=self.address.bucket, Key=self._key(OWNER))
                return str(found["Body"].read(200).decode("utf-8", "replace"))
        except FileNotFound:
            return None

    def upload(self, job_id: str, place: str, files: Sequence[Path], types: Mapping[str, str]) -> None:
        """Put files into a place.

        Args:
            job_id: of the job.
            place: that no other attempt has.
            files: by whose names they are kept.
            types: media types by name.

        Raises:
            ResultStoreFailed: not all of them could be put; what could be is left to the sweep.
        """
        for path in files:
            with told_as_ours(self.address, "written"):
                self._client.upload_file(
                    str(path),
                    self.address.bucket,
                    self._key(job_id, place, path.name),
                    ExtraArgs={"ContentType": types.get(path.name, "application/octet-stream")},
                )

    def open(self, job_id: str, place: str, name: str, ranged: str | None, *, head: bool) -> Opened:
        """A file, or what a header `Range` asks of it.

        Args:
            job_id: of the job.
            place: of the attempt.
            name: of the file.
            ranged: the header.
            head: no content is wanted.

        Raises:
            FileNotFound, RangeNotSatisfiable, ResultStoreFailed
        """
        asked: dict[str, Any] = {"Bucket": self.address.bucket, "Key": self._key(job_id, place, name)}
        if ranged is not None and ranged.startswith("bytes=") and "," not in ranged:
            asked["Range"] = ranged
        with told_as_ours(self.address, "read"):
            found = self._client.head_object(**asked) if head else self._client.get_object(**asked)
        headers = {"Accept-Ranges": "bytes", "Content-Length": str(found["ContentLength"])}
        if "ETag" in found:
            headers["ETag"] = found["ETag"]
        if "ContentRange" in found:
            headers["Content-Range"] = found["ContentRange"]
        status = 206 if "ContentRange" in found else 200
        return Opened(iter(()) if head else _chunks(found["Body"]), headers, status)

    def signed(self, job_id: str, place: str, name: str, seconds: int) -> str:
        """The address of a file at the store itself, for some seconds."""
        asked = {
            "Bucket": self.address.bucket,
            "Key": self._key(job_id, place, name),
            "ResponseContentDisposition": f'attachment; filename="{name}"',
        }
        with told_as_ours(self.address, "reached"):
            return str(self._client.generate_presigned_url("get_object", Params=asked, ExpiresIn=seconds))

    def remove(self, job_id: str, place: str | None = None) -> None:
        """Remove what a job has there, or one of its places.

        Raises:
            ResultStoreFailed
        """
        prefix = self._key(job_id, *([] if place is None else [place])) + "/"
        self._delete([o["Key"] for o in self._objects(prefix)])

    def places(self) -> dict[Place, datetime]:
        """All places that have something, also parts of uploads that were not ended; with their last change.

        Raises:
            ResultStoreFailed
        """
        found: dict[Place, datetime] = {}
        entries = [(o["Key"], o["LastModified"]) for o in self._objects(self._key(""))]
        entries += [(u["Key"], u["Initiated"]) for u in self._uploads(self._key(""))]
        for key, changed in entries:
            parts = key.removeprefix(self._key("")).split("/")
            if len(parts) == 3:  # what is not ours has another form
                place = parts[0], parts[1]
                found[place] = max(found.get(place, changed), changed)
        return found

    def sweep(self, older_than: datetime, kept: Callable[[set[str]], Mapping[str, str | None]]) -> int:
        """Remove places that no job has, and uploads that nobody will end.

        Args:
            older_than: what was changed later is left alone.
            kept: of these jobs, those that may have something: with the place, or None where it is not
                known yet. Asked after the bucket was listed, so that no place of a job that ended in between
                is taken for nobody's.

        Returns:
            How many places went.

        Raises:
            ResultStoreFailed
        """
        places = {p: changed for p, changed in self.places().items() if changed < older_than}
        known = kept({job_id for job_id, _ in places})
        count = 0
        for job_id, place in places:
            if job_id in known and known[job_id] in (None, place):
                continue
            for upload in self._uploads(self._key(job_id, place) + "/"):
                with (
                    suppress(FileNotFound),
                    told_as_ours(self.address, "written"),
                ):  # another server may be sweeping
                    self._client.abort_multipart_upload(
                        Bucket=self.address.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
            self.remove(job_id, place)
            count += 1
        return count

    def _objects(self, prefix: str) -> Iterator[Mapping[str, Any]]:
        with told_as_ours(self.address, "listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.address.bucket, Prefix=prefix
            )
            for page in pages:
                yield from page.get("Contents", ())

    def _uploads(self, prefix: str) -> Iterator[Mapping[str, Any]]:
        with told_as_ours(self.address, "listed"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.address.bucket, Prefix=prefix
            )
            for page in pages:
                yield from page.get("Uploads", ())

    def _delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            some = [{"Key": k} for k in keys[start : start + _DELETED_AT_ONCE]]
            with told_as_ours(self.address, "written"):
                answer = self._client.delete_objects(
                    Bucket=self.address.bucket, Delete={"Objects": some, "Quiet": True}
                )
            if errors := answer.get("Errors"):
                raise ResultStoreFailed(
                    f"{len(errors)} files of {self.address} cannot be deleted ({errors[0].get('Code')}).",
                    hint="Give the server's credentials the right to delete.",
                )

    def _key(self, *parts: str) -> str:
        return "/".join([*([self.address.prefix] if self.address.prefix else []), *parts])


def _client(
    session: boto3.Session, address: BucketAddress, attempts: int, connect_s: float, read_s: float
) -> Any:
    return session.client(
        "s3",
        endpoint_url=address.endpoint,
        config=Config(
            signature_version="s3v4",
            retries={"max_attempts": attempts, "mode": "standard"},
            connect_timeout=connect_s,
            read_timeout=read_s,
            max_pool_connections=_POOL,
            # Other stores than AWS's know neither its checksums nor buckets as names of hosts.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"} if address.endpoint else {},
        ),
    )


def _chunks(body: Any) -> Iterator[bytes]:
    try:
        yield from body.iter_chunks(_CHUNK)
    finally:
        body.close()
