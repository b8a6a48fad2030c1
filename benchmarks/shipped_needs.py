"""The needs that plans come with where no sample tile is planned: fitted to tiles of a simulated archive.

    python benchmarks/shipped_needs.py ARCHIVE --model MODEL

Tiles of 2.5, 5 and 10 km are planned in full by the engine; what is printed is `SHIPPED` of
`acreage.production.planning.estimates`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from acreage.catalog import open_catalog
from acreage.cli.plan_samples import EngineSampler
from acreage.cli.runtime import udf_runner
from acreage.core.settings import load_settings
from acreage.core.temporal import Season
from acreage.production.planning.estimates import Load, fit
from acreage.production.planning.kept import Kept
from acreage.production.planning.observations import observations
from acreage.production.planning.places import Place
from acreage.production.profiles import Profile
from acreage.production.tile_job import Recipe, TileSettings
from acreage.production.tiles import TileGrid

SIDES = (2_500, 5_000, 10_000)


def main() -> None:
    """Plan, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    given = parser.parse_args()
    left, bottom, _, _ = json.loads((given.archive / "archive.json").read_text())["area"]
    catalog = open_catalog(given.archive / "catalog.json")
    recipe = Recipe.of(given.model, Season.parse("2019-03-01/2019-10-31"))
    profile = Profile.from_dict(
        {"url": "https://one.example", "model": {"kind": "address", "href": "https://one.example/{sha256}"}}
    )
    samples = []
    with udf_runner(load_settings()) as udf:
        sampler = EngineSampler(catalog, recipe, {"one": profile}, udf)
        for side in SIDES:
            # The first whole tile of the archive, and the next.
            first = (int(left // side) + 1, int(bottom // side) + 1)
            tiles = [TileGrid(side).tile(*first)]
            tiles += [TileGrid(side).tile(first[0] + 15_000 // side, first[1])] if side < 10_000 else []
            places = [Place(tile, tile.outline, "", "") for tile in tiles]
            seen, _ = observations(catalog, "", places, recipe.season, recipe.settings, Kept())
            for tile, mine in zip(tiles, seen, strict=True):
                need = sampler(TileSettings(tile, "both"), profile.machine.worker_memory_mb)
                samples.append(
                    (Load(side**2 / recipe.settings.resolution**2 / 1e6, 1.0, mine.s2, mine.s1), need)
                )
                print(side, samples[-1], flush=True)
    print(fit(samples))


if __name__ == "__main__":
    main()
