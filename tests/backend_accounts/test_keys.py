"""Keys of providers: rotated, out of reach, slow, or not what they should be."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.oidc import PROVIDER_ID, OidcProvider, ec_key, free_port, rsa_key
from tests.support.oidc_server import Served

from acreage.backend.accounts import keys as module
from acreage.backend.accounts.keys import ProviderKeys, is_secure
from acreage.backend.accounts.oidc import Provider, Providers
from acreage.backend.errors import InfrastructureBusy, TokenInvalid

GOOD = rsa_key("good")


@dataclass
class Answers:
    """What a provider of keys answers, and how often it was asked for them."""

    issuer: str = ""
    about: Callable[[str], Any] = lambda issuer: {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
    keys: Any = field(default_factory=lambda: {"keys": [GOOD.as_dict(private=False)]})
    status: int = 200
    delay_s: float = 0.0
    asked: int = 0
    open: bool = True


@contextmanager
def _answering(port: int, answers: Answers) -> Iterator[None]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys = self.path == "/keys"
            answers.asked += keys
            time.sleep(answers.delay_s)
            found = answers.keys if keys else answers.about(answers.issuer)
            data = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(answers.status)
            self.send_header("Content-Length", str(len(data)))
            if answers.status == 302:
                self.send_header("Location", f"{answers.issuer}/elsewhere")
            self.end_headers()
            try:
                self.wfile.write(data)
            except OSError:
                """It has gone."""

        def log_message(self, *args: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture
def answers() -> Answers:
    return Answers(f"http://127.0.0.1:{free_port()}")


@pytest.fixture
def running(answers: Answers) -> Iterator[Answers]:
    with _answering(int(answers.issuer.rpartition(":")[2]), answers):
        yield answers


def _names(keys: ProviderKeys, wanted: str | None = None) -> set[str | None]:
    return {k.kid for k in keys.get(wanted).keys}


def test_keys_are_asked_for_once(running: Answers) -> None:
    keys = ProviderKeys(running.issuer, "P")
    for _ in range(5):
        assert _names(keys, "good") == {"good"}
    assert running.asked == 1


def test_a_new_key_is_found_at_once_and_unknown_ones_do_not_make_it_asked_without_limit(
    running: Answers,
) -> None:
    keys = ProviderKeys(running.issuer, "P")
    assert _names(keys, "good") == {"good"}
    running.keys = {"keys": [ec_key("new").as_dict(private=False)]}
    assert _names(keys, "new") == {"new"}
    for number in range(50):
        assert _names(keys, f"unknown-{number}") == {"new"}
    assert running.asked <= module._ASKS


def test_a_new_key_is_found_soon_while_unknown_ones_are_sent(
    running: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: moment)
    keys = ProviderKeys(running.issuer, "P")
    for number in range(20):
        _names(keys, f"unknown-{number}")
    running.keys = {"keys": [ec_key("new").as_dict(private=False)]}
    assert _names(keys, "new") == {"good"}
    moment += module._EVERY_S
    assert _names(keys, "new") == {"new"}


def test_keys_are_kept_for_a_day_while_the_provider_is_out_of_reach(
    running: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ProviderKeys(running.issuer, "P")
    _names(keys)
    running.status = 500
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 7200)
    assert _names(keys, "good") == {"good"}
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 100_000)
    with pytest.raises(InfrastructureBusy):
        keys.get("good")


BAD: dict[str, dict[str, Any]] = {
    "HTML": {"about": lambda issuer: b"<html>Log in</html>"},
    "HTML for keys": {"keys": b"<html>"},
    "nested JSON": {"about": lambda issuer: b"[" * 100_000},
    "no object": {"about": lambda issuer: [1]},
    "another issuer": {"about": lambda issuer: {"issuer": "https://x.example", "jwks_uri": f"{issuer}/keys"}},
    "no address of keys": {"about": lambda issuer: {"issuer": issuer}},
    "keys without HTTPS": {"about": lambda issuer: {"issuer": issuer, "jwks_uri": "http://192.0.2.1/keys"}},
    "keys in a file": {"about": lambda issuer: {"issuer": issuer, "jwks_uri": "file:///etc/passwd"}},
    "not found": {"status": 404},
    "moved": {"status": 302},
    "fault": {"status": 500},
    "no keys": {"keys": {"keys": []}},
    "keys that are none": {"keys": {"keys": ["x", {"kty": "RSA"}, {"kty": "oct", "k": "c2VjcmV0"}]}},
    "keys in no list": {"keys": {"keys": {"a": 1}}},
    "too much": {"keys": b" " * 1_100_000},
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_provider_is_told_as_out_of_reach(running: Answers, kind: str) -> None:
    for name, value in BAD[kind].items():
        setattr(running, name, value)
    keys = ProviderKeys(running.issuer, "P")
    for _ in range(20):
        with pytest.raises(InfrastructureBusy, match="The keys of P cannot be had") as caught:
            keys.get("good")
    assert caught.value.http_status == 503
    assert running.asked <= module._ASKS


def test_one_bad_key_leaves_the_others(running: Answers) -> None:
    bad = {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "bad"}
    running.keys["keys"] = [
        bad,
        {"kty": "AKP"},
        {**GOOD.as_dict(private=False), "use": "enc"},
        *running.keys["keys"],
    ]
    assert _names(ProviderKeys(running.issuer, "P")) == {"good"}


def test_a_slow_provider_binds_few_threads(running: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT_S", (0.5, 0.5))
    running.delay_s = 1.0
    keys, busy = ProviderKeys(running.issuer, "P"), []

    def ask() -> None:
        with pytest.raises(InfrastructureBusy):
            keys.get("good")
        busy.append(time.monotonic())

    started = time.monotonic()
    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(moment - started < 0.4 for moment in busy) >= 20 - module._WAITING


def test_one_byte_after_the_other_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DEADLINE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                try:
                    for _ in range(200):
                        connection.sendall(b" ")
                        time.sleep(0.05)
                except OSError:
                    """The other side has had enough."""

        thread = threading.Thread(target=drip)
        thread.start()
        keys = ProviderKeys(f"http://127.0.0.1:{listener.getsockname()[1]}", "P")
        with pytest.raises(InfrastructureBusy):
            keys.get(None)
        thread.join(5)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("https://provider.example/realms/x", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://localhost/x", True),
        ("http://provider.example", False),
        ("http://127.0.0.1.provider.example", False),
        ("http://localhost.provider.example", False),
        ("https://", False),
        ("ftp://127.0.0.1", False),
        ("provider.example", False),
        ("", False),
    ],
)
def test_issuers_have_https_but_on_this_machine(address: str, good: bool) -> None:
    assert is_secure(address) is good


def test_a_rotated_key_is_taken_at_once_and_the_old_one_no_more(
    server: Served, provider: OidcProvider
) -> None:
    old = provider.keys
    before = provider.client_token()
    assert server.ask("GET", "/me", f"oidc/{PROVIDER_ID}/{before}").status_code == 200
    try:
        provider.use_keys(rsa_key("third"))
        after = provider.client_token()
        assert _status_in_time(server, after) == 200
        answer = server.ask("GET", "/me", f"oidc/{PROVIDER_ID}/{before}")
        assert (answer.status_code, answer.json()["code"]) == (403, "TokenInvalid")
    finally:
        provider.use_keys(*old)
        assert _status_in_time(server, provider.client_token()) == 200


def _status_in_time(server: Served, token: str) -> int:
    """Forged tokens of other tests may have used up the questions that are allowed at once."""
    until = time.monotonic() + 3 * module._EVERY_S
    while (status := server.ask("GET", "/me", token).status_code) != 200 and time.monotonic() < until:
        time.sleep(0.5)
    return status


def test_audience_and_name_of_a_provider_of_ones_own(running: Answers) -> None:
    said = {"id": "p", "issuer": running.issuer, "title": "P", "audience": ["acreage"], "any_client": True}
    providers = Providers.of((Provider(**said),))
    signer = OidcProvider("http://unused", (GOOD,))

    def user(**claims: Any) -> Any:
        return providers.user("p", signer.sign(signer.claims(iss=running.issuer, **claims)))

    assert user(aud="acreage").id == "p~somebody"
    assert user(aud=["x", "acreage"], sub="a/b").id.startswith("p~~")
    assert user(aud="acreage", preferred_username="Änne\x00\n<b>").name == "Änne<b>"
    assert user(aud="acreage", preferred_username={"a": 1}, name=" ").name == "somebody"
    assert len(user(aud="acreage", preferred_username="x" * 5000).name) == 200
    for other in ("openid", ["x"], [["acreage"]], {"acreage": 1}, 5, None, []):
        with pytest.raises(TokenInvalid):
            user(aud=other)
