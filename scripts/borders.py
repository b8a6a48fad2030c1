"""Makes the borders that areas are named by, from the npm package `world-atlas`.

They are Natural Earth's at 1:10m, which are in the public domain.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz && pip install pycountry
    .venv/bin/python scripts/borders.py package/countries-10m.json src/acreage/production/data

Writes the atlas as it is, compressed, and a table of the letters that belong to ISO's numbers.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pycountry

_WITHOUT_NUMBER = {"Kosovo": ("XK", "XKX")}
"""Codes that users agreed on, where ISO has none."""


def codes(atlas: bytes) -> Iterator[tuple[str, str, str]]:
    """Name, two and three letters of each country that has them."""
    for country in json.loads(atlas)["objects"]["countries"]["geometries"]:
        name = country["properties"]["name"]
        found = pycountry.countries.get(numeric=country.get("id", ""))
        letters = _WITHOUT_NUMBER.get(name) if found is None else (found.alpha_2, found.alpha_3)
        if letters is not None:
            yield name, *letters


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("atlas", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    atlas = given.atlas.read_bytes()
    (given.out / "countries-10m.json.gz").write_bytes(gzip.compress(atlas, 9, mtime=0))
    with (given.out / "countries.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("name", "iso2", "iso3"), *sorted(codes(atlas))])


if __name__ == "__main__":
    main()
