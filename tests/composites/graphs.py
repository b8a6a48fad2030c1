"""Process graphs of masked composites, with the masks written in many ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.composites.scenes import COLUMNS, OVERLAP, ROWS
from tests.support.tiny_archive import extent, load, node

DAYS = ["2019-03-01", "2019-05-01"]
Graph = dict[str, Any]


def callback(process_id: str, **arguments: Any) -> dict[str, Any]:
    """A callback of one process."""
    return {"process_graph": {"r": {"process_id": process_id, "arguments": arguments, "result": True}}}


def of(name: str) -> dict[str, str]:
    """A callback's parameter."""
    return {"from_parameter": name}


def clouds_by_classes(classes: Sequence[int]) -> dict[str, Any]:
    """apply: true where a value is one of the classes, by eq and or."""
    nodes: dict[str, Any] = {}
    last = None
    for n, code in enumerate(classes):
        nodes[f"e{n}"] = {"process_id": "eq", "arguments": {"x": of("x"), "y": code}}
        if last is not None:
            nodes[f"o{n}"] = {
                "process_id": "or",
                "arguments": {"x": {"from_node": last}, "y": {"from_node": f"e{n}"}},
            }
        last = f"e{n}" if last is None else f"o{n}"
    nodes[str(last)]["result"] = True
    return {"process_graph": nodes}


def composite(
    masks: Sequence[str],
    *,
    method: str = "bilinear",
    crs: int | None = 3035,
    resolution: float = 10,
    bands: Sequence[str] = ("B04", "B8A"),
    reducer: str = "median",
    period: str = "dekad",
    interpolate: bool = False,
    count: bool = False,
) -> Graph:
    """Load, mask, aggregate by period.

    Args:
        masks: in order, of `dilated`, `eq`, `any`, `joined` (clouds) and `cover` (land cover).
        method, crs, resolution: of the resampling; no resampling where `crs` is None.
        bands: that are loaded.
        reducer, period: of the aggregation.
        interpolate: whether gaps are filled.
        count: whether observations are counted in a second output.
    """
    area = extent(2 * COLUMNS - OVERLAP, ROWS)
    graph: Graph = {
        "s2": load(list(bands), area, DAYS),
        "scl": load(["SCL"], area, DAYS),
        "classes": load(["MAP"], area, None, "ESA_WORLDCOVER_10M_2021_V2"),
    }
    on = {"s2": "s2", "scl": "scl", "classes": "classes"}
    if crs is not None:
        for name in on:
            how = method if name == "s2" else "near"
            grid = {"resolution": resolution, "projection": crs, "method": how}
            graph[f"{name}_on"] = node("resample_spatial", data=f"@{name}", **grid)
            on[name] = f"{name}_on"
    else:  # classes lie on 20 m
        graph["scl_on"] = node("resample_cube_spatial", data="@scl", target="@s2", method="near")
        graph["classes_on"] = node("resample_cube_spatial", data="@classes", target="@s2", method="near")
        on |= {"scl": "scl_on", "classes": "classes_on"}
    graph |= _masks(on["scl"], on["classes"])
    last = on["s2"]
    for n, mask in enumerate(masks):
        graph[f"m{n}"] = node("mask", data=f"@{last}", mask=f"@{mask}")
        last = f"m{n}"
    graph["made"] = node(
        "aggregate_temporal_period",
        data=f"@{last}",
        period=period,
        reducer=callback(reducer, data=of("data")),
    )
    final = "made"
    if interpolate:
        graph["filled"] = node(
            "apply_dimension",
            data="@made",
            dimension="t",
            process=callback("array_interpolate_linear", data=of("data")),
        )
        final = "filled"
    graph["save"] = {**node("save_result", data=f"@{final}", format="netCDF"), "result": True}
    if count:
        graph["one"] = node("filter_bands", data=f"@{last}", bands=["B04"])
        graph["number"] = node(
            "reduce_dimension", data="@one", dimension="t", reducer=callback("count", data=of("data"))
        )
        graph["save_number"] = node("save_result", data="@number", format="netCDF")
    return _without_unused(graph)


def one_load(mask: str, *, crs: int = 3035) -> Graph:
    """All bands in one load, which masks itself: by `dilation`, `element` or `picked` (of the SCL band)."""
    graph: Graph = {"s2": load(["B04", "B8A", "SCL"], extent(2 * COLUMNS - OVERLAP, ROWS), DAYS)}
    graph["on"] = node("resample_spatial", data="@s2", resolution=10, projection=crs, method="near")
    element = {"data": of("data"), "label": "SCL"}
    reducer = {"process_graph": {"e": {"process_id": "array_element", "arguments": element}}}
    reducer["process_graph"]["c"] = {
        "process_id": "gte", "arguments": {"x": {"from_node": "e"}, "y": 8}, "result": True
    }  # fmt: skip
    graph["classes"] = node("filter_bands", data="@on", bands=["SCL"])
    graph["picked"] = node("apply", data="@classes", process=clouds_by_classes([8, 9]))
    graph["element"] = node("reduce_dimension", data="@on", dimension="bands", reducer=reducer)
    graph["masked"] = node("mask", data="@on", mask=f"@{mask}")
    if mask == "dilation":
        graph["masked"] = node("mask_scl_dilation", data="@on")
    graph["wanted"] = node("filter_bands", data="@masked", bands=["B04", "B8A"])
    median = callback("median", data=of("data"))
    graph["made"] = node("aggregate_temporal_period", data="@wanted", period="dekad", reducer=median)
    graph["save"] = {**node("save_result", data="@made", format="netCDF"), "result": True}
    return _without_unused(graph)


def _masks(scl: str, cover: str) -> Graph:
    return {
        "dilated_band": node(
            "to_scl_dilation_mask", data=f"@{scl}", kernel1_size=3, kernel2_size=5, erosion_kernel_size=0
        ),
        "dilated": node("drop_dimension", data="@dilated_band", name="bands"),
        "eq": node("apply", data=f"@{scl}", process=clouds_by_classes([8, 9])),
        "eight": node("apply", data=f"@{scl}", process=clouds_by_classes([8])),
        "nine": node("apply", data=f"@{scl}", process=clouds_by_classes([9])),
        "nine_named": node("rename_labels", data="@nine", dimension="bands", target=["nine"], source=["SCL"]),
        "both": node("merge_cubes", cube1="@eight", cube2="@nine_named"),
        "any": node(
            "reduce_dimension", data="@both", dimension="bands", reducer=callback("any", data=of("data"))
        ),
        "joined": node(
            "merge_cubes",
            cube1="@eight",
            cube2="@nine",
            overlap_resolver=callback("or", x=of("x"), y=of("y")),
        ),
        "cover_first": node(
            "reduce_dimension", data=f"@{cover}", dimension="t", reducer=callback("first", data=of("data"))
        ),
        "cover": node("apply", data="@cover_first", process=callback("neq", x=of("x"), y=40)),
    }


def _without_unused(graph: Graph) -> Graph:
    """Only what an output needs."""
    needed: set[str] = set()
    todo = [k for k, n in graph.items() if n["process_id"] == "save_result"]
    while todo:
        key = todo.pop()
        if key not in needed:
            needed.add(key)
            todo += _references(graph[key]["arguments"])
    return {k: n for k, n in graph.items() if k in needed}


def _references(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        if set(value) == {"from_node"}:
            return [value["from_node"]]
        return [] if "process_graph" in value else [r for v in value.values() for r in _references(v)]
    return [r for v in value for r in _references(v)] if isinstance(value, list) else []
