"""The README's table of catalogs: every command has its options, every configuration opens and plans."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from shapely.geometry import box, mapping
from tests.support.stac_api import StacApi, stac_api

from acreage.catalog import open_catalog
from acreage.catalog.index import IndexPolicy
from acreage.catalog.sources import features
from acreage.cli.main import app
from acreage.engine.compiler import compile_graph
from acreage.engine.parser import parse_graph

ROOT = Path(__file__).resolve().parents[2]
EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
CDSE = "https://stac.dataspace.copernicus.eu/v1"
PLANETARY = "https://planetarycomputer.microsoft.com/api/stac/v1"
AREA = (4.6, 50.7, 4.9, 51.0)
MAP_INPUTS = {"SENTINEL2_L2A", "SENTINEL1_GRD", "COPERNICUS_30", "ESA_WORLDCOVER_10M_2021_V2"}


def rows() -> list[list[str]]:
    text = (ROOT / "README.md").read_text("utf-8")
    table = text[text.index("| catalog |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def commands() -> list[list[str]]:
    return [shlex.split(c) for row in rows() for c in re.findall(r"`(acreage [^`]+)`", row[-1])]


def value(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


def test_every_row_has_a_command() -> None:
    assert len(rows()) == 6
    assert all("`acreage " in row[-1] for row in rows())


@pytest.mark.parametrize("command", commands(), ids=shlex.join)
def test_the_options_of_a_command_exist_and_its_files_are_there(command: list[str]) -> None:
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="acreage")
    found = group.get_command(context, command[1])  # type: ignore[attr-defined]
    assert found is not None
    known = {name for parameter in found.params for name in parameter.opts}
    used = {word for word in command[2:] if word.startswith("-")}
    assert used <= known
    needed = {p.opts[0] for p in found.params if p.required and p.param_type_name == "option"}
    assert needed <= used
    for word in command:
        assert not word.startswith("examples/") or (ROOT / word).is_file()


def test_every_ready_configuration_is_in_the_table_and_is_valid() -> None:
    named = {value(c, "--catalog") for c in commands()}
    for path in (ROOT / "examples" / "catalogs").iterdir():
        assert f"examples/catalogs/{path.name}" in named
        assert set(yaml.safe_load(path.read_text())["collections"]) == MAP_INPUTS


# --- loopback APIs that answer as the catalogs do ---


def over_area(item: Mapping[str, Any], collection: str, **changes: Any) -> dict[str, Any]:
    """A real item, its footprint moved over the area; dates and assets are its own."""
    moved = {
        **item,
        "collection": collection,
        "bbox": list(AREA),
        "geometry": mapping(box(*AREA)),
        "links": [],
    }
    moved["properties"] = {**moved["properties"], "eo:cloud_cover": 10.0}
    return json.loads(json.dumps({**moved, **changes}))


def layer(collection: str, key: str, href: str, moment: str) -> dict[str, Any]:
    asset = {
        "href": href, "proj:shape": [3600, 3600], "proj:transform": [1 / 3600, 0, 4.0, 0, -1 / 3600, 51.0],
        "proj:code": "EPSG:4326",
    }  # fmt: skip
    properties = {"datetime": moment}
    item = {"type": "Feature", "stac_version": "1.0.0", "id": f"{collection}-1", "properties": properties}
    return over_area({**item, "assets": {key: asset}}, collection)


def radar(day: str) -> dict[str, Any]:
    grid = {
        "proj:shape": [2000, 2000],
        "proj:transform": [10, 0, 600000, 0, -10, 5650000],
        "proj:code": "EPSG:32631",
    }
    base = "https://sentinel1euwestrtc.blob.core.windows.net/sentinel1-grd-rtc/made-up"
    assets = {key: {"href": f"{base}/iw-{key}.rtc.tiff", **grid} for key in ("vv", "vh")}
    properties = {
        "datetime": f"{day}T05:50:00Z",
        "sat:orbit_state": "descending",
        "sat:absolute_orbit": 41000,
    }
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "rtc-1",
        "properties": properties,
        "assets": assets,
    }
    return over_area(item, "sentinel-1-rtc")


def optical(real_data: Path, pattern: str) -> dict[str, Any]:
    path = next(iter(sorted(real_data.glob(pattern))))
    return over_area(features(json.loads(path.read_text()))[0], "sentinel-2-l2a")


def catalogs(real_data: Path) -> dict[str, list[dict[str, Any]]]:
    """Items of each catalog, with the collections that the table says it has."""
    blob = "https://ai4edataeuwest.blob.core.windows.net"
    optics = {
        EARTH_SEARCH: optical(real_data, "s2-earthsearch/stac_items/S2B_33TWN_20220130_0_L2A.json"),
        CDSE: optical(real_data, "stac-items/cdse_s2_l2a_T36NYH_*.json"),
        PLANETARY: optical(real_data, "stac-items/pc_s2_l2a_item_T06VVN.json"),
    }
    days = [item["properties"]["datetime"][:10] for item in optics.values()]
    radars = [radar(day) | {"id": f"rtc-{day}"} for day in days]
    return {
        EARTH_SEARCH: [
            optics[EARTH_SEARCH],
            layer("cop-dem-glo-30", "data", "s3://copernicus-dem-30m/made-up.tif", "2021-04-22T00:00:00Z"),
        ],
        CDSE: [
            optics[CDSE],
            layer("cop-dem-glo-30-dged-cog", "data", "s3://eodata/made-up.tif", "2021-04-22T00:00:00Z"),
        ],
        PLANETARY: [
            optics[PLANETARY],
            *radars,
            layer("cop-dem-glo-30", "data", f"{blob}/copernicus-dem/made-up.tif", "2021-04-22T00:00:00Z"),
            layer("esa-worldcover", "map", f"{blob}/esa-worldcover/made-up.tif", "2021-01-01T00:00:00Z"),
        ],
    }  # fmt: skip


def api_of(items: list[dict[str, Any]]) -> StacApi:
    stac = {
        "type": "Collection", "stac_version": "1.0.0", "description": "", "license": "other", "links": [],
        "extent": {"spatial": {"bbox": [list(AREA)]}, "temporal": {"interval": [[None, None]]}},
    }  # fmt: skip
    return StacApi({i["collection"]: {**stac, "id": i["collection"]} for i in items}, items, page=100)


PLANNED = [value(c, "--catalog") for c in commands() if "--plan" in c]


@pytest.mark.parametrize("catalog", PLANNED)
def test_a_catalog_of_the_table_opens_and_plans_the_inputs_of_a_map(
    catalog: str, real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDSE_S3_ACCESS_KEY", "made-up")
    monkeypatch.setenv("CDSE_S3_SECRET_KEY", "made-up")
    published = catalogs(real_data)
    with ExitStack() as stack:
        servers = {a: stack.enter_context(stac_api(api_of(items))) for a, items in published.items()}
        text = catalog if catalog.startswith("https:") else (ROOT / catalog).read_text()
        optics = next(a for a in published if a in text)
        if "SENTINEL2_L2A" in text:
            entry = yaml.safe_load(text)["collections"]["SENTINEL2_L2A"]
            optics = entry["catalog"]
        for address, server in servers.items():
            text = text.replace(address, server.address)
        if not catalog.startswith("https:"):
            (tmp_path / "catalog.yaml").write_text(text)
            text = str(tmp_path / "catalog.yaml")
        day = published[optics][0]["properties"]["datetime"][:10]
        document = json.loads((ROOT / "examples" / "graphs" / "inputs.json").read_text())
        graph = parse_graph(document, {"period": [day, f"{day}T23:59:59Z"]})
        opened = open_catalog(text, index=IndexPolicy(tmp_path / "index"))
        _, _, sources = compile_graph(graph, opened)
        assert {s.collection for s in sources} == MAP_INPUTS
        assert all(len(s.items) == 1 for s in sources)
        assert not any(s.problems for s in sources)
        asked = sum(len(s.requests) for s in servers.values())
        again = open_catalog(text, index=IndexPolicy(tmp_path / "index"))
        compile_graph(parse_graph(document, {"period": [day, f"{day}T23:59:59Z"]}), again)
        assert sum(len(s.requests) for s in servers.values()) == asked, "the second plan asked the catalogs"
