"""What tiles cost at each back end, and their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import pandas as pd

from acreage.core.errors import InvalidInput
from acreage.core.tariff import Tariff, Use
from acreage.production.ledger.values import BackEndRecord, TileRecord, TileState
from acreage.production.planning.estimates import JobModel, Load, Need
from acreage.production.planning.priorities import priorities
from acreage.production.profiles import Profile


def common_currency(profiles: Mapping[str, Profile]) -> str:
    """The currency of all back ends.

    Raises:
        InvalidInput: they have several, so that costs cannot be compared.
    """
    found = sorted({p.tariff.currency for p in profiles.values()})
    if len(found) > 1:
        raise InvalidInput(
            f"The back ends charge in {' and '.join(found)}: their costs cannot be compared.",
            hint="Give all tariffs in one currency in the profiles.",
        )
    return found[0] if found else Tariff().currency


def load_of(tile: TileRecord, resolution: float) -> Load:
    """What the job of a tile has to do, by the catalog that has the most; pixels of so many metres."""
    pixels = (tile.right - tile.left) * (tile.top - tile.bottom) / resolution**2
    s2, s1 = max(tile.s2_items.values(), default=0), max(tile.s1_items.values(), default=0)
    return Load(pixels / 1e6, tile.cropland_share or 0.0, s2, s1)


def costed(
    drafts: Sequence[TileRecord],
    model: JobModel,
    profiles: Mapping[str, Profile],
    priority: str,
    resolution: float,
) -> tuple[tuple[TileRecord, ...], tuple[BackEndRecord, ...]]:
    """Tiles with what they need, cost and come after, and back ends with what is expected of them.

    Args:
        drafts: tiles without these; skipped ones need nothing.
        model: of the jobs.
        profiles: back ends; the first one's prices are those of the tiles.
        priority: column or expression.
        resolution: metres of a pixel.
    """
    needs = {t.id: model.need(load_of(t, resolution)) for t in drafts if t.state is not TileState.SKIPPED}
    sums = dict.fromkeys(profiles, 0.0)
    costs: dict[str, float] = {}
    for tile_id, need in needs.items():
        for name, profile in profiles.items():
            cost = profile.tariff.tariff.cost(_use(need, profile))
            sums[name] += cost
            costs.setdefault(tile_id, cost)
    tiles = []
    for tile in drafts:
        if tile.id in needs:
            need = needs[tile.id]
            tile = replace(
                tile,
                memory_mb=round(need.memory_mb),
                core_seconds=round(need.core_seconds, 2),
                cost=costs.get(tile.id, 0.0),
            )
        tiles.append(tile)
    reference = next(iter(sums.values()), 0.0)
    records = [
        BackEndRecord(
            name,
            profile.to_dict(),
            parallel=profile.stated_parallel,
            factor=1 / profile.speed / profile.machine.worker_cores,
            cost_factor=sums[name] / reference if reference else 1.0,
        )
        for name, profile in profiles.items()
    ]
    return _ordered(tiles, priority), tuple(records)


def _use(need: Need, profile: Profile) -> Use:
    return replace(need, core_seconds=need.core_seconds / profile.speed).use(profile.machine.worker_cores)


def _ordered(tiles: Sequence[TileRecord], expression: str) -> tuple[TileRecord, ...]:
    table = table_of(tiles)
    wanted = priorities(table, expression)
    return tuple(replace(t, priority=p) for t, p in zip(tiles, wanted, strict=True))


COLUMNS = (
    *(
        "country",
        "zone",
        "state",
        "orbit",
        "left",
        "bottom",
        "right",
        "top",
        "west",
        "south",
        "east",
        "north",
    ),
    *("cropland_share", "s1_tolerance", "memory_mb", "core_seconds", "cost"),
)
"""What a priority may be computed from, beside `s2_items` and `s1_items` (the most of any catalog)."""


ALL_COLUMNS = (*COLUMNS, "s2_items", "s1_items")


def table_of(tiles: Sequence[TileRecord]) -> pd.DataFrame:
    """Tiles as a table of numbers and texts, by id."""
    rows = [asdict(tile) for tile in tiles]
    table = pd.DataFrame({name: [row[name] for row in rows] for name in COLUMNS}, index=[t.id for t in tiles])
    table["cropland_share"] = pd.to_numeric(table["cropland_share"])
    for name in ("s2_items", "s1_items"):
        table[name] = [max(row[name].values(), default=0) for row in rows]
    return table
