"""Reference data: labelled parcels and points from vector files, for sampling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyogrio.errors
import shapely

from acreage.core.errors import InvalidInput

LABEL_COLUMNS = (
    "label",
    "croptype",
    "crop_type",
    "ewoc_code",
    "CT",
    "EC_hcat_c",
    "HCAT3_code",
    "hcat_c",
)
"""Columns tried in this order where none is named: ours, WorldCereal's, EuroCrops'."""

ID_COLUMNS = ("sample_id", "location_id", "id", "fid")


@dataclass(frozen=True)
class ReferenceData:
    """Labelled geometries and what was left out of them."""

    table: gpd.GeoDataFrame
    """Columns `sample_id`, `label`, `group`, `region` (text) and `geometry`; in the file's CRS."""
    label_column: str
    without_geometry: int
    """Rows left out because their geometry is missing or empty."""
    without_label: int
    """Rows left out because they have no label."""
    repaired: int
    """Geometries that crossed themselves and were made valid."""


def read_reference(
    path: Path,
    *,
    label_column: str | None = None,
    id_column: str | None = None,
    region_column: str | None = None,
    layer: str | None = None,
    crosswalk: dict[str, str] | None = None,
) -> ReferenceData:
    """Parcels or points with their labels from GeoPackage, GeoJSON, Shapefile, FlatGeobuf or GeoParquet.

    `crosswalk`: the file's codes to a legend's codes (a country's crop codes to HCAT3); a label that it lacks
    counts as no label. Each row is a group of its own, so that folds split parcels and never pixels.

    Raises:
        InvalidInput: the file, a column or the CRS is missing, ids repeat, or nothing is left.
    """
    frame = _read_vector(path, layer)
    if frame.crs is None:
        raise InvalidInput(f"{path} has no CRS.", hint="Write it with one; GeoJSON is always WGS84.")
    chosen = _column(frame, label_column, LABEL_COLUMNS, path, "label")
    assert chosen is not None
    identity = _column(frame, id_column, ID_COLUMNS, path, "id")
    labels = [_text(v) for v in frame[chosen]]
    if crosswalk is not None:
        labels = [crosswalk.get(v, "") for v in labels]
    geometry = frame.geometry.array
    usable = ~(frame.geometry.isna() | frame.geometry.is_empty).to_numpy()
    labelled = np.array([bool(v) for v in labels], dtype=bool)
    crossing = usable & ~shapely.is_valid(np.asarray(geometry))
    keep = usable & labelled
    if not keep.any():
        raise InvalidInput(
            f"{path} has no row with both a geometry and a label in {chosen!r}.",
            hint="Name another label column or check the crosswalk.",
        )
    ids = [_text(v) for v in frame[identity]] if identity else [f"{path.stem}-{i}" for i in range(len(frame))]
    regions = [_text(v) for v in _named(frame, region_column, path)] if region_column else [""] * len(frame)
    table = gpd.GeoDataFrame(
        {"sample_id": ids, "label": labels, "group": ids, "region": regions},
        geometry=shapely.make_valid(np.asarray(geometry)),
        crs=frame.crs,
    )[keep].reset_index(drop=True)
    if table["sample_id"].duplicated().any():
        first = table.loc[table["sample_id"].duplicated(), "sample_id"].iloc[0]
        raise InvalidInput(
            f"The ids in column {identity!r} of {path} repeat: {first}.", hint="Name another id column."
        )
    return ReferenceData(
        table,
        chosen,
        without_geometry=int((~usable).sum()),
        without_label=int((usable & ~labelled).sum()),
        repaired=int((crossing & keep).sum()),
    )


def _read_vector(path: Path, layer: str | None) -> gpd.GeoDataFrame:
    if not path.exists():
        raise InvalidInput(f"There is no reference data at {path}.")
    try:
        if path.suffix in (".parquet", ".geoparquet"):
            return gpd.read_parquet(path)
        return gpd.read_file(path, layer=layer) if layer else gpd.read_file(path)
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pa.ArrowInvalid,
        ValueError,
    ) as error:
        raise InvalidInput(f"The reference data {path} cannot be read: {error}") from error


def _column(
    frame: gpd.GeoDataFrame, named: str | None, known: tuple[str, ...], path: Path, what: str
) -> str | None:
    if named is not None:
        _named(frame, named, path)
        return named
    found = next((c for c in known if c in frame.columns), None)
    if found is None and what == "label":
        raise InvalidInput(
            f"{path} has none of the usual label columns ({', '.join(known)}).",
            hint=f"Name the label column; there are: {_columns(frame)}.",
        )
    return found


def _named(frame: gpd.GeoDataFrame, column: str, path: Path) -> gpd.pd.Series:
    if column not in frame.columns:
        raise InvalidInput(f"{path} has no column {column!r}.", hint=f"It has: {_columns(frame)}.")
    return frame[column]


def _columns(frame: gpd.GeoDataFrame) -> str:
    return ", ".join(str(c) for c in frame.columns if c != frame.geometry.name)


def _text(value: object) -> str:
    """A label or id as text: 1200.0 and 1200 are the same code; missing is empty."""
    if value is None or value != value:
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()
