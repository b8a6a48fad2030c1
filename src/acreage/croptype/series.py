"""Dekad time series of labelled samples: the table that sampling writes and training reads.

File: GeoParquet, one row a sample. Columns `sample_id`, `label`, `group`, `region`, `geometry`, and one
column a band with a list of float32, one value a dekad, NaN or null where nothing was observed. The schema
metadata key `acreage:series` holds JSON: `version`, `bands`, `dekads` (ISO dates of their first days) and
`s1_unit` (`linear`, where it is missing, or `db`).
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from acreage.core.errors import InvalidInput
from acreage.core.outputs import whole_file
from acreage.core.temporal import Season, periods, to_datetime
from acreage.croptype.bands import STATIC_SENSORS, sensor_of

METADATA_KEY = b"acreage:series"
VERSION = 1
TEXT_COLUMNS = ("sample_id", "label", "group", "region")


@dataclass(frozen=True)
class Samples:
    """N samples with T dekads of B bands."""

    ids: NDArray[np.str_]
    """(N,) unique."""
    labels: NDArray[np.str_]
    """(N,) label of the reference data: a code or a class name."""
    groups: NDArray[np.str_]
    """(N,) what is never split between training and validation: a parcel, a field."""
    regions: NDArray[np.str_]
    """(N,) larger cell, for validation across regions."""
    bands: tuple[str, ...]
    dekads: tuple[date, ...]
    """First days, rising."""
    values: NDArray[np.float32]
    """(N, T, B): S2 reflectance x 10000, VV and VH as `s1_unit` says, DEM metres; NaN where missing."""
    geometry: gpd.GeoSeries
    """(N,) with a CRS."""
    s1_unit: Literal["linear", "db"] = "linear"
    """Backscatter in linear power or in decibels."""

    def __post_init__(self) -> None:
        n = len(self.ids)
        if len(set(self.ids.tolist())) != n:
            raise InvalidInput("The samples' ids are not unique.", hint="Give every sample an id of its own.")
        if self.values.shape != (n, len(self.dekads), len(self.bands)):
            raise InvalidInput(
                f"The series have shape {self.values.shape}, but there are {n} samples, "
                f"{len(self.dekads)} dekads and {len(self.bands)} bands."
            )
        if {len(self.labels), len(self.groups), len(self.regions), len(self.geometry)} - {n}:
            raise InvalidInput("Labels, groups, regions and geometries are not as many as the samples.")
        if list(self.dekads) != sorted(set(self.dekads)):
            raise InvalidInput("The dekads of the series do not rise, or repeat.")

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, chosen: NDArray[Any]) -> Samples:
        """The samples of a boolean mask or of indices, in that order."""
        index = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return replace(
            self,
            ids=self.ids[index],
            labels=self.labels[index],
            groups=self.groups[index],
            regions=self.regions[index],
            values=self.values[index],
            geometry=self.geometry.iloc[index].reset_index(drop=True),
        )

    def without_terrain(self) -> Samples:
        """The samples without bands that have one value a pixel (the DEM)."""
        index = [i for i, band in enumerate(self.bands) if sensor_of(band) not in STATIC_SENSORS]
        return replace(self, bands=tuple(self.bands[i] for i in index), values=self.values[:, :, index])

    def in_season(self, season: Season) -> Samples:
        """Only the dekads of a season.

        Raises:
            InvalidInput: the series lack a dekad of it.
        """
        wanted = season_dekads(season)
        if missing := [d for d in wanted if d not in self.dekads]:
            raise InvalidInput(
                f"The series lack {len(missing)} dekads of the season {season}, the first is {missing[0]}.",
                hint=f"They reach from {self.dekads[0]} to {self.dekads[-1]}.",
            )
        index = [self.dekads.index(d) for d in wanted]
        return replace(self, dekads=tuple(wanted), values=self.values[:, index])

    def with_gaps_filled(self) -> Samples:
        """Interior gaps of the S2 bands interpolated linearly, ends left missing.

        The same that `array_interpolate_linear` does to the S2 composites in the preprocessing graph: dekads
        are
        counted, since period labels have no value.
        """
        steps = np.arange(len(self.dekads), dtype=np.float64)
        values = self.values.copy()
        for b in [i for i, band in enumerate(self.bands) if sensor_of(band) == "S2"]:
            for row in values[:, :, b]:
                known = np.isfinite(row)
                if known.any():
                    row[:] = np.interp(steps, steps[known], row[known], left=np.nan, right=np.nan)
        return replace(self, values=values)


def season_dekads(season: Season) -> list[date]:
    """First days of every dekad that a season touches."""
    return [to_datetime(start).date() for _, start, _ in periods("dekad", *season.interval)]


def write_samples(samples: Samples, path: Path) -> None:
    """Write the table; it appears whole or not at all.

    Raises:
        WriteFailed: the file cannot be written.
    """
    frame = gpd.GeoDataFrame(
        {
            "sample_id": samples.ids,
            "label": samples.labels,
            "group": samples.groups,
            "region": samples.regions,
            "geometry": samples.geometry.reset_index(drop=True),
        },
        crs=samples.geometry.crs,
    )
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    table = pq.read_table(pa.BufferReader(buffer.getvalue()))
    for i, band in enumerate(samples.bands):
        column = pa.array(list(samples.values[:, :, i]), pa.list_(pa.float32()))
        table = table.append_column(band, column)
    about = {
        "version": VERSION,
        "bands": samples.bands,
        "dekads": [d.isoformat() for d in samples.dekads],
        "s1_unit": samples.s1_unit,
    }
    table = table.replace_schema_metadata({**table.schema.metadata, METADATA_KEY: json.dumps(about).encode()})
    with whole_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def read_samples(path: Path) -> Samples:
    """The table that `write_samples` writes.

    Raises:
        InvalidInput: no such file, no samples file, or one that contradicts itself.
    """
    table = read_table(path)
    about = _about(table, path)
    bands, dekads = tuple(about["bands"]), tuple(date.fromisoformat(d) for d in about["dekads"])
    if missing := [c for c in (*TEXT_COLUMNS, "geometry", *bands) if c not in table.column_names]:
        raise InvalidInput(f"The samples file {path} lacks the columns {', '.join(missing)}.")
    values = np.full((table.num_rows, len(dekads), len(bands)), np.nan, np.float32)
    for i, band in enumerate(bands):
        values[:, :, i] = _band_column(table, band, len(dekads), path)
    text = {c: np.array(table[c].to_pylist(), dtype=str) for c in TEXT_COLUMNS}
    frame = gpd.read_parquet(path, columns=["geometry"])
    ids, labels, groups, regions = (text[c] for c in TEXT_COLUMNS)
    unit = about.get("s1_unit", "linear")
    return Samples(ids, labels, groups, regions, bands, dekads, values, frame.geometry, unit)


def read_table(path: Path) -> pa.Table:
    """A Parquet table, with an error that a person can read.

    Raises:
        InvalidInput: no such file, or not Parquet.
    """
    try:
        return pq.ParquetFile(path).read()
    except OSError as error:
        raise InvalidInput(f"The samples file {path} cannot be read: {error}.") from error
    except pa.ArrowInvalid as error:
        raise InvalidInput(
            f"The samples file {path} is not Parquet.", hint="`acreage sample` writes such a file."
        ) from error


def _about(table: pa.Table, path: Path) -> dict[str, Any]:
    stored = (table.schema.metadata or {}).get(METADATA_KEY)
    if stored is None:
        raise InvalidInput(
            f"{path} is no samples file: its metadata has no {METADATA_KEY.decode()}.",
            hint="`acreage sample` writes such a file.",
        )
    about: dict[str, Any] = json.loads(stored)
    if about.get("version") != VERSION:
        raise InvalidInput(
            f"{path} is a samples file of version {about.get('version')}; this reads {VERSION}."
        )
    return about


def _band_column(table: pa.Table, band: str, dekads: int, path: Path) -> NDArray[np.float32]:
    column = table[band].combine_chunks()
    if not pa.types.is_list(column.type) or column.null_count:
        raise InvalidInput(f"Column {band} of {path} is not a full column of lists.")
    lengths = np.diff(column.offsets.to_numpy())
    if (lengths != dekads).any():
        raise InvalidInput(
            f"Column {band} of {path} has lists of {lengths.min()} to {lengths.max()} values, "
            f"not of {dekads}."
        )
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float32).reshape(-1, dekads)
