"""Graphs that random drawing found to go wrong once, kept small."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.engine_runs import run_cubes
from tests.support.random_archive import centre_in
from tests.support.real_site import from_node, node

from acreage.catalog.items import Catalog
from acreage.core.errors import DataCubePropertiesImmutable

X, Y = centre_in("EPSG:32631")
EXTENT = {"west": X - 50, "east": X + 50, "south": Y - 50, "north": Y + 50, "crs": 32631}
DATA = {"from_parameter": "data"}


def load(*bands: str) -> dict[str, Any]:
    return node(
        "load_collection",
        id="SENTINEL2_L2A",
        spatial_extent=EXTENT,
        temporal_extent=["2019-03-01", "2019-06-01"],
        bands=list(bands),
    )


def callback(**nodes: dict[str, Any]) -> dict[str, Any]:
    """The last node is the result."""
    last = list(nodes)[-1]
    return {"process_graph": {k: {**n, "result": True} if k == last else n for k, n in nodes.items()}}


def run(catalog: Catalog, process: dict[str, Any], **others: dict[str, Any]) -> Any:
    graph = {"load": load("B04"), **others, "result": {**process, "result": True}}
    return run_cubes(graph, catalog)["result"]


def test_a_period_without_dates_has_the_dtype_of_the_others(catalog: Catalog) -> None:
    """An array of no elements joined by a float32 gave float32, and one of int32 elements float64."""
    index = callback(i=node("constant", x={"from_parameter": "index"}))
    reducer = callback(
        places=node("array_apply", data=DATA, process=index),
        mean=node("mean", data=DATA),
        more=node("array_append", data=from_node("places"), value=from_node("mean")),
        total=node("sum", data=from_node("more")),
    )
    intervals = [["2019-03-01", "2019-03-11"], ["2019-05-21", "2019-05-30"]]
    made = run(
        catalog,
        node(
            "aggregate_temporal",
            data=from_node("load"),
            intervals=intervals,
            labels=["a", "b"],
            reducer=reducer,
        ),
    )
    assert made.values.dtype == np.float64


def test_what_a_resolver_replaces_need_not_fit_its_dtype(catalog: Catalog) -> None:
    """Merging floats with an integer resolver cast their NaN to integers on the way."""
    same = callback(e=node("if", value=True, accept=3, reject=3))
    floats = node(
        "apply", data=from_node("load"), process=callback(s=node("sqrt", x={"from_parameter": "x"}))
    )
    made = run(
        catalog,
        node("merge_cubes", cube1=from_node("floats"), cube2=from_node("load"), overlap_resolver=same),
        floats=floats,
    )
    assert made.values.dtype.kind in "iu"
    assert (made.values[made.validity()] == 3).all()


def test_an_array_without_pixels_is_searched_for_a_value_of_each_pixel(catalog: Catalog) -> None:
    """array_contains on an array of indices failed where the value differed from pixel to pixel."""
    index = callback(i=node("constant", x={"from_parameter": "index"}))
    x = {"from_parameter": "x"}
    made = run(
        catalog,
        node(
            "apply",
            data=from_node("load"),
            process=callback(
                places=node("array_apply", data=[5, 6, 7], process=index),
                sorted=node("sort", data=from_node("places")),
                third=node("mod", x=x, y=4),
                found=node("array_contains", data=from_node("sorted"), value=from_node("third")),
            ),
        ),
    )
    plain = run_cubes({"load": {**load("B04"), "result": True}}, catalog)["load"]
    valid = plain.validity()
    np.testing.assert_array_equal(made.values[valid], plain.values[valid] % 4 < 3)


def neighbours(dimension: str, size: int | None, process: dict[str, Any]) -> dict[str, Any]:
    sizes = [{"dimension": d, "value": 1, "unit": "px"} for d in ("x", "y") if d != dimension]
    sizes += [{"dimension": d, "value": 1} for d in ("t", "bands") if d != dimension]
    sizes.append({"dimension": dimension, "value": size})
    return node("apply_neighborhood", data=from_node("load"), size=sizes, process=process)


def test_a_neighbourhood_may_become_the_same_numbers_everywhere(catalog: Catalog) -> None:
    made = run(catalog, neighbours("t", None, callback(a=node("array_create", data=[1, 2, 3]))))
    np.testing.assert_array_equal(made.values[:, 0, 0, 0], [1, 2, 3])
    assert (made.values == made.values[:, :1, :1, :1]).all()


def test_a_callback_that_does_not_fit_the_shorter_last_block_is_refused_while_planning(
    catalog: Catalog,
) -> None:
    """Five dates in blocks of two: the callback gives two values for the last one too."""
    process = callback(m=node("mean", data=DATA), a=node("array_create", data=[0.5, from_node("m")]))
    with pytest.raises(DataCubePropertiesImmutable, match="2 values for 1 values along 't'"):
        run(catalog, neighbours("t", 2, process))


def test_a_null_literal_joins_integers_without_a_warning(catalog: Catalog) -> None:
    nothing = node("text_find", data="0", pattern="B04")
    process = callback(n=nothing, a=node("array_append", data=DATA, value=from_node("n")))
    made = run(catalog, neighbours("bands", None, process))
    assert made.values.dtype == np.uint16
    assert not made.validity()[:, 1].any()


@pytest.mark.parametrize("bands", [("B04",), ("B04", "B08")])
def test_a_mask_with_two_dimensions_of_bands_is_matched_by_name(
    catalog: Catalog, bands: tuple[str, ...]
) -> None:
    """The second one was taken for the first, and the axes did not match."""
    added = node("add_dimension", data=from_node("load"), name="extra", label="a", type="bands")
    dark = callback(below=node("lt", x={"from_parameter": "x"}, y=1500))
    others = {
        "load": load(*bands),
        "added": added,
        "dark": node("apply", data=from_node("added"), process=dark),
    }
    masked = node("mask", data=from_node("added"), mask=from_node("dark"))
    made = run_cubes({**others, "result": {**masked, "result": True}}, catalog)["result"]
    plain = run_cubes({**others, "added": {**added, "result": True}}, catalog)["added"]
    assert made.meta.names == plain.meta.names
    assert made.values.shape == plain.values.shape
    np.testing.assert_array_equal(made.validity(), plain.validity() & (plain.values >= 1500))
