"""The account of a job's inputs: every asset that was expected, and what became of it.

An asset is one band of one item of one collection. After a job each expected asset is exactly one of read,
skipped (on purpose, with the reason) or failed (with the kind of fault); docs/engine.md says more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from acreage.core.provenance import InputItem

ItemKey = tuple[str, str]
AssetKey = tuple[str, str, str]
Fate = Literal["read", "skipped", "failed"]
SkipKind = Literal[
    "superseded",
    "filtered",
    "absent",
    "outside",
    "quarantined",
    "with-item",
    "masked",
    "hidden",
    "not-needed",
]

SKIPS: Mapping[SkipKind, str] = {
    "superseded": "A newer processing of the same acquisition replaces the item.",
    "filtered": "A property filter of the process graph leaves the item out.",
    "absent": "The layer has no such tile, as over the open sea: null there.",
    "outside": "The item touches the area that was searched, and no pixel that is computed.",
    "quarantined": "The item is in quarantine.",
    "with-item": "Another asset of the item failed, and an item is used whole or not at all.",
    "masked": "Every pixel that the asset would give is masked by others.",
    "hidden": "Other items of its mosaic come first wherever the item has pixels.",
    "not-needed": "No window needed pixels of the asset.",
}


@dataclass(frozen=True, order=True, slots=True)
class InputAsset:
    """What became of one expected asset.

    Attributes:
        collection: openEO collection id.
        item: STAC item id, or the address of an item that could not be read.
        band: openEO band name; empty where the whole item is meant.
        fate: what became of it.
        kind: a `SkipKind` or a `FaultKind`; empty where it was read.
        reason: a sentence for a person; empty where it was read.
        href: address of the file; empty where it is not known.
        item_href: address of the item's own JSON; empty where it is not known.
    """

    collection: str
    item: str
    band: str
    fate: Fate
    kind: str = ""
    reason: str = ""
    href: str = ""
    item_href: str = ""

    @property
    def key(self) -> AssetKey:
        """Collection, item and band."""
        return self.collection, self.item, self.band


@dataclass(frozen=True)
class ItemFate:
    """What became of an item: failed where one of its assets failed, else read where one was read."""

    collection: str
    item: str
    fate: Fate
    kind: str
    href: str


@dataclass(frozen=True)
class Inputs:
    """All expected assets of a job.

    Attributes:
        assets: kept sorted; one entry an asset.
        inspected: whether the files were looked at before the first window.
        tolerance: which failures were allowed, as on the command line.
    """

    assets: tuple[InputAsset, ...] = ()
    inspected: bool = False
    tolerance: str = "0"

    def __post_init__(self) -> None:
        object.__setattr__(self, "assets", tuple(sorted(self.assets)))

    @property
    def items(self) -> tuple[ItemFate, ...]:
        """Every item once, by collection and id."""
        groups: dict[ItemKey, list[InputAsset]] = {}
        for asset in self.assets:
            groups.setdefault((asset.collection, asset.item), []).append(asset)
        return tuple(_item_fate(group) for group in groups.values())

    @property
    def items_read(self) -> tuple[InputItem, ...]:
        """Items of which at least one pixel is in the result, sorted."""
        return tuple(InputItem(i.collection, i.item, i.href) for i in self.items if i.fate == "read")

    @property
    def failed(self) -> tuple[InputAsset, ...]:
        """Assets that failed."""
        return tuple(a for a in self.assets if a.fate == "failed")

    @property
    def quarantined(self) -> tuple[InputAsset, ...]:
        """Assets that were left out because their item is in quarantine."""
        return tuple(a for a in self.assets if a.kind == "quarantined")

    def counts(self) -> dict[str, dict[str, Any]]:
        """By collection: items and assets by fate; items skipped and failed by kind too.

        An item with several faults counts once, by the fault of its first band.
        """
        result: dict[str, dict[str, Any]] = {}
        items = self.items
        for collection in sorted({a.collection for a in self.assets}):
            of = [i for i in items if i.collection == collection]
            result[collection] = {
                "items": _by_fate(i.fate for i in of),
                "assets": _by_fate(a.fate for a in self.assets if a.collection == collection),
                "skipped": dict(sorted(Counter(i.kind for i in of if i.fate == "skipped").items())),
                "failed": dict(sorted(Counter(i.kind for i in of if i.fate == "failed").items())),
            }
        return result

    def summary(self) -> dict[str, Any]:
        """JSON-ready: the counts, and by name what failed or is in quarantine."""
        return {
            "inspected": self.inspected,
            "tolerance": self.tolerance,
            "collections": self.counts(),
            "failed": [_named(a) for a in self.failed],
            "quarantined": [_named(a) for a in self.quarantined],
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the summary's counts, and every expected asset by item."""
        rows: dict[ItemKey, dict[str, Any]] = {}
        for item in self.items:
            rows[(item.collection, item.item)] = {
                "collection": item.collection,
                "item": item.item,
                "href": item.href,
                "fate": item.fate,
                "assets": {},
            }
        for a in self.assets:
            told = {"fate": a.fate, "kind": a.kind, "reason": a.reason, "href": a.href}
            rows[(a.collection, a.item)]["assets"][a.band] = {k: v for k, v in told.items() if v}
        summary = self.summary()
        return {k: summary[k] for k in ("inspected", "tolerance", "collections")} | {
            "items": list(rows.values())
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Inputs:
        """The account that `to_dict` wrote."""
        assets = tuple(
            InputAsset(
                row["collection"],
                row["item"],
                band,
                told["fate"],
                told.get("kind", ""),
                told.get("reason", ""),
                told.get("href", ""),
                row["href"],
            )
            for row in data["items"]
            for band, told in row["assets"].items()
        )
        return Inputs(assets, bool(data["inspected"]), str(data["tolerance"]))

    @staticmethod
    def merged(parts: Iterable[Inputs]) -> Inputs:
        """One account of several jobs: an asset that one of them lost is failed, else one read is read."""
        order = {"failed": 0, "read": 1, "skipped": 2}
        best: dict[AssetKey, InputAsset] = {}
        inspected, tolerances = True, set()
        for part in parts:
            inspected = inspected and part.inspected
            tolerances.add(part.tolerance)
            for asset in part.assets:
                known = best.get(asset.key)
                if known is None or order[asset.fate] < order[known.fate]:
                    best[asset.key] = asset
        return Inputs(tuple(best.values()), inspected and bool(tolerances), ", ".join(sorted(tolerances)))


UNKNOWN = Inputs()


def _item_fate(assets: list[InputAsset]) -> ItemFate:
    fates = {a.fate for a in assets}
    fate: Fate = "failed" if "failed" in fates else "read" if "read" in fates else "skipped"
    first = next(a for a in assets if a.fate == fate)
    href = next((a.item_href for a in assets if a.item_href), "")
    return ItemFate(first.collection, first.item, fate, first.kind, href)


def _by_fate(fates: Iterable[Fate]) -> dict[str, int]:
    found = Counter(fates)
    return {"expected": found.total(), **{f: found[f] for f in ("read", "skipped", "failed")}}


def _named(a: InputAsset) -> dict[str, str]:
    return {
        "collection": a.collection,
        "item": a.item,
        "band": a.band,
        "kind": a.kind,
        "reason": a.reason,
        "href": a.href,
    }
