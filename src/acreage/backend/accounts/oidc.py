"""OpenID Connect: access tokens of providers, checked against the providers' own keys."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from acreage.backend.accounts.keys import ProviderKeys, is_secure
from acreage.backend.accounts.users import User, user_id
from acreage.backend.errors import AuthenticationSchemeInvalid, TokenInvalid
from acreage.core.errors import InvalidInput

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"),
    *("Ed25519", "EdDSA"),
)
"""Signatures by a private key; with a shared secret (HS256) whoever checks could sign."""
_LEEWAY_S = 30
_LONGEST_TOKEN = 16_384
_LONGEST_NAME = 200
_TYPES = (None, "jwt", "at+jwt", "application/at+jwt")
_OTHER_TOKENS = ("ID", "Refresh", "Offline", "Logout")
_UNREADABLE = (JoseError, ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError)


def _checked_issuer(issuer: str) -> str:
    if not is_secure(issuer) or re.search(r"[?#\s]", issuer):
        raise ValueError("must be an https:// address (http:// on this machine only)")
    return issuer


class DefaultClient(BaseModel):
    """A client that openEO clients may use without one of their own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    grant_types: tuple[
        Literal[
            "authorization_code+pkce",
            "implicit",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code",
            "urn:ietf:params:oauth:grant-type:device_code+pkce",
        ],
        ...,
    ]
    redirect_urls: tuple[str, ...] = ()


class Provider(BaseModel):
    """A provider, as the API lists it.

    `audience`: what a token must be for, one of these; anything where there is none.
    `client_ids`: clients whose tokens are taken (claim `azp` or `client_id`), beside those of
    `default_clients`; `any_client`: those of all clients are. `name_claim`: claim that is shown as the user's
    name. `trusted`: whether code of its users may run without isolation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9_]{1,20}$")
    issuer: Annotated[str, AfterValidator(_checked_issuer)]
    title: str
    description: str = ""
    scopes: tuple[str, ...] = ("openid",)
    default_clients: tuple[DefaultClient, ...] = ()
    audience: tuple[str, ...] = ()
    client_ids: tuple[str, ...] = ()
    any_client: bool = False
    name_claim: str = "preferred_username"
    trusted: bool = False

    @property
    def clients(self) -> tuple[str, ...]:
        """All clients whose tokens are taken, unless those of any are."""
        return (*self.client_ids, *(c.id for c in self.default_clients))

    def listed(self) -> dict[str, Any]:
        """For `GET /credentials/oidc`."""
        found: dict[str, Any] = {"id": self.id, "issuer": self.issuer, "title": self.title}
        found["scopes"] = list(self.scopes)
        if self.description:
            found["description"] = self.description
        if self.default_clients:
            found["default_clients"] = [
                {k: v for k, v in c.model_dump(mode="json").items() if v} for c in self.default_clients
            ]
        return found


@dataclass(frozen=True)
class Providers:
    """All providers, in the order of the configuration.

    Attributes:
        all: by id.
    """

    all: Mapping[str, Provider]
    _keys: Mapping[str, ProviderKeys] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(providers: tuple[Provider, ...]) -> Providers:
        """These providers."""
        keys = {p.id: ProviderKeys(p.issuer.rstrip("/"), p.title) for p in providers}
        return Providers({p.id: p for p in providers}, keys)

    @staticmethod
    def read(path: Path | None) -> Providers:
        """The providers of a JSON or YAML file (`providers: [...]`); none for None.

        Raises:
            InvalidInput: it cannot be used; the message says where.
        """
        if path is None:
            return Providers.of(())
        try:
            text = path.read_text("utf-8")
            document: Any = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
            found = tuple(Provider(**p) for p in document["providers"])
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            where = ".".join(map(str, detail["loc"]))
            raise InvalidInput(f"A provider of {path} has {where}: {detail['msg']}.") from error
        except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, RecursionError) as error:
            raise InvalidInput(
                f"The providers in {path} cannot be read: {error}.",
                hint="docs/accounts.md shows such a file.",
            ) from error
        _refuse_ambiguous(path, found)
        return Providers.of(found)

    def user(self, provider_id: str, token: str) -> User:
        """Whose access token it is.

        Raises:
            AuthenticationSchemeInvalid: there is no such provider.
            TokenInvalid: it was not issued so, not for this server, or not for now.
            InfrastructureBusy: the provider cannot be asked for its keys.
        """
        if provider_id not in self.all:
            raise AuthenticationSchemeInvalid(
                f"There is no provider {provider_id[:100]!r}.", hint="GET /credentials/oidc lists them."
            )
        provider = self.all[provider_id]
        claims = self._claims(provider, token)
        name = _name(claims.get(provider.name_claim), claims.get("name"), claims["sub"])
        return User(user_id(provider.id, claims["sub"]), name, provider.id, provider.trusted)

    def trusts(self, user_id: str) -> bool:
        """Whether code of a user may run without isolation."""
        return any(p.trusted and user_id.startswith(f"{p.id}~") for p in self.all.values())

    def by_issuer(self, token: str) -> str:
        """The id of the provider that a token names as its issuer; nothing else of it is believed.

        Raises:
            TokenInvalid: it is no JSON Web Token, or of another issuer.
        """
        try:
            issuer = _part(token, 1)["iss"].rstrip("/")
            return next(p.id for p in self.all.values() if p.issuer.rstrip("/") == issuer)
        except (*_UNREADABLE, StopIteration) as error:
            raise TokenInvalid("The access token is of no provider that is known here.") from error

    def _claims(self, provider: Provider, token: str) -> dict[str, Any]:
        try:
            header = _part(token, 0)
            key_id = header.get("kid")
            if not isinstance(key_id, str | None) or header.get("alg") not in ALGORITHMS:
                raise ValueError("no such key or algorithm")
            claims = _decoded(token, self._keys[provider.id].get(key_id), provider.issuer)
        except _UNREADABLE as error:
            raise TokenInvalid(
                f"The access token of {provider.title} is not valid.", hint="Log in again."
            ) from error
        _refuse_other_kinds(header, claims)
        audience = claims.get("aud") or []
        if provider.audience and not set(_texts(audience)) & set(provider.audience):
            raise TokenInvalid("The access token is for another service.")
        client = claims.get("azp") or claims.get("client_id")
        if not provider.any_client and client not in provider.clients:
            raise TokenInvalid("The access token was given to a client that is not known here.")
        return claims


def _refuse_ambiguous(path: Path, providers: tuple[Provider, ...]) -> None:
    if len({p.id for p in providers}) < len(providers):
        raise InvalidInput(f"Two providers of {path} have the same id.")
    if len({p.issuer.rstrip("/") for p in providers}) < len(providers):
        raise InvalidInput(f"Two providers of {path} have the same issuer.")
    for one in providers:
        if not one.any_client and not one.clients:
            raise InvalidInput(
                f"The provider {one.id} of {path} has no clients whose tokens are taken.",
                hint="Name some (`client_ids`, `default_clients`), or say `any_client: true`.",
            )


def _part(token: str, index: int) -> dict[str, Any]:
    """Header (0) or claims (1), before anything of it is checked."""
    if len(token) > _LONGEST_TOKEN:
        raise ValueError("too long")
    part = token.split(".")[index]
    found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(found, dict):
        raise TypeError("no object")
    return found


def _decoded(token: str, keys: KeySet, issuer: str) -> dict[str, Any]:
    claims = dict(jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims)
    plain = issuer.rstrip("/")
    rules = jwt.JWTClaimsRegistry(
        leeway=_LEEWAY_S,
        iss={"essential": True, "values": [plain, f"{plain}/"]},
        sub={"essential": True, "allow_blank": False},
        exp={"essential": True},
    )
    rules.validate(claims)
    return claims


def _refuse_other_kinds(header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
    """An ID token is for the client where somebody logged in, a refresh token for the provider."""
    stated = header.get("typ")
    kind = stated.lower() if isinstance(stated, str) else stated
    marks = claims.get("typ") in _OTHER_TOKENS or claims.get("token_use") in ("id", "refresh")
    if kind not in _TYPES or marks or "at_hash" in claims or "events" in claims:
        raise TokenInvalid("This is no access token.", hint="Send the access token, not the ID token.")


def _texts(value: Any) -> list[str]:
    return [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)]


def _name(*values: Any) -> str:
    """The first text, as it can be shown and kept."""
    for value in values:
        text = "".join(c for c in value if c.isprintable()) if isinstance(value, str) else ""
        if text.strip():
            return text.strip()[:_LONGEST_NAME]
    return "?"
