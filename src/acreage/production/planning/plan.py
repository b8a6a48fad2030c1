"""From an area to a ledger: tiles, what each needs, which way it is made, and when."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from acreage.catalog.items import Catalog
from acreage.core.errors import InvalidInput
from acreage.croptype.orbits import check_orbit
from acreage.production.areas import Area
from acreage.production.ledger.values import BackEndRecord, TileRecord, TileState
from acreage.production.planning.choices import chosen_orbit, chosen_tolerance
from acreage.production.planning.costs import ALL_COLUMNS, common_currency, costed, load_of
from acreage.production.planning.cropland import cropland_shares
from acreage.production.planning.estimates import (
    SHIPPED,
    JobModel,
    Need,
    choose_samples,
    fit,
)
from acreage.production.planning.kept import Kept
from acreage.production.planning.observations import Observed, Unusable, observations
from acreage.production.planning.outside import check_within
from acreage.production.planning.places import Place, find_places
from acreage.production.planning.priorities import check_priority
from acreage.production.profiles import Profile
from acreage.production.tile_job import Recipe, TileSettings
from acreage.production.tiles import Tile, TileGrid, UtmGrid

NO_CROPLAND = "no cropland"
NO_LANDCOVER = "no land cover file: sea, or outside of it"
NO_PRODUCTS = "no Sentinel-2 or no Sentinel-1 product of the season in any catalog"

Sampler = Callable[[TileSettings, int], Need]
"""Plans the job of a tile in full, for a worker of so many megabytes, as if all of its pixels were kept."""
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PlanOptions:
    """What a person decides about a plan.

    Attributes:
        resolution: metres; land cover is counted from overviews that are not coarser; None: every pixel.
        least_share: of cropland that a tile needs to be mapped; 0: any.
        orbit: as `acreage.croptype.orbits` has it.
        s1_tolerance: the most of Sentinel-1 that may fail, 0 to 1.
        priority: column or expression.
        samples: tiles that are planned in full.
    """

    resolution: float | None = 80.0
    least_share: float = 0.0
    orbit: str = "best"
    s1_tolerance: float = 0.0
    priority: str = "cropland_share"
    samples: int = 12


@dataclass(frozen=True)
class Sources:
    """Where it is known what there is.

    Attributes:
        landcover: catalog with the land cover.
        catalogs: of the products, by back end.
        addresses: of `catalogs`, and of `landcover` under an empty name: answers are kept by them.
    """

    landcover: Catalog
    catalogs: Mapping[str, Catalog]
    addresses: Mapping[str, str]


@dataclass(frozen=True)
class Planned:
    """A plan.

    Attributes:
        tiles: all, the skipped ones too.
        back_ends: with what is expected of their prices and speeds.
        model: of the jobs' needs.
        currency: of all costs.
        unusable: products that catalogs list and no job can use, by the back end that was asked first.
        seconds: what each part of planning took.
    """

    tiles: tuple[TileRecord, ...]
    back_ends: tuple[BackEndRecord, ...]
    model: JobModel
    currency: str
    unusable: Mapping[str, Unusable] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


def make_plan(
    area: Area,
    grid: TileGrid | UtmGrid,
    recipe: Recipe,
    profiles: Mapping[str, Profile],
    sources: Sources,
    options: PlanOptions,
    sampler: Sampler | None,
    kept: Kept,
    tell: Tell = lambda *_: None,
) -> Planned:
    """Plan a production.

    Args:
        area: what is mapped.
        grid: of the tiles.
        recipe: what all jobs have in common.
        profiles: back ends by name; the first one's prices are those of the tiles' costs.
        sources: catalogs.
        options: what a person decides.
        sampler: plans sample tiles; None: the needs that acreage comes with.
        kept: what was found out before.
        tell: told of (what is done, how much, of how much).

    Raises:
        InvalidInput: the area has no tile, lies outside of a collection, or an option cannot be used.
        CatalogError: a catalog cannot be asked.
    """
    currency = common_currency(profiles)
    check_orbit(options.orbit)
    check_priority(options.priority, ALL_COLUMNS)
    clock = _Stopwatch()
    tiles = grid.covering(area.geometry)
    if not tiles:
        raise InvalidInput(
            f"The area {area.name} has no tile: nothing of it lies where the grid's CRS may be used.",
            hint="Give another area or grid.",
        )
    places = find_places(tiles, area)
    clock.lap("tiles")
    settings = recipe.settings
    check_within({"": sources.landcover}, settings.collections[3:], places)
    check_within(sources.catalogs, settings.collections[:2], places)
    shares = cropland_shares(
        sources.landcover,
        sources.addresses[""],
        settings.collections[3],
        tiles,
        settings.cropland_codes,
        options.resolution,
        kept,
        lambda done, every: tell("Cropland", done, every),
    )
    clock.lap("cropland")
    states = [_by_share(share, options.least_share) for share in shares]
    mapped = [p for p, (state, _) in zip(places, states, strict=True) if state is TileState.WAITING]
    found, unusable = _observed(mapped, recipe, sources, kept, tell)
    if mapped and not any(o.s2 or o.s1 for by_name in found.values() for o in by_name.values()):
        raise InvalidInput(
            f"No catalog has a product of {recipe.season} over the {len(mapped)} tiles with cropland.",
            hint="Check the season and the catalogs.",
        )
    clock.lap("products")
    drafts = [
        _draft(place, share, state, reason, found.get(place.tile.id, {}), recipe, options)
        for place, share, (state, reason) in zip(places, shares, states, strict=True)
    ]
    model = _model(drafts, recipe, profiles, options, sampler, tell)
    clock.lap("samples")
    return Planned(
        *costed(drafts, model, profiles, options.priority, settings.resolution),
        model,
        currency,
        unusable,
        clock.laps,
    )


def _by_share(share: float | None, least: float) -> tuple[TileState, str]:
    if share is None:
        return TileState.SKIPPED, NO_LANDCOVER
    if share == 0:
        return TileState.SKIPPED, NO_CROPLAND
    if share < least:
        return TileState.SKIPPED, f"{100 * share:.3g} % cropland, less than {100 * least:g} %"
    return TileState.WAITING, ""


def _observed(
    places: Sequence[Place], recipe: Recipe, sources: Sources, kept: Kept, tell: Tell
) -> tuple[dict[str, dict[str, Observed]], dict[str, Unusable]]:
    """What each back end's catalog holds, by tile and back end, and what is unusable; each is asked once."""
    unusable: dict[str, Unusable] = {}
    found: dict[str, dict[str, Observed]] = {place.tile.id: {} for place in places}
    distinct: dict[str, list[str]] = {}
    for name in sources.catalogs:
        distinct.setdefault(sources.addresses[name], []).append(name)
    for names in distinct.values():
        catalog, first = sources.catalogs[names[0]], names[0]

        def told(done: int, every: int, first: str = first) -> None:
            tell(f"Products, {first}", done, every)

        seen, unusable[first] = observations(
            catalog, sources.addresses[first], places, recipe.season, recipe.settings, kept, told
        )
        for place, observed in zip(places, seen, strict=True):
            found[place.tile.id] |= dict.fromkeys(names, observed)
    return found, unusable


def _draft(
    place: Place,
    share: float | None,
    state: TileState,
    reason: str,
    observed: Mapping[str, Observed],
    recipe: Recipe,
    options: PlanOptions,
) -> TileRecord:
    tile, (west, south, east, north) = place.tile, place.outline.bounds
    usable = {name: o for name, o in observed.items() if o.s2 and o.s1}
    if state is TileState.WAITING and not usable:
        state, reason = TileState.HELD, NO_PRODUCTS
    # The first back end that has products decides: one choice serves all, so that neighbours fit together.
    first = next(iter(usable.values()), Observed())
    orbit = chosen_orbit(first, options.orbit)
    return TileRecord(
        tile.id,
        tile.crs,
        *tile.bounds,
        west,
        south,
        east,
        north,
        country=place.country,
        zone=place.zone,
        cropland_share=share,
        s2_items={name: o.s2 for name, o in observed.items()},
        s1_items={name: o.s1 for name, o in observed.items()},
        orbit=orbit,
        s1_coefficient=recipe.settings.s1_coefficient,
        s1_tolerance=chosen_tolerance(first, orbit, recipe.season, options.s1_tolerance),
        state=state,
        reason=reason,
    )


def _model(
    drafts: Sequence[TileRecord],
    recipe: Recipe,
    profiles: Mapping[str, Profile],
    options: PlanOptions,
    sampler: Sampler | None,
    tell: Tell,
) -> JobModel:
    mapped = [t for t in drafts if t.state is TileState.WAITING]
    if sampler is None or not mapped:
        return SHIPPED
    resolution = recipe.settings.resolution
    chosen = choose_samples([load_of(t, resolution) for t in mapped], options.samples)
    memory = next(iter(profiles.values())).machine.worker_memory_mb
    samples = []
    for number, at in enumerate(chosen, 1):
        samples.append((load_of(mapped[at], resolution), sampler(settings_of(mapped[at]), memory)))
        tell("Sample tiles", number, len(chosen))
    return fit(samples) if samples else SHIPPED


def settings_of(tile: TileRecord) -> TileSettings:
    """What is chosen for a tile of the ledger."""
    return TileSettings(Tile(tile.id, tile.crs, tile.bounds), tile.orbit, tile.s1_coefficient or None)


class _Stopwatch:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """What passed since the last lap."""
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 2)
        self._last = now
