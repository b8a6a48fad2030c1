"""STAC APIs that misbehave: what they give is complete or refused, never short."""

from __future__ import annotations

import json
import logging

import pytest
from tests.support.catalog_items import WORLD, stac_item
from tests.support.stac_api import StacApi, stac_api

from acreage.catalog import open_catalog
from acreage.catalog.api import ApiSource
from acreage.catalog.fetch import Fetcher
from acreage.core.errors import CatalogError
from acreage.core.temporal import parse_instant

S2 = "sentinel-2-l2a"
COLLECTION = {
    "type": "Collection", "id": S2, "stac_version": "1.1.0", "description": "",
    "license": "other", "links": [],
    "extent": {"spatial": {"bbox": [[4, 50, 5, 51]]},
               "temporal": {"interval": [["2022-01-01T00:00:00Z", None]]}},
}  # fmt: skip
ALWAYS = (None, None)


def server(count: int = 7, page: int = 3) -> StacApi:
    items = [stac_item(f"i{n}", datetime=f"2022-03-{n + 1:02d}T10:00:00Z") for n in range(count)]
    return StacApi({S2: COLLECTION}, items, page=page)


def source(api: StacApi) -> ApiSource:
    return ApiSource(api.address, Fetcher())


def ids(api: StacApi) -> list[str]:
    items, problems = source(api).find(S2, WORLD, ALWAYS, None)
    assert problems == []
    return sorted(i.id for i in items)


def test_all_pages_are_read() -> None:
    with stac_api(server()) as api:
        assert ids(api) == [f"i{n}" for n in range(7)]


@pytest.mark.parametrize(
    "fault",
    [
        (500, {"Retry-After": "0"}, "out of order"),
        (200, {"Content-Type": "text/html"}, "<html>Maintenance</html>"),
        (200, {}, '{"code": "Timeout", "description": "try later"}'),
        (200, {}, '{"type": "FeatureCollection", "features": null}'),
        (200, {}, "[]"),
        (404, {}, "{}"),
    ],
    ids=["500", "html", "error with 200", "no features", "a list", "404"],
)
@pytest.mark.parametrize("page", [1, 3])
def test_a_page_that_fails_fails_the_search(fault: tuple[int, dict[str, str], str], page: int) -> None:
    with stac_api(server()) as api:
        opened = source(api)
        api.page_faults[page] = fault
        with pytest.raises(CatalogError, match="The STAC API at") as caught:
            opened.find(S2, WORLD, ALWAYS, None)
        assert api.address in str(caught.value)
        assert len(str(caught.value)) < 600


def test_a_next_link_to_the_same_page_ends_in_an_error_not_in_a_loop() -> None:
    api = server()
    api.next_link = lambda link: {**link, "body": {k: v for k, v in link["body"].items() if k != "token"}}
    with stac_api(api), pytest.raises(CatalogError, match="same page again"):
        ids(api)


def test_a_next_link_to_nowhere_is_an_error() -> None:
    api = server()
    api.next_link = lambda link: {**link, "href": f"{api.address}/gone"}
    with stac_api(api), pytest.raises(CatalogError, match="The STAC API at"):
        ids(api)


def test_secrets_do_not_follow_a_next_link_to_another_host(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with stac_api(server()) as other, stac_api(server()) as api:
        api.next_link = lambda link: {**link, "href": link["href"].replace(api.address, other.address)}
        fetcher = Fetcher({"X-Token": "only-for-one"}, origin=api.address)
        items, _ = ApiSource(api.address, fetcher).find(S2, WORLD, ALWAYS, None)
        assert len(items) == 7
        assert {h.get("x-token") for h in api.headers_seen} == {"only-for-one"}
        assert {h.get("x-token") for h in other.headers_seen} == {None}
    assert "only-for-one" not in caplog.text


def test_a_lost_next_link_is_noticed_by_the_count() -> None:
    api = server()
    api.next_link = lambda link: {"rel": "prev", "href": link["href"]}
    with stac_api(api), pytest.raises(CatalogError, match=r"7 items of sentinel-2-l2a match, but gave 3"):
        ids(api)


def test_items_that_come_twice_count_once() -> None:
    api = server()
    api.items.append({**api.items[0]})
    api.matched = None
    with stac_api(api):
        assert ids(api) == [f"i{n}" for n in range(7)]


def test_items_that_come_twice_in_place_of_others_are_noticed() -> None:
    api = server(9)
    api.overlap = 1
    with stac_api(api), pytest.raises(CatalogError, match="9 items of sentinel-2-l2a match, but gave 7"):
        ids(api)


def test_of_two_documents_with_one_id_the_one_updated_last_is_read() -> None:
    api = server(1)
    newer = json.loads(json.dumps(api.items[0]))
    newer["properties"]["updated"] = "2023-01-01T00:00:00Z"
    newer["properties"]["eo:cloud_cover"] = 12.5
    api.items.insert(0, newer)
    api.matched = None
    with stac_api(api):
        (item,), _ = source(api).find(S2, WORLD, ALWAYS, None)
        assert item.properties["eo:cloud_cover"] == 12.5


def test_what_an_api_gives_beyond_area_dates_and_collection_is_left_out() -> None:
    api = server()
    api.items.append(stac_item("far", bbox=[20, 10, 21, 11], geometry=None))
    api.items.append({**stac_item("other"), "collection": "landsat"})
    api.ignores = frozenset({"bbox", "datetime", "collections"})
    api.matched = None
    with stac_api(api):
        march = (parse_instant("2022-03-02"), parse_instant("2022-03-04"))
        items, _ = source(api).find(S2, (4.0, 50.0, 5.0, 51.0), march, None)
        assert sorted(i.id for i in items) == ["i1", "i2"]


def test_an_item_without_bbox_has_its_geometrys_and_one_without_either_is_a_problem() -> None:
    api = server(2)
    square = [[4.0, 50.0], [4.2, 50.0], [4.2, 50.2], [4.0, 50.2], [4.0, 50.0]]
    api.items[0]["geometry"] = {"type": "Polygon", "coordinates": [square]}
    del api.items[0]["bbox"]
    bare = api.items[1]
    del bare["bbox"]
    bare["geometry"] = None
    api.ignores = frozenset({"bbox"})
    with stac_api(api):
        items, problems = source(api).find(S2, (4.0, 50.0, 5.0, 51.0), ALWAYS, None)
        assert [i.id for i in items] == ["i0"]
        assert [(p.item, "bbox" in p.reason) for p in problems] == [("i1", True)]


def test_a_server_that_throttles_a_page_is_asked_again_after_the_time_it_says() -> None:
    with stac_api(server()) as api:
        catalog = open_catalog(api.address)
        catalog.describe("SENTINEL2_L2A")
        api.refusals += [(429, {"Retry-After": "0"}, "slow down"), (503, {"Retry-After": "0"}, "busy")]
        assert len(catalog.search("SENTINEL2_L2A", WORLD, bands=("B02",)).items) == 7
        assert api.refusals == []
