"""The batch job of one tile: its process graph in the words of a back end, and its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from acreage.core.errors import InvalidInput
from acreage.core.grid import Box
from acreage.core.temporal import Season
from acreage.croptype.memory import plan_batch
from acreage.croptype.model import TrainedModel, check_landcover
from acreage.croptype.modelfile import model_sha256, open_model
from acreage.croptype.orbits import DIRECTIONS, ORBIT_STATE
from acreage.croptype.udf_source.crop_type_udf import BATCH_PIXELS
from acreage.croptype.workflow import CubeSettings, map_cube, to_graph
from acreage.production.backends import JobRequest
from acreage.production.profiles import ModelByAddress, Profile
from acreage.production.tiles import Tile
from acreage.production.words import in_words_of, sent_words

BATCH_SHARE = 1 / 8
"""Of a worker's memory that batches may take in the user-defined function; the rest is the job's."""


@dataclass(frozen=True)
class Recipe:
    """What the jobs of all tiles of a production have in common.

    Attributes:
        season: both days included; the model's.
        model_file: on this machine.
        sha256: of it.
        model: what it holds.
        settings: of the preprocessing; a tile's own CRS, orbit and calibration come in their place.
        note: a sentence for whoever uses the maps.
    """

    season: Season
    model_file: Path
    sha256: str
    model: TrainedModel
    settings: CubeSettings = field(default_factory=CubeSettings)
    note: str = ""

    @staticmethod
    def of(model_file: Path, season: Season, settings: CubeSettings | None = None, note: str = "") -> Recipe:
        """The recipe of a model's maps; land cover classes and unit of the backscatter are the model's.

        Raises:
            ModelMismatch: the model was trained for another season.
            InvalidInput: the model cannot be read, or knows classes that the mask removes.
        """
        model = open_model(model_file)
        model.check_season(season)
        base = settings or CubeSettings()
        unit: Literal["linear", "db"] = "db" if model.spec.s1_unit == "db" else "linear"
        chosen = replace(base, cropland_codes=tuple(model.landcover), s1_unit=unit)
        check_landcover(model.legend, chosen.cropland_codes)
        return Recipe(season, model_file, model_sha256(model_file), model, chosen, note)

    @cached_property
    def model_key(self) -> str:
        """The name of the model where it is uploaded: another model has another name."""
        return f"{self.sha256[:16]}-{self.model_file.name}"


@dataclass(frozen=True)
class TileSettings:
    """What is chosen for one tile.

    Attributes:
        tile: square of the production's grid.
        orbit: direction of Sentinel-1: `ascending`, `descending` or `both`.
        s1_coefficient: what Sentinel-1 must be calibrated to; None: as the recipe has it.
        memory_mb: of the worker, 10 ** 6 bytes; None: as the profile's machine has it.
        s1_tolerance: share of the products of Sentinel-1 that may fail.
    """

    tile: Tile
    orbit: str = "both"
    s1_coefficient: str | None = None
    memory_mb: int | None = None
    s1_tolerance: float = 0.0

    def __post_init__(self) -> None:
        if self.orbit not in (*DIRECTIONS, "both"):
            raise InvalidInput(
                f"Tile {self.tile.id} has the orbit {self.orbit!r}.",
                hint=f"Use {', '.join(DIRECTIONS)} or both.",
            )

    def box(self, recipe: Recipe) -> Box:
        """The tile's pixels."""
        return self.tile.box(recipe.settings.resolution)

    def cube_settings(self, recipe: Recipe) -> CubeSettings:
        """The preprocessing of the tile."""
        base = recipe.settings
        others = tuple(p for p in base.s1_properties if p[0] != ORBIT_STATE)
        mine = () if self.orbit == "both" else ((ORBIT_STATE, self.orbit),)
        return replace(
            base,
            crs=int(self.tile.crs.removeprefix("EPSG:")),
            s1_properties=(*others, *mine),
            s1_coefficient=self.s1_coefficient or base.s1_coefficient,
        )


def tile_graph(recipe: Recipe, chosen: TileSettings, model_href: str, memory_mb: int) -> dict[str, Any]:
    """The flat process graph of a tile's map, in our own words.

    Args:
        recipe: of the production.
        chosen: for the tile.
        model_href: where user-defined functions find the model.
        memory_mb: of the worker; how many pixels are classified at once depends on it.
    """
    context: dict[str, Any] = {"model": model_href, "model_sha256": recipe.sha256}
    batch = plan_batch(recipe.model, round(BATCH_SHARE * memory_mb * 1e6)).pixels
    if batch != BATCH_PIXELS:
        context["batch_pixels"] = batch
    cube = map_cube(chosen.box(recipe), recipe.season, chosen.cube_settings(recipe), context)
    graph: dict[str, Any] = to_graph(cube, "GTiff")["process_graph"]
    return graph


def tile_request(
    recipe: Recipe, chosen: TileSettings, profile: Profile, token: str, budget: float | None = None
) -> JobRequest:
    """The batch job of a tile at one back end.

    Args:
        recipe: of the production.
        chosen: for the tile.
        profile: of the back end.
        token: of the attempt.
        budget: the most that it may cost.
    """
    memory = chosen.memory_mb or profile.machine.worker_memory_mb
    href = model_href(recipe, profile)
    graph = tile_graph(recipe, chosen, href, memory)
    radar = recipe.settings.collections[1]
    at_back_end = profile.collections[radar].id if radar in profile.collections else radar
    options = profile.job.of(memory, profile.machine.worker_cores, chosen.s1_tolerance, at_back_end)
    members: dict[str, Any] = {"job_options": options} if profile.job.within == "job_options" else options
    if profile.job.plan is not None:
        members = {**members, "plan": profile.job.plan}
    sent = {
        "collections": sent_words(graph, profile.collections),
        "options": members,
        "model": href,
        "memory_mb": memory,
        "orbit": chosen.orbit,
        "s1_coefficient": chosen.cube_settings(recipe).s1_coefficient,
        "s1_tolerance": chosen.s1_tolerance,
    }
    return JobRequest(
        token,
        f"Crop types {chosen.tile.id} {token}",
        in_words_of(graph, profile.collections),
        members,
        budget,
        sent,
    )


def model_href(recipe: Recipe, profile: Profile) -> str:
    """Where a back end's user-defined functions find the model."""
    place = profile.model
    if isinstance(place, ModelByAddress):
        return place.href.format(name=recipe.model_file.name, sha256=recipe.sha256)
    return f"{place.prefix}{upload_path(recipe, profile)}"


def upload_path(recipe: Recipe, profile: Profile) -> str:
    """Path of the model among the account's files at a back end that it is uploaded to."""
    assert not isinstance(profile.model, ModelByAddress)
    return f"{profile.model.folder}/{recipe.model_key}"


def preprocessing(recipe: Recipe, chosen: TileSettings, sent: Mapping[str, Any]) -> dict[str, Any]:
    """What was chosen of the preprocessing, as it stands in a product's provenance."""
    settings = chosen.cube_settings(recipe)
    return {
        "s1_coefficient": settings.s1_coefficient,
        "s1_unit": settings.s1_unit,
        "s1_orbit": chosen.orbit,
        "sent": dict(sent),
    }
