"""load_uploaded_files and load_url: from users' files to cubes, or to a catalog that is searched for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acreage.core.arrays import Array
from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import ProcessParameterInvalid
from acreage.engine.formats import input_format
from acreage.engine.ops import ConstantOp, udf_dtype
from acreage.engine.plan import Context, Op
from acreage.engine.user_files.isolation import opened_apart
from acreage.engine.user_files.netcdf_meta import open_netcdf
from acreage.engine.user_files.places import UserFile, UserFiles
from acreage.engine.user_files.rasters import RasterCatalog, open_rasters
from acreage.engine.user_files.vectors import open_geojson, open_geoparquet

LOADS = ("load_uploaded_files", "load_url")


@dataclass(frozen=True)
class Ready:
    """A cube that is read on its own grid.

    Attributes:
        meta: of the cube.
        op: what reads it.
    """

    meta: CubeMeta
    op: Op


@dataclass(frozen=True)
class ScaleOp:
    """Values from numbers: number * scale + offset, by band.

    Attributes:
        scales: (scale, offset) of each band.
    """

    scales: tuple[tuple[float, float], ...]

    def run(self, inputs: Sequence[Cube], out: CubeMeta, context: Context) -> Cube:
        """Scale in float64, and give floats."""
        (cube,) = inputs
        shape = [1] * len(out.dims)
        shape[out.axis("bands")] = len(self.scales)
        scale, offset = (
            np.array(column, np.float64).reshape(shape) for column in zip(*self.scales, strict=True)
        )
        with np.errstate(over="ignore", invalid="ignore"):
            values: Array = (cube.values * scale + offset).astype(out.dtype)
        return Cube.of(values, cube.valid, out)

    @staticmethod
    def dtype_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The dtype of the values."""
        return udf_dtype(dtype)


def load_files(process_id: str, arguments: Mapping[str, Any], files: UserFiles) -> Ready | RasterCatalog:
    """What the files of a load node hold. Headers are read, and of vector cubes everything.

    Args:
        process_id: one of `LOADS`.
        arguments: of the node, without references.
        files: that the graph may load.

    Raises:
        UserFileError: a file is not there, not allowed, or not what it should be.
        FormatUnsuitable: the format is not read.
        ProcessParameterInvalid: an option or its value is not known.
        AccessFailed: an address cannot be had.
    """
    info = input_format(arguments["format"])
    options = info.read_options(arguments.get("options") or {})
    found: Sequence[UserFile]
    if process_id == "load_url":
        found = (files.downloaded(arguments["url"]),)
    else:
        found = files.uploaded(arguments["paths"])
    if not found:
        raise ProcessParameterInvalid("There are no files to load.", hint="Name at least one in 'paths'.")
    one, limits = found[0], files.limits
    if info.name == "GTiff":
        collection = "uploaded files" if process_id == "load_uploaded_files" else one.name
        return opened_apart(open_rasters, one.name, limits, found, collection, options, limits)
    if len(found) > 1:
        raise ProcessParameterInvalid(
            f"Files of the format {info.name} are loaded one by one, and {len(found)} are named.",
            hint="Load each by a node of its own, and merge the cubes.",
        )
    if info.name == "netCDF":
        return Ready(*opened_apart(open_netcdf, one.name, limits, one, options, limits))
    if info.name == "Parquet":
        cube = opened_apart(open_geoparquet, one.name, limits, one, options, limits)
    else:
        cube = open_geojson(one, options, limits)
    return Ready(cube.meta, ConstantOp(cube))
