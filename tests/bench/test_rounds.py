"""Runs in turn, medians and ratios."""

from __future__ import annotations

import pytest

from acreage.bench.goals import goals
from acreage.bench.preprocessing import ALL, NEEDED, OURS
from acreage.bench.results import PartResult, Results, Row
from acreage.bench.rounds import Ratio, in_turn, paired_ratio


def test_things_are_run_in_turn_and_told_of() -> None:
    order: list[str] = []
    told: list[tuple[str, int]] = []
    runs = {name: lambda name=name: order.append(name) or len(order) for name in "abc"}
    found = in_turn(runs, 2, lambda name, n: told.append((name, n)))
    assert "".join(order) == "abcabc"
    assert found == {"a": [1, 4], "b": [2, 5], "c": [3, 6]}
    assert told == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1), ("c", 1)]


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds() -> None:
    # The second round ran on a machine that was ten times slower for both.
    assert paired_ratio([2.0, 30.0, 8.0], [1.0, 10.0, 2.0]) == Ratio(3.0, 2.0, 4.0)


@pytest.mark.parametrize(("values", "base"), [([], []), ([1.0], [1.0, 2.0])])
def test_rounds_that_do_not_pair_are_not_compared(values: list[float], base: list[float]) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        paired_ratio(values, base)


def test_a_row_tells_medians_of_its_rounds() -> None:
    row = Row("clear", "x", (5.0, 1.0, 3.0), (9.0, 2.0, 8.0))
    assert (row.cpu, row.wall) == (3.0, 8.0)


@pytest.mark.parametrize(("ours", "met"), [(1.9, True), (2.1, False)])
def test_an_aim_is_met_or_missed_by_what_was_measured(ours: float, met: bool) -> None:
    rows = (
        Row("clear", ALL, (12.0,), (12.0,)),
        Row("clear", NEEDED, (10.0,), (10.0,)),
        Row("clear", OURS, (10.0 * ours,), (20.0,), (2_000_000_000,)),
        Row("clear", "odc-stac", (300.0,), (300.0,)),
        Row("clear", "odc-stac, Dask", (500.0,), (300.0,)),
    )
    found = goals(Results("acreage bench", {}, (PartResult("preprocessing", "", rows),)))
    assert [goal.met for goal in found] == [met, 300.0 / (10.0 * ours) >= 12, False]
    assert found[0].measured == f"{ours:.2f} x"
    assert "odc-stac)" in found[1].text  # the one that took less
    assert found[2].measured == "2.00 GB"
