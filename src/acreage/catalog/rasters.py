"""From STAC items to readable rasters: grid, dtype, null value and offset of every requested band."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from affine import Affine
from shapely import to_wkb

from acreage.catalog.access import EVERYWHERE, Access, Reach, is_remote, shown, split_signature
from acreage.catalog.definition import BandDefinition, CollectionDefinition
from acreage.catalog.fetch import resolve
from acreage.catalog.grouping import group_of, rank_of
from acreage.catalog.headers import Header, HeaderCache, Unreadable, is_local
from acreage.catalog.intact import broken_file, missing_end
from acreage.catalog.items import ItemProblem, Raster, SourceItem
from acreage.catalog.product_metadata import (
    ProductMetadata,
    ProductMetadataError,
    product_metadata,
    read_document,
)
from acreage.catalog.radar import as_radar
from acreage.catalog.sentinel2 import Contradiction, dn_offset, level
from acreage.catalog.stac import AssetFacts, StacItem, asset_facts
from acreage.core.errors import InvalidInput
from acreage.core.faults import FaultKind
from acreage.core.grid import Box, Grid, crs_name

# Files inside of local archives, as rasterio names them.
_ARCHIVES = ("zip://", "tar://", "gzip://", "/vsi")


@dataclass(frozen=True)
class _Refused:
    """Why there is no raster: a sentence, and the kind of fault."""

    reason: str
    kind: FaultKind


@dataclass(frozen=True)
class _Wanted:
    """A band of an item on its way to a raster."""

    item: StacItem
    band: BandDefinition
    href: str
    access: Access | None
    facts: AssetFacts

    @property
    def needs_header(self) -> bool:
        """A local file is always looked at; a remote one only where its metadata leaves the grid open."""
        facts = self.facts
        return is_local(self.href) or facts.crs is None or facts.transform is None or facts.shape is None


def resolve_items(
    items: Sequence[StacItem],
    definition: CollectionDefinition,
    bands: Sequence[BandDefinition],
    headers: HeaderCache,
    reach: Reach = EVERYWHERE,
) -> tuple[list[SourceItem], list[ItemProblem]]:
    """Rasters of the requested bands of all items; an item without a single one is left out.

    Files' headers are read where the items' metadata does not suffice, and so are products' own metadata.
    Every band that is not among an item's rasters is among the problems; an item of another product is one
    problem as a whole.

    Args:
        items: to resolve.
        definition: of the collection.
        bands: the requested ones.
        headers: reads the headers of files.
        reach: how remote files and documents are reached.
    """
    problems: list[ItemProblem] = []
    wanted: list[_Wanted] = []
    for item in items:
        other = _other_product(item, definition)
        if other is not None:
            problems.append(ItemProblem(item.id, "", other, "wrong-product"))
            continue
        for band in bands:
            found = _find_asset(item, band, reach)
            if isinstance(found, _Wanted):
                wanted.append(found)
            else:
                problems.append(ItemProblem(item.id, band.name, found.reason, found.kind))
    known = headers.read({w.href: w.access for w in wanted if w.needs_header})
    rasters: dict[str, dict[str, Raster]] = {item.id: {} for item in items}
    products = {item.id: _Product(item, reach) for item in items}
    for each in wanted:
        header = known[each.href] if each.needs_header else None
        result = _raster(each, header, products[each.item.id])
        if isinstance(result, Raster):
            rasters[each.item.id][each.band.name] = as_radar(result, each.item, each.band, definition)
        else:
            problems.append(ItemProblem(each.item.id, each.band.name, result.reason, result.kind))
    places = {item.id: split_signature(_item_address(item, reach))[0] for item in items}
    return (
        [_source_item(i, definition, rasters[i.id], places[i.id]) for i in items if rasters[i.id]],
        [replace(p, href=places[p.item]) for p in problems],
    )


class _Product:
    """The own metadata of an item's product, read when first asked for."""

    def __init__(self, item: StacItem, reach: Reach) -> None:
        self._item, self._reach = item, reach
        self._found: list[ProductMetadata | ProductMetadataError | None] = []

    def __call__(self) -> ProductMetadata | None:
        if not self._found:
            try:
                self._found.append(product_metadata(self._item, self._document))
            except ProductMetadataError as error:
                self._found.append(error)
        found = self._found[0]
        if isinstance(found, ProductMetadataError):
            raise found
        return found

    def _document(self, address: str) -> bytes:
        return read_document(*self._reach.place(address, _item_address(self._item, self._reach)))


def _other_product(item: StacItem, definition: CollectionDefinition) -> str | None:
    """Why an item does not belong to a collection of Sentinel-2 level 2A, None where it may."""
    if all(band.harmonise != "sentinel2-baseline" for band in definition.bands):
        return None
    stated = level(item)
    return None if stated in (None, "2A") else f"It is a product of level {stated}, not of level 2A."


def _source_item(
    item: StacItem, definition: CollectionDefinition, rasters: Mapping[str, Raster], href: str
) -> SourceItem:
    return SourceItem(
        id=item.id,
        collection=definition.id,
        href=href,
        datetime=item.start,
        bbox=item.bbox,
        group=group_of(item, definition.mosaic),
        rank=rank_of(item),
        rasters=dict(rasters),
        properties=dict(item.properties),
        footprint=None if item.geometry is None else to_wkb(item.geometry),
    )


def _find_asset(item: StacItem, band: BandDefinition, reach: Reach) -> _Wanted | _Refused:
    for key in band.assets:
        asset: Mapping[str, Any] | None = item.assets.get(key)
        if asset is not None:
            href = asset.get("href")
            if not isinstance(href, str) or not href:
                return _Refused(f"its asset {key!r} has no href.", "missing-band")
            href = resolve(href, item.address)
            if not (is_local(href) or is_remote(href) or href.startswith(_ARCHIVES)):
                scheme = href.partition("://")[0]
                return _Refused(
                    f"its asset {key!r} lies at {scheme}://, which is not read; http, https and s3 are.",
                    "unreadable",
                )
            place, access = reach.place(href, _item_address(item, reach))
            return _Wanted(item, band, place, access, asset_facts(item, asset, band.band_index))
    return _Refused(f"it has no asset {' or '.join(map(repr, band.assets))}.", "missing-band")


def _item_address(item: StacItem, reach: Reach) -> str:
    """Where an item is read again. What a user's item says of itself may be the address of another's."""
    return item.href if reach.guard is None else item.address


def _raster(wanted: _Wanted, header: Header | Unreadable | None, product: _Product) -> Raster | _Refused:
    """The raster, or the reason why there is none."""
    if isinstance(header, Unreadable):
        return _unreadable(wanted.href, header)
    band, facts = wanted.band, wanted.facts
    if header is not None and len(header.dtypes) < band.band_index:
        return _Refused(
            f"{shown(wanted.href)} has {len(header.dtypes)} bands, "
            f"not the {band.band_index} that are expected.",
            "missing-band",
        )
    try:
        box = _box(facts, header)
    except InvalidInput as error:
        missing = missing_end(wanted.href) if is_local(wanted.href) else None
        if missing is not None:  # its place on Earth was in the part that is not there
            return _Refused(f"{wanted.href} is not whole: {missing}.", "truncated")
        return _Refused(f"{shown(wanted.href)}: {error}", "wrong-grid")
    nodata = _nodata(wanted, header)
    if isinstance(nodata, _Refused):
        return nodata
    scale = band.scale if facts.scale is None else facts.scale
    offset = band.offset if facts.offset is None else facts.offset
    to_add = 0
    if band.harmonise == "sentinel2-baseline":
        try:
            to_add = dn_offset(wanted.item, facts, band.scale, band.name, product)
        except Contradiction as error:
            return _Refused(f"{error}.", "offset-unknown")
        offset = 0.0
    dtype = header.dtypes[band.band_index - 1] if header is not None else facts.dtype or band.dtype
    return Raster(
        href=wanted.href,
        access=wanted.access,
        band_index=band.band_index,
        box=box,
        dtype=dtype,
        nodata=nodata.value,
        dn_offset=to_add,
        scale=scale,
        offset=offset,
    )


def _unreadable(href: str, header: Unreadable) -> _Refused:
    """A file that cannot be opened, with what the file itself shows where it lies on this machine."""
    reason = f"{shown(href)} cannot be opened: {header.reason.rstrip('.')}."
    if not is_local(href):
        return _Refused(reason, header.kind)
    kind, told = broken_file(href)
    return _Refused(f"{reason} {told[:1].upper()}{told[1:]}." if told else reason, kind)


def _box(facts: AssetFacts, header: Header | None) -> Box:
    """The pixels of the file: as its header has them, if that does not contradict the item's metadata."""
    if header is None:
        assert facts.crs is not None
        assert facts.transform is not None
        assert facts.shape is not None
        return _placed(facts.crs, facts.transform, facts.shape)
    if header.crs is None:
        raise InvalidInput("the file has no coordinate reference system.")
    box = _placed(header.crs, header.transform, header.shape)
    if facts.crs is not None and crs_name(facts.crs) != box.grid.crs:
        raise InvalidInput(f"the item states {crs_name(facts.crs)}, but the file is in {box.grid.crs}.")
    _check_place(facts, box)
    return box


@lru_cache(maxsize=4096)
def _placed(crs: str | int, transform: Affine, shape: tuple[int, int]) -> Box:
    """The pixels of a raster. The bands and dates of a granule share them: they are found once."""
    return Grid.of_transform(crs, transform).box_of_transform(transform, shape[1], shape[0])


def _check_place(facts: AssetFacts, box: Box) -> None:
    """A file may be coarser than the item says (a decimated copy), but must lie where the item says.

    Half a pixel is allowed, as between pixels that stand for points and for areas; of a coarser copy one of
    its pixels, since its edges are rounded.
    """
    if facts.crs is None or facts.transform is None or facts.shape is None:
        return
    stated = _placed(facts.crs, facts.transform, facts.shape)
    if stated == box:
        return
    grid = stated.grid
    pixel = max(grid.res_x, grid.res_y, box.grid.res_x, box.grid.res_y)
    tolerance = 0.501 * pixel if stated.shape == box.shape else pixel
    if any(abs(a - b) > tolerance for a, b in zip(stated.bounds, box.bounds, strict=True)):
        raise InvalidInput(
            f"the item states the bounds {_shown(stated.bounds)}, but the file covers {_shown(box.bounds)}."
        )


def _shown(bounds: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.10g}" for value in bounds) + ")"


@dataclass(frozen=True)
class _Nodata:
    value: float | None


def _nodata(wanted: _Wanted, header: Header | None) -> _Nodata | _Refused:
    """The null value: the file's and the item's, which must not differ, else the definition's."""
    facts, band = wanted.facts, wanted.band
    in_file = header.nodata[band.band_index - 1] if header is not None else None
    if in_file is not None and facts.nodata is not None and not _same(in_file, facts.nodata):
        return _Refused(
            f"{shown(wanted.href)} has the null value {in_file:g}, but the item states {facts.nodata:g}.",
            "nodata",
        )
    if in_file is not None:
        return _Nodata(in_file)
    return _Nodata(facts.nodata if facts.has_nodata else band.nodata)


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))
