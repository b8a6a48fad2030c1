"""A provider and a server, each a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.oidc import OidcProvider, free_port, is_installed, running_provider
from tests.support.oidc_server import Served, running_server, tiny_catalog

REDIRECT = ("localhost", free_port())


@pytest.fixture(scope="session")
def redirect() -> tuple[str, int]:
    """Host and port where a client on this machine waits for the browser."""
    return REDIRECT


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory, redirect: tuple[str, int]) -> Iterator[OidcProvider]:
    """A provider of OpenID Connect."""
    if not is_installed():
        pytest.skip("no OpenID Connect provider: Debian's package `glewlwyd` is not installed")
    addresses = ["http://{}:{}/callback".format(*redirect)]
    with running_provider(tmp_path_factory.mktemp("provider"), redirects=addresses) as running:
        yield running


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny archive."""
    return tiny_catalog(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, provider: OidcProvider, catalog: Path
) -> Iterator[Served]:
    """A server whose users log in by password or at the provider; a second provider is out of reach."""
    folder = tmp_path_factory.mktemp("server")
    away = {"id": "away", "issuer": "http://127.0.0.1:9", "title": "Away", "any_client": True}
    file = folder / "providers.json"
    file.write_text(json.dumps({"providers": [provider.entry(), away]}))
    with running_server(folder, catalog, ACREAGE_SERVER_OIDC=str(file)) as running:
        yield running
