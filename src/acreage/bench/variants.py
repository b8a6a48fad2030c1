"""Variants of a simulated archive with other clouds and land cover; band files are shared by hard links.

`clear`: no cloud, and cropland everywhere. `half-cloudy`: every second date of Sentinel-2 is cloud from edge
to edge, the others are clear, and cropland is everywhere. `natural` is the archive as it was simulated.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray

from acreage.core.errors import InvalidInput
from acreage.core.grid import Grid
from acreage.core.outputs import whole_folder
from acreage.simulate.publish.earth_search import COLLECTION as SENTINEL_2
from acreage.simulate.publish.products import SCL_CLASSES
from acreage.simulate.publish.rasters import write_cog, write_sparse
from acreage.simulate.publish.static import WORLDCOVER

Variant = Literal["natural", "clear", "half-cloudy"]
VARIANTS: tuple[Variant, ...] = ("natural", "clear", "half-cloudy")
NO_DATA, UNCLASSIFIED, CLOUD = 0, 7, 9
KEPT = (2, 4, 5, 6, 7)  # dark, vegetation, bare, water, unclassified: what the workflow's mask keeps
CLOUD_CLASSES = (8, 9, 10)
CROPLAND = 40
_DESCRIPTION = "variant.json"


def make_variant(archive: Path, out: Path, variant: Variant) -> Path:
    """Write a variant of an archive in Earth Search's form into `out`, which appears whole or not at all.

    Returns:
        Its `catalog.json`. What is there already is used.

    Raises:
        InvalidInput: `out` is there and is not this variant of this archive.
        WriteFailed: the disk refused.
    """
    told = {"archive": str(archive.resolve()), "variant": variant}
    if out.exists():
        if not (out / _DESCRIPTION).is_file() or json.loads((out / _DESCRIPTION).read_text("utf-8")) != told:
            raise InvalidInput(
                f"{out} is there and is not the {variant} variant of {archive}.", hint="Remove it."
            )
        return out / "catalog.json"
    with whole_folder(out, overwrite=False, ours=()) as work:
        share_archive(archive, work)
        cloudy = cloudy_days(archive) if variant == "half-cloudy" else frozenset()
        for home in sorted((work / SENTINEL_2).iterdir()):
            if home.is_dir():
                _reclassify(home, cloudy)
        for path in sorted((work / WORLDCOVER).glob("*_2021_*/*_Map.tif")):
            _all_cropland(path)
        (work / _DESCRIPTION).write_text(json.dumps(told) + "\n", encoding="utf-8")
    return out / "catalog.json"


def share_archive(archive: Path, out: Path) -> None:
    """The archive again in an empty folder: pixels as hard links, which are only ever replaced."""
    shutil.copytree(archive, out, dirs_exist_ok=True, copy_function=_share)


def cloudy_days(archive: Path) -> frozenset[str]:
    """Every second date (UTC, YYYY-MM-DD) of the archive's Sentinel-2, the second one first."""
    days = {_document(p.parent)["properties"]["datetime"][:10] for p in _items(archive / SENTINEL_2)}
    return frozenset(sorted(days)[1::2])


def reclassified(scl: NDArray[np.uint8], *, cloudy: bool) -> NDArray[np.uint8]:
    """A scene classification without cloud, or all cloud; pixels without data stay so.

    What was cloud or its shadow becomes unclassified, which the workflow's mask keeps: called vegetation, it
    would be found implausible, and rightly.
    """
    if cloudy:
        return np.where(scl == NO_DATA, NO_DATA, CLOUD).astype(np.uint8)
    return np.where(np.isin(scl, (NO_DATA, *KEPT)), scl, UNCLASSIFIED).astype(np.uint8)


def class_properties(scl: NDArray[np.uint8]) -> dict[str, float]:
    """Cloud cover and the share of every class as an item states them, percent of all pixels of the file."""
    counts = np.bincount(scl.ravel(), minlength=12)
    shares = {c: round(100.0 * int(n) / scl.size, 6) for c, n in enumerate(counts)}
    seen = 100.0 - shares[NO_DATA]
    cloud = sum(shares[c] for c in CLOUD_CLASSES)
    return {
        "eo:cloud_cover": round(100.0 * cloud / seen, 6) if seen else 0.0,
        "s2:nodata_pixel_percentage": shares[NO_DATA],
        **{f"s2:{name}_percentage": shares[c] for c, name in SCL_CLASSES.items()},
    }


def _share(source: str, target: str) -> str:
    """Hard links for pixels, copies of all else; what is rewritten is replaced, never written into."""
    if source.endswith(".tif"):
        try:
            os.link(source, target)
            return target
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
                raise
    shutil.copyfile(source, target)
    return target


def _items(collection: Path) -> list[Path]:
    return sorted(p for p in collection.glob("*/*.json") if p.stem == p.parent.name)


def _document(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / f"{home.name}.json").read_text("utf-8"))
    return found


def _reclassify(home: Path, cloudy: frozenset[str]) -> None:
    document = _document(home)
    path = home / "SCL.tif"
    with rasterio.open(path) as source:
        grid = Grid.of_transform(str(source.crs), source.transform)
        box = grid.box_of_transform(source.transform, source.width, source.height)
        scl = reclassified(source.read(1), cloudy=document["properties"]["datetime"][:10] in cloudy)
    path.unlink()
    write_cog(path, scl, box, NO_DATA, codes=True)
    _rewrite(home, document, class_properties(scl))


def _rewrite(home: Path, document: Mapping[str, Any], changed: Mapping[str, float]) -> None:
    properties = {**document["properties"], **changed}
    text = json.dumps({**document, "properties": properties}, indent=1)
    (home / f"{home.name}.json").write_text(text + "\n", encoding="utf-8")


def _all_cropland(path: Path) -> None:
    with rasterio.open(path) as source:
        grid = Grid.of_transform(str(source.crs), source.transform)
        whole = grid.box_of_transform(source.transform, source.width, source.height)
        parts = {}
        for (_, _), window in source.block_windows(1):
            values = source.read(1, window=window)
            if values.any():
                x0, y0 = whole.x0 + window.col_off, whole.y0 + window.row_off
                part = type(whole)(grid, x0, y0, x0 + window.width, y0 + window.height)
                parts[part] = np.where(values == 0, 0, CROPLAND).astype(np.uint8)
    path.unlink()
    write_sparse(path, whole, parts, 0, codes=True)
