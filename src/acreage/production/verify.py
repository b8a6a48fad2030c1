"""Whether downloaded results are the map of their tile: nothing counts as done before all of this holds.

In turn: every file has the size and checksum that its metadata state; the metadata are valid STAC and speak
of this job; there is one raster, whose CRS, extent and pixels are exactly the tile's, with the map's bands;
every block can be decoded; classes are of the legend, confidences and counts in their ranges; and there is
cropland where the plan saw it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rasterio
from pystac.errors import STACValidationError
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from acreage.core.errors import ProductWrong
from acreage.core.grid import Box, crs_name
from acreage.core.inputs import UNKNOWN, Inputs
from acreage.core.legend import NOT_CROPLAND, OUTSIDE, RESERVED, Legend
from acreage.core.provenance import InputItem
from acreage.croptype.product import RESULT_BANDS
from acreage.production.backends import Fetched
from acreage.production.downloads import RemoteFile, checksum_of, files_of

_STAC = "1.1.0"
_STRICT = "Set strict_stac to false in the profile of a back end whose metadata are known to be so."
_ROWS = 1024
_EXACT = 1e-6  # of a pixel: beyond it an edge lies elsewhere
_MANY = 0.02
"""A tile with this share of cropland by the plan's overviews has some at full resolution."""
_KINDS = {"Feature": pystac.STACObjectType.ITEM, "Collection": pystac.STACObjectType.COLLECTION}


@dataclass(frozen=True)
class Expected:
    """What the results of a tile must be.

    Attributes:
        tile_id: which.
        token: in the title of the job, where the results tell it; empty for jobs that others made.
        box: the tile's pixels.
        legend: of the model.
        cropland_share: of the tile, by the plan; None: not known.
        strict_stac: whether the metadata must be valid STAC.
    """

    tile_id: str
    token: str
    box: Box
    legend: Legend
    cropland_share: float | None = None
    strict_stac: bool = True


@dataclass(frozen=True)
class Verified:
    """Results that are what they should be.

    Attributes:
        raster: the map.
        inputs: the back end's account of them; unknown where it gives none.
        items: that were read, by the account, else as the metadata link them.
    """

    raster: Path
    inputs: Inputs
    items: tuple[InputItem, ...]


def verify(fetched: Fetched, expected: Expected) -> Verified:
    """Check downloaded results; files that another download may bring right are removed.

    Raises:
        ProductWrong: with the first thing that is not as it should be.
    """
    files = files_of(fetched.document, "", "the back end")
    for file in files:
        _check_file(fetched.folder / file.name, file, expected)
    _check_document(fetched.document, expected)
    raster = _the_raster(files, expected)
    path = fetched.folder / raster.name
    with _reading(path, raster, expected), rasterio.open(path) as source:
        _check_grid(source, expected)
        cropland = _check_values(source, expected)
    if cropland == 0 and (expected.cropland_share or 0.0) > _MANY:
        raise ProductWrong(
            f"The results of {expected.tile_id} have no cropland, and WorldCover has "
            f"{100 * (expected.cropland_share or 0.0):.0f} %.",
            hint="Look whether the back end has the land cover collection of the graph.",
        )
    inputs = _account(fetched.folder, files)
    return Verified(path, inputs, inputs.items_read if inputs is not UNKNOWN else _linked(fetched.document))


def check_stac(document: Mapping[str, Any], what: str) -> None:
    """Check a STAC item or collection of version 1 against the core schemas of 1.1, which take 1.0 as well.

    Raises:
        ProductWrong: it is not valid.
    """
    kind = _KINDS.get(str(document.get("type")))
    if kind is None or not str(document.get("stac_version")).startswith("1."):
        raise ProductWrong(
            f"The metadata of {what} are no STAC item or collection of version 1.", hint=_STRICT
        )
    try:
        _validator().validate_core({**document, "stac_version": _STAC}, kind, _STAC)
    except STACValidationError as error:
        reason = " ".join(str(error).split())[:300]
        raise ProductWrong(f"The metadata of {what} are no valid STAC: {reason}.", hint=_STRICT) from error


@cache
def _validator() -> JsonSchemaSTACValidator:
    return JsonSchemaSTACValidator()


def _check_file(path: Path, file: RemoteFile, expected: Expected) -> None:
    size = path.stat().st_size if path.is_file() else None
    if size is None or (file.size is not None and size != file.size):
        found = "is not there" if size is None else f"has {size:,} bytes"
        path.unlink(missing_ok=True)
        raise ProductWrong(
            f"{file.name} of {expected.tile_id} {found}; {file.size or 0:,} were announced.", again=True
        )
    if file.checksum is not None and checksum_of(path, file.checksum) is False:
        path.unlink()
        raise ProductWrong(
            f"{file.name} of {expected.tile_id} has another checksum than was announced.", again=True
        )


def _check_document(document: Mapping[str, Any], expected: Expected) -> None:
    title = document.get("title")
    if (
        isinstance(title, str)
        and title.startswith("Crop types ")
        and (expected.token not in title or expected.tile_id not in title.split())
    ):
        raise ProductWrong(
            f"The results of {expected.tile_id} are those of another job: {title!r}.",
            hint="The back end mixes jobs up.",
        )
    if expected.strict_stac:
        check_stac(document, expected.tile_id)


def _the_raster(files: tuple[RemoteFile, ...], expected: Expected) -> RemoteFile:
    found = [file for file in files if file.is_raster]
    if len(found) != 1:
        names = ", ".join(file.name for file in files)
        raise ProductWrong(
            f"The results of {expected.tile_id} have {len(found)} rasters, and a map is one ({names})."
        )
    return found[0]


@contextmanager
def _reading(path: Path, file: RemoteFile, expected: Expected) -> Iterator[None]:
    try:
        yield
    except RasterioError as error:
        # A file with the announced checksum is as the back end made it.
        again = file.checksum is None
        if again:
            path.unlink(missing_ok=True)
        raise ProductWrong(
            f"{path.name} of {expected.tile_id} cannot be read: {' '.join(str(error).split())[:300]}.",
            again=again,
        ) from error


def _check_grid(source: DatasetReader, expected: Expected) -> None:
    box, wrong = expected.box, []
    if source.crs is None or crs_name(source.crs.to_epsg() or source.crs.to_wkt()) != box.grid.crs:
        wrong.append(f"CRS {source.crs} for {box.grid.crs}")
    if (source.height, source.width) != box.shape:
        wrong.append(f"{source.height} x {source.width} pixels for {box.height} x {box.width}")
    ours, theirs = tuple(box.affine)[:6], tuple(source.transform)[:6]
    if any(abs(a - b) > _EXACT * box.grid.res_x for a, b in zip(ours, theirs, strict=True)):
        wrong.append(f"corner and pixels {theirs} for {ours}")
    if source.count != len(RESULT_BANDS):
        wrong.append(f"{source.count} bands for {len(RESULT_BANDS)} ({', '.join(RESULT_BANDS)})")
    if any(np.dtype(d).kind not in "iu" for d in source.dtypes):
        wrong.append(f"values of {', '.join(sorted(set(source.dtypes)))} for integers")
    if wrong:
        raise ProductWrong(
            f"The results are not the map of {expected.tile_id}: {'; '.join(wrong)}.",
            hint="They are of another tile, or the back end made another grid of them.",
        )


def _check_values(source: DatasetReader, expected: Expected) -> int:
    """Number of pixels that are cropland."""
    known = {c.code for c in expected.legend.classes} | {r.code for r in RESERVED}
    reserved = [r.code for r in RESERVED]
    nulls = source.nodatavals[2:4]
    cropland = 0
    for top in range(0, source.height, _ROWS):
        window = Window(0, top, source.width, min(_ROWS, source.height - top))
        codes, confidence, *counts = source.read(window=window)
        if unknown := sorted(set(np.unique(codes).tolist()) - known):
            raise ProductWrong(f"The map of {expected.tile_id} has classes without a name: {unknown[:10]}.")
        sure = confidence[~np.isin(codes, reserved)]
        if sure.size and (sure.min() < 0 or sure.max() > 100):
            raise ProductWrong(
                f"The map of {expected.tile_id} has confidences of {sure.min()} to {sure.max()}."
            )
        for values, null in zip(counts, nulls, strict=True):
            seen = values if null is None else values[values != null]
            if seen.size and (seen.min() < 0 or seen.max() > 255):
                raise ProductWrong(
                    f"The map of {expected.tile_id} has counts of {seen.min()} to {seen.max()} observations."
                )
        cropland += int(np.count_nonzero((codes != OUTSIDE) & (codes != NOT_CROPLAND)))
    return cropland


def _account(folder: Path, files: tuple[RemoteFile, ...]) -> Inputs:
    for file in files:
        if "account" in file.roles:
            try:
                return Inputs.from_dict(json.loads((folder / file.name).read_text("utf-8")))
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue  # another back end's description of its results
    return UNKNOWN


def _linked(document: Mapping[str, Any]) -> tuple[InputItem, ...]:
    """Items that the metadata name as what the results were derived from."""
    found = []
    for link in document.get("links") or ():
        if (
            isinstance(link, Mapping)
            and link.get("rel") == "derived_from"
            and isinstance(link.get("href"), str)
        ):
            name = str(link.get("title") or link["href"].rstrip("/").rpartition("/")[2])
            found.append(InputItem("", name, link["href"]))
    return tuple(found)
