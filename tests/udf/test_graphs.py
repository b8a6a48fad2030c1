"""UDFs in process graphs: labels that `apply_metadata` names, and vector cubes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.support.engine_runs import plan_of, run_cubes
from tests.support.tiny_archive import NORTH, WEST, Layer, TinyArchive

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog
from acreage.core.cube import Cube
from acreage.core.errors import UdfError
from acreage.udf.contract import UdfLimits
from acreage.udf.runner import ProcessUdfRunner

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [0.4, 0], [0.4, 0.2], [0, 0.2], [0, 0]]]}
POINT = {"type": "Point", "coordinates": [1.0, 2.0]}
PARCELS = {
    "type": "FeatureCollection",
    "features": [
        {"type": "Feature", "id": f"p{i}", "properties": {"crop": i + 1, "name": f"n{i}"}, "geometry": g}
        for i, g in enumerate((SQUARE, POINT))
    ],
}


@pytest.fixture
def runner() -> Iterator[ProcessUdfRunner]:
    with ProcessUdfRunner(UdfLimits(timeout_s=120)) as made:
        yield made


def on_parcels(source: str, context: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "load": {
            "process_id": "load_geojson",
            "arguments": {"data": PARCELS, "properties": ["crop"]},
        },
        "udf": {
            "process_id": "run_udf",
            "arguments": {
                "data": {"from_node": "load"},
                "udf": textwrap.dedent(source),
                "runtime": "Python",
                "context": context or {},
            },
            "result": True,
        },
    }


def run(runner: ProcessUdfRunner, source: str, context: dict[str, Any] | None = None) -> Cube:
    graph = on_parcels(source, context)
    planned = plan_of(graph, NO_CATALOG, 64, udf=runner).nodes[-1].meta
    (cube,) = run_cubes(graph, NO_CATALOG, udf=runner).values()
    assert cube.meta == planned
    return cube


class _NoCatalog:
    """For graphs that load nothing from one."""


NO_CATALOG: Catalog = _NoCatalog()  # type: ignore[assignment]


def test_new_columns_of_features_are_the_values_of_a_vector_cube(runner: ProcessUdfRunner) -> None:
    cube = run(
        runner,
        """
        from openeo.udf import UdfData
        def apply_udf_data(data: UdfData):
            frame = data.get_feature_collection_list()[0].data
            values = data.get_datacube_list()[0].get_array()
            frame["area"] = frame.geometry.area * data.user_context["factor"]
            frame["next"] = values.sel(properties="crop").values + 1
            frame["label"] = "x"
        """,
        {"factor": 100},
    )
    assert cube.meta.names == ("geometry", "properties")
    assert cube.meta.labels_of("properties") == ("area", "next")
    assert cube.meta.labels_of("geometry") == ("p0", "p1")
    np.testing.assert_allclose(cube.values, [[8.0, 2.0], [0.0, 3.0]])
    assert cube.meta.geometries is not None
    assert cube.meta.geometries.properties[1]["label"] == "x"
    assert cube.meta.geometries.properties[1]["name"] == "n1"


def test_apply_vectorcube_changes_values_and_geometries(runner: ProcessUdfRunner) -> None:
    cube = run(
        runner,
        """
        import geopandas, xarray
        def apply_vectorcube(
            geometries: geopandas.geodataframe.GeoDataFrame, cube: xarray.DataArray, context: dict
        ):
            assert cube.geometry.values.tolist() == list(range(len(geometries)))
            both = xarray.concat([cube, cube * 10], dim="properties").assign_coords(properties=["a", "b"])
            return geometries.set_geometry(geometries.geometry.translate(1, 0)), both
        """,
    )
    assert cube.meta.labels_of("properties") == ("a", "b")
    assert cube.values.tolist() == [[1, 10], [2, 20]]
    assert cube.meta.geometries is not None
    assert cube.meta.geometries.shapes[1].coords[0] == (2.0, 2.0)


def test_apply_datacube_takes_a_vector_cube_as_well(runner: ProcessUdfRunner) -> None:
    cube = run(
        runner,
        """
        import xarray
        def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
            return cube.sum("properties") * 2
        """,
    )
    assert cube.meta.names == ("geometry",)
    assert cube.values.tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("data.set_structured_data_list([StructuredData([1])])", "structured data, which no process"),
        ("data.set_feature_collection_list([])", "left 0 feature collections"),
        ("data.set_datacube_list([])", "left 0 data cubes and no new numeric columns"),
        ("data.set_datacube_list([XarrayDataCube(xarray.DataArray([1.0], dims='x'))])", "no dimension 'geom"),
    ],
)
def test_what_is_no_vector_cube_is_refused_while_planning(
    runner: ProcessUdfRunner, body: str, message: str
) -> None:
    source = f"from openeo.udf import UdfData\ndef apply_udf_data(data: UdfData):\n    {body}\n"
    with pytest.raises(UdfError, match=message):
        plan_of(on_parcels(source), NO_CATALOG, 64, udf=runner)


DESCRIBED = """
import numpy, xarray
from openeo.metadata import CollectionMetadata
def apply_metadata(metadata: CollectionMetadata, context: dict) -> CollectionMetadata:
    assert metadata.band_names == ["B04", "B08"], metadata
    assert metadata.spatial_dimensions[0].step == 10, metadata
    return metadata.rename_labels(dimension="bands", target=context["names"])
def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    if "returned" in context:
        return cube.assign_coords(bands=context["returned"])
    return xarray.DataArray(cube.values * 2, dims=cube.dims)
"""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    made = TinyArchive(tmp_path_factory.mktemp("archive"))
    bands = {b: Layer(np.full((16, 16), n, np.uint16)) for n, b in ((2000, "B04"), (3000, "B08"))}
    made.s2("one", "2019-04-02", {**bands, "SCL": Layer(np.full((8, 8), 4, np.uint8), 20)})
    return open_catalog(made.write())


def on_bands(context: dict[str, Any]) -> dict[str, Any]:
    loaded = {
        "id": "SENTINEL2_L2A",
        "spatial_extent": {
            "west": WEST, "south": NORTH - 160, "east": WEST + 160, "north": NORTH, "crs": "EPSG:32631",
        },
        "temporal_extent": ["2019-04-01", "2019-05-01"],
        "bands": ["B04", "B08"],
    }  # fmt: skip
    called = {"data": {"from_node": "load"}, "udf": DESCRIBED, "runtime": "Python", "context": context}
    return {
        "load": {"process_id": "load_collection", "arguments": loaded},
        "udf": {"process_id": "run_udf", "arguments": called, "result": True},
    }


@pytest.mark.parametrize("returned", [None, ["x", "y"]])
def test_bands_are_named_as_apply_metadata_says(
    runner: ProcessUdfRunner, catalog: Catalog, returned: list[str] | None
) -> None:
    more = {} if returned is None else {"returned": returned}
    graph = on_bands({"names": ["class", "confidence"], **more})
    assert plan_of(graph, catalog, 64, udf=runner).nodes[-1].meta.labels_of("bands") == (
        "class",
        "confidence",
    )
    (cube,) = run_cubes(graph, catalog, udf=runner).values()
    assert cube.meta.labels_of("bands") == ("class", "confidence")


@pytest.mark.parametrize(
    "context", [{"names": ["a", "b", "c"]}, {"names": ["b", "a"], "returned": ["a", "b"]}]
)
def test_bands_that_apply_metadata_names_wrongly_are_refused_while_planning(
    runner: ProcessUdfRunner, catalog: Catalog, context: dict[str, Any]
) -> None:
    with pytest.raises(UdfError, match="apply_metadata says that dimension 'bands' becomes"):
        plan_of(on_bands(context), catalog, 64, udf=runner)
