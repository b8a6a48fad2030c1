"""How many products may fail before a job does.

Items are counted, each once, however many of its bands failed and wherever that was found: by the search, by
the inspection or by a window. Items in quarantine do not count: they were decided on before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from acreage.core.errors import InvalidInput, ItemUnreadable
from acreage.core.faults import FAULTS
from acreage.core.inputs import InputAsset

_MOST_LISTED = 100


class TooManyFailures(ItemUnreadable):
    """More products failed than were allowed.

    Args:
        failed: every asset that failed so far.
    """

    code = "ItemUnreadable"

    def __init__(self, message: str, *, failed: Sequence[InputAsset], hint: str = "") -> None:
        super().__init__(
            message,
            item=failed[0].item,
            asset=failed[0].band,
            hint=hint,
            kind=failed[0].kind,  # type: ignore[arg-type]
        )
        self.failed = tuple(failed)


@dataclass(frozen=True)
class Limit:
    """At most so many items, or so large a share of those expected."""

    items: int = 0
    percent: float | None = None

    def allows(self, failed: int, expected: int) -> bool:
        """Whether so many of so many expected items may fail."""
        if self.percent is None:
            return failed <= self.items
        return failed * 100 <= self.percent * expected

    def __str__(self) -> str:
        return str(self.items) if self.percent is None else f"{self.percent:g}%"


@dataclass(frozen=True)
class Tolerance:
    """What may fail.

    Attributes:
        rest: of all collections without a limit of their own, together.
        collections: limits of single collections.
    """

    rest: Limit = Limit()
    collections: Mapping[str, Limit] = field(default_factory=dict)

    @staticmethod
    def of(value: Tolerance | int) -> Tolerance:
        """A number of items as a tolerance."""
        return value if isinstance(value, Tolerance) else Tolerance(Limit(value))

    @staticmethod
    def parse(texts: Sequence[str]) -> Tolerance:
        """From options `N`, `P%`, `COLLECTION=N` or `COLLECTION=P%`.

        Raises:
            InvalidInput: an option is none of these, or one is given twice.
        """
        rest: Limit | None = None
        named: dict[str, Limit] = {}
        for text in texts:
            name, sign, value = text.rpartition("=")
            limit = _limit(value.strip(), text)
            if name in named or (not sign and rest is not None) or (sign and not name):
                raise InvalidInput(
                    f"--tolerate {text!r} is said twice, or names no collection.",
                    hint="Give one limit for all, and one for each collection that has its own.",
                )
            if sign:
                named[name] = limit
            else:
                rest = limit
        return Tolerance(rest or Limit(), named)

    def __str__(self) -> str:
        return " ".join([str(self.rest), *(f"{n}={v}" for n, v in sorted(self.collections.items()))])

    def check_names(self, collections: Sequence[str]) -> None:
        """Refuse a limit for a collection that the job does not read: a misspelt name would allow nothing.

        Raises:
            InvalidInput: naming those that it reads.
        """
        if unknown := sorted(set(self.collections) - set(collections)):
            raise InvalidInput(
                f"--tolerate names {', '.join(unknown)}, which this job does not read.",
                hint=f"It reads {', '.join(sorted(set(collections))) or 'nothing'}.",
            )

    def check(self, failed: Sequence[InputAsset], expected: Mapping[str, int]) -> None:
        """Pass, or fail with the list of what failed, by kind and name.

        Args:
            failed: assets.
            expected: number of items by collection that the job was to read, failed ones included.

        Raises:
            TooManyFailures: a limit is passed.
        """
        lost: dict[str, set[str]] = {}
        for asset in failed:
            lost.setdefault(asset.collection, set()).add(asset.item)
        broken = []
        for name, limit in sorted(self.collections.items()):
            if not limit.allows(len(lost.get(name, ())), expected.get(name, 0)):
                broken.append(f"{limit} of {name}")
        others = [n for n in {*expected, *lost} if n not in self.collections]
        if not self.rest.allows(
            sum(len(lost.get(n, ())) for n in others), sum(expected.get(n, 0) for n in others)
        ):
            broken.insert(0, str(self.rest))
        if broken:
            raise TooManyFailures(
                f"{sum(map(len, lost.values()))} items could not be read ({', '.join(broken)} tolerated): "
                f"{_by_kind(failed)}.\n{_listed(failed)}",
                failed=sorted(failed),
                hint="Repair the items, or allow failed items with --tolerate.",
            )


NONE = Tolerance()


def _limit(value: str, text: str) -> Limit:
    share = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value)
    if share and float(share[1]) <= 100:
        return Limit(0, float(share[1]))
    if re.fullmatch(r"\d{1,9}", value):
        return Limit(int(value))
    raise InvalidInput(
        f"--tolerate {text!r} is no number of items.",
        hint="Write 3, 2%, SENTINEL2_L2A=3 or SENTINEL2_L2A=2%.",
    )


def _by_kind(failed: Sequence[InputAsset]) -> str:
    """`2 truncated, 1 wrong-grid`: each item by the fault of its first band."""
    first: dict[tuple[str, str], str] = {}
    for asset in sorted(failed):
        first.setdefault((asset.collection, asset.item), asset.kind)
    order = list(FAULTS)
    counted = sorted(Counter(first.values()).items(), key=lambda c: (-c[1], order.index(c[0])))  # type: ignore[arg-type]
    return ", ".join(f"{n} {kind}" for kind, n in counted)


def _listed(failed: Sequence[InputAsset]) -> str:
    lines = [f"- {a.kind}: {failure_text(a)}" for a in sorted(failed)]
    more = [f"- and {len(lines) - _MOST_LISTED} more"] if len(lines) > _MOST_LISTED else []
    return "\n".join([*lines[:_MOST_LISTED], *more])


def failure_text(asset: InputAsset) -> str:
    """One failure for people; a reason that names its item already is taken as it is."""
    if asset.reason.startswith(f"Item {asset.item}"):
        return asset.reason
    band = f", band {asset.band}" if asset.band else ""
    return f"Item {asset.item}{band}: {asset.reason}"
