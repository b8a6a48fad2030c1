"""Signatures of S3, by botocore."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from acreage.catalog.access.address import s3_url
from acreage.catalog.access.model import Access, AccessFailed, from_environment
from acreage.catalog.access.renewal import Renewals, Signed


@dataclass(frozen=True)
class _Session:
    """What botocore found.

    Attributes:
        credentials: botocore's, None where there are none.
        region: as configured, else empty.
        endpoint: as AWS's own tools would take it from the environment, else empty.
    """

    credentials: Any
    region: str
    endpoint: str


class S3Signer:
    """AWS signature version 4 by botocore; unsigned where no credentials are to be found."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._sessions = Renewals()
        self._regions: dict[str, str] = {}

    def learn_region(self, address: str, region: str) -> bool:
        """The bucket's region, as its server told; False where that is nothing new."""
        bucket = urlsplit(address).netloc
        if not region or self._regions.get(bucket) == region:
            return False
        self._regions[bucket] = region
        return True

    def sign(self, address: str, spent: object | None = None) -> Signed:
        """As `Signer.sign`."""
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest

        session = self._sessions.get("session", self._load)
        if spent is not None and _frozen(session.credentials) == spent:
            session = self._sessions.get("session", self._load, session)
        region = self._regions.get(urlsplit(address).netloc) or session.region
        url = address
        if urlsplit(address).scheme == "s3":
            access = self.access
            if session.endpoint and not access.endpoint:
                access = replace(access, endpoint=session.endpoint, addressing="path")
            url = s3_url(address, access, region)
        headers = {"x-amz-request-payer": "requester"} if self.access.requester_pays else {}
        credentials = _frozen(session.credentials)
        if credentials is None:
            return Signed(url, headers)
        request = AWSRequest(method="GET", url=url, headers=headers)
        S3SigV4Auth(credentials, "s3", region or "us-east-1").add_auth(request)
        return Signed(url, dict(request.headers.items()), credentials)

    def _load(self) -> tuple[_Session, None]:
        import botocore.session
        from botocore.credentials import Credentials
        from botocore.exceptions import BotoCoreError

        access = self.access
        try:
            session = botocore.session.Session(profile=access.profile or None)
            region = access.region or os.environ.get("AWS_REGION") or ""
            region = region or session.get_config_variable("region") or ""
            endpoint = "" if access.endpoint else _environment_endpoint(session)
            if access.signing != "s3":
                return _Session(None, region, endpoint), None
            if access.access_key:
                what = "the S3 {} key".format
                token = access.session_token
                credentials: Any = Credentials(
                    from_environment(access.access_key, what("access")),
                    from_environment(access.secret_key, what("secret")),
                    from_environment(token, "the S3 session token") if token else None,
                )
            else:
                credentials = session.get_credentials()
            return _Session(credentials, region, endpoint), None
        except BotoCoreError as error:
            raise AccessFailed(
                f"The S3 credentials cannot be had: {error}.", hint="Check the AWS configuration."
            ) from error

    def explain(self) -> str:
        """As `Signer.explain`."""
        access = self.access
        if access.signing != "s3":
            return "It was asked for without credentials; name some under 'access' (docs/catalogs.md)."
        kept = self._sessions.peek("session")
        if access.access_key:
            where = f"{access.access_key} and {access.secret_key}"
        elif access.profile:
            where = f"the AWS profile {access.profile}"
        else:
            where = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or an AWS profile"
        if kept is None or kept.credentials is None:
            return f"No credentials were found: set {where}."
        payer = "" if access.requester_pays else " A bucket whose readers pay needs requester_pays."
        return f"Check the credentials in {where}.{payer}"


def _frozen(credentials: Any) -> Any:
    """The credentials of this moment (those of a role renew themselves), None where there are none."""
    return None if credentials is None else credentials.get_frozen_credentials()


def environment_endpoint() -> str:
    """The S3 server that AWS's own tools would take from environment variables, else empty."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _environment_endpoint(session: Any) -> str:
    """The endpoint that AWS's own tools would take from the environment or the profile."""
    return environment_endpoint() or str(session.get_scoped_config().get("endpoint_url") or "")
