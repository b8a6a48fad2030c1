"""Every real Sentinel-2 item of three catalogs: baseline, and what is added to the numbers of each band.

The table was read off the items and file names by eye. Where Earth Search says that it subtracted the offset
nothing is to be added, whatever `raster:bands` repeats from the product.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.support.catalog_items import WORLD
from tests.support.real_offsets import EARTH_SEARCH as REAL_EARTH_SEARCH

from acreage.catalog import Search, SourceItem, open_catalog

REFLECTANCES = (*(f"B0{n}" for n in range(1, 9)), "B8A", "B09", "B11", "B12")
EARTH_SEARCH = "s2-earthsearch/stac_items/{}.json"
FULL = "s2-earthsearch/full_products/sentinel-2-l2a/{0}/{0}.json"
DATA_SPACE = "stac-items/cdse_s2_l2a_{}.json"
COMPUTER = "stac-items/pc_s2_l2a_{}"

# file -> item id -> (processing baseline, offset in DN); the scale is 0.0001 throughout.
TABLE = {
    EARTH_SEARCH.format(name): {name: row}
    for name, row in REAL_EARTH_SEARCH.items()
} | {
    FULL.format(name): {name: (5.09, 0)}
    for name in (
        "S2A_33TWL_20230818_0_L2A",
        "S2A_33TWM_20230818_0_L2A",
        "S2B_33TWL_20230813_0_L2A",
        "S2B_33TWM_20230813_0_L2A",
    )
} | {
    DATA_SPACE.format("T36NYH_20200322_N0500"): {
        "S2B_MSIL2A_20200322T074609_N0500_R135_T36NYH_20230612T214223": (5.00, -1000)
    },
    DATA_SPACE.format("T55WFR_20260527_N0512"): {
        "S2C_MSIL2A_20260527T014651_N0512_R017_T55WFR_20260527T042005": (5.12, -1000)
    },
    COMPUTER.format("item_T06VVN.json"): {
        "S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531": (2.12, 0)
    },
    COMPUTER.format("13items_T35MNM_2020.geojson"): {
        "S2A_MSIL2A_20200601T080611_R078_T35MNM_20201027T072253": (2.12, 0),
        "S2A_MSIL2A_20200611T080611_R078_T35MNM_20200826T230619": (2.12, 0),
        "S2A_MSIL2A_20200621T080611_R078_T35MNM_20200823T125142": (2.12, 0),
        "S2A_MSIL2A_20200701T080611_R078_T35MNM_20200824T191001": (2.12, 0),
        "S2A_MSIL2A_20200711T080611_R078_T35MNM_20201101T145944": (2.12, 0),
        "S2A_MSIL2A_20200721T080611_R078_T35MNM_20200908T180356": (2.12, 0),
        "S2A_MSIL2A_20200731T080611_R078_T35MNM_20200818T062751": (2.12, 0),
        "S2B_MSIL2A_20200606T080609_R078_T35MNM_20200826T094900": (2.12, 0),
        "S2B_MSIL2A_20200616T080609_R078_T35MNM_20201027T073925": (2.12, 0),
        "S2B_MSIL2A_20200626T080609_R078_T35MNM_20200824T052748": (2.12, 0),
        "S2B_MSIL2A_20200706T080609_R078_T35MNM_20201027T081700": (2.12, 0),
        "S2B_MSIL2A_20200716T080609_R078_T35MNM_20200816T092511": (2.12, 0),
        "S2B_MSIL2A_20200726T080609_R078_T35MNM_20200908T180357": (2.12, 0),
    },
}  # fmt: skip


def found(path: Path) -> Search:
    return open_catalog(path).search("SENTINEL2_L2A", WORLD)


def row(item: SourceItem) -> tuple[float, set[int]]:
    """(baseline, offsets of all reflectance bands)."""
    assert set(item.rasters) <= {*REFLECTANCES, "SCL"}
    return -item.rank[0], {r.dn_offset for band, r in item.rasters.items() if band != "SCL"}


def test_the_table_holds_every_real_item() -> None:
    assert sum(len(items) for items in TABLE.values()) == 37


def test_every_file_of_items_is_in_the_table(real_data: Path) -> None:
    folders = ("s2-earthsearch", "stac-items")
    paths = {p for f in folders for p in (real_data / f).rglob("*json") if "collection" not in p.name}
    others = {real_data / "s2-earthsearch/full_products/catalog.json"}
    others.add(real_data / "stac-items/earthsearch_v1_s2_l1c_search.json")
    assert paths - others == {real_data / name for name in TABLE}


@pytest.mark.parametrize("name", TABLE)
def test_real_items_have_the_right_scale_and_offset_in_every_band(real_data: Path, name: str) -> None:
    search = found(real_data / name)
    assert search.problems == ()
    assert {i.id: row(i) for i in search.items} == {
        key: (version, {offset}) for key, (version, offset) in TABLE[name].items()
    }
    for item in search.items:
        assert set(item.rasters) == {*REFLECTANCES, "SCL"}
        for band, raster in item.rasters.items():
            assert (raster.scale, raster.offset) == ((1.0, 0.0) if band == "SCL" else (0.0001, 0.0))
        assert item.rasters["SCL"].dn_offset == 0


def test_level_1c_is_not_in_the_collection(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "stac-items" / "earthsearch_v1_s2_l1c_search.json"
    assert open_catalog(path).collections() == ("sentinel-2-l1c",)
    # Nor is it taken where somebody asks for it under the collection's name.
    configuration = tmp_path / "catalog.yaml"
    configuration.write_text(
        yaml.safe_dump({"collections": {"SENTINEL2_L2A": {"catalog": str(path), "source": "sentinel-2-l1c"}}})
    )
    search = found(configuration)
    assert search.items == ()
    (problem,) = search.problems
    assert (problem.item, problem.kind) == ("S2B_27VWK_20240206_0_L1C", "wrong-product")
    assert "level 1C, not of level 2A" in problem.reason
