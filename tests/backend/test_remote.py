"""Documents under addresses of users: from the public internet only, unless an operator says otherwise."""

from __future__ import annotations

import json

import pytest
from tests.support.servers.faulty import Answer, serving

from acreage.backend.remote import check_public, fetch_json
from acreage.core.errors import AddressRefused

PROCESS = {"id": "five", "process_graph": {"a": {"process_id": "add", "arguments": {"x": 2, "y": 3}}}}


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:9/p.json",
        "http://localhost/p.json",
        "http://[64:ff9b::7f00:1]/p.json",
        "http://[2002:7f00:1::]/p.json",
        "http://169.254.169.254/latest",
        "http://10.0.0.1:99999/",
        "http://[::1",
        "file:///etc/passwd",
        "http://anna:secret@example.com/p.json",
        "http://no-such-host.invalid/p.json",
    ],
)
def test_what_is_not_on_the_public_internet_is_refused(address: str) -> None:
    for use in (check_public, fetch_json):
        with pytest.raises(AddressRefused) as raised:
            use(address)
        assert raised.value.hint


def test_a_private_server_is_asked_where_the_operator_says_so() -> None:
    with serving(lambda request: Answer(200, {}, json.dumps(PROCESS).encode())) as server:
        with pytest.raises(AddressRefused, match="public internet"):
            fetch_json(f"{server.address}/p.json")
        assert server.requests == []
        assert fetch_json(f"{server.address}/p.json", allowed=["*"]) == PROCESS


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(200, {}, b"<html>"), "not JSON"),
        (Answer(200, {}, b"[" * 200_000), "not JSON"),
        (Answer(200, {}, b" " * 5_000_001), "more than"),
        (Answer(404, {}, b""), "not there"),
    ],
)
def test_other_answers_are_refused(answer: Answer, said: str) -> None:
    with serving(lambda request: answer) as server, pytest.raises(AddressRefused, match=said):
        fetch_json(f"{server.address}/p.json", allowed=["*"])
