"""Items have the names, fields and assets of real ones, and are valid STAC."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pystac
import pytest
import rasterio
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from acreage.simulate.archive import Archive

Json = dict[str, Any]
FORMS = ("archive", "planetary", "cdse")


def items_of(archive: Archive, collection: str) -> list[Json]:
    found = [json.loads(p.read_text("utf-8")) for p in (archive.folder / collection).glob("*/*.json")]
    assert found
    return sorted(found, key=lambda i: str(i["id"]))


def real_item(path: Path) -> Json:
    data: Json = json.loads(path.read_text("utf-8"))
    return data["features"][0] if data["type"] == "FeatureCollection" else data


def keys_beside(ours: Any, real: Any, where: str = "") -> Iterator[str]:
    """Paths of the keys that ours has and the real one lacks."""
    if isinstance(ours, dict) and isinstance(real, dict):
        for key, value in ours.items():
            if key not in real:
                yield f"{where}/{key}"
            else:
                yield from keys_beside(value, real[key], f"{where}/{key}")
    elif isinstance(ours, list) and isinstance(real, list) and ours and real:
        yield from keys_beside(ours[0], real[0], where)


@pytest.mark.parametrize(
    ("form", "real"),
    [
        ("archive", "s2-earthsearch/stac_items/S2A_32TMS_20221207_0_L2A.json"),
        ("planetary", "stac-items/pc_s2_l2a_item_T06VVN.json"),
        ("cdse", "stac-items/cdse_s2_l2a_T36NYH_20200322_N0500.json"),
    ],
)
def test_optical_items_have_no_key_that_real_ones_lack(
    form: str, real: str, real_data: Path, request: pytest.FixtureRequest
) -> None:
    archive: Archive = request.getfixturevalue(form)
    theirs = real_item(real_data / real)
    for ours in items_of(archive, "sentinel-2-l2a"):
        extra = [k for k in keys_beside(ours, theirs) if not k.startswith(("/geometry", "/links"))]
        assert extra == ["/properties/acreage:simulated"]
        assert ours["stac_version"] == theirs.get("stac_version", "1.1.0")
        for key, asset in ours["assets"].items():
            assert asset["type"] == theirs["assets"][key]["type"]
            assert asset.get("eo:bands") == theirs["assets"][key].get("eo:bands")
            assert asset["title"].split(" (SCL)")[0] in theirs["assets"][key]["title"] or key == "SCL_20m"


@pytest.mark.parametrize(
    ("form", "collection", "real"),
    [
        (
            "archive",
            "esa-worldcover",
            "dem-worldcover/ESA_WorldCover_10m_2021_v200_N00E006.stac.json",
        ),
        ("archive", "cop-dem-glo-30", "dem-worldcover/Copernicus_DSM_COG_10_N53_00_W115_00_DEM.stac.json"),
    ],
)
def test_static_items_have_no_key_that_real_ones_lack(
    form: str, collection: str, real: str, real_data: Path, request: pytest.FixtureRequest
) -> None:
    theirs = real_item(real_data / real)
    for ours in items_of(request.getfixturevalue(form), collection):
        assert list(keys_beside(ours, theirs)) == ["/properties/acreage:simulated"]


def test_ids_are_put_together_as_real_ones(archive: Archive, planetary: Archive, cdse: Archive) -> None:
    moment, orbit, tile = r"\d{8}T\d{6}", r"\d{6}", r"T3[12]T[A-Z]{2}"
    patterns = {
        "s2:product_uri": rf"S2[AB]_MSIL2A_{moment}_N0[345]0[01]_R\d{{3}}_T3[12]T[A-Z]{{2}}_{moment}\.SAFE",
        "s2:datatake_id": rf"GS2[AB]_{moment}_{orbit}_N0[345]\.0[01]",
        "s2:datastrip_id": rf"S2[AB]_OPER_MSI_L2A_DS_\w{{4}}_{moment}_S{moment}_N0[345]\.0[01]",
        "s2:granule_id": rf"S2[AB]_OPER_MSI_L2A_TL_\w{{4}}_{moment}_A{orbit}_{tile}_N0[345]\.0[01]",
        "grid:code": r"MGRS-3[12]T[A-Z]{2}",
    }
    for item in items_of(archive, "sentinel-2-l2a"):
        for key, pattern in patterns.items():
            assert re.fullmatch(pattern, item["properties"][key]), (key, item["properties"][key])
        assert re.fullmatch(r"S2[AB]_3[12]T[A-Z]{2}_\d{8}_[01]_L2A", item["id"])
        baseline = item["properties"]["s2:processing_baseline"].replace(".", "")
        assert f"_N{baseline}_" in item["properties"]["s2:product_uri"]
    for item in items_of(planetary, "sentinel-2-l2a"):
        assert re.fullmatch(rf"S2[AB]_MSIL2A_{moment}_R\d{{3}}_T3[12]T[A-Z]{{2}}_{moment}", item["id"])
    for item in items_of(cdse, "sentinel-2-l2a"):
        assert re.fullmatch(
            rf"S2[AB]_MSIL2A_{moment}_N0[345]0[01]_R\d{{3}}_T3[12]T[A-Z]{{2}}_{moment}", item["id"]
        )
        assert "/GRANULE/L2A_T" in item["assets"]["B02_10m"]["href"]
    slice_name = rf"S1[AB]_IW_GRDH_1SDV_{moment}_{moment}_{orbit}_[0-9A-F]{{6}}_sigma0"
    for item in items_of(archive, "sentinel-1-sigma0"):
        assert re.fullmatch(slice_name, item["id"])


@pytest.mark.parametrize("form", FORMS)
def test_every_document_is_valid_stac(form: str, request: pytest.FixtureRequest) -> None:
    archive: Archive = request.getfixturevalue(form)
    validator = JsonSchemaSTACValidator()
    root = pystac.Catalog.from_file(str(archive.catalog))
    number = 0
    for thing in (root, *root.get_children(), *root.get_items(recursive=True)):
        # pystac ships the schemas of the core in its own version, to which it migrates older documents.
        data = thing.to_dict(transform_hrefs=False)
        validator.validate(data, thing.STAC_OBJECT_TYPE, "1.1.0", [], thing.get_self_href())
        number += 1
    collections = list(root.get_children())
    assert number == 1 + len(collections) + sum(archive.count(c.id) for c in collections)


@pytest.mark.parametrize("form", FORMS)
def test_assets_say_what_their_files_are(form: str, request: pytest.FixtureRequest) -> None:
    archive: Archive = request.getfixturevalue(form)
    for collection in archive.folder.iterdir():
        if not collection.is_dir():
            continue
        for item in items_of(archive, collection.name)[:6]:
            home = archive.folder / collection.name / item["id"]
            for asset in item["assets"].values():
                path = home / asset["href"]
                assert path.is_file()
                if path.suffix not in (".tif", ".jp2"):
                    continue
                stated = {**item["properties"], **asset}
                with rasterio.open(path) as source:
                    assert list(source.shape) == stated["proj:shape"]
                    assert list(source.transform)[:6] == pytest.approx(stated["proj:transform"], rel=1e-12)
                    code = stated.get("proj:code") or f"EPSG:{stated['proj:epsg']}"
                    assert source.crs.to_string() == code
                    band = asset.get("raster:bands", [asset])[0]
                    assert source.dtypes[0] == band.get("data_type", source.dtypes[0])
                    if path.suffix == ".tif":
                        assert source.block_shapes == [(1024, 1024)]
                        assert source.tags()["SIMULATED"] == "yes"


def test_links_are_relative_so_that_the_archive_can_be_served(archive: Archive) -> None:
    for path in archive.folder.rglob("*.json"):
        if path.name == "archive.json":
            continue
        data = json.loads(path.read_text("utf-8"))
        for link in data["links"]:
            assert not link["href"].startswith(("/", "http", "file:"))
            assert (path.parent / link["href"]).resolve().is_file()
        assert "SIMULATED" in data.get("description", "SIMULATED")
