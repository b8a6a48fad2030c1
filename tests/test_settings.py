"""Settings: read when asked for, refused with their names."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from acreage.core.settings import Settings, SettingsInvalid, load_settings


def test_defaults_work_without_any_variable() -> None:
    settings = load_settings()
    assert settings.threads >= 1
    assert settings.memory == 4_000_000_000
    assert settings.scratch is None
    assert settings.catalog is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4_000_000_000),
        ("512MiB", 512 * 1024**2),
        ("1.5 GiB", 3 * 1024**3 // 2),
        ("300000000", 300_000_000),
    ],
)
def test_memory_takes_bytes_and_units(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setenv("ACREAGE_MEMORY", text)
    assert load_settings().memory == size


def test_values_are_read_when_loaded_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACREAGE_THREADS", "3")
    assert load_settings().threads == 3
    monkeypatch.setenv("ACREAGE_THREADS", "5")
    assert load_settings().threads == 5


def test_an_empty_variable_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACREAGE_SCRATCH", "")
    assert load_settings().scratch is None


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.threads = 7


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError):
        Settings(thread=7)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("THREADS", "0"),
        ("THREADS", "many"),
        ("MEMORY", "4 parsecs"),
        ("MEMORY", "10MB"),
        ("UDF_MEMORY", "10MB"),
        ("UDF_TIMEOUT_S", "-1"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"ACREAGE_{name}", value)
    with pytest.raises(SettingsInvalid, match=f"ACREAGE_{name}") as caught:
        load_settings()
    assert "docs/settings.md" in caught.value.hint


def test_all_problems_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACREAGE_THREADS", "0")
    monkeypatch.setenv("ACREAGE_LOG_LEVEL", "loud")
    with pytest.raises(SettingsInvalid, match=r"ACREAGE_THREADS.*ACREAGE_LOG_LEVEL"):
        load_settings()


def test_scratch_that_is_a_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    monkeypatch.setenv("ACREAGE_SCRATCH", str(taken))
    with pytest.raises(SettingsInvalid, match="not a folder"):
        load_settings()
