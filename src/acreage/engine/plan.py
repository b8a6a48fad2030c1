"""The plan: what will be computed, from what, in which windows. Frozen, picklable and printable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from acreage.catalog.items import Bounds, ItemProblem, SourceItem
from acreage.core.arrays import Array, BoolArray
from acreage.core.cube import Cube, CubeMeta
from acreage.core.faults import FaultKind
from acreage.core.grid import Box
from acreage.core.inputs import AssetKey, ItemKey
from acreage.core.udf import UdfRunner
from acreage.engine.composites.model import Composite
from acreage.processes.registry import Footprint


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an asset failed: which fault, and a sentence for a person."""

    kind: FaultKind
    reason: str


@dataclass
class WindowLog:
    """What one window's run met, collected by the source nodes while it runs.

    Attributes:
        touched: items that have pixels in the window, used or not.
        read: assets whose pixels were read.
        failures: assets that could not be read.
        masked: assets that were not read because every pixel that they would give is masked.
        pixels: source pixels decoded, as asked of the files.
        udf_lines: what user-defined functions printed.
    """

    touched: set[ItemKey] = field(default_factory=set)
    read: set[AssetKey] = field(default_factory=set)
    failures: dict[AssetKey, Fault] = field(default_factory=dict)
    masked: set[AssetKey] = field(default_factory=set)
    pixels: int = 0
    udf_lines: list[str] = field(default_factory=list)


KeptPixels = dict[AssetKey, tuple[Box, Array, BoolArray | None]]
"""Box on the raster's own grid, values and validity (None: all valid) of an asset."""


@dataclass(frozen=True)
class Context:
    """What operations need while they run, besides their inputs.

    Attributes:
        log: where they write what they met.
        udf: runner of user-defined functions.
        dropped: items that are out for the whole job, as if their search had not listed them.
        kept: pixels of reference bands, kept for the window because they are asked for several times.
    """

    log: WindowLog
    udf: UdfRunner | None = None
    dropped: frozenset[ItemKey] = frozenset()
    kept: KeptPixels | None = None


class Op(Protocol):
    """What a plan node does; frozen and picklable."""

    def run(self, inputs: Sequence[Cube], out: CubeMeta, context: Context) -> Cube:
        """The output over `out.box`, from inputs that cover what the node's footprints ask for."""
        ...


@dataclass(frozen=True)
class PlanNode:
    """One operation.

    Attributes:
        key: the graph node it comes from.
        process_id: what it runs.
        inputs: indices of earlier plan nodes.
        footprints: one an input.
        meta: its output over the full extent.
        op: how it is computed.
    """

    key: str
    process_id: str
    inputs: tuple[int, ...]
    footprints: tuple[Footprint, ...]
    meta: CubeMeta
    op: Op


@dataclass(frozen=True)
class SourceSummary:
    """One load node in the plan: what its search gave.

    Attributes:
        node: index of the plan node.
        collection: openEO collection id.
        items: that it may read.
        steps: number of time steps.
        bands: in order.
        problems: of items, as far as they concern these bands.
        superseded: ids of items that a newer processing replaces.
        filtered: ids of items that a property filter leaves out.
        absent: names of the tiles that a layer does not have over the area: null there.
        notes: for people: how old the catalog's answer is.
    """

    node: int
    collection: str
    items: tuple[SourceItem, ...]
    steps: int
    bands: tuple[str, ...]
    problems: tuple[ItemProblem, ...]
    superseded: tuple[str, ...]
    filtered: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, order=True, slots=True)
class Expectation:
    """One asset that the job must account for, and what the plan already knows of it.

    Attributes:
        collection: openEO collection id.
        item: STAC item id, or the address of an item that could not be read.
        band: openEO band name; empty where the whole item is meant.
        state: to be read where a window needs it, or what became of it at plan time.
        kind: `SkipKind` or `FaultKind` of what is not to be read.
        reason: a sentence for a person.
        href: address of the file.
        item_href: address of the item's own JSON.
    """

    collection: str
    item: str
    band: str
    state: Literal["expected", "skipped", "failed"] = "expected"
    kind: str = ""
    reason: str = ""
    href: str = ""
    item_href: str = ""

    @property
    def key(self) -> AssetKey:
        """Collection, item and band."""
        return self.collection, self.item, self.band


@dataclass(frozen=True)
class Inspection:
    """What is to be looked at before the first window: items of one collection over one area.

    Attributes:
        collection: openEO collection id.
        items: that are expected to be read.
        bands: that the job needs of them.
        area: west, south, east, north in degrees.
    """

    collection: str
    items: tuple[SourceItem, ...]
    bands: tuple[str, ...]
    area: Bounds


@dataclass(frozen=True)
class Output:
    """One file set to write.

    Attributes:
        node: plan node whose cube is written.
        key: the graph node that asked for it.
        format: openEO format name (`GTiff`, `netCDF`, ...); None: decided by the output file's suffix.
        options: format options as the graph gives them.
        trim: whether labels that hold nulls only are left out.
    """

    node: int
    key: str
    format: str | None
    options: Mapping[str, Any]
    trim: bool = False


@dataclass(frozen=True)
class Stage:
    """A run of windows that makes one or more nodes complete.

    Attributes:
        targets: plan nodes that are complete after it; all with one box, or without x and y.
        nodes: plan nodes it evaluates, in order; `targets` among them.
        given: plan nodes it reads that earlier stages completed.
        windows: output boxes in running order; `(None,)` for results without x and y.
        partition: geometries per window where the target aggregates by geometry, else empty.
        box: the pixels that later stages need of the targets; None for results without x and y.
        derived: True where the one target is computed while it is written, window by window.
        composite: set where the targets are computed period by period; every window is then listed once a
            period.
        periods: which period each window is for; empty without a composite.
    """

    targets: tuple[int, ...]
    nodes: tuple[int, ...]
    given: tuple[int, ...]
    windows: tuple[Box | None, ...]
    partition: tuple[tuple[int, ...], ...] = ()
    box: Box | None = None
    derived: bool = False
    composite: Composite | None = None
    periods: tuple[int, ...] = ()

    @property
    def distinct_windows(self) -> tuple[Box | None, ...]:
        """The windows, each once."""
        return tuple(dict.fromkeys(self.windows))


@dataclass(frozen=True)
class Estimate:
    """What a plan will cost, before a pixel is read.

    Attributes:
        windows: number of windows over all stages.
        source_pixels: pixels that the windows ask of the files, overlaps counted each time.
        decoded_bytes: uncompressed bytes of the file blocks that are decoded, each time counted.
        amplification: decoded bytes over the bytes of the distinct blocks that are needed; 1.0 is the floor.
        memory_bytes: expected peak, all threads together.
        scratch_bytes: disk used for results of stages.
        core_seconds: expected processor time.
    """

    windows: int
    source_pixels: int
    decoded_bytes: int
    amplification: float
    memory_bytes: int
    scratch_bytes: int
    core_seconds: float


@dataclass(frozen=True)
class Plan:
    """A process graph, compiled.

    Attributes:
        nodes: in topological order.
        stages: in running order.
        outputs: what is written at the end.
        sources: what the load nodes read.
        estimate: what it will cost.
        threads: number of windows computed at once.
        notes: for people: rewrites that fired or not, items left out.
        expected: every asset that the job must account for, sorted.
        inspections: what is to be looked at before the first window.
    """

    nodes: tuple[PlanNode, ...]
    stages: tuple[Stage, ...]
    outputs: tuple[Output, ...]
    sources: tuple[SourceSummary, ...]
    estimate: Estimate
    threads: int
    notes: tuple[str, ...] = ()
    expected: tuple[Expectation, ...] = ()
    inspections: tuple[Inspection, ...] = ()
