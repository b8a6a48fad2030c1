"""The genuine elevation and land cover files of an island: read, mosaicked, masked and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import from_bounds
from tests.support.engine_runs import assert_same_cube, plan_of, run_cubes
from tests.support.layers import Piece, cut, layer_graph, rectangle, write_pieces

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog
from acreage.catalog.landcover import class_counts
from acreage.core.errors import CatalogError, ItemUnreadable
from acreage.core.grid import Box, Grid, transformer

DEGREES = Grid.snapped(4326, 1.0)
DEGREE = DEGREES.box_covering(6, 0, 7, 1)  # the elevation tile's
CROPLAND = 4672  # pixels of class 40 in it
ISLAND = (6.44, 0.0, 6.78, 0.43)  # holds them all
MAP = "ESA_WORLDCOVER_10M_2021_V2"
LANDCOVER_FILE = "ESA_WorldCover_10m_2021_v200_N00E006_Map.tif"
DEM_FILE = "Copernicus_DSM_COG_10_N00_00_E006_00_DEM.tif"


@pytest.fixture(scope="module")
def files(real_data: Path) -> Path:
    return real_data / "dem-worldcover"


@pytest.fixture(scope="module")
def catalog(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The published items with their assets' addresses set to the files."""
    folder = tmp_path_factory.mktemp("island")
    for name, collection, asset, file in (
        ("ESA_WorldCover_10m_2021_v200_N00E006", "esa-worldcover", "map", LANDCOVER_FILE),
        ("Copernicus_DSM_COG_10_N53_00_W115_00_DEM", "cop-dem-glo-30", "data", DEM_FILE),
    ):
        item = json.loads((files / f"{name}.stac.json").read_text())
        item["assets"] = {asset: {**item["assets"][asset], "href": str(files / file)}}
        item["links"] = []
        if collection == "cop-dem-glo-30":  # the item at hand is another tile's; its form is that of all
            res = 1 / 3600
            item["id"] = DEM_FILE.removesuffix(".tif")
            item["bbox"], item["geometry"] = [6 - res / 2, res / 2, 7 - res / 2, 1 + res / 2], None
            item["properties"]["proj:transform"] = [res, 0, 6 - res / 2, 0, -res, 1 + res / 2]
            item["properties"]["proj:shape"] = [3600, 3600]
        (folder / f"{item['id']}.json").write_text(json.dumps(item))
        (folder / f"{collection}.json").write_text((files / f"{collection}.collection.json").read_text())
    return open_catalog(folder)


def test_the_published_collections_are_recognised_and_both_years_offered(catalog: Catalog) -> None:
    assert set(catalog.collections()) == {"COPERNICUS_30", "ESA_WORLDCOVER_10M_2020_V1", MAP}
    assert len(catalog.search(MAP, (6, 0, 7, 1)).items) == 1
    assert catalog.search("ESA_WORLDCOVER_10M_2020_V1", (6, 0, 7, 1)).items == ()


def node(process_id: str, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process_id, "arguments": arguments}


def ref(key: str) -> dict[str, str]:
    return {"from_node": key}


def first_in_time(key: str) -> dict[str, Any]:
    callback = {"f": {**node("first", data={"from_parameter": "data"}), "result": True}}
    return node("reduce_dimension", data=ref(key), dimension="t", reducer={"process_graph": callback})


def elevation_under_cropland(bounds: tuple[float, float, float, float]) -> dict[str, Any]:
    """Elevation by nearest neighbour on the land cover's pixels, null where they are not cropland."""
    west, south, east, north = bounds
    area = {"west": west, "south": south, "east": east, "north": north, "crs": 4326}
    is_cropland = {
        "c": node("eq", x={"from_parameter": "x"}, y=40),
        "no": {**node("if", value=ref("c"), accept=False, reject=True), "result": True},
    }
    return {
        "cover": node("load_collection", id=MAP, spatial_extent=area, temporal_extent=None),
        "flat": node("drop_dimension", data=ref("cover"), name="bands"),
        "map": first_in_time("flat"),
        "other": node("apply", data=ref("map"), process={"process_graph": is_cropland}),
        "dem": node("load_collection", id="COPERNICUS_30", spatial_extent=area, temporal_extent=None),
        "height": first_in_time("dem"),
        "fine": node("resample_cube_spatial", data=ref("height"), target=ref("cover"), method="near"),
        "cut": node("filter_bbox", data=ref("fine"), extent=area),
        "result": {**node("mask", data=ref("cut"), mask=ref("other")), "result": True},
    }


def test_elevation_under_cropland_is_what_rasterio_alone_finds(files: Path, catalog: Catalog) -> None:
    graph = elevation_under_cropland(ISLAND)
    cube = run_cubes(graph, catalog, 2048, threads=2)["result"]
    heights = cube.values[cube.validity()].astype(np.float64)
    assert heights.size == CROPLAND
    with rasterio.open(files / LANDCOVER_FILE) as cover, rasterio.open(files / DEM_FILE) as dem:
        window = from_bounds(*ISLAND, cover.transform).round_offsets().round_lengths()
        rows, columns = np.nonzero(cover.read(1, window=window) == 40)
        x, y = cover.window_transform(window) * (columns + 0.5, rows + 0.5)
        at = ~dem.transform * (x, y)
        elevation = dem.read(1)[np.floor(at[1]).astype(int), np.floor(at[0]).astype(int)]
    assert elevation.size == CROPLAND
    np.testing.assert_array_equal(np.sort(heights), np.sort(elevation.astype(np.float64)))
    assert 0 < heights.mean() < 1000


def test_genuine_relief_cut_into_four_files_shows_no_seam(files: Path, tmp_path: Path) -> None:
    with rasterio.open(files / DEM_FILE) as file:
        window = from_bounds(6.5, 0.2, 6.65, 0.35, file.transform).round_offsets().round_lengths()
        piece = Piece("dem", {"data": file.read(1, window=window)}, file.window_transform(window))
    area = rectangle(6.51, 0.21, 6.64, 0.34)
    graph = layer_graph("COPERNICUS_30", area, projection=32632, resolution=20, method="bilinear")
    pieces = {"whole": [piece], "cut": cut(piece, [231], [307])}
    whole, parts = (
        run_cubes(graph, open_catalog(write_pieces(tmp_path / name, {"cop-dem-glo-30": found})))["grid"]
        for name, found in pieces.items()
    )
    assert np.ptp(whole.values[whole.validity()]) > 1000
    assert_same_cube(whole, parts)


def test_a_bounded_memory_is_kept_and_the_plan_names_the_sea_around_the_island(catalog: Catalog) -> None:
    plan = plan_of(elevation_under_cropland((5.5, 0.0, 6.78, 0.43)), catalog, 2048)
    assert plan.estimate.memory_bytes < 1_000_000_000
    assert any(n.startswith("COPERNICUS_30: no tile for N00E005 ") for n in plan.notes)


def test_the_degree_holds_its_cropland_pixels_exactly(catalog: Catalog) -> None:
    (found,) = class_counts(catalog, MAP, [DEGREE], (10, 40))
    assert found.counts[40] == CROPLAND
    assert found.resolution == pytest.approx(111_320 / 12_000)


def test_an_overview_gives_the_share_of_a_common_class_without_reading_the_whole_file(
    catalog: Catalog,
) -> None:
    (exact,) = class_counts(catalog, MAP, [DEGREE], (10,), 10)
    (coarse,) = class_counts(catalog, MAP, [DEGREE], (10,), 160)
    assert coarse.resolution == pytest.approx(16 * exact.resolution)
    assert coarse.pixels < exact.pixels / 200
    assert coarse.share == pytest.approx(exact.share, abs=0.005)


def test_tiles_of_another_crs_share_the_pixels_without_losing_or_doubling_one(catalog: Catalog) -> None:
    grid = Grid.snapped(3035, 20)
    bounds = transformer("EPSG:4326", "EPSG:3035").transform_bounds(*ISLAND, densify_pts=21)
    whole = grid.box_covering(*bounds)
    tiles = list(whole.windows(1000, 1000))
    assert len(tiles) > 6
    parts = class_counts(catalog, MAP, tiles, (10, 40))
    (together,) = class_counts(catalog, MAP, [whole], (10, 40))
    assert sum(p.counts[40] for p in parts) == together.counts[40] == CROPLAND
    assert sum(p.pixels for p in parts) == together.pixels


def test_an_area_that_no_file_covers_has_no_pixels(catalog: Catalog) -> None:
    (found,) = class_counts(catalog, MAP, [DEGREES.box_covering(20, 40, 21, 41)], (40,))
    assert (found.pixels, found.counts, found.share, found.resolution) == (0, {40: 0}, 0.0, 0.0)


def test_a_plain_folder_of_the_published_files_is_a_catalog(files: Path, tmp_path: Path) -> None:
    (tmp_path / "tiles").mkdir()
    for file in (LANDCOVER_FILE, DEM_FILE):
        (tmp_path / "tiles" / file).symlink_to(files / file)
    catalog = open_catalog(tmp_path)
    assert MAP in catalog.collections()
    (found,) = class_counts(catalog, MAP, [DEGREE], (40,), 40)
    assert found.pixels > 4_000_000
    assert catalog.search("ESA_WORLDCOVER_10M_2020_V1", (6, 0, 7, 1)).items == ()
    (item,) = catalog.search("COPERNICUS_30", (6.5, 0.5, 6.6, 0.6)).items
    assert item.id == "Copernicus_DSM_COG_10_N00_00_E006_00_DEM"
    assert item.rasters["DEM"].box.shape == (3600, 3600)
    plan = plan_of(elevation_under_cropland((5.5, 0.0, 6.78, 0.43)), catalog, 2048)
    assert any(n.startswith("COPERNICUS_30: no tile for N00E005 ") for n in plan.notes)


# --- small made files ---

RES = 1 / 1200


def classes(seed: int = 1) -> Piece:
    values = np.random.default_rng(seed).choice([0, 10, 30, 40, 50], (120, 130)).astype(np.uint8)
    return Piece(
        "lc", {"map": values}, Affine(RES, 0, 5.95, 0, -RES, 48.05), nodata=0, moment="2021-06-01T00:00:00Z"
    )


def test_counts_over_file_borders_and_overlaps_are_those_of_one_file(tmp_path: Path) -> None:
    piece = classes()
    area = [Box(Grid.snapped(4326, RES), 7150, -57650, 7240, -57560)]
    inside = piece.assets["map"][10:100, 10:100]
    for overlap in (0, 7):
        path = write_pieces(tmp_path / str(overlap), {"esa-worldcover": cut(piece, [50], [60], overlap)})
        (found,) = class_counts(open_catalog(path), MAP, area, (30, 40))
        assert found.pixels == (inside != 0).sum()
        assert found.counts == {30: (inside == 30).sum(), 40: (inside == 40).sum()}


def test_a_file_that_cannot_be_used_is_not_counted_as_sea(tmp_path: Path) -> None:
    path = write_pieces(tmp_path, {"esa-worldcover": [classes()]})
    catalog = open_catalog(path)
    catalog.search(MAP, (-180, -90, 180, 90))
    file = tmp_path / "esa-worldcover" / "lc_map.tif"
    file.write_bytes(file.read_bytes()[:3000])
    area = [Box(Grid.snapped(4326, RES), 7150, -57650, 7240, -57560)]
    with pytest.raises((ItemUnreadable, CatalogError), match="lc"):
        class_counts(catalog, MAP, area, (40,))
    file.unlink()
    with pytest.raises(CatalogError, match="1 items cannot be counted"):
        class_counts(open_catalog(path), MAP, area, (40,))


def test_the_two_years_of_one_source_are_two_collections(tmp_path: Path) -> None:
    years = {
        "2020": ("2020-01-01T00:00:00Z", "2020-12-31T23:59:59Z", 10),
        "2021": ("2021-01-01T00:00:00Z", "2021-12-31T23:59:59Z", 40),
    }
    pieces = [
        Piece(
            f"lc{year}",
            {"map": np.full((40, 40), code, np.uint8)},
            Affine(RES, 0, 6, 0, -RES, 48),
            nodata=0,
            moment=start,
            properties={"datetime": None, "start_datetime": start, "end_datetime": end},
        )
        for year, (start, end, code) in years.items()
    ]
    path = write_pieces(tmp_path, {"esa-worldcover": pieces})
    document = path.parent / "esa-worldcover" / "collection.json"
    stated = json.loads(document.read_text())
    stated["extent"]["temporal"]["interval"] = [["2020-01-01T00:00:00Z", "2021-12-31T23:59:59Z"]]
    document.write_text(json.dumps(stated))
    catalog = open_catalog(path)
    area = rectangle(6.005, 47.97, 6.03, 47.995)
    for name, code in (("ESA_WORLDCOVER_10M_2020_V1", 10), (MAP, 40)):
        cube = run_cubes(layer_graph(name, area), catalog)["load"]
        assert cube.validity().all()
        assert set(np.unique(cube.values)) == {code}
