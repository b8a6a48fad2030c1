from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from acreage.core.errors import InvalidInput
from acreage.production.areas import GROUPS, country_shapes, find_area, moved


def test_countries_are_found_by_letters_and_by_name() -> None:
    area = find_area("MT, LUX,cyprus")
    assert list(area.countries) == ["CY", "LU", "MT"]
    luxembourg = area.countries["LU"]
    # 2586 square kilometres, in an equal-area projection.
    there = moved(luxembourg, "EPSG:4326", "EPSG:3035")
    assert there is not None
    assert there.area / 1e6 == pytest.approx(2586, rel=0.03)
    assert area.geometry.contains(shapely.Point(14.42, 35.88))
    assert not area.geometry.contains(shapely.Point(12.5, 41.9))


def test_a_group_is_its_countries() -> None:
    area = find_area("EU27")
    assert len(GROUPS["EU27"]) == len(set(GROUPS["EU27"])) == 27
    assert sorted(area.countries) == sorted(GROUPS["EU27"])
    inside = {"Paris": (2.35, 48.85), "Nicosia": (33.35, 35.14), "Kiruna": (20.3, 67.85)}
    outside = {"Zurich": (8.54, 47.38), "London": (-0.12, 51.5), "Oslo": (10.75, 59.9), "Kyiv": (30.5, 50.45)}
    assert all(area.geometry.contains(shapely.Point(p)) for p in inside.values())
    assert not any(area.geometry.contains(shapely.Point(p)) for p in outside.values())


def test_all_pieces_of_a_country_are_one_shape() -> None:
    shapes = country_shapes(["AU", "XK"])
    assert list(shapes) == ["AU", "XK"]
    assert shapes["XK"].contains(shapely.Point(21.16, 42.66))
    assert all(s.geom_type == "MultiPolygon" and s.is_valid for s in shapes.values())


def test_a_misspelt_country_is_told_what_was_meant() -> None:
    with pytest.raises(InvalidInput, match=r"'Frnce' is no country.*Did you mean France"):
        find_area("BE,Frnce")


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".parquet"])
def test_a_file_of_polygons_of_any_crs_is_an_area(tmp_path: Path, suffix: str) -> None:
    square = shapely.box(3_900_000, 3_000_000, 3_920_000, 3_020_000)
    frame = gpd.GeoDataFrame(geometry=[square], crs=3035)
    path = tmp_path / f"valley{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_crs(4326 if suffix == ".geojson" else 3035).to_file(path)
    area = find_area(str(path))
    assert area.name == "valley"
    back = moved(area.geometry, "EPSG:4326", "EPSG:3035")
    assert back is not None
    assert back.area == pytest.approx(4e8, rel=1e-3)
    assert area.countries == {}


def test_points_and_files_without_crs_are_no_areas(tmp_path: Path) -> None:
    points = tmp_path / "points.gpkg"
    gpd.GeoDataFrame(geometry=[shapely.Point(5, 50)], crs=4326).to_file(points)
    with pytest.raises(InvalidInput, match="no polygons"):
        find_area(str(points))
    bare = tmp_path / "bare.parquet"
    gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)]).to_parquet(bare)
    with pytest.raises(InvalidInput, match="no CRS"):
        find_area(str(bare))
    broken = tmp_path / "broken.gpkg"
    broken.write_bytes(b"not a database")
    with pytest.raises(InvalidInput, match="cannot be read"):
        find_area(str(broken))


def test_a_rectangle_of_another_crs_bends_with_the_globe() -> None:
    area = find_area("EPSG:3035:3900000,3000000,4300000,3400000")
    corners = [(3_900_000, 3_000_000), (4_100_000, 3_000_000), (4_300_000, 3_400_000)]
    back = moved(area.geometry, "EPSG:4326", "EPSG:3035")
    assert back is not None
    assert all(back.distance(shapely.Point(c)) < 60 for c in corners)
    assert len(shapely.get_coordinates(area.geometry)) > 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5,50,4,51", "no extent"),
        ("5,50,east,51", "is not an area"),
        ("EPSG:99999999:0,0,1,1", "not a coordinate reference system"),
        ("EPSG:3035:-9e15,0,9e15,1", "not on the globe"),
        ("atlantis.gpkg", "is no country"),
        ("", "is no country"),
    ],
)
def test_what_is_no_area_is_refused_with_the_forms_there_are(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        find_area(text)
