"""What is known of a file format without opening a file of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jsonschema import Draft7Validator

from acreage.core.errors import ProcessParameterInvalid

DataKind = Literal["raster", "vector", "table", "other"]


@dataclass(frozen=True)
class FormatInfo:
    """A file format as users read of it.

    Attributes:
        name: openEO's name, which is GDAL's where GDAL has the format; matched in any case.
        title: for a person.
        description: how files and data cubes relate (CommonMark).
        kinds: openEO's GIS data types.
        media_type: of the files.
        options: JSON Schema of each option by its name, with `description` and, where it has one, `default`.
        links: addresses of what is worth reading, by title.
    """

    name: str
    title: str
    description: str
    kinds: tuple[DataKind, ...]
    media_type: str
    options: Mapping[str, Mapping[str, Any]]
    links: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """The format as `GET /file_formats` of the openEO API 1.2.0 shows it."""
        return {
            "title": self.title,
            "description": self.description,
            "gis_data_types": list(self.kinds),
            "parameters": self.parameters(),
            "links": [{"rel": "about", "href": href, "title": title} for title, href in self.links.items()],
        }

    def parameters(self) -> dict[str, Any]:
        """The options as parameters of the API, whose description takes a plain schema for several kinds at
        once and refuses it, unless it has a `subtype`.
        """
        return {name: {"subtype": "option", **schema} for name, schema in self.options.items()}

    def read_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options with their values: those given, checked, and defaults. Words may be in any case.

        Raises:
            ProcessParameterInvalid: the format has no such option, or it takes no such value.
        """
        unknown = [name for name in given if name not in self.options]
        if unknown:
            raise ProcessParameterInvalid(
                f"{self.name} has no option {', '.join(map(str, unknown))}.",
                hint=f"It has {', '.join(self.options) or 'none'}.",
            )
        values = {name: schema["default"] for name, schema in self.options.items() if "default" in schema}
        for name, value in given.items():
            schema = self.options[name]
            values[name] = value.lower() if "enum" in schema and isinstance(value, str) else value
            fault = next(iter(Draft7Validator(schema).iter_errors(values[name])), None)
            if fault is not None:
                raise ProcessParameterInvalid(
                    f"The option {name!r} of {self.name} cannot be {str(value)[:80]!r}.",
                    hint=_takes(schema),
                )
        return values


def _takes(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return f"Use {', '.join(map(str, schema['enum']))}."
    return f"It is: {schema['description']}"
