"""What routes share: addresses, logins, pages."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode, urlsplit

from fastapi import Depends, Query, Request

from acreage.backend.accounts.users import User
from acreage.backend.bodies import checked_body
from acreage.backend.errors import AuthenticationRequired, AuthenticationSchemeInvalid, RequestInvalid
from acreage.backend.server import Server, server_at, server_of

_BEARER = re.compile(r"Bearer\s+(\S+)", re.IGNORECASE)
ServerPart = Annotated[Server, Depends(server_of)]
Limit = Annotated[int | None, Query(ge=1, le=1_000_000, description="Entries of a page.")]
After = Annotated[
    str | None,
    Query(max_length=2000, pattern=r"^[^\x00]*$", description="Where a page begins; from the link to it."),
]


def base_url(request: Request) -> str:
    """The address of the API, without a slash at its end."""
    settings = server_at(request).settings
    stated = settings.public_url
    return str(stated if stated is not None else request.base_url).rstrip("/")


def own_host(request: Request) -> str:
    """The `host` or `host:port` under which the client reaches this server."""
    return urlsplit(base_url(request)).netloc


def address(request: Request, *parts: str, **query: str | int) -> str:
    """The address of a resource."""
    path = "/".join(quote(p, safe="") for p in parts)
    return f"{base_url(request)}/{path}" + (f"?{urlencode(query)}" if query else "")


def link(rel: str, href: str, **more: Any) -> dict[str, Any]:
    """A link object."""
    return {"rel": rel, "href": href, **more}


def page_links(request: Request, after: str | None, limit: int | None) -> list[dict[str, Any]]:
    """The link to the next page, where there is one."""
    if after is None or limit is None:
        return []
    path = request.url.path.strip("/")
    return [link("next", f"{base_url(request)}/{path}?{urlencode({'limit': limit, 'after': after})}")]


def user_of(request: Request) -> User:
    """Whose request it is, by its bearer token.

    Raises:
        AuthenticationRequired, AuthenticationSchemeInvalid, TokenInvalid
    """
    server = server_at(request)
    stated = request.headers.get("authorization")
    if not stated:
        raise AuthenticationRequired("This needs a login.", hint="Send a bearer token.")
    found = _BEARER.fullmatch(stated.strip())
    if found is None:
        raise AuthenticationSchemeInvalid("Only bearer tokens are taken here.")
    parts = found[1].split("/", 2)
    if len(parts) == 1:  # a JSON Web Token alone, as the API has it from 1.3 on, or a token of a password
        if parts[0].count(".") != 2:
            return server.accounts.by_token(parts[0])
        parts = ["oidc", server.providers.by_issuer(parts[0]), parts[0]]
    if len(parts) == 3 and parts[0] == "basic":
        return server.accounts.by_token(parts[2])
    if len(parts) == 3 and parts[0] == "oidc":
        return server.accounts.known(server.providers.user(parts[1], parts[2]))
    raise AuthenticationSchemeInvalid(
        "The bearer token is of no known kind.", hint="Write it as basic//TOKEN or oidc/PROVIDER/TOKEN."
    )


LoggedIn = Annotated[User, Depends(user_of)]


async def json_body(request: Request, _: LoggedIn) -> Any:
    """A request's body, read once it is known whose it is: strangers cannot have large ones parsed.

    Raises:
        RequestInvalid: it is no JSON, or cannot be told again (`checked_body`).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise RequestInvalid(f"The body is {kind[:100]!r}, and must be application/json.")
    data = await request.body()
    try:
        # In a thread: others are answered meanwhile.
        return await asyncio.to_thread(lambda: checked_body(json.loads(data)))
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RequestInvalid(f"The body of the request cannot be understood: {reason}.") from error


JsonBody = Annotated[Any, Depends(json_body)]


def body_object(document: Any) -> Mapping[str, Any]:
    """A request's body, which must be an object.

    Raises:
        RequestInvalid
    """
    if not isinstance(document, Mapping):
        raise RequestInvalid("The body of the request must be a JSON object.")
    return document
