"""The variables of a user's netCDF file: which are bands, what they hold, and what their dimensions are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acreage.core.cube import DimensionType
from acreage.core.errors import FileContentInvalid, FileSizeExceeded, ProcessParameterInvalid
from acreage.engine.ops import udf_dtype
from acreage.engine.user_files.netcdf import Variable, attributes_of
from acreage.engine.user_files.places import Limits, UserFile
from acreage.engine.writers.cf import DIMENSIONS, TRUTH

CHOOSE = "Choose some by the option 'variables'."
_AXES: Mapping[str, DimensionType] = {
    "projection_x_coordinate": "x",
    "longitude": "x",
    "projection_y_coordinate": "y",
    "latitude": "y",
}
_NAMES: Mapping[str, DimensionType] = {
    **dict.fromkeys(("x", "lon", "longitude", "easting"), "x"),
    **dict.fromkeys(("y", "lat", "latitude", "northing"), "y"),
}
_TYPES: Mapping[str, DimensionType] = {
    "x": "x", "y": "y", "temporal": "temporal", "bands": "bands", "geometry": "geometry", "other": "other",
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """An open file on its way to a cube.

    Attributes:
        file: which.
        dataset: of the library.
        limits: of files.
        ours: whether this software wrote the file.
        own: names and types of the cube's dimensions in order, if so.
    """

    file: UserFile
    dataset: Any
    limits: Limits
    ours: bool
    own: Mapping[str, DimensionType]

    def refuse(self, message: str, hint: str = "") -> FileContentInvalid:
        """An error that names the file."""
        return FileContentInvalid(f"{self.file.name} {message}", hint=hint)


def source_of(file: UserFile, dataset: Any, limits: Limits) -> Source:
    """An open file; it is ours where it tells the dimensions of a cube in our way."""
    text = attributes_of(dataset).get(DIMENSIONS)
    pairs = [part.rpartition(":") for part in text.split()] if isinstance(text, str) else []
    ours = isinstance(text, str) and all(kind in _TYPES for _, _, kind in pairs)
    return Source(
        file, dataset, limits, ours, {name: _TYPES[kind] for name, _, kind in pairs} if ours else {}
    )


def type_of(source: Source, name: str) -> DimensionType:
    """The type of a dimension of the file: as the file says, else by what its coordinates are."""
    if name in source.own:
        return source.own[name]
    variable = source.dataset.variables.get(name)
    if variable is None or variable.dimensions != (name,) or getattr(variable.dtype, "kind", "") not in "iuf":
        return "other"
    told = attributes_of(variable)
    if " since " in str(told.get("units", "")):
        return "temporal"
    axis = {"X": "x", "Y": "y"}.get(str(told.get("axis", "")), "")
    found = _AXES.get(str(told.get("standard_name", ""))) or _TYPES.get(axis) or _NAMES.get(name.lower())
    return found or "other"


def chosen_variables(source: Source, wanted: Sequence[str] | None) -> list[str]:
    """Names of the variables that become bands: those asked for, else all that hold data."""
    variables = source.dataset.variables
    if wanted is not None:
        unknown = [name for name in wanted if name not in variables]
        if unknown:
            raise ProcessParameterInvalid(
                f"{source.file.name} has no variable {', '.join(unknown)}.",
                hint=f"It has {', '.join(list(variables)[:30])}.",
            )
        return list(wanted)
    told = [attributes_of(v) for v in variables.values()]
    helpers = {str(a["grid_mapping"]).split()[0].rstrip(":") for a in told if a.get("grid_mapping")}
    helpers |= {str(a[k]) for a in told for k in ("bounds", "climatology") if k in a}
    helpers |= {word for a in told if "coordinates" in a for word in str(a["coordinates"]).split()}
    helpers |= {name for name in variables if name in source.dataset.dimensions}
    helpers |= {f"{name}_wkt" for name in source.dataset.dimensions}
    found = [
        name
        for name, variable in variables.items()
        if name not in helpers and getattr(variable.dtype, "kind", "") in "iuf"
    ]
    most = max((len(variables[name].dimensions) for name in found), default=0)
    if not source.ours and most:  # beside data: numbers that describe the file
        raster = [n for n in found if len(_spatial(source, n)) == 2]
        found = raster or [n for n in found if variables[n].dimensions]
    if not found:
        raise source.refuse("has no variable of numbers.", "A netCDF file needs at least one.")
    if len(found) > source.limits.bands:
        raise FileSizeExceeded(
            f"{source.file.name} has {len(found)} variables; {source.limits.bands} are the most.", hint=CHOOSE
        )
    return found


def _spatial(source: Source, name: str) -> set[DimensionType]:
    kinds = {type_of(source, dim) for dim in source.dataset.variables[name].dimensions}
    return kinds & {"x", "y"}


def variable_of(source: Source, name: str, called: Mapping[str, str], scale: bool) -> Variable:
    """How a variable is read.

    Args:
        source: the file.
        name: of the variable.
        called: what the cube calls its dimensions.
        scale: whether scale and offset are applied.

    Raises:
        FileContentInvalid: its scale or offset is no number.
        FileSizeExceeded: its chunks are too large to be unpacked.
    """
    variable = source.dataset.variables[name]
    told = attributes_of(variable)
    chunks = variable.chunking()
    if (
        isinstance(chunks, list | tuple)
        and math.prod(chunks) * variable.dtype.itemsize > source.limits.block_bytes
    ):
        raise FileSizeExceeded(
            f"{source.file.name}: the chunks of {name} are too large to be unpacked.",
            hint="Write it in smaller chunks, for example by nccopy -c.",
        )
    unsigned = str(told.get("_Unsigned", "")).lower() == "true" and variable.dtype.kind == "i"
    kind = np.dtype(f"u{variable.dtype.itemsize}") if unsigned else variable.dtype
    low, high = told.get("valid_min"), told.get("valid_max")
    if np.size(told.get("valid_range", ())) == 2:
        low, high = np.ravel(told["valid_range"])
    factor, offset = (
        _number(told.get(key), default) for key, default in (("scale_factor", 1.0), ("add_offset", 0.0))
    )
    if factor is None or offset is None or factor == 0:
        raise source.refuse(f"has a scale_factor or add_offset of {name} that is no number.")
    return Variable(
        name=name,
        dims=tuple(called[dim] for dim in variable.dimensions),
        nulls=tuple(_nulls(told, variable.dtype, kind)),
        low=_number(low, None),
        high=_number(high, None),
        scale=factor if scale else 1.0,
        offset=offset if scale else 0.0,
        unsigned=unsigned,
        truth=told.get("flag_meanings") == TRUTH,
    )


def _nulls(told: Mapping[str, Any], dtype: np.dtype[Any], kind: np.dtype[Any]) -> list[float | int]:
    """Numbers that stand for null, as a file's values have them; NaN stands for it anyway."""
    found: list[float | int] = []
    for value in (v for key in ("_FillValue", "missing_value") for v in np.ravel(told.get(key, ()))):
        if not np.issubdtype(np.asarray(value).dtype, np.number):
            continue
        if kind.kind == "f":
            found += [] if np.isnan(value) else [float(kind.type(value))]
        elif float(value).is_integer():
            number = int(value)
            found.append(number % 2 ** (8 * dtype.itemsize) if kind != dtype else number)
    return list(dict.fromkeys(found))


def _number(value: Any, default: float | None) -> float | None:
    if value is None:
        return default
    array = np.asarray(value)
    if array.size != 1 or not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
        return None
    return float(array.ravel()[0])


def dtype_of(source: Source, name: str, scale: bool) -> np.dtype[Any]:
    """The dtype of a variable's values as they are read.

    Raises:
        FileContentInvalid: it holds no numbers.
    """
    variable = variable_of(source, name, {d: d for d in source.dataset.variables[name].dimensions}, scale)
    kind: np.dtype[Any] = source.dataset.variables[name].dtype
    if getattr(kind, "kind", "") not in "iuf":
        raise source.refuse(f"holds no numbers in {name}.", CHOOSE)
    kind = np.dtype(f"u{kind.itemsize}") if variable.unsigned else kind.newbyteorder("=")
    if variable.truth:
        return np.dtype(bool)
    return udf_dtype(kind) if (variable.scale, variable.offset) != (1.0, 0.0) else kind
