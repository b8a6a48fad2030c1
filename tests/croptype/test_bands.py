"""Names of bands: those of the UDF's file, without PyTorch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from acreage.croptype import bands
from acreage.croptype.udf_source import crop_type_udf
from acreage.croptype.workflow import S1_BANDS, S2_BANDS

UNKNOWN = ("B1", "B123", "X", "", "class")


def test_names_are_those_of_the_udf() -> None:
    assert bands.OUTPUT_BANDS == crop_type_udf.OUTPUT_BANDS
    assert bands.STATIC_SENSORS == crop_type_udf.STATIC_SENSORS


@pytest.mark.parametrize("band", [*S1_BANDS, *S2_BANDS, "B01", "HH", "HV", "DEM"])
def test_sensors_are_those_of_the_udf(band: str) -> None:
    assert bands.sensor_of(band) == crop_type_udf.sensor_of(band)


@pytest.mark.parametrize("band", UNKNOWN)
def test_what_is_no_band_is_refused_as_by_the_udf(band: str) -> None:
    with pytest.raises(ValueError, match="no known sensor") as ours:
        bands.sensor_of(band)
    with pytest.raises(ValueError, match="no known sensor") as theirs:
        crop_type_udf.sensor_of(band)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("command", ["sample", "index"])
def test_commands_without_a_model_load_no_pytorch(command: str) -> None:
    code = f"import sys, acreage.cli.{command}; print(sorted({{'torch', 'sklearn'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
