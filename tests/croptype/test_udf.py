from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given

from acreage.core.errors import ModelMismatch
from acreage.core.temporal import Season
from acreage.croptype.model import TrainedModel
from acreage.croptype.series import Samples, season_dekads
from acreage.croptype.udf_source import crop_type_udf
from acreage.croptype.udf_source.crop_type_udf import apply_datacube, build_network, classify_cube
from support.croptype_samples import BANDS, SEASON

SOURCE = Path(crop_type_udf.__file__)
ModelFile = tuple[Path, str]


def cube_of(samples: Samples, height: int = 6, width: int = 8, mask: float = 1) -> xr.DataArray:
    """A cube whose pixels are the first samples, in row order, with a CROPLAND band."""
    values = samples.values[: height * width].reshape(height, width, 24, len(BANDS)).transpose(2, 3, 0, 1)
    cropland = np.full((24, 1, height, width), mask, np.float32)
    return xr.DataArray(
        np.concatenate([values, cropland], axis=1),
        {
            "t": np.array(season_dekads(SEASON), "datetime64[ns]"),
            "bands": [*BANDS, "CROPLAND"],
            "y": 5000.0 - 10 * np.arange(height),
            "x": 3000.0 + 10 * np.arange(width),
        },
        ("t", "bands", "y", "x"),
    )


def context(model_file: ModelFile, **more: Any) -> dict[str, Any]:
    return {"model": str(model_file[0]), "model_sha256": model_file[1], **more}


def test_every_pixel_gets_what_the_model_says_of_its_series(
    samples: Samples, model: TrainedModel, model_file: ModelFile
) -> None:
    result = apply_datacube(cube_of(samples), context(model_file))
    probabilities = model.predict(samples)[:48]
    codes = np.array([c.code for c in model.legend.classes])[probabilities.argmax(axis=1)]
    assert result.dims == ("bands", "y", "x")
    assert result.dtype == np.uint8
    assert result["bands"].values.tolist() == ["class", "confidence"]
    np.testing.assert_array_equal(result.sel(bands="class").values.ravel(), codes)
    # Batches of another shape differ in the last bits of a probability, which may round to the next percent.
    percent = 100 * probabilities.max(axis=1)
    confidence = result.sel(bands="confidence").values.ravel()
    assert (np.abs(confidence - percent) <= 0.5 + 1e-3).all(), (confidence, percent)
    assert set(codes.tolist()) == {3, 17}


def test_order_of_dimensions_and_bands_and_further_bands_do_no_harm(
    samples: Samples, model_file: ModelFile
) -> None:
    cube = cube_of(samples)
    other = cube.isel(bands=slice(None, None, -1)).transpose("y", "bands", "x", "t")
    extra = xr.concat([cube, cube.sel(bands=["B02"]).assign_coords(bands=["B8A"])], "bands")
    expected = apply_datacube(cube, context(model_file))
    xr.testing.assert_identical(apply_datacube(other, context(model_file)), expected)
    xr.testing.assert_identical(apply_datacube(extra, context(model_file)), expected)


def test_reserved_codes_tell_outside_not_cropland_and_no_observation_apart(
    samples: Samples, model_file: ModelFile
) -> None:
    cube = cube_of(samples).copy()
    cube.loc[{"bands": "CROPLAND", "x": 3000}] = np.nan
    cube.loc[{"bands": "CROPLAND", "x": 3010}] = 0
    observed = [b for b in BANDS if b != "DEM"]
    cube.loc[{"bands": observed, "x": 3020}] = np.nan
    cube.loc[{"bands": ["B02", "B03", "B04", "B08", "B11"], "x": 3030}] = np.nan
    result = apply_datacube(cube, context(model_file))
    classes, confidence = result.sel(bands="class"), result.sel(bands="confidence")
    for x, code in ((3000, 0), (3010, 254), (3020, 255)):
        assert (classes.sel(x=x) == code).all()
        assert (confidence.sel(x=x) == 255).all()
    mapped = classes.sel(x=slice(3030, None))
    assert set(np.unique(mapped).tolist()) <= {3, 17}
    assert (confidence.sel(x=slice(3030, None)) <= 100).all()


def test_a_probe_without_any_value_gives_outside_everywhere(samples: Samples, model_file: ModelFile) -> None:
    probe = cube_of(samples, 2, 2) * np.nan
    result = apply_datacube(probe, context(model_file))
    assert (result.sel(bands="class") == 0).all()
    assert (result.sel(bands="confidence") == 255).all()


@given(st.integers(1, 60), st.integers(1, 7), st.randoms(use_true_random=False))
def test_a_pixels_class_depends_on_nothing_but_its_series(
    samples: Samples, model: TrainedModel, batch: int, cut: int, random: Any
) -> None:
    """Bit for bit, whatever the window, the pixel's place in a batch and its neighbours."""
    cube = cube_of(samples)
    whole = classify_cube(cube, model.classifier, 2048)
    left, right = cube.isel(x=slice(0, cut)), cube.isel(x=slice(cut, None))
    parts = [classify_cube(p, model.classifier, 2048) for p in (left, right)]
    xr.testing.assert_identical(xr.concat(parts, "x"), whole)
    order = list(range(6))
    random.shuffle(order)
    shuffled = classify_cube(cube.isel(y=order), model.classifier, 2048)
    xr.testing.assert_identical(shuffled.sortby("y", ascending=False), whole)
    assert (classify_cube(cube, model.classifier, batch).sel(bands="class") == whole.sel(bands="class")).all()


def test_probabilities_do_not_depend_on_the_place_in_a_batch(samples: Samples, model: TrainedModel) -> None:
    repeated = np.tile(samples.without_terrain().values, (40, 1, 1))
    spec = model.spec
    with torch.random.fork_rng(devices=[]):
        full_size = build_network("temporal_cnn", {}, spec, 2, members=2).eval()
    for network in (model.classifier.network, full_size):
        classifier = replace(model.classifier, network=network)
        probabilities = classifier.probabilities(repeated, 2048).reshape(40, len(samples), -1)
        assert (probabilities == probabilities[:1]).all()


@given(st.sampled_from([np.nan, np.inf, -np.inf]))
def test_missing_dekads_are_accepted_whatever_marks_them(
    samples: Samples, model: TrainedModel, mark: float
) -> None:
    values = samples.without_terrain().values
    marked = np.where(np.isnan(values), np.float32(mark), values)
    expected = model.classifier.probabilities(values)
    np.testing.assert_array_equal(model.classifier.probabilities(marked), expected)
    gone = values.copy()
    gone[:, ::2, :7] = np.nan
    assert np.isfinite(model.classifier.probabilities(gone)).all()


def test_dekad_labels_and_other_years_are_understood(samples: Samples, model_file: ModelFile) -> None:
    cube = cube_of(samples)
    expected = apply_datacube(cube, context(model_file)).values
    for labels in (
        [f"2021-{7 + i:02d}" for i in range(24)],
        [f"{d.replace(year=2022)}T00:00:00Z" for d in season_dekads(SEASON)],
    ):
        result = apply_datacube(cube.assign_coords(t=labels), context(model_file))
        np.testing.assert_array_equal(result.values, expected)


def test_a_cube_for_another_model_is_refused_with_all_that_differs(
    samples: Samples, model: TrainedModel, model_file: ModelFile
) -> None:
    cube = cube_of(samples).drop_sel(bands=["VV", "CROPLAND"]).isel(t=slice(1, None))
    with pytest.raises(ValueError, match=r"CROPLAND.*missing.*VV.*dekads missing from the cube: 03-01"):
        apply_datacube(cube, context(model_file))
    with pytest.raises(ModelMismatch, match=r"VV.*03-01"):
        model.check_cube([str(b) for b in cube["bands"].values], list(cube["t"].values))
    with pytest.raises(ValueError, match="another order"):
        apply_datacube(cube_of(samples).isel(t=slice(None, None, -1)), context(model_file))
    with pytest.raises(ValueError, match=r"lacks the dimension.*t"):
        apply_datacube(cube_of(samples).isel(t=0, drop=True), context(model_file))


def test_another_season_is_refused_before_anything_is_read(model: TrainedModel) -> None:
    model.check_season(Season.parse("2021-03-01/2021-10-31"))
    with pytest.raises(ModelMismatch, match=r"04-01 to 10-21 \(21\).*03-01 to 10-21 \(24\)"):
        model.check_season(Season.parse("2021-04-01/2021-10-31"))


def test_a_model_with_another_digest_or_no_address_is_refused(
    samples: Samples, model_file: ModelFile
) -> None:
    cube = cube_of(samples, 1, 1)
    with pytest.raises(ValueError, match=f"has sha256 {model_file[1]}"):
        apply_datacube(cube, {"model": str(model_file[0]), "model_sha256": "0" * 64})
    with pytest.raises(ValueError, match="'model_sha256' as text; it has: model"):
        apply_datacube(cube, {"model": str(model_file[0])})
    with pytest.raises(ValueError, match="cannot be read"):
        apply_datacube(cube, context((model_file[0].with_name("none.pt"), model_file[1])))
    with pytest.raises(ValueError, match="file, http or https"):
        apply_datacube(cube, context((Path("s3:/bucket/model.pt"), model_file[1])))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def model_address(model_file: ModelFile) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Quiet, directory=str(model_file[0].parent))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/{model_file[0].name}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_is_taken_from_file_and_http_addresses(
    samples: Samples, model_file: ModelFile, model_address: str
) -> None:
    cube = cube_of(samples, 2, 3)
    expected = apply_datacube(cube, context(model_file))
    for address in (model_file[0].as_uri(), model_address):
        found = apply_datacube(cube, {"model": address, "model_sha256": model_file[1].upper()})
        xr.testing.assert_identical(found, expected)


def test_the_model_is_loaded_once_a_process(samples: Samples, model_file: ModelFile) -> None:
    crop_type_udf.load_classifier.cache_clear()
    for _ in range(3):
        apply_datacube(cube_of(samples, 2, 2), context(model_file))
    assert crop_type_udf.load_classifier.cache_info().misses == 1


def test_the_official_client_runs_the_udf(samples: Samples, model_file: ModelFile) -> None:
    from openeo.udf import UdfData, XarrayDataCube
    from openeo.udf.run_code import run_udf_code

    cube = cube_of(samples, 2, 3)
    source = Path(crop_type_udf.__file__).read_text("utf-8")
    given = UdfData(datacube_list=[XarrayDataCube(cube)], user_context=context(model_file))
    (result,) = run_udf_code(source, given).get_datacube_list()
    xr.testing.assert_identical(result.get_array(), apply_datacube(cube, context(model_file)))


def test_the_udf_names_its_bands_to_back_ends_that_ask() -> None:
    from openeo.metadata import Band, BandDimension, CubeMetadata

    given = CubeMetadata([BandDimension("bands", bands=[Band("B02"), Band("B03")])])
    assert crop_type_udf.apply_metadata(given, {}).band_names == ["class", "confidence"]


BARE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("acreage", "openeo", "sklearn", "geopandas"):
            raise ImportError(name + " is not installed here")

sys.meta_path.insert(0, Refuse())
import numpy as np
import xarray as xr

source, model, digest, cube, out = sys.argv[1:]
names = {"__name__": "a_udf_that_no_import_knows"}
exec(compile(open(source).read(), "udf", "exec"), names)
result = names["apply_datacube"](xr.open_dataarray(cube).load(), {"model": model, "model_sha256": digest})
np.save(out, result.values)
"""


def test_the_text_alone_runs_where_acreage_is_not_installed(
    samples: Samples, model_file: ModelFile, tmp_path: Path
) -> None:
    cube = cube_of(samples)
    cube.to_netcdf(tmp_path / "cube.nc")
    arguments = [SOURCE, model_file[0], model_file[1], tmp_path / "cube.nc", tmp_path / "out.npy"]
    done = subprocess.run(
        [sys.executable, "-c", BARE, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(
        np.load(tmp_path / "out.npy"), apply_datacube(cube, context(model_file)).values
    )


def test_a_samples_series_in_another_band_order_gives_the_same_probabilities(
    samples: Samples, model: TrainedModel
) -> None:
    order = np.arange(len(BANDS))[::-1]
    turned = replace(samples, bands=tuple(BANDS[i] for i in order), values=samples.values[:, :, order])
    np.testing.assert_array_equal(model.predict(turned), model.predict(samples))
