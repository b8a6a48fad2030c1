"""A real OpenID Connect provider on loopback: Glewlwyd (Debian's package `glewlwyd`), a process of its own.

By hand, for a server and the official client:

    python -m tests.support.oidc --port 8181 --folder /tmp/oidc
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from tests.support.oidc_pages import pages_config

PROGRAM = "glewlwyd"
SCHEMA = Path("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3")
PROVIDER_ID = "local"
CLIENT, SECRET = "suite", "suite-secret"
PUBLIC_CLIENT = "acreage-public"
USERS = {"anna": "provider-secret-of-anna", "ben": "provider-secret-of-ben"}
_NAME = "oidc"
_ADMIN = {"username": "admin", "password": "password"}
_CONFIG = """
port={port}
bind_address="127.0.0.1"
external_url="{url}"
login_url="login.html"
api_prefix="api"
log_mode="console"
log_level="INFO"
cookie_secure=0
session_expiration=86400
session_key="SESSION"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="/usr/lib/glewlwyd/user"
client_module_path="/usr/lib/glewlwyd/client"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
use_secure_connection=false
secure_connection_key_file="unused"
secure_connection_pem_file="unused"
hash_algorithm="SHA512"
database={{ type="sqlite3" path="{database}" }};
"""
Key = RSAKey | ECKey


def is_installed() -> bool:
    """Whether this machine has the provider."""
    return shutil.which(PROGRAM) is not None and SCHEMA.is_file()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rsa_key(name: str) -> RSAKey:
    """A signing key (RS256)."""
    return RSAKey.generate_key(2048, {"kid": name, "alg": "RS256", "use": "sig"}, private=True)


def ec_key(name: str) -> ECKey:
    """A signing key (ES256)."""
    return ECKey.generate_key("P-256", {"kid": name, "alg": "ES256", "use": "sig"}, private=True)


@dataclass
class OidcProvider:
    """A running provider; tests know its private keys, so that they can sign what it never would.

    Attributes:
        url: where it listens.
        keys: its keys, the one that it signs with first.
    """

    url: str
    keys: Sequence[Key]
    access_token_s: int = 3600
    _admin: requests.Session = field(default_factory=requests.Session, repr=False)

    @property
    def issuer(self) -> str:
        return f"{self.url}/api/{_NAME}"

    @property
    def about(self) -> dict[str, Any]:
        """Its discovery document."""
        return dict(requests.get(f"{self.issuer}/.well-known/openid-configuration", timeout=10).json())

    def set_up(self) -> None:
        """Clients and users."""
        _ask(self._admin, "POST", f"{self.url}/api/auth/", _ADMIN)
        self._admin_do("POST", "mod/plugin/", self._plugin())
        self.add_client(CLIENT, SECRET)
        for name, password in USERS.items():
            user = {"username": name, "password": password, "name": name.title(), "enabled": True}
            self._admin_do("POST", "user/", {**user, "scope": ["openid", "g_profile"]})

    def add_client(self, name: str, secret: str | None = None, redirects: Sequence[str] = ()) -> None:
        """A client: one with a secret may act for itself, one without acts for users."""
        client: dict[str, Any] = {"client_id": name, "client_name": name, "enabled": True}
        if secret is None:
            grants = ["code", "device_authorization", "refresh_token"]
            client |= {"confidential": False, "redirect_uri": list(redirects), "authorization_type": grants}
        else:
            ways = ["client_secret_basic", "client_secret_post"]
            client |= {"confidential": True, "client_secret": secret, "scope": ["openid"]}
            client |= {"authorization_type": ["client_credentials"], "token_endpoint_auth_method": ways}
        self._admin_do("POST", "client/", client)

    def use_keys(self, *keys: Key) -> None:
        """Take other keys, as a provider that rotates them."""
        self.keys = keys
        self._admin_do("PUT", f"mod/plugin/{_NAME}", self._plugin())
        self._admin_do("PUT", f"mod/plugin/{_NAME}/reset", None)

    def login(self, user: str, client: str) -> requests.Session:
        """A browser in which a user has logged in and lets a client have tokens."""
        browser = requests.Session()
        _ask(browser, "POST", f"{self.url}/api/auth/", {"username": user, "password": USERS[user]})
        _ask(browser, "PUT", f"{self.url}/api/auth/grant/{client}", {"scope": "openid"})
        return browser

    def approve_device(self, user: str, client: str, code: str) -> None:
        """What a user does at the address that a device shows."""
        browser = self.login(user, client)
        done = browser.get(
            f"{self.issuer}/device",
            params={"code": code, "g_continue": ""},
            allow_redirects=False,
            timeout=10,
        )
        if "prompt=deviceComplete" not in done.headers["location"]:
            raise RuntimeError(f"The provider does not know the code: {done.headers['location']}")

    def open_in_browser(self, user: str, client: str, address: str) -> requests.Response:
        """What the browser of a user does with the address of an authorization request."""
        browser = self.login(user, client)
        moved = browser.get(f"{address}&g_continue", allow_redirects=False, timeout=10)
        return browser.get(moved.headers["location"], timeout=10)

    def client_token(self, client: str = CLIENT, secret: str = SECRET) -> str:
        """A token that a client has for itself."""
        form = {"grant_type": "client_credentials", "scope": "openid"}
        answer = requests.post(f"{self.issuer}/token", form, auth=(client, secret), timeout=10)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def user_tokens(self, user: str, client: str = PUBLIC_CLIENT) -> dict[str, str]:
        """Access, refresh and ID token that a client of a user's has, by the device flow."""
        form = {"client_id": client, "scope": "openid"}
        asked = requests.post(f"{self.issuer}/device_authorization", form, timeout=10).json()
        self.approve_device(user, client, asked["user_code"])
        form |= {"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}
        answer = requests.post(
            f"{self.issuer}/token", {**form, "device_code": asked["device_code"]}, timeout=10
        )
        answer.raise_for_status()
        return dict(answer.json())

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims as an access token of the provider has them, but for changes (None: without)."""
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "sub": "somebody",
            "aud": "openid",
            "client_id": CLIENT,
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "scope": "openid",
        }
        return {k: v for k, v in {**usual, **changes}.items() if v is not None}

    def sign(
        self, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None, key: Key | None = None
    ) -> str:
        """A token of these claims with a key of the provider, or another one."""
        signer = key or self.keys[0]
        usual = {"typ": "at+jwt", "alg": signer.alg, "kid": signer.kid}
        merged = {k: v for k, v in {**usual, **(header or {})}.items() if v is not None}
        return jwt.encode(merged, dict(claims), signer)

    def entry(self, redirects: Sequence[str] = ()) -> dict[str, Any]:
        """The provider in a providers file."""
        grants = [
            "authorization_code+pkce",
            "urn:ietf:params:oauth:grant-type:device_code",
            "refresh_token",
        ]
        client: dict[str, Any] = {"id": PUBLIC_CLIENT, "grant_types": grants}
        if redirects:
            client["redirect_urls"] = list(redirects)
        return {
            "id": PROVIDER_ID,
            "issuer": self.issuer,
            "title": "A provider on this machine",
            "scopes": ["openid"],
            "default_clients": [client],
            "client_ids": [CLIENT, PUBLIC_CLIENT],
        }

    def environment(self) -> dict[str, str]:
        """Variables by which the official client logs in by client credentials."""
        return {
            "OPENEO_AUTH_METHOD": "client_credentials",
            "OPENEO_AUTH_CLIENT_ID": CLIENT,
            "OPENEO_AUTH_CLIENT_SECRET": SECRET,
            "OPENEO_AUTH_PROVIDER_ID": PROVIDER_ID,
        }

    def _plugin(self) -> dict[str, Any]:
        jwks = {"keys": [k.as_dict(private=True) for k in self.keys]}
        switches = ("client", "code", "refresh", "device")
        parameters = {
            "iss": self.issuer,
            "jwks-private": json.dumps(jwks),
            "jwks-show": True,
            "jwt-type": "rsa",
            "jwt-key-size": "256",
            "code-duration": 600,
            "refresh-token-duration": 86400,
            "access-token-duration": self.access_token_s,
            "allow-non-oidc": True,
            "pkce-allowed": True,
            "pkce-required": True,
            "pkce-method-plain-allowed": False,
            "device-authorization-expiration": 600,
            "device-authorization-interval": 1,
            **{f"auth-type-{s}-enabled": True for s in switches},
        }
        about = {"module": "oidc", "name": _NAME, "display_name": "OpenID Connect", "enabled": True}
        return {**about, "parameters": parameters}

    def _admin_do(self, method: str, path: str, document: Any) -> None:
        _ask(self._admin, method, f"{self.url}/api/{path}", document)


def _ask(session: requests.Session, method: str, url: str, document: Any) -> None:
    answer = session.request(method, url, json=document, timeout=20)
    if not answer.ok:
        raise RuntimeError(f"{method} {url}: {answer.status_code} {answer.text}")


@contextmanager
def running_provider(
    folder: Path, port: int | None = None, redirects: Sequence[str] = (), access_token_s: int = 3600
) -> Iterator[OidcProvider]:
    """A provider with two users, a client with a secret and one without; its files in a folder."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / "provider.db"
    database.unlink(missing_ok=True)
    connection = sqlite3.connect(database)
    connection.executescript(SCHEMA.read_text("utf-8"))
    connection.close()
    config = folder / "provider.conf"
    text = _CONFIG.format(port=port, url=url, database=database) + pages_config(folder)
    config.write_text(text, encoding="utf-8")
    with (folder / "provider.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "-c", str(config)], stdout=log, stderr=log)
    try:
        _wait(url, process, folder / "provider.log")
        provider = OidcProvider(url, (rsa_key("first"), ec_key("second")), access_token_s)
        provider.set_up()
        provider.add_client(PUBLIC_CLIENT, redirects=redirects)
        yield provider
    finally:
        process.terminate()
        process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            requests.get(f"{url}/api/", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"The provider did not start: {log.read_text('utf-8', 'replace')[-2000:]}")


def main() -> None:
    """Run a provider until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8181)
    parser.add_argument("--folder", type=Path, required=True, help="for its files and providers.json")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit())  # through the end of the provider
    redirects = ["http://localhost:8765/callback"]
    with running_provider(options.folder, options.port, redirects) as provider:
        file = options.folder / "providers.json"
        file.write_text(json.dumps({"providers": [provider.entry(redirects)]}, indent=1))
        print(f"# the server:\nexport ACREAGE_SERVER_OIDC={file.absolute()}\n# the client:")
        for name, value in provider.environment().items():
            print(f"export {name}={value}")
        print(f"# issuer {provider.issuer}; users: {', '.join(f'{n} / {p}' for n, p in USERS.items())}")
        print("# end it with Ctrl-C", flush=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
