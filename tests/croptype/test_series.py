from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from acreage.core.arrays import Masked
from acreage.core.errors import InvalidInput
from acreage.core.temporal import Season, period_label
from acreage.croptype.labels import open_samples
from acreage.croptype.series import Samples, read_samples, season_dekads, write_samples
from acreage.processes.registry import array_processes
from support.croptype_samples import SEASON, make_samples

FRENCH = "labels/dekad_2023_FRA_LPIS_POLY_110.geoparquet"


def test_samples_come_back_from_their_file_as_they_were(samples: Samples, tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    write_samples(samples, path)
    again = open_samples(path)
    for name in ("ids", "labels", "groups", "regions", "bands", "dekads"):
        assert np.array_equal(getattr(again, name), getattr(samples, name)), name
    np.testing.assert_array_equal(again.values, samples.values)
    assert again.geometry.geom_equals(samples.geometry).all()
    assert [p.name for p in tmp_path.iterdir()] == ["samples.parquet"]


def test_the_file_is_geoparquet_that_others_read(samples: Samples, tmp_path: Path) -> None:
    write_samples(samples, tmp_path / "samples.parquet")
    frame = gpd.read_parquet(tmp_path / "samples.parquet")
    assert frame.crs == samples.geometry.crs
    np.testing.assert_array_equal(frame["VV"].iloc[3], samples.values[3, :, samples.bands.index("VV")])


def test_nulls_in_a_series_are_missing_values(samples: Samples, tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    write_samples(samples, path)
    table = pq.read_table(path)
    rows = [[None if np.isnan(v) else v for v in row] for row in samples.values[:, :, 0]]
    index = table.column_names.index("B02")
    pq.write_table(table.set_column(index, "B02", pa.array(rows, pa.list_(pa.float32()))), path)
    np.testing.assert_array_equal(read_samples(path).values, samples.values)


def test_damaged_files_are_refused_by_name(samples: Samples, tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_samples(path)
    path.write_text("no parquet")
    with pytest.raises(InvalidInput, match="not Parquet"):
        read_samples(path)
    write_samples(samples, path)
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["VH"]), path)
    with pytest.raises(InvalidInput, match="lacks the columns VH"):
        read_samples(path)
    index = table.column_names.index("VH")
    short = pa.array([[1.0] * 3] * len(samples), pa.list_(pa.float32()))
    pq.write_table(table.set_column(index, "VH", short), path)
    with pytest.raises(InvalidInput, match="3 to 3 values, not of 24"):
        read_samples(path)
    pq.write_table(table.replace_schema_metadata({}), path)
    with pytest.raises(InvalidInput, match="no samples file"):
        read_samples(path)


def test_repeated_ids_are_refused(samples: Samples) -> None:
    with pytest.raises(InvalidInput, match="not unique"):
        replace(samples, ids=np.full(len(samples), "a"))


def test_the_default_season_has_24_dekads_and_a_lacking_one_is_refused(samples: Samples) -> None:
    dekads = season_dekads(SEASON)
    assert (len(dekads), dekads[0], dekads[-1]) == (24, date(2019, 3, 1), date(2019, 10, 21))
    summer = samples.in_season(Season(date(2019, 6, 1), date(2019, 8, 31)))
    assert len(summer.dekads) == 9
    np.testing.assert_array_equal(summer.values, samples.values[:, 9:18])
    with pytest.raises(InvalidInput, match="lack 3 dekads"):
        samples.in_season(Season(date(2019, 10, 1), date(2019, 11, 30)))


def test_only_interior_gaps_of_optical_bands_are_filled_linearly_over_dekads() -> None:
    samples = make_samples(4)
    series = np.full(24, np.nan, np.float32)
    series[[2, 5, 9]] = (100, 400, 0)
    samples.values[0, :, 0] = series
    radar = samples.values[:, :, 5:].copy()
    filled = samples.with_gaps_filled()
    expected = np.interp(range(24), [2, 5, 9], (100, 400, 0))
    np.testing.assert_allclose(filled.values[0, 2:10, 0], expected[2:10], rtol=1e-6)
    assert np.isnan(filled.values[0, :2, 0]).all()
    assert np.isnan(filled.values[0, 10:, 0]).all()
    np.testing.assert_array_equal(filled.values[:, :, 5:], radar)


def test_gaps_are_filled_as_the_process_of_the_preprocessing_graph_fills_them() -> None:
    samples = make_samples(6)
    hidden = np.random.default_rng(3).random(samples.values.shape[:2]) < 0.4
    samples.values[hidden] = np.nan
    filled = samples.with_gaps_filled()
    labels = tuple(period_label("dekad", datetime(d.year, d.month, d.day)) for d in samples.dekads)
    optical = samples.values[:, :, :5].transpose(1, 0, 2)
    series = Masked(optical, np.isfinite(optical), is_array=True, labels=labels)
    result = array_processes()["array_interpolate_linear"].function(data=series)
    expected = np.where(result.validity(), result.values, np.nan).transpose(1, 0, 2)
    np.testing.assert_allclose(filled.values[:, :, :5], expected, rtol=1e-6)


def test_the_french_series_decode_as_a_few_lines_of_numpy_do(real_data: Path) -> None:
    rows = pq.ParquetFile(real_data / FRENCH).read().to_pandas()
    samples = open_samples(real_data / FRENCH)
    assert len(samples) == 500
    assert samples.bands == ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12", "VV", "VH", "DEM")
    place = {name: i for i, name in enumerate(samples.ids)}
    when = {d: i for i, d in enumerate(samples.dekads)}
    seen = np.zeros(samples.values.shape[:2], bool)
    for row in rows[["sample_id", "timestamp", "S2-L2A-B08", "S1-SIGMA0-VH", "elevation"]].itertuples(
        index=False
    ):
        i, t = place[row[0]], when[row[1].date()]
        seen[i, t] = True
        found = samples.values[i, t, [samples.bands.index(b) for b in ("B08", "VH", "DEM")]]
        power = 10 ** ((20 * np.log10(row[3]) - 83) / 10) if row[3] != 65535 else np.nan
        wanted = [row[2] if row[2] != 65535 else np.nan, power, row[4] if row[4] != 65535 else np.nan]
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert seen.sum() == len(rows)
    assert np.isnan(samples.values[~seen]).all()


def test_the_french_series_keep_their_labels_regions_and_places(real_data: Path) -> None:
    rows = (
        pq.ParquetFile(real_data / FRENCH)
        .read()
        .to_pandas()
        .drop_duplicates("sample_id")
        .set_index("sample_id")
    )
    samples = open_samples(real_data / FRENCH)
    rows = rows.loc[samples.ids.tolist()]
    assert samples.labels.tolist() == rows["ewoc_code"].astype(str).tolist()
    assert sorted(np.unique(samples.regions, return_counts=True)[1].tolist()) == [12, 147, 341]
    np.testing.assert_allclose(samples.geometry.x, rows["lon"], atol=1e-6)
    np.testing.assert_allclose(samples.geometry.y, rows["lat"], atol=1e-6)


def test_a_worldcereal_table_without_a_needed_column_is_refused(real_data: Path, tmp_path: Path) -> None:
    table = pq.ParquetFile(real_data / FRENCH).read().slice(0, 50).drop_columns(["geometry"])
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(InvalidInput, match="lack the columns geometry"):
        open_samples(tmp_path / "x.parquet")
