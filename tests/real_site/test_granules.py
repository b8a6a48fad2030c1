"""Two real granules of one datatake, whose files are coarser than their items say, as one mosaic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.warp import Resampling, reproject
from tests.support.engine_runs import WHOLE, assert_same_cube, run_cubes
from tests.support.real_site import Array, node

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog
from acreage.core.cube import Cube
from acreage.core.errors import ItemUnreadable

# Over the northern edge of granule 33TWL (5 100 000 m) and the southern one of 33TWM (5 090 220 m).
AREA = {"west": 560000, "east": 572000, "south": 5088000, "north": 5103000, "crs": 32633}
ITEMS = (
    ("S2B_33TWL_20230813_0_L2A", "S2B_33TWM_20230813_0_L2A"),
    ("S2A_33TWL_20230818_0_L2A", "S2A_33TWM_20230818_0_L2A"),
)
NOT_THERE = 6  # items that the collection links and does not have
GRAPH = {
    "s2": {
        **node(
            "load_collection",
            id="SENTINEL2_L2A",
            spatial_extent=AREA,
            temporal_extent=["2023-08-01", "2023-09-01"],
            bands=["B04", "SCL"],
        ),
        "result": True,
    }
}


@pytest.fixture(scope="module")
def products(real_data: Path) -> Path:
    return real_data / "s2-earthsearch" / "full_products"


@pytest.fixture(scope="module")
def catalog(products: Path) -> Catalog:
    return open_catalog(str(products / "catalog.json"))


@pytest.fixture(scope="module")
def mosaic(catalog: Catalog) -> Cube:
    return run_cubes(GRAPH, catalog, tolerance=NOT_THERE)["s2"]


def placed(path: Path, cube: Cube) -> Array:
    """A file on the cube's grid by nearest neighbour, 0 where it has nothing."""
    assert cube.meta.box is not None
    made = np.zeros(cube.meta.box.shape, np.uint16)
    with rasterio.open(path) as file:
        reproject(
            file.read(1), made, src_transform=file.transform, src_crs=file.crs, src_nodata=0,
            dst_transform=cube.meta.box.affine, dst_crs=file.crs, dst_nodata=0,
            resampling=Resampling.nearest, tolerance=0, num_threads=1,
        )  # fmt: skip
    return made


def test_items_that_are_not_there_fail_the_job_unless_they_are_tolerated(catalog: Catalog) -> None:
    with pytest.raises(ItemUnreadable, match="6 items could not be read"):
        run_cubes(GRAPH, catalog, tolerance=NOT_THERE - 1)


def test_the_files_pixels_count_and_not_the_items_metadata(mosaic: Cube) -> None:
    assert mosaic.meta.grid.res_x == mosaic.meta.grid.res_y == 120
    assert mosaic.meta.grid.crs == "EPSG:32633"
    assert len(mosaic.meta.dim("t").labels) == 2  # one time step a datatake, not one a granule


def test_every_pixel_is_that_of_the_first_granule_that_is_valid_there(products: Path, mosaic: Cube) -> None:
    folder = products / "sentinel-2-l2a"
    both = 0
    for step, (south, north) in enumerate(ITEMS):
        scl = [placed(folder / name / "SCL.tif", mosaic) for name in (south, north)]
        red = [placed(folder / name / "B04.tif", mosaic) for name in (south, north)]
        first = scl[0] != 0
        np.testing.assert_array_equal(mosaic.validity()[step, 1], first | (scl[1] != 0))
        np.testing.assert_array_equal(mosaic.values[step, 1], np.where(first, scl[0], scl[1]))
        np.testing.assert_array_equal(
            mosaic.values[step, 0], np.where(first, red[0], np.where(scl[1] != 0, red[1], 0))
        )
        both += int((first & (scl[1] != 0)).sum())
        assert (~first & (scl[1] != 0)).any()  # the north granule alone beyond the south one's edge
    assert both > 10_000


@pytest.mark.parametrize("window", [16, 50])
def test_the_mosaic_is_the_same_for_every_window(catalog: Catalog, mosaic: Cube, window: int) -> None:
    assert window < WHOLE
    assert_same_cube(mosaic, run_cubes(GRAPH, catalog, window, tolerance=NOT_THERE)["s2"])
