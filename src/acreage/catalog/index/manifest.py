"""The manifest of a store: which parts hold, what was asked and when, what could not be used."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from acreage.catalog.index.coverage import Asked, Block
from acreage.catalog.items import ItemProblem

VERSION = 1


@dataclass(frozen=True)
class PartEntry:
    """A part in the manifest: its file name, its number of rows, and rows that no longer hold."""

    name: str
    rows: int
    dropped: tuple[int, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """The state of a store."""

    parts: tuple[PartEntry, ...] = ()
    asked: tuple[Asked, ...] = ()
    problems: tuple[tuple[ItemProblem, Block], ...] = ()
    next: int = 1

    def parts_without(self, gone: Iterable[tuple[str, int]]) -> tuple[PartEntry, ...]:
        """The parts, with further rows (part name, row number) that no longer hold."""
        dropped: dict[str, set[int]] = {p.name: set(p.dropped) for p in self.parts}
        for name, row in gone:
            dropped[name].add(row)
        return tuple(PartEntry(p.name, p.rows, tuple(sorted(dropped[p.name]))) for p in self.parts)

    def to_json(self) -> bytes:
        """As it is written."""
        document = {
            "version": VERSION,
            "next": self.next,
            "parts": [asdict(part) for part in self.parts],
            "asked": [[*_numbers(a.block), a.at] for a in self.asked],
            "problems": [[asdict(problem), _numbers(block)] for problem, block in self.problems],
        }
        return json.dumps(document).encode()

    @classmethod
    def of_json(cls, content: bytes) -> Manifest:
        """Read what `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is none.
        """
        data = json.loads(content)
        if data["version"] != VERSION:
            raise ValueError(f"it has version {data['version']}, not {VERSION}")
        return cls(
            tuple(PartEntry(p["name"], p["rows"], tuple(p["dropped"])) for p in data["parts"]),
            tuple(Asked(Block(*a[:6]), a[6]) for a in data["asked"]),
            tuple((ItemProblem(**p), Block(*b)) for p, b in data["problems"]),
            data["next"],
        )


def _numbers(block: Block) -> list[int]:
    return [block.x0, block.y0, block.x1, block.y1, block.start, block.end]
