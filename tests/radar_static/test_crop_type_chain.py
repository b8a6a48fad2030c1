"""What radar units and missing elevation mean for the crop type chain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.croptype_samples import BANDS, QUICK, make_samples
from tests.support.engine_runs import run_cubes
from tests.support.tiles import only, preprocessing
from tests.support.tiny_archive import NORTH, WEST, Layer, TinyArchive

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog
from acreage.core.errors import ModelMismatch
from acreage.core.grid import Grid, transformer
from acreage.core.legend import Legend, LegendClass
from acreage.core.temporal import Season
from acreage.croptype.features import features, fit_features
from acreage.croptype.model import TrainedModel
from acreage.croptype.series import Samples, read_samples, write_samples
from acreage.croptype.training import train
from acreage.croptype.workflow import CubeSettings

SEASON = Season.parse("2019-03-01/2019-04-30")
SETTINGS = CubeSettings(buffer=50.0, s2_bands=("B02",))
VV, VH = BANDS.index("VV"), BANDS.index("VH")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """S2, S1 and land cover, and an elevation tile a degree away: the area itself is sea to it."""
    rng = np.random.default_rng(2)
    made = TinyArchive(tmp_path_factory.mktemp("chain"))
    for n, day in enumerate(("2019-03-05", "2019-03-25", "2019-04-12")):
        s2 = {"B02": Layer(rng.integers(300, 3000, (64, 64)).astype(np.uint16))}
        made.s2(f"s2-{n}", day, {**s2, "SCL": Layer(np.full((32, 32), 4, np.uint8), 20)})
        radar = {
            k: Layer(rng.gamma(4, 0.02, (32, 32)).astype(np.float32), 20, nodata=np.nan) for k in ("vv", "vh")
        }
        made.add("sentinel-1-sigma0", f"s1-{n}", f"{day}T17:30:00Z", radar, **{"sat:absolute_orbit": n})
    far = Layer(np.full((20, 20), 7, np.float32), 30, west=WEST - 110_000, north=NORTH + 9000, nodata=None)
    east = Layer(np.full((20, 20), 7, np.float32), 30, west=WEST + 110_000, north=NORTH - 9000, nodata=None)
    made.add("cop-dem-glo-30", "west", "2021-04-22T00:00:00Z", {"data": far})
    made.add("cop-dem-glo-30", "east", "2021-04-22T00:00:00Z", {"data": east})
    made.add("esa-worldcover", "lc", "2021-01-01T00:00:00Z", {"map": Layer(np.full((64, 64), 40, np.uint8))})
    return open_catalog(made.write())


def cube_with(archive: Catalog, settings: CubeSettings) -> dict[str, np.ndarray]:
    x, y = transformer("EPSG:32631", "EPSG:3035").transform(WEST + 320, NORTH - 320)
    area = Grid.snapped(3035, 10).box_covering(x - 80, y - 80, x + 80, y + 80)
    cube = only(run_cubes(preprocessing(SEASON, settings)(area), archive))
    values = np.moveaxis(np.where(cube.validity(), cube.values, np.nan), cube.meta.axis("bands"), 0)
    return dict(zip(cube.meta.dim("bands").labels, values, strict=True))


def test_a_pixel_without_elevation_keeps_everything_else(archive: Catalog) -> None:
    cube = cube_with(archive, SETTINGS)
    assert np.isnan(cube["DEM"]).all()
    assert np.isfinite(cube["B02"]).any(axis=0).all()
    assert np.isfinite(cube["VV"]).any(axis=0).all()
    assert (cube["CROPLAND"] == 1).all()


def test_composites_are_medians_of_power_and_turned_to_decibels_only_on_request(archive: Catalog) -> None:
    linear = cube_with(archive, SETTINGS)
    decibel = cube_with(archive, replace(SETTINGS, s1_unit="db"))
    for band in ("VV", "VH"):
        assert (linear[band][np.isfinite(linear[band])] > 0).all()
        np.testing.assert_allclose(decibel[band], 10 * np.log10(linear[band]), rtol=1e-5)
    for band in ("B02", "CROPLAND"):
        np.testing.assert_array_equal(linear[band], decibel[band])


def as_decibels(samples: Samples) -> Samples:
    values = samples.values.copy()
    values[:, :, [VV, VH]] = 10 * np.log10(values[:, :, [VV, VH]])
    return replace(samples, values=values, s1_unit="db")


def test_a_model_gets_the_same_features_from_either_unit(tmp_path: Path) -> None:
    linear = make_samples()
    write_samples(as_decibels(linear), tmp_path / "db.parquet")
    decibel = read_samples(tmp_path / "db.parquet")
    assert (linear.s1_unit, decibel.s1_unit) == ("linear", "db")
    a, b = fit_features(linear), fit_features(decibel)
    assert (a.s1_unit, b.s1_unit) == ("linear", "db")
    one, other = features(linear.values, a), features(decibel.values, b)
    np.testing.assert_array_equal(one.observed, other.observed)
    assert one.observed.any()
    np.testing.assert_allclose(one.series, other.series, atol=1e-4)


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    classes = (
        LegendClass(1, "wheat", "Wheat", "#e0c040", (40,), ("wheat",)),
        LegendClass(2, "maize", "Maize", "#c08020", (40,), ("maize",)),
    )
    return train(make_samples(), Legend("test", classes), (40,), QUICK)


def test_a_model_refuses_the_other_unit(model: TrainedModel) -> None:
    model.check_backscatter("linear")
    with pytest.raises(ModelMismatch, match="in decibels, but the model was trained on linear power"):
        model.check_backscatter("db")


def test_the_model_classifies_pixels_without_elevation(model: TrainedModel) -> None:
    """Elevation is one input with a mark beside it that says whether it is known: the season decides."""
    samples = make_samples(60, seed=9)
    without = samples.values.copy()
    without[:, :, BANDS.index("DEM")] = np.nan
    made = features(without, model.spec)
    np.testing.assert_array_equal(made.static, 0)
    probabilities = model.predict(replace(samples, values=without))
    assert np.isfinite(probabilities).all()
    names = np.array([c.name for c in model.legend.classes])
    assert (names[probabilities.argmax(axis=1)] == samples.labels).mean() > 0.9
