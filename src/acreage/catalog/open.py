"""Opening a catalog from what a person gives: a file, a folder, an address or a configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from acreage.catalog.access import (
    Access,
    AccessConfig,
    AccessFailed,
    EnvReference,
    Guard,
    Reach,
    is_remote,
    shown,
    split_signature,
)
from acreage.catalog.access.model import header_values
from acreage.catalog.access.stores import server_of
from acreage.catalog.catalog import CompositeCatalog, Entry, SourceCatalog, not_found
from acreage.catalog.definition import (
    CollectionDefinition,
    Strict,
    checked,
    load_definition,
    read_yaml,
    shipped_definitions,
)
from acreage.catalog.describe import stated_interval
from acreage.catalog.fetch import Fetcher
from acreage.catalog.folder import open_folder
from acreage.catalog.index import IndexedSource, IndexPolicy
from acreage.catalog.index.source import DocumentSource
from acreage.catalog.items import Interval
from acreage.catalog.sources import ItemSource, is_api, is_geoparquet
from acreage.catalog.stac import Json
from acreage.catalog.static import open_static
from acreage.core.errors import CatalogError

_STAC_TYPES = ("Catalog", "Collection", "Feature", "FeatureCollection")


class CollectionEntry(Strict):
    """One collection of a catalog configuration."""

    catalog: str = Field(min_length=1, description="catalog file, folder or STAC API, relative to the file")
    source: str | None = Field(default=None, description="the collection's id there, where it is another one")
    definition: str | None = Field(default=None, description="definition file, where it is not a shipped one")
    assets: dict[str, str | tuple[str, ...]] = Field(default_factory=dict, description="band -> asset key(s)")
    attributes: dict[str, Any] = Field(default_factory=dict, description="facts set over the definition's")
    properties: dict[str, Any] = Field(default_factory=dict, description="for items that lack these")
    headers: dict[str, EnvReference] = Field(
        default_factory=dict, description="HTTP headers for the catalog itself"
    )
    access: AccessConfig | None = Field(default=None, description="how its files are reached")

    @property
    def reach(self) -> Reach:
        """How its files are reached."""
        return Reach(self.access, tuple((name, r.env) for name, r in self.headers.items()), self.catalog)


class CatalogConfig(Strict):
    """A catalog configuration: openEO collection id -> where it comes from."""

    collections: dict[str, CollectionEntry] = Field(min_length=1)


def open_catalog(
    address: str | os.PathLike[str],
    definitions: Sequence[CollectionDefinition] | None = None,
    index: IndexPolicy | None = None,
    guard: Guard | None = None,
) -> SourceCatalog | CompositeCatalog:
    """Open a catalog.

    Args:
        address: a static STAC catalog, collection or item (file or http address), a folder of such or of
            `COLLECTION/ITEM/BAND.tif`, a STAC API's address, or a catalog configuration (YAML or JSON).
        definitions: what collections are recognised by; None for the shipped ones, an empty sequence to take
            every collection under its own id and its assets under their own names.
        index: through which it is read, None for none.
        guard: set where a user gave the address: it may be signed, and nothing that it leads to is reached
            but by this guard.

    Raises:
        CatalogError: it cannot be reached, read or understood.
        AddressRefused: it leads to what users may not reach.
    """
    if guard is not None:
        source = open_source(os.fspath(address), Fetcher(guard=guard))
        reach = Reach(guard=guard)
        entries = {i: replace(e, reach=reach) for i, e in recognise(source, definitions or ()).items()}
        return SourceCatalog(source, entries)
    known = tuple(shipped_definitions() if definitions is None else definitions)
    text = _place(os.fspath(address), Path(), "catalog")
    if not is_remote(text) and Path(text).is_file() and not is_geoparquet(Path(text)):
        config = _configuration(Path(text))
        if config is not None:
            return _open_config(Path(text), config, known, index)
    source = open_source(text, Fetcher(), index)
    return SourceCatalog(source, recognise(source, known))


def open_source(address: str, fetcher: Fetcher, index: IndexPolicy | None = None) -> ItemSource:
    """Open what is published at a path or address, under its own names, through its index where wanted.

    Raises:
        CatalogError: it cannot be reached, read or understood.
    """
    if fetcher.guard is None and not is_remote(address) and is_geoparquet(Path(address)):
        from acreage.catalog.index.geoparquet import open_geoparquet

        return open_geoparquet(Path(address))
    if index is not None and index.wanted(is_remote(address)):
        server = server_of(address, fetcher.access)
        return IndexedSource(address, index, lambda: _open_published(address, fetcher), server)
    return _open_published(address, fetcher)


def _open_published(address: str, fetcher: Fetcher) -> DocumentSource:
    if fetcher.guard is None and not is_remote(address):
        path = Path(address)
        if path.is_dir():
            return open_folder(path, fetcher)
        if not path.exists():
            raise CatalogError(f"There is no catalog at {address}.", hint="Check the path.")
    root = fetcher.read_json(address)
    if is_api(root):
        from acreage.catalog.api import ApiSource

        return ApiSource(address, fetcher)
    if root.get("type") not in _STAC_TYPES:
        raise CatalogError(
            f"{shown(address)} is neither STAC nor a catalog configuration: "
            f"its type is {root.get('type')!r}.",
            hint="A configuration has the key 'collections'; see docs/catalogs.md.",
        )
    return open_static(address, root, fetcher)


def recognise(source: ItemSource, definitions: Sequence[CollectionDefinition]) -> dict[str, Entry]:
    """Collections of a source under openEO ids where a definition knows them, else under their own.

    Of two collections that one definition knows, the one that it names first has the openEO id. Definitions
    with an interval may share a collection: each takes its items of that time.
    """
    published = source.stac_collections()
    names: dict[str, list[CollectionDefinition]] = {}
    for definition in definitions:
        match = next(
            (
                i
                for i in definition.source_ids
                if i in published
                and _may_share(definition, names.get(i, []))
                and reaches(published[i], definition.window)
            ),
            None,
        )
        if match is not None:
            names.setdefault(match, []).append(definition)
    entries: dict[str, Entry] = {}
    for source_id in published:
        if source_id not in names:
            entries[source_id] = Entry(source_id, None)
        entries.update({d.id: Entry(source_id, d) for d in names.get(source_id, [])})
    return entries


def _may_share(definition: CollectionDefinition, others: Sequence[CollectionDefinition]) -> bool:
    return not others or all(d.interval is not None for d in (definition, *others))


def reaches(stac: Json, window: Interval) -> bool:
    """False where a collection states that all its items lie outside of an interval."""
    stated = stated_interval(stac)
    late = window[1] is not None and stated[0] is not None and stated[0] >= window[1]
    early = window[0] is not None and stated[1] is not None and stated[1] < window[0]
    return not (late or early)


def _configuration(path: Path) -> CatalogConfig | None:
    """The configuration in a file; None where it is STAC."""
    data = read_yaml(path) if path.suffix.lower() in (".yaml", ".yml") else Fetcher().read_json(str(path))
    if isinstance(data, Mapping) and data.get("type") in _STAC_TYPES:
        return None
    config: CatalogConfig = checked(CatalogConfig, data, str(path))
    return config


def _open_config(
    path: Path, config: CatalogConfig, known: Sequence[CollectionDefinition], index: IndexPolicy | None
) -> CompositeCatalog:
    sources: dict[tuple[str, tuple[tuple[str, str], ...], Access | None], ItemSource] = {}
    parts: dict[str, SourceCatalog] = {}
    for collection_id, entry in config.collections.items():
        where = f"{path}, collections.{collection_id}"
        address = _place(entry.catalog, path.parent, where)
        headers = _header_values(entry, where)
        access = entry.reach.for_documents(address) if is_remote(address) else None
        key = (address, tuple(sorted(headers.items())), access)
        if key not in sources:
            sources[key] = open_source(address, Fetcher(headers, access, address), index)
        parts[collection_id] = SourceCatalog(
            sources[key],
            {
                collection_id: replace(
                    _entry(collection_id, entry, sources[key], known, path, where), reach=entry.reach
                )
            },
        )
    return CompositeCatalog(str(path), parts)


def _entry(
    collection_id: str,
    entry: CollectionEntry,
    source: ItemSource,
    known: Sequence[CollectionDefinition],
    path: Path,
    where: str,
) -> Entry:
    definition = next((d for d in known if d.id == collection_id), None)
    if entry.definition is not None:
        definition = load_definition((path.parent / Path(entry.definition).expanduser()).resolve())
    there = source.stac_collections()
    if entry.source is not None:
        candidates: tuple[str, ...] = (entry.source,)
    else:
        candidates = definition.source_ids if definition is not None else (collection_id,)
    source_id = next((c for c in candidates if c in there), None)
    if source_id is None:
        raise not_found(candidates[-1], list(there), f"{source.address} ({where})", source)
    if definition is None:
        if entry.assets or entry.attributes or entry.properties:
            raise CatalogError(
                f"{where}: assets, attributes and properties need a definition; this id has none.",
                hint="Name a definition file under the key 'definition'.",
            )
        return Entry(source_id, None)
    return Entry(source_id, _override(definition, collection_id, entry, source_id, where))


def _override(
    definition: CollectionDefinition, collection_id: str, entry: CollectionEntry, source_id: str, where: str
) -> CollectionDefinition:
    definition = definition.for_source(source_id)
    names = {band.name for band in definition.bands}
    unknown = sorted(set(entry.assets) - names)
    if unknown:
        raise CatalogError(
            f"{where}.assets: {', '.join(unknown)} is no band of {definition.id}.",
            hint=f"Its bands are {', '.join(b.name for b in definition.bands)}.",
        )
    bands = []
    for band in definition.bands:
        keys = entry.assets.get(band.name)
        keys = (keys,) if isinstance(keys, str) else keys
        bands.append(band if keys is None else band.model_copy(update={"assets": keys}))
    return definition.model_copy(
        update={
            "id": collection_id,
            "bands": tuple(bands),
            "attributes": definition.attributes_for(source_id) | entry.attributes,
            "sources": (),
            "properties": definition.properties | entry.properties,
        }
    )


def _header_values(entry: CollectionEntry, where: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, reference in entry.headers.items():
        try:
            values |= header_values(((name, reference.env),))
        except AccessFailed as error:
            raise CatalogError(f"{where}.headers.{name}: {error.message}", hint=error.hint) from error
    return values


def _place(address: str, folder: Path, where: str) -> str:
    """The address, or the absolute path, of a catalog as a person gives it.

    Raises:
        CatalogError: it holds a login or a signature, which would get into plans, results and the index, or
            its scheme is none that is read.
    """
    scheme, sign, rest = address.partition("://")
    if sign and scheme == "file":
        address = rest
    elif sign and not is_remote(address):
        raise CatalogError(
            f"{where}: catalogs are not read by {scheme}://.",
            hint="Give a path, or an address of http, https or s3.",
        )
    if not is_remote(address):
        return str((folder / Path(address).expanduser()).resolve())
    if split_signature(address)[1]:
        raise CatalogError(
            f"{where}: the catalog's address {shown(address)} is given with a login, token or signature.",
            hint="Give it without; a login belongs in ~/.netrc, a token under 'headers' of a configuration.",
        )
    return address
