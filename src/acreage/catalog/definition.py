"""Collection definitions: openEO names and band names over the names that catalogs use.

A definition is a YAML file. Those of `acreage/catalog/collections` are shipped; others can be named in a
catalog configuration. docs/catalogs.md says what each key means.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from acreage.catalog.items import Interval, MosaicRule
from acreage.core.errors import CatalogError, InvalidInput
from acreage.core.temporal import parse_instant

NAN = math.nan  # the one NaN object, so that nodata values compare equal inside tuples
Harmonise = Literal["none", "sentinel2-baseline"]
Stored = Literal["linear", "dB"]


class Strict(BaseModel):
    """Frozen, and no unknown keys: a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BandDefinition(Strict):
    """A band: its openEO name and the asset keys under which catalogs have it."""

    name: str = Field(min_length=1)
    assets: tuple[str, ...] = Field(min_length=1, description="asset keys, the preferred one first")
    band_index: int = Field(default=1, ge=1, description="1-based band in the asset's file")
    common_name: str = ""
    dtype: str = "float32"
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    gsd: float | None = Field(default=None, gt=0)
    unit: str = ""
    categorical: bool = False
    description: str = ""
    harmonise: Harmonise = Field(default="none", description="rule for offsets of digital numbers")
    stored: Stored = Field(
        default="linear", description="dB: files hold decibels where an item does not say; read as power"
    )

    @field_validator("dtype")
    @classmethod
    def _is_dtype(cls, value: str) -> str:
        try:
            return np.dtype(value).name
        except TypeError as error:
            raise ValueError(f"{value!r} is not a numpy dtype such as uint16 or float32") from error

    @field_validator("nodata")
    @classmethod
    def _one_nan(cls, value: float | None) -> float | None:
        return NAN if value is not None and math.isnan(value) else value


class SourceDefinition(Strict):
    """Ids under which catalogs have the collection, and what holds for these."""

    ids: tuple[str, ...] = Field(min_length=1)
    attributes: dict[str, Any] = Field(default_factory=dict)
    bands: dict[str, Any] = Field(default_factory=dict, description="keys that all bands have there")

    @field_validator("bands")
    @classmethod
    def _are_band_keys(cls, value: dict[str, Any]) -> dict[str, Any]:
        BandDefinition.model_validate({"name": "any", "assets": ["any"], **value})
        return value


class BorderNoiseDefinition(Strict):
    """Noise along the swath's edge in products of an old processor."""

    metres: float = Field(gt=0, description="distance from the swath's edge within which noise is looked for")
    floor_db: float = Field(description="pixels below it are noise there, in decibels")
    before_ipf: str = Field(pattern=r"^\d+\.\d+$", description="first processor version without the noise")
    before_processing: str = Field(
        description="day since which products are free of it, for items that state no version"
    )

    @field_validator("before_processing")
    @classmethod
    def _is_instant(cls, value: str) -> str:
        try:
            parse_instant(value)
        except InvalidInput as error:
            raise ValueError(str(error)) from error
        return value


class CollectionDefinition(Strict):
    """A collection as a file defines it."""

    id: str = Field(min_length=1)
    title: str = ""
    description: str = ""
    sources: tuple[SourceDefinition, ...] = ()
    bands: tuple[BandDefinition, ...] = Field(min_length=1)
    mosaic: MosaicRule = "item"
    mosaic_reference: str | None = None
    interval: tuple[str, str] | None = Field(
        default=None, description="only items in [start, end) belong to it"
    )
    border_noise: BorderNoiseDefinition | None = None
    cell_degrees: float | None = Field(
        default=None, gt=0, description="size of the tiles of a layer that has none where there is only sea"
    )
    attributes: dict[str, Any] = Field(default_factory=dict)
    license: str = "other"
    keywords: tuple[str, ...] = ()
    providers: tuple[dict[str, Any], ...] = ()
    properties: dict[str, Any] = Field(
        default_factory=dict, description="item properties where an item does not have them itself"
    )

    @model_validator(mode="before")
    @classmethod
    def _apply_band_defaults(cls, data: Any) -> Any:
        if isinstance(data, dict) and "defaults" in data:
            data = dict(data)
            defaults = data.pop("defaults")
            if not isinstance(defaults, dict):
                raise ValueError("defaults: a mapping of band keys is needed")
            if isinstance(data.get("bands"), list):
                data["bands"] = [defaults | b if isinstance(b, dict) else b for b in data["bands"]]
        return data

    @field_validator("interval")
    @classmethod
    def _is_interval(cls, value: tuple[str, str] | None) -> tuple[str, str] | None:
        if value is not None:
            try:
                start, end = parse_instant(value[0]), parse_instant(value[1])
            except InvalidInput as error:
                raise ValueError(str(error)) from error
            if not start < end:
                raise ValueError("the interval ends before it starts")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> CollectionDefinition:
        names = [band.name for band in self.bands]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"bands: {', '.join(doubled)} is defined twice")
        if self.mosaic_reference is not None and self.mosaic_reference not in names:
            raise ValueError(f"mosaic_reference: {self.mosaic_reference!r} is not one of the bands {names}")
        return self

    @property
    def window(self) -> Interval:
        """The interval as instants; open where none is given."""
        if self.interval is None:
            return (None, None)
        return parse_instant(self.interval[0]), parse_instant(self.interval[1])

    @property
    def source_ids(self) -> tuple[str, ...]:
        """All ids under which a catalog may have it, its own included."""
        return (self.id, *(i for source in self.sources for i in source.ids))

    def attributes_for(self, source_id: str) -> dict[str, Any]:
        """The facts that hold when it is read from a catalog's collection of this id."""
        extra = next((s.attributes for s in self.sources if source_id in s.ids), {})
        return self.attributes | extra

    def for_source(self, source_id: str) -> CollectionDefinition:
        """As it holds when it is read from a catalog's collection of this id."""
        extra = next((s.bands for s in self.sources if source_id in s.ids), {})
        if not extra:
            return self
        bands = tuple(BandDefinition.model_validate(b.model_dump() | extra) for b in self.bands)
        return self.model_copy(update={"bands": bands})


def checked(model: type[Any], data: object, where: str) -> Any:
    """Validate parsed YAML or JSON against a model.

    Raises:
        CatalogError: naming the file and, for every fault, the key and what is expected.
    """
    if not isinstance(data, dict):
        raise CatalogError(f"{where} holds no mapping of keys to values.", hint="See docs/catalogs.md.")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [
            f"- {'.'.join(str(part) for part in e['loc']) or 'file'}: "
            f"{e['msg'].removeprefix('Value error, ')}{_hint(e['type'], model, e['loc'])}"
            for e in error.errors()
        ]
        raise CatalogError(
            f"{where} is not valid:\n" + "\n".join(faults),
            hint="Correct these keys; docs/catalogs.md has them all.",
        ) from error


def _hint(kind: str, model: type[BaseModel], place: Sequence[int | str]) -> str:
    if kind != "extra_forbidden":
        return ""
    for part in place[:-1]:
        found = model.model_fields.get(str(part))  # else a number or key inside of a list or mapping
        model = model if found is None else next(_models(found.annotation), model)
    return f" (unknown key; known are {', '.join(model.model_fields)})"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a field's type has in it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def parse_yaml(text: str) -> Any:
    """The value that a YAML or JSON text holds.

    Raises:
        YAMLError: it is not valid.
    """
    # The safe loader in C takes a tenth of the time; not every build of PyYAML has it.
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506


def read_yaml(path: Path) -> object:
    """Parse a YAML or JSON file.

    Raises:
        CatalogError: the file cannot be read or parsed.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise CatalogError(f"{path} is not valid YAML: {error}") from error


def load_definition(path: Path) -> CollectionDefinition:
    """Read one definition file.

    Raises:
        CatalogError: the file cannot be read or is not valid; names file, key and what is expected.
    """
    definition: CollectionDefinition = checked(CollectionDefinition, read_yaml(path), str(path))
    return definition


@cache
def shipped_definitions() -> tuple[CollectionDefinition, ...]:
    """The definitions that come with the package, by id."""
    with resources.as_file(resources.files("acreage.catalog") / "collections") as folder:
        return tuple(load_definition(path) for path in sorted(folder.glob("*.yaml")))
