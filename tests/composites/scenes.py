"""Random scenes, the archive that is made of them, and what NumPy says a composite of them is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.support.tiny_archive import WEST, Layer, TinyArchive

Array = NDArray[Any]
ROWS, COLUMNS, OVERLAP = 120, 100, 30  # of 10 m pixels; the granules share 30 columns
DATES = ("2019-03-02", "2019-03-05", "2019-03-09", "2019-03-14", "2019-04-03", "2019-04-08")
BANDS = {"B04": 10, "B8A": 20}


@dataclass(frozen=True)
class Granule:
    """One granule of one date: its bands and classes, and its first column in the scene's 10 m pixels."""

    day: str
    number: int
    first: int
    bands: dict[str, Array]
    scl: Array


def make_scenes(rng: np.random.Generator, days: tuple[str, ...]) -> list[Granule]:
    """Two granules a date; neighbouring numbers, so that medians of an even count have halves."""
    made = []
    for day in days:
        for number, (first, last) in enumerate(((0, COLUMNS), (COLUMNS - OVERLAP, 2 * COLUMNS - OVERLAP))):
            shape = (ROWS, last - first)
            coarse = (ROWS // 2, (last - first) // 2)
            hole = np.zeros(coarse, bool)
            r, c = rng.integers(0, coarse[0] - 12), rng.integers(0, coarse[1] - 12)
            hole[r : r + 12, c : c + 9] = True
            fine = np.kron(hole, np.ones((2, 2), bool))
            bands = {
                "B04": np.where(fine, 0, rng.integers(1, 4000, shape)).astype(np.uint16),
                "B8A": np.where(hole, 0, rng.integers(1, 4000, coarse)).astype(np.uint16),
            }
            scl = rng.choice([4, 4, 4, 4, 5, 6, 8, 9], coarse).astype(np.uint8)
            scl[: coarse[0] // 3, : coarse[1] // 2] = 9 if rng.random() < 0.5 else 4
            made.append(Granule(day, number, first, bands, np.where(hole, 0, scl).astype(np.uint8)))
    return made


def write_scenes(folder: Path, granules: list[Granule]) -> Path:
    """The archive, with a land cover of which a third is no cropland."""
    archive = TinyArchive(folder)
    for g in granules:
        west = WEST + 10 * g.first
        layers = {b: Layer(v, BANDS[b], west) for b, v in g.bands.items()}
        name = f"S2A_{g.number}_{g.day.replace('-', '')}"
        tile = {"grid:code": f"MGRS-31U{'EF'[g.number]}S"}
        archive.s2(name, g.day, {**layers, "SCL": Layer(g.scl, 20, west)}, **tile)
    cover = np.full((ROWS, 2 * COLUMNS), 40, np.uint8)
    cover[:, : COLUMNS // 2] = 30
    cover[40:60] = 10
    archive.add("esa-worldcover", "landcover", "2021-01-01T00:00:00Z", {"map": Layer(cover)})
    return archive.write()


def plain_composite(granules: list[Granule], band: str, cloudy: tuple[int, ...]) -> tuple[Array, Array]:
    """Dekad medians of one 10 m band on the scene's own pixels, and the number of observations.

    Plain NumPy: a pixel is taken from the first granule whose class there is not 0, else from the first that
    covers it; it counts where it is not 0 and its class is not cloudy.
    """
    width = 2 * COLUMNS - OVERLAP
    stacks: dict[int, list[Array]] = {}
    for day in dict.fromkeys(g.day for g in granules):
        image, classes = np.full((ROWS, width), np.nan), np.zeros((ROWS, width))
        settled = np.zeros((ROWS, width), bool)
        for order in ("valid", "any"):
            for g in (g for g in granules if g.day == day):
                scl = np.kron(g.scl, np.ones((2, 2), int))
                at = slice(g.first, g.first + scl.shape[1])
                take = ~settled[:, at] & ((scl != 0) | (order == "any"))
                values = np.where(g.bands[band] == 0, np.nan, g.bands[band].astype(float))
                image[:, at][take], classes[:, at][take] = values[take], scl[take]
                settled[:, at] |= take
        image[np.isin(classes, cloudy)] = np.nan
        moment = date.fromisoformat(day)
        dekad = (moment.month - 3) * 3 + min((moment.day - 1) // 10, 2)
        stacks.setdefault(dekad, []).append(image)
    medians = np.full((6, ROWS, width), np.nan)
    counts = np.zeros((ROWS, width), int)
    with np.errstate(all="ignore"):
        for dekad, stack in stacks.items():
            array = np.stack(stack)
            counts += np.isfinite(array).sum(axis=0)
            some = np.isfinite(array).any(axis=0)
            medians[dekad][some] = np.nanmedian(array[:, some], axis=0)
    return medians, counts
