"""How workers fill a back end's machines, and what a production takes there in time and money."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from acreage.production.ledger.values import BackEndRecord, TileRecord, TileState
from acreage.production.profiles import Profile

OPEN = (TileState.WAITING, TileState.WORKING, TileState.HELD)
"""States of tiles that are still to be made."""


@dataclass(frozen=True)
class Fleet:
    """The workers of a back end.

    Attributes:
        machines: of one shape.
        most: jobs at once that the back end allows; None: as many as its machines hold.
        assumed: whether nothing is known of it and one machine is assumed.
    """

    profile: Profile
    machines: int
    most: int | None
    assumed: bool

    @staticmethod
    def of(record: BackEndRecord) -> Fleet:
        """The fleet of a back end, by its profile and by what is known of it since."""
        profile = Profile.from_dict(record.config, record.name)
        most = record.parallel or record.found_parallel
        per_machine = profile.machine.workers
        machines = profile.machine.count
        if machines is None:
            machines = 1 if most is None else -(-most // per_machine)
        return Fleet(profile, machines, most, profile.machine.count is None and most is None)

    def workers(self, memory_mb: int) -> int:
        """Jobs at once where each takes so much memory; 0: its machines are too small.

        A job gets a worker of the usual size, or a larger one where it needs more: fewer fit a machine then.
        """
        machine = self.profile.machine
        fitting = self.machines * machine.packed(max(memory_mb, machine.worker_memory_mb))
        return fitting if self.most is None else min(fitting, self.most)


@dataclass
class Demand:
    """What the tiles that a back end can make ask for, by memory of a worker.

    Attributes:
        tiles, core_seconds, cost: sums over tiles, by megabytes.
        longest: core-seconds of the longest job.
    """

    tiles: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    core_seconds: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    cost: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    longest: float = 0.0

    def add(self, tile: TileRecord) -> None:
        """Count a tile."""
        self.tiles[tile.memory] += 1
        self.core_seconds[tile.memory] += tile.core_seconds
        self.cost[tile.memory] += tile.cost
        self.longest = max(self.longest, tile.core_seconds)


@dataclass(frozen=True)
class Outlook:
    """What a production takes at one back end.

    Attributes:
        name: of the back end.
        workers: jobs at once of the usual size.
        assumed: whether that is not known.
        tiles: that it can make.
        too_large: tiles whose job needs more memory than its machines have.
        seconds: if it made all of them alone.
        cost: of all of them.
        share: of the tiles, when all back ends work together.
    """

    name: str
    workers: int
    assumed: bool
    tiles: int
    too_large: int
    seconds: float
    cost: float
    share: float = 0.0


@dataclass(frozen=True)
class Forecast:
    """What a production takes.

    Attributes:
        back_ends: each alone.
        tiles: to be made.
        seconds: when all back ends work together; 0 where nothing is to be made.
        cost: then.
    """

    back_ends: tuple[Outlook, ...]
    tiles: int
    seconds: float
    cost: float


def can_make(tile: TileRecord, name: str) -> bool:
    """Whether a back end may make a tile: it is not bound to another, and products are there."""
    if tile.backend is not None and tile.backend != name:
        return False
    counted = {**tile.s2_items, **tile.s1_items}
    return name not in counted or bool(tile.s2_items.get(name) and tile.s1_items.get(name))


def forecast(tiles: Iterable[TileRecord], records: Sequence[BackEndRecord]) -> Forecast:
    """What is still to be made, and what it takes.

    All together share the tiles by their speeds: each is busy until the end.

    Args:
        tiles: of the ledger; read once, one after the other.
        records: back ends.
    """
    demands = {record.name: Demand() for record in records}
    number = 0
    for tile in tiles:
        if tile.state not in OPEN:
            continue
        number += 1
        for name, demand in demands.items():
            if can_make(tile, name):
                demand.add(tile)
    outlooks = [_alone(record, demands[record.name]) for record in records]
    speeds = {o.name: o.tiles / o.seconds for o in outlooks if o.seconds > 0}
    speed = sum(speeds.values())
    shared = tuple(
        Outlook(**{**vars(o), "share": speeds.get(o.name, 0.0) / speed if speed else 0.0}) for o in outlooks
    )
    cost = sum(o.share * number * o.cost / o.tiles for o in shared if o.tiles)
    longest = min((demands[r.name].longest * r.factor for r in records if r.name in speeds), default=0.0)
    return Forecast(shared, number, max(number / speed, longest) if speed else 0.0, cost)


def _alone(record: BackEndRecord, demand: Demand) -> Outlook:
    fleet = Fleet.of(record)
    slots: Mapping[int, int] = {memory: fleet.workers(memory) for memory in demand.tiles}
    fits = [memory for memory, workers in slots.items() if workers]
    seconds = sum(demand.core_seconds[m] * record.factor / slots[m] for m in fits)
    tiles = sum(demand.tiles[m] for m in fits)
    return Outlook(
        record.name,
        fleet.workers(fleet.profile.machine.worker_memory_mb),
        fleet.assumed,
        tiles,
        sum(demand.tiles.values()) - tiles,
        max(seconds, demand.longest * record.factor) if tiles else 0.0,
        sum(demand.cost[m] for m in fits) * record.cost_factor,
    )
