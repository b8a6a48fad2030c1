"""The simulated ground follows from coordinates; parcels agree with pixels, their sizes with real ones."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.features import rasterize
from rasterio.transform import from_origin
from tests.simulate_ground.conftest import places, script

from acreage.core.errors import InvalidInput
from acreage.core.grid import Grid
from acreage.simulate.curves import Phenology
from acreage.simulate.ground import Ground, Patch, points
from acreage.simulate.scales import Scales

HERE = (4_010_000.0, 2_990_000.0)


def same(a: Patch, b: Patch) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


@pytest.fixture(scope="module")
def whole(ground: Ground) -> Patch:
    return ground.at(*places(*HERE, 400, 300))


@given(st.integers(0, 390), st.integers(0, 290), st.integers(1, 400), st.integers(1, 300))
def test_a_window_holds_what_the_whole_holds(
    ground: Ground, whole: Patch, left: int, top: int, width: int, height: int
) -> None:
    window = (slice(top, top + height), slice(left, left + width))
    x, y = places(*HERE, 400, 300)
    assert same(ground.at(x[window], y[window]), whole[window])


def test_order_shape_and_company_of_the_places_do_not_matter(
    ground: Ground, whole: Patch, phenology: Phenology, scales: Scales
) -> None:
    x, y = (a.ravel() for a in places(*HERE, 400, 300))
    order = np.random.default_rng(1).permutation(x.size)
    far = np.array([2_500_000.0, 6_200_000.0])
    mixed = Ground(7, phenology, scales).at(np.append(x[order], far), np.append(y[order], far))
    for f in fields(whole):
        assert np.array_equal(getattr(mixed, f.name)[:-2], getattr(whole, f.name).ravel()[order])


def test_another_seed_gives_another_ground(whole: Patch, phenology: Phenology, scales: Scales) -> None:
    other = Ground(8, phenology, scales).at(*places(*HERE, 400, 300))
    assert (other.cover == whole.cover).mean() < 0.4


def test_codes_and_land_cover_follow_from_the_cover(whole: Patch, phenology: Phenology) -> None:
    codes = np.array([c.code for c in phenology.covers])
    landcovers = np.array([c.landcover for c in phenology.covers])
    assert np.array_equal(whole.code, codes[whole.cover])
    assert np.array_equal(whole.landcover, landcovers[whole.cover])
    assert (whole.code[whole.parcel < 0] == 0).all()
    assert set(np.unique(whole.landcover)) >= {10, 30, 40, 50}


def test_parcels_agree_with_pixels(ground: Ground) -> None:
    step, size = 5.0, 500
    bounds = (HERE[0], HERE[1] - size * step, HERE[0] + size * step, HERE[1])
    table = ground.parcels(bounds)
    transform = from_origin(HERE[0], HERE[1], step, step)
    drawn = rasterize(
        zip(table.geometry, range(1, len(table) + 1), strict=True),
        (size, size),
        transform=transform,
        dtype="int32",
    )
    ids = np.append(-1, table["parcel_id"])[drawn]
    patch = ground.at(*places(*HERE, size, size, step))
    # rasterio and we may differ on a pixel whose centre lies on an edge to a rounding error.
    assert (ids == patch.parcel).mean() > 0.99995
    codes = np.append(0, table["code"])[drawn]
    assert (codes[ids >= 0] == patch.code[ids >= 0]).mean() > 0.99995


def test_parcels_are_the_same_from_every_request(ground: Ground) -> None:
    x, y = HERE
    left = ground.parcels((x, y, x + 1500, y + 2000)).set_index("parcel_id")
    right = ground.parcels((x + 1500, y, x + 3000, y + 2000)).set_index("parcel_id")
    both = left.index.intersection(right.index)
    assert len(both) > 3
    assert left.loc[both].equals(right.loc[both])
    assert left.index.is_unique


def test_parcels_do_not_overlap_and_state_their_areas(ground: Ground) -> None:
    table = ground.parcels((HERE[0], HERE[1], HERE[0] + 6000, HERE[1] + 6000))
    assert table.crs.to_epsg() == 3035
    assert table.geometry.is_valid.all()
    assert np.allclose(table.area / 1e4, table["area_ha"], atol=1e-4)
    pairs = shapely.STRtree(table.geometry).query(table.geometry, predicate="overlaps")
    assert pairs.shape[1] == 0


def test_each_crop_parcel_has_a_side_for_good(ground: Ground) -> None:
    table = ground.parcels((HERE[0], HERE[1], HERE[0] + 12000, HERE[1] + 12000))
    crops = table[table["code"] > 0]
    assert set(crops["split"]) == {"train", "test"}
    assert (table.loc[table["code"] == 0, "split"] == "").all()
    assert abs((crops["split"] == "train").mean() - 0.5) < 0.03
    assert crops["label"].nunique() >= 10


@pytest.mark.parametrize(
    ("name", "corner"), [("Flanders", (3_900_000, 3_110_000)), ("Catalonia", (3_620_000, 2_100_000))]
)
def test_parcels_are_as_large_as_real_ones(
    ground: Ground, real_data: Path, name: str, corner: tuple[float, float]
) -> None:
    path = script("fit_scales").REGISTERS[name][0]
    real = gpd.read_file(real_data / path).to_crs(3035).area.to_numpy() / 1e4
    table = ground.parcels((*corner, corner[0] + 20_000, corner[1] + 20_000))
    quantiles = [0.25, 0.5, 0.75, 0.9]
    ours = np.quantile(table["area_ha"], quantiles)
    theirs = np.quantile(real, quantiles)
    print(f"{name}, hectares at {quantiles}: simulated {ours.round(2)}, real {theirs.round(2)}")
    assert (np.abs(np.log(ours / theirs)) < np.log(1.25)).all()


def test_stored_sizes_and_crop_shares_are_those_of_the_real_parcels(real_data: Path, scales: Scales) -> None:
    fit = script("fit_scales")
    for place, measured in zip(scales.parcels, fit.parcel_sizes(real_data), strict=True):
        assert (place.latitude, place.median_ha) == (measured["latitude"], measured["median_ha"])
        assert place.deviation_log == measured["deviation_log"]
    for place, measured in zip(scales.mixes, fit.crop_mixes(real_data), strict=False):
        assert dict(place.shares) == measured["shares"]


def test_elevation_is_smooth_and_the_same_from_every_request(ground: Ground) -> None:
    x, y = places(*HERE, 300, 200, 30.0)
    height = ground.elevation(x, y)
    assert height.dtype == np.float32
    assert np.array_equal(ground.elevation(x[50:60, 7:], y[50:60, 7:]), height[50:60, 7:])
    assert height.min() >= 0
    assert np.abs(np.diff(height, axis=0)).max() < 30  # less than 45 degrees over 30 m
    assert height.std() > 3


def test_there_are_mountains_and_plains_on_a_continent(ground: Ground) -> None:
    rng = np.random.default_rng(0)
    height = ground.elevation(rng.uniform(2.6e6, 6e6, 20_000), rng.uniform(1.5e6, 5e6, 20_000))
    assert 1000 < height.max() < 5000
    assert (height < 300).mean() > 0.5


@given(st.integers(-40, 600), st.integers(-40, 600))
def test_pixel_centres_are_those_of_proj_and_overlapping_boxes_agree(dx: int, dy: int) -> None:
    grid = Grid.snapped("EPSG:32632", 10.0)
    box = grid.box_covering(410_000 + 10 * dx, 5_600_000 - 10 * dy, 411_000 + 10 * dx, 5_600_700 - 10 * dy)
    x, y = points(box)
    assert x.shape == box.shape
    west, _, _, north = box.bounds
    east, up = np.meshgrid(west + 5 + 10 * np.arange(box.width), north - 5 - 10 * np.arange(box.height))
    true = Transformer.from_crs(32632, 3035, always_xy=True).transform(east, up)
    assert np.hypot(x - true[0], y - true[1]).max() < 0.002
    shifted = grid.box_covering(west + 300, north - 500, west + 1300, north - 200)
    again: NDArray[np.float64] = points(shifted)[0]
    assert np.array_equal(again[:, :70], x[20:50, 30:])


def test_what_is_no_place_is_refused(ground: Ground) -> None:
    with pytest.raises(InvalidInput, match="no places"):
        ground.at(np.zeros(3), np.zeros(4))
    with pytest.raises(InvalidInput, match="outside EPSG:3035"):
        ground.at(np.array([np.inf]), np.array([0.0]))


def test_no_places_are_an_empty_patch(ground: Ground) -> None:
    assert ground.at(np.zeros((0, 5)), np.zeros((0, 5))).shape == (0, 5)
