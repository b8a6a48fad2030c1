"""The descriptions of processes that a server lists: the installed ones, or those of a checkout."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from acreage.backend.app import create_app
from acreage.backend.server import make_server
from acreage.backend.settings import ServerSettings
from acreage.cli.serve import EngineWork
from acreage.core.errors import InvalidInput
from acreage.core.settings import Settings
from acreage.processes.registry import description


def listed(folder: Path, **settings: Any) -> dict[str, Any]:
    work = EngineWork(cast(Any, None), "", Settings(), cast(Any, None))
    server = make_server(ServerSettings(**settings), work, folder, {"dora": "a-long-password"})
    (answer, mask) = asyncio.run(_asked(create_app(server), "/processes", "/processes/backend/mask"))
    found = {p["id"]: p for p in answer["processes"]}
    assert found["mask"] == mask
    return found


async def _asked(app: Any, *paths: str) -> list[Any]:
    """What a server answers that runs no jobs."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return [(await client.get(path)).json() for path in paths]


def test_official_descriptions_are_listed_word_by_word_from_a_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    official = {**description("mask"), "description": "As the specification has it."}
    (checkout / "mask.json").write_text(json.dumps(official), "utf-8")
    plain = listed(tmp_path / "plain")
    with_words = listed(tmp_path / "words", process_descriptions=checkout)
    assert with_words["mask"]["description"] == "As the specification has it."
    assert with_words["mask"]["deviation"] == plain["mask"]["deviation"]
    assert {k: v for k, v in with_words.items() if k != "mask"} == {
        k: v for k, v in plain.items() if k != "mask"
    }


def test_a_folder_that_is_no_checkout_ends_the_server_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has no descriptions of processes"):
        listed(tmp_path / "storage", process_descriptions=tmp_path)
