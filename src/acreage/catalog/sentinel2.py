"""Sentinel-2: processing baseline, datatake, granule, and the offset of its digital numbers.

Since processing baseline 04.00 (25 January 2022, and all of Collection 1) level 2A digital numbers carry an
offset of 1000: reflectance = (DN - 1000) / 10000 (Sentinel-2 Products Specification Document,
BOA_ADD_OFFSET). Some catalogs have removed it from the pixels already. What a catalog says is combined here;
where it says too little the product's own metadata decides, and where that is silent too, or a catalog
contradicts itself, nothing is guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from acreage.catalog.product_metadata import ProductMetadata, ProductMetadataError
from acreage.catalog.stac import AssetFacts, StacItem

BASELINE_WITH_OFFSET = 4.0
BOA_OFFSET = -1000

_PRODUCT = re.compile(r"S2([A-D])_MSIL[12][ABC]_(\d{8}T\d{6})(?:_N(\d{2})(\d{2}))?(?:_R\d{3})?_")
_DATATAKE = re.compile(r"GS2([A-D])_(\d{8}T\d{6})_\d{6}_N(\d{2})\.(\d{2})")
_DATASTRIP = re.compile(r"_S(\d{8}T\d{6})_N\d{2}\.\d{2}")
_LEVEL = re.compile(r"(?<![A-Z0-9])S2[A-D]_MSIL(1A|1B|1C|2A)_|_L(1C|2A)(?![A-Z0-9])")
_GRANULE = re.compile(r"(?<![A-Z0-9])T?(\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])(?![A-Z0-9])")


class Contradiction(Exception):
    """An item's statements on its offset contradict each other or are too few; the text is the reason."""


def _texts(item: StacItem) -> Iterator[str]:
    """Names of the product, the most trusted first."""
    for key in ("s2:product_uri", "sentinel2:product_title", "sentinel:product_id", "title"):
        value = item.properties.get(key)
        if isinstance(value, str):
            yield value
    yield item.id


def _text(properties: Mapping[str, Any], *keys: str) -> str | None:
    return next((v for key in keys if isinstance(v := properties.get(key), str) and v), None)


def _datatake_match(item: StacItem) -> re.Match[str] | None:
    value = _text(item.properties, "s2:datatake_id", "eopf:datatake_id")
    return _DATATAKE.search(value) if value else None


def baseline(item: StacItem) -> float | None:
    """Processing baseline, such as 5.09; None where nothing states it."""
    stated = _text(
        item.properties, "s2:processing_baseline", "processing:version", "sentinel2:processing_baseline"
    )
    if stated is not None and re.fullmatch(r"\d{1,2}\.\d{1,2}", stated):
        return float(stated)
    named = _baseline_in_name(item)
    if named is not None:
        return named
    match = _datatake_match(item)
    return float(f"{match[3]}.{match[4]}") if match else None


def _baseline_in_name(item: StacItem) -> float | None:
    """The baseline in the product's name, None where it has none."""
    for text in _texts(item):
        match = _PRODUCT.search(text)
        if match and match[3]:
            return float(f"{match[3]}.{match[4]}")
    return None


def datatake(item: StacItem) -> str | None:
    """Platform and sensing start of the datatake, such as `S2A_20230818T100031`, whatever the baseline."""
    match = _datatake_match(item)
    if match is None:
        match = next((m for text in _texts(item) if (m := _PRODUCT.search(text))), None)
    return f"S2{match[1]}_{match[2]}" if match else None


def datastrip(item: StacItem) -> str | None:
    """Sensing start of the datastrip: a granule on the seam of two datastrips comes in two parts."""
    value = _text(item.properties, "s2:datastrip_id", "eopf:datastrip_id")
    match = _DATASTRIP.search(value) if value else None
    return match[1] if match else None


def granule(item: StacItem) -> str | None:
    """MGRS tile, such as `33TWM`."""
    properties = item.properties
    stated = (_text(properties, "grid:code") or "").removeprefix("MGRS-") or _text(properties, "s2:mgrs_tile")
    parts = [properties.get(f"mgrs:{key}") for key in ("utm_zone", "latitude_band", "grid_square")]
    candidates = [stated, "".join(map(str, parts)) if None not in parts else None]
    candidates += [text.replace("_", " ") for text in _texts(item)]
    for text in candidates:
        match = _GRANULE.search(text) if text else None
        if match:
            return match[1].zfill(5)
    return None


def level(item: StacItem) -> str | None:
    """Processing level, such as `2A`; None where nothing states it."""
    stated = item.properties.get("processing:level")
    if isinstance(stated, str) and re.fullmatch(r"L[12][A-C]", stated):
        return stated[1:]
    match = next((m for text in _texts(item) if (m := _LEVEL.search(text))), None)
    return (match[1] or match[2]) if match else None


def dn_offset(
    item: StacItem,
    facts: AssetFacts,
    default_scale: float,
    band: str = "",
    product: Callable[[], ProductMetadata | None] = lambda: None,
) -> int:
    """What to add to the valid digital numbers of a reflectance band.

    Args:
        item: the item.
        facts: what it says about the asset.
        default_scale: reflectance per DN of the collection.
        band: openEO band name, for what is stated band by band.
        product: the product's own metadata, asked only where the item does not say enough.

    Returns:
        0 or -1000 as the item says; where the product's own metadata decides, the number that they state.

    Raises:
        Contradiction: the statements contradict each other or are too few to decide, or the scale is another
            one than the collection's.
    """
    if facts.scale is not None and not math.isclose(facts.scale, default_scale, rel_tol=1e-6):
        raise Contradiction(
            f"its scale is {facts.scale:g}, but the collection's digital numbers have {default_scale:g}"
        )
    applied = item.properties.get("earthsearch:boa_offset_applied")
    if applied is True:
        return 0
    version = baseline(item)
    by_baseline = None if version is None else _of_baseline(version)
    named = _baseline_in_name(item)
    if version is not None and named is not None and _of_baseline(named) != by_baseline:
        raise Contradiction(f"processing baseline {version:05.2f} is stated, but its name says {named:05.2f}")
    stated = _stated(facts, default_scale)
    if by_baseline is None and stated is None:
        return _of_product(product, band, default_scale)
    if by_baseline is not None and stated is not None and by_baseline != stated:
        raise Contradiction(
            f"processing baseline {version:05.2f} means an offset of {by_baseline} DN, but {stated} is stated"
        )
    return by_baseline if by_baseline is not None else stated or 0


def _of_baseline(version: float) -> int:
    return BOA_OFFSET if version >= BASELINE_WITH_OFFSET else 0


def _of_product(product: Callable[[], ProductMetadata | None], band: str, scale: float) -> int:
    """The offset by the product's own metadata."""
    silent = "neither its processing baseline nor an offset of its digital numbers is stated"
    try:
        own = product()
    except ProductMetadataError as error:
        raise Contradiction(f"{silent}, and its own metadata cannot be used: {error.message}") from error
    if own is None:
        raise Contradiction(silent)
    if own.quantification is None:
        return _of_baseline(own.baseline)
    if not math.isclose(own.quantification * scale, 1.0, rel_tol=1e-6):
        raise Contradiction(
            f"{own.address} states {own.quantification:g} DN per unit of reflectance, "
            f"but the collection has {1 / scale:g}"
        )
    if own.offsets:
        if band not in own.offsets:
            raise Contradiction(f"{own.address} states offsets, but none for {band}")
        return own.offsets[band]
    if own.baseline >= BASELINE_WITH_OFFSET:
        raise Contradiction(f"{own.address} is of baseline {own.baseline:05.2f} and states no offset")
    return 0


def _stated(facts: AssetFacts, default_scale: float) -> int | None:
    if facts.offset is None:
        return None
    steps = facts.offset / default_scale
    if abs(steps - round(steps)) > 1e-3 or round(steps) not in (0, BOA_OFFSET):
        raise Contradiction(
            f"its offset {facts.offset:g} with scale {default_scale:g} is neither 0 nor {BOA_OFFSET} DN"
        )
    return round(steps)
