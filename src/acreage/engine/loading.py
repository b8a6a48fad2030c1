"""What a load node loads: its search, time steps and grid, with the filters behind it carried back to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acreage.catalog import open_catalog
from acreage.catalog.access import shown
from acreage.catalog.cells import absent_cells
from acreage.catalog.items import BandInfo, Bounds, Catalog, CollectionInfo, Interval, Search, SourceItem
from acreage.catalog.query import check_known
from acreage.core.cube import CubeMeta
from acreage.core.errors import NoDataAvailable, ProcessParameterInvalid
from acreage.core.grid import Box, Grid, crs_name, transformer, utm_crs
from acreage.core.temporal import Instant, format_instant
from acreage.engine.graph import Graph, GraphNode
from acreage.engine.plan import PlanNode, SourceSummary
from acreage.engine.property_filters import as_query, passes
from acreage.engine.sources import (
    GridRequest,
    SourceOp,
    TimeStep,
    cube_dtype,
    cube_meta,
    own_grid,
    pick_bands,
    time_steps,
)
from acreage.engine.user_files import RasterCatalog, StacPlace, UserFiles
from acreage.processes.callback import NodeRef
from acreage.processes.constraints import (
    SpatialConstraint,
    band_constraint,
    bounding_box,
    spatial_constraint,
    temporal_constraint,
)
from acreage.processes.registry import cube_processes
from acreage.processes.resample_kernels import check_method
from acreage.processes.time_labels import interval

_LONLAT = "EPSG:4326"
_NO_TIME = np.datetime64("1970-01-01", "ms")


@dataclass(frozen=True)
class Constraint:
    """What the consumers of a cube need of it; None where they need all.

    Attributes:
        area: bounds with their CRS.
        time: half-open interval.
        bands: names, in order.
    """

    area: SpatialConstraint | None = None
    time: Interval | None = None
    bands: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Loaded:
    """One load, without its grid."""

    info: CollectionInfo
    bands: tuple[BandInfo, ...]
    search: Search
    steps: tuple[TimeStep, ...]
    area: SpatialConstraint | None
    interval: tuple[Instant, Instant] | None
    absent: tuple[str, ...] = ()


@dataclass
class Loader:
    """Answers the load nodes of one graph; every search is made once."""

    graph: Graph
    catalog: Catalog
    files: UserFiles | None = None
    user_catalogs: dict[int, RasterCatalog] = field(default_factory=dict)
    constraints: Mapping[int, Constraint] = field(init=False)
    _loaded: dict[int, Loaded] = field(default_factory=dict)
    _searches: dict[tuple[Any, ...], Search] = field(default_factory=dict)
    _opened: dict[str, tuple[Catalog, str]] = field(default_factory=dict)
    _places: dict[str, StacPlace] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constraints = carried_back(self.graph)

    def load(self, index: int, node: GraphNode, request: GridRequest) -> tuple[CubeMeta, SourceOp]:
        """Metadata and reading operation of a load node on a grid.

        Raises:
            NoDataAvailable: nothing for this area and time.
            CatalogError: the catalog cannot be read.
            ProcessGraphError: an argument cannot be used.
        """
        if index not in self._loaded:
            self._loaded[index] = self._find(index, node, self.constraints.get(index, Constraint()))
        found = self._loaded[index]
        items = [i for s in found.steps for i in s.items]
        grid = request.grid or (
            own_grid(items, found.bands, _centre(found, items)) if items else _bare_grid(found)
        )
        box = _extent(found, items, grid)
        meta = cube_meta(found.steps, found.bands, box, found.interval, found.info.attributes)
        check_method(request.method, cube_dtype(found.bands, items))
        reference = found.info.mosaic_reference or found.info.bands[0].name
        names = tuple(b.name for b in found.bands)
        return meta, SourceOp(found.info.id, found.steps, names, reference, request.method)

    def _source(self, index: int, node: GraphNode) -> tuple[Catalog, str]:
        """Where a load node's items are."""
        found = self.user_catalogs.get(index)
        if found is not None:
            return found, found.info.id
        if node.process_id != "load_stac":
            return self.catalog, str(node.arguments.get("id"))
        url = node.arguments["url"]
        if url not in self._opened:
            self._opened[url] = _open_stac(self._place(url))
        return self._opened[url]

    def _place(self, url: str) -> StacPlace:
        if url not in self._places:
            self._places[url] = StacPlace(url) if self.files is None else self.files.stac(url)
        return self._places[url]

    def absent_dimensions(self, node: GraphNode) -> tuple[str, ...]:
        """Dimensions that every loaded cube gets, and the data of this load node does not have."""
        if node.process_id != "load_stac":
            return ()
        stated = self._place(node.arguments["url"]).dimensions
        names = {"temporal": "t", "bands": "bands"}
        return () if stated is None else tuple(n for kind, n in names.items() if kind not in stated)

    def _find(self, index: int, node: GraphNode, constraint: Constraint) -> Loaded:
        a = node.arguments
        catalog, collection = self._source(index, node)
        info = catalog.describe(collection)
        area = _area(a.get("spatial_extent")) or constraint.area
        time = _narrower(
            interval(a["temporal_extent"], "temporal_extent") if a.get("temporal_extent") else None,
            constraint.time,
        )
        bands = pick_bands(info, a.get("bands") or constraint.bands)
        bounds = _lonlat(area) if area is not None else info.bboxes[0]
        search = self._search(catalog, info, bounds, time, bands, a.get("properties"))
        steps = time_steps(search)
        if not steps:
            if area is None or not _may_be_absent(info, bounds, search):
                raise NoDataAvailable(
                    _nothing(info, bounds, time, search), hint="Check the area, the dates and the filters."
                )
            steps = (TimeStep(info.interval[0] or _NO_TIME, ()),)
        absent: tuple[str, ...] = ()
        if info.cell_degrees is not None and area is not None:
            absent = absent_cells(bounds, info.cell_degrees, search.items, search.lost)
        whole = None if time is None or time[0] is None or time[1] is None else (time[0], time[1])
        return Loaded(info, bands, search, steps, area, whole, absent)

    def _search(
        self,
        catalog: Catalog,
        info: CollectionInfo,
        bounds: Bounds,
        time: Interval | None,
        bands: Sequence[BandInfo],
        properties: Mapping[str, Any] | None,
    ) -> Search:
        # All bands are resolved, so that two loads of one collection share a search and their mosaics agree.
        filters = properties or {}
        query = as_query(filters)
        key = (id(catalog), info.id, bounds, time, repr(sorted(query.items())))
        if key not in self._searches:
            self._searches[key] = catalog.search(info.id, bounds, time or (None, None), None, query)
        search = self._searches[key]
        check_known(filters, [i.properties for i in search.items], info.id)
        items = tuple(i for i in search.items if passes(i, filters))
        kept = {i.id for i in items}
        left_out = {i.id for i in search.items} - kept
        names = {b.name for b in bands} | {info.mosaic_reference}
        problems = tuple(
            p for p in search.problems if p.item not in left_out and (p.asset in names or not p.asset)
        )
        filtered = tuple(sorted(left_out | set(search.filtered)))
        return Search(items, problems, search.superseded, filtered, search.notes, search.lost)

    def summaries(self, nodes: Sequence[PlanNode]) -> tuple[SourceSummary, ...]:
        """What the load nodes of a plan read."""
        by_key = {self.graph.nodes[i].key: found for i, found in self._loaded.items()}
        result = []
        for number, node in enumerate(nodes):
            if isinstance(node.op, SourceOp):
                found = by_key[node.key]
                items = tuple(i for s in found.steps for i in s.items)
                names = tuple(b.name for b in found.bands)
                result.append(
                    SourceSummary(
                        number,
                        found.info.id,
                        items,
                        len(found.steps),
                        names,
                        found.search.problems,
                        found.search.superseded,
                        found.search.filtered,
                        found.absent,
                        found.search.notes,
                    )
                )
        return tuple(result)


def _may_be_absent(info: CollectionInfo, bounds: Bounds, search: Search) -> bool:
    """True where a layer has no tile because there is only sea, not because something is amiss."""
    west, south, east, north = bounds
    return (
        info.cell_degrees is not None
        and not search.problems
        and not search.filtered
        and any(west <= b[2] and east >= b[0] and south <= b[3] and north >= b[1] for b in info.bboxes)
    )


def _bare_grid(found: Loaded) -> Grid:
    """The grid of a layer that has no tile where it is asked for."""
    size = min((b.gsd for b in found.bands if b.gsd is not None), default=10.0)
    return Grid.snapped(utm_crs(*_centre(found, ())), size)


def _open_stac(place: StacPlace) -> tuple[Catalog, str]:
    """The catalog at an address and the one collection in it."""
    catalog = open_catalog(place.address, definitions=(), guard=place.guard)
    found = catalog.collections()
    if len(found) != 1:
        raise ProcessParameterInvalid(
            f"{shown(place.address)} holds {len(found)} collections: {', '.join(found) or 'none'}.",
            hint="Give load_stac the address of one collection or item.",
        )
    return catalog, found[0]


def carried_back(graph: Graph) -> dict[int, Constraint]:
    """For every node what its consumers need of it, as far as filters right behind it say.

    A constraint passes only processes that neither read pixels nor change the labels it speaks of.
    """
    users: dict[int, list[int]] = {i: [] for i in range(len(graph.nodes))}
    for index, node in enumerate(graph.nodes):
        for source in node.inputs:
            users[source].append(index)
    needs: dict[int, Constraint] = {}
    for index in range(len(graph.nodes) - 1, -1, -1):
        asked = [_through(graph.nodes[user], index, needs[user]) for user in users[index]]
        if index in graph.outputs or not asked:
            asked.append(Constraint())
        needs[index] = _either(asked)
    return needs


def _through(user: GraphNode, source: int, after: Constraint) -> Constraint:
    """What one consumer needs of its input `source`, if `after` is what is needed of the consumer."""
    data = user.arguments.get("data")
    if data != NodeRef(source):
        return Constraint()
    if user.process_id == "inspect":
        return after
    process = cube_processes().get(user.process_id)
    area = spatial_constraint(user.process_id, user.arguments)
    if process is None or not process.grid_transparent:
        return Constraint(area=area)
    time = temporal_constraint(user.process_id, user.arguments)
    bands = band_constraint(user.process_id, user.arguments)
    renames = user.process_id.startswith("rename") or user.process_id == "filter_labels"
    return Constraint(
        area or after.area,
        time if renames else _narrower(time, after.time),
        bands if renames or bands is not None else after.bands,
    )


def _either(asked: Sequence[Constraint]) -> Constraint:
    """What several consumers need together; where they differ, all."""
    first = asked[0]
    return Constraint(
        first.area if all(c.area == first.area for c in asked) else None,
        first.time if all(c.time == first.time for c in asked) else None,
        first.bands if all(c.bands == first.bands for c in asked) else None,
    )


def _narrower(a: Interval | None, b: Interval | None) -> Interval | None:
    if a is None or b is None:
        return a if b is None else b
    starts = [v for v in (a[0], b[0]) if v is not None]
    ends = [v for v in (a[1], b[1]) if v is not None]
    return (max(starts) if starts else None, min(ends) if ends else None)


def _area(extent: Any) -> SpatialConstraint | None:
    if extent is None:
        return None
    if isinstance(extent, Mapping) and "type" in extent:
        return spatial_constraint("filter_spatial", {"geometries": extent})
    return bounding_box(extent)


def _lonlat(area: SpatialConstraint) -> Bounds:
    name = crs_name(area[4])
    if name == _LONLAT:
        return area[:4]
    west, south, east, north = transformer(name, _LONLAT).transform_bounds(*area[:4], densify_pts=21)
    return west, south, east, north


def _centre(found: Loaded, items: Sequence[SourceItem]) -> tuple[float, float]:
    bounds = [_lonlat(found.area)] if found.area is not None else [i.bbox for i in items]
    west, south = min(b[0] for b in bounds), min(b[1] for b in bounds)
    east, north = max(b[2] for b in bounds), max(b[3] for b in bounds)
    return (west + east) / 2, (south + north) / 2


def _extent(found: Loaded, items: Sequence[SourceItem], grid: Grid) -> Box:
    """The whole pixels that cover the area asked for; without one, all pixels of the items."""
    if found.area is not None:
        bounds, name = found.area[:4], crs_name(found.area[4])
        if name != grid.crs:
            bounds = transformer(name, grid.crs).transform_bounds(*bounds, densify_pts=21)
        return grid.box_covering(*bounds)
    box = Box(grid, 0, 0, 0, 0)
    names = {b.name for b in found.bands}
    for raster in {r.box for i in items for n, r in i.rasters.items() if n in names}:
        box = box.union(raster.project(grid))
    return box


def _nothing(info: CollectionInfo, bounds: Bounds, time: Interval | None, search: Search) -> str:
    box = ", ".join(f"{v:.5f}" for v in bounds)
    own = info.bboxes[0] if info.bboxes else None
    text = f"Collection {info.id} has no items in {box} (west, south, east, north)"
    if time is not None:
        text += f" from {_shown(time[0])} to {_shown(time[1])}"
    if own and (bounds[0] > own[2] or bounds[2] < own[0] or bounds[1] > own[3] or bounds[3] < own[1]):
        text += f"; it lies in {', '.join(f'{v:.5f}' for v in own)}, outside of that area"
    if search.filtered:
        text += f"; {len(search.filtered)} items are left out by the filters on properties"
    if search.problems:
        text += f"; {len(search.problems)} items could not be used, the first: {search.problems[0].reason}"
    return text + "."


def _shown(value: np.datetime64 | None) -> str:
    return "any time" if value is None else format_instant(value)
