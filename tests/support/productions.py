"""Productions on simulated back ends and a virtual clock, for tests of the runner."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.fake_backends import FakeBackEnd, FakeMaker, FakeProducts, World
from tests.support.ledgers import tile_record

from acreage.production.backends import BackEnd
from acreage.production.clock import VirtualClock
from acreage.production.ledger.outcomes import attempts_of
from acreage.production.ledger.settings import back_ends
from acreage.production.ledger.store import Ledger, create_ledger, open_ledger
from acreage.production.ledger.tiles import sums, tile
from acreage.production.ledger.values import (
    Attempt,
    BackEndRecord,
    Production,
    TileRecord,
    TileState,
)
from acreage.production.parts import JobMaker, Products, RunSettings
from acreage.production.runner import Runner, make_runner
from acreage.production.work import AtOnce

LONGEST_S = 2 * 86400.0
SETTINGS = RunSettings(control_s=60.0, look_s=(30.0, 60.0))


def planned(number: int, core_seconds: float = 600.0, **values: object) -> TileRecord:
    """A tile whose job takes ten minutes on a back end of speed 1."""
    return tile_record(number, core_seconds=core_seconds, cost=1.0, **values)


@dataclass
class Simulated:
    """A production on simulated back ends.

    Attributes:
        place: of its ledger.
        world: of the back ends.
        servers: the back ends, by name.
        products: that were taken in.
        ledger: of it.
        settings: of its runners.
    """

    place: Path
    tiles: Sequence[TileRecord]
    servers: Mapping[str, FakeBackEnd]
    world: World
    config: Mapping[str, object] = field(default_factory=dict)
    records: Mapping[str, BackEndRecord] = field(default_factory=dict)
    settings: RunSettings = SETTINGS
    products: Products = field(default_factory=FakeProducts)
    maker: JobMaker = field(default_factory=FakeMaker)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        production = Production("test", self.clock.now(), self.config, self.place / "results", 0, "")
        rows = [self.records.get(name, BackEndRecord(name, {})) for name in self.servers]
        create_ledger(str(self.place), production, rows, self.tiles).close()
        self.ledger: Ledger = open_ledger(str(self.place))

    @property
    def clock(self) -> VirtualClock:
        assert isinstance(self.world.clock, VirtualClock)
        return self.world.clock

    def runner(self) -> Runner:
        """A new runner."""
        pool = AtOnce(self.clock)
        calls: dict[str, BackEnd] = dict(self.servers)
        owner = f"runner-{next(self._numbers)}"
        return make_runner(
            self.ledger, owner, calls, self.maker, self.products, self.clock, pool, self.settings
        )

    def run(self, each_step: Callable[[Runner], None] = lambda _: None, seconds: float = LONGEST_S) -> Runner:
        """Run one until it ends, or so much virtual time has passed."""
        runner = self.runner()
        until = self.clock.now() + seconds

        def step() -> None:
            each_step(runner)
            if self.clock.now() > until:
                runner.stop()

        runner.run(step)
        return runner

    def count(self, state: TileState) -> int:
        """Of tiles in a state."""
        found = sums(self.ledger).get(state)
        return 0 if found is None else found.tiles

    def tile(self, number: int = 0) -> TileRecord:
        """One of the planned tiles, as it is now."""
        found = tile(self.ledger, self.tiles[number].id)
        assert found is not None
        return found

    def attempts(self, number: int = 0) -> tuple[Attempt, ...]:
        """Of one of the planned tiles."""
        return attempts_of(self.ledger, self.tiles[number].id)

    def record(self, name: str) -> BackEndRecord:
        """Of a back end."""
        return next(r for r in back_ends(self.ledger) if r.name == name)

    def check_paid_once(self) -> None:
        """No tile was finished at the back ends more than once, and each that is done was once."""
        for one in self.tiles:
            finished = sum(server.finished[one.id] for server in self.servers.values())
            found = tile(self.ledger, one.id)
            assert found is not None
            assert finished <= 1, f"{one.id} was made {finished} times"
            if found.state is TileState.DONE:
                assert finished == 1, f"{one.id} is done and was made {finished} times"


def simulated(
    place: Path,
    tiles: int | Sequence[TileRecord] = 6,
    servers: Mapping[str, Mapping[str, object]] | None = None,
    *,
    transient: float = 0.0,
    deterministic: float = 0.0,
    hungry: float = 0.0,
    **more: object,
) -> Simulated:
    """A production of so many tiles; by default on one back end of two places.

    Args:
        place: an empty folder.
        tiles: how many, or which.
        servers: fields of `FakeBackEnd`, by name.
        transient, deterministic, hungry: of the `World`.
        more: fields of `Simulated`.
    """
    given = [planned(n) for n in range(tiles)] if isinstance(tiles, int) else tiles
    world = World(VirtualClock(), 7, transient, deterministic, hungry)
    made = {
        name: FakeBackEnd(world, name, **{"parallel": 2, "told": 2, **values})  # type: ignore[arg-type]
        for name, values in (servers or {"one": {}}).items()
    }
    return Simulated(place, given, made, world, **more)  # type: ignore[arg-type]
