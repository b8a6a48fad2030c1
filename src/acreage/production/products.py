"""Products of tiles: downloaded results that were verified, in a folder each, with what they came from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acreage import __version__
from acreage.core.outputs import check_writable
from acreage.core.provenance import Provenance
from acreage.croptype.product import ITEM, ProductFiles, write_product
from acreage.production.backends import Fetched, JobRequest
from acreage.production.ledger.values import Attempt, TileRecord
from acreage.production.profiles import Profile
from acreage.production.tile_job import Recipe, TileSettings, preprocessing, tile_request
from acreage.production.tiles import Tile
from acreage.production.verify import Expected, check_stac, verify

ADOPTED = "adopted"
"""In the profile of an attempt whose job another program made, under a title of its own."""


@dataclass(frozen=True)
class TileJobs:
    """Makes the jobs of tiles (`acreage.production.parts.JobMaker`).

    Attributes:
        recipe: of the production.
        profiles: of its back ends, by name.
    """

    recipe: Recipe
    profiles: Mapping[str, Profile]

    def request(self, tile: TileRecord, attempt: Attempt) -> JobRequest:
        """As `JobMaker`."""
        profile = self.profiles[attempt.backend]
        return tile_request(self.recipe, settings_of(tile, attempt.memory_mb), profile, attempt.token)


@dataclass(frozen=True)
class TileProducts:
    """Takes in the products of tiles (`acreage.production.parts.Products`).

    Attributes:
        jobs: that make the tiles.
        results: folder of the products, each under its tile's id.
        software: names and versions beside our own, for the provenance.
    """

    jobs: TileJobs
    results: Path
    software: Mapping[str, str] = field(default_factory=dict)

    def accept(self, tile: TileRecord, attempt: Attempt, fetched: Fetched) -> None:
        """As `Products`; the downloaded files are removed once the product is in its place."""
        self.product(tile, attempt, fetched)
        shutil.rmtree(fetched.folder, ignore_errors=True)

    def product(self, tile: TileRecord, attempt: Attempt, fetched: Fetched) -> ProductFiles:
        """Verify results and write the product's folder; an earlier one is replaced.

        Raises:
            ProductWrong: the results are not what they should be.
            WriteFailed: there is no room.
        """
        recipe, profile = self.jobs.recipe, self.jobs.profiles[attempt.backend]
        chosen = settings_of(tile, attempt.memory_mb)
        expected = Expected(
            tile.id,
            "" if attempt.profile.get(ADOPTED) else attempt.token,
            chosen.box(recipe),
            recipe.model.legend,
            tile.cropland_share,
            profile.strict_stac,
        )
        found = verify(fetched, expected)
        request = self.jobs.request(tile, attempt)
        made_at = {"backend": attempt.backend, "url": str(profile.url), "job": attempt.remote_id}
        provenance = Provenance(
            process_graph={"process_graph": dict(request.graph)},
            model_id=recipe.model_file.stem,
            model_sha256=recipe.sha256,
            items=found.items,
            season=recipe.season,
            software={"acreage": __version__, **self.software},
            usage=_usage(attempt, len(found.items)),
            note=recipe.note,
            preprocessing=preprocessing(recipe, chosen, {**request.sent, **made_at}),
            inputs=found.inputs.summary(),
        )
        out = self.results / tile.id
        check_writable(out)
        product = write_product(
            found.raster,
            out,
            legend=recipe.model.legend,
            provenance=provenance,
            inputs=found.inputs,
            area_name=tile.id,
            overwrite=True,
        )
        check_stac(json.loads((out / ITEM).read_text("utf-8")), f"the product of {tile.id}")
        return product


def settings_of(tile: TileRecord, memory_mb: int | None = None) -> TileSettings:
    """What is chosen for a tile of the ledger."""
    square = Tile(tile.id, tile.crs, tile.bounds)
    memory = memory_mb or tile.memory or None
    return TileSettings(square, tile.orbit, tile.s1_coefficient or None, memory, tile.s1_tolerance)


def _usage(attempt: Attempt, items: int) -> dict[str, Any]:
    told = {
        "cpu_seconds": attempt.cpu_seconds,
        "wall_seconds": attempt.duration_s,
        "peak_memory_mb": attempt.peak_memory_mb,
        "cost": attempt.cost,
        "items_read": items,
    }
    return {name: value for name, value in told.items() if value is not None}
