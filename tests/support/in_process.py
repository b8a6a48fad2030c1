"""The web application of a server in the test's own process: for what computes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from acreage.backend.accounts.users import User
from acreage.backend.app import create_app
from acreage.backend.server import Server, make_server
from acreage.backend.settings import ServerSettings
from acreage.backend.work import Work


class Engineless(Work):
    """A server that computes nothing."""


def engineless(folder: Path, **settings: Any) -> Server:
    """A server with the account `anna` (password `secret`)."""
    server = make_server(ServerSettings(**settings), Engineless(), folder, {"anna": "secret"})
    server.accounts.known(User("anna", "anna", "basic"))
    return server


def ask(server: Server, path: str, **more: Any) -> httpx.Response:
    """One GET request, as anna."""
    token = server.accounts.log_in("anna", "secret")

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(server))
        headers = {"Authorization": f"Bearer basic//{token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            return await client.get(path, **more)

    return asyncio.run(asked())
