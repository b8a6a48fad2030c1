"""Servers of files whose addresses must be signed, and services that sign them.

A signature is an HMAC over the path, an end in seconds since 1970 and a generation. The server takes
signatures of its present generation only, so that a test can make all of them expire at one moment.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.servers.faulty import Answer, Backend, Request, folder_backend

SECRET = b"known to server and service only"


@dataclass
class Signatures:
    """The signatures of a store.

    Attributes:
        lifetime: seconds for which a new one holds.
        generation: only these are taken.
        given: what the service was asked for.
        refused: requests that were not signed well.
    """

    lifetime: float = 3600.0
    generation: int = 0
    given: list[str] = field(default_factory=list)
    refused: int = 0

    def query(self, scope: str) -> str:
        """The query that signs a path, or all paths below a container."""
        end = f"{time.time() + self.lifetime:.3f}"
        text = f"{scope} {end} {self.generation}"
        sig = hmac.new(SECRET, text.encode(), hashlib.sha256).hexdigest()
        return f"se={end}&sp={scope.replace('/', '%2F')}&sv={self.generation}&sig={sig}"

    def expire(self) -> None:
        """No signature given so far is taken any longer."""
        self.generation += 1

    def admit(self, request: Request) -> Answer | None:
        """A refusal, None where the request is signed well."""
        query = {k: v[0] for k, v in parse_qs(urlsplit(request.path).query).items()}
        scope, end, version = query.get("sp", ""), query.get("se", "0"), query.get("sv", "")
        text = f"{scope} {end} {version}"
        right = hmac.new(SECRET, text.encode(), hashlib.sha256).hexdigest()
        ok = (
            hmac.compare_digest(query.get("sig", ""), right)
            and request.file.startswith(scope)
            and float(end) > time.time()
            and version == str(self.generation)
        )
        if ok:
            return None
        self.refused += 1
        return Answer(403, {}, b"<Error><Code>AuthenticationFailed</Code></Error>")


def signed_backend(folder: Path, signatures: Signatures) -> Backend:
    """A folder's files for signed requests; `/token/...` signs containers, and items have signed hrefs.

    JSON documents need no signature. In an item, each asset's href is signed when the item is read.
    """
    plain = folder_backend(folder)

    def answer(request: Request) -> Answer:
        if request.file.startswith("/token/"):
            signatures.given.append(request.file)
            container = "/" + request.file.removeprefix("/token/").split("/", 1)[1]
            end = datetime.fromtimestamp(time.time() + signatures.lifetime, UTC)
            document = {"token": signatures.query(container), "msft:expiry": end.isoformat()}
            return Answer(200, {"Content-Type": "application/json"}, json.dumps(document).encode())
        if request.file.endswith(".json"):
            found = plain(request)
            document = json.loads(found.body) if found.status == 200 else {}
            if "assets" not in document:
                return found
            signatures.given.append(request.file)
            signed = with_signed_hrefs(document, request.file, signatures)
            return Answer(200, found.headers, json.dumps(signed).encode())
        return signatures.admit(request) or plain(request)

    return answer


def with_signed_hrefs(
    item: Mapping[str, Any], path: str, signatures: Signatures, sign: Callable[[str], str] | None = None
) -> dict[str, Any]:
    """An item whose relative hrefs are signed for their paths on the same server."""
    folder = path.rpartition("/")[0]
    assets = {}
    for key, asset in item["assets"].items():
        place = f"{folder}/{asset['href'].removeprefix('./')}"
        assets[key] = {**asset, "href": f"{asset['href']}?{(sign or signatures.query)(place)}"}
    return {**item, "assets": assets}
