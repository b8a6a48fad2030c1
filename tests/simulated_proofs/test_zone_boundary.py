"""A cube over the edge of a granule, behind which only the next UTM zone has pixels (simulated)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.simulated_proofs.conftest import Simulate
from tests.simulated_proofs.graphs import observations, result

from acreage.core.cube import Cube
from acreage.core.grid import transformer
from acreage.simulate.archive import Archive
from acreage.simulate.surface import BANDS_10
from acreage.simulate.truth import reflectance

BANDS = ["B02", "B04", "B08", "B11", "SCL"]
ASSETS = ("blue", "red", "nir", "swir16")
CLEAR = (4, 5, 6)
# The middle of the right edge of granule 31UGS: to the right of it only zone 32 has pixels.
EDGE_31UGS = (809_780.0, 5_620_000.0)
Float = NDArray[np.float64]


@pytest.fixture(scope="module")
def archive(simulated: Simulate) -> Archive:
    centre = transformer("EPSG:32631", "EPSG:4326").transform(*EDGE_31UGS)
    return simulated("zones", centre=centre, sensors=("sentinel-2",), reprocessed_every=0)


@pytest.fixture(scope="module", params=["near", "bilinear"])
def cubes(archive: Archive, request: pytest.FixtureRequest) -> tuple[Cube, Cube, Cube]:
    """The cube of all granules, of zone 31 alone and of zone 32 alone."""

    def cube(granule: str | None = None) -> Cube:
        filters = {} if granule is None else {"properties": {"grid:code": ("eq", f"MGRS-{granule}")}}
        return result(observations(archive, BANDS, request.param, **filters), archive)

    return cube(), cube("31UGS"), cube("32ULB")


def test_every_datatake_is_one_observation_without_a_gap_at_the_seam(
    archive: Archive, cubes: tuple[Cube, Cube, Cube]
) -> None:
    both, west, east = cubes
    items = [path.parent.name for path in (archive.folder / "sentinel-2-l2a").glob("*/*.json")]
    assert len({item.split("_")[1] for item in items}) == 2
    assert len(both.meta.dims[0].labels) == len(items) / 2 == len(west.meta.dims[0].labels)
    assert both.validity().all()
    assert east.validity().all()
    seam = west.validity()[0, 0]
    assert 0.2 < seam.mean() < 0.8


def test_every_pixel_is_that_of_one_zone_and_all_bands_of_the_same(cubes: tuple[Cube, Cube, Cube]) -> None:
    both, west, east = cubes
    from_west = west.validity().all(axis=(0, 1))
    np.testing.assert_array_equal(both.values[..., from_west], west.values[..., from_west])
    np.testing.assert_array_equal(both.values[..., ~from_west], east.values[..., ~from_west])


def test_errors_against_the_truth_are_alike_on_both_sides_and_at_the_seam(
    archive: Archive, cubes: tuple[Cube, Cube, Cube]
) -> None:
    both, west, _ = cubes
    from_west = west.validity().all(axis=(0, 1))
    at_seam = near_a_change(from_west)
    errors: dict[str, list[Float]] = {"zone 31": [], "zone 32": [], "seam": []}
    for t, error, clear in clear_dates(archive, both):
        assert both.meta.dims[0].labels[t]
        for name, where in (
            ("zone 31", from_west & ~at_seam),
            ("zone 32", ~from_west & ~at_seam),
            ("seam", at_seam),
        ):
            # The bias is haze, which is the same on both sides; what resampling and noise do is the spread.
            errors[name].append(np.array([np.std(band[where & clear]) for band in error]))
    spread = {name: np.mean(found, axis=0) for name, found in errors.items()}
    print({name: value.round(4).tolist() for name, value in spread.items()})
    assert len(errors["seam"]) >= 4
    worst = np.maximum(spread["zone 31"], spread["zone 32"])
    assert (spread["seam"] <= 1.15 * worst).all()
    assert (spread["zone 32"] <= 1.6 * spread["zone 31"]).all()
    assert (spread["zone 31"] <= 1.6 * spread["zone 32"]).all()


def test_the_two_zones_lie_on_each_other(archive: Archive, cubes: tuple[Cube, Cube, Cube]) -> None:
    """Least squares over image gradients: a cube half a pixel off would show as 0.5."""
    _, west, east = cubes
    inside = west.validity().all(axis=(0, 1))
    shifts = []
    for t, _, clear in clear_dates(archive, east):
        a, b = (cube.values[t, 2].astype(np.float64) for cube in (west, east))
        shifts.append(shift_between(a, b, inside & ~near_a_change(inside) & clear))
    shift = np.median(shifts, axis=0)
    print("shift in pixels", shift.round(3).tolist())
    assert (np.abs(shift) < 0.2).all()
    moved = [
        shift_between(a, (b + np.roll(b, 1, axis=1)) / 2, inside & ~near_a_change(inside))
        for a, b in [(east.values[t, 2].astype(np.float64),) * 2 for t in range(len(east.values))]
    ]
    assert abs(np.median(moved, axis=0)[0]) > 0.3, "the measure itself must see half a pixel"


def clear_dates(archive: Archive, cube: Cube) -> list[tuple[int, Float, NDArray[np.bool_]]]:
    """Dates with mostly clear sky: index, error against the truth (bands, y, x), where it is clear."""
    assert cube.meta.box is not None
    found = []
    for t, label in enumerate(cube.meta.dims[0].labels):
        clear = np.isin(cube.values[t, 4], CLEAR)
        if clear.mean() < 0.7:
            continue
        day = label.astype("datetime64[D]").item()
        ground = reflectance(archive.settings, cube.meta.box, day)
        truth = ground[[BANDS_10.index(asset) for asset in ASSETS]]
        found.append((t, cube.values[t, :4] / 1e4 - truth, clear))
    return found


def near_a_change(where: NDArray[np.bool_], pixels: int = 3) -> NDArray[np.bool_]:
    """Pixels at most so many columns from where a mask changes."""
    change = np.zeros(where.shape, bool)
    change[:, 1:] = where[:, 1:] != where[:, :-1]
    near = change.copy()
    for step in range(1, pixels + 1):
        near[:, step:] |= change[:, :-step]
        near[:, :-step] |= change[:, step:]
    return near


def shift_between(a: Float, b: Float, where: NDArray[np.bool_]) -> tuple[float, float]:
    """By how many pixels (x, y) b lies off a (Lucas and Kanade 1981, one step)."""
    down, across = np.gradient(a)
    slopes = np.stack([across[where], down[where]], axis=1)
    moved, *_ = np.linalg.lstsq(slopes, (a - b)[where], rcond=None)
    return float(moved[0]), float(moved[1])
