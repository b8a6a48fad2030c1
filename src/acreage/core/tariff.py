"""What jobs cost: prices of what they use."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from acreage.core.errors import InvalidInput


@dataclass(frozen=True)
class Use:
    """What a job used, or is expected to use.

    Attributes:
        cpu_seconds: of all its processes.
        memory_gb_seconds: peak memory in 10 ** 9 bytes times duration.
        source_megapixels: pixels asked of the files, in millions.
    """

    cpu_seconds: float = 0.0
    memory_gb_seconds: float = 0.0
    source_megapixels: float = 0.0


@dataclass(frozen=True)
class Tariff:
    """Prices in one currency.

    Attributes:
        currency: ISO 4217 code, or `credits`.
        cpu_hour: of an hour of one core.
        memory_gb_hour: of 10 ** 9 bytes for an hour.
        source_megapixel: of a million pixels that are read.
        job: of every job that runs.
    """

    currency: str = "credits"
    cpu_hour: float = 0.0
    memory_gb_hour: float = 0.0
    source_megapixel: float = 0.0
    job: float = 0.0

    def cost(self, use: Use) -> float:
        """In the tariff's currency, rounded up to a ten thousandth."""
        amount = (
            self.job
            + self.cpu_hour * use.cpu_seconds / 3600
            + self.memory_gb_hour * use.memory_gb_seconds / 3600
            + self.source_megapixel * use.source_megapixels
        )
        # The sum of binary fractions may lie a hair above a round amount.
        return math.ceil(amount * 1e4 - 1e-6) / 1e4

    @property
    def is_free(self) -> bool:
        """Whether nothing costs anything."""
        return not (self.cpu_hour or self.memory_gb_hour or self.source_megapixel or self.job)


def read_tariff(path: Path) -> Tariff:
    """A tariff from a JSON or YAML file of the fields of `Tariff`.

    Raises:
        InvalidInput: it cannot be read, has another field, or a price that is no amount.
    """
    try:
        text = path.read_text("utf-8")
        document: Any = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidInput(f"The tariff {path} cannot be read: {error}.") from error
    known = {f.name for f in fields(Tariff)}
    if not isinstance(document, Mapping) or (unknown := sorted(set(document) - known)):
        named = "is not an object" if not isinstance(document, Mapping) else f"has {', '.join(unknown)}"
        raise InvalidInput(f"The tariff {path} {named}.", hint=f"It may have {', '.join(sorted(known))}.")
    for name, value in document.items():
        good = isinstance(value, str) if name == "currency" else _is_price(value)
        if not good:
            raise InvalidInput(f"The tariff {path} has {name}: {value!r}.", hint="Prices are 0 or more.")
    return Tariff(**document)


def _is_price(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return bool(number and math.isfinite(value) and value >= 0)
