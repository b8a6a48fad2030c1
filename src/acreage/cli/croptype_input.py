"""Arguments that the crop type commands share, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acreage.core.errors import InvalidInput
from acreage.core.legend import LANDCOVER_CODES
from acreage.core.temporal import Season
from acreage.croptype import series
from acreage.croptype.labels import open_samples

SamplesFile = Annotated[
    Path, typer.Argument(help="Labelled time series: from `acreage sample`, or WorldCereal's.")
]
SeasonText = Annotated[
    str | None,
    typer.Option(
        "--season", help="First and last day, as 2023-03-01/2023-10-31; all dekads of the file otherwise."
    ),
]
Without = Annotated[
    str | None, typer.Option("--without", help="Names of legend classes to leave out, with commas between.")
]
Landcover = Annotated[
    str,
    typer.Option("--landcover", help="WorldCover codes that the cropland mask keeps, with commas between."),
]


def load_samples(path: Path, season: str | None, fill_gaps: bool) -> series.Samples:
    """Samples of a season, as the model sees them in a job."""
    samples = open_samples(path)
    if season is not None:
        samples = samples.in_season(Season.parse(season))
    return samples.with_gaps_filled() if fill_gaps else samples


def names(text: str | None) -> list[str]:
    """Words between commas."""
    return [part.strip() for part in text.split(",") if part.strip()] if text else []


def parse_landcover(text: str) -> tuple[int, ...]:
    """WorldCover codes out of `30,40`.

    Raises:
        InvalidInput: something in it is no WorldCover code.
    """
    parts = names(text)
    if not parts or not all(p.isdigit() and int(p) in LANDCOVER_CODES for p in parts):
        raise InvalidInput(
            f"--landcover is {text!r}.",
            hint=f"Write WorldCover codes with commas between; they are {sorted(LANDCOVER_CODES)}.",
        )
    return tuple(sorted({int(p) for p in parts}))
