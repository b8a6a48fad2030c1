from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from acreage.core.errors import InvalidInput
from acreage.core.legend import NO_OBSERVATION, NOT_CROPLAND, OUTSIDE, Legend, LegendClass, read_legend
from acreage.croptype.labels import (
    apply_legend,
    open_legend,
    open_samples,
    read_class_mapping,
    read_eurocrops_country,
    read_hcat,
    read_worldcereal_croptypes,
    shipped_legends,
)
from acreage.croptype.model import check_landcover
from acreage.croptype.series import Samples
from acreage.croptype.udf_source import crop_type_udf
from support.croptype_samples import make_samples


def test_reserved_codes_are_the_same_in_the_legend_and_in_the_udf() -> None:
    assert (crop_type_udf.CODE_OUTSIDE, crop_type_udf.CODE_NOT_CROPLAND) == (OUTSIDE, NOT_CROPLAND)
    assert crop_type_udf.CODE_NO_OBSERVATION == NO_OBSERVATION


@pytest.mark.parametrize("code", [0, 251, 254, 255, -1])
def test_a_class_cannot_take_a_reserved_code(code: int) -> None:
    with pytest.raises(InvalidInput, match="reserved"):
        LegendClass(code, "wheat", "Wheat", "#ffffff")


@given(st.lists(st.integers(1, 250), min_size=1, max_size=30, unique=True))
def test_a_legend_survives_json(codes: list[int]) -> None:
    legend = Legend(
        "l", tuple(LegendClass(c, f"c{c}", f"C {c}", f"#{c:06x}", (30, 40)) for c in codes), codes[0]
    )
    again = Legend.from_dict(json.loads(json.dumps(legend.to_dict())))
    assert again == legend
    assert set(again.colour_table()) == {*codes, 0, 254, 255}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"code": "7"}, "wrong type"),
        ({"colour": "red"}, "#rrggbb"),
        ({"landcover": [41]}, "WorldCover"),
        ({"name": "Winter wheat"}, "small letters"),
        ({"weight": 1}, "needs code"),
    ],
)
def test_a_wrong_legend_file_is_refused_with_its_entry(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    entry = {"code": 1, "name": "wheat", "colour": "#00ff00", **change}
    path = tmp_path / "legend.json"
    path.write_text(json.dumps({"name": "x", "classes": [entry]}))
    with pytest.raises(InvalidInput) as error:
        read_legend(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)


def test_codes_and_source_codes_must_be_unique(legend: Legend) -> None:
    first = legend.classes[0]
    with pytest.raises(InvalidInput, match="code 3 more than once"):
        Legend("twice", (first, LegendClass(3, "rye", "Rye", "#000000")))
    with pytest.raises(InvalidInput, match="source code 1110"):
        Legend("twice", (first, LegendClass(4, "rye", "Rye", "#000000", (40,), ("1110",))))


def test_the_most_literal_source_code_wins(legend: Legend) -> None:
    found = {
        label: legend.classify(label)
        for label in ("1101010011", "1101060000", "1105000000", "11-01-06-000-0")
    }
    assert {k: v.name for k, v in found.items() if v} == {
        "1101010011": "wheat",
        "1101060000": "maize",
        "1105000000": "other",
        "11-01-06-000-0": "maize",
    }
    assert legend.classify("2000000000") is None
    assert legend.classify("12000") is None


def test_a_mask_that_removes_a_class_is_refused_with_the_way_out() -> None:
    legend = open_legend("europe")
    with pytest.raises(InvalidInput) as error:
        check_landcover(legend, {40})
    assert "grassland" in str(error.value)
    assert "--without grassland,vineyards,other_permanent" in str(error.value)
    check_landcover(legend, {10, 20, 30, 40})
    check_landcover(legend.without(["grassland", "vineyards", "other_permanent"]), {40})


def test_small_classes_merge_only_where_they_share_a_land_cover() -> None:
    legend = open_legend("europe")
    labels = (
        ["1101010000"] * 12
        + ["1101060000"] * 12
        + ["1107000010"] * 3
        + ["1201000010"] * 4
        + ["1110000000"] * 9
    )
    result = apply_legend(_samples(labels), legend, 10)
    assert Counter(result.names[t] for t in result.targets) == {"wheat": 12, "maize": 12, "other_arable": 12}
    assert result.merged == ("potatoes",)
    assert result.dropped == {"vineyards": 4}
    assert result.legend.classify("1107000010") == result.legend.classify("other_arable")
    assert result.legend.classify("1201000010") is None


def test_labels_of_a_class_left_out_do_not_turn_into_another() -> None:
    legend = open_legend("europe").without(["grassland"])
    assert legend.classify("2001020022") is None
    assert legend.classify("3302000000") is None


def test_labels_of_no_class_are_counted_and_labels_of_another_legend_refused() -> None:
    legend = open_legend("europe")
    result = apply_legend(_samples(["1101010000"] * 10 + ["1101060000"] * 10 + ["forest"] * 2), legend, 10)
    assert result.unmapped == {"forest": 2}
    assert len(result.samples) == 20
    with pytest.raises(InvalidInput, match="forest"):
        apply_legend(_samples(["forest"] * 20), legend, 10)


def test_shipped_legends_open_and_others_are_named(tmp_path: Path) -> None:
    assert "europe" in shipped_legends()
    with pytest.raises(InvalidInput, match="europe"):
        open_legend(str(tmp_path / "none.json"))


def test_the_shipped_legend_agrees_with_worldcereals_own_mapping(real_data: Path) -> None:
    """Where both have a class of the same name, they put the same codes in it."""
    theirs = read_class_mapping(real_data / "labels/class_mappings.json", "CROPTYPE24")
    same = {
        "wheat": "wheat",
        "maize": "maize",
        "barley": "barley",
        "sunflower": "sunflower",
        "potatoes": "potatoes",
    }
    same |= {"rapeseed_rape": "rapeseed", "soy_soybeans": "soy", "dry_pulses_legumes": "pulses"}
    legend = open_legend("europe")
    present = set(open_samples(real_data / "labels/dekad_2023_FRA_LPIS_POLY_110.geoparquet").labels.tolist())
    compared = {code: label for code, label in theirs.items() if label in same and code in present}
    assert len(compared) > 10
    found = {code: legend.classify(code) for code in compared}
    assert {k: v.name for k, v in found.items() if v} == {k: same[v] for k, v in compared.items()}


def test_crosswalks_lead_real_country_codes_into_the_legend(real_data: Path) -> None:
    legend = open_legend("europe")
    hcat = read_hcat(real_data / "reference/eurocrops/HCAT3.csv")
    flanders = read_eurocrops_country(real_data / "reference/eurocrops/be_vlg_2021.csv")
    old = read_worldcereal_croptypes(real_data / "labels/legend_wc2eurocrops_map.csv")
    silage_maize, winter_barley = legend.classify(flanders["201"]), legend.classify(flanders["321"])
    assert (silage_maize and silage_maize.name, winter_barley and winter_barley.name) == ("maize", "barley")
    arable = [code for code in hcat if code.startswith("3301") and code != "3301000000"]
    assert len(arable) > 200
    assert all(legend.classify(code) for code in arable)
    for code in ("1110", "1200", "1510", "5100", "8100", "9110", "4350", "4380", "3300"):
        assert legend.classify(code) == legend.classify(old[code]), code


def test_a_missing_mapping_is_refused_with_those_there_are(real_data: Path) -> None:
    with pytest.raises(InvalidInput, match="CROPTYPE24"):
        read_class_mapping(real_data / "labels/class_mappings.json", "CROPTYPE99")
    with pytest.raises(InvalidInput, match="HCAT3_code"):
        read_hcat(real_data / "labels/legend_wc2eurocrops_map.csv")


def _samples(labels: list[str]) -> Samples:
    samples = make_samples(len(labels))
    return Samples(**{**samples.__dict__, "labels": np.array(labels)})
