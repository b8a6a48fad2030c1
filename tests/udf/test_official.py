"""The openEO client's own runner is the oracle: the same UDF on the same data gives the same result."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from openeo.udf import StructuredData, UdfData, XarrayDataCube
from openeo.udf.feature_collection import FeatureCollection
from openeo.udf.run_code import execute_local_udf, extract_udf_dependencies, run_udf_code

from acreage.core.udf import LabelledArray, UdfCode
from acreage.udf.dependencies import declared_dependencies
from acreage.udf.runner import ProcessUdfRunner

MakeRunner = Callable[..., ProcessUdfRunner]
CONTEXT = {"factor": 3, "names": ["a", "b"]}
TIMES = ("2019-03-01", "2019-03-11", "2019-03-21")

# Forms that the client documents (openeo/udf/udf_signatures.py) and that its runner detects.
ON_CUBES = {
    "data-array": """
        import xarray
        def helper(x): return x
        def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
            return helper(cube) * context["factor"]
        """,
    "aliased-annotation": """
        import xarray as xr
        def apply_datacube(cube: xr.DataArray, context: dict) -> xr.DataArray:
            return cube.max("t")
        """,
    "string-annotation": """
        def apply_datacube(
            cube: "xarray.core.dataarray.DataArray", context: dict
        ) -> "xarray.core.dataarray.DataArray":
            return cube.rename(bands="b").rename(b="bands").sortby("t", ascending=False)
        """,
    "openeo-cube": """
        from openeo.udf import XarrayDataCube
        def apply_datacube(cube: XarrayDataCube, context: dict) -> XarrayDataCube:
            array = cube.get_array()
            return XarrayDataCube(array.isel(bands=[0]) - array.isel(bands=[1]).values)
        """,
    "hypercube": """
        from openeo.udf import XarrayDataCube
        def apply_hypercube(cube: XarrayDataCube, context: dict) -> XarrayDataCube:
            return XarrayDataCube(cube.get_array().assign_coords(bands=context["names"]))
        """,
    "legacy-annotation": """
        def apply_datacube(
            cube: "openeo_udf.api.datacube.DataCube", context: dict
        ) -> "openeo_udf.api.datacube.DataCube":
            return DataCube(np.log(cube.get_array() + 1))
        """,
    "time-series": """
        from pandas import Series
        def apply_timeseries(series: Series, context: dict) -> Series:
            return series * 2 + context["factor"]
        """,
    "udf-data": """
        from openeo.udf import UdfData, XarrayDataCube
        def anything(data: UdfData):
            factor = data.user_context["factor"]
            cubes = [XarrayDataCube(c.get_array() / factor) for c in data.get_datacube_list()]
            data.set_datacube_list(cubes)
        """,
    "legacy-udf-data": """
        def transform(data: "openeo_udf.api.udf_data.UdfData"):
            data.set_datacube_list([XarrayDataCube(c.get_array().mean("x")) for c in data.datacube_list])
        """,
    "metadata-first": """
        import xarray
        from openeo.metadata import CollectionMetadata
        def apply_metadata(metadata: CollectionMetadata, context: dict) -> CollectionMetadata:
            return metadata.rename_labels("bands", target=context["names"])
        def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
            return cube.assign_coords(bands=context["names"])
        """,
}


def both_cubes() -> tuple[LabelledArray, xr.DataArray]:
    """The same cube as the engine and as the client have it."""
    values = np.random.default_rng(3).random((3, 2, 4, 5)).astype(np.float32)
    values[0, 0, 0, 0] = np.nan
    y, x = tuple(35.0 - 10 * i for i in range(4)), tuple(5.0 + 10 * i for i in range(5))
    labels = {"t": TIMES, "bands": ("B04", "B08"), "y": y, "x": x}
    coords = {k: list(v) for k, v in labels.items()} | {"t": np.array(TIMES, "M8[ns]")}
    theirs = xr.DataArray(values.copy(), coords, dims=tuple(labels))
    return LabelledArray(values, tuple(labels), labels), theirs


@pytest.mark.parametrize("name", ON_CUBES)
def test_a_udf_on_a_cube_gives_what_the_client_gives(make_runner: MakeRunner, name: str) -> None:
    source = textwrap.dedent(ON_CUBES[name])
    ours, theirs = both_cubes()
    data = run_udf_code(source, UdfData(datacube_list=[XarrayDataCube(theirs)], user_context=CONTEXT))
    (expected,) = (c.get_array() for c in data.get_datacube_list())
    result = make_runner().run(UdfCode(source), ours, CONTEXT).array
    assert result.dims == expected.dims
    assert result.values.dtype == expected.dtype
    np.testing.assert_array_equal(result.values, expected.values)
    for dim in expected.dims:
        labels = expected.coords[dim].values
        text = labels.astype("M8[D]").astype(str) if labels.dtype.kind == "M" else labels
        assert list(result.labels[dim]) == text.tolist()


def test_a_udf_on_a_file_gives_what_the_client_gives(make_runner: MakeRunner) -> None:
    source = textwrap.dedent(ON_CUBES["data-array"]).replace('context["factor"]', "2")
    ours, theirs = both_cubes()
    expected = execute_local_udf(source, theirs).get_datacube_list()[0].get_array()
    result = make_runner().run(UdfCode(source), ours, {}).array
    np.testing.assert_array_equal(result.values, expected.values.astype(np.float32))


def features() -> FeatureCollection:
    square = {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 2], [0, 2], [0, 0]]]}
    point = {"type": "Point", "coordinates": [1.0, 2.0]}
    members = [
        {"type": "Feature", "properties": {"id": i, "crop": f"c{i}"}, "geometry": geometry}
        for i, geometry in enumerate((square, point))
    ]
    return FeatureCollection.from_dict(
        {"id": "parcels", "data": {"type": "FeatureCollection", "features": members}}
    )


ON_DATA = {
    "features": """
        from openeo.udf import UdfData
        def apply_udf_data(data: UdfData):
            for collection in data.get_feature_collection_list():
                frame = collection.data
                frame["area"] = frame.geometry.area * data.user_context["factor"]
        """,
    "structured": """
        from openeo.udf import StructuredData, UdfData
        def apply_udf_data(data: UdfData):
            numbers = [s.data for s in data.get_structured_data_list()]
            mean = float(data.get_datacube_list()[0].get_array().mean())
            data.set_structured_data_list([
                StructuredData({"sum": sum(map(sum, numbers)), "mean": mean}, description="sums"),
                StructuredData([["a", "b"], [1, 2]], type="table"),
            ])
            data.set_datacube_list([])
        """,
    "vector-cube": """
        import geopandas, xarray
        def apply_vectorcube(
            geometries: geopandas.geodataframe.GeoDataFrame, cube: xarray.DataArray, context: dict
        ):
            return geometries.assign(n=len(geometries)), cube * context["factor"]
        """,
}


@pytest.mark.parametrize("name", ON_DATA)
def test_a_udf_on_features_gives_what_the_client_gives(make_runner: MakeRunner, name: str) -> None:
    source = textwrap.dedent(ON_DATA[name])

    def data() -> UdfData:
        cube = xr.DataArray([[1.0, 2.5], [3.0, 4.0]], dims=("geometry", "bands"), name="cube")
        return UdfData(
            {"EPSG": 3035}, [XarrayDataCube(cube)], [features()], [StructuredData([1, 2, 3])], CONTEXT
        )

    given = data().to_dict()
    expected = run_udf_code(source, data()).to_dict()
    result: dict[str, Any] = dict(make_runner().run_features(UdfCode(source), given, CONTEXT).data)
    assert normal(result) == normal(expected)


def normal(value: Any) -> Any:
    """Tuples as lists: JSON has no others."""
    if isinstance(value, dict):
        return {k: normal(v) for k, v in value.items()}
    return [normal(v) for v in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize(
    "source",
    [
        "# /// script\n# dependencies = [\n#   \"geojson>=3\",\n#   'x',\n# ]\n# ///\nimport x\n",
        "# /// script\n# requires-python = '>=3.11'\n# dependencies = []\n# ///\n",
        "# /// other\n# x = 1\n# ///\n",
        "import os\n",
    ],
)
def test_dependencies_are_read_as_the_client_reads_them(source: str) -> None:
    assert list(declared_dependencies(source)) == (extract_udf_dependencies(source) or [])
