"""Both sides of processing baseline 04.00, and acquisitions that are published twice (simulated)."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from tests.simulated_proofs.graphs import observations, result, then

from acreage.catalog import open_catalog
from acreage.simulate.archive import Archive

BANDS = ["B02", "B04", "B08", "B11", "SCL"]


def baselines(archive: Archive) -> list[str]:
    files = sorted((archive.folder / "sentinel-2-l2a").glob("*/*.json"))
    return [json.loads(f.read_text())["properties"]["s2:processing_baseline"] for f in files]


def test_the_files_of_the_two_archives_differ_by_the_offset(
    with_offset: Archive, without_offset: Archive
) -> None:
    """What makes the next test worth something."""
    assert min(baselines(with_offset)) >= "04.00" > max(baselines(without_offset))
    found = []
    for archive in (with_offset, without_offset):
        folder = min((archive.folder / "sentinel-2-l2a").glob("S2*"))
        (path,) = folder.rglob("*B04*.tif")
        with rasterio.open(path) as file:
            found.append(file.read(1).astype(int))
    assert set(np.unique(found[0] - found[1])) == {1000}


def test_both_baselines_give_one_cube(with_offset: Archive, without_offset: Archive) -> None:
    after, before = (result(observations(a, BANDS), a) for a in (with_offset, without_offset))
    np.testing.assert_array_equal(after.validity(), before.validity())
    np.testing.assert_array_equal(after.values, before.values)


def test_reprocessed_duplicates_are_one_observation(without_offset: Archive, reprocessed: Archive) -> None:
    once, twice = baselines(without_offset), baselines(reprocessed)
    assert len(twice) >= 1.4 * len(once)
    assert min(twice) < "04.00" <= max(twice)
    counted = [
        result(then(observations(a, ["B04"]), "n", "reduce_dimension", dimension="t", reducer=COUNT), a)
        for a in (without_offset, reprocessed)
    ]
    np.testing.assert_array_equal(counted[0].values, counted[1].values)
    plain, doubled = (result(observations(a, BANDS), a) for a in (without_offset, reprocessed))
    assert plain.meta.dims[0].labels == doubled.meta.dims[0].labels
    np.testing.assert_array_equal(plain.values, doubled.values)


def test_the_newest_processing_is_read_and_the_others_are_named(reprocessed: Archive) -> None:
    search = open_catalog(str(reprocessed.catalog)).search("SENTINEL2_L2A", reprocessed.bbox)
    published = {p.parent.name for p in (reprocessed.folder / "sentinel-2-l2a").glob("*/*.json")}
    read = {item.id for item in search.items}
    assert not search.problems
    assert read | set(search.superseded) == published
    assert not read & set(search.superseded)
    assert len(search.superseded) == len(published) - len({name_of(i) for i in published}) > 0


def name_of(item: str) -> tuple[str, ...]:
    """Platform, sensing time, orbit and granule: what two processings of one granule share."""
    parts = item.split("_")
    return (parts[0], parts[2], parts[3], parts[4])


COUNT = {
    "process_graph": {
        "count": {"process_id": "count", "arguments": {"data": {"from_parameter": "data"}}, "result": True}
    }
}


@pytest.mark.parametrize("method", ["near", "bilinear"])
def test_no_pixel_becomes_null_by_the_offset(with_offset: Archive, method: str) -> None:
    cube = result(observations(with_offset, BANDS, method), with_offset)
    with_pixels = result(observations(with_offset, ["SCL"]), with_offset).values > 0
    assert cube.validity()[with_pixels.repeat(5, axis=1)].all()
