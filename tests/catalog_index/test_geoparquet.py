"""Published stac-geoparquet as a catalog: what it answers is what its items say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import stac_geoparquet.arrow as library
from tests.support.catalog_items import WORLD, stac_item, write_catalog

from acreage.catalog import Search, open_catalog
from acreage.catalog.sources import features
from acreage.core.errors import CatalogError

REAL = {
    "earth search": ("s2-earthsearch/stac_items/*.json", {"boa": True}),
    "planetary computer": ("stac-items/pc_s2_l2a_13items_T35MNM_2020.geojson", {}),
    "cdse": ("stac-items/cdse_s2_l2a_T*.json", {}),
}


def real_items(folder: Path, pattern: str) -> list[dict[str, Any]]:
    items = [dict(f) for p in sorted(folder.glob(pattern)) for f in features(json.loads(p.read_text()))]
    return [{**item, "collection": "sentinel-2-l2a"} for item in items if "_OPER_" not in item["id"]]


def write(path: Path, items: Sequence[dict[str, Any]], **options: Any) -> Path:
    library.to_parquet(library.parse_stac_items_to_arrow(list(items)), path, **options)
    return path


def told(search: Search) -> list[Any]:
    """All that a job needs of a search, without the addresses of the items."""
    facts = ("href", "box", "dtype", "nodata", "dn_offset", "scale")
    return [
        (i.id, i.datetime, i.group, i.rank, i.bbox,
         {name: [getattr(r, fact) for fact in facts] for name, r in i.rasters.items()})
        for i in search.items
    ]  # fmt: skip


@pytest.mark.parametrize("catalog", REAL)
def test_real_items_mean_the_same_in_a_file_as_in_json(catalog: str, real_data: Path, tmp_path: Path) -> None:
    items = real_items(real_data, REAL[catalog][0])
    path = write(tmp_path / "items.parquet", items)
    from_file = open_catalog(path).search("SENTINEL2_L2A", WORLD)
    root = write_catalog(tmp_path / "static", items)
    from_json = open_catalog(root).search("SENTINEL2_L2A", WORLD)
    assert len(from_file.items) >= 2
    assert told(from_file) == told(from_json)
    assert from_file.superseded == from_json.superseded
    assert [(p.item, p.asset, p.kind) for p in from_file.problems] == [
        (p.item, p.asset, p.kind) for p in from_json.problems
    ]


def many() -> list[dict[str, Any]]:
    items = []
    for n in range(40):
        west, south = 4.0 + n % 8, 45.0 + n // 8
        items.append(
            stac_item(
                f"i{n:02d}",
                bbox=[west, south, west + 0.8, south + 0.8],
                geometry=shapely.geometry.mapping(shapely.box(west, south, west + 0.8, south + 0.8)),
                datetime=f"2022-06-{1 + n % 28:02d}T10:50:22Z",
                **{"eo:cloud_cover": float(n), "grid:code": f"MGRS-31U{chr(65 + n % 8)}{chr(65 + n // 8)}"},
            )
        )
    return items


def ids(path: Path, bounds: tuple[float, float, float, float], **options: Any) -> list[str]:
    return [i.id for i in open_catalog(path).search("SENTINEL2_L2A", bounds, **options).items]


def test_area_and_time_are_searched_over_row_groups_and_files(tmp_path: Path) -> None:
    items = many()
    folder = tmp_path / "items"
    folder.mkdir()
    write(folder / "a.parquet", items[:24])
    table = pq.read_table(write(tmp_path / "b.parquet", items[24:]))
    pq.write_table(table, folder / "b.parquet", row_group_size=3)
    static = write_catalog(tmp_path / "static", items)
    for bounds in [(4.2, 45.2, 4.3, 45.3), (6.5, 46.5, 9.2, 48.1), (4.85, 45.85, 4.95, 45.95), WORLD]:
        assert ids(folder, bounds) == ids(static, bounds)
    june = (np.datetime64("2022-06-05"), np.datetime64("2022-06-09"))
    assert ids(folder, WORLD, interval=june) == ids(static, WORLD, interval=june) != []
    query = {"eo:cloud_cover": {"lt": 4}}
    assert ids(folder, WORLD, query=query) == ids(static, WORLD, query=query) == ["i00", "i01", "i02", "i03"]


def test_collections_and_their_metadata_come_from_the_file(tmp_path: Path) -> None:
    items = many()[:4]
    items[3]["collection"] = "other"
    stac = {
        "type": "Collection", "id": "sentinel-2-l2a", "title": "Sentinel-2", "license": "other",
        "description": "",
        "extent": {"spatial": {"bbox": [[1, 2, 3, 4]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
    }  # fmt: skip
    path = write(tmp_path / "items.parquet", items, collections={"sentinel-2-l2a": stac})
    catalog = open_catalog(path)
    assert set(catalog.collections()) == {"SENTINEL2_L2A", "other"}
    assert catalog.describe("SENTINEL2_L2A").bboxes == ((1.0, 2.0, 3.0, 4.0),)
    assert ids(path, WORLD) == ["i00", "i01", "i02"]


def test_a_file_that_geopandas_wrote_without_bbox_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "items.parquet", many())
    frame = gpd.read_parquet(path)
    frame.to_parquet(tmp_path / "plain.parquet")
    bounds = (4.2, 45.2, 5.3, 45.3)
    assert ids(tmp_path / "plain.parquet", bounds) == ids(path, bounds) == ["i00", "i01"]


def test_relative_addresses_are_taken_from_the_file_on(tmp_path: Path) -> None:
    items = many()[:1]
    items[0]["assets"]["blue"]["href"] = "./pixels/blue.tif"
    path = write(tmp_path / "items.parquet", items)
    (problem,) = open_catalog(path).search("SENTINEL2_L2A", WORLD, bands=("B02",)).problems
    assert str(tmp_path / "pixels" / "blue.tif") in problem.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("columns", "no column geometry, assets"),
        ("crs", "footprints are in EPSG:3035"),
        ("encoding", "are point, not WKB"),
        ("bytes", "cannot be read as Parquet"),
    ],
)
def test_what_is_no_stac_geoparquet_is_refused_in_words(change: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "items.parquet", many())
    table = pq.read_table(path)
    if change == "columns":
        table = pa.table({"id": ["a"], "datetime": ["2020-01-01"]})
    elif change != "bytes":
        geo = json.loads(table.schema.metadata[b"geo"])
        column = geo["columns"]["geometry"]
        column.update(
            {"crs": {"id": {"authority": "EPSG", "code": 3035}}} if change == "crs" else {"encoding": "point"}
        )
        table = table.replace_schema_metadata({**table.schema.metadata, b"geo": json.dumps(geo).encode()})
    pq.write_table(table, path)
    if change == "bytes":
        path.write_bytes(b"PAR1 nothing")
    with pytest.raises(CatalogError, match=message) as caught:
        open_catalog(path)
    assert str(path) in str(caught.value)
