"""What an engine and a UDF runner hand to each other.

The engine knows only these types and the `UdfRunner` Protocol; a runner (`acreage.udf.runner`) fills it, so
that neither imports the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy.typing as npt

Label = str | int | float

#: dtype kinds that travel: booleans, signed and unsigned integers, floats.
ARRAY_KINDS = "biuf"


@dataclass(frozen=True)
class UdfCode:
    """The source of a user-defined function.

    Attributes:
        source: the code itself, not an address.
        runtime: as `run_udf` names it, case-insensitive.
        version: of the runtime, as `3` or `3.11`; None takes the default.
        name: file name shown in tracebacks.
        owner: whose it is; a process is never shared by two owners, be their code the same.
        model: a file that the engine has at hand, in the place of the one whose address the context names.
    """

    source: str
    runtime: str = "Python"
    version: str | None = None
    name: str = "udf.py"
    owner: str = ""
    model: Path | None = None

    @cached_property
    def sha256(self) -> str:
        """Hash of the source (UTF-8), in hexadecimal."""
        return hashlib.sha256(self.source.encode()).hexdigest()


def _no_labels() -> Mapping[str, tuple[Label, ...]]:
    return MappingProxyType({})


def _no_attrs() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, eq=False)
class LabelledArray:
    """An array with named, labelled dimensions, as a UDF sees it.

    Attributes:
        values: any shape, also empty; booleans, integers or floats. Nulls are NaN, hence an array with nulls
            is a float array.
        dims: one name an axis, each once.
        labels: per dimension as many labels as its axis is long; a dimension without labels is left out.
            Temporal labels are ISO 8601 strings, bands strings, x and y the pixel centres in CRS units.
        temporal: names of temporal dimensions; a UDF sees their labels as datetime64[ns] where all are dates.
        attrs: JSON values; `crs` is the CRS of x and y, as `EPSG:3035`.

    Raises:
        ValueError: dimensions or labels do not fit the array, or its dtype cannot be handed over.
    """

    values: npt.NDArray[Any]
    dims: tuple[str, ...]
    labels: Mapping[str, tuple[Label, ...]] = field(default_factory=_no_labels)
    temporal: tuple[str, ...] = ("t",)
    attrs: Mapping[str, Any] = field(default_factory=_no_attrs)

    def __post_init__(self) -> None:
        if self.values.dtype.kind not in ARRAY_KINDS or self.values.dtype.itemsize > 8:
            raise ValueError(
                f"a UDF takes booleans, integers and floats of at most 64 bits, not {self.values.dtype}"
            )
        if len(self.dims) != self.values.ndim or len(set(self.dims)) != len(self.dims):
            raise ValueError(f"dimensions {self.dims} for an array of shape {self.values.shape}")
        for name, labels in self.labels.items():
            if name not in self.dims:
                raise ValueError(f"labels for a dimension {name!r} that is not in {self.dims}")
            if len(labels) != self.sizes[name]:
                raise ValueError(f"{len(labels)} labels for dimension {name!r} of length {self.sizes[name]}")

    @property
    def sizes(self) -> dict[str, int]:
        """Length per dimension."""
        return dict(zip(self.dims, self.values.shape, strict=True))


@dataclass(frozen=True)
class UdfLogLine:
    """One line that a UDF printed or logged.

    Attributes:
        level: `error`, `warning`, `info` or `debug`, as openEO's logs have it; what is printed is `info`.
        message: the line, without its line break.
    """

    level: str
    message: str

    def __str__(self) -> str:
        return self.message if self.level == "info" else f"{self.level}: {self.message}"


@dataclass(frozen=True, eq=False)
class UdfResult:
    """An array that a UDF returned, and what it said meanwhile."""

    array: LabelledArray
    log: tuple[UdfLogLine, ...] = ()


@dataclass(frozen=True)
class UdfDataResult:
    """openEO's `UdfData` as JSON after a UDF, and what the UDF said meanwhile."""

    data: Mapping[str, Any]
    log: tuple[UdfLogLine, ...] = ()


@dataclass(frozen=True)
class UdfProbe:
    """What a UDF's source offers, found by loading it without data.

    Attributes:
        entry: the function that `run` calls, as `apply_datacube`.
        signature: what it is given: `DataArray`, `XarrayDataCube`, `Series`, `UdfData` or `vector`.
        has_metadata: whether the source defines `apply_metadata`.
        dependencies: requirements declared in the source (PEP 723).
    """

    entry: str
    signature: str
    has_metadata: bool
    dependencies: tuple[str, ...]


class UdfRunner(Protocol):
    """Runs UDFs somewhere outside the caller's process; safe to call from several threads at once.

    All methods raise `acreage.core.errors.UdfError`, with the UDF's log, where the UDF or its surroundings
    fail.
    """

    def run(self, code: UdfCode, array: LabelledArray, context: Mapping[str, Any]) -> UdfResult:
        """Apply the UDF to one array; x and y, where kept, stay as they are. `context` holds JSON values."""
        ...

    def run_features(
        self, code: UdfCode, data: Mapping[str, Any], context: Mapping[str, Any]
    ) -> UdfDataResult:
        """Apply the UDF to openEO's `UdfData` in its JSON form (features, structured data, small cubes)."""
        ...

    def describe(
        self, code: UdfCode, metadata: Mapping[str, Any], context: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """What `apply_metadata` makes of a cube's metadata; None where the UDF does not define it.

        Both are STAC-like: `cube:dimensions` maps a dimension's name to its type, extent, values or labels.
        """
        ...

    def probe(self, code: UdfCode) -> UdfProbe:
        """Load the UDF without data and say what it offers."""
        ...

    def resident_bytes(self) -> int:
        """Memory of a process that has run a UDF, beside the arrays that it is handed; 0 if there is none."""
        ...

    def close(self) -> None:
        """End all workers. A closed runner refuses further calls."""
        ...
