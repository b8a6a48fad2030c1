"""Sample tiles of a plan, planned in full by the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from acreage.catalog.items import Catalog
from acreage.core.errors import MemoryBudgetExceeded
from acreage.core.udf import UdfRunner
from acreage.croptype.memory import plan_batch
from acreage.engine.budget import Budget
from acreage.engine.memory import base_memory
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.production.planning.estimates import Need
from acreage.production.profiles import Profile
from acreage.production.tile_job import BATCH_SHARE, Recipe, TileSettings, tile_graph

_MOST_DOUBLINGS = 4


@dataclass(frozen=True)
class EngineSampler:
    """Plans the job of a tile as the engine would run it, in as many threads as a worker has cores.

    Attributes:
        catalog: with the products.
        recipe: of the production.
        profiles: back ends; the first one's workers are planned for.
        udf: tries the model.
    """

    catalog: Catalog
    recipe: Recipe
    profiles: Mapping[str, Profile]
    udf: UdfRunner

    def __call__(self, chosen: TileSettings, memory_mb: int) -> Need:
        """What the job of a tile takes; with twice the memory, and so on, where the worker's is too little.

        Raises:
            AcreageError: the job cannot be planned.
        """
        for doubled in range(_MOST_DOUBLINGS + 1):
            memory = memory_mb * 2**doubled
            try:
                return self._planned(chosen, memory)
            except MemoryBudgetExceeded:
                if doubled == _MOST_DOUBLINGS:
                    raise
        raise AssertionError("unreachable")

    def _planned(self, chosen: TileSettings, memory_mb: int) -> Need:
        graph = tile_graph(self.recipe, chosen, str(self.recipe.model_file.resolve()), memory_mb)
        cores = next(iter(self.profiles.values())).machine.worker_cores
        batch = plan_batch(self.recipe.model, round(BATCH_SHARE * memory_mb * 1e6))
        budget = Budget(round(memory_mb * 1e6), cores, udf=batch.memory, base=base_memory())
        found = make_plan(parse_graph(graph), self.catalog, budget, self.udf).estimate
        return Need(found.core_seconds, found.memory_bytes / 1e6, found.source_pixels / 1e6)
