"""STAC validation without a network.

pystac ships the schemas of the core. For the extensions that products and simulated catalogs use, the checks
below restate, in JSON Schema of our own, what the public extension specifications ask of the fields that
occur here. They are stricter than the specifications: an extension's field that is not listed is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pystac
from pystac.validation.stac_validator import JsonSchemaSTACValidator

NUMBER, TEXT = {"type": "number"}, {"type": "string", "minLength": 1}


def _numbers(*lengths: int) -> dict[str, Any]:
    return {"anyOf": [{"type": "array", "items": NUMBER, "minItems": n, "maxItems": n} for n in lengths]}


CLASS = {
    "type": "object",
    "required": ["value", "name"],
    "properties": {
        "value": {"type": "integer"},
        "name": {"type": "string", "pattern": "^[0-9A-Za-z_-]+$"},
        "title": TEXT,
        "description": TEXT,
        "color_hint": {"type": "string", "pattern": "^[0-9A-Fa-f]{6}$"},
        "nodata": {"type": "boolean"},
        "count": {"type": "integer", "minimum": 0},
    },
    "additionalProperties": False,
}
FIELDS: dict[str, dict[str, Any]] = {
    "projection/v2.0.0": {
        "proj:code": {"anyOf": [{"type": "string", "pattern": "^[A-Z]+:[0-9A-Za-z]+$"}, {"type": "null"}]},
        "proj:wkt2": TEXT,
        "proj:shape": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 2,
            "maxItems": 2,
        },
        "proj:transform": _numbers(6, 9),
        "proj:bbox": _numbers(4, 6),
    },
    "raster/v2.0.0": {
        "raster:sampling": {"enum": ["area", "point"]},
        "raster:bits_per_sample": {"type": "integer"},
        "raster:spatial_resolution": NUMBER,
        "raster:scale": NUMBER,
        "raster:offset": NUMBER,
    },
    "classification/v2.0.0": {
        "classification:classes": {"type": "array", "minItems": 1, "uniqueItems": True, "items": CLASS},
    },
    "processing/v1.2.0": {
        "processing:expression": {
            "type": "object",
            "required": ["format", "expression"],
            "properties": {"format": TEXT},
        },
        "processing:lineage": TEXT,
        "processing:level": {"type": "string", "pattern": "^(RAW|L[0-4][A-D]?)$"},
        "processing:facility": TEXT,
        "processing:version": TEXT,
        "processing:datetime": {"type": "string", "pattern": r"(\+00:00|Z)$"},
        "processing:software": {"type": "object", "minProperties": 1, "additionalProperties": TEXT},
    },
    "file/v2.1.0": {
        "file:size": {"type": "integer", "minimum": 0},
        "file:checksum": {"type": "string", "pattern": "^1220[0-9a-f]{64}$"},
    },
    "sat/v1.0.0": {"sat:orbit_state": {"enum": ["ascending", "descending", "geostationary"]}},
    "eo/v2.0.0": {"eo:cloud_cover": {"type": "number", "minimum": 0, "maximum": 100}},
}


def _schema(extension: str) -> dict[str, Any]:
    uri = f"https://stac-extensions.github.io/{extension}/schema.json"
    prefix = next(iter(FIELDS[extension])).split(":")[0]
    fields: dict[str, Any] = {
        "type": "object",
        "properties": {
            **FIELDS[extension],
            "bands": {"type": "array", "items": {"$ref": "#/definitions/fields"}},
        },
        "patternProperties": {f"^(?!{prefix}:)": {}},
        "additionalProperties": False,
    }
    many = {"type": "object", "additionalProperties": {"$ref": "#/definitions/fields"}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": uri,
        "definitions": {"fields": fields},
        "type": "object",
        "required": ["stac_extensions"],
        "properties": {
            "stac_extensions": {"contains": {"const": uri}},
            "properties": {"$ref": "#/definitions/fields"},
            "assets": many,
            "item_assets": many,
            "providers": {"type": "array", "items": {"$ref": "#/definitions/fields"}},
        },
    }


def validator() -> JsonSchemaSTACValidator:
    """A validator that knows every schema it is asked for; an unknown extension would need the network."""
    made = JsonSchemaSTACValidator()
    for extension in FIELDS:
        schema = _schema(extension)
        made.schema_cache[schema["$id"]] = schema
    return made


def validate(thing: pystac.STACObject) -> list[Any]:
    """Validate core and extensions; pystac.errors.STACValidationError says what is wrong."""
    extensions = list(thing.stac_extensions) if isinstance(thing, pystac.Item | pystac.Collection) else []
    return validator().validate(
        thing.to_dict(transform_hrefs=False),
        thing.STAC_OBJECT_TYPE,
        "1.1.0",
        extensions,
        thing.get_self_href(),
    )


def validate_file(path: Path) -> list[Any]:
    """Validate a file as it is written, without pystac's changes on reading."""
    data = pystac.StacIO.default().read_json(str(path))
    kind = {
        "Feature": pystac.STACObjectType.ITEM,
        "Collection": pystac.STACObjectType.COLLECTION,
        "Catalog": pystac.STACObjectType.CATALOG,
    }[data["type"]]
    return validator().validate(data, kind, data["stac_version"], data.get("stac_extensions", []), str(path))
