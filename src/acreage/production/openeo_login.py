"""Connections of openEO's official client, logged in as a profile says."""

from __future__ import annotations

import requests
from openeo.rest.connection import Connection
from requests.adapters import HTTPAdapter

from acreage.production.logins import BasicLogin, ClientLogin, RefreshLogin, secret
from acreage.production.openeo_failures import LastAnswer
from acreage.production.profiles import Profile

_AT_ONCE = 32
"""Connections that are kept open to one back end."""


def connect(profile: Profile, answer: LastAnswer, name: str) -> Connection:
    """A connection that is logged in. It tries nothing again by itself: when to do so is the runner's to say.

    Args:
        profile: of the back end.
        answer: told of the headers of every answer.
        name: of the back end.

    Raises:
        InvalidInput: an environment variable that the profile names is not set.
    """
    session = requests.Session()
    session.hooks["response"].append(answer.keep)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_AT_ONCE, max_retries=0))
    connection = Connection(
        str(profile.url).rstrip("/"),
        session=session,
        default_timeout=profile.timeout_s,
        auto_validate=False,
        retry=False,
    )
    log_in(connection, profile, name)
    return connection


def log_in(connection: Connection, profile: Profile, name: str) -> None:
    """Log in anew, as `connect` does."""
    login = profile.login
    if isinstance(login, BasicLogin):
        connection.authenticate_basic(login.username, secret(login.password_variable, name))
    elif isinstance(login, ClientLogin):
        connection.authenticate_oidc_client_credentials(
            client_id=login.client_id,
            client_secret=secret(login.client_secret_variable, name),
            provider_id=login.provider,
        )
    elif isinstance(login, RefreshLogin):
        variable = login.refresh_token_variable
        connection.authenticate_oidc_refresh_token(
            client_id=login.client_id,
            refresh_token=None if variable is None else secret(variable, name),
            provider_id=login.provider,
        )


def check_secrets(profile: Profile, name: str) -> None:
    """Find out before a production begins whether a login can be tried.

    Raises:
        InvalidInput: an environment variable that the profile names is not set.
    """
    login = profile.login
    for field in ("password_variable", "client_secret_variable", "refresh_token_variable"):
        variable = getattr(login, field, None)
        if variable is not None:
            secret(variable, name)
