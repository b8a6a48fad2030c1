"""What a UDF is given, and what comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.udf.examples import small_cube, udf

from acreage.core.udf import LabelledArray, UdfCode
from acreage.udf.errors import UdfResultInvalid
from acreage.udf.owned import OwnedUdfRunner
from acreage.udf.runner import ProcessUdfRunner

IDENTITY = udf("return cube")
OPENEO_CUBE = """
from openeo.udf import XarrayDataCube
def {name}(cube: {annotation}, context: dict) -> XarrayDataCube:
    assert isinstance(cube, XarrayDataCube), type(cube)
    return XarrayDataCube(cube.get_array() * context["factor"])
"""


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_identity_returns_values_labels_and_crs_unchanged(runner: ProcessUdfRunner) -> None:
    cube = small_cube()
    result = runner.run(IDENTITY, cube, {}).array
    assert same_bits(result.values, cube.values)
    assert (result.dims, dict(result.labels), result.temporal) == (cube.dims, dict(cube.labels), ("t",))
    assert result.attrs == {"crs": "EPSG:3035"}


_DTYPES = st.sampled_from(
    ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">i2", ">f4"]
)


@given(
    values=_DTYPES.flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5))
    ),
    transposed=st.booleans(),
)
@settings(max_examples=150)
def test_every_array_comes_back_bit_for_bit(
    runner: ProcessUdfRunner, values: np.ndarray, transposed: bool
) -> None:
    values = values.T if transposed else values
    dims = tuple(f"d{i}" for i in range(values.ndim))
    result = runner.run(IDENTITY, LabelledArray(values, dims), {}).array
    assert result.dims == dims
    assert result.values.shape == values.shape
    assert result.values.dtype == values.dtype
    assert result.values.tobytes() == np.ascontiguousarray(values).tobytes()


@given(
    times=st.lists(st.dates(date(1700, 1, 1), date(2200, 1, 1)), max_size=6, unique=True),
    form=st.sampled_from(["%Y-%m-%d", "%Y-%m-%dT00:00:00Z", "%Y-%m-%dT10:30:07.5Z", "%Y-%m", "%Y-07"]),
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5),
    names=st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=5),
)
def test_labels_come_back_as_they_were_given(
    runner: ProcessUdfRunner, times: list[date], form: str, numbers: list[float], names: list[str]
) -> None:
    labels = {"t": tuple(t.strftime(form) for t in times), "x": tuple(numbers), "bands": tuple(names)}
    values = np.zeros((len(times), len(numbers), len(names)), np.int16)
    result = runner.run(IDENTITY, LabelledArray(values, ("t", "x", "bands"), labels), {}).array
    assert dict(result.labels) == labels


def test_time_labels_are_datetimes_inside_and_period_labels_are_text(runner: ProcessUdfRunner) -> None:
    code = udf("return cube.isel(t=0, drop=True) * 0 + int(cube.t.dtype.kind == 'M')")
    values = np.zeros((2, 2), np.float32)
    dates = LabelledArray(values, ("t", "x"), {"t": ("2019-03-01", "2019-03-11")})
    dekads = LabelledArray(values, ("t", "x"), {"t": ("2019-06", "2019-07")})
    assert runner.run(code, dates, {}).array.values.tolist() == [1, 1]
    assert runner.run(code, dekads, {}).array.values.tolist() == [0, 0]


def test_bands_can_be_replaced_and_time_reduced(runner: ProcessUdfRunner) -> None:
    code = udf(
        """
        low = cube.min("t").isel(bands=0, drop=True)
        high = cube.max("t").isel(bands=1, drop=True)
        return xarray.concat([low, high], dim="bands").assign_coords(bands=["low", "high"]).astype("uint8")
        """
    )
    cube = small_cube()
    result = runner.run(code, cube, {}).array
    assert result.dims == ("bands", "y", "x")
    assert result.labels["bands"] == ("low", "high")
    assert result.labels["x"] == cube.labels["x"]
    assert result.values.dtype == np.uint8
    assert result.values[1].tolist() == cube.values[:, 1].max(axis=0).tolist()


def test_new_times_come_back_as_iso_text(runner: ProcessUdfRunner) -> None:
    code = udf(
        """
        import numpy
        late = cube.assign_coords(t=cube.t + numpy.timedelta64(36, "h"))
        return xarray.concat([cube, late], dim="t")
        """
    )
    labels = runner.run(code, small_cube(), {}).array.labels["t"]
    assert labels[:2] == ("2019-03-01", "2019-03-11")
    assert labels[2] == "2019-03-02T12:00:00Z"


@pytest.mark.parametrize(
    ("name", "annotation"),
    [
        ("apply_datacube", "XarrayDataCube"),
        ("apply_datacube", "'openeo.udf.XarrayDataCube'"),
        ("apply_datacube", "'openeo_udf.api.datacube.DataCube'"),
        ("apply_hypercube", "XarrayDataCube"),
    ],
)
def test_a_udf_over_openeos_cube_gets_one(
    make_runner: Callable[..., ProcessUdfRunner], name: str, annotation: str
) -> None:
    code = UdfCode(OPENEO_CUBE.format(name=name, annotation=annotation))
    cube = small_cube()
    result = make_runner().run(code, cube, {"factor": 3}).array
    assert same_bits(result.values, cube.values * np.float32(3))


@pytest.mark.parametrize(
    "source",
    [
        "import xarray as xr\ndef apply_datacube(cube: xr.DataArray, context: dict): return cube + 1",
        "from __future__ import annotations\nimport xarray as xr\n"
        "def apply_datacube(cube: xr.DataArray, context: dict) -> xr.DataArray: return cube + 1",
        "from typing import Any\ndef apply_datacube(cube: Any, context: dict) -> Any: return cube + 1",
        "def apply_datacube(cube): return cube + 1",
        "def apply_datacube(data, **more): return data + 1 + 0 * len(more['context'])",
        "from pandas import Series\ndef apply_timeseries(series: Series, context: dict) -> Series:\n"
        "    assert series.index.year[0] == 2019\n    return series + 1",
        "from openeo.udf import UdfData, XarrayDataCube\ndef anything(data: UdfData):\n"
        "    data.set_datacube_list([XarrayDataCube(c.get_array() + 1) for c in data.get_datacube_list()])",
        "import xarray\ndef helper(a): return a\n"
        "def apply_datacube(cube: xarray.DataArray, context: dict): return helper(cube) + 1",
    ],
)
def test_every_signature_of_openeo_is_called(
    make_runner: Callable[..., ProcessUdfRunner], source: str
) -> None:
    cube = small_cube()
    result = make_runner().run(UdfCode(source), cube, {}).array
    assert np.array_equal(result.values, cube.values + 1, equal_nan=True)
    assert dict(result.labels) == dict(cube.labels)


def test_a_udf_may_write_into_its_input_without_changing_the_callers(runner: ProcessUdfRunner) -> None:
    cube = small_cube()
    before = cube.values.copy()
    result = runner.run(udf("cube.values[...] = 7\nreturn cube"), cube, {})
    assert (result.array.values == 7).all()
    assert same_bits(cube.values, before)


def test_lost_labels_are_those_of_the_input(runner: ProcessUdfRunner) -> None:
    cube = small_cube()
    result = runner.run(udf("return xarray.DataArray(cube.values, dims=cube.dims)"), cube, {})
    assert dict(result.array.labels) == dict(cube.labels)


def test_64_megabytes_come_back_bit_for_bit(runner: ProcessUdfRunner) -> None:
    bits = np.random.default_rng(1).integers(0, 2**32, 16 * 2**20, dtype=np.uint32)
    values = bits.view(np.float32).reshape(4, 4, 1024, 1024)  # NaNs of every payload are among them
    result = runner.run(IDENTITY, LabelledArray(values, ("t", "bands", "y", "x")), {}).array
    assert np.array_equal(result.values.view(np.uint32), values.view(np.uint32))


def test_a_model_stays_loaded_between_calls(make_runner: Callable[..., ProcessUdfRunner]) -> None:
    runner = make_runner()
    code = udf("calls.append(1)\nreturn cube * 0 + len(calls)", before="print('loading')\ncalls = []")
    ones = LabelledArray(np.ones(1), ("x",))
    results = [runner.run(code, ones, {}) for _ in range(3)]
    assert [r.array.values[0] for r in results] == [1, 2, 3]
    assert [[line.message for line in r.log] for r in results] == [["loading"], [], []]


def test_another_udf_never_sees_the_process_of_the_first(
    make_runner: Callable[..., ProcessUdfRunner],
) -> None:
    runner = make_runner()
    ones = LabelledArray(np.ones(1), ("x",))
    runner.run(udf("import builtins; builtins.secret = 1\nreturn cube"), ones, {})
    seen = udf("import builtins\nreturn cube * hasattr(builtins, 'secret')")
    assert runner.run(seen, ones, {}).array.values[0] == 0


def test_two_users_with_the_same_code_never_share_a_process(
    make_runner: Callable[..., ProcessUdfRunner],
) -> None:
    runner = make_runner(workers=2)
    anna, ben = OwnedUdfRunner(runner, "anna"), OwnedUdfRunner(runner, "ben")
    code = udf("seen.append(1)\nreturn cube * 0 + len(seen)", before="seen = []")
    ones = LabelledArray(np.ones(1), ("x",))
    found = [user.run(code, ones, {}).array.values[0] for user in (anna, ben, anna, ben)]
    assert found == [1, 1, 2, 2]


def test_four_threads_share_two_workers_and_each_gets_its_own(
    make_runner: Callable[..., ProcessUdfRunner],
) -> None:
    runner = make_runner(workers=2)
    code = udf("import os\nreturn xarray.concat([cube + context['n'], cube * 0 + os.getpid()], 'bands')")
    seen: dict[tuple[int, int], tuple[bool, int]] = {}

    def call(thread: int) -> None:
        for turn in range(5):
            n = 10 * thread + turn
            values = np.full((1, 50, 50), thread, np.int64)
            got = runner.run(code, LabelledArray(values, ("bands", "y", "x")), {"n": n}).array.values
            seen[thread, turn] = (bool((got[0] == thread + n).all()), int(got[1, 0, 0]))

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 20
    assert all(right for right, _ in seen.values())
    assert 1 <= len({pid for _, pid in seen.values()}) <= 2


def test_features_structured_data_and_context_pass_as_udf_data(
    make_runner: Callable[..., ProcessUdfRunner],
) -> None:
    code = UdfCode(
        "from openeo.udf import UdfData, StructuredData\n"
        "def apply_udf_data(data: UdfData):\n"
        "    frame = data.get_feature_collection_list()[0].data\n"
        "    found = {'area': frame.geometry.area.tolist(), 'factor': data.user_context['factor']}\n"
        "    data.structured_data_list = [StructuredData(found)]\n"
    )
    ring = [[0, 0], [4, 0], [4, 2], [0, 2], [0, 0]]
    feature = {
        "type": "Feature",
        "properties": {"id": 7},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    features = {"id": "parcels", "data": {"type": "FeatureCollection", "features": [feature]}}
    result = make_runner().run_features(code, {"feature_collection_list": [features]}, {"factor": 2})
    assert result.data["structured_data_list"][0]["data"] == {"area": [8.0], "factor": 2}
    returned = result.data["feature_collection_list"][0]["data"]["features"][0]
    assert returned["properties"] == {"id": 7}
    assert np.array_equal(returned["geometry"]["coordinates"], [ring])


def test_a_reply_too_large_to_be_read_is_an_error_of_the_result(
    make_runner: Callable[..., ProcessUdfRunner],
) -> None:
    code = UdfCode(
        "from openeo.udf import UdfData, StructuredData\n"
        "def apply_udf_data(data: UdfData):\n"
        "    data.structured_data_list = [StructuredData(['x' * 2**26])]\n"
    )
    runner = make_runner()
    with pytest.raises(UdfResultInvalid, match="result is too large"):
        runner.run_features(code, {}, {})


def test_a_vector_cube_udf_gets_geometries_and_values(make_runner: Callable[..., ProcessUdfRunner]) -> None:
    code = UdfCode(
        "import geopandas, xarray\n"
        "def apply_vectorcube(geometries: geopandas.GeoDataFrame, cube: xarray.DataArray, context: dict):\n"
        "    return geometries.assign(n=len(geometries)), cube * 2\n"
    )
    point = {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [1.0, 2.0]}}
    data = {
        "feature_collection_list": [{"id": "p", "data": {"type": "FeatureCollection", "features": [point]}}],
        "datacubes": [{"data": [[1.0, 2.5]], "dimensions": [{"name": "geometry"}, {"name": "bands"}]}],
    }
    result = make_runner().run_features(code, data, {}).data
    assert result["datacubes"][0]["data"] == [[2.0, 5.0]]
    assert result["feature_collection_list"][0]["data"]["features"][0]["properties"] == {"n": 1}


def test_apply_metadata_says_what_the_bands_become(make_runner: Callable[..., ProcessUdfRunner]) -> None:
    code = udf(
        "return cube",
        before="""
        from openeo.metadata import CollectionMetadata
        def apply_metadata(metadata: CollectionMetadata, context: dict) -> CollectionMetadata:
            return metadata.rename_labels(dimension="bands", target=context["names"])
        """,
    )
    dimensions = {
        "bands": {"type": "bands", "values": ["B04", "B08"]},
        "t": {"type": "temporal", "extent": ["2019-03-01", "2019-10-31"]},
    }
    runner = make_runner()
    described = runner.describe(code, {"cube:dimensions": dimensions}, {"names": ["class", "confidence"]})
    assert described is not None
    assert described["cube:dimensions"]["bands"]["values"] == ["class", "confidence"]
    assert described["cube:dimensions"]["t"] == dimensions["t"]
    assert runner.describe(IDENTITY, {"cube:dimensions": dimensions}, {}) is None


def test_a_probe_says_what_a_source_offers(make_runner: Callable[..., ProcessUdfRunner]) -> None:
    source = '# /// script\n# dependencies = ["numpy>=1"]\n# ///\ndef apply_datacube(cube): return cube\n'
    found = make_runner().probe(UdfCode(source))
    assert (found.entry, found.signature, found.has_metadata) == ("apply_datacube", "DataArray", False)
    assert found.dependencies == ("numpy>=1",)
