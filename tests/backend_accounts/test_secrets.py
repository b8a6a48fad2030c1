"""Secrets are in no log, no answer and no file that they need not be in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from tests.support.oidc import CLIENT, PROVIDER_ID, PUBLIC_CLIENT, SECRET, OidcProvider
from tests.support.oidc_server import ACCOUNTS, Served, running_server, small_graph

from acreage.backend.storage import Storage
from acreage.core.errors import WriteFailed

S3 = {"AWS_ACCESS_KEY_ID": "AKIAsecretaccesskey1", "AWS_SECRET_ACCESS_KEY": "secret/access+key/2"}


@pytest.fixture(scope="module")
def talkative(
    provider: OidcProvider, catalog: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server that has keys of a store."""
    folder = tmp_path_factory.mktemp("talkative")
    file = folder / "providers.json"
    file.write_text(json.dumps({"providers": [provider.entry()]}))
    with running_server(folder, catalog, ACREAGE_SERVER_OIDC=str(file), **S3) as served:
        yield served


def _uses(served: Served, provider: OidcProvider) -> dict[str, str]:
    """Use a server in all ways that take a secret; the secrets, by name."""
    tokens = provider.user_tokens("anna", PUBLIC_CLIENT)
    basic, oidc = served.login("carla"), f"oidc/{PROVIDER_ID}/{tokens['access_token']}"
    secrets = {
        "password": ACCOUNTS["carla"],
        "password of another": ACCOUNTS["dora"],
        "token of a login": basic.removeprefix("basic//"),
        "access token": tokens["access_token"],
        "refresh token": tokens["refresh_token"],
        "client secret": SECRET,
        "token of a client": provider.client_token(CLIENT, SECRET),
        **S3,
    }
    job = served.run_job(basic, {"process": small_graph(), "log_level": "debug"})
    found = served.ask("GET", f"/jobs/{job}/results", basic).json()
    hrefs = [asset["href"] for asset in found["assets"].values()]
    hrefs += [x["href"] for x in found["links"] if x["rel"] == "canonical"]
    for number, href in enumerate(hrefs):
        assert requests.get(href, timeout=60).ok
        secrets[f"signature {number}"] = dict(parse_qsl(urlsplit(href).query))["signature"]
    requests.get(hrefs[0] + "0", timeout=60)  # a wrong signature
    failing = {"process": small_graph(options={"no_such_option": True}), "log_level": "debug"}
    served.run_job(oidc, failing)
    assert served.ask("POST", "/result", oidc, json={"process": small_graph()}).ok
    for token in (basic, oidc):
        served.ask("POST", "/jobs", token, data=b"{no json")
        served.ask("GET", "/jobs/none", token)
    wrong = "wrong-password-typed"
    secrets["wrong password"] = wrong
    requests.get(f"{served.url}/credentials/basic", auth=("carla", wrong), timeout=60)
    forged = provider.sign(provider.claims(client_id="stranger"))
    secrets["forged token"] = forged
    served.ask("GET", "/me", forged)
    served.ask("GET", "/me", f"oidc/{PROVIDER_ID}/{forged}")
    served.ask("GET", "/me", "basic//a-token-that-is-unknown")
    secrets["unknown token"] = "a-token-that-is-unknown"
    return secrets


def test_secrets_are_in_no_log_nor_file_of_the_server(talkative: Served, provider: OidcProvider) -> None:
    secrets = _uses(talkative, provider)
    files = [p for p in (talkative.output, *talkative.storage.rglob("*")) if p.is_file()]
    names = {p.name for p in files}
    assert {"output.txt", "log.jsonl", "acreage.db"} <= names, names
    logged = talkative.output.read_text("utf-8")
    assert "GET /me 403" in logged.replace("\n", " "), "the log has nothing to look at"
    assert "/results/assets/" in logged
    found = []
    for path in files:
        data = path.read_bytes()
        found += [(name, path.name) for name, secret in secrets.items() if secret.encode() in data]
        # No half of a token either.
        found += [
            (name, path.name) for name, s in secrets.items() if len(s) > 60 and s[-40:].encode() in data
        ]
    assert found == []


def test_the_storage_is_the_servers_only(talkative: Served) -> None:
    assert talkative.storage.stat().st_mode & 0o077 == 0
    assert (talkative.storage / "secret.key").stat().st_mode & 0o077 == 0


def test_a_key_that_is_damaged_signs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acreage.backend.storage._KEY_WAIT_S", 0.1)
    storage = Storage.at(tmp_path / "storage")
    assert storage.secret() == storage.secret()
    assert len(storage.secret()) == 32
    (storage.root / "secret.key").write_bytes(b"")
    with pytest.raises(WriteFailed, match="damaged"):
        storage.secret()
