"""OpenID Connect: access tokens of providers, checked against the providers' own keys."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, ConfigDict, ValidationError

from acreage.backend.accounts.users import User
from acreage.backend.errors import AuthenticationSchemeInvalid, InfrastructureBusy, TokenInvalid
from acreage.core.errors import InvalidInput

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY_S = 30
_KEYS_FOR_S = 3600.0
_ASKED_AGAIN_AFTER_S = 30.0
_TIMEOUT_S = (5.0, 15.0)


class DefaultClient(BaseModel):
    """A client that openEO clients may use without one of their own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    grant_types: tuple[str, ...]
    redirect_urls: tuple[str, ...] = ()


class Provider(BaseModel):
    """A provider, as the API lists it.

    `audience`: what a token must be for, one of these; any where there is none.
    `name_claim`: claim that is shown as the user's name. `trusted`: whether code of its users may run without
    isolation. `client_ids`: clients whose tokens are taken (claim `azp` or `client_id`); any where empty.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    issuer: str
    title: str
    description: str = ""
    scopes: tuple[str, ...] = ("openid",)
    default_clients: tuple[DefaultClient, ...] = ()
    audience: tuple[str, ...] = ()
    client_ids: tuple[str, ...] = ()
    name_claim: str = "preferred_username"
    trusted: bool = False

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


@dataclass
class _Keys:
    """A provider's keys, asked for when they are needed, and again when a token names an unknown one."""

    provider: Provider
    found: KeySet | None = None
    asked: float = -1e9
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key_id: str | None) -> KeySet:
        with self.lock:
            age = time.monotonic() - self.asked
            unknown = self.found is not None and key_id not in {k.kid for k in self.found.keys}
            if self.found is None or age > _KEYS_FOR_S or (unknown and age > _ASKED_AGAIN_AFTER_S):
                self.found, self.asked = _ask(self.provider), time.monotonic()
            return self.found


def _ask(provider: Provider) -> KeySet:
    issuer = provider.issuer.rstrip("/")
    try:
        about = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=_TIMEOUT_S).json()
        if str(about["issuer"]).rstrip("/") != issuer:
            raise ValueError(f"it calls itself {about['issuer']}")
        return KeySet.import_key_set(requests.get(about["jwks_uri"], timeout=_TIMEOUT_S).json())
    except (requests.RequestException, ValueError, KeyError, TypeError, JoseError) as error:
        raise InfrastructureBusy(f"The keys of {provider.title} cannot be had: {error}.") from error


@dataclass(frozen=True)
class Providers:
    """All providers, in the order of the configuration.

    Attributes:
        all: by id.
    """

    all: Mapping[str, Provider]
    _keys: Mapping[str, _Keys] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(providers: tuple[Provider, ...]) -> Providers:
        """These providers."""
        return Providers({p.id: p for p in providers}, {p.id: _Keys(p) for p in providers})

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
        except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
            raise InvalidInput(
                f"The providers in {path} cannot be read: {error}.",
                hint="docs/server.md shows such a file.",
            ) from error
        if len({p.id for p in found}) < len(found):
            raise InvalidInput(f"Two providers of {path} have the same id.")
        return Providers.of(found)

    def user(self, provider_id: str, token: str) -> User:
        """Whose access token it is.

        Raises:
            AuthenticationSchemeInvalid: there is no such provider.
            TokenInvalid: it was not issued so, not for this server, or not for now.
        """
        if provider_id not in self.all:
            raise AuthenticationSchemeInvalid(
                f"There is no provider {provider_id!r}.", hint="GET /credentials/oidc lists them."
            )
        provider = self.all[provider_id]
        claims = self._claims(provider, token)
        name = claims.get(provider.name_claim) or claims.get("name") or claims["sub"]
        return User(f"{provider.id}/{claims['sub']}", str(name), provider.id, provider.trusted)

    def by_issuer(self, token: str) -> str:
        """The id of the provider that a token names as its issuer; nothing else of it is believed.

        Raises:
            TokenInvalid: it is no JSON Web Token, or of another issuer.
        """
        try:
            part = token.split(".")[1]
            issuer = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["iss"]
            return next(p.id for p in self.all.values() if p.issuer.rstrip("/") == issuer.rstrip("/"))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, StopIteration) as error:
            raise TokenInvalid("The access token is of no provider that is known here.") from error

    def _claims(self, provider: Provider, token: str) -> dict[str, Any]:
        try:
            header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
            keys = self._keys[provider.id].get(header.get("kid"))
            claims = dict(jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims)
            rules = jwt.JWTClaimsRegistry(
                leeway=_LEEWAY_S,
                iss={"essential": True, "values": _spellings(provider.issuer)},
                sub={"essential": True, "allow_blank": False},
                exp={"essential": True},
            )
            rules.validate(claims)
        except (JoseError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise TokenInvalid(
                f"The access token of {provider.title} is not valid.", hint="Log in again."
            ) from error
        audience = claims.get("aud")
        named = {audience} if isinstance(audience, str) else set(audience or ())
        if provider.audience and not named & set(provider.audience):
            raise TokenInvalid("The access token is for another service.")
        client = claims.get("azp") or claims.get("client_id")
        if provider.client_ids and client not in provider.client_ids:
            raise TokenInvalid("The access token was given to a client that is not known here.")
        return claims


def _spellings(issuer: str) -> list[str]:
    return [issuer.rstrip("/"), f"{issuer.rstrip('/')}/"]
