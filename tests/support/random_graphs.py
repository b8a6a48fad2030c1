"""Random process graphs over the random archive: a table of how each process on data cubes is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from pyproj import Transformer
from tests.support.random_archive import S2_BANDS, ZONES, centre_in
from tests.support.random_callbacks import Json, callback

from acreage.catalog.items import Catalog
from acreage.core.cube import CubeMeta
from acreage.core.errors import NoDataAvailable, ProcessGraphError
from acreage.core.udf import UdfRunner
from acreage.engine.compiler import compile_graph
from acreage.engine.parser import parse_graph

PERIODS = (
    "hour",
    "day",
    "week",
    "dekad",
    "month",
    "season",
    "tropical-season",
    "year",
    "decade",
    "decade-ad",
)
METHODS = ("near", "bilinear", "cubic", "cubicspline", "lanczos", "average", "max", "min", "med", "mode",
           "q1", "q3", "rms", "sum")  # fmt: skip
MOST_VALUES = 60_000
UDF = """
import xarray

def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    return cube * 2.5 + context.get("add", 1)
"""


@dataclass
class Writer:
    """Writes one graph. A node is kept only if the engine accepts the graph with it.

    Attributes:
        draw: hypothesis's.
        catalog: of the archive.
        address: where the archive is served over HTTP.
        nodes: the flat graph.
        metas: what every cube node gives, as the engine plans it.
        refused: how often the engine refused a node, by process.
    """

    draw: st.DrawFn
    catalog: Catalog
    address: str
    udf: UdfRunner | None = None
    extent: Mapping[str, Any] = field(default_factory=dict)
    nodes: dict[str, Json] = field(default_factory=dict)
    metas: dict[str, CubeMeta] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.extent = self.extent or _extent(self.draw)

    def add(self, process_id: str, **arguments: Json) -> str | None:
        """Add a node; None where the engine refuses it, or where it would be too large to compute often."""
        key = f"{process_id}_{len(self.nodes)}"
        node = {"process_id": process_id, "arguments": arguments}
        try:
            parsed = parse_graph({**self.nodes, key: {**node, "result": True}})
            same = parsed.nodes[parsed.result].key
            if same != key:
                return same  # an equal node is there already
            plan_nodes, outputs, _ = compile_graph(parsed, self.catalog, self.udf)
        except (ProcessGraphError, NoDataAvailable):
            return None
        meta = plan_nodes[next(o.node for o in outputs if o.key == key)].meta
        if meta.size > MOST_VALUES or meta.size == 0:
            return None
        self.nodes[key] = node
        self.metas[key] = meta
        return key

    def graph(self, result: str) -> dict[str, Json]:
        """The graph with this node as its result."""
        return {k: {**n, "result": True} if k == result else n for k, n in self.nodes.items()}

    def pick(self, *values: Any) -> Any:
        """One of these."""
        return self.draw(st.sampled_from(values))

    def rasters(self) -> list[str]:
        """Keys of the cubes with x and y."""
        return [k for k, m in self.metas.items() if {"x", "y"} <= set(m.names)]


def ref(key: str) -> Json:
    """A reference to a node."""
    return {"from_node": key}


def _extent(draw: st.DrawFn) -> dict[str, Any]:
    """A small area around the border of the zones, not aligned with any pixel."""
    x, y = centre_in(ZONES[0])
    west = x + draw(st.integers(-260, 100))
    south = y + draw(st.integers(-260, 100))
    width, height = draw(st.integers(15, 260)), draw(st.integers(15, 260))
    return {"west": west, "south": south, "east": west + width, "north": south + height, "crs": 32631}


# --- loads ------------------------------------------------------------------------------------------

SPANS = (["2019-03-01", "2019-06-01"], ["2019-03-01", "2019-03-15"], ["2019-03-01", "2020-04-01"])


def load(w: Writer, kind: str | None = None) -> str | None:
    """A load of one collection (`s2`, `scl`, `s1`, `dem`, `cover`)."""
    kind = kind or w.pick("s2", "s2", "s2", "s1", "dem", "cover")
    collection = {
        "s2": "SENTINEL2_L2A",
        "scl": "SENTINEL2_L2A",
        "s1": "SENTINEL1_GRD",
        "dem": "COPERNICUS_30",
        "cover": "ESA_WORLDCOVER_10M_2021_V2",
    }[kind]
    bands: list[str] | None = None
    if kind == "s2":
        bands = w.draw(st.lists(st.sampled_from(S2_BANDS[:3]), min_size=1, max_size=3, unique=True))
    elif kind == "scl":
        bands = ["SCL"]
    elif kind == "s1":
        bands = w.pick(["VV"], ["VV", "VH"])
    span = w.pick(*SPANS) if kind in ("s2", "scl", "s1") else None
    return w.add(
        "load_collection", id=collection, spatial_extent=dict(w.extent), temporal_extent=span, bands=bands
    )


def _base(w: Writer, kind: str | None = None) -> str:
    key = load(w, kind)
    if key is not None and w.draw(st.integers(0, 2)) == 0:
        key = resample_spatial(w, key) or key
    assume(key is not None)
    assert key is not None
    return key


# --- parameters ------------------------------------------------------------------------------------------


def _leaves(meta: CubeMeta, *, array: bool) -> dict[str, list[Json]]:
    kind = "bool" if meta.dtype.kind == "b" else "num"
    return {f"{kind}s": [{"from_parameter": "data"}]} if array else {kind: [{"from_parameter": "x"}]}


def scalar_callback(w: Writer, meta: CubeMeta, process_id: str | None = None) -> Json:
    """A callback for apply."""
    kind = w.pick("num", "bool") if process_id is None else "num"
    return callback(w.draw, kind, _leaves(meta, array=False), process_id=process_id)


def reducer(w: Writer, meta: CubeMeta, process_id: str | None = None) -> Json:
    """A callback from an array to a value."""
    kind = w.pick("num", "num", "bool") if process_id is None else "num"
    return callback(w.draw, kind, _leaves(meta, array=True), process_id=process_id)


def array_callback(w: Writer, meta: CubeMeta, process_id: str | None = None) -> Json:
    """A callback from an array to an array."""
    return callback(w.draw, "nums", _leaves(meta, array=True), process_id=process_id)


def _shape(w: Writer, *, points: bool) -> Json:
    """A small polygon (or point) in longitude and latitude, somewhere around the area."""
    e = w.extent
    to_degrees = Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True).transform

    def corner() -> tuple[float, float]:
        across, up = w.draw(st.floats(-0.1, 1.1)), w.draw(st.floats(-0.1, 1.1))
        x, y = e["west"] + across * (e["east"] - e["west"]), e["south"] + up * (e["north"] - e["south"])
        lon, lat = to_degrees(x, y)
        return round(lon, 7), round(lat, 7)

    if points and w.draw(st.booleans()):
        return {"type": "Point", "coordinates": list(corner())}
    a, b = corner(), corner()
    west, east = min(a[0], b[0]), max(a[0], b[0]) + 2e-4
    south, north = min(a[1], b[1]), max(a[1], b[1]) + 1e-4
    ring = [[west, south], [east, south], [east, north]]
    if w.draw(st.booleans()):
        ring.append([west, north])
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def geojson(w: Writer, *, points: bool = False) -> Json:
    """A collection of one to four features."""
    count = w.draw(st.integers(1, 4))
    features = [
        {"type": "Feature", "id": f"f{i}", "geometry": _shape(w, points=points), "properties": {"size": i}}
        for i in range(count)
    ]
    return {"type": "FeatureCollection", "features": features}


def _geometries(w: Writer, *, points: bool = False) -> Json:
    """GeoJSON, or a vector cube that holds it."""
    document = geojson(w, points=points)
    if w.draw(st.integers(0, 2)) == 0:
        key = w.add("load_geojson", data=document, properties=[])
        if key is not None:
            return ref(key)
    return document


def _dimension(w: Writer, data: str, *types: str) -> str | None:
    found = [d.name for d in w.metas[data].dims if d.type in types]
    return w.pick(*found) if found else None


# --- processes ------------------------------------------------------------------------------------------

Step = Callable[[Writer, str], str | None]


def add_dimension(w: Writer, data: str) -> str | None:
    name, kind = w.pick(("extra", "other"), ("extra", "bands"), ("when", "temporal"))
    label = "2019-03-01" if kind == "temporal" else w.pick("a", 3)
    return w.add("add_dimension", data=ref(data), name=name, label=label, type=kind)


def aggregate_spatial(w: Writer, data: str, process_id: str | None = None) -> str | None:
    return w.add(
        "aggregate_spatial",
        data=ref(data),
        geometries=_geometries(w, points=True),
        reducer=reducer(w, w.metas[data], process_id),
        target_dimension=w.pick(None, None, "result"),
    )


def aggregate_temporal(w: Writer, data: str, process_id: str | None = None) -> str | None:
    intervals = [["2019-03-01", "2019-03-11"], ["2019-03-05", "2019-05-01"], ["2019-06-01", "2019-07-01"]]
    return w.add(
        "aggregate_temporal",
        data=ref(data),
        intervals=intervals,
        labels=w.pick(None, ["a", "b", "c"]),
        reducer=reducer(w, w.metas[data], process_id),
    )


def aggregate_temporal_period(w: Writer, data: str, process_id: str | None = None) -> str | None:
    period = w.pick("dekad", *PERIODS)
    if period == "hour":
        data = (
            w.add("filter_temporal", data=ref(data), extent=["2019-03-02T00:00:00Z", "2019-03-03T12:00:00Z"])
            or data
        )
    return w.add(
        "aggregate_temporal_period",
        data=ref(data),
        period=period,
        reducer=reducer(w, w.metas[data], process_id),
    )


def climatological_normal(w: Writer, data: str, period: str | None = None) -> str | None:
    return w.add(
        "climatological_normal",
        data=ref(data),
        period=period or w.pick("day", "month", "season", "tropical-season", "climatology-period"),
        climatology_period=[2019, 2020],
    )


def anomaly(w: Writer, data: str) -> str | None:
    period = w.pick("month", "season", "climatology-period")
    normals = climatological_normal(w, data, period)
    if normals is None:
        return None
    if period != "climatology-period":
        mean = callback(w.draw, "num", {"nums": [{"from_parameter": "data"}]}, process_id="mean", depth=0)
        made = w.add("aggregate_temporal_period", data=ref(data), period=period, reducer=mean)
        if made is None:
            return None
        data = made
    return w.add("anomaly", data=ref(data), normals=ref(normals), period=period)


def apply(w: Writer, data: str, process_id: str | None = None) -> str | None:
    return w.add("apply", data=ref(data), process=scalar_callback(w, w.metas[data], process_id))


def apply_dimension(w: Writer, data: str, process_id: str | None = None) -> str | None:
    name = _dimension(w, data, "temporal", "bands", "x", "y", "other")
    if name is None:
        return None
    target = w.pick(None, None, "new", "bands")
    return w.add(
        "apply_dimension",
        data=ref(data),
        process=array_callback(w, w.metas[data], process_id),
        dimension=name,
        target_dimension=target,
    )


def apply_polygon(w: Writer, data: str) -> str | None:
    """Boxes side by side, with a process on data cubes."""
    given = {"data": {"from_parameter": "data"}}
    kernel = {"process_id": "apply_kernel", "arguments": {**given, "kernel": [[1, 0.5, 2]]}}
    scale = {
        "process_id": "apply",
        "arguments": {**given, "process": scalar_callback(w, w.metas[data])},
    }
    one, other = w.pick((kernel, scale), (scale, kernel))
    nodes = {"one": one, "other": {**other, "arguments": {**other["arguments"], "data": ref("one")}}}
    nodes[w.pick("one", "other")]["result"] = True
    if "result" in one:
        del nodes["other"]
    return w.add(
        "apply_polygon",
        data=ref(data),
        geometries=geojson(w),
        process={"process_graph": nodes},
        mask_value=w.pick(None, 0),
    )


def aggregate_spatial_window(w: Writer, data: str, process_id: str | None = None) -> str | None:
    return w.add(
        "aggregate_spatial_window",
        data=ref(data),
        reducer=reducer(w, w.metas[data], process_id),
        size=w.pick([1, 1], [2, 3], [5, 1], [7, 7]),
        boundary=w.pick("pad", "trim"),
        align=w.pick("upper-left", "lower-left", "upper-right", "lower-right"),
    )


def _summed_up(w: Writer, data: str, vectors: str | None) -> str | None:
    """A raster cube aggregated over the geometries of a vector cube."""
    if vectors is None:
        return None
    process = reducer(w, w.metas[data])
    return w.add("aggregate_spatial", data=ref(data), geometries=ref(vectors), reducer=process)


def vector_reproject(w: Writer, data: str) -> str | None:
    made = w.add("vector_reproject", data=geojson(w, points=True), projection=w.pick(3035, 32632))
    return _summed_up(w, data, made)


def _in_metres(w: Writer, *, points: bool = True) -> str | None:
    return w.add("vector_reproject", data=geojson(w, points=points), projection=32631)


def vector_buffer(w: Writer, data: str) -> str | None:
    shapes = _in_metres(w)
    made = shapes and w.add("vector_buffer", geometries=ref(shapes), distance=w.pick(12, -3, 40.5))
    return _summed_up(w, data, made)


def filter_vector(w: Writer, data: str) -> str | None:
    relation = w.pick("intersects", "disjoint", "within", "contains")
    made = w.add("filter_vector", data=geojson(w, points=True), geometries=geojson(w), relation=relation)
    return _summed_up(w, data, made)


def vector_to_random_points(w: Writer, data: str) -> str | None:
    made = w.add(
        "vector_to_random_points",
        data=geojson(w, points=True),
        geometry_count=w.pick(None, 3),
        total_count=w.pick(None, 7),
        group=w.pick(True, False),
        seed=w.pick(None, 11),
    )
    return _summed_up(w, data, made)


def vector_to_regular_points(w: Writer, data: str) -> str | None:
    shapes, group = _in_metres(w), w.pick(True, False)
    made = shapes and w.add(
        "vector_to_regular_points", data=ref(shapes), distance=w.pick(9, 25.5), group=group
    )
    return _summed_up(w, data, made)


def trim_cube(w: Writer, data: str) -> str | None:
    """What is trimmed has nulls around it, more often than not."""
    masked = w.add("mask_polygon", data=ref(data), mask=geojson(w)) if w.draw(st.booleans()) else data
    return w.add("trim_cube", data=ref(masked or data))


def flatten_dimensions(w: Writer, data: str) -> str | None:
    names = [d.name for d in w.metas[data].dims if d.type not in ("x", "y")]
    if not names:
        return None
    chosen = w.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    return w.add("flatten_dimensions", data=ref(data), dimensions=chosen, target_dimension="flat")


def unflatten_dimension(w: Writer, data: str) -> str | None:
    if not {"t", "bands"} <= set(w.metas[data].names):
        return None
    order = w.pick(["t", "bands"], ["bands", "t"])
    flat = w.add("flatten_dimensions", data=ref(data), dimensions=order, target_dimension="flat")
    names = ["one", "other"]
    return flat and w.add("unflatten_dimension", data=ref(flat), dimension="flat", target_dimensions=names)


def predict_curve(w: Writer, data: str) -> str | None:
    name = _dimension(w, data, "temporal", "bands", "other")
    if name is None or w.metas[data].shape[w.metas[data].axis(name)] < 2:
        return None
    labels = w.pick([1, 2.5, 8], ["2019-03-01", "2019-04-03T12:00:00Z"])
    line = callback(w.draw, "nums", {}, process_id="fit_curve", depth=0)
    model = next(n for n in line["process_graph"].values() if n["process_id"] == "fit_curve")
    function = model["arguments"]["function"]
    return w.add("predict_curve", parameters=ref(data), function=function, dimension=name, labels=labels)


def apply_kernel(w: Writer, data: str) -> str | None:
    rows, columns = w.pick(1, 3, 5, 9), w.pick(1, 3, 7)
    kernel = [[w.draw(st.sampled_from([0, 1, 0.5, -2, 0.1])) for _ in range(columns)] for _ in range(rows)]
    return w.add(
        "apply_kernel",
        data=ref(data),
        kernel=kernel,
        factor=w.pick(1, 0.3),
        border=w.pick(0, 7.5, "replicate", "reflect", "reflect_pixel", "wrap"),
        replace_invalid=w.pick(0, -1.5),
    )


def apply_neighborhood(w: Writer, data: str, process_id: str | None = None) -> str | None:
    meta = w.metas[data]
    spatial = w.pick(True, False)
    size: list[Json] = []
    overlap: list[Json] = []
    free = None if spatial else _dimension(w, data, "temporal", "bands", "x", "y")
    for d in meta.dims:
        if d.type in ("x", "y"):
            value = w.pick(2, 3, 8) if spatial or d.name == free else 1
            size.append({"dimension": d.name, "value": value, "unit": "px"})
            if spatial and w.draw(st.booleans()):
                overlap.append({"dimension": d.name, "value": w.pick(1, 2, 5), "unit": "px"})
        else:
            size.append({"dimension": d.name, "value": None if spatial or d.name == free else 1})
    process = _neighborhood_graph(w, meta) if spatial else array_callback(w, meta, process_id)
    return w.add("apply_neighborhood", data=ref(data), size=size, overlap=overlap or None, process=process)


def _neighborhood_graph(w: Writer, meta: CubeMeta) -> Json:
    """Processes on the cube that a neighbourhood is."""
    data = {"from_parameter": "data"}
    kernel = {"data": data, "kernel": [[1, 2, 1]], "factor": 0.25, "border": w.pick("replicate", 0)}
    along_x = callback(
        w.draw, "nums", _leaves(meta, array=True), process_id=w.pick("cumsum", "sort"), depth=0
    )
    first: Json = w.pick(
        {"process_id": "apply_kernel", "arguments": kernel},
        {"process_id": "apply", "arguments": {"data": data, "process": scalar_callback(w, meta)}},
        {
            "process_id": "apply_dimension",
            "arguments": {"data": data, "dimension": w.pick("x", "y"), "process": along_x},
        },
    )
    return {"process_graph": {"a": {**first, "result": True}}}


def create_data_cube(w: Writer, data: str) -> str | None:
    made = w.add("create_data_cube")
    if made is None:
        return None
    return w.add("add_dimension", data=ref(made), name="t", label="2019-03-05", type="temporal") or made


def drop_dimension(w: Writer, data: str) -> str | None:
    single = [d for d in w.metas[data].dims if len(d.labels) == 1]
    if not single:
        bands = w.metas[data].find("bands")
        if bands is None or not bands.labels:
            return None
        data = w.add("filter_bands", data=ref(data), bands=[bands.labels[-1]]) or data
        return w.add("drop_dimension", data=ref(data), name=bands.name)
    return w.add("drop_dimension", data=ref(data), name=w.pick(*single).name)


def filter_bands(w: Writer, data: str) -> str | None:
    bands = w.metas[data].find("bands")
    if bands is None or not bands.labels:
        return None
    wanted = w.draw(st.lists(st.sampled_from(bands.labels), min_size=1, max_size=2, unique=True))
    return w.add("filter_bands", data=ref(data), bands=list(wanted))


def filter_bbox(w: Writer, data: str) -> str | None:
    e, grow = w.extent, w.draw(st.integers(-80, 30))
    extent = {
        "west": e["west"] - grow,
        "east": e["east"] + w.pick(0, grow),
        "south": e["south"] - w.pick(0, grow),
        "north": e["north"] + grow,
        "crs": 32631,
    }
    if extent["west"] >= extent["east"] or extent["south"] >= extent["north"]:
        return None
    return w.add("filter_bbox", data=ref(data), extent=extent)


def filter_labels(w: Writer, data: str) -> str | None:
    name = _dimension(w, data, "temporal", "bands")
    if name is None:
        return None
    value = {"from_parameter": "value"}
    if w.metas[data].dim(name).type == "bands":
        node = {"process_id": "text_ends", "arguments": {"data": value, "pattern": w.pick("4", "5", "V")}}
    else:
        span = {"x": value, "min": "2019-03-04", "max": "2019-04-30"}
        node = {"process_id": "date_between", "arguments": span}
    return w.add(
        "filter_labels",
        data=ref(data),
        dimension=name,
        condition={"process_graph": {"c": {**node, "result": True}}},
    )


def filter_spatial(w: Writer, data: str) -> str | None:
    return w.add("filter_spatial", data=ref(data), geometries=_geometries(w))


def filter_temporal(w: Writer, data: str) -> str | None:
    start, end = w.pick(("2019-03-01", "2019-03-14"), ("2019-03-05", None), ("2019-03-02", "2019-05-01"))
    return w.add("filter_temporal", data=ref(data), extent=[start, end])


def mask(w: Writer, data: str) -> str | None:
    meta = w.metas[data]
    other = data
    if w.draw(st.booleans()):
        loaded = load(w, w.pick("cover", "scl"))
        other = (loaded and _like(w, loaded, data, "near")) or data
        if other != data:
            other = w.add("reduce_dimension", data=ref(other), dimension="t", reducer=_first()) or other
            other = w.add("drop_dimension", data=ref(other), name="bands") or other
    elif meta.find("bands") is not None and w.draw(st.booleans()):
        name = meta.find("bands")
        assert name is not None
        other = w.add("reduce_dimension", data=ref(data), dimension=name.name, reducer=_first()) or data
    chosen = w.add(
        "apply", data=ref(other), process=scalar_callback(w, w.metas[other], w.pick("gt", "is_nodata"))
    )
    if chosen is None:
        return None
    return w.add("mask", data=ref(data), mask=ref(chosen), replacement=w.pick(None, None, 0, 7))


def _first() -> Json:
    node = {"process_id": "first", "arguments": {"data": {"from_parameter": "data"}}, "result": True}
    return {"process_graph": {"f": node}}


def _like(w: Writer, cube: str, target: str, method: str) -> str | None:
    if w.metas[target].box is None:
        return None
    return w.add("resample_cube_spatial", data=ref(cube), target=ref(target), method=method)


def mask_polygon(w: Writer, data: str) -> str | None:
    return w.add(
        "mask_polygon",
        data=ref(data),
        mask=_geometries(w),
        inside=w.pick(True, False),
        replacement=w.pick(None, 3),
    )


def mask_scl_dilation(w: Writer, data: str) -> str | None:
    spectral = w.add(
        "load_collection",
        id="SENTINEL2_L2A",
        spatial_extent=dict(w.extent),
        temporal_extent=["2019-03-01", "2019-03-15"],
        bands=["B04", "SCL"],
    )
    if spectral is None:
        return None
    return w.add("mask_scl_dilation", data=ref(spectral), scl_band_name=w.pick(None, "SCL"))


def to_scl_dilation_mask(w: Writer, data: str) -> str | None:
    scl = load(w, "scl")
    if scl is not None and w.draw(st.booleans()):
        scl = resample_spatial(w, scl, "near") or scl
    if scl is None:
        return None
    return w.add(
        "to_scl_dilation_mask",
        data=ref(scl),
        erosion_kernel_size=w.pick(0, 3, 5),
        kernel1_size=w.pick(3, 7, 17),
        kernel2_size=w.pick(5, 21),
        mask1_values=[4],
        mask2_values=[3, 8],
    )


def merge_cubes(w: Writer, data: str, process_id: str | None = None) -> str | None:
    meta = w.metas[data]
    how = w.pick("renamed", "same", "other", "aggregated")
    second: str | None = None
    if how == "renamed" and meta.find("bands") is not None:
        bands = meta.find("bands")
        assert bands is not None
        source = list(bands.labels)
        names = [f"{label}x" for label in source]
        second = w.add("rename_labels", data=ref(data), dimension=bands.name, target=names, source=source)
    elif how == "same":
        second = apply(w, data)
    elif how == "aggregated":
        second = _reduced(w, data)
    else:
        loaded = load(w, w.pick("dem", "s1", "s2"))
        second = loaded and _like(w, loaded, data, w.pick("near", "bilinear"))
    if second is None:
        return None
    first, second = (data, second) if w.draw(st.booleans()) else (second, data)
    kinds: dict[str, list[Json]] = {}
    for name, key in (("x", first), ("y", second)):
        kinds.setdefault("bool" if w.metas[key].dtype.kind == "b" else "num", []).append(
            {"from_parameter": name}
        )
    resolver = callback(w.draw, "num", kinds, process_id=process_id)
    return w.add("merge_cubes", cube1=ref(first), cube2=ref(second), overlap_resolver=resolver)


def _reduced(w: Writer, data: str) -> str | None:
    name = _dimension(w, data, "temporal", "bands")
    return name and w.add("reduce_dimension", data=ref(data), dimension=name, reducer=_first())


def ndvi(w: Writer, data: str) -> str | None:
    both = w.add(
        "load_collection",
        id="SENTINEL2_L2A",
        spatial_extent=dict(w.extent),
        temporal_extent=w.pick(*SPANS),
        bands=["B04", "B08"],
    )
    return both and w.add("ndvi", data=ref(both), target_band=w.pick(None, "NDVI"))


def reduce_dimension(w: Writer, data: str, process_id: str | None = None) -> str | None:
    name = _dimension(w, data, "temporal", "bands", "x", "y", "other")
    if name is None:
        return None
    process = reducer(w, w.metas[data], process_id)
    return w.add("reduce_dimension", data=ref(data), dimension=name, reducer=process)


def reduce_spatial(w: Writer, data: str, process_id: str | None = None) -> str | None:
    return w.add("reduce_spatial", data=ref(data), reducer=reducer(w, w.metas[data], process_id))


def rename_dimension(w: Writer, data: str) -> str | None:
    name = _dimension(w, data, "temporal", "bands")
    return name and w.add("rename_dimension", data=ref(data), source=name, target=f"{name}2")


def rename_labels(w: Writer, data: str) -> str | None:
    name = _dimension(w, data, "temporal", "bands")
    if name is None:
        return None
    given = [str(label) for label in w.metas[data].dim(name).labels]
    source = w.draw(st.lists(st.sampled_from(given), min_size=1, max_size=2, unique=True))
    target = [f"r{i}" for i in range(len(source))]
    return w.add("rename_labels", data=ref(data), dimension=name, target=target, source=source)


def resample_cube_spatial(w: Writer, data: str) -> str | None:
    target = load(w)
    if target is not None and w.draw(st.booleans()):
        target = resample_spatial(w, target)
    return target and w.add(
        "resample_cube_spatial", data=ref(data), target=ref(target), method=w.pick(*METHODS)
    )


def resample_cube_temporal(w: Writer, data: str) -> str | None:
    target = load(w, w.pick("s1", "s2"))
    if target is None:
        return None
    return w.add(
        "resample_cube_temporal", data=ref(data), target=ref(target), valid_within=w.pick(None, 3, 40)
    )


def resample_spatial(w: Writer, data: str, method: str | None = None) -> str | None:
    projection = w.pick(3035, 3035, 32631, 32632, None)
    resolution = w.pick(10, 12.5, 20, 30)
    if projection is None and w.metas[data].box is not None and w.metas[data].grid.is_geographic:
        resolution = 0.0002
    return w.add(
        "resample_spatial",
        data=ref(data),
        resolution=resolution,
        projection=projection,
        method=method or w.pick(*METHODS),
        align=w.pick("upper-left", "lower-left", "upper-right"),
    )


def sar_backscatter(w: Writer, data: str) -> str | None:
    radar = load(w, "s1")
    return radar and w.add("sar_backscatter", data=ref(radar), coefficient=w.pick("sigma0-ellipsoid", None))


def load_stac(w: Writer, data: str) -> str | None:
    address = f"{w.address}/{w.pick('sentinel-2-l2a', 'cop-dem-glo-30')}/collection.json"
    return w.add("load_stac", url=address, spatial_extent=dict(w.extent))


def load_geojson(w: Writer, data: str) -> str | None:
    vectors = w.add("load_geojson", data=geojson(w), properties=["size"])
    return vectors and w.add("apply", data=ref(vectors), process=scalar_callback(w, w.metas[vectors]))


def load_collection(w: Writer, data: str) -> str | None:
    return load(w)


def save_result(w: Writer, data: str) -> str | None:
    return w.add("save_result", data=ref(data), format="netCDF", options={})


def dimension_labels(w: Writer, data: str) -> str | None:
    """The labels of one cube pick those of another."""
    bands = w.metas[data].find("bands")
    if bands is None:
        return None
    fewer = filter_bands(w, data)
    if fewer is None:
        return None
    key = f"dimension_labels_{len(w.nodes)}"
    w.nodes[key] = {
        "process_id": "dimension_labels",
        "arguments": {"data": ref(fewer), "dimension": bands.name},
    }
    made = w.add("filter_bands", data=ref(data), bands=ref(key))
    if made is None:
        del w.nodes[key]
    return made


def run_udf(w: Writer, data: str) -> str | None:
    call = {"udf": UDF, "runtime": "Python", "context": {"add": w.pick(0, 3)}}
    how = w.pick("top", "apply", "apply_neighborhood", "apply_dimension")
    if how == "top":
        return w.add("run_udf", data=ref(data), **call)
    node = {
        "process_id": "run_udf",
        "arguments": {"data": {"from_parameter": "data"}, **call},
        "result": True,
    }
    if how == "apply":
        node["arguments"]["data"] = {"from_parameter": "x"}
    arguments: dict[str, Json] = {"data": ref(data), "process": {"process_graph": {"u": node}}}
    if how == "apply_dimension":
        arguments["dimension"] = _dimension(w, data, "temporal", "bands")
    if how == "apply_neighborhood":
        arguments["size"] = [{"dimension": d, "value": 16, "unit": "px"} for d in ("x", "y")]
        arguments["overlap"] = [{"dimension": d, "value": 3, "unit": "px"} for d in ("x", "y")]
    return w.add(how, **arguments)


STEPS: Mapping[str, Step] = {
    f.__name__: f
    for f in (
        add_dimension, aggregate_spatial, aggregate_spatial_window, aggregate_temporal,
        aggregate_temporal_period, anomaly, apply, apply_dimension, apply_kernel, apply_neighborhood,
        apply_polygon, climatological_normal, create_data_cube, dimension_labels, drop_dimension,
        filter_bands, filter_bbox, filter_labels, filter_spatial, filter_temporal, filter_vector,
        flatten_dimensions, load_collection, load_geojson, load_stac, mask, mask_polygon, mask_scl_dilation,
        merge_cubes, ndvi, predict_curve, reduce_dimension, reduce_spatial, rename_dimension, rename_labels,
        resample_cube_spatial, resample_cube_temporal, resample_spatial, run_udf, sar_backscatter,
        save_result, to_scl_dilation_mask, trim_cube, unflatten_dimension, vector_buffer, vector_reproject,
        vector_to_random_points, vector_to_regular_points,
    )
}  # fmt: skip
BASES = {"anomaly": "s2", "climatological_normal": "s2", "resample_cube_temporal": "s2"}

# Where a callback can stand, by what it must give.
SCALAR_HOSTS: tuple[Callable[..., str | None], ...] = (apply, merge_cubes)
REDUCER_HOSTS: tuple[Callable[..., str | None], ...] = (
    reduce_dimension,
    aggregate_temporal_period,
    aggregate_temporal,
    aggregate_spatial,
    reduce_spatial,
)
ARRAY_HOSTS: tuple[Callable[..., str | None], ...] = (apply_dimension, apply_neighborhood)


def attempt(w: Writer, step: Callable[..., str | None], *arguments: Any, tries: int = 6) -> str:
    """Draw a step until the engine accepts it."""
    for _ in range(tries):
        key = step(w, *arguments)
        if key is not None:
            return key
    assume(False)
    raise AssertionError("unreachable")


@st.composite
def graphs_with(
    draw: st.DrawFn, process_id: str, catalog: Catalog, address: str, udf: UdfRunner | None = None
) -> Any:
    """A graph around one cube process: a load, perhaps a step, the process, perhaps another step."""
    w = Writer(draw, catalog, address, udf)
    if process_id in ("anomaly", "climatological_normal"):
        data = w.add("load_collection", id="SENTINEL2_L2A", spatial_extent=dict(w.extent),
                     temporal_extent=["2019-01-01", "2021-01-01"], bands=["B04"])  # fmt: skip
        assume(data is not None)
        assert data is not None
    else:
        data = _base(w, BASES.get(process_id))
    if draw(st.booleans()) and process_id not in ("anomaly", "climatological_normal"):
        data = _random_step(w, data) or data
    key = attempt(w, STEPS[process_id], data)
    if draw(st.booleans()) and process_id not in ("save_result", "trim_cube"):
        key = _random_step(w, key) or key
    return w.graph(key)


@st.composite
def graphs_calling(draw: st.DrawFn, process_id: str, gives: str, catalog: Catalog, address: str) -> Any:
    """A graph with one array process inside a callback, hosted by any process that takes such a callback."""
    w = Writer(draw, catalog, address)
    data = _base(w)
    hosts = ARRAY_HOSTS if gives in ("nums", "labels") and draw(st.booleans()) else REDUCER_HOSTS
    if gives not in ("nums", "labels") and draw(st.booleans()):
        hosts = SCALAR_HOSTS
    for _ in range(6):
        key = draw(st.sampled_from(hosts))(w, data, process_id)
        if key is not None:
            return w.graph(key)
    assume(False)
    raise AssertionError("unreachable")


# Steps that may follow each other in any order; some are drawn more often.
_ANY_STEP = (
    *sorted(
        set(STEPS) - {"run_udf", "save_result", "load_stac", "load_geojson", "create_data_cube", "trim_cube"}
    ),
    *("apply", "reduce_dimension", "merge_cubes", "mask", "apply_dimension", "aggregate_temporal_period") * 2,
    *("apply_kernel", "apply_neighborhood", "resample_spatial", "resample_cube_spatial", "filter_bbox"),
)


def _random_step(w: Writer, data: str) -> str | None:
    """One more step on a cube: what the engine refuses is drawn anew, a few times."""
    for _ in range(4):
        key = STEPS[w.draw(st.sampled_from(_ANY_STEP))](w, data)
        if key is not None:
            return key
    return None


@st.composite
def graphs(draw: st.DrawFn, catalog: Catalog, address: str, least: int = 2, most: int = 5) -> Any:
    """Any graph: some steps, most of them on the cube made last."""
    w = Writer(draw, catalog, address)
    data = _base(w)
    for _ in range(draw(st.integers(least, most))):
        made = _random_step(w, data)
        if made is not None:
            data = made
        if draw(st.integers(0, 4)) == 0:
            data = draw(st.sampled_from(w.rasters()))
    return w.graph(list(w.metas)[-1] if draw(st.integers(0, 3)) == 0 else data)
