"""The history of a ledger as bars in lanes, and as a picture."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given
from matplotlib.image import imread
from tests.support.ledgers import new_ledger, tile_record

from acreage.production.history_picture import Course, courses, draw_history, lanes
from acreage.production.ledger.attempts import Again, Done, advance, close
from acreage.production.ledger.events import events
from acreage.production.ledger.leases import claim
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.values import AttemptState, Choice


def worked(place: Path) -> Ledger:
    """Three tiles: done, failed, running."""
    ledger = new_ledger(str(place), 3)
    claims = claim(ledger, "me", [Choice(tile_record(n).id, "one", 1) for n in range(3)], 0.0, 900.0)
    for n, made in enumerate(claims):
        for state, at in (
            (AttemptState.CREATED, 10.0),
            (AttemptState.STARTED, 20.0),
            (AttemptState.ENDED, 80.0),
        ):
            if n < 2 or state is not AttemptState.ENDED:
                advance(ledger, made.lease, made.attempt.id, state, at, remote_id=f"j{n}")
    done, failed, _ = claims
    close(ledger, done.lease, done.attempt.id, AttemptState.VERIFIED, Done(), 100.0)
    close(ledger, failed.lease, failed.attempt.id, AttemptState.FAILED, Again(), 110.0, error_class="x")
    return ledger


def test_a_history_tells_when_each_attempt_was_where(tmp_path: Path) -> None:
    found = list(courses(events(worked(tmp_path / "p"))).values())
    assert [c.spans() for c in found] == [
        [("queue", 0.0, 20.0), ("job", 20.0, 80.0), ("fetch", 80.0, 100.0)],
        [("queue", 0.0, 20.0), ("job", 20.0, 80.0), ("fetch", 80.0, 110.0)],
        [("queue", 0.0, 20.0), ("job", 20.0, 20.0)],
    ]
    assert {c.backend for c in found} == {"one"}
    assert lanes(found) == [0, 1, 2]


SPANS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=30)


@given(SPANS)
def test_bars_of_one_lane_never_overlap_and_there_are_as_few_lanes_as_can_be(
    spans: list[tuple[int, int]],
) -> None:
    one = [Course("b", {"claimed": float(a), "verified": float(a + n)}) for a, n in spans]
    chosen = lanes(one)
    for i, (a, n) in enumerate(spans):
        for j, (b, _) in enumerate(spans):
            if i != j and chosen[i] == chosen[j]:
                assert not a <= b < a + n
    most = max((sum(a <= t < a + n for a, n in spans) for t in range(80)), default=0)
    assert len(set(chosen)) == most


def test_a_picture_is_drawn_also_of_a_ledger_without_history(tmp_path: Path) -> None:
    draw_history(worked(tmp_path / "p"), tmp_path / "history.png", {50.0: "something happened"})
    image = imread(tmp_path / "history.png")
    assert image.shape[2] == 4
    assert image[:, :, :3].std() > 0.05
    draw_history(new_ledger(str(tmp_path / "empty"), 1), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 1000
