"""What people tell runners while they run: written into the ledger, which runners read every few seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass

from acreage.core.errors import InvalidInput
from acreage.production.guards import PAUSED, STOP, control_value
from acreage.production.ledger.leases import give_up
from acreage.production.ledger.settings import set_back_end, set_control
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.tiles import release, tile, tiles
from acreage.production.ledger.values import BackEndState, TileState

_PARALLEL = "parallel."


@dataclass(frozen=True)
class Wishes:
    """What is to change; as the options of `acreage run`."""

    set_values: tuple[str, ...] = ()
    pause: bool = False
    resume: bool = False
    stop: bool = False
    drain: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    reopen: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    give_up: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is."""
        return not any(astuple(self))


def carry_out(ledger: Ledger, wishes: Wishes, now: float) -> Iterator[str]:
    """Change what is to change; tells what was, line by line.

    Raises:
        InvalidInput: something cannot be.
    """
    if wishes.pause and wishes.resume:
        raise InvalidInput("A run cannot be paused and resumed at once.", hint="Give one of the two.")
    for text in wishes.set_values:
        yield _set(ledger, text, now)
    if wishes.pause:
        set_control(ledger, now, {PAUSED: "a person paused it"}, "paused by a person")
        yield "Paused: nothing more is sent, what runs is finished."
    if wishes.resume:
        set_control(ledger, now, {PAUSED: None}, "resumed by a person")
        yield "Resumed."
    if wishes.stop:
        set_control(ledger, now, {STOP: True}, "stopped by a person")
        yield "All runners end; jobs run on, and the next run follows them."
    states = (
        (wishes.drain, BackEndState.DRAINING),
        (wishes.off, BackEndState.OFF),
        (wishes.reopen, BackEndState.OPEN),
    )
    for names, state in states:
        for name in names:
            set_back_end(ledger, name, now, "by a person", state=state, until=None, note="")
            yield f"{name} is {state}."
    for what in wishes.release:
        yield _release(ledger, what, now)
    for tile_id in wishes.give_up:
        if not give_up(ledger, tile_id, now, "by a person"):
            raise InvalidInput(f"Nobody works on tile {tile_id}.", hint="Held tiles are released.")
        yield f"{tile_id} waits again; its job may run on, and be paid as well."


def _set(ledger: Ledger, text: str, now: float) -> str:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidInput(f"{text!r} sets nothing.", hint="Write it as pace=20.")
    if name.startswith(_PARALLEL):
        number = None if value.lower() == "none" else _whole(name, value)
        set_back_end(ledger, name.removeprefix(_PARALLEL), now, f"parallel = {value}", parallel=number)
    else:
        set_control(ledger, now, {name: control_value(name, value)})
    return f"{name} is {value}."


def _whole(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise InvalidInput(f"{name} cannot be {text!r}.", hint="Give a whole number above 0, or none.")
    return int(text)


def _release(ledger: Ledger, what: str, now: float) -> str:
    if tile(ledger, what) is not None:
        chosen = [what]
    else:
        chosen = [t.id for t in tiles(ledger, [TileState.HELD]) if t.reason.startswith(f"{what}:")]
    number = release(ledger, chosen, now, "by a person")
    if not number:
        raise InvalidInput(
            f"No tile is held that is {what!r} or for the cause {what!r}.",
            hint="`acreage status` lists held tiles by their causes.",
        )
    return f"{number:,} held tiles wait again."
