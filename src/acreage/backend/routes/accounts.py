"""Logins and what is known of the user."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from fastapi import APIRouter, Request

from acreage.backend.errors import AuthenticationRequired, AuthenticationSchemeInvalid
from acreage.backend.routes.common import LoggedIn, ServerPart

router = APIRouter(tags=["account management"])


@router.get("/credentials/basic")
def log_in(request: Request, server: ServerPart) -> dict[str, Any]:
    """A token for a name and password (HTTP Basic)."""
    stated = request.headers.get("authorization")
    if not stated:
        raise AuthenticationRequired("Send name and password by HTTP Basic.")
    scheme, _, text = stated.partition(" ")
    if scheme.lower() != "basic":
        raise AuthenticationSchemeInvalid("A login needs HTTP Basic.")
    try:
        name, sign, password = base64.b64decode(text.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise AuthenticationSchemeInvalid("The Authorization header is not HTTP Basic.") from error
    if not sign:
        raise AuthenticationSchemeInvalid("The Authorization header is not HTTP Basic.")
    address = request.client.host if request.client is not None else ""
    return {"access_token": server.accounts.log_in(name, password, address)}


@router.get("/credentials/oidc")
def providers(server: ServerPart) -> dict[str, Any]:
    """Providers of OpenID Connect whose users may log in."""
    return {"providers": [p.listed() for p in server.providers.all.values()]}


@router.get("/me")
def me(server: ServerPart, user: LoggedIn) -> dict[str, Any]:
    """The user, with budget and storage."""
    left = None if server.tariff.is_free else server.budgets.of(user.id).left
    found: dict[str, Any] = {
        "user_id": user.id,
        "name": user.name,
        "default_plan": server.plan,
        "storage": {
            "quota": int(server.settings.upload_bytes),
            "free": max(0, int(server.settings.upload_bytes) - server.files.used(user.id)),
        },
        # No member of the specification: clients that send many jobs need not find out by refusals.
        "limits": {
            "parallel_jobs": server.settings.jobs_at_once,
            "active_jobs": server.settings.jobs_per_user,
        },
        "links": [],
    }
    if left is not None:
        found["budget"] = max(0.0, round(left, 4))
    return found
