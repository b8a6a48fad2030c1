"""What an inspection found, remembered: the next job over the same files need not look again.

A finding is kept under a hash of everything that it depends on: the item's rasters and footprint, the bands,
the area, and size and time of change of every file. Only files on this machine have those at no cost; what
lies elsewhere is looked at by every job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from acreage import __version__
from acreage.catalog.items import Bounds, ItemProblem, SourceItem
from acreage.core.errors import WriteFailed
from acreage.core.outputs import whole_file
from acreage.engine.run import Inspect


@dataclass(frozen=True)
class RememberedInspection:
    """An inspection with a memory; safe to use from many processes at once.

    Attributes:
        inspect: looks at files.
        folder: of the memory; it may be emptied at any time.
    """

    inspect: Inspect
    folder: Path

    def __call__(
        self, items: Sequence[SourceItem], bands: Sequence[str], area: Bounds, threads: int
    ) -> tuple[ItemProblem, ...]:
        """As `engine.inspection.inspect_items`; only items that are new or have changed are looked at."""
        places = {item.id: self._place(item, bands, area) for item in items}
        known: list[ItemProblem] = []
        left: list[SourceItem] = []
        for item in items:
            place = places[item.id]
            found = None if place is None else _read(place)
            if found is None:
                left.append(item)
            else:
                known += found
        fresh = self.inspect(left, bands, area, threads) if left else ()
        for item in left:
            place = places[item.id]
            own = [p for p in fresh if p.item == item.id]
            # What could not be reached may be back the next time.
            if place is not None and all(p.kind != "unreadable" for p in own):
                _write(place, own)
        return tuple(sorted([*known, *fresh], key=lambda p: (p.item, p.asset, p.reason)))

    def _place(self, item: SourceItem, bands: Sequence[str], area: Bounds) -> Path | None:
        rasters = {band: item.rasters[band] for band in bands if band in item.rasters}
        stamps = []
        for band, raster in sorted(rasters.items()):
            try:
                stat = Path(raster.href).stat()
            except OSError:
                return None
            stamps.append((band, stat.st_size, stat.st_mtime_ns))
        facts = [__version__, item.id, item.href, item.footprint, item.group, sorted(rasters.items()), stamps]
        text = repr([*facts, sorted(bands), [round(v, 7) for v in area]])
        name = hashlib.sha256(text.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.json"


def _read(place: Path) -> list[ItemProblem] | None:
    try:
        return [ItemProblem(**row) for row in json.loads(place.read_text("utf-8"))]
    except (OSError, ValueError, TypeError):
        return None


def _write(place: Path, problems: Sequence[ItemProblem]) -> None:
    try:
        with whole_file(place) as part:
            part.write_text(json.dumps([asdict(p) for p in problems]), "utf-8")
    except WriteFailed:
        return  # a memory that cannot be written costs time, and nothing else
