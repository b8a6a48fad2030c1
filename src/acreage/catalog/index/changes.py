"""What became of a catalog's items since it was asked before."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Changes:
    """What asking anew brought, by item id.

    Attributes:
        added: items that were not there.
        removed: items that the catalog does not have any more.
        changed: items whose document is another one now, with what became of their processing baseline.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __add__(self, other: Changes) -> Changes:
        """Both."""
        return Changes(self.added + other.added, self.removed + other.removed, self.changed + other.changed)
