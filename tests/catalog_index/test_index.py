"""The index before a STAC API on loopback: it asks once, for what is missing, and answers as the API does."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import stac_geoparquet.arrow
from tests.support.catalog_items import WORLD, stac_item, write_catalog
from tests.support.servers.faulty import Answer, Fault, folder_backend, serving
from tests.support.stac_api import StacApi, stac_api

from acreage.catalog import open_catalog
from acreage.catalog.fetch import Fetcher
from acreage.catalog.index import IndexedSource, IndexPolicy
from acreage.catalog.index import store as store_module
from acreage.catalog.index.coverage import blocks_of
from acreage.catalog.items import Bounds, Interval
from acreage.catalog.open import open_source
from acreage.catalog.sources import Document
from acreage.core.errors import CatalogError, CollectionNotFound

S2 = "sentinel-2-l2a"
COLLECTION = {
    "type": "Collection", "id": S2, "stac_version": "1.1.0", "description": "",
    "license": "other", "links": [],
    "extent": {"spatial": {"bbox": [[0, 45, 12, 55]]},
               "temporal": {"interval": [["2022-01-01T00:00:00Z", None]]}},
}  # fmt: skip
SEASON: Interval = (np.datetime64("2022-03-01"), np.datetime64("2022-04-01"))
TILE: Bounds = (4.1, 50.1, 4.3, 50.3)
BESIDE: Bounds = (4.1, 50.1, 4.8, 50.3)  # the tile's cell and the one east of it
FAR: Bounds = (8.1, 50.1, 8.3, 50.3)


def granule(column: int, row: int, day: int, **changes: Any) -> dict[str, Any]:
    """An item of one degree, 0.6 degrees apart, so that neighbours overlap."""
    west, south = 3.0 + 0.6 * column, 49.0 + 0.6 * row
    east, north = west + 1.0, south + 1.0
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return stac_item(
        f"g{column}{row}-{day:02d}",
        bbox=[west, south, east, north],
        geometry={"type": "Polygon", "coordinates": [ring]},
        datetime=f"2022-03-{day:02d}T10:00:00Z",
        **{"grid:code": f"MGRS-31U{chr(65 + column)}{chr(65 + row)}"} | changes,
    )


def server(days: int = 6) -> StacApi:
    items = [granule(c, r, d) for c in range(9) for r in range(4) for d in range(1, days + 1)]
    return StacApi({S2: COLLECTION}, items, page=200)


def indexed(api: StacApi | str, folder: Path, **options: Any) -> IndexedSource:
    address = api if isinstance(api, str) else api.address
    source = open_source(address, Fetcher(), IndexPolicy(folder, **options))
    assert isinstance(source, IndexedSource)
    return source


def found(source: Any, bounds: Bounds, interval: Interval = SEASON) -> list[str]:
    items, problems = source.find(S2, bounds, interval, None)
    assert problems == []
    return sorted(i.id for i in items)


def test_a_search_happens_once_and_its_answer_is_the_apis(tmp_path: Path) -> None:
    with stac_api(server()) as api:
        direct = open_source(api.address, Fetcher())
        expected = direct.find(S2, TILE, SEASON, None)[0]
        assert len(expected) > 6
        source = indexed(api, tmp_path)
        first = source.find(S2, TILE, SEASON, None)[0]
        asked = len(api.requests)
        again = indexed(api, tmp_path)
        second = again.find(S2, TILE, SEASON, None)[0]
        again.stac_collections()
        again.sample(S2)
        assert len(api.requests) == asked, "the second job asked the API"
    key = {i.id: i for i in expected}
    for items in (first, second):
        assert {i.id for i in items} == set(key)
        for item in items:
            assert item.properties == key[item.id].properties
            assert item.assets == key[item.id].assets
            assert (item.start, item.end, item.bbox) == (
                key[item.id].start, key[item.id].end, key[item.id].bbox,
            )  # fmt: skip
            assert item.geometry == key[item.id].geometry


def test_a_part_of_what_was_asked_needs_no_request_nor_a_running_server(tmp_path: Path) -> None:
    with stac_api(server()) as api:
        address = api.address
        everything = found(indexed(api, tmp_path), BESIDE)
        expected = found(open_source(address, Fetcher()), (4.2, 50.2, 4.25, 50.25))
    assert found(indexed(address, tmp_path), BESIDE) == everything
    assert found(indexed(address, tmp_path), (4.2, 50.2, 4.25, 50.25)) == expected


def test_only_the_rest_of_a_partly_known_request_is_asked(tmp_path: Path) -> None:
    with stac_api(server()) as api:
        source = indexed(api, tmp_path)
        found(source, TILE)
        before = len(api.searches)
        expected = found(open_source(api.address, Fetcher()), BESIDE)
        assert found(source, BESIDE) == expected
        (search,) = api.searches[before + 1 :]
        assert search["bbox"] == [4.5, 50.0, 5.0, 50.5]
        longer = (SEASON[0], np.datetime64("2022-04-11"))
        before = len(api.searches)
        found(source, TILE, longer)
        (search,) = api.searches[before:]
        assert search["datetime"].startswith("2022-04-01T00:00:00")


def test_items_that_cross_the_borders_of_what_was_asked_are_kept_once(tmp_path: Path) -> None:
    with stac_api(server()) as api:
        source = indexed(api, tmp_path)
        for west in (4.1, 4.6, 5.1, 3.6):
            found(source, (west, 50.1, west + 0.2, 50.3))
        everywhere = (3.5, 50.0, 5.5, 50.5)
        ids = found(source, everywhere)
        assert len(ids) == len(set(ids)) == source.report(S2).items
        assert ids == found(open_source(api.address, Fetcher()), everywhere)


def test_a_search_that_dies_keeps_what_was_complete_and_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acreage.catalog.index.coverage._CELL_DAYS", 31)
    with stac_api(server()) as api:
        source = indexed(api, tmp_path)
        source.stac_collections()
        wanted = (4.1, 50.1, 5.4, 50.3)
        api.page_faults = {1: (404, {}, "gone")}
        with pytest.raises(CatalogError):
            found(source, wanted)
        assert source.report(S2).items == 0
        api.page_faults = {}
        answered = 0

        real = source.inner.documents

        def failing(*args: Any) -> Any:
            nonlocal answered
            answered += 1
            if answered == 2:
                raise CatalogError("down")
            return real(*args)

        source.inner.documents = failing  # type: ignore[method-assign]
        with pytest.raises(CatalogError, match="down"):
            found(source, wanted)
        assert source.report(S2).items > 0
        source.inner.documents = real  # type: ignore[method-assign]
        before = len(api.searches)
        ids = found(source, wanted)
        assert len(api.searches) - before == 2, "one of three blocks was known"
        assert ids == found(open_source(api.address, Fetcher()), wanted)


def test_refreshing_reports_what_came_went_and_changed(tmp_path: Path) -> None:
    with stac_api(server(2)) as api:
        old = indexed(api, tmp_path)
        before = set(found(old, TILE))
        gone = "g22-01"
        changed = "g12-01"
        assert {gone, changed} <= before
        api.items = [i for i in api.items if i["id"] != gone]
        for item in api.items:
            if item["id"] == changed:
                item["properties"]["s2:processing_baseline"] = "05.00"
        api.items.append(granule(2, 2, 3))
        assert set(found(indexed(api, tmp_path), TILE)) == before, "not asked again by itself"
        changes = indexed(api, tmp_path, refresh=True).complete(S2, TILE, SEASON)
        assert changes.added == ("g22-03",)
        assert changes.removed == (gone,)
        assert changes.changed == (f"{changed} (baseline 04.00 -> 05.00)",)
        source = indexed(api, tmp_path)
        items = {i.id: i for i in source.find(S2, TILE, SEASON, None)[0]}
        assert set(items) == before - {gone} | {"g22-03"}
        assert items[changed].properties["s2:processing_baseline"] == "05.00"
        again = indexed(api, tmp_path, refresh=True).complete(S2, TILE, SEASON)
        assert again == type(again)()
    table = pq.ParquetDataset(sorted(source.report(S2).folder.glob("*.parquet"))).read()
    assert set(table["id"].to_pylist()) >= set(items)
    assert gone not in table["id"].to_pylist()
    assert len(table) == source.report(S2).items


def test_a_granule_that_only_grazes_the_area_is_not_taken_for_vanished(tmp_path: Path) -> None:
    with stac_api(server(1)) as api:
        found(indexed(api, tmp_path), (3.1, 49.1, 6.9, 51.4))
        before = indexed(api, tmp_path).report(S2).items
        changes = indexed(api, tmp_path, refresh=True).complete(S2, TILE, SEASON)
        assert changes.removed == ()
        assert indexed(api, tmp_path).report(S2).items == before


def test_a_period_that_only_reaches_into_an_answer_is_not_taken_for_vanished(tmp_path: Path) -> None:
    period = {"start_datetime": "2022-03-31T23:59:50Z", "end_datetime": "2022-04-01T00:00:10Z"}
    api = server(1)
    api.items.append(granule(2, 2, 31) | {"id": "long"})
    with stac_api(api):  # it looks at `datetime` alone, as many do
        inner = open_source(api.address, Fetcher())
        real = inner.documents

        def documents(*args: Any) -> Any:
            return [
                Document(
                    d.address, {**d.data, "properties": {**d.data["properties"], **period, "datetime": None}}
                )
                if d.data["id"] == "long"
                else d
                for d in real(*args)
            ]

        inner.documents = documents
        source = IndexedSource(api.address, IndexPolicy(tmp_path), lambda: inner)
        assert "long" in found(source, TILE)
        after = (SEASON[1], np.datetime64("2022-04-11"))
        assert source.complete(S2, TILE, after).removed == ()
        assert "long" in found(source, TILE, after)


def test_a_footprint_over_the_antimeridian_vanishes_only_from_where_it_surely_is(tmp_path: Path) -> None:
    def box(west: float, east: float) -> list[list[list[float]]]:
        return [[[west, 50], [east, 50], [east, 51], [west, 51], [west, 50]]]

    api = server(1)
    place = {"bbox": [179.0, 50.0, -178.0, 51.0]}
    split = {"type": "MultiPolygon", "coordinates": [box(179, 180), box(-180, -178)]}
    api.items = [
        granule(0, 0, 1) | place | {"id": "split", "geometry": split},
        granule(0, 0, 1)
        | place
        | {"id": "wrapped", "geometry": {"type": "Polygon", "coordinates": box(179, 182)}},
    ]
    here, beside, season = (-179.9, 50.1, -179.6, 50.2), (-178.9, 50.1, -178.6, 50.2), SEASON
    with stac_api(api):
        api.ignores = frozenset({"bbox"})
        assert found(indexed(api, tmp_path), here) == ["split", "wrapped"]
        kept, api.items = api.items, []
        assert indexed(api, tmp_path).complete(S2, beside, season).removed == ("split",)
        api.items = kept
        assert indexed(api, tmp_path, refresh=True).complete(S2, here, season).added == ("split",)


def test_a_document_that_could_not_be_had_is_asked_for_by_the_next_job(tmp_path: Path) -> None:
    collection = write_catalog(tmp_path, [stac_item(f"i{n}") for n in range(3)])
    always = (None, None)
    with serving(folder_backend(tmp_path), matching=r"/1\.json") as web:
        address = f"{web.address}/{collection.relative_to(tmp_path)}"

        def ask(**options: Any) -> tuple[list[str], list[tuple[str, str]]]:
            source = indexed(address, tmp_path / "index", **options)
            for _ in range(2):
                items, problems = source.find(S2, WORLD, always, None)
            return sorted(i.id for i in items), [(p.item.rpartition("/")[2], p.kind) for p in problems]

        for status in (403, 404):
            web.rule = lambda _, status=status: Fault(Answer(status))
            assert ask() == (["i0", "i2"], [("1.json", "unreadable")])
            assert len(web.asked("/1.json")) == {403: 1, 404: 2}[status]
        asked = len(web.requests)
        assert ask() == (["i0", "i2"], [("1.json", "unreadable")])
        assert len(web.requests) == asked, "what is not there is known not to be there"
        web.rule = None
        assert ask(refresh=True) == (["i0", "i1", "i2"], [])
        web.rule = lambda _: Fault(Answer(403))
        before = len(web.asked("/1.json"))
        assert ask(refresh=True) == (["i0", "i1", "i2"], [("1.json", "unreadable")])
        assert len(web.asked("/1.json")) == before + 1, "one job asks once"
        web.rule = None
        assert ask(refresh=True) == (["i0", "i1", "i2"], [])


def test_an_answer_older_than_the_age_allowed_is_asked_again(tmp_path: Path) -> None:
    with stac_api(server(1)) as api:
        found(indexed(api, tmp_path), TILE)
        asked = len(api.searches)
        found(indexed(api, tmp_path, max_age_days=1.0), TILE)
        assert len(api.searches) == asked
        time.sleep(0.01)
        found(indexed(api, tmp_path, max_age_days=0.0), TILE)
        assert len(api.searches) == asked + 1


def test_the_age_of_an_answer_is_told(tmp_path: Path) -> None:
    with stac_api(server(1)) as api:
        catalog = open_catalog(api.address, index=IndexPolicy(tmp_path))
        search = catalog.search("SENTINEL2_L2A", TILE, SEASON, ("B02",))
        (note,) = search.notes
        assert "items from the index" in note
        assert api.address in note
        assert "0 minutes ago" in note
        assert "acreage index --refresh" in note
        assert open_catalog(api.address).search("SENTINEL2_L2A", TILE, SEASON, ("B02",)).notes == ()


def test_a_collection_that_is_newer_than_the_kept_list_is_told_so(tmp_path: Path) -> None:
    with stac_api(server(1)) as api:
        open_catalog(api.address, index=IndexPolicy(tmp_path))
        api.collections["new"] = {**COLLECTION, "id": "new"}
        api.items.append(granule(2, 2, 1) | {"collection": "new"})
        with pytest.raises(CollectionNotFound, match=r"asked for them 0 minutes ago; `acreage index --refr"):
            open_catalog(api.address, index=IndexPolicy(tmp_path)).describe("new")
        fresh = open_catalog(api.address, index=IndexPolicy(tmp_path, refresh=True))
        assert "new" in fresh.collections()
        with pytest.raises(CollectionNotFound) as caught:
            fresh.describe("none")
        assert "asked" not in str(caught.value)


def test_items_that_cannot_be_used_are_told_and_kept_without_signatures(tmp_path: Path) -> None:
    root = write_catalog(tmp_path / "stac", [stac_item("good"), stac_item(""), stac_item("gone")])
    path = root.parent / S2 / "collection.json"
    path.write_text(path.read_text().replace('.json"', '.json?token=c2VjcmV0"'))
    (root.parent / S2 / "2.json").unlink()
    with serving(folder_backend(root.parent)) as web:
        address = f"{web.address}/catalog.json"
        for source in (open_source(address, Fetcher()), indexed(address, tmp_path / "index")):
            items, problems = source.find(S2, WORLD, (None, None), None)
            told = repr([(i.id, i.href) for i in items]) + repr(problems)
            assert ("1.json" in told, "2.json" in told, len(problems)) == (True, True, 2)
            assert "c2VjcmV0" not in told
    files = [p for p in (tmp_path / "index").rglob("*") if p.is_file()]
    assert not any(b"c2VjcmV0" in p.read_bytes() for p in files)


def test_collections_are_kept_without_signatures(tmp_path: Path) -> None:
    api = server(1)
    href = "https://a.blob.core.windows.net/c/logo.png"
    api.collections[S2] = COLLECTION | {"assets": {"thumbnail": {"href": f"{href}?se=2027&sig=c2VjcmV0"}}}
    with stac_api(api):
        source = indexed(api, tmp_path)
        found(source, TILE)
        assert indexed(api, tmp_path).stac_collections()[S2]["assets"]["thumbnail"]["href"] == href
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) > 3
    assert not any(b"c2VjcmV0" in p.read_bytes() for p in files)


def test_addresses_are_kept_without_their_signatures(tmp_path: Path) -> None:
    secret = "c2VjcmV0"
    signed = {
        "blue": f"https://a.blob.core.windows.net/c/b.tif?st=2026&se=2027&sp=rl&sv=2021&sr=c&sig={secret}",
        "green": f"https://b.s3.amazonaws.com/g.tif?X-Amz-Signature={secret}&X-Amz-Expires=60&versionId=7",
        "red": f"https://d.cloudfront.net/r.tif?Expires=1&Signature={secret}&Key-Pair-Id=K",
        "nir": "https://example.com/n.tif?page=3",
    }
    api = server(1)
    for item in api.items:
        item["assets"] = {k: {**item["assets"]["blue"], "href": href} for k, href in signed.items()}
        item["assets"]["blue"]["alternate"] = {"https": {"href": signed["green"]}}
    with stac_api(api):
        source = indexed(api, tmp_path)
        item = source.find(S2, TILE, SEASON, None)[0][0]
        assert {k: a["href"] for k, a in item.assets.items()} == {
            "blue": "https://a.blob.core.windows.net/c/b.tif#signed",
            "green": "https://b.s3.amazonaws.com/g.tif?versionId=7#signed",
            "red": "https://d.cloudfront.net/r.tif#signed",
            "nir": "https://example.com/n.tif?page=3",
        }
        table = pq.ParquetDataset(sorted(source.report(S2).folder.glob("*.parquet"))).read()
        assert secret not in json.dumps(list(stac_geoparquet.arrow.stac_table_to_items(table)), default=str)
        rows = b"".join(f for p in source.report(S2).folder.glob("*.rows") for f in _contents(p))
        assert secret.encode() not in rows


def _contents(path: Path) -> list[bytes]:
    return pq.read_table(path, partitioning=None)["item"].to_pylist()


def test_what_could_not_be_used_is_reported_from_the_index_too(tmp_path: Path) -> None:
    api = server(1)
    broken = granule(2, 2, 4)
    broken["properties"]["datetime"] = "2022-03-04T99:00:00Z"
    api.items.append(broken)
    with stac_api(api):
        first = indexed(api, tmp_path).find(S2, TILE, SEASON, None)[1]
        again = indexed(api, tmp_path).find(S2, TILE, SEASON, None)[1]
        far = indexed(api, tmp_path).find(S2, FAR, SEASON, None)[1]
    assert [p.item for p in first] == ["g22-04"]
    assert again == first
    assert far == []


def test_parts_are_joined_and_files_that_nothing_names_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stac_api(server(2)) as api:
        source = indexed(api, tmp_path)
        for column in range(12):
            west = 3.1 + 0.5 * column
            found(source, (west, 50.1, west + 0.1, 50.3))
        folder = source.report(S2).folder
        parts = sorted(p.stem for p in folder.glob("*.parquet"))
        assert len(parts) < store_module._MANY_PARTS
        assert parts == sorted(p.stem for p in folder.glob("*.rows"))
        everywhere = (3.0, 50.0, 9.0, 50.5)
        assert found(source, everywhere) == found(open_source(api.address, Fetcher()), everywhere)
        assert len(api.searches) == 13


def test_properties_of_several_kinds_are_kept_as_they_are(tmp_path: Path) -> None:
    api = server(1)
    odd = [7, "7", None, 7.5, ["x"], {"a": 1}, True]
    for item, value in zip(api.items, odd * 9, strict=False):
        item["properties"]["odd"] = value
        item["assets"]["blue"]["raster:bands"][0]["nodata"] = "nan" if value == 7 else 0
    with stac_api(api):
        source = indexed(api, tmp_path)
        items = source.find(S2, (3.1, 49.1, 6.9, 51.4), SEASON, None)[0]
        truth = {i["id"]: i["properties"]["odd"] for i in api.items}
        assert {i.id: i.properties["odd"] for i in items} == {i.id: truth[i.id] for i in items}
        assert len(items) > 20


def _ask(address: str, folder: Path, wests: list[float]) -> None:
    source = indexed(address, folder)
    for west in wests:
        source.find(S2, (west, 50.1, west + 0.2, 50.3), SEASON, None)


def test_several_processes_share_an_index(tmp_path: Path) -> None:
    with stac_api(server(2)) as api:
        spans = [[3.1, 3.6, 4.1, 4.6], [4.6, 4.1, 5.1, 5.6], [5.6, 3.1, 6.1, 4.6]]
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=_ask, args=(api.address, tmp_path, s)) for s in spans]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0
        asked = sorted(tuple(s["bbox"]) for s in api.searches)
        assert len(asked) == len(set(asked)) == 7, "no cell was asked twice"
        source = indexed(api, tmp_path)
        everywhere = (3.0, 50.0, 6.5, 50.5)
        assert found(source, everywhere) == found(open_source(api.address, Fetcher()), everywhere)


def test_a_damaged_index_says_what_to_do(tmp_path: Path) -> None:
    with stac_api(server(1)) as api:
        source = indexed(api, tmp_path)
        found(source, TILE)
        folder = source.report(S2).folder
        (rows,), (items,) = folder.glob("*.rows"), folder.glob("*.parquet")
        whole = rows.read_bytes()
        garbled = bytes(b if n < 100 or n > len(whole) // 2 else b ^ 0x5A for n, b in enumerate(whole))
        for broken in (b"PAR1 broken", whole[:1000], garbled):
            rows.write_bytes(broken)
            with pytest.raises(CatalogError, match=r"\.rows is damaged") as caught:
                found(indexed(api, tmp_path), TILE)
            assert "Remove its folder" in caught.value.hint
        rows.write_bytes(whole)
        items.write_bytes(items.read_bytes()[:1000])
        with pytest.raises(CatalogError, match=r"\.parquet is damaged"):
            indexed(api, tmp_path).export(S2, tmp_path / "out")
        (folder / "manifest.json").write_text("{")
        with pytest.raises(CatalogError, match="cannot be read"):
            found(indexed(api, tmp_path), TILE)


def test_an_index_that_is_removed_and_built_anew_is_read_anew(tmp_path: Path) -> None:
    with stac_api(server(2)) as api:
        old = indexed(api, tmp_path)
        expected = {place: found(old, place) for place in (FAR, TILE)}
        shutil.rmtree(old.folder)
        other = indexed(api, tmp_path)
        for place in (TILE, FAR):  # in the other order, so that each part has the other's name
            assert found(other, place) == expected[place]
        assert {place: found(old, place) for place in (FAR, TILE)} == expected


def test_the_days_around_the_asking_are_known_for_a_day(tmp_path: Path) -> None:
    with stac_api(server(1)) as api:
        today = np.datetime64(int(time.time() * 1000), "ms")
        current = (today - np.timedelta64(30, "D"), today + np.timedelta64(30, "D"))
        source = indexed(api, tmp_path)
        found(source, TILE, current)
        asked = len(api.searches)
        found(indexed(api, tmp_path), TILE, current)
        assert len(api.searches) == asked
        (block,) = blocks_of(TILE, current)
        assert source.report(S2).asked is not None
        assert block.end > source.report(S2).asked[1]  # type: ignore[index]
