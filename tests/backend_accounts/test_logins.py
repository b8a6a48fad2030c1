"""Logins through the official client."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import openeo
import pytest
import requests
from openeo.rest.auth.config import RefreshTokenStore
from openeo.rest.connection import Connection
from tests.support.oidc import CLIENT, PROVIDER_ID, PUBLIC_CLIENT, SECRET, OidcProvider
from tests.support.oidc_server import ACCOUNTS, Served


@pytest.fixture
def connection(server: Served, tmp_path: Path) -> Connection:
    """Not logged in; refresh tokens are kept for this test only."""
    return openeo.Connection(server.url, refresh_token_store=RefreshTokenStore(tmp_path / "refresh.json"))


def _approve_when_shown(provider: OidcProvider, user: str) -> Any:
    """What shows a device's code: the user goes to the address and agrees."""

    def show(text: str) -> None:
        for word in str(text).replace("=", " ").split():
            code = word.strip("'\"`.")
            if len(code) == 9 and code[4] == "-":
                provider.approve_device(user, PUBLIC_CLIENT, code)
                return

    return show


def test_basic_login_by_name_and_password(connection: Connection) -> None:
    connection.authenticate_basic("carla", ACCOUNTS["carla"])
    assert connection.describe_account()["user_id"] == "carla"


def test_client_credentials(connection: Connection) -> None:
    connection.authenticate_oidc_client_credentials(
        client_id=CLIENT, client_secret=SECRET, provider_id=PROVIDER_ID
    )
    assert connection.describe_account()["user_id"] == f"{PROVIDER_ID}~{CLIENT}"


def test_client_credentials_from_the_environment(
    connection: Connection, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in provider.environment().items():
        monkeypatch.setenv(name, value)
    connection.authenticate_oidc()
    assert connection.describe_account()["user_id"] == f"{PROVIDER_ID}~{CLIENT}"


def test_device_code_with_the_client_that_the_server_offers(
    connection: Connection, provider: OidcProvider
) -> None:
    connection.authenticate_oidc_device(
        provider_id=PROVIDER_ID,
        display=_approve_when_shown(provider, "anna"),
        max_poll_time=20,
        store_refresh_token=False,
    )
    subject = _subject(provider, "anna")
    assert connection.describe_account()["user_id"] == f"{PROVIDER_ID}~{subject}"
    assert connection.list_jobs() == []


@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
def test_authorization_code_with_pkce_and_then_the_refresh_token(
    connection: Connection, provider: OidcProvider, redirect: tuple[str, int]
) -> None:
    browsers = []

    def open_browser(address: str) -> None:
        assert "code_challenge_method=S256" in address
        browser = threading.Thread(target=provider.open_in_browser, args=("ben", PUBLIC_CLIENT, address))
        browser.start()
        browsers.append(browser)

    connection.authenticate_oidc_authorization_code(
        client_id=PUBLIC_CLIENT,
        provider_id=PROVIDER_ID,
        server_address=redirect,
        webbrowser_open=open_browser,
        store_refresh_token=True,
        timeout=20,
    )
    for browser in browsers:
        browser.join()
    gc.collect()  # the client leaves the socket of its loopback server open
    who = connection.describe_account()["user_id"]
    assert who == f"{PROVIDER_ID}~{_subject(provider, 'ben')}"

    first = connection.auth.bearer
    connection.authenticate_oidc_refresh_token(client_id=PUBLIC_CLIENT, provider_id=PROVIDER_ID)
    assert connection.auth.bearer != first
    assert connection.describe_account()["user_id"] == who


def test_an_access_token_alone_is_a_bearer_token(server: Served, provider: OidcProvider) -> None:
    answer = server.ask("GET", "/me", provider.client_token())
    assert answer.status_code == 200
    assert answer.json()["user_id"] == f"{PROVIDER_ID}~{CLIENT}"
    assert "https://api.openeo.org/1.3.0/authentication/jwt" in server.ask("GET", "/").json()["conformsTo"]


def test_a_token_of_a_password_alone_is_a_bearer_token(server: Served) -> None:
    assert server.ask("GET", "/me", server.login("dora").removeprefix("basic//")).json()["user_id"] == "dora"


def test_a_wrong_secret_and_a_wrong_password_get_no_token(server: Served, provider: OidcProvider) -> None:
    with pytest.raises(requests.HTTPError, match="403"):
        provider.client_token(secret="wrong")
    answer = requests.get(f"{server.url}/credentials/basic", auth=("carla", "wrong"), timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (403, "CredentialsInvalid")


def _subject(provider: OidcProvider, user: str) -> str:
    token = provider.user_tokens(user)["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    return str(requests.get(f"{provider.issuer}/userinfo", headers=headers, timeout=10).json()["sub"])
