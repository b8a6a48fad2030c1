"""The own metadata of a Sentinel-2 level 2A product: what its digital numbers mean.

`MTD_MSIL2A.xml` holds BOA_QUANTIFICATION_VALUE and, since processing baseline 04.00, a BOA_ADD_OFFSET for
each band (Sentinel-2 Products Specification Document, "Product_Image_Characteristics"); `MTD_TL.xml`, a
granule's metadata, holds the baseline only. Read where a STAC item does not say enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from acreage.catalog.access import Access, access_for, is_remote, shared, shown
from acreage.catalog.fetch import resolve
from acreage.catalog.stac import StacItem
from acreage.core.errors import CatalogError

MAX_BYTES = 8_000_000  # real ones: 60 kB for a product, 600 kB for a granule
# Band ids of the specification, in order; the name of id 8 is B8A.
BAND_IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
ReadDocument = Callable[[str], bytes]

_PRODUCT_ASSETS = ("product_metadata", "product-metadata")
_MANIFEST_ASSETS = ("safe_manifest", "safe-manifest")
_GRANULE_ASSETS = ("granule_metadata", "granule-metadata")
_TILE_BASELINE = re.compile(r"_N(\d{2})\.(\d{2})$")


class ProductMetadataError(CatalogError):
    """The metadata of a product cannot be read, or do not say what they should."""


@dataclass(frozen=True)
class ProductMetadata:
    """What a product says of itself.

    Attributes:
        address: where it was read, as it may be shown.
        baseline: processing baseline, such as 5.09.
        quantification: DN per unit of reflectance; None where the document is not the product's.
        offsets: what is to be added to the DN, by band name; empty before baseline 04.00.
    """

    address: str
    baseline: float
    quantification: float | None = None
    offsets: Mapping[str, int] = field(default_factory=dict)


def product_metadata(item: StacItem, read: ReadDocument) -> ProductMetadata | None:
    """The metadata of an item's product, or else of its granule; None where it links neither.

    Args:
        item: with the assets `product_metadata`, `safe_manifest` (whose folder holds it) or
            `granule_metadata`, spelled with `_` or `-`.
        read: gives the bytes at an address.

    Raises:
        ProductMetadataError: none of what it links can be read.
    """
    errors: list[str] = []
    addresses = [a for k in _PRODUCT_ASSETS if (a := _href(item, k))]
    addresses += [resolve("MTD_MSIL2A.xml", a) for k in _MANIFEST_ASSETS if (a := _href(item, k))]
    addresses += [a for k in _GRANULE_ASSETS if (a := _href(item, k))]
    for address in dict.fromkeys(addresses):
        try:
            return parse_product_metadata(read(address), shown(address))
        except CatalogError as error:
            errors.append(error.message)
    if errors:
        raise ProductMetadataError(" ".join(errors))
    return None


def _href(item: StacItem, key: str) -> str | None:
    href = item.assets.get(key, {}).get("href")
    return resolve(href, item.address) if isinstance(href, str) and href else None


def read_document(address: str, access: Access | None = None) -> bytes:
    """The bytes of a document of at most 8 MB.

    Args:
        address: path or address.
        access: how an address is reached, None for what the address alone tells.

    Raises:
        CatalogError: it cannot be read, or is larger.
    """
    if is_remote(address):
        data = shared().document(address, access=access or access_for(address))
    else:
        try:
            with Path(address).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise ProductMetadataError(f"{address} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise ProductMetadataError(f"{shown(address)} has more than {MAX_BYTES} bytes.")
    return data


def parse_product_metadata(data: bytes, address: str) -> ProductMetadata:
    """Read MTD_MSIL2A.xml or MTD_TL.xml.

    Raises:
        ProductMetadataError: not such XML, or without a baseline or quantification. Entities are refused.
    """
    try:
        root = fromstring(data)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise ProductMetadataError(f"{address} is not the metadata of a product: {error}.") from error
    kind = _local_name(root.tag)
    if kind.startswith("Level-2A_Tile_ID"):
        return ProductMetadata(address, _tile_baseline(root, address))
    if kind != "Level-2A_User_Product":
        raise ProductMetadataError(f"{address} is a {kind}, not the metadata of a level 2A product.")
    texts = _texts(root)
    baseline = _number(texts, "PROCESSING_BASELINE", address)
    # Before baseline 02.07 the name has the prefix L2A_.
    name = "BOA_QUANTIFICATION_VALUE"
    quantification = _number(texts, name if name in texts else f"L2A_{name}", address)
    if quantification <= 0:
        raise ProductMetadataError(f"{address} states a quantification of {quantification:g}.")
    return ProductMetadata(address, baseline, quantification, _offsets(root, address))


def _offsets(root: Any, address: str) -> dict[str, int]:
    offsets: dict[str, int] = {}
    for element in root.iter():
        if _local_name(element.tag) != "BOA_ADD_OFFSET":
            continue
        try:
            offsets[BAND_IDS[int(element.get("band_id", ""))]] = int(element.text or "")
        except (ValueError, IndexError) as error:
            raise ProductMetadataError(
                f"{address} states the offset {element.text!r} for band id {element.get('band_id')!r}."
            ) from error
    return offsets


def _tile_baseline(root: Any, address: str) -> float:
    for name in ("TILE_ID", "TILE_ID_2A", "DATASTRIP_ID"):
        match = _TILE_BASELINE.search(_texts(root).get(name, ""))
        if match is not None:
            return float(f"{match[1]}.{match[2]}")
    raise ProductMetadataError(f"{address} states no processing baseline.")


def _texts(root: Any) -> dict[str, str]:
    """The text of the first element of each name."""
    found: dict[str, str] = {}
    for element in root.iter():
        if element.text:
            found.setdefault(_local_name(element.tag), element.text.strip())
    return found


def _number(texts: Mapping[str, str], name: str, address: str) -> float:
    try:
        return float(texts[name])
    except (KeyError, ValueError) as error:
        raise ProductMetadataError(f"{address} states no {name.removeprefix('L2A_')}.") from error


def _local_name(tag: str) -> str:
    return tag.rpartition("}")[2]
