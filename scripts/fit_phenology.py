"""Fit the simulated covers' curves to real labelled series, and write `simulate/data/curves.json`.

    python scripts/fit_phenology.py ../shared/data

Source of most crops: the French parcel register of 2023 with dekad composites (labels/dekad_2023_FRA_...);
of potatoes and sugar beet, which it lacks: the one parcel of each in flanders-2019. Method: the median series
of a class (at least five parcels a dekad), in each band a base plus common double logistic terms; the
terms' days by
non-linear least squares (bands weighted by the inverse of their deviation), the amounts by linear least
squares within (variable projection). Only figures are stored. Covers that no data was fitted to keep the
figures they have in the file ("invented": true).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy.optimize import least_squares

from acreage.croptype.labels import open_legend, open_samples
from acreage.simulate.calendar import felt_days, season_delay
from acreage.simulate.curves import BANDS, double_logistic

Float = NDArray[np.float64]
SERIES = "labels/dekad_2023_FRA_LPIS_POLY_110.geoparquet"
FLANDERS = "flanders-2019"
TARGET = Path(__file__).resolve().parent.parent / "src/acreage/simulate/data/curves.json"
FITTED = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "swir16", "swir22")
NUMBERS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")
FEWEST = 10  # samples of a class that is fitted
SPARSE = {"potatoes": "5100", "sugar_beet": "8100"}  # crops of one parcel in Flanders


@dataclass(frozen=True)
class Fit:
    """Terms' days, amounts by band, and what is left."""

    base: Float  # (bands,)
    shapes: Float  # (terms, 4): start, rise, end, fall
    amounts: Float  # (terms, bands)
    rmse: Float  # (bands,)

    def on(self, days: Float) -> Float:
        """(T, bands)"""
        return self.base + np.tensordot(basis(self.shapes, days), self.amounts, axes=1)

    def change(self, days: Float) -> Float:
        """(T, bands) without the base."""
        return self.on(days) - self.base


def basis(shapes: Float, days: Float) -> Float:
    """(*days, terms)"""
    return np.stack([double_logistic(days, *row) for row in shapes], axis=-1)


# ----------------------------------------------------------------------------------------------- one curve


def fit_curve(days: Float, values: Float, first: Float, least: float = -np.inf) -> Fit:
    """Best fit of (T, bands) over the starts `first`, (starts, terms, 4) of start, rise, length and fall.

    Bands that would fall under `least` are held above it by a penalty.
    """
    terms = first.shape[1]
    scale = np.maximum(values.std(axis=0), 1e-6)
    whole = np.arange(0.0, 365.0, 5.0)

    def solve(shapes: Float) -> tuple[Float, Float]:
        design = np.column_stack([np.ones(len(days)), basis(shapes, days)])
        ridge = 0.05 * np.eye(design.shape[1])[1:]
        a = np.vstack([design, ridge])
        coefficients = np.linalg.lstsq(
            a, np.vstack([values, np.zeros((terms, values.shape[1]))]), rcond=None
        )[0]
        return coefficients, design

    def shapes_of(p: Float) -> Float:
        q = p.reshape(terms, 4)
        return np.column_stack([q[:, 0], q[:, 1], q[:, 0] + q[:, 2], q[:, 3]])

    def residual(p: Float) -> Float:
        coefficients, design = solve(shapes_of(p))
        left = (design @ coefficients - values) / scale
        low = coefficients[0] + basis(shapes_of(p), whole) @ coefficients[1:]
        return np.concatenate(
            [left.ravel(), 3.0 * np.minimum(low - least, 0.0).ravel() / 0.01 * (least > -1)]
        )

    low = np.tile([-90.0, 4.0, 25.0, 4.0], terms)
    high = np.tile([330.0, 35.0, 300.0, 35.0], terms)
    best = None
    for start in first:
        found = least_squares(residual, np.clip(start.ravel(), low, high), bounds=(low, high), max_nfev=40)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    shapes = shapes_of(best.x)
    coefficients, design = solve(shapes)
    rmse = np.sqrt(((design @ coefficients - values) ** 2).mean(axis=0))
    return Fit(coefficients[0], shapes, coefficients[1:], rmse)


def fit_two(days: Float, values: Float, least: float = -np.inf) -> Fit:
    """Two terms, from pairs of seasons of the year."""
    pairs = [(40.0, 170.0), (40.0, 250.0), (110.0, 170.0), (110.0, 250.0), (40.0, 110.0)]
    return fit_curve(days, values, np.array([[[s, 12.0, 80.0, 12.0] for s in p] for p in pairs]), least)


def choose_terms(days: Float, values: Float, least: float = -np.inf) -> Fit:
    """Two terms, or three where they leave a fifth less."""
    scale = np.maximum(values.std(axis=0), 1e-6)
    two = fit_two(days, values, least)
    known = np.column_stack([two.shapes[:, :2], two.shapes[:, 2] - two.shapes[:, 0], two.shapes[:, 3]])
    more = [np.vstack([known, [s, 12.0, 60.0, 12.0]]) for s in (30.0, 110.0, 190.0, 270.0)]
    three = fit_curve(days, values, np.array(more), least)
    return three if (three.rmse / scale).mean() < 0.8 * (two.rmse / scale).mean() else two


# ----------------------------------------------------------------------------------------- spread of parcels


def spread_of(fit: Fit, days: Float, series: Float) -> dict[str, float]:
    """Deviations between parcels of (N, T, bands) series, robust (1.4826 times the median deviation).

    Each parcel gets the shift (a grid of 3 days) and the factor of the terms that leave least; then the
    factor
    of the base; then what remains along the terms, dekad by dekad. Held below 10 days, 0.2, 0.2 and 0.15:
    beyond
    that, clouds that the composites left and the few samples show rather than the parcels.
    """
    scale = np.nanstd(series, axis=(0, 1))
    shifts = np.arange(-24.0, 25.0, 3.0)
    found = []
    for values in series:
        seen = np.isfinite(values).all(axis=1)
        if seen.sum() < 10:
            continue
        left = []
        for shift in shifts:
            change = fit.change(days[seen] - shift) / scale
            rest = (values[seen] - fit.base) / scale
            vigour = float((rest * change).sum() / max((change**2).sum(), 1e-9))
            left.append((float(((rest - vigour * change) ** 2).sum()), shift, vigour))
        _, shift, vigour = min(left)
        change = fit.change(days[seen] - shift)
        rest = values[seen] - vigour * change
        brightness = float((rest * fit.base / scale**2).sum() / ((fit.base / scale) ** 2).sum() / len(rest))
        after = (rest - brightness * fit.base) / scale
        power = (change / scale) ** 2
        strong = power.sum(axis=1) > 0.25 * power.sum(axis=1).max()
        alpha = ((after * change / scale).sum(axis=1) / np.maximum(power.sum(axis=1), 1e-9))[strong]
        found.append((shift, vigour, brightness, float(np.std(alpha))))
    columns = np.array(found).T
    return {
        "shift_days": round(min(robust(columns[0]), 10.0), 2),
        "vigour": round(min(robust(columns[1]), 0.2), 3),
        "brightness": round(min(robust(columns[2]), 0.2), 3),
        "greenness": round(min(float(np.median(columns[3])), 0.15), 3),
    }


def robust(values: Float) -> float:
    """Standard deviation from the median deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


# --------------------------------------------------------------------------------------------------- sources


def class_medians(series: Float, fewest: int = 5) -> Float:
    """(T, bands) medians over parcels; NaN where fewer than `fewest` were seen."""
    seen = np.isfinite(series).sum(axis=0)
    medians = np.full(seen.shape, np.nan)
    some = seen.max(axis=1) > 0
    medians[some] = np.nanmedian(series[:, some], axis=0)
    return np.where(seen >= fewest, medians, np.nan)


def french(data: Path) -> tuple[Float, dict[str, Float], dict[str, Float]]:
    """Days of the year's dekads (their sixth), and by class the reflectance and dB series (N, T, bands)."""
    samples = open_samples(data / SERIES)
    legend = open_legend("europe")
    classes = [legend.classify(label) for label in samples.labels.tolist()]
    names = np.array([c.name if c else "" for c in classes])
    inside = [i for i, d in enumerate(samples.dekads) if d.year == 2023]
    days = np.array([samples.dekads[i].timetuple().tm_yday + 5.0 for i in inside])
    column = {band: i for i, band in enumerate(samples.bands)}
    values = samples.values[:, inside].astype(np.float64)
    optical = values[..., [column[b] for b in NUMBERS]] / 10000
    radar = 10 * np.log10(values[..., [column[b] for b in ("VV", "VH")]])
    kept = [n for n in dict.fromkeys(names.tolist()) if n and (names == n).sum() >= FEWEST]
    return days, {n: optical[names == n] for n in kept}, {n: radar[names == n] for n in kept}


def flemish(data: Path, label: str) -> tuple[Float, Float, Float, Float]:
    """One crop of Flanders: days felt at the reference place with (T, 9) reflectance, days with (T, 2) dB."""
    delay = season_delay(4.06, 50.75, 40.0)
    shapes = gpd.read_file(data / FLANDERS / "parcels.gpkg")
    shapes = shapes[shapes["croptype"].astype(str) == label]
    days, optical = [], []
    for item in sorted((data / FLANDERS / "sentinel-2-l2a").glob("S2*")):
        day = date.fromisoformat(item.name[9:17])
        scl = np.kron(_band(item / "scl.tif", shapes)[0], np.ones((2, 2)))
        if day.year != 2019:
            continue
        inside = _inside(item / "red.tif", shapes) & np.isin(scl, (4, 5))
        if inside.sum() < 10:
            continue
        days.append(float(day.timetuple().tm_yday))
        optical.append([_median(item / f"{band}.tif", shapes, inside) / 10000 for band in FITTED])
    times, radar = [], []
    for item in sorted((data / FLANDERS / "sentinel-1-sigma0").glob("S1*")):
        day = date.fromisoformat(item.name[3:11])
        if day.year == 2019:
            inside = _inside(item / "vv.tif", shapes)
            times.append(float(day.timetuple().tm_yday))
            radar.append([10 * np.log10(_median(item / f"{b}.tif", shapes, inside)) for b in ("vv", "vh")])
    felt = [felt_days(np.array(d), delay) for d in (days, times)]
    return felt[0], np.array(optical), felt[1], np.array(radar)


def _band(path: Path, shapes: gpd.GeoDataFrame) -> tuple[Float, NDArray[np.bool_]]:
    with rasterio.open(path) as source:
        values = source.read(1).astype(np.float64)
        inside = rasterize(
            shapes.buffer(-5 if source.res[0] < 15 else 0), values.shape, transform=source.transform
        )
    return values, inside.astype(bool)


def _inside(path: Path, shapes: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    return _band(path, shapes)[1]


def _median(path: Path, shapes: gpd.GeoDataFrame, inside: NDArray[np.bool_]) -> float:
    values = _band(path, shapes)[0]
    if values.shape != inside.shape:
        values = values.repeat(inside.shape[0] // values.shape[0], axis=0)
        values = values.repeat(inside.shape[1] // values.shape[1], axis=1)
    return float(np.median(values[inside]))


def narrow_nir(data: Path) -> dict[str, Any]:
    """B8A, which the French series lack, from B07 and B08: least squares on clear pixels of Flanders."""
    rows = []
    for item in sorted((data / FLANDERS / "sentinel-2-l2a").glob("S2*")):
        with rasterio.open(item / "scl.tif") as source:
            clear = np.isin(source.read(1), (4, 5))
        bands = {}
        for name in ("rededge3", "nir", "nir08"):
            with rasterio.open(item / f"{name}.tif") as source:
                values = source.read(1).astype(np.float64) / 10000
            if values.shape != clear.shape:
                values = values.reshape(clear.shape[0], 2, clear.shape[1], 2).mean(axis=(1, 3))
            bands[name] = values[clear]
        rows.append(np.column_stack(list(bands.values())))
    table = np.vstack(rows)
    found = np.linalg.lstsq(table[:, :2], table[:, 2], rcond=None)[0]
    left = float(np.sqrt(((table[:, :2] @ found - table[:, 2]) ** 2).mean()))
    return {
        "rededge3": round(float(found[0]), 4),
        "nir": round(float(found[1]), 4),
        "rmse": round(left, 4),
        "pixels": len(table),
        "source": FLANDERS,
    }


# ------------------------------------------------------------------------------------------------------ file


def widen(values: Float, nir08: dict[str, Any], base: bool) -> list[float]:
    """Nine fitted bands to all twelve; B01 and B09 are invented from their neighbours."""
    by = dict(zip(FITTED, values.tolist(), strict=True))
    by["nir08"] = nir08["rededge3"] * by["rededge3"] + nir08["nir"] * by["nir"]
    by["nir09"] = by["nir08"] * 1.01
    by["coastal"] = 0.82 * by["blue"] + (0.003 if base else 0.0)
    return [round(by[b], 4) for b in BANDS]


def terms_of(fit: Fit, amounts: list[list[float]]) -> list[dict[str, Any]]:
    """The terms as the file has them."""
    return [
        {"rise": [round(s, 1), round(r, 1)], "fall": [round(e, 1), round(f, 1)], "amount": amount}
        for (s, r, e, f), amount in zip(fit.shapes.tolist(), amounts, strict=True)
    ]


def entry_of(optical: Fit, radar: Fit, nir08: dict[str, Any]) -> dict[str, Any]:
    """The curves of a cover as the file has them."""
    return {
        "optical": {
            "base": widen(optical.base, nir08, True),
            "terms": terms_of(optical, [widen(row, nir08, False) for row in optical.amounts]),
        },
        "radar": {
            "base": [round(v, 2) for v in radar.base.tolist()],
            "terms": terms_of(radar, [[round(v, 2) for v in row] for row in radar.amounts.tolist()]),
        },
    }


def fit_french(data: Path, nir08: dict[str, Any], only: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """Curves, spreads and residuals of the classes of the French series, or of `only` some."""
    days, optical, radar = french(data)
    out = {}
    for name in only or tuple(optical):
        medians, levels = class_medians(optical[name]), class_medians(radar[name])
        seen, heard = np.isfinite(medians).all(axis=1), np.isfinite(levels).all(axis=1)
        light = choose_terms(days[seen], medians[seen], 0.008)
        echo = choose_terms(days[heard], levels[heard])
        rest = radar[name] - echo.on(days)
        offsets = np.array([np.nanmedian(r, axis=0) for r in rest if np.isfinite(r).all(axis=1).sum() >= 10])
        out[name] = {
            **entry_of(light, echo, nir08),
            "spread": {
                **spread_of(light, days, optical[name]),
                "radar_db": [round(robust(offsets[:, i]), 2) for i in (0, 1)],
            },
            "fit": {
                "source": SERIES,
                "samples": len(optical[name]),
                "dekads": int(seen.sum()),
                "rmse": dict(zip(FITTED, np.round(light.rmse, 4).tolist(), strict=True)),
                "rmse_db": np.round(echo.rmse, 2).tolist(),
                "invented": False,
            },
        }
    return out


def fit_flemish(data: Path, nir08: dict[str, Any], spread: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Curves and residuals of the crops of one parcel."""
    out = {}
    for name, label in SPARSE.items():
        days, optical, times, radar = flemish(data, label)
        light, echo = fit_two(days, optical, 0.008), fit_two(times, radar)
        out[name] = {
            **entry_of(light, echo, nir08),
            "spread": spread,
            "fit": {
                "source": f"{FLANDERS}, one parcel; its spread is that of maize",
                "samples": 1,
                "dates": len(days),
                "rmse": dict(zip(FITTED, np.round(light.rmse, 4).tolist(), strict=True)),
                "rmse_db": np.round(echo.rmse, 2).tolist(),
                "invented": False,
            },
        }
    return out


def fit_all(data: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The narrow infrared's coefficients, and the fitted parts of each cover by name."""
    nir08 = narrow_nir(data)
    fitted = fit_french(data, nir08)
    return nir08, {**fitted, **fit_flemish(data, nir08, fitted["maize"]["spread"])}


def main() -> None:
    """Fit, and write the file with the covers that are not fitted left as they are."""
    stored = json.loads(TARGET.read_text(encoding="utf-8"))
    nir08, fitted = fit_all(Path(sys.argv[1]))
    stored["nir08"] = nir08
    stored["covers"] = [{**c, **fitted.get(c["name"], {})} for c in stored["covers"]]
    if missing := sorted(set(fitted) - {c["name"] for c in stored["covers"]} - {"other_arable"}):
        raise SystemExit(f"The file has no cover for the fitted classes {', '.join(missing)}.")
    text = json.dumps({k: v for k, v in stored.items() if k != "covers"}, indent=1)[:-2]
    rows = ",\n  ".join(json.dumps(c) for c in stored["covers"])
    TARGET.write_text(f'{text},\n "covers": [\n  {rows}\n ]\n}}\n', encoding="utf-8")
    for cover in stored["covers"]:
        fit = cover["fit"]
        print(
            cover["name"],
            fit.get("samples", "invented"),
            fit.get("rmse"),
            fit.get("rmse_db"),
            cover["spread"],
        )


if __name__ == "__main__":
    main()
