"""Where STAC says too little the product's own metadata decides; where that is silent, nothing is guessed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.catalog_items import WORLD, parsed, stac_item, write_catalog

from acreage.catalog import Search, open_catalog
from acreage.catalog.product_metadata import (
    BAND_IDS,
    MAX_BYTES,
    ProductMetadataError,
    parse_product_metadata,
    product_metadata,
    read_document,
)

BANDS = {"blue": "B02", "red": "B04", "nir08": "B8A", "swir22": "B12"}


def mtd(
    baseline: str = "05.09", quantification: str | None = "10000", offsets: dict[int, int] | None = None
) -> str:
    """MTD_MSIL2A.xml with what matters of it, in the specification's places."""
    given = dict.fromkeys(range(13), -1000) if offsets is None else offsets
    lines = "".join(f'<BOA_ADD_OFFSET band_id="{n}">{v}</BOA_ADD_OFFSET>' for n, v in given.items())
    listed = f"<BOA_ADD_OFFSET_VALUES_LIST>{lines}</BOA_ADD_OFFSET_VALUES_LIST>" if given else ""
    scale = (
        ""
        if quantification is None
        else f'<BOA_QUANTIFICATION_VALUE unit="none">{quantification}</BOA_QUANTIFICATION_VALUE>'
    )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
  <n1:General_Info>
    <Product_Info><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE></Product_Info>
    <Product_Image_Characteristics>
      <QUANTIFICATION_VALUES_LIST>{scale}</QUANTIFICATION_VALUES_LIST>
      {listed}
    </Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-2A_User_Product>"""


def silent_item(assets: dict[str, str]) -> dict[str, Any]:
    """An item that says neither its baseline nor an offset, with documents beside its bands."""
    item = stac_item("S2_31UES_20220601_0_L2A", **{"s2:processing_baseline": None})
    blue = item["assets"]["blue"]
    blue["raster:bands"] = [{"nodata": 0, "data_type": "uint16"}]
    for key in BANDS:
        item["assets"][key] = {**blue, "href": f"https://example.com/{key}.tif"}
    item["assets"].update({key: {"href": href} for key, href in assets.items()})
    return item


def found(folder: Path, assets: dict[str, str], **documents: str) -> Search:
    root = write_catalog(folder, [silent_item(assets)])
    for name, text in documents.items():
        (folder / "sentinel-2-l2a" / f"{name}.xml").write_text(text)
    return open_catalog(root).search("SENTINEL2_L2A", WORLD, bands=tuple(BANDS.values()))


def offsets(search: Search) -> dict[str, int]:
    assert search.problems == ()
    return {band: raster.dn_offset for band, raster in search.items[0].rasters.items()}


@pytest.mark.parametrize("key", ["product_metadata", "product-metadata"])
def test_the_products_offsets_are_taken_band_by_band(tmp_path: Path, key: str) -> None:
    stated = dict.fromkeys(range(13), -1000) | {3: -500, 8: -700}
    search = found(tmp_path, {key: "./product.xml"}, product=mtd(offsets=stated))
    assert offsets(search) == {"B02": -1000, "B04": -500, "B8A": -700, "B12": -1000}


def test_a_product_before_baseline_4_has_no_offsets(tmp_path: Path) -> None:
    search = found(tmp_path, {"product_metadata": "./product.xml"}, product=mtd("02.14", offsets={}))
    assert set(offsets(search).values()) == {0}


def test_the_manifest_leads_to_the_products_metadata(tmp_path: Path) -> None:
    search = found(tmp_path, {"safe_manifest": "./manifest.safe"}, MTD_MSIL2A=mtd())
    assert set(offsets(search).values()) == {-1000}


def test_the_real_metadata_of_a_granule_give_the_baseline(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "s2-earthsearch/full_products/sentinel-2-l2a/S2A_33TWM_20230818_0_L2A"
    path = folder / "granule_metadata.xml"
    assert parse_product_metadata(read_document(str(path)), str(path)).baseline == 5.09
    search = found(tmp_path, {"granule_metadata": str(path)})
    assert set(offsets(search).values()) == {-1000}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (mtd(quantification="20000"), "states 20000 DN per unit of reflectance, but the collection"),
        (mtd(quantification=None), "states no BOA_QUANTIFICATION_VALUE"),
        (mtd(quantification="0"), "states a quantification of 0"),
        (mtd(offsets={}), "of baseline 05.09 and states no offset"),
        (mtd(offsets={1: -1000}), "states offsets, but none for B04"),
        (mtd(offsets={99: -1000}), "states the offset '-1000' for band id '99'"),
        (mtd(baseline="new"), "states no PROCESSING_BASELINE"),
        ("<html><body>Sign in</body></html>", "is a html, not the metadata of a level 2A product"),
        ("<html><body>Sign in", "is not the metadata of a product"),
        ("", "is not the metadata of a product"),
        (mtd().replace("Level-2A_User_Product", "Level-1C_User_Product"), "is a Level-1C_User_Product"),
        (
            '<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;">]>' + mtd().split("?>")[1].replace("10000", "&b;"),
            "is not the metadata of a product: EntitiesForbidden",
        ),
    ],
)  # fmt: skip
def test_metadata_that_do_not_say_it_leave_the_bands_refused(
    tmp_path: Path, document: str, reason: str
) -> None:
    search = found(tmp_path, {"product_metadata": "./product.xml"}, product=document)
    refused = {p.asset: p for p in search.problems}
    assert reason in refused["B04"].reason
    assert {p.kind for p in search.problems} == {"offset-unknown"}


def test_a_signed_address_of_metadata_is_told_without_its_signature() -> None:
    item = parsed("one")
    href = "https://h/MTD_MSIL2A.xml?se=2027&sig=c2VjcmV0"
    signed = replace(item, assets={**item.assets, "product_metadata": {"href": href}})
    with pytest.raises(ProductMetadataError, match=r"https://h/MTD_MSIL2A\.xml is not the meta") as caught:
        product_metadata(signed, lambda address: address.encode())
    assert "c2VjcmV0" not in str(caught.value)
    assert "?" not in str(caught.value)


def test_an_item_without_any_statement_is_refused(tmp_path: Path) -> None:
    search = found(tmp_path, {})
    assert search.items == ()
    assert {p.kind for p in search.problems} == {"offset-unknown"}
    assert "neither its processing baseline nor an offset" in search.problems[0].reason


def test_metadata_that_are_not_there_are_named(tmp_path: Path) -> None:
    search = found(tmp_path, {"product_metadata": "./gone.xml"})
    assert "gone.xml cannot be read: No such file" in search.problems[0].reason


def test_a_document_without_end_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "big.xml"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ProductMetadataError, match="more than 8000000 bytes"):
        read_document(str(path))


def test_another_scale_in_the_item_is_refused(tmp_path: Path) -> None:
    item = stac_item("S2_31UES_20220601_0_L2A")
    item["assets"]["blue"]["raster:bands"][0].update({"scale": 0.00005, "offset": -0.05})
    search = open_catalog(write_catalog(tmp_path, [item])).search("SENTINEL2_L2A", WORLD, bands=("B02",))
    assert search.items == ()
    assert "its scale is 5e-05, but the collection's digital numbers have 0.0001" in search.problems[0].reason
    assert search.problems[0].kind == "offset-unknown"


def test_the_metadata_are_not_read_where_the_item_says_enough(tmp_path: Path) -> None:
    item = stac_item("S2_31UES_20220601_0_L2A")
    item["assets"]["product_metadata"] = {"href": "./not-there.xml"}
    search = open_catalog(write_catalog(tmp_path, [item])).search("SENTINEL2_L2A", WORLD, bands=("B02",))
    assert offsets(search) == {"B02": -1000}


def test_band_ids_are_those_of_the_specification() -> None:
    assert [BAND_IDS[n] for n in (0, 7, 8, 9, 11, 12)] == ["B01", "B08", "B8A", "B09", "B11", "B12"]
