"""How far a map agrees with reference parcels: pixel by pixel, and parcel by parcel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize

from acreage.core.errors import InvalidInput
from acreage.core.legend import RESERVED, Legend
from acreage.croptype.metrics import Scores, score


@dataclass(frozen=True)
class ParcelAgreement:
    """One parcel.

    Attributes:
        sample_id, label: of the reference.
        reference: name of its class in the legend.
        mapped: class of most of its classified pixels, empty where none is classified.
        pixels: pixels whose centres lie in it.
        classified: those with a class.
        right: those with the reference's class.
    """

    sample_id: str
    label: str
    reference: str
    mapped: str
    pixels: int
    classified: int
    right: int


@dataclass(frozen=True)
class Agreement:
    """A map against reference parcels.

    Attributes:
        pixels: scores over classified pixels of the parcels.
        parcels: every parcel that holds a pixel, in the reference's order.
        unknown: ids of parcels whose label belongs to no class of the legend.
    """

    pixels: Scores
    parcels: tuple[ParcelAgreement, ...]
    unknown: tuple[str, ...]

    @property
    def scored(self) -> tuple[ParcelAgreement, ...]:
        """Parcels with a classified pixel."""
        return tuple(p for p in self.parcels if p.classified)

    @property
    def parcels_right(self) -> int:
        """Scored parcels whose majority is the reference's class."""
        return sum(p.mapped == p.reference for p in self.scored)


def agreement(classes: Path, parcels: gpd.GeoDataFrame, legend: Legend) -> Agreement:
    """Compare a map's classes with parcels.

    Args:
        classes: `classes.tif` of a map product.
        parcels: columns `sample_id`, `label` and geometry, with a CRS.
        legend: the map's.

    Raises:
        InvalidInput: no parcel has both a class of the legend and a classified pixel.
    """
    with rasterio.open(classes) as source:
        values, transform = source.read(1), source.transform
        table = parcels.to_crs(source.crs.to_wkt()).reset_index(drop=True)
    found = [legend.classify(str(label)) for label in table["label"]]
    inside = _numbers(table, values.shape, transform)
    names = [c.name for c in legend.classes]
    rows: list[ParcelAgreement] = []
    references: list[int] = []
    predictions: list[int] = []
    for number, reference in enumerate(found):
        mine = values[inside == number + 1]
        if reference is None or not mine.size:
            continue
        classed = mine[~np.isin(mine, [r.code for r in RESERVED])]
        rows.append(_row(table, number, reference.code, mine.size, classed, legend))
        predictions.extend(names.index(legend[int(code)].name) for code in classed)
        references.extend([names.index(reference.name)] * len(classed))
    if not references:
        raise InvalidInput(
            "No parcel has both a class of the map's legend and a classified pixel.",
            hint="Check that the parcels lie in the map and carry the legend's labels.",
        )
    scores = score(np.array(references), np.array(predictions), names)
    unknown = tuple(str(i) for i, c in zip(table["sample_id"], found, strict=True) if c is None)
    return Agreement(scores, tuple(rows), unknown)


def _numbers(table: gpd.GeoDataFrame, shape: tuple[int, int], transform: object) -> NDArray[np.int32]:
    """Per pixel the number of the parcel that holds its centre, from 1; 0 for none."""
    burnt = rasterize(
        ((g, n) for n, g in enumerate(table.geometry, 1)), out_shape=shape, transform=transform, dtype="int32"
    )
    return np.asarray(burnt, np.int32)


def _row(
    table: gpd.GeoDataFrame, number: int, code: int, pixels: int, classed: NDArray[np.uint8], legend: Legend
) -> ParcelAgreement:
    counts = np.bincount(classed, minlength=256)
    mapped = legend[int(counts.argmax())].name if classed.size else ""
    row = table.iloc[number]
    return ParcelAgreement(
        str(row["sample_id"]),
        str(row["label"]),
        legend[code].name,
        mapped,
        pixels,
        int(classed.size),
        int(counts[code]),
    )


def agreement_table(found: Agreement) -> str:
    """Markdown: a line a parcel."""
    lines = [
        "| parcel | label | reference | mapped as | pixels right | classified |",
        "|---|---|---|---|---:|---:|",
    ]
    lines += [
        f"| {p.sample_id} | {p.label} | {p.reference} | {p.mapped or '-'} | {p.right} | {p.classified} |"
        for p in found.parcels
    ]
    return "\n".join(lines)
