"""Data cubes of a UDF from and to netCDF and JSON files, for trying a UDF on a laptop.

The files are those of the openEO client's `XarrayDataCube`: one netCDF variable a band.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from openeo.udf.xarraydatacube import XarrayDataCube

from acreage.core.errors import InvalidInput, WriteFailed
from acreage.core.udf import LabelledArray
from acreage.udf import convention

_SUFFIXES = (".nc", ".netcdf", ".json")
_ORDER = ("t", "bands", "y", "x")


def read_array(path: Path) -> LabelledArray:
    """A data cube from a netCDF or JSON file, dimensions in the order (..., t, bands, y, x).

    Raises:
        InvalidInput: the file is not there or holds no data cube.
    """
    _check_suffix(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", xr.SerializationWarning)
            cube: xr.DataArray = XarrayDataCube.from_file(path).get_array().load()
        crs = _crs(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"The data cube {path} cannot be read: {error}.",
            hint="Give a netCDF file with one variable a band and the dimensions t, y and x.",
        ) from None
    cube.close()
    others = [d for d in cube.dims if d not in _ORDER]
    cube = cube.transpose(*others, *(d for d in _ORDER if d in cube.dims))
    bare: dict[str, Any] = {
        "labels": {},
        "temporal": [str(d) for d in cube.dims if d in ("t", "time")],
        "attrs": {},
    }
    try:
        values, header = convention.from_result(cube, bare)
    except convention.UdfProblem as problem:
        raise InvalidInput(
            f"The data cube {path} cannot be used: {problem.message}", hint=problem.hint
        ) from None
    return LabelledArray(
        values,
        tuple(header["dims"]),
        {name: tuple(labels) for name, labels in header["labels"].items()},
        tuple(header["temporal"]),
        {"crs": crs} if crs else {},
    )


def write_array(path: Path, array: LabelledArray) -> None:
    """Write a data cube as netCDF or JSON; it appears whole or not at all.

    Raises:
        InvalidInput: an unknown file ending.
        WriteFailed: the file cannot be written.
    """
    _check_suffix(path)
    values = array.values.astype(np.uint8) if array.values.dtype == bool else array.values
    values = values.astype(np.float32) if values.dtype == np.float16 else values  # netCDF has neither
    header = {
        "dims": list(array.dims),
        "labels": {k: list(v) for k, v in array.labels.items()},
        "temporal": list(array.temporal),
        "attrs": dict(array.attrs),
    }
    cube = convention.to_data_array(values, header)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder:
            whole = Path(folder) / path.name
            XarrayDataCube(cube).save_to_file(whole)
            whole.replace(path)
    except (OSError, ValueError, TypeError) as error:
        raise WriteFailed(
            f"{path} cannot be written: {error}.", hint="Check its folder and the result."
        ) from None


def as_udf_data(features: Any, cube: LabelledArray | None) -> dict[str, Any]:
    """openEO's `UdfData` in JSON, of GeoJSON features and a cube beside them.

    Raises:
        InvalidInput: these are no features.
    """
    if not isinstance(features, dict) or features.get("type") != "FeatureCollection":
        raise InvalidInput("The features are no GeoJSON FeatureCollection.", hint="Wrap them in one.")
    data: dict[str, Any] = {"feature_collection_list": [{"id": "features", "data": features}]}
    if cube is not None:
        dimensions = [
            {"name": n, **({"coordinates": list(cube.labels[n])} if n in cube.labels else {})}
            for n in cube.dims
        ]
        data["datacubes"] = [{"id": "cube", "data": cube.values.tolist(), "dimensions": dimensions}]
    return data


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() not in _SUFFIXES:
        raise InvalidInput(f"{path} is no data cube file.", hint=f"Use one of {', '.join(_SUFFIXES)}.")


def _crs(path: Path) -> str:
    if path.suffix.lower() == ".json":
        return ""
    with xr.open_dataset(path) as dataset:
        for name in ("crs", "spatial_ref"):
            if name in dataset.variables:
                attrs = dataset.variables[name].attrs
                return str(attrs.get("crs_wkt") or attrs.get("spatial_ref") or "")
    return ""
