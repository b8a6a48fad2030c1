"""Vector cubes through UDFs that take features: openEO's `UdfData`, and `apply_vectorcube`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from shapely.geometry import mapping

from acreage.core.cube import Cube, CubeMeta, Geometries
from acreage.core.errors import GeometryInvalid, UdfError
from acreage.core.udf import LabelledArray, UdfCode, UdfRunner
from acreage.engine.ops import from_labelled, runner_of, to_labelled, udf_output_meta
from acreage.engine.plan import Context
from acreage.processes.geometries import GEOMETRY_DIMENSION, parse_geometries

PROPERTIES = "properties"
#: Signatures of `acreage.core.udf.UdfProbe` that take features.
SIGNATURES = ("UdfData", "vector")


@dataclass(frozen=True)
class UdfFeaturesOp:
    """A user-defined function on a whole vector cube.

    Attributes:
        code: the function.
        context: JSON handed to it.
        signature: `UdfData` or `vector`.
    """

    code: UdfCode
    context: Mapping[str, Any]
    signature: str

    def run(self, inputs: Sequence[Cube], out: CubeMeta, context: Context) -> Cube:
        """Hand over the geometries and their values."""
        result = runner_of(context).run_features(self.code, to_udf_data(inputs[0]), dict(self.context))
        context.log.udf_lines.extend(str(line) for line in result.log)
        array, geometries = from_udf_data(result.data, inputs[0].meta, self.signature)
        return from_labelled(array, replace(out, geometries=geometries))


def planned_features(
    udf: UdfRunner, code: UdfCode, context: Mapping[str, Any], given: CubeMeta, signature: str
) -> CubeMeta:
    """The planned output, read off the function's answer to the geometries with null values.

    Raises:
        UdfError: the function failed, or returned what is no vector cube.
    """
    nulls = Cube(np.full(given.shape, np.nan, np.float32), np.zeros(given.shape, bool), _as_floats(given))
    data = udf.run_features(code, to_udf_data(nulls), dict(context)).data
    array, geometries = from_udf_data(data, given, signature)
    return replace(udf_output_meta(array, given, None, None), geometries=geometries)


def _as_floats(meta: CubeMeta) -> CubeMeta:
    return replace(meta, dtype=np.dtype(np.float32))


def to_udf_data(cube: Cube) -> dict[str, Any]:
    """openEO's `UdfData` in JSON: one feature collection, and one cube whose geometries are numbered."""
    found, dim = cube.meta.geometries, cube.meta.find("geometry")
    assert found is not None
    assert dim is not None
    own = found.properties or ({},) * len(found.shapes)
    features = [
        {
            "type": "Feature",
            "id": str(label),
            "geometry": None if shape.is_empty else mapping(shape),
            "properties": dict(properties),
        }
        for label, shape, properties in zip(dim.labels, found.shapes, own, strict=True)
    ]
    array = to_labelled(cube)
    coordinates = {name: list(labels) for name, labels in array.labels.items()}
    coordinates[dim.name] = list(range(len(dim.labels)))
    epsg = found.crs.removeprefix("EPSG:")
    return {
        "proj": {"EPSG": int(epsg)} if epsg.isdigit() else {"WKT": found.crs},
        "feature_collection_list": [
            {"id": "features", "data": {"type": "FeatureCollection", "features": features}}
        ],
        "datacubes": [
            {
                "id": "cube",
                "data": array.values.tolist(),
                "dimensions": [{"name": n, "coordinates": coordinates[n]} for n in array.dims],
            }
        ],
    }


def from_udf_data(
    data: Mapping[str, Any], given: CubeMeta, signature: str
) -> tuple[LabelledArray, Geometries]:
    """The vector cube that a function left in `UdfData`.

    New numeric columns of the features become a dimension `properties`, as load_geojson has it; without any
    it is the cube that is taken. `apply_vectorcube` returns a cube, its features' columns stay with the
    geometries.

    Raises:
        UdfError: there is not exactly one of each, or they are no vector cube.
    """
    collections, cubes = data.get("feature_collection_list") or [], data.get("datacubes") or []
    if data.get("structured_data_list"):
        raise UdfError(
            "The UDF returned structured data, which no process of a graph takes.",
            hint="Return it as columns of the features, or as a data cube.",
        )
    if len(collections) != 1:
        raise UdfError(f"The UDF left {len(collections)} feature collections.", hint="Leave exactly one.")
    geometries = _geometries(collections[0], given)
    before = given.geometries.properties if given.geometries is not None else ()
    if signature == "UdfData":
        array = _columns(geometries, {name for p in before for name in p})
        if array is not None:
            return array, geometries
    if len(cubes) != 1:
        raise UdfError(
            f"The UDF left {len(cubes)} data cubes and no new numeric columns of its features.",
            hint="Leave exactly one data cube, or add columns.",
        )
    return _cube(cubes[0], len(geometries.shapes)), geometries


def _geometries(collection: Mapping[str, Any], given: CubeMeta) -> Geometries:
    assert given.geometries is not None
    crs = given.geometries.crs
    named = {**collection["data"], "crs": {"type": "name", "properties": {"name": crs}}}
    try:
        found, _ = parse_geometries(named)
    except GeometryInvalid as error:
        raise UdfError(
            f"The UDF returned features that cannot be used: {error.message}", hint=error.hint
        ) from error
    properties = tuple({k: _null_is_none(v) for k, v in p.items()} for p in found.properties)
    return Geometries(crs, found.shapes, properties)


def _null_is_none(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value


def _columns(geometries: Geometries, before: set[str]) -> LabelledArray | None:
    names = list(dict.fromkeys(n for p in geometries.properties for n in p if n not in before))
    numeric = [
        n
        for n in names
        if all(isinstance(p.get(n), bool | int | float | None) for p in geometries.properties)
    ]
    if not numeric:
        return None
    rows = [[np.nan if p.get(n) is None else float(p[n]) for n in numeric] for p in geometries.properties]
    return LabelledArray(
        np.array(rows, np.float64).reshape(len(rows), len(numeric)),
        (GEOMETRY_DIMENSION, PROPERTIES),
        {PROPERTIES: tuple(numeric)},
    )


def _cube(cube: Mapping[str, Any], count: int) -> LabelledArray:
    try:
        dims = tuple(d["name"] for d in cube["dimensions"])
        values = np.asarray(cube["data"])
        if GEOMETRY_DIMENSION not in dims:
            raise ValueError(f"it has no dimension {GEOMETRY_DIMENSION!r}")
        labels = {
            d["name"]: tuple(d["coordinates"])
            for d in cube["dimensions"]
            if "coordinates" in d and d["name"] != GEOMETRY_DIMENSION
        }
        array = LabelledArray(values, dims, labels)
        if array.sizes[GEOMETRY_DIMENSION] != count:
            raise ValueError(f"it has {array.sizes[GEOMETRY_DIMENSION]} geometries, and the features {count}")
    except (KeyError, TypeError, ValueError) as error:
        raise UdfError(
            f"The UDF's data cube cannot be used: {error}.",
            hint="Return numbers with the dimensions that the cube came with.",
        ) from None
    return array
