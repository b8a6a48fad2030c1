"""How to log in to a back end. What is secret is in environment variables, which are named here."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from acreage.core.errors import InvalidInput

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Part(BaseModel):
    """A part of a profile: frozen, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NoLogin(Part):
    """A back end that asks for no login."""

    kind: Literal["none"] = "none"


class BasicLogin(Part):
    """Name and password.

    Attributes:
        username: of the account.
        password_variable: environment variable with the password.
    """

    kind: Literal["basic"]
    username: str
    password_variable: Variable


class ClientLogin(Part):
    """OpenID Connect's client credentials: a machine's account.

    Attributes:
        provider: id of the provider at the back end; its default where it is not given.
        client_id: of the account.
        client_secret_variable: environment variable with the secret.
    """

    kind: Literal["oidc-client"]
    provider: str | None = None
    client_id: str
    client_secret_variable: Variable


class RefreshLogin(Part):
    """OpenID Connect's refresh token of a person who logged in before.

    Attributes:
        provider: id of the provider at the back end; its default where it is not given.
        client_id: that the token was given to; the provider's default client where it is not given.
        refresh_token_variable: environment variable with the token; without it, the token that the openEO
            client stored when the person logged in with `openeo-auth`.
    """

    kind: Literal["oidc-refresh"]
    provider: str | None = None
    client_id: str | None = None
    refresh_token_variable: Variable | None = None


Login = Annotated[NoLogin | BasicLogin | ClientLogin | RefreshLogin, Field(discriminator="kind")]


def secret(variable: str, backend: str) -> str:
    """The value of an environment variable that a profile names.

    Raises:
        InvalidInput: it is not set.
    """
    value = os.environ.get(variable)
    if not value:
        raise InvalidInput(
            f"The profile of back end {backend} names the environment variable {variable}, which is not set.",
            hint="Set it where the runner is started.",
        )
    return value
