"""What is no good access token is refused, clearly."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from tests.support.oidc import CLIENT, PROVIDER_ID, OidcProvider, ec_key, rsa_key
from tests.support.oidc_server import Served

NOW = int(time.time())
Forge = Callable[[OidcProvider], str]


def _encoded(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unsigned(provider: OidcProvider, alg: str = "none", signature: str = "") -> str:
    return f"{_encoded({'alg': alg, 'kid': 'first'})}.{_encoded(provider.claims())}.{signature}"


def _with_public_key_as_secret(provider: OidcProvider) -> str:
    text = f"{_encoded({'alg': 'HS256', 'kid': 'first'})}.{_encoded(provider.claims())}"
    secret = provider.keys[0].as_pem(private=False)
    return f"{text}.{_encoded(hmac.digest(secret, text.encode(), 'sha256'))}"


def _changed(provider: OidcProvider) -> str:
    header, _, signature = provider.sign(provider.claims()).split(".")
    return f"{header}.{_encoded(provider.claims(sub='admin'))}.{signature}"


def _with_own_key(provider: OidcProvider, **header: Any) -> str:
    key = rsa_key("first")
    known: dict[str, Any] = {
        "jwk": {"jwk": key.as_dict(private=False)},
        "jku": {"jku": "http://127.0.0.1:9/"},
    }
    for name in header.pop("by", ()):
        header |= known[name]
    claims = provider.claims()
    signed = {"alg": "RS256", "kid": "first", **header}
    text = f"{_encoded(signed)}.{_encoded(claims)}"
    return f"{text}.{_signature(key, text)}"


def _signature(key: Any, text: str) -> str:
    return _encoded(key.private_key.sign(text.encode(), PKCS1v15(), SHA256()))


def _signed(header: dict[str, Any] | None = None, **claims: Any) -> Forge:
    return lambda provider: provider.sign(provider.claims(**claims), header)


def _raw_header(header: bytes) -> Forge:
    return lambda provider: f"{_encoded(header)}.{_encoded(provider.claims())}.c2ln"


FORGED: dict[str, Forge] = {
    "expired": _signed(exp=NOW - 3600, iat=NOW - 7200, nbf=NOW - 7200),
    "not yet valid": _signed(nbf=NOW + 3600),
    "issued in the future": _signed(iat=NOW + 3600),
    "never expires": _signed(exp=None),
    "expires by a text": _signed(exp="never"),
    "of nobody": _signed(sub=None),
    "of an empty name": _signed(sub=""),
    "of a number": _signed(sub=5),
    "of another issuer": _signed(iss="https://provider.example"),
    "of an issuer like this one": lambda p: p.sign(p.claims(iss=f"{p.issuer}/x")),
    "of no issuer": _signed(iss=None),
    "of a list of issuers": lambda p: p.sign(p.claims(iss=[p.issuer])),
    "for a client that is not known": _signed(client_id="stranger"),
    "for an authorized party that is not known": _signed(azp="stranger"),
    "for a client that is no text": _signed(client_id=[CLIENT]),
    "for no client": _signed(client_id=None),
    "an ID token by its type": _signed(typ="ID"),
    "an ID token by its hash": _signed(at_hash="x"),
    "a refresh token": _signed(typ="Refresh"),
    "a logout token": _signed({"typ": "logout+jwt"}),
    "alg none": _unsigned,
    "alg None": lambda p: _unsigned(p, "None", "c2ln"),
    "HS256 with the public key": _with_public_key_as_secret,
    "HS256 without a key": lambda p: _unsigned(p, "HS256", "c2ln"),
    "another algorithm than the key's": lambda p: _unsigned(p, "PS256", "c2ln"),
    "EdDSA with an RSA key": lambda p: _unsigned(p, "EdDSA", "c2ln"),
    "a key by the name of a known one": lambda p: p.sign(p.claims(), key=rsa_key("first")),
    "an elliptic key by the name of the RSA key": lambda p: p.sign(p.claims(), key=ec_key("first")),
    "unknown key": lambda p: p.sign(p.claims(), key=rsa_key("stranger")),
    "no key named, of two": _signed({"kid": None}),
    "key named by a number": _raw_header(b'{"alg":"RS256","kid":7}'),
    "its own key in the header": lambda p: _with_own_key(p, by=("jwk",)),
    "the address of its own keys in the header": lambda p: _with_own_key(p, by=("jku",)),
    "a critical extension": lambda p: _with_own_key(p, crit=["x"], x=1),
    "changed claims": _changed,
    "no signature": lambda p: p.sign(p.claims()).rpartition(".")[0] + ".",
    "header that is a list": _raw_header(b"[]"),
    "header that is nested": _raw_header(b"[" * 10_000),
    "header that is no text": _raw_header(b"\xff\xfe"),
    "header with a long number": _raw_header(b'{"alg":"RS256","kid":"first","x":' + b"9" * 9_000 + b"}"),
    "no base64": lambda p: "!!.??.!!",
    "dots": lambda p: "..",
    "long": lambda p: p.sign(p.claims(more="x" * 30_000)),
    "five parts": lambda p: p.sign(p.claims()) + ".x.y",
    "two parts": lambda p: p.sign(p.claims()).rpartition(".")[0],
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_token_is_refused(server: Served, provider: OidcProvider, kind: str) -> None:
    token = FORGED[kind](provider)
    for bearer in (f"oidc/{PROVIDER_ID}/{token}", token):
        answer = server.ask("GET", "/me", bearer)
        assert (answer.status_code, answer.json()["code"]) == (403, "TokenInvalid")
        assert token not in answer.text or len(token) < 10


def test_what_tests_sign_is_good_but_for_what_they_change(server: Served, provider: OidcProvider) -> None:
    for key in provider.keys:
        answer = server.ask("GET", "/me", provider.sign(provider.claims(sub="eve@x.example"), key=key))
        assert answer.status_code == 200
        assert answer.json()["user_id"].startswith(f"{PROVIDER_ID}~~")


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        (None, 401, "AuthenticationRequired"),
        ("Bearer", 403, "AuthenticationSchemeInvalid"),
        ("Bearer ", 403, "AuthenticationSchemeInvalid"),
        ("Basic Y2FybGE6eA==", 403, "AuthenticationSchemeInvalid"),
        ("Bearer oidc//x.y.z", 403, "AuthenticationSchemeInvalid"),
        ("Bearer oidc/nowhere/x.y.z", 403, "AuthenticationSchemeInvalid"),
        ("Bearer other/local/x.y.z", 403, "AuthenticationSchemeInvalid"),
        ("Bearer basic//unknown", 403, "TokenInvalid"),
        ("Bearer basic//", 403, "TokenInvalid"),
        ("Bearer oidc/local/", 403, "TokenInvalid"),
        ("Bearer unknown", 403, "TokenInvalid"),
        ("Bearer \xe9\xe9", 403, "TokenInvalid"),
        ("Bearer a b", 403, "AuthenticationSchemeInvalid"),
        (f"Bearer {'x' * 40_000}", 403, "TokenInvalid"),
        ("Bearer oidc/away/x.y.z", 403, "TokenInvalid"),
    ],
)
def test_what_is_no_login_is_refused(server: Served, header: str | None, status: int, code: str) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = server.ask("GET", "/me", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Basic bm9jb2xvbg==",
        "Basic /////w==",
        "Bearer x",
        "Basic Y2FybGE6eA== x",
        "\xe9",
    ],
)
def test_what_is_no_name_and_password_is_refused(server: Served, header: str) -> None:
    answer = server.ask("GET", "/credentials/basic", headers={"Authorization": header.encode("latin-1")})
    assert (answer.status_code, answer.json()["code"]) == (403, "AuthenticationSchemeInvalid")


def test_a_provider_out_of_reach_is_told_as_such(server: Served, provider: OidcProvider) -> None:
    token = provider.sign(provider.claims(iss="http://127.0.0.1:9"))
    for bearer in (f"oidc/away/{token}", token):
        answer = server.ask("GET", "/me", bearer)
        assert (answer.status_code, answer.json()["code"]) == (503, "InfrastructureBusy")
        assert "Away" in answer.json()["message"]


def test_a_token_of_one_provider_is_none_of_another(server: Served, provider: OidcProvider) -> None:
    answer = server.ask("GET", "/me", f"oidc/away/{provider.client_token()}")
    assert answer.status_code in (403, 503)
