from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from acreage.core.errors import InvalidInput
from acreage.croptype.labels import open_legend, read_eurocrops_country
from acreage.croptype.reference import read_reference


def square(x: float, y: float) -> shapely.Polygon:
    return shapely.box(x, y, x + 1, y + 1)


def frame(**more: object) -> gpd.GeoDataFrame:
    rows = {"label": ["wheat", "maize", None], "id": [1.0, 2.0, 3.0], **more}
    return gpd.GeoDataFrame(rows, geometry=[square(0, 0), square(2, 2), square(4, 4)], crs="EPSG:32631")


@pytest.mark.parametrize("name", ["parcels.gpkg", "parcels.geojson", "parcels.parquet", "parcels.fgb"])
def test_parcels_are_read_from_every_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        frame().to_parquet(path)
    else:
        source = frame().to_crs(4326) if name.endswith("geojson") else frame()
        source.to_file(path)
    found = read_reference(path)
    rows = found.table.sort_values("sample_id")
    assert rows["label"].tolist() == ["wheat", "maize"]
    assert rows["sample_id"].tolist() == ["1", "2"]
    assert rows["group"].tolist() == ["1", "2"]
    assert found.without_label == 1
    assert found.table.crs is not None


def test_broken_geometries_are_repaired_or_counted(tmp_path: Path) -> None:
    bow = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    rows = gpd.GeoDataFrame({"label": ["a", "b", "c"]}, geometry=[bow, None, square(0, 0)], crs="EPSG:32631")
    rows.to_parquet(tmp_path / "p.parquet")
    found = read_reference(tmp_path / "p.parquet")
    assert (found.repaired, found.without_geometry) == (1, 1)
    assert found.table["label"].tolist() == ["a", "c"]
    assert found.table.is_valid.all()
    assert found.table.area.iloc[0] == pytest.approx(0.5)


def test_what_cannot_be_used_is_refused_with_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    with pytest.raises(InvalidInput, match="no reference data"):
        read_reference(path)
    path.write_text("no")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_reference(path)
    frame().rename(columns={"label": "soort"}).to_parquet(path)
    with pytest.raises(InvalidInput, match=r"there are: soort, id"):
        read_reference(path)
    assert read_reference(path, label_column="soort").label_column == "soort"
    with pytest.raises(InvalidInput, match="no column 'x'"):
        read_reference(path, label_column="x")
    frame(id=[1, 1, 2]).to_parquet(path)
    with pytest.raises(InvalidInput, match="repeat: 1"):
        read_reference(path)
    gpd.GeoDataFrame({"label": ["a"]}, geometry=[square(0, 0)]).to_parquet(path)
    with pytest.raises(InvalidInput, match="no CRS"):
        read_reference(path)
    frame(label=[None, None, None]).to_parquet(path)
    with pytest.raises(InvalidInput, match="both a geometry and a label"):
        read_reference(path)


def test_the_real_flemish_parcels_and_samples_fit_the_legend(real_data: Path) -> None:
    legend = open_legend("europe")
    parcels = read_reference(real_data / "flanders-2019/parcels.gpkg")
    assert (len(parcels.table), parcels.label_column) == (19, "croptype")
    names = [c.name for c in map(legend.classify, parcels.table["label"]) if c]
    assert (len(names), names.count("grassland"), names.count("maize")) == (19, 7, 4)
    samples = read_reference(real_data / "reference/2019_BE_LPIS-Flanders_POLY_110_samples.json")
    assert len(samples.table) == 1384
    assert samples.label_column == "CT"
    found = [legend.classify(label) for label in samples.table["label"]]
    assert all(found)
    assert sum(c.name == "maize" for c in found if c) == 365


def test_the_real_catalan_samples_name_their_province(real_data: Path) -> None:
    path = real_data / "reference/2019_ES_SIGPAC-Catalunya_POLY_111_samples.json"
    found = read_reference(path, region_column="Provincia")
    regions, counts = np.unique(found.table["region"], return_counts=True)
    assert dict(zip(regions.tolist(), counts.tolist(), strict=True))["Lleida"] == 422
    unknown = [label for label in found.table["label"] if open_legend("europe").classify(label) is None]
    assert set(unknown) == {"991"}  # WorldCereal's "unknown"


def test_a_crosswalk_replaces_codes_and_counts_those_it_lacks(real_data: Path, tmp_path: Path) -> None:
    codes = read_eurocrops_country(real_data / "reference/eurocrops/be_vlg_2021.csv")
    frame(label=["201", "321", "no such code"]).to_parquet(tmp_path / "p.parquet")
    found = read_reference(tmp_path / "p.parquet", crosswalk=codes)
    assert found.table["label"].tolist() == ["3301090400", "3301010401"]
    assert found.without_label == 1
