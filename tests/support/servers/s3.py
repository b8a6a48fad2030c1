"""An S3 server on loopback that checks signatures (moto), behind one that makes faults and sees everything.

moto itself looks at signatures in headers only. Signed addresses are checked in front of it, by botocore's
own account of the signature, and then passed on with a signature in the headers.
"""

from __future__ import annotations

import json
import logging
import re
import urllib.request
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer
from tests.support.servers.faulty import Answer, Fault, FaultyServer, Request, proxy_backend, serving

REGION = "eu-central-1"
BUCKET = "archive"
_STATEMENT = {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::*"}
_POLICY = json.dumps({"Version": "2012-10-17", "Statement": [_STATEMENT]})


@dataclass
class S3Server:
    """A running S3 server and the faults in front of it.

    Attributes:
        front: the server that clients talk to.
        key, secret: a user's credentials, who may read everything.
        other: a second pair of the same user's.
        requester_pays: refuse requests that do not agree to pay.
        given: hrefs that were signed.
    """

    front: FaultyServer
    key: str
    secret: str
    other: tuple[str, str]
    requester_pays: bool = False
    given: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.front.address

    def environment(self) -> dict[str, str]:
        """The standard variables of AWS for it."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL_S3": self.address,
            "AWS_REGION": REGION,
        }

    def presigned(self, key: str, seconds: int) -> str:
        """A signed address of an object."""
        request = AWSRequest("GET", f"{self.address}/{BUCKET}/{key}")
        S3SigV4QueryAuth(Credentials(self.key, self.secret), "s3", REGION, expires=seconds).add_auth(request)
        self.given.append(key)
        return str(request.url)

    def admit(self, request: Request) -> Request | Answer:
        """The request as moto takes it, or a refusal."""
        if self.requester_pays and request.headers.get("x-amz-request-payer") != "requester":
            return _denied("AccessDenied")
        query = {k: v[0] for k, v in parse_qs(urlsplit(request.path).query).items()}
        if "X-Amz-Signature" in query:
            return self._admit_presigned(request, query)
        return request if "authorization" in request.headers else _denied("AccessDenied")

    def _admit_presigned(self, request: Request, query: dict[str, str]) -> Request | Answer:
        made = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if datetime.now(UTC) > made + timedelta(seconds=int(query["X-Amz-Expires"])):
            return _denied("AccessDenied", "Request has expired")
        unsigned = re.sub(r"&X-Amz-Signature=[0-9a-f]+", "", request.path)
        asked = AWSRequest("GET", f"http://{request.headers['host']}{unsigned}")
        asked.context["timestamp"] = query["X-Amz-Date"]
        auth = S3SigV4QueryAuth(Credentials(self.key, self.secret), "s3", REGION)
        canonical = auth.canonical_request(asked)
        if auth.signature(auth.string_to_sign(asked, canonical), asked) != query["X-Amz-Signature"]:
            return _denied("SignatureDoesNotMatch")
        path = urlsplit(request.path).path
        signed = AWSRequest("GET", f"http://{request.headers['host']}{path}")
        S3SigV4Auth(Credentials(self.key, self.secret), "s3", REGION).add_auth(signed)
        headers = {k.lower(): v for k, v in signed.headers.items()}
        return Request("GET", path, {**request.headers, **headers}, request.at)


def _denied(code: str, message: str = "Access Denied") -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(403, {"Content-Type": "application/xml"}, body.encode())


@contextmanager
def moto_server() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A bare S3 server; yields its address and two pairs of a user's credentials."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    try:
        iam = boto3.client("iam", endpoint_url=address, region_name=REGION, **_anybody())
        iam.create_user(UserName="reader")
        iam.put_user_policy(UserName="reader", PolicyName="all", PolicyDocument=_POLICY)
        keys = [iam.create_access_key(UserName="reader")["AccessKey"] for _ in range(2)]
        yield address, [(key["AccessKeyId"], key["SecretAccessKey"]) for key in keys]
    finally:
        # moto keeps its state in this process, beyond the end of the server.
        _tell(address, "reset-auth", b"inf")
        _tell(address, "reset", b"")
        server.stop()


def _anybody() -> dict[str, str]:
    return {"aws_access_key_id": "setup", "aws_secret_access_key": "setup"}


def check_signatures(address: str) -> None:
    """From now on a bare server lets in only what is signed well."""
    _tell(address, "reset-auth", b"0")


def _tell(address: str, what: str, body: bytes) -> None:
    headers = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(f"{address}/moto-api/{what}", body, headers)).read()


def upload(address: str, folder: Path, key: str = "", secret: str = "") -> None:
    """Put all files of a folder into the bucket."""
    client = boto3.client(
        "s3", endpoint_url=address, region_name=REGION, config=Config(s3={"addressing_style": "path"}),
        **({"aws_access_key_id": key, "aws_secret_access_key": secret} if key else _anybody()),
    )  # fmt: skip
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        client.put_object(Bucket=BUCKET, Key=path.relative_to(folder).as_posix(), Body=path.read_bytes())


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Serve a folder's files as the objects of a bucket."""
    with moto_server() as (address, [(key, secret), other]):
        upload(address, folder)
        check_signatures(address)
        made: list[S3Server] = []

        def admit(request: Request) -> Request | Answer:
            return made[0].admit(request)

        with serving(proxy_backend(address, admit)) as front:
            made.append(S3Server(front, key, secret, other))
            yield made[0]


def faults_of(server: S3Server, faults: Iterable[Fault | None]) -> None:
    """The next requests meet these faults."""
    server.front.faults = deque(faults)
