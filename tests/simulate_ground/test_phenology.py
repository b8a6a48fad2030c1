"""Curves of the year: stored figures are those of the fit, and simulated parcels look like real ones."""

from __future__ import annotations

import json
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Transformer
from tests.simulate_ground.conftest import script

from acreage.core.errors import InvalidInput
from acreage.simulate.calendar import felt_day, felt_days, lonlat, season_delay
from acreage.simulate.curves import BANDS, Phenology, double_logistic, phenology_from_dict
from acreage.simulate.ground import Patch
from acreage.simulate.radar import sigma0
from acreage.simulate.surface import reflectance

COMMON = ("wheat", "maize", "grassland", "sunflower", "rapeseed", "barley")


def stored() -> dict[str, dict[str, object]]:
    text = (files("acreage.simulate") / "data" / "curves.json").read_text(encoding="utf-8")
    return {c["name"]: c for c in json.loads(text)["covers"]}


def parcels_of(phenology: Phenology, name: str, number: int) -> Patch:
    """Parcels of one cover at the reference place, drawn as the ground draws them."""
    rng = np.random.default_rng(3)
    cover = phenology.covers[phenology.index(name)]
    drawn = np.clip(rng.standard_normal((2, number)), -2.2, 2.2).astype(np.float32)
    return Patch(
        parcel=rng.integers(1, 1 << 40, number),
        cover=np.full(number, phenology.index(name), np.uint8),
        code=np.full(number, cover.code, np.uint8),
        landcover=np.full(number, cover.landcover, np.uint8),
        vigour=np.maximum(0.1, 1 + cover.spread.vigour * drawn[0]).astype(np.float32),
        shift_days=(cover.spread.shift_days * drawn[1]).astype(np.float32),
        season_days=np.zeros(number, np.float32),
    )


def test_every_cover_says_where_its_figures_come_from() -> None:
    for name, cover in stored().items():
        fit = cover["fit"]
        assert isinstance(fit, dict)
        assert fit["source"]
        assert fit["invented"] or (
            fit["samples"] >= 1 and len(fit["rmse"]) == 9 and len(fit["rmse_db"]) == 2
        ), name


def test_stored_curves_are_those_of_the_fit(real_data: Path) -> None:
    fit = script("fit_phenology")
    nir08 = fit.narrow_nir(real_data)
    again = fit.fit_french(real_data, nir08, only=("soy",))
    days = np.arange(0.0, 365.0, 10.0)
    for name, entry in again.items():
        kept = phenology_from_dict({"covers": [stored()[name]]}).covers[0]
        new = phenology_from_dict({"covers": [{**stored()[name], **entry}]}).covers[0]
        # Another solver may stop elsewhere in a flat valley: curves are compared, not their terms.
        assert np.abs(kept.optical.on(days) - new.optical.on(days)).mean() < 0.005
        assert np.abs(kept.radar.on(days) - new.radar.on(days)).mean() < 0.25
        assert kept.spread.vigour == pytest.approx(new.spread.vigour, abs=0.05)


@pytest.mark.parametrize("name", COMMON)
def test_simulated_parcels_lie_near_the_real_medians(
    phenology: Phenology, real_data: Path, name: str
) -> None:
    fit = script("fit_phenology")
    days, optical, radar = fit.french(real_data)
    real, heard = fit.class_medians(optical[name]), fit.class_medians(radar[name])
    patch = parcels_of(phenology, name, 400)
    dates = [date(2023, 1, 1) + timedelta(days=int(d) - 1) for d in days]
    ours = np.array([np.median(reflectance(phenology, patch, d, fit.FITTED), axis=1) for d in dates])
    echo = np.array([[np.median(b) for b in sigma0(phenology, patch, None, d, "ascending")] for d in dates])
    seen = np.isfinite(real).all(axis=1)
    off = np.median(np.abs(ours - real)[seen], axis=0)
    off_db = np.nanmedian(np.abs(10 * np.log10(echo) - heard), axis=0)
    print(f"{name}: median absolute difference", dict(zip(fit.FITTED, off.round(4).tolist(), strict=True)),
          "dB", off_db.round(2).tolist())  # fmt: skip
    assert off[:4].max() < 0.015
    # Half of the 16 rapeseed parcels are seen in a dekad: their median itself wavers by some 0.03.
    assert off[4:].max() < 0.045
    assert off_db.max() < 1.2


def test_bad_phenologies_are_refused() -> None:
    entry = stored()["wheat"]
    with pytest.raises(InvalidInput, match="missing or wrong"):
        phenology_from_dict({"covers": [{k: v for k, v in entry.items() if k != "radar"}]})
    short = {**entry, "radar": {"base": [1.0], "terms": []}}
    with pytest.raises(InvalidInput, match="1 values for 2 bands"):
        phenology_from_dict({"covers": [short]})


def test_reflectance_is_that_of_the_curves(phenology: Phenology) -> None:
    patch = parcels_of(phenology, "water", 3)
    plain = Patch(
        np.full(3, -1), patch.cover, patch.code, patch.landcover,
        np.ones(3, np.float32), np.zeros(3, np.float32), np.zeros(3, np.float32),
    )  # fmt: skip
    for cover in (phenology.index("maize"), phenology.index("broadleaf_forest")):
        plain.cover[:] = cover
        curve = phenology.covers[cover].optical.on(np.array(180.0))
        seen = reflectance(phenology, plain, date(2021, 6, 29), BANDS)
        assert np.allclose(seen, np.maximum(curve, 0.002)[:, None], atol=2e-5)


@given(st.floats(0, 365), st.floats(-50, 330), st.floats(3, 30), st.floats(30, 200), st.floats(3, 30))
def test_curves_repeat_every_year_and_stay_between_0_and_1(
    day: float, start: float, rise: float, length: float, fall: float
) -> None:
    days: NDArray[np.float64] = np.array([day, day + 365.25])
    values = double_logistic(days, start, rise, start + length, fall)
    assert values[0] == pytest.approx(values[1], abs=1e-6)
    assert -0.5 < values[0] < 1.01


@given(st.floats(-40, 40))
def test_a_late_region_keeps_the_order_of_days(delay: float) -> None:
    days = np.arange(0.0, 366.0)
    felt = np.array([felt_day(d, delay) for d in days])
    assert (np.diff(felt) > 0).all()
    assert np.allclose(felt, felt_days(days, delay))


def test_spring_comes_later_in_the_north_and_on_mountains() -> None:
    assert season_delay(5.0, 56.0, 100.0) > season_delay(5.0, 46.0, 100.0) + 30
    assert season_delay(5.0, 46.0, 800.0) > season_delay(5.0, 46.0, 100.0) + 20
    assert season_delay(5.0, 70.0, 1000.0) == 40.0


@given(st.floats(-9, 30), st.floats(36, 68))
def test_places_are_known_to_a_quarter_of_a_degree(longitude: float, latitude: float) -> None:
    x, y = Transformer.from_crs(4326, 3035, always_xy=True).transform(longitude, latitude)
    found = lonlat(x, y)
    assert abs(found[0] - longitude) < 0.25
    assert abs(found[1] - latitude) < 0.25
