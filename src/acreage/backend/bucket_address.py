"""Where a bucket of results is, and what is told where it cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from acreage.backend.errors import RangeNotSatisfiable, ResultStoreFailed
from acreage.core.errors import FileNotFound, InvalidInput

_ABSENT = ("404", "NoSuchKey", "NotFound", "NoSuchUpload")


@dataclass(frozen=True)
class BucketAddress:
    """Where a bucket is. Credentials are found as AWS's own tools find them; they are never part of it.

    Attributes:
        bucket: name.
        prefix: of all keys, without slashes at its ends; may be empty.
        endpoint: of a store that is not AWS's.
        region: of the bucket.
        profile: of the credentials, in AWS's configuration files.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None

    @staticmethod
    def of(
        url: str, endpoint: str | None = None, region: str | None = None, profile: str | None = None
    ) -> BucketAddress:
        """From `s3://BUCKET/PREFIX`.

        Raises:
            InvalidInput: it is no such address.
        """
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
            raise InvalidInput(
                "ACREAGE_SERVER_RESULTS names no bucket.", hint="Write it as s3://BUCKET/PREFIX."
            )
        return BucketAddress(parts.netloc, parts.path.strip("/"), endpoint, region, profile)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@contextmanager
def told_as_ours(address: BucketAddress, what: str) -> Iterator[None]:
    """Errors of the library as ours; of those that AWS's libraries raise, none has a secret in its text.

    Raises:
        FileNotFound, RangeNotSatisfiable, ResultStoreFailed
    """
    try:
        try:
            yield
        except Boto3Error as error:
            # Transfers tell what the store answered within a text of their own, with names of our files.
            if isinstance(error.__context__, ClientError):
                raise error.__context__ from None
            raise
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if code in _ABSENT:
            raise FileNotFound("There is no such file.", hint="It may have been computed anew.") from error
        if code in ("416", "InvalidRange"):
            raise RangeNotSatisfiable("The file has no such range.") from error
        raise ResultStoreFailed(
            f"The result store {address} cannot be {what}: it answered {code}.",
            hint="Check the bucket, its rights and the server's credentials (docs/operations.md).",
        ) from error
    except (BotoCoreError, Boto3Error, ValueError) as error:
        raise ResultStoreFailed(
            f"The result store {address} cannot be {what}: {error}",
            hint="Check its address and the server's credentials (docs/operations.md).",
        ) from error
