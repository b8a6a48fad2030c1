"""What back ends themselves say that sample jobs will cost and take."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from acreage.production.ledger.values import BackEndRecord, TileRecord
from acreage.production.openeo_backend import OpenEoBackEnd
from acreage.production.planning.plan import settings_of
from acreage.production.profiles import ModelByUpload
from acreage.production.tile_job import Recipe, tile_request, upload_path


@dataclass(frozen=True)
class Asked:
    """What a back end says.

    Attributes:
        jobs: that it was asked about.
        cost_factor: its costs per cost that was estimated; None: it told none, or estimated costs are 0.
        factor: its seconds per core-second that was estimated; None: it told none.
    """

    jobs: int
    cost_factor: float | None
    factor: float | None

    def applied(self, record: BackEndRecord) -> BackEndRecord:
        """The back end with what it said in place of what its profile makes one expect."""
        return BackEndRecord(
            **{
                **vars(record),
                "cost_factor": record.cost_factor if self.cost_factor is None else self.cost_factor,
                "factor": record.factor if self.factor is None else self.factor,
            }
        )


def ask(backend: OpenEoBackEnd, recipe: Recipe, tiles: Sequence[TileRecord]) -> Asked:
    """Make the jobs of sample tiles at a back end, ask what they cost, and delete them; none is started.

    Args:
        backend: logged in when it is asked.
        recipe: of the production.
        tiles: samples, with estimates.

    Raises:
        BackEndError: it cannot be asked.
    """
    profile = backend.profile
    if isinstance(profile.model, ModelByUpload):
        backend.upload(recipe.model_file, upload_path(recipe, profile))
    costs, expected, seconds, core_seconds = 0.0, 0.0, 0.0, 0.0
    for tile in tiles:
        request = tile_request(recipe, settings_of(tile), profile, f"estimate-{secrets.token_hex(8)}")
        job = backend.create(request)
        try:
            found = backend.estimate(job)
        finally:
            backend.delete(job)
        if found.cost is not None:
            costs, expected = costs + found.cost, expected + tile.cost
        if found.duration_s is not None:
            seconds, core_seconds = seconds + found.duration_s, core_seconds + tile.core_seconds
    return Asked(
        len(tiles),
        costs / expected if expected else None,
        seconds / core_seconds if core_seconds and seconds else None,
    )
