"""What a streaming composite reads: nothing of what is masked, and every block once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.composites.graphs import composite, one_load
from tests.composites.scenes import DATES, make_scenes, write_scenes
from tests.composites.test_equality import planned
from tests.support.engine_runs import assert_same_cube, cubes_of, settled

from acreage.catalog import open_catalog
from acreage.catalog.items import Raster, SourceItem
from acreage.core.arrays import BoolArray
from acreage.core.grid import Box, Grid
from acreage.engine.composites.sampling import make_sample_map
from acreage.engine.composites.winners import winners
from acreage.engine.mosaic import StepMosaic


def test_files_of_dates_that_are_wholly_masked_are_not_read(tmp_path: Path) -> None:
    made = make_scenes(np.random.default_rng(5), DATES)
    for granule in made[2:4]:  # both granules of the second date
        granule.scl[:] = 9
    catalog = write_scenes(tmp_path, made)
    graph = composite(("eq",), crs=None, bands=("B04",))
    whole = cubes_of(planned(graph, open_catalog(str(catalog))))
    for broken in sorted(tmp_path.rglob(f"S2A_?_{DATES[1].replace('-', '')}/red.tif")):
        broken.write_bytes(broken.read_bytes()[:3000])  # its header is whole, its blocks are not
    cubes, result = settled(planned(graph, open_catalog(str(catalog))))
    assert_same_cube(whole["save"], cubes["save"])
    fates = {(a.item, a.band): a.kind for a in result.inputs.assets if DATES[1].replace("-", "") in a.item}
    assert {kind for (_, band), kind in fates.items() if band == "B04"} == {"masked"}


@pytest.mark.parametrize("mask", ["dilation", "element", "picked"])
def test_masks_read_no_other_band_of_the_load(tmp_path: Path, mask: str) -> None:
    made = make_scenes(np.random.default_rng(5), DATES)
    for granule in made[2:4]:  # both granules of the second date
        granule.scl[:] = 9
    catalog = open_catalog(str(write_scenes(tmp_path, made)))
    _, result = settled(planned(one_load(mask, crs=32631), catalog))
    fates = {(a.band, a.kind) for a in result.inputs.assets if DATES[1].replace("-", "") in a.item}
    assert fates == {("SCL", ""), ("B04", "masked"), ("B8A", "masked")}


@pytest.mark.parametrize("share", [0.0, 0.002, 0.5, 1.0])
def test_needed_blocks_are_those_that_a_kept_sample_touches(share: float) -> None:
    window = Box(Grid.snapped(3035, 10), 391_100, -308_500, 391_250, -308_380)
    samples = make_sample_map(Grid.snapped("EPSG:32631", 10), window, "bilinear")
    raster = samples.frame.expand(-9, -5)
    keep = np.random.default_rng(3).random(window.size) < share
    found = samples.needed_blocks(keep, raster, (32, 16))
    wanted = np.zeros(found.shape, bool)
    for at in samples.offset[keep & (samples.offset >= 0)].tolist():
        y, x = divmod(at, samples.frame.width)
        for j in (y, y + 1):
            for i in (x, x + 1):
                row, column = j + samples.frame.y0 - raster.y0, i + samples.frame.x0 - raster.x0
                if 0 <= row < raster.height and 0 <= column < raster.width:
                    wanted[row // 32, column // 16] = True
    np.testing.assert_array_equal(found, wanted)


def _item(number: int, box: Box, fine: Box) -> SourceItem:
    rasters = {"SCL": Raster("", 1, box, "uint8", 0), "B04": Raster("", 1, fine, "uint16", 0)}
    when = np.datetime64("2019-03-01", "ms")
    return SourceItem(f"i{number}", "c", "", when, (0, 0, 1, 1), "g", (number,), rasters, {})


@settings(max_examples=60)
@given(st.data())
def test_winners_are_those_of_the_mosaic(data: st.DataObject) -> None:
    coarse, fine = Grid.snapped("EPSG:32631", 20), Grid.snapped("EPSG:32631", 10)
    items, valid = [], {}
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    for n in range(data.draw(st.integers(1, 4))):
        x, y = data.draw(st.integers(-6, 6)), data.draw(st.integers(-6, 6))
        width, height = data.draw(st.integers(3, 12)), data.draw(st.integers(3, 12))
        box = Box(coarse, x, y, x + width, y + height)
        items.append(_item(n, box, Box(fine, 2 * x, 2 * y, 2 * box.x1, 2 * box.y1)))
        valid[f"i{n}"] = rng.random(box.shape) < data.draw(st.sampled_from([0.0, 0.6, 1.0]))

    def read(item: SourceItem, band: str, box: Box) -> tuple[Any, BoolArray | None]:
        known = valid[item.id][box.slices_in(item.rasters[band].box)]
        return np.ones(box.shape, np.uint8), None if known.all() else known

    frame = Box(fine, -14, -13, 30, 28)
    group = tuple(range(len(items)))
    mosaic = StepMosaic(items, (group,), "SCL", "near", frame, read)
    np.testing.assert_array_equal(winners(items, group, "SCL", frame, read), mosaic.winner(group, frame))


def test_the_account_names_the_new_reason(tmp_path: Path) -> None:
    catalog = write_scenes(tmp_path, make_scenes(np.random.default_rng(1), DATES[:2]))
    _, result = settled(planned(composite(("eq",)), open_catalog(str(catalog))))
    assert json.loads(json.dumps(result.inputs.to_dict()))
    assert {a.fate for a in result.inputs.assets} <= {"read", "skipped"}
