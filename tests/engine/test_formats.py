"""The list of file formats: what the openEO API wants of it, and what options are taken."""

from __future__ import annotations

import pytest
from jsonschema import Draft7Validator

from acreage.core.errors import FormatUnsuitable, ProcessParameterInvalid
from acreage.engine.formats import FormatInfo, file_formats, formats, input_format, output_format
from acreage.engine.writers import FORMATS

OUTPUTS = list(formats("output").values())
EVERY = [*OUTPUTS, *formats("input").values()]
# `file_format` and `resource_parameter` of the openEO API 1.2.0, as far as they say what must be there.
LISTED = {
    "type": "object",
    "required": ["input", "output"],
    "additionalProperties": {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "required": ["title", "description", "gis_data_types", "parameters", "links"],
            "properties": {
                "title": {"type": "string"},
                "description": {"type": "string"},
                "gis_data_types": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"enum": ["raster", "vector", "table", "pointcloud", "other"]},
                },
                "parameters": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "object",
                        "required": ["description"],
                        "properties": {"description": {"type": "string"}},
                    },
                },
                "links": {"type": "array", "items": {"required": ["rel", "href"]}},
            },
        },
    },
}


def test_the_list_has_the_form_of_the_openeo_api() -> None:
    listed = file_formats()
    Draft7Validator(LISTED).validate(listed)
    assert list(listed["output"]) == [f.name for f in FORMATS]


@pytest.mark.parametrize("info", EVERY, ids=lambda i: i.name)
def test_options_are_json_schemas_and_defaults_suit_them(info: FormatInfo) -> None:
    for schema in info.options.values():
        Draft7Validator.check_schema(schema)
        if "default" in schema:
            Draft7Validator({k: v for k, v in schema.items() if k != "default"}).validate(schema["default"])
    assert info.read_options({}) == {n: s["default"] for n, s in info.options.items() if "default" in s}


@pytest.mark.parametrize("info", OUTPUTS, ids=lambda i: i.name)
def test_names_are_matched_in_any_case(info: FormatInfo) -> None:
    assert output_format(info.name.upper()) is output_format(info.name.lower()) is info


def test_what_is_no_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(FormatUnsuitable, match="GTiff, netCDF"):
        output_format("FAX")
    with pytest.raises(FormatUnsuitable, match="not read"):
        input_format("FAX")


def test_an_option_that_is_not_there_is_refused_with_those_there_are() -> None:
    with pytest.raises(ProcessParameterInvalid, match=r"quality.*compression, overview_method"):
        output_format("GTiff").read_options({"quality": 3})


def test_a_value_that_an_option_does_not_take_is_refused_with_those_it_takes() -> None:
    with pytest.raises(ProcessParameterInvalid, match=r"'zip'.*deflate, zstd, lzw, none"):
        output_format("GTiff").read_options({"compression": "zip"})
    assert output_format("GTiff").read_options({"compression": "LZW"})["compression"] == "lzw"
