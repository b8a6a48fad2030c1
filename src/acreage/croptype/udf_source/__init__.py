"""The text of the UDF, and what training shares with it."""

from importlib import resources

#: What the files of crop type models call themselves, and the `mlm:artifact_type` of their STAC items.
ARTIFACT_TYPE = "acreage-crop-type-model"


def udf_source() -> str:
    """The text of the UDF, as it is at this moment in the package."""
    return resources.files(__name__).joinpath("crop_type_udf.py").read_text("utf-8")
