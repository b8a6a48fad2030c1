"""openEO's UDF convention: which function of a source is called, with what, and what it may return.

Read by the worker, where `acreage` cannot be imported: NumPy, pandas and xarray, and openeo where it is
installed. The forms are those of the openEO Python client's `openeo.udf.run_code`; beyond it, missing
annotations and a missing `context` parameter are accepted.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

Labels = list[Any]

_KNOWN = re.compile(r"\b(XarrayDataCube|DataCube|DataArray|UdfData|Series)\b")
_SIGNATURES = {"XarrayDataCube": "XarrayDataCube", "DataCube": "XarrayDataCube", "DataArray": "DataArray"}
# RFC 3339 dates and times only: a month or a dekad is a period, and stays the label that it is.
_DATE = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)?)?")
_OPENEO_NAMES = {"UdfData", "XarrayDataCube", "DataCube", "StructuredData", "FeatureCollection"}
_ACCEPTED = (
    "Define apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray"
    " (or one of openEO's other UDF signatures)."
)


class UdfProblem(Exception):
    """A failure of a UDF that is told to the runner: its kind, what was wrong and what to do."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class Entry:
    """The function of a UDF that is called.

    Attributes:
        name: its name in the source.
        signature: `DataArray`, `XarrayDataCube`, `Series`, `UdfData` or `vector`.
        function: the function.
        context: whether it takes `context`.
    """

    name: str
    signature: str
    function: Callable[..., Any]
    context: bool


def openeo_module(name: str) -> Any:
    """A module of openeo.

    Raises:
        UdfProblem: openeo is not installed here.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UdfProblem(
            "import",
            f"The UDF's signature needs the openeo package: {error}.",
            "Use xarray.DataArray instead.",
        ) from None


def namespace(source: str) -> dict[str, Any]:
    """Names that openEO's client gives to every UDF without an import.

    Those of openeo and shapely only where the source has the word: they take a third of a worker's start.
    """
    names: dict[str, Any] = {"np": np, "numpy": np, "xarray": xr, "pd": pd, "pandas": pd, "math": math}
    words = set(re.findall(r"\w+", source))
    with contextlib.suppress(ImportError):  # a UDF that uses one says so by a NameError of its own
        for name in _OPENEO_NAMES & words:
            given = "XarrayDataCube" if name == "DataCube" else name
            names[name] = getattr(importlib.import_module("openeo.udf"), given)
        if "shapely" in words:
            names["shapely"] = importlib.import_module("shapely")
    return names


def find_entry(names: dict[str, Any], given: dict[str, Any]) -> Entry:
    """The first function of a loaded source that has one of openEO's signatures.

    Args:
        names: the module after loading.
        given: what was in it before (`namespace`).

    Raises:
        UdfProblem: there is none, or it takes something else.
    """
    for name, value in names.items():
        if not callable(value) or value is given.get(name) or inspect.isclass(value):
            continue
        try:
            parameters = inspect.signature(value).parameters
        except (ValueError, TypeError):
            continue
        entry = _entry(name, value, dict(parameters))
        if entry is not None:
            return entry
    defined = [n for n, v in names.items() if inspect.isfunction(v) and v is not given.get(n)]
    raise UdfProblem(
        "source",
        f"The UDF has no function to call; it defines {', '.join(defined[:10]) or 'none'}.",
        _ACCEPTED,
    )


def _entry(name: str, function: Callable[..., Any], parameters: dict[str, inspect.Parameter]) -> Entry | None:
    variadic = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    context = variadic or "context" in parameters
    first = next(iter(parameters.values()), None)
    if name == "apply_vectorcube" and {"geometries", "cube"} <= set(parameters):
        return Entry(name, "vector", function, context)
    if name in ("apply_datacube", "apply_hypercube"):
        if first is None:
            raise UdfProblem("source", f"{name} takes no arguments.", _ACCEPTED)
        found = _annotation(parameters.get("cube", first))
        default = "XarrayDataCube" if name == "apply_hypercube" else "DataArray"
        signature = _SIGNATURES.get(found or default)
        if signature is None:
            raise UdfProblem("source", f"{name} takes a {found}, not a data cube.", _ACCEPTED)
        return Entry(name, signature, function, context)
    if name == "apply_timeseries" and first is not None:
        return Entry(name, "Series", function, context)
    if first is not None and (
        name == "apply_udf_data" or (len(parameters) == 1 and _annotation(first) == "UdfData")
    ):
        return Entry(name, "UdfData", function, context=False)
    return None


def _annotation(parameter: inspect.Parameter) -> str:
    """The known type in an annotation; else the annotation itself, empty where it leaves all open."""
    annotation = parameter.annotation
    if annotation in (parameter.empty, Any, object, "Any", "typing.Any", "object"):
        return ""
    text = annotation.__qualname__ if inspect.isclass(annotation) else str(annotation)
    known = _KNOWN.search(text)
    return known.group(1) if known else text


def call_on_array(entry: Entry, cube: xr.DataArray, context: dict[str, Any]) -> Any:
    """What the UDF returns for one cube.

    Raises:
        UdfProblem: its signature is for features, or it returned several cubes.
    """
    if entry.signature == "DataArray":
        return _call(entry, cube, context)
    if entry.signature == "XarrayDataCube":
        return _call(entry, openeo_module("openeo.udf").XarrayDataCube(cube), context)
    if entry.signature == "Series":
        return _over_series(entry, cube, context)
    if entry.signature == "vector":
        raise UdfProblem(
            "argument",
            "apply_vectorcube was given a raster cube without geometries.",
            "Use it on a vector cube.",
        )
    udf = openeo_module("openeo.udf")
    data = udf.UdfData(datacube_list=[udf.XarrayDataCube(cube)], user_context=context)
    cubes = call_on_data(entry, data, context).get_datacube_list() or []
    if len(cubes) != 1:
        raise UdfProblem("result", f"{entry.name} left {len(cubes)} data cubes.", "Leave exactly one.")
    return cubes[0]


def call_on_data(entry: Entry, data: Any, context: dict[str, Any]) -> Any:
    """openEO's `UdfData` after the UDF.

    Raises:
        UdfProblem: the UDF needs another number of cubes or feature collections than the data has.
    """
    udf = openeo_module("openeo.udf")
    if entry.signature == "UdfData":
        returned = entry.function(data)
        return returned if isinstance(returned, udf.UdfData) else data
    cubes = data.get_datacube_list() or []
    if entry.signature == "Series":
        data.set_datacube_list(
            [udf.XarrayDataCube(_over_series(entry, c.get_array(), context)) for c in cubes]
        )
        return data
    if len(cubes) != 1:
        raise UdfProblem("argument", f"{entry.name} takes one data cube; there are {len(cubes)}.")
    if entry.signature != "vector":
        data.set_datacube_list([_as_cube(udf, call_on_array(entry, cubes[0].get_array(), context))])
        return data
    features = data.get_feature_collection_list() or []
    if len(features) != 1:
        raise UdfProblem("argument", f"{entry.name} takes one feature collection; there are {len(features)}.")
    keywords = {"context": context} if entry.context else {}
    geometries, cube = entry.function(geometries=features[0].data, cube=cubes[0].get_array(), **keywords)
    data.set_datacube_list([_as_cube(udf, cube)])
    data.set_feature_collection_list([udf.FeatureCollection(id="udf_result", data=geometries)])
    return data


def _as_cube(udf: Any, result: Any) -> Any:
    return udf.XarrayDataCube(_unwrap(result))


def _call(entry: Entry, argument: Any, context: dict[str, Any]) -> Any:
    # Positional: openEO's name for the first parameter is `cube`, but a UDF may call it otherwise.
    return entry.function(argument, context=context) if entry.context else entry.function(argument)


def _over_series(entry: Entry, cube: xr.DataArray, context: dict[str, Any]) -> xr.DataArray:
    time = next((d for d in cube.dims if d in ("t", "time")), None)
    if time is None:
        raise UdfProblem("argument", f"{entry.name} needs a dimension t; the cube has {cube.dims}.")
    moved = np.moveaxis(cube.values, cube.dims.index(time), -1)
    index = pd.Index(cube.coords[time].values) if time in cube.coords else pd.RangeIndex(moved.shape[-1])
    rows = moved.reshape(-1, moved.shape[-1]) if moved.size else np.empty((0, moved.shape[-1]), moved.dtype)
    results = [np.asarray(_call(entry, pd.Series(row, index=index), context)) for row in rows]
    wrong = next((r.shape for r in results if r.shape != (moved.shape[-1],)), None)
    if wrong is not None:
        raise UdfProblem(
            "result",
            f"{entry.name} returned a series of shape {wrong}, given {moved.shape[-1]} values.",
            "Return one value a time step.",
        )
    applied = np.asarray(results).reshape(moved.shape) if results else moved
    return cube.copy(data=np.moveaxis(applied, -1, cube.dims.index(time)))


def to_data_array(values: npt.NDArray[Any], header: dict[str, Any]) -> xr.DataArray:
    """The cube that a UDF is given, over the very memory of `values`.

    Args:
        values: the array.
        header: `dims`, `labels` per dimension, `temporal` dimensions, `attrs`.
    """
    coords: dict[str, Any] = {}
    for name, labels in header["labels"].items():
        times = _as_times(labels) if name in header["temporal"] else None
        coords[name] = (name, np.asarray(labels) if times is None else times)
    return xr.DataArray(values, dims=header["dims"], coords=coords, attrs=dict(header["attrs"]))


def _as_times(labels: Labels) -> npt.NDArray[np.datetime64] | None:
    if not all(isinstance(label, str) and _DATE.fullmatch(label) for label in labels):
        return None
    try:
        return np.asarray(pd.to_datetime(labels, utc=True, format="ISO8601").tz_localize(None).as_unit("ns"))
    except ValueError:  # outside of what nanoseconds can count (1677 to 2262)
        return None


def _unwrap(result: Any) -> xr.DataArray:
    if type(result).__name__ == "XarrayDataCube" and hasattr(result, "get_array"):
        result = result.get_array()
    if isinstance(result, xr.DataArray):
        return result
    raise UdfProblem(
        "result",
        f"The UDF returned a {type(result).__module__}.{type(result).__qualname__}, not a data cube.",
        "Return an xarray.DataArray, as xarray.DataArray(values, dims=cube.dims, coords=cube.coords).",
    )


def from_result(result: Any, header: dict[str, Any]) -> tuple[npt.NDArray[Any], dict[str, Any]]:
    """The array and the header of what a UDF returned.

    A dimension that lost its labels gets those of the input back where it kept its name and length.

    Args:
        result: what the UDF returned.
        header: of the input.

    Raises:
        UdfProblem: not a data cube, or one that cannot be handed over.
    """
    cube = _unwrap(result)
    if not all(isinstance(d, str) for d in cube.dims):
        raise UdfProblem("result", f"The UDF's result has dimensions {cube.dims}.", "Name each by a string.")
    values = np.asarray(cube.values)
    if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
        raise UdfProblem(
            "result",
            f"The UDF's result has the dtype {values.dtype}.",
            "Return booleans, integers or floats of at most 64 bits, as by .astype('float32').",
        )
    labels = {}
    for name, length in zip(cube.dims, values.shape, strict=True):
        given = header["labels"].get(name)
        if name in cube.indexes:
            labels[name] = _labels(str(name), cube.indexes[name], given, name in header["temporal"])
        elif given is not None and len(given) == length:
            labels[name] = given
    plain = {str(k): v for k, v in cube.attrs.items() if isinstance(v, str | int | float)}
    return values, {
        "dims": [str(d) for d in cube.dims],
        "labels": labels,
        "temporal": [d for d in header["temporal"] if d in cube.dims],
        "attrs": {**header["attrs"], **plain},
    }


def _labels(name: str, index: pd.Index[Any], given: Labels | None, temporal: bool) -> Labels:
    kind = index.dtype.kind if isinstance(index.dtype, np.dtype) else "O"
    if isinstance(index, pd.MultiIndex) or kind in "cmV":
        raise UdfProblem(
            "result", f"The labels of dimension {name!r} are {index.dtype}.", "Use strings or numbers."
        )
    if kind == "M":
        return _times_as_labels(np.asarray(index), given if temporal else None)
    return [label if isinstance(label, str | int | float) else str(label) for label in index.tolist()]


def _times_as_labels(times: npt.NDArray[Any], given: Labels | None) -> Labels:
    """ISO 8601 strings; a time that was given keeps the very label that it came with."""
    before = _as_times(given) if given else None
    known = {} if before is None or given is None else dict(zip(before.tolist(), given, strict=True))
    stamps = times.astype("datetime64[ns]")
    only_dates = bool((stamps == stamps.astype("datetime64[D]")).all()) and all(
        len(v) == 10 for v in known.values()
    )
    # RFC 3339 wants seconds; more only where there is more.
    units: tuple[Literal["D", "s", "ms", "ns"], ...] = (
        ("D", "s", "ms", "ns") if only_dates else ("s", "ms", "ns")
    )
    unit = next(u for u in units if bool((stamps == stamps.astype(f"datetime64[{u}]")).all()))
    suffix = "" if only_dates else "Z"
    written = [f"{text}{suffix}" for text in np.datetime_as_string(stamps, unit=unit).tolist()]
    return [known.get(ns, text) for ns, text in zip(stamps.tolist(), written, strict=True)]


def metadata_as_json(metadata: Any) -> dict[str, Any]:
    """`cube:dimensions` of what `apply_metadata` returned.

    Raises:
        UdfProblem: not openEO cube metadata.
    """
    if not isinstance(metadata, openeo_module("openeo.metadata").CubeMetadata):
        raise UdfProblem(
            "result",
            f"apply_metadata returned a {type(metadata).__qualname__}.",
            "Return the metadata object.",
        )
    dimensions: dict[str, Any] = {}
    for dim in metadata._dimensions or []:  # its public accessors raise on cubes without x and y
        found = {
            "type": dim.type,
            "extent": getattr(dim, "extent", None),
            "reference_system": getattr(dim, "crs", None),
            "step": getattr(dim, "step", None),
            "values": list(dim.band_names) if dim.type == "bands" else None,
        }
        dimensions[dim.name] = {k: v for k, v in found.items() if v is not None}
    return {"cube:dimensions": dimensions}
