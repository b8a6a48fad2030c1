"""Accounts: names, ids, tokens, files of accounts and providers, and who may start a server for others."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from acreage.backend.accounts.oidc import Provider, Providers
from acreage.backend.accounts.users import Accounts, Passwords, accounts_of, is_weak, user_id
from acreage.backend.database.session import open_database
from acreage.backend.errors import CredentialsInvalid, TokenInvalid
from acreage.backend.settings import ServerSettings
from acreage.cli.main import app
from acreage.cli.serve import others_reach
from acreage.core.database import Database
from acreage.core.errors import InvalidInput

# What openEO takes as the id of a user.
OPENEO_ID = re.compile(r"^[\w\-.~]+$", re.ASCII)
KEY = b"k" * 32
GOOD: dict[str, Any] = {"id": "p", "issuer": "https://p.example", "title": "P", "client_ids": ["c"]}


@pytest.fixture
def database(tmp_path: Path) -> Any:
    found = open_database(f"sqlite:///{tmp_path / 'a.db'}")
    yield found
    found.close()


def _accounts(database: Database, key: bytes = KEY, **passwords: str) -> Accounts:
    return Accounts(database, Passwords.of(passwords, key), timedelta(days=1))


# --- ids ---


@given(
    st.text(min_size=1), st.text(min_size=1), st.sampled_from(["a", "ab", "b"]), st.sampled_from(["a", "b"])
)
def test_ids_of_users_are_openeos_and_never_shared(first: str, second: str, one: str, other: str) -> None:
    ids = user_id(one, first), user_id(other, second)
    assert all(OPENEO_ID.match(i) and len(i) < 200 for i in ids)
    assert (ids[0] == ids[1]) == ((one, first) == (other, second))


@pytest.mark.parametrize("subject", ["x~y", "~", "~~", "a/b", "a" * 5000, "é", "\ud800", "a\nb", " a"])
def test_odd_subjects_have_ids_that_no_plain_subject_has(subject: str) -> None:
    assert re.fullmatch(r"p~~[0-9a-f]{40}", user_id("p", subject))


@pytest.mark.parametrize("name", ["p~x", "a/b", "é", "a b", "a\nb", "", "x" * 101, "@a"])
def test_names_of_accounts_cannot_be_ids_of_other_users(name: str) -> None:
    with pytest.raises(InvalidInput):
        accounts_of([f"{name}:long-password"])


def test_the_same_user_has_the_same_id_whatever_case_others_have() -> None:
    assert user_id("p", "Anna") != user_id("p", "anna")


# --- passwords and tokens ---


def test_wrong_passwords_and_names_are_refused_alike(database: Database) -> None:
    accounts = _accounts(database, anna="right-password")
    messages = set()
    for name, password in (("anna", "wrong"), ("nobody", "right-password"), ("", ""), ("anna", "")):
        with pytest.raises(CredentialsInvalid) as caught:
            accounts.log_in(name, password)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_tokens_outlive_a_restart_but_not_the_password(database: Database) -> None:
    token = _accounts(database, anna="right-password", ben="another-one").log_in("anna", "right-password")
    assert _accounts(database, anna="right-password").by_token(token).id == "anna"
    for later in (
        _accounts(database, anna="new-password"),
        _accounts(database, ben="another-one"),
        _accounts(database, key=b"x" * 32, anna="right-password"),
    ):
        with pytest.raises(TokenInvalid):
            later.by_token(token)


def test_parts_of_a_token_are_none(database: Database) -> None:
    accounts = _accounts(database, anna="right-password", ben="another-one")
    token, other = accounts.log_in("anna", "right-password"), accounts.log_in("ben", "another-one")
    half, _, mark = token.partition(".")
    for bad in (
        half,
        f"{half}.",
        f".{mark}",
        "",
        f"{half}.{other.partition('.')[2]}",
        token.upper(),
        f"{token} ",
    ):
        with pytest.raises(TokenInvalid):
            accounts.by_token(bad)


def test_tokens_and_passwords_are_not_in_the_database_nor_in_texts_of_objects(
    database: Database, tmp_path: Path
) -> None:
    accounts = _accounts(database, anna="right-password")
    token = accounts.log_in("anna", "right-password")
    kept = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    for secret in (token, token[:20], "right-password"):
        assert secret.encode() not in kept
        assert secret not in repr(accounts)


def test_an_expired_token_is_refused(database: Database) -> None:
    accounts = Accounts(database, Passwords.of({"anna": "right-password"}, KEY), timedelta(seconds=-1))
    with pytest.raises(TokenInvalid):
        accounts.by_token(accounts.log_in("anna", "right-password"))


def test_code_of_users_is_trusted_only_where_that_is_said(database: Database) -> None:
    passwords = Passwords.of({"anna": "right-password"}, KEY)
    for trusted in (False, True):
        accounts = Accounts(database, passwords, timedelta(days=1), trusted)
        assert accounts.by_token(accounts.log_in("anna", "right-password")).trusted is trusted
        assert accounts.trusts("anna") is trusted
        assert not accounts.trusts("p~anna")
    known = [{**GOOD, "trusted": True}, {**GOOD, "id": "pp", "issuer": "https://pp.example"}]
    providers = Providers.of(tuple(Provider(**p) for p in known))
    assert providers.trusts("p~x")
    assert not providers.trusts("pp~x")
    assert not providers.trusts("p")


# --- files ---


def test_accounts_of_a_file_and_of_options_are_put_together(tmp_path: Path) -> None:
    file = tmp_path / "accounts"
    file.write_text("# people\n\nanna:pass:word\r\nben: spaces \n")
    found = accounts_of(["carla:x"], file)
    assert found == {"carla": "x", "anna": "pass:word", "ben": " spaces "}
    with pytest.raises(InvalidInput, match="two accounts 'anna'"):
        accounts_of(["anna:x"], file)


@pytest.mark.parametrize("data", [b"anna\n", b"anna:\n", b":secret-password\n", b"\xffsecret-password"])
def test_a_file_of_accounts_that_cannot_be_used_is_refused_without_its_secrets(
    tmp_path: Path, data: bytes
) -> None:
    file = tmp_path / "accounts"
    file.write_bytes(data)
    with pytest.raises(InvalidInput) as caught:
        accounts_of([], file)
    assert "secret-password" not in str(caught.value)
    with pytest.raises(InvalidInput):
        accounts_of([], tmp_path / "missing")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"issuer": "http://p.example"}, "issuer"),
        ({"issuer": "https://p.example?x=1"}, "issuer"),
        ({"issuer": None}, "issuer"),
        ({"id": "a/b"}, "id"),
        ({"id": "a~b"}, "id"),
        ({"id": ""}, "id"),
        ({"id": "x" * 21}, "id"),
        ({"client_ids": []}, "no clients"),
        ({"clients": ["c"]}, "clients"),
        ({"default_clients": [{"id": "c", "grant_types": ["password"]}]}, "grant_types"),
    ],
)
def test_a_provider_that_cannot_be_used_is_refused(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    file = tmp_path / "providers.json"
    file.write_text(json.dumps({"providers": [{**GOOD, **changes}]}))
    with pytest.raises(InvalidInput, match=says):
        Providers.read(file)


@pytest.mark.parametrize("text", ["", "[]", "{", "providers: 5", "providers: [5]", "[" * 5000])
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_a_file_of_providers_that_is_none_is_refused(tmp_path: Path, text: str, suffix: str) -> None:
    file = tmp_path / f"providers{suffix}"
    file.write_text(text)
    with pytest.raises(InvalidInput):
        Providers.read(file)


@pytest.mark.parametrize("changes", [{}, {"id": "q"}, {"issuer": "https://q.example"}])
def test_two_providers_must_differ_in_id_and_issuer(tmp_path: Path, changes: dict[str, Any]) -> None:
    file = tmp_path / "providers.json"
    file.write_text(json.dumps({"providers": [GOOD, {**GOOD, **changes}]}))
    with pytest.raises(InvalidInput, match="same"):
        Providers.read(file)


# --- who may start a server for others ---


@pytest.mark.parametrize(
    "password", ["short", "acreage", "password", "12345678", "aaaaaaaa", "anna-anna", "xxANNAxx", "changeme"]
)
def test_passwords_that_are_easy_to_guess_are_weak(password: str) -> None:
    assert is_weak("anna", password)


def test_others_are_not() -> None:
    assert not is_weak("anna", "correct-horse")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0"], "needs accounts"),
        (["--host", "::"], "needs accounts"),
        (["--host", "192.0.2.1", "--user", "acreage:acreage"], "too weak"),
        (["--host", "0.0.0.0", "--user", "anna:correct-horse", "--user", "ben:short"], "password of ben"),
        (["--user", "anna"], "NAME:PASSWORD"),
    ],
)
def test_a_server_that_others_reach_does_not_start_without_good_passwords(
    tmp_path: Path, options: list[str], says: str
) -> None:
    places = ["--catalog", str(tmp_path), "--storage", str(tmp_path / "storage")]
    done = CliRunner().invoke(app, ["serve", *places, *options])
    assert done.exit_code == 2
    assert says in " ".join(done.output.split())
    assert "correct-horse" not in done.output
    assert not (tmp_path / "storage").exists()


def test_a_server_behind_a_proxy_is_one_that_others_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACREAGE_SERVER_PUBLIC_URL", "https://openeo.example.org/")
    done = CliRunner().invoke(app, ["serve", "--catalog", str(tmp_path), "--storage", str(tmp_path / "s")])
    assert done.exit_code == 2
    assert "needs accounts" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("host", "public", "expected"),
    [
        ("127.0.0.1", None, False),
        ("::1", None, False),
        ("localhost", "http://localhost:8000", False),
        ("127.0.0.1", "http://[::1]:8000", False),
        ("127.0.0.1", "https://openeo.example.org", True),
        ("0.0.0.0", None, True),
        ("::", None, True),
        ("", None, True),
        ("openeo.example.org", "http://127.0.0.1", True),
    ],
)
def test_who_reaches_a_server(host: str, public: str | None, expected: bool) -> None:
    assert others_reach(host, ServerSettings(public_url=public)) is expected
