"""The completeness contract: what a plan expects of its inputs, and the account after the run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from acreage.catalog.items import Bounds, ItemProblem, SourceItem
from acreage.core.arrays import BoolArray
from acreage.core.errors import AcreageError
from acreage.core.grid import Box, transformer
from acreage.core.inputs import SKIPS, AssetKey, InputAsset, ItemKey, SkipKind
from acreage.engine.placement import touches
from acreage.engine.plan import Expectation, Fault, Inspection, PlanNode, SourceSummary, WindowLog
from acreage.engine.quarantine import NOTHING, QuarantineEntry, QuarantineList
from acreage.engine.sources import SourceOp

# Where two load nodes know an asset: what one of them will read is expected, whatever the other says.
_STRONGEST = {"failed": 0, "expected": 1, "skipped": 2}


class InputsUnaccounted(AcreageError):
    """An expected input is neither read, skipped nor failed, or is so twice: a fault of this software."""

    code = "InputsUnaccounted"


def expectations(
    nodes: Sequence[PlanNode], sources: Sequence[SourceSummary], quarantined: QuarantineList = NOTHING
) -> tuple[Expectation, ...]:
    """Every asset that a plan must account for, with what its searches already know; sorted, each once.

    An asset is expected where a load names its band, and where its mosaic's reference band decides between
    several items of one time step.
    """
    best: dict[AssetKey, Expectation] = {}
    for source in sources:
        node = nodes[source.node]
        assert isinstance(node.op, SourceOp)
        assert node.meta.box is not None
        for found in _of_source(node.op, node.meta.box, source, quarantined):
            known = best.get(found.key)
            if known is None or _STRONGEST[found.state] < _STRONGEST[known.state]:
                best[found.key] = found
    return tuple(sorted(best.values()))


def _of_source(
    op: SourceOp, box: Box, source: SourceSummary, quarantined: QuarantineList
) -> Iterable[Expectation]:
    name = source.collection
    left_out: dict[SkipKind, Sequence[str]] = {
        "superseded": source.superseded,
        "filtered": source.filtered,
        "absent": source.absent,
    }
    for kind, ids in left_out.items():
        for item_id in ids:
            yield Expectation(name, item_id, "", "skipped", kind, SKIPS[kind])
    problems: dict[str, list[ItemProblem]] = {}
    for problem in source.problems:
        problems.setdefault(problem.item, []).append(problem)
    listed: set[str] = set()
    for step in op.steps:
        inside = [item for item in step.items if concerns(item, box, op.method)]
        needed = (*op.bands, op.reference) if len(inside) > 1 else op.bands
        for item in step.items:
            listed.add(item.id)
            bands = tuple(dict.fromkeys(needed))
            yield from _of_item(name, item, bands, item in inside, problems.get(item.id, ()), quarantined)
    for item_id in sorted(problems.keys() - listed):
        for problem in problems[item_id]:
            entry = quarantined.find(name, item_id, problem.href)
            key, place = (name, item_id, problem.asset), ("", problem.href)
            if entry is None:
                yield Expectation(*key, "failed", problem.kind, problem.reason, *place)
            else:
                yield Expectation(*key, "skipped", "quarantined", _in_quarantine(entry), *place)


def concerns(item: SourceItem, box: Box, method: str) -> bool:
    """Whether an item may matter to the pixels of a box on any grid: it has some there, or lies beside it."""
    return any(touches(b, box, method) for b in {r.box for r in item.rasters.values()})


def _of_item(
    collection: str,
    item: SourceItem,
    bands: Sequence[str],
    inside: bool,
    problems: Sequence[ItemProblem],
    quarantined: QuarantineList,
) -> Iterable[Expectation]:
    entry = quarantined.find(collection, item.id, item.href)
    stated = {p.asset: p for p in problems}
    if "" in stated and inside and entry is None:
        whole = stated[""]
        yield Expectation(collection, item.id, "", "failed", whole.kind, whole.reason, "", item.href)
    for band in bands:
        raster = item.rasters.get(band)
        place = ("" if raster is None else raster.place, item.href)
        key = (collection, item.id, band)
        if not inside:
            yield Expectation(*key, "skipped", "outside", SKIPS["outside"], *place)
        elif entry is not None:
            yield Expectation(*key, "skipped", "quarantined", _in_quarantine(entry), *place)
        elif raster is not None:
            yield Expectation(*key, "expected", "", "", *place)
        else:
            problem = stated.get(band)
            kind = problem.kind if problem else "missing-band"
            reason = problem.reason if problem else f"The item has no band {band}."
            yield Expectation(*key, "failed", kind, reason, *place)


def _in_quarantine(entry: QuarantineEntry) -> str:
    return f"In quarantine: {entry.told}"


def inspections(
    nodes: Sequence[PlanNode],
    sources: Sequence[SourceSummary],
    expected: Sequence[Expectation],
    needed: Mapping[int, Box | None],
) -> tuple[Inspection, ...]:
    """What to look at before the first window: each item once, with all bands that any load needs of it.

    Args:
        nodes: of the plan.
        sources: its searches.
        expected: from `expectations`.
        needed: the pixels that the outputs need of every node; what has none there is not looked at.
    """
    failed = {e.key[:2] for e in expected if e.state == "failed"}
    usable = {e.key for e in expected if e.state == "expected" and e.key[:2] not in failed}
    bands: dict[ItemKey, set[str]] = {}
    first: dict[ItemKey, tuple[SourceItem, Bounds]] = {}
    for source in sources:
        node, box = nodes[source.node], needed.get(source.node)
        if box is None:
            continue
        assert isinstance(node.op, SourceOp)
        area = _degrees(box)
        for item in source.items:
            key = (source.collection, item.id)
            named = {b for b in (*node.op.bands, node.op.reference) if (*key, b) in usable}
            if named and concerns(item, box, node.op.method):
                bands.setdefault(key, set()).update(named)
                first.setdefault(key, (item, area))
    groups: dict[tuple[str, tuple[str, ...], Bounds], list[SourceItem]] = {}
    for key, (item, area) in first.items():
        groups.setdefault((key[0], tuple(sorted(bands[key])), area), []).append(item)
    return tuple(Inspection(name, tuple(i), names, area) for (name, names, area), i in groups.items())


def _degrees(box: Box) -> Bounds:
    if box.grid.crs == "EPSG:4326":
        return box.bounds
    west, south, east, north = transformer(box.grid.crs, "EPSG:4326").transform_bounds(
        *box.bounds, densify_pts=21
    )
    return west, south, east, north


class Ledger:
    """Which assets each window of a stage asked pixels of, one bit each; a window run anew replaces its row.

    Args:
        windows: number of windows.
        index: position of every expected asset.
    """

    def __init__(self, windows: int, index: Mapping[AssetKey, int]) -> None:
        self._index = index
        self._rows = np.zeros((windows, -(-len(index) // 8)), np.uint8)

    def enter(self, window: int, log: WindowLog) -> None:
        """What a window asked for, whether it could be read or not.

        Raises:
            InputsUnaccounted: something that the plan does not expect.
        """
        row = np.zeros(len(self._index), bool)
        for key in (*log.read, *log.failures):
            if key not in self._index:
                raise InputsUnaccounted(f"{_shown(key)} was read, and the plan does not expect it.")
            row[self._index[key]] = True
        self._rows[window] = np.packbits(row)

    def assets(self) -> BoolArray:
        """Assets that any window asked for, one flag an expected asset."""
        together = np.bitwise_or.reduce(self._rows, axis=0)
        return np.unpackbits(together, count=len(self._index)).astype(bool)


def account(
    expected: Sequence[Expectation],
    read: set[AssetKey],
    failures: Mapping[AssetKey, Fault],
    touched: set[ItemKey],
    masked: Collection[AssetKey] = (),
) -> tuple[InputAsset, ...]:
    """What became of every expected asset: exactly one entry each.

    Args:
        expected: as the plan has it.
        read: assets of which pixels are in the result.
        failures: what could not be used, found by the plan, the inspection or the windows.
        touched: items that had pixels in some window.
        masked: assets that some window did not read because all that they would give is masked.

    Raises:
        InputsUnaccounted: an asset is read that the plan does not expect or that its item's failure rules
            out; or a failure is of no expected asset.
    """
    known = {e.key: e for e in expected}
    lost = {key[:2] for key in failures}
    for key in sorted(read):
        if key not in known or known[key].state != "expected" or key[:2] in lost:
            raise InputsUnaccounted(f"{_shown(key)} is in the result, and must not be.")
    for key in sorted(failures):
        if key not in known:
            raise InputsUnaccounted(f"{_shown(key)} failed, and the plan does not expect it.")
    result = tuple(_fate(e, read, failures, lost, touched, masked) for e in expected)
    if len(result) != len(known):
        raise InputsUnaccounted(f"Of {len(known)} expected inputs {len(result)} are accounted for.")
    return result


def _fate(
    e: Expectation,
    read: set[AssetKey],
    failures: Mapping[AssetKey, Fault],
    lost: set[ItemKey],
    touched: set[ItemKey],
    masked: Collection[AssetKey],
) -> InputAsset:
    place = (e.href, e.item_href)
    if e.key in failures:
        fault = failures[e.key]
        return InputAsset(*e.key, "failed", fault.kind, fault.reason, *place)
    if e.state == "skipped":
        return InputAsset(*e.key, "skipped", e.kind, e.reason, *place)
    if e.key in read:
        return InputAsset(*e.key, "read", "", "", *place)
    item = e.key[:2]
    kind: SkipKind = "hidden" if item in touched else "not-needed"
    if item in lost:
        kind = "with-item"
    elif e.key in masked:
        kind = "masked"
    return InputAsset(*e.key, "skipped", kind, SKIPS[kind], *place)


def _shown(key: AssetKey) -> str:
    collection, item, band = key
    return f"{collection} {item} {band}".strip()
