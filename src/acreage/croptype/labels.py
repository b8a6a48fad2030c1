"""Labelled series and label crosswalks of other projects, brought into this one's tables and legends."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from acreage.core.errors import InvalidInput
from acreage.core.legend import Legend, read_legend
from acreage.croptype.series import METADATA_KEY, Samples, read_samples, read_table

WORLDCEREAL_NODATA = 65535
WORLDCEREAL_BANDS = {
    **{f"S2-L2A-{b}": b for b in ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")},
    "S1-SIGMA0-VV": "VV",
    "S1-SIGMA0-VH": "VH",
    "elevation": "DEM",
}


def open_samples(path: Path) -> Samples:
    """Samples from a file of `acreage sample` or from a WorldCereal series file, whichever it is.

    Raises:
        InvalidInput: it is neither, or damaged.
    """
    table = read_table(path)
    if METADATA_KEY not in (table.schema.metadata or {}) and "ewoc_code" in table.column_names:
        return samples_from_worldcereal(table)
    return read_samples(path)


def samples_from_worldcereal(table: pa.Table) -> Samples:
    """Samples from a WorldCereal table with one row per sample and dekad.

    65535 is nodata; S1 digital numbers are dB = 20 log10(DN) - 83, here turned to linear power; a band
    that is nodata throughout is left out. Label: `ewoc_code`; region: `h3_l3_cell`. Missing rows become
    missing values.
    """
    needed = {"sample_id", "timestamp", "ewoc_code", "h3_l3_cell", "geometry"}
    if missing := sorted(needed - set(table.column_names)):
        raise InvalidInput(f"The WorldCereal series lack the columns {', '.join(missing)}.")
    present = {c: b for c, b in WORLDCEREAL_BANDS.items() if c in table.column_names}
    rows = table.select([*sorted(needed), *present]).to_pandas()
    if rows.duplicated(["sample_id", "timestamp"]).any():
        raise InvalidInput("The WorldCereal series have two rows for one sample and dekad.")
    samples = rows.drop_duplicates("sample_id").sort_values("sample_id").reset_index(drop=True)
    times = np.sort(rows["timestamp"].unique())
    at = (
        samples["sample_id"].searchsorted(rows["sample_id"]),
        np.searchsorted(times, rows["timestamp"].to_numpy()),
    )
    layers = {
        band: _layer(rows[column], at, (len(samples), len(times)), band) for column, band in present.items()
    }
    layers = {band: layer for band, layer in layers.items() if np.isfinite(layer).any()}
    return Samples(
        ids=samples["sample_id"].to_numpy(str),
        labels=samples["ewoc_code"].to_numpy().astype(str),
        groups=samples["sample_id"].to_numpy(str),
        regions=samples["h3_l3_cell"].to_numpy(str),
        bands=tuple(layers),
        dekads=tuple(pd.Timestamp(t).date() for t in times),
        values=np.stack(list(layers.values()), axis=-1),
        geometry=gpd.GeoSeries(shapely.from_wkb(samples["geometry"].to_numpy()), crs="EPSG:4326"),
    )


def _layer(
    column: pd.Series[int], at: tuple[NDArray[np.intp], NDArray[np.intp]], shape: tuple[int, int], band: str
) -> NDArray[np.float32]:
    numbers = column.to_numpy().astype(np.float64)
    numbers[numbers == WORLDCEREAL_NODATA] = np.nan
    if band in ("VV", "VH"):
        # dB = 20 log10(DN) - 83, hence power = 10 ** (dB / 10) = DN ** 2 / 10 ** 8.3
        numbers = numbers**2 / 10**8.3
    layer = np.full(shape, np.nan, np.float32)
    layer[at] = numbers
    return layer


# ------------------------------------------------------------------------------------------------ legends


def shipped_legends() -> list[str]:
    """Names of the legends in the package."""
    folder = files("acreage.croptype") / "legends"
    return sorted(p.name.removesuffix(".json") for p in folder.iterdir() if p.name.endswith(".json"))


def open_legend(name_or_path: str) -> Legend:
    """A legend of the package by name, or one from a JSON file.

    Raises:
        InvalidInput: neither.
    """
    if name_or_path in shipped_legends():
        text = (files("acreage.croptype") / "legends" / f"{name_or_path}.json").read_text(encoding="utf-8")
        return Legend.from_dict(json.loads(text))
    if not Path(name_or_path).exists():
        raise InvalidInput(
            f"There is no legend {name_or_path!r}.",
            hint=f"Give a JSON file, or one of: {', '.join(shipped_legends())}.",
        )
    return read_legend(Path(name_or_path))


@dataclass(frozen=True)
class Labelled:
    """Samples whose labels have been brought into a legend, and what became of the rest."""

    samples: Samples
    legend: Legend
    targets: NDArray[np.int64]
    """(N,) index of each sample's class in `legend.classes`."""
    unmapped: dict[str, int]
    """Labels that belong to no class, with their counts; these samples were left out."""
    merged: tuple[str, ...]
    """Names of classes merged into the other class because they had too few samples."""
    dropped: dict[str, int]
    """Classes too small for training that could not be merged, with their counts; left out."""

    @property
    def names(self) -> list[str]:
        """Class names in the order of `targets`."""
        return [c.name for c in self.legend.classes]


def apply_legend(samples: Samples, legend: Legend, min_samples: int = 10) -> Labelled:
    """Bring labels into a legend; classes with fewer than `min_samples` go into its other class.

    A small class merges only where it shares a land cover with the other class: a vineyard is not an arable
    crop. Classes without any sample leave the legend.

    Raises:
        InvalidInput: fewer than two classes remain.
    """
    found = [legend.classify(label) for label in samples.labels.tolist()]
    unmapped = Counter(str(s) for s, c in zip(samples.labels, found, strict=True) if c is None)
    counts = Counter(c.code for c in found if c is not None)
    other = None if legend.other is None else legend[legend.other]
    small = [c for c in legend.classes if 0 < counts[c.code] < min_samples and c is not other]
    merged = [c for c in small if other is not None and set(c.landcover) & set(other.landcover)]
    target = {c.code: c.code for c in legend.classes} | {c.code: legend.other for c in merged}
    codes = [None if c is None else target[c.code] for c in found]
    final = Counter(c for c in codes if c is not None)
    kept = [c.code for c in legend.classes if final[c.code] >= min_samples]
    if len(kept) < 2:
        raise InvalidInput(
            f"Only {len(kept)} classes of the legend {legend.name!r} have {min_samples} samples or more.",
            hint="Is it the legend of these labels? Most frequent labels without a class: "
            + (", ".join(f"{k} ({v})" for k, v in unmapped.most_common(5)) or "none"),
        )
    result = legend.merge_into_other([c.code for c in merged]) if merged else legend
    chosen = np.array([c in kept for c in codes], dtype=bool)
    result = result.keep(kept)
    position = {c.code: i for i, c in enumerate(result.classes)}
    return Labelled(
        samples.select(chosen),
        result,
        np.array([position[c] for c in codes if c in position], np.int64),
        dict(unmapped),
        tuple(c.name for c in merged),
        {legend[c].name: n for c, n in final.items() if c not in kept},
    )


# --------------------------------------------------------------------------------------------- crosswalks


def read_class_mapping(path: Path, name: str) -> dict[str, str]:
    """One mapping of WorldCereal's `class_mappings.json`: 10-digit code to class name, ignored ones left out.

    Raises:
        InvalidInput: no such file or mapping.
    """
    try:
        mappings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"The class mappings {path} cannot be read: {error}.") from error
    if not isinstance(mappings, dict) or name not in mappings:
        raise InvalidInput(f"{path} has no mapping {name!r}.", hint=f"It has: {', '.join(mappings)}.")
    return {str(code): str(label) for code, label in mappings[name].items() if label != "ignore"}


def read_worldcereal_croptypes(path: Path) -> dict[str, str]:
    """Older four-digit WorldCereal crop types to 10-digit codes, from `legend_wc2eurocrops_map.csv`."""
    rows = _csv_rows(path, {"croptype", "ewoc_code"})
    return {row["croptype"]: row["ewoc_code"].replace("-", "") for row in rows}


def read_hcat(path: Path) -> dict[str, str]:
    """EuroCrops' HCAT3: 10-digit code to name, from `HCAT3.csv`."""
    return {row["HCAT3_code"]: row["HCAT3_name"] for row in _csv_rows(path, {"HCAT3_code", "HCAT3_name"})}


def read_eurocrops_country(path: Path) -> dict[str, str]:
    """A country's own crop codes to HCAT3 codes, from a EuroCrops country mapping, where it has one."""
    rows = _csv_rows(path, {"original_code", "HCAT3_code"})
    return {row["original_code"]: row["HCAT3_code"] for row in rows if row["HCAT3_code"]}


def _csv_rows(path: Path, needed: set[str]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The crosswalk {path} cannot be read: {error}.") from error
    if not rows or not needed <= set(rows[0]):
        raise InvalidInput(f"The crosswalk {path} lacks the columns {', '.join(sorted(needed))}.")
    return rows
