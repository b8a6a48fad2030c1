"""Profiles of back ends, and graphs in their words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from acreage.core.errors import InvalidInput
from acreage.production.logins import secret
from acreage.production.profiles import CollectionWords, JobOptions, Machine, Profile, read_profiles
from acreage.production.words import in_words_of, sent_words

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "production" / "backends.yaml"
LEAST = {"url": "https://b.example.org", "model": {"kind": "upload"}}


def test_the_example_can_be_used_and_stays_itself_in_a_ledger() -> None:
    profiles = read_profiles(EXAMPLE)
    assert sorted(profiles) == ["other", "own"]
    for profile in profiles.values():
        assert Profile.from_dict(profile.to_dict()) == profile
    assert profiles["own"].machine.workers == 4
    assert profiles["other"].machine.workers == 4
    assert profiles["other"].job.of(3800) == {
        "driver-memory": "2G",
        "executor-memory": "4G",
        "python-memory": "3800m",
    }


def test_the_page_shows_the_example_word_by_word() -> None:
    assert EXAMPLE.read_text("utf-8") in (ROOT / "docs" / "back-ends.md").read_text("utf-8")


def test_no_secret_is_in_a_profile_but_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OWN_PASSWORD", raising=False)
    with pytest.raises(InvalidInput, match="OWN_PASSWORD, which is not set"):
        secret("OWN_PASSWORD", "own")
    monkeypatch.setenv("OWN_PASSWORD", "x")
    assert secret("OWN_PASSWORD", "own") == "x"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"url": "ftp://b.example.org"}, "url"),
        ({"model": {"kind": "address", "href": "https://m/{other}"}}, "only {name} and {sha256} are known"),
        ({"model": None}, "model"),
        ({"login": {"kind": "basic", "username": "a", "password": "secret"}}, "password"),
        ({"machine": {"cores": 4, "memory_mb": 2000, "worker_memory_mb": 3800}}, "larger than its machine"),
        ({"job": {"memory": {"memory": "{pounds}"}}}, "no amount"),
        ({"job": {"tolerance": {"tolerate": "{some}"}}}, "no tolerance"),
        ({"collections": {"A": {"id": "a", "bands": {"B1": "x", "B2": "x"}}}}, "two bands have one name"),
        ({"paralell": 3}, "paralell"),
        ({"parallel": 0}, "parallel"),
    ],
)
def test_what_cannot_be_used_is_named(changes: dict[str, Any], named: str, tmp_path: Path) -> None:
    path = tmp_path / "backends.yaml"
    path.write_text(yaml.safe_dump({"backends": {"b": {**LEAST, **changes}}}))
    with pytest.raises(InvalidInput) as caught:
        read_profiles(path)
    assert named in str(caught.value)
    assert "secret" not in caught.value.message.replace("password", "")


@pytest.mark.parametrize("text", ["[", "backends: {}", "- 1", "backends: {'a b': {}}"])
def test_a_file_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "backends.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        read_profiles(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_profiles(tmp_path / "absent.yaml")


def test_workers_are_packed_into_machines() -> None:
    assert Machine(cores=4, memory_mb=16_000, worker_memory_mb=3_800).workers == 4
    assert Machine(cores=8, memory_mb=16_000, worker_memory_mb=3_800).workers == 4
    assert Machine(cores=4, memory_mb=16_000, worker_memory_mb=6_000).workers == 2
    assert Machine(cores=8, memory_mb=64_000, worker_memory_mb=4_000, worker_cores=3).workers == 2
    assert Machine().packed(17_000) == 0
    profile = Profile.from_dict({**LEAST, "machine": {"count": 3}})
    assert profile.stated_parallel == 12
    assert Profile.from_dict({**LEAST, "machine": {"count": 3}, "parallel": 5}).stated_parallel == 5
    assert Profile.from_dict(LEAST).stated_parallel is None


def test_memory_is_rounded_up_in_every_unit() -> None:
    options = JobOptions(memory={"a": "{mb}MB", "b": "{gb}G", "c": "{mib}MiB", "d": "{gib}GiB"}, cores="n")
    assert options.of(3_800, 2) == {"a": "3800MB", "b": "4G", "c": "3624MiB", "d": "4GiB", "n": 2}


def test_a_tolerance_is_sent_where_there_is_one() -> None:
    assert "tolerate" not in JobOptions().of(1_000)
    assert JobOptions().of(1_000, None, 0.05, "radar") == {"memory": "1000MB", "tolerate": "radar=5%"}
    other = JobOptions(memory={}, tolerance={"soft-errors": "{share}"})
    assert other.of(1_000, None, 0.125) == {"soft-errors": "0.125"}


def _loads(graph: dict[str, Any]) -> dict[str, Any]:
    return {k: n for k, n in graph.items() if n["process_id"] == "load_collection"}


def test_a_graph_is_said_in_other_words() -> None:
    same = {
        "process_id": "eq",
        "arguments": {"x": {"from_parameter": "value"}, "y": "ascending"},
        "result": True,
    }
    graph: dict[str, Any] = {
        "l": {
            "process_id": "load_collection",
            "arguments": {
                "id": "S1",
                "bands": ["VV", "VH"],
                "properties": {"sat:orbit_state": {"process_graph": {"eq": same}}},
            },
        },
        "o": {"process_id": "load_collection", "arguments": {"id": "S2", "bands": ["B02"]}},
        "m": {
            "process_id": "merge_cubes",
            # A node of the callback has the key of a load.
            "arguments": {
                "cube1": {"from_node": "l"},
                "cube2": {"from_node": "o"},
                "overlap_resolver": {
                    "process_graph": {
                        "l": {"process_id": "absolute", "arguments": {"x": {"from_parameter": "x"}}},
                        "n": {
                            "process_id": "absolute",
                            "arguments": {"x": {"from_node": "l"}},
                            "result": True,
                        },
                    }
                },
            },
            "result": True,
        },
    }
    words = {
        "S1": CollectionWords.model_validate(
            {
                "id": "sentinel-1",
                "bands": {"VH": "vh"},
                "properties": {"sat:orbit_state": {"name": "orbit", "values": {"ascending": "ASC"}}},
            }
        ),
        "S3": CollectionWords(id="sentinel-3"),
    }
    before = yaml.safe_dump(graph)
    found = in_words_of(graph, words)
    assert yaml.safe_dump(graph) == before
    load = found["l"]["arguments"]
    assert (load["id"], load["bands"], list(load["properties"])) == ("sentinel-1", ["VV", "vh"], ["orbit"])
    assert load["properties"]["orbit"]["process_graph"]["eq"]["arguments"] == {
        "x": {"from_parameter": "value"},
        "y": "ASC",
    }
    assert found["o"] == graph["o"]
    merge = found["m"]["arguments"]
    assert merge["cube1"] == {"from_node": "lrenamed"}
    assert merge["overlap_resolver"] == graph["m"]["arguments"]["overlap_resolver"]
    assert found["lrenamed"]["arguments"] == {
        "data": {"from_node": "l"},
        "dimension": "bands",
        "target": ["VH"],
        "source": ["vh"],
    }
    assert list(sent_words(graph, words)) == ["S1"]
