"""load_stac reads what users name, and all that it leads to, from the public internet only."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from tests.support.servers.faulty import Answer, FaultyServer, Request, folder_backend, serving
from tests.support.user_files import loaded
from tests.support.written import raster_meta, write

from acreage.catalog import open_catalog
from acreage.catalog.access import Policy, access_for, guarded_access
from acreage.catalog.access.model import Guard
from acreage.catalog.access.public import PublicTransport
from acreage.core.cube import Cube
from acreage.core.errors import AcreageError, AddressRefused
from acreage.engine.user_files import UserFiles

pytestmark = pytest.mark.usefixtures("kept_helper")

QUICK = Policy(attempts=1, backoff_s=0.01, patience_s=5.0, connect_timeout_s=2.0, read_timeout_s=2.0)
Json = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A server that users may reach, one of the private network, and the folder that both serve.

    Attributes:
        cube: what `a.tif` in the folder holds.
    """

    public: FaultyServer
    private: FaultyServer
    folder: Path
    cube: Cube

    def put(self, name: str, document: Json) -> str:
        (self.folder / name).write_text(json.dumps(document))
        return f"{self.public.address}/{name}"

    def item(self, href: str, **more: Any) -> Json:
        bands = [{"name": name, "data_type": "int16"} for name in ("B04", "B8A")]
        return {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": "one",
            "bbox": [5.0, 48.0, 7.0, 50.0],
            "geometry": None,
            "properties": {"datetime": "2019-03-01T00:00:00Z"},
            "links": [],
            "assets": {"data": {"href": href, "roles": ["data"], "bands": bands}},
            **more,
        }

    def collection(self, *links: tuple[str, str]) -> Json:
        return {
            "type": "Collection",
            "stac_version": "1.1.0",
            "id": "c",
            "description": "d",
            "license": "other",
            "extent": {"spatial": {"bbox": [[5, 48, 7, 50]]}, "temporal": {"interval": [[None, None]]}},
            "links": [{"rel": rel, "href": href} for rel, href in links],
        }

    def load(self, url: str) -> Cube:
        transport = PublicTransport(QUICK, [urlsplit(self.public.address).netloc])
        node = {"process_id": "load_stac", "arguments": {"url": url}, "result": True}
        return loaded(UserFiles(transport=transport), {"load": node})


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    meta = raster_meta("i2", times=0, rows=20, columns=30)
    cube = Cube.of(np.arange(meta.size, dtype=np.int16).reshape(meta.shape), None, meta)
    (path,) = write(cube, "GTiff", tmp_path)
    path.rename(tmp_path / "a.tif")
    backend = folder_backend(tmp_path)
    with serving(backend) as public, serving(backend) as private:
        yield Place(public, private, tmp_path, cube)


def redirected(target: str) -> Callable[[Request], Answer]:
    return lambda request: Answer(302, {"Location": f"{target}{request.path}"})


@pytest.mark.parametrize("kind", ["item", "collection", "catalog"])
def test_public_documents_and_files_are_loaded(place: Place, kind: str) -> None:
    url = place.put("item.json", place.item("a.tif"))
    if kind != "item":
        url = place.put("collection.json", place.collection(("item", "item.json")))
    if kind == "catalog":
        root = {**place.collection(("child", "collection.json")), "type": "Catalog", "id": "root"}
        url = place.put("catalog.json", root)
    found = place.load(url)
    np.testing.assert_array_equal(found.values[0], place.cube.values)


def test_an_asset_in_the_private_network_is_refused(place: Place) -> None:
    url = place.put("item.json", place.item(f"{place.private.address}/a.tif"))
    with pytest.raises(AddressRefused, match="not on the public internet") as caught:
        place.load(url)
    assert caught.value.hint
    assert place.private.requests == []


def test_an_asset_is_refused_when_planned_although_its_header_is_not_needed(place: Place) -> None:
    assert place.cube.meta.box is not None
    facts = {
        "proj:code": place.cube.meta.grid.crs,
        "proj:transform": list(place.cube.meta.box.affine)[:6],
        "proj:shape": list(place.cube.meta.box.shape),
        "datetime": "2019-03-01T00:00:00Z",
    }
    url = place.put("item.json", place.item(f"{place.private.address}/a.tif", properties=facts))
    with pytest.raises(AddressRefused):
        place.load(url)
    assert place.private.requests == []


@pytest.mark.parametrize("relation", ["item", "child"])
def test_a_link_into_the_private_network_is_refused(place: Place, relation: str) -> None:
    place.put("item.json", place.item("a.tif"))
    target = f"{place.private.address}/item.json"
    url = place.put("collection.json", place.collection((relation, target)))
    with pytest.raises(AddressRefused, match="not on the public internet"):
        place.load(url)
    assert place.private.requests == []


@pytest.mark.parametrize("what", ["collection.json", "item.json", "a.tif"])
def test_redirections_into_the_private_network_are_refused(place: Place, what: str) -> None:
    place.put("item.json", place.item("a.tif"))
    url = place.put("collection.json", place.collection(("item", "item.json")))
    place.public.backend = lambda request: (
        redirected(place.private.address)(request)
        if request.file == f"/{what}"
        else folder_backend(place.folder)(request)
    )
    with pytest.raises(AddressRefused, match="not on the public internet"):
        place.load(url)
    assert place.private.requests == []


def test_a_name_that_leads_into_the_private_network_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def fake(host: Any, *args: Any, **more: Any) -> Any:
        return resolve("127.0.0.1" if host == "tiles.example.org" else host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    port = urlsplit(place.private.address).port
    url = place.put("item.json", place.item(f"http://tiles.example.org:{port}/a.tif"))
    with pytest.raises(AddressRefused, match=r"tiles\.example\.org is not on the public internet"):
        place.load(url)
    assert place.private.requests == []


def test_a_name_that_turns_private_after_planning_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer of its name server is public, and the file is asked for at the second one."""
    asked: list[str] = []
    resolve = socket.getaddrinfo

    def fake(host: Any, *args: Any, **more: Any) -> Any:
        if host == "tiles.example.org":
            asked.append(host)
            host = "8.8.8.8" if len(asked) == 1 else "127.0.0.1"
        return resolve(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    port = urlsplit(place.private.address).port
    url = place.put("item.json", place.item(f"http://tiles.example.org:{port}/a.tif"))
    with pytest.raises(AddressRefused):
        place.load(url)
    assert len(asked) > 1
    assert place.private.requests == []


@pytest.mark.parametrize(
    "href", ["{folder}/a.tif", "file://{folder}/a.tif", "/vsicurl/{private}/a.tif", "zip://{folder}/a.zip"]
)
def test_files_of_the_machine_are_not_read_through_a_users_item(place: Place, href: str) -> None:
    href = href.format(folder=place.folder, private=place.private.address)
    # As text of an address, a path would be one of the item's own server.
    item = place.item(href if "://" in href or href.startswith("/vsi") else f"file://{href}")
    with pytest.raises(AddressRefused, match="no address of the web"):
        place.load(place.put("item.json", item))
    assert place.private.requests == []


def test_an_item_does_not_pass_for_another_catalogs_item(place: Place) -> None:
    """Else a user's broken copy would put the true product into quarantine for everybody."""
    links = [{"rel": "self", "href": "https://catalog.example.org/items/one"}]
    url = place.put("item.json", place.item("a.tif", links=links))
    guard = Guard((urlsplit(place.public.address).netloc,))
    catalog = open_catalog(url, definitions=(), guard=guard)
    (item,) = catalog.search(catalog.collections()[0], (-180, -90, 180, 90)).items
    assert item.href == url


@pytest.mark.parametrize("relation", ["item", "child"])
def test_links_do_not_lead_to_files_of_the_machine(place: Place, relation: str) -> None:
    place.put("item.json", place.item("a.tif"))
    url = place.put("c.json", place.collection((relation, f"file://{place.folder}/item.json")))
    with pytest.raises(AddressRefused, match="no address of the web"):
        place.load(url)


def test_a_virtual_raster_is_no_way_around(place: Place) -> None:
    vrt = f"""<VRTDataset rasterXSize="30" rasterYSize="20"><SRS>EPSG:32631</SRS>
      <GeoTransform>0, 10, 0, 0, 0, -10</GeoTransform>
      <VRTRasterBand dataType="Int16" band="1"><SimpleSource>
      <SourceFilename relativeToVRT="0">/vsicurl/{place.private.address}/a.tif</SourceFilename>
      <SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"""
    (place.folder / "v.tif").write_text(vrt)
    item = place.item("v.tif")
    with pytest.raises(AcreageError, match=r"no image of a known format|not recognized"):
        place.load(place.put("item.json", item))
    assert place.private.requests == []


def test_a_stac_api_does_not_lead_into_the_private_network(place: Place) -> None:
    names = ("core", "item-search", "collections", "ogcapi-features")
    classes = [f"https://api.stacspec.org/v1.0.0/{name}" for name in names]
    root = {
        **place.collection(),
        "type": "Catalog",
        "conformsTo": classes,
        "links": [
            {"rel": "self", "href": f"{place.public.address}/"},
            {"rel": "data", "href": f"{place.private.address}/collections"},
            {"rel": "search", "href": f"{place.private.address}/search", "method": "GET"},
        ],
    }
    with pytest.raises(AddressRefused):
        place.load(place.put("root.json", root))
    assert place.private.requests == []


def test_no_logins_of_the_machine_go_along(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login operator password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", place.private.address)
    place.load(place.put("item.json", place.item("a.tif")))
    assert place.public.requests
    assert not any("authorization" in r.headers for r in place.public.requests)
    assert place.private.requests == []


def test_buckets_of_strangers_are_asked_without_the_credentials_of_the_machine() -> None:
    guard = Guard()
    assert access_for("s3://somebodys-bucket/a.tif").signing == "s3"
    for address in ("s3://somebodys-bucket/a.tif", "s3://usgs-landsat/a.tif"):
        found = guarded_access(address, guard)
        assert (found.signing, found.requester_pays, found.guard) == ("none", False, guard)
    assert guarded_access("s3://eodata/a.tif", guard).signing == "s3"


def test_a_signed_item_is_loaded_with_its_signed_files(place: Place) -> None:
    place.put("item.json", place.item("a.tif?signature=abc&expires=99999999999"))
    found = place.load(f"{place.public.address}/item.json?signature=xyz&expires=99999999999")
    np.testing.assert_array_equal(found.values[0], place.cube.values)
    asked = [r.path for r in place.public.requests]
    assert all("signature=abc" in p for p in asked if "a.tif" in p)
    assert all("signature=xyz" in p for p in asked if "item.json" in p)
