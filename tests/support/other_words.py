"""The catalog of an archive under names of its own, and the words that a profile needs for them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

IDS = {
    "SENTINEL2_L2A": "optical",
    "SENTINEL1_GRD": "radar",
    "COPERNICUS_30": "heights",
    "ESA_WORLDCOVER_10M_2021_V2": "landcover",
}


def in_other_words(catalog: Path, folder: Path) -> tuple[Path, dict[str, Any]]:
    """A configuration in which collections and bands have other names; and a profile's `collections`."""
    entries: dict[str, Any] = {}
    words: dict[str, Any] = {}
    for ours, theirs in IDS.items():
        file = resources.files("acreage.catalog") / "collections" / f"{ours}.yaml"
        text = yaml.safe_load(file.read_text("utf-8"))
        bands = {band["name"]: f"{theirs}_{band['name'].lower()}" for band in text["bands"]}
        text["id"] = theirs
        for band in text["bands"]:
            band["name"] = bands[band["name"]]
        if "mosaic_reference" in text:
            text["mosaic_reference"] = bands[text["mosaic_reference"]]
        (folder / f"{theirs}.yaml").write_text(yaml.safe_dump(text))
        entries[theirs] = {"catalog": str(catalog), "definition": f"{theirs}.yaml"}
        words[ours] = {"id": theirs, "bands": bands}
    words["SENTINEL1_GRD"]["properties"] = {
        "sat:orbit_state": {
            "name": "orbitDirection",
            "values": {"ascending": "ASCENDING", "descending": "DESCENDING"},
        }
    }
    path = folder / "other-words.yaml"
    path.write_text(yaml.safe_dump({"collections": entries}))
    return path, words
