"""What may fail: numbers, shares, single collections; at the limit and one over it."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.breakable_archive import GRAPH, S2, Archive
from tests.support.engine_runs import settled
from tests.support.faults import html

from acreage.core.errors import InvalidInput
from acreage.core.faults import FAULTS
from acreage.core.inputs import InputAsset
from acreage.engine.tolerance import Limit, Tolerance, TooManyFailures

S1 = "SENTINEL1_GRD"


def lost(collection: str, count: int, bands: int = 1) -> list[InputAsset]:
    return [
        InputAsset(collection, f"{collection}-{n:03}", f"B{b:02}", "failed", "truncated", "It ends early.")
        for n in range(count)
        for b in range(bands)
    ]


@pytest.mark.parametrize(
    ("texts", "allowed", "refused"),
    [
        ([], {}, {S2: 1}),
        (["2"], {S2: 1, S1: 1}, {S2: 2, S1: 1}),
        (["2%"], {S2: 2, S1: 1}, {S2: 3, S1: 1}),  # of 100 + 50
        (["0.7%"], {S2: 1}, {S2: 2}),
        ([f"{S2}=3"], {S2: 3}, {S2: 3, S1: 1}),
        ([f"{S2}=3"], {S2: 2}, {S2: 4}),
        (["1", f"{S2}=2%"], {S2: 2, S1: 1}, {S2: 2, S1: 2}),
        (["100%"], {S2: 100, S1: 50}, None),
    ],
)
def test_a_job_passes_at_the_limit_and_fails_one_over_it(
    texts: list[str], allowed: dict[str, int], refused: dict[str, int] | None
) -> None:
    tolerance, expected = Tolerance.parse(texts), {S2: 100, S1: 50}
    tolerance.check([a for c, n in allowed.items() for a in lost(c, n, bands=3)], expected)
    if refused is not None:
        with pytest.raises(TooManyFailures, match=f"^{sum(refused.values())} items could not be read"):
            tolerance.check([a for c, n in refused.items() for a in lost(c, n)], expected)


@pytest.mark.parametrize(
    "texts",
    [
        ["-1"],
        ["many"],
        ["2 %%"],
        ["101%"],
        ["="],
        ["=2"],
        ["S2="],
        ["1", "2"],
        ["S2=1", "S2=2%"],
        ["nan%"],
        ["1.5"],
    ],
)
def test_what_is_no_limit_is_refused_in_words(texts: list[str]) -> None:
    with pytest.raises(InvalidInput, match="--tolerate"):
        Tolerance.parse(texts)


@given(
    rest=st.one_of(st.integers(0, 99), st.floats(0, 100).map(lambda v: f"{v:.3f}%")),
    named=st.dictionaries(st.sampled_from([S1, S2]), st.integers(0, 9)),
)
def test_a_tolerance_is_read_back_from_its_text(rest: int | str, named: dict[str, int]) -> None:
    tolerance = Tolerance.parse([str(rest), *(f"{k}={v}" for k, v in named.items())])
    assert Tolerance.parse(str(tolerance).split()) == Tolerance(
        Limit(tolerance.rest.items, tolerance.rest.percent and float(f"{tolerance.rest.percent:g}")),
        tolerance.collections,
    )


def test_the_list_names_every_item_and_counts_them_by_kind() -> None:
    kinds = ["truncated", "truncated", "wrong-grid", "empty"]
    failed = [InputAsset(S2, f"i{n}", "B04", "failed", kind, "Why.") for n, kind in enumerate(kinds)]
    failed.append(InputAsset(S2, "i0", "B08", "failed", "empty", "Why."))
    with pytest.raises(TooManyFailures) as caught:
        Tolerance().check(failed, {S2: 9})
    text = caught.value.message
    assert text.startswith("4 items could not be read (0 tolerated): 2 truncated, 1 wrong-grid, 1 empty.")
    assert "- wrong-grid: Item i2, band B04: Why." in text
    assert text.count("\n- ") == 5
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.failed) == (str(caught.value), caught.value.failed)
    assert set(kinds) <= set(FAULTS)


def test_a_limit_for_a_collection_that_is_not_read_is_refused(archive: Archive) -> None:
    with pytest.raises(InvalidInput, match=r"SENTINEL2_L2a.*does not read"):
        settled(archive.plan(GRAPH), tolerance=Tolerance.parse(["SENTINEL2_L2a=1"]))


@pytest.mark.parametrize(
    ("text", "passes"), [("33%", False), ("34%", True), (f"{S2}=2", True), (f"{S2}=1", False)]
)
def test_a_share_is_of_the_items_that_were_to_be_read(archive: Archive, text: str, passes: bool) -> None:
    plan = archive.plan(GRAPH)
    html(archive.file("west0", "B04"))
    html(archive.file("east2", "SCL"))
    tolerance = Tolerance.parse([text])
    if passes:
        assert len(settled(plan, tolerance=tolerance)[1].inputs.failed) == 2
    else:
        with pytest.raises(TooManyFailures):
            settled(plan, tolerance=tolerance)
