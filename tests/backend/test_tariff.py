"""What jobs cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acreage.core.errors import InvalidInput
from acreage.core.tariff import Tariff, Use, read_tariff

amounts = st.floats(0, 1e6)


@given(cpu=amounts, memory=amounts, pixels=amounts, more=amounts)
def test_more_use_never_costs_less_and_nothing_is_given_away(
    cpu: float, memory: float, pixels: float, more: float
) -> None:
    tariff = Tariff("EUR", cpu_hour=0.3, memory_gb_hour=0.07, source_megapixel=0.001, job=0.01)
    one, other = tariff.cost(Use(cpu, memory, pixels)), tariff.cost(Use(cpu + more, memory, pixels))
    assert other >= one
    plain = 0.01 + 0.3 * cpu / 3600 + 0.07 * memory / 3600 + 0.001 * pixels
    assert plain - 1e-6 <= one <= plain + 1.01e-4


def test_round_amounts_stay_round() -> None:
    assert Tariff(cpu_hour=0.1).cost(Use(3 * 3600)) == 0.3
    assert Tariff().cost(Use(1e9, 1e9, 1e9)) == 0
    assert Tariff().is_free
    assert not Tariff(job=0.1).is_free


def test_a_file_in_either_form(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("currency: EUR\ncpu_hour: 0.04\n")
    (tmp_path / "t.json").write_text(json.dumps({"currency": "EUR", "cpu_hour": 0.04}))
    assert read_tariff(tmp_path / "t.yaml") == read_tariff(tmp_path / "t.json") == Tariff("EUR", 0.04)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", "not an object"),
        ('{"cpu": 1}', "has cpu"),
        ('{"cpu_hour": -1}', "cpu_hour: -1"),
        ('{"cpu_hour": "a"}', "cpu_hour: 'a'"),
        ('{"cpu_hour": true}', "cpu_hour: True"),
        ('{"currency": 5}', "currency: 5"),
        ("{", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=told):
        read_tariff(path)
