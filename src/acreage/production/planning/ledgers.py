"""What a production's ledger says of the plan: its recipe, and whether it may run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from acreage.core.errors import InvalidInput, ModelMismatch
from acreage.core.temporal import Season
from acreage.croptype.workflow import CubeSettings
from acreage.production.ledger.settings import back_ends
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.tiles import tiles
from acreage.production.ledger.values import Production
from acreage.production.planning.packing import Forecast, forecast
from acreage.production.tile_job import Recipe

_CHOSEN = ("buffer", "resolution", "collections", "s1_coefficient", "s1_properties", "scl_mask")


def settings_document(settings: CubeSettings) -> dict[str, Any]:
    """The preprocessing as it stands in a ledger; what follows from the model is left out."""
    return {name: getattr(settings, name) for name in _CHOSEN}


def settings_from(document: Mapping[str, Any]) -> CubeSettings:
    """The preprocessing of such a document: lists become tuples again."""
    known = {f.name for f in fields(CubeSettings)}
    return CubeSettings(**{k: _tuples(v) for k, v in document.items() if k in known})


def recipe_of(production: Production) -> Recipe:
    """What all jobs of a production have in common.

    Raises:
        ModelMismatch: the model file is another one than was planned with.
        InvalidInput: it cannot be read.
    """
    config = production.config
    recipe = Recipe.of(
        Path(config["model"]),
        Season.parse(config["season"]),
        settings_from(config["settings"]),
        config.get("note", ""),
    )
    if recipe.sha256 != config["model_sha256"]:
        raise ModelMismatch(
            f"The model {recipe.model_file} is not the one that production {production.name} was planned "
            f"with (its SHA-256 begins with {recipe.sha256[:12]}, not {config['model_sha256'][:12]}).",
            hint="Put the model back, or make a new plan.",
        )
    return recipe


def outlook(ledger: Ledger) -> Forecast:
    """What is still to be made, and what it takes, by what is known now."""
    return forecast(tiles(ledger), back_ends(ledger))


def check_threshold(ledger: Ledger) -> None:
    """Refuse a production that will cost more than its plan allows.

    Raises:
        InvalidInput: what was spent and what is expected together are over the threshold.
    """
    limit = ledger.production.config.get("refuse_over")
    if limit is None:
        return
    spent, expected = sum(b.spent for b in back_ends(ledger)), outlook(ledger).cost
    if spent + expected > limit:
        currency = ledger.production.config.get("currency", "")
        raise InvalidInput(
            f"The production is expected to cost {spent + expected:,.2f} {currency} "
            f"({spent:,.2f} of it spent), more than the {limit:,.2f} over which it is refused.",
            hint="Skip tiles with `acreage plan PRODUCTION --load`, or plan with another --refuse-over.",
        )


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
