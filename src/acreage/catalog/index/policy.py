"""Where indexes lie, for which catalogs, and how old they may be."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

IndexUse = Literal["network", "always", "never"]
DAY_MS = 86_400_000


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return int(time.time() * 1000)


@dataclass(frozen=True)
class IndexPolicy:
    """How a job uses the index.

    Attributes:
        folder: where all indexes lie.
        use: `network`: for catalogs over the network; `always`: for local ones too; `never`.
        max_age_days: what was asked longer ago is asked again; None: never by itself.
        refresh: what was asked before `began` is asked again.
        began: when the job began, milliseconds since 1970.
    """

    folder: Path
    use: IndexUse = "network"
    max_age_days: float | None = None
    refresh: bool = False
    began: int = field(default_factory=now_ms)

    def wanted(self, remote: bool) -> bool:
        """True where a catalog is to be read through the index."""
        return self.use == "always" or (self.use == "network" and remote)

    @property
    def not_before(self) -> int | None:
        """What was asked before this is too old; None where no age is."""
        if self.refresh:
            return self.began
        return None if self.max_age_days is None else now_ms() - int(self.max_age_days * DAY_MS)
