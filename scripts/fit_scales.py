"""Measure parcels, crop mixes, clouds and errors of the SCL on real data; write `simulate/data/scales.json`.

    python scripts/fit_scales.py ../shared/data

Only figures are stored, each with its source and number of samples. What is marked as invented in the file
(crop
mixes of places without data, error rates that these data do not show) keeps its figure.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from numpy.typing import NDArray

from acreage.croptype.labels import open_legend, open_samples
from acreage.simulate.scales import CloudScales
from acreage.simulate.scene_classes import CLOUD_SEEN
from acreage.simulate.sky import Sky

Float = NDArray[np.float64]
TARGET = Path(__file__).resolve().parent.parent / "src/acreage/simulate/data/scales.json"
FLANDERS = "flanders-2019"
REGISTERS = {
    "Catalonia": ("reference/2019_ES_SIGPAC-Catalunya_POLY_111_samples.json", 41.8, 1.4),
    "Flanders": ("reference/2019_BE_LPIS-Flanders_POLY_110_samples.json", 51.0, 4.4),
}
SERIES = "labels/dekad_2023_FRA_LPIS_POLY_110.geoparquet"
GRANULES = ("S2A_33TWL_20230818_0_L2A", "S2A_33TWM_20230818_0_L2A")
LAGS = (1, 2, 4, 8, 16, 32, 64, 128)  # pixels of 120 m
NOT_MIXED = ("grassland", "other_arable")
Image = NDArray[np.float32]


# ------------------------------------------------------------------------------------------ parcels and crops


def parcel_sizes(data: Path) -> list[dict[str, Any]]:
    """Log-normal sizes from the quartiles: the median, and the quartiles' distance over 1.349."""
    out = []
    for name, (path, latitude, _) in REGISTERS.items():
        hectares = gpd.read_file(data / path).to_crs(3035).area.to_numpy() / 1e4
        low, middle, high, most = np.quantile(hectares, [0.25, 0.5, 0.75, 0.95])
        deviation = float(np.log(high / low) / 1.349)
        place = {"name": name, "latitude": latitude, "median_ha": round(float(middle), 3)}
        place |= {"deviation_log": round(deviation, 3), "samples": len(hectares), "source": path}
        place["measured_p95_ha"] = round(float(most), 2)
        place["log_normal_p95_ha"] = round(float(middle * np.exp(1.645 * deviation)), 2)
        out.append(place)
    return out


def crop_mixes(data: Path) -> list[dict[str, Any]]:
    """Shares of the legend's classes among labelled samples of three places, without grassland."""
    legend = open_legend("europe")

    def place(name: str, longitude: float, latitude: float, labels: list[str], source: str) -> dict[str, Any]:
        found = [legend.classify(label) for label in labels]
        counts = Counter(c.name for c in found if c is not None and c.name not in NOT_MIXED)
        total = sum(counts.values())
        shares = {k: round(v / total, 3) for k, v in sorted(counts.items()) if v}
        head = {"name": name, "longitude": longitude, "latitude": latitude}
        return {**head, "shares": shares, "samples": total, "source": source, "invented": False}

    samples = open_samples(data / SERIES)
    out = [place("Western France", 0.0, 46.0, samples.labels.tolist(), SERIES)]
    for name, (path, latitude, longitude) in REGISTERS.items():
        labels = gpd.read_file(data / path)["CT"].astype(int).astype(str).tolist()
        out.append(place(name, longitude, latitude, labels, path))
    return out


# ---------------------------------------------------------------------------------------------------- clouds


def flanders_dates(data: Path) -> list[tuple[date, Path]]:
    """Days of the Flemish site's scenes, and their folders."""
    items = sorted((data / FLANDERS / "sentinel-2-l2a").glob("S2*"))
    return [(date.fromisoformat(f"{i.name[9:13]}-{i.name[13:15]}-{i.name[15:17]}"), i) for i in items]


def read(path: Path) -> Float:
    """The first band of a file."""
    with rasterio.open(path) as source:
        return np.asarray(source.read(1), np.float64)


def site_statistics(data: Path) -> dict[str, Any]:
    """Clouds over 640 m in Flanders: shares of the dates by cover (SCL 8 and 9), and of cirrus (10)."""
    scenes = [read(path / "scl.tif") for _, path in flanders_dates(data)]
    cover = np.array([np.isin(s, (8, 9)).mean() for s in scenes])
    return {
        "source": f"{FLANDERS}, SCL of 640 m x 640 m",
        "dates": len(cover),
        "mean_cover": round(float(cover.mean()), 3),
        "share_clear": round(float((cover < 0.05).mean()), 3),
        "share_overcast": round(float((cover > 0.95).mean()), 3),
        "share_cirrus": round(float(np.mean([(s == 10).mean() for s in scenes])), 3),
        "mean_shadow": round(float(np.mean([(s == 3).mean() for s in scenes])), 3),
    }


def granule_statistics(data: Path) -> dict[str, Any]:
    """How often two pixels (120 m) so far apart differ in being cloud, over what independent ones would."""
    folder = data / "s2-earthsearch/full_products/sentinel-2-l2a"
    curves, covers = [], []
    for name in GRANULES:
        scl = read(folder / name / "SCL.tif")
        mask, valid = np.isin(scl, (8, 9)), scl != 0
        curves.append(differing(mask, valid))
        covers.append(float(mask[valid].mean()))
    curve = np.mean(curves, axis=0)
    return {
        "source": f"s2-earthsearch/full_products, SCL at 120 m of {', '.join(GRANULES)}",
        "cover": [round(c, 3) for c in covers],
        "lags_m": [120 * lag for lag in LAGS],
        "differing": np.round(curve, 3).tolist(),
        "length_m": round(correlation_length(curve)),
    }


def differing(mask: NDArray[np.bool_], valid: NDArray[np.bool_]) -> Float:
    """By lag: the share of pairs of valid pixels that differ, over that of independent ones."""
    share = mask[valid].mean()
    out = []
    for lag in LAGS:
        pairs = [(mask[lag:], mask[:-lag], valid[lag:] & valid[:-lag])]
        pairs.append((mask[:, lag:], mask[:, :-lag], valid[:, lag:] & valid[:, :-lag]))
        unlike = np.concatenate([(a ^ b)[v] for a, b, v in pairs])
        out.append(unlike.mean() / (2 * share * (1 - share)))
    return np.array(out)


def correlation_length(curve: Float) -> float:
    """Metres at which the correlation 1 - curve has fallen to 1 / e, linear between the lags."""
    for (lag_a, a), (lag_b, b) in pairwise(zip(LAGS, curve.tolist(), strict=True)):
        if b >= 1 - np.exp(-1) > a:
            return float(120 * (lag_a + (lag_b - lag_a) * (1 - np.exp(-1) - a) / (b - a)))
    return 120.0 * LAGS[-1]


def simulated_site(scales: CloudScales, dates: int, seed: int = 5) -> dict[str, float]:
    """The same statistics of simulated skies over random places and days."""
    rng = np.random.default_rng(seed)
    sky, covers, shadows, veils = Sky(seed, scales), [], [], []
    offsets = np.arange(16) * 40.0
    for k in range(dates):
        x0, y0 = rng.uniform(3.0e6, 5.5e6), rng.uniform(2.0e6, 3.8e6)
        x, y = np.meshgrid(x0 + offsets, y0 + offsets)
        seen = sky.at(
            x, y, datetime(2019, 3, 1, 10, 50, tzinfo=UTC) + timedelta(days=k % 250, minutes=k // 250)
        )
        covers.append((seen.cloud > CLOUD_SEEN).mean())
        shadows.append((seen.shadow > 0.35).mean())
        veils.append(((seen.cirrus > 0.25) & (seen.cloud <= CLOUD_SEEN)).mean())
    cover = np.array(covers)
    return {
        "mean_cover": float(cover.mean()),
        "share_clear": float((cover < 0.05).mean()),
        "share_overcast": float((cover > 0.95).mean()),
        "share_cirrus": float(np.mean(veils)),
        "mean_shadow": float(np.mean(shadows)),
    }


def simulated_granules(scales: CloudScales, wanted: int = 3, seed: int = 5) -> Float:
    """`differing` of simulated granules (60 km) with a cover of 0.28 to 0.52, about that of the real ones."""
    sky, curves = Sky(seed, scales), []
    steps = np.arange(500) * 120.0
    x, y = np.meshgrid(4.1e6 + steps, 2.9e6 + steps)
    for k in range(60):
        moment = datetime(2019, 6, 1, 10, 50, tzinfo=UTC) + timedelta(days=k)
        rough = sky.at(x[::25, ::25], y[::25, ::25], moment).cloud > CLOUD_SEEN
        if 0.28 < rough.mean() < 0.52:
            mask = sky.at(x, y, moment).cloud > CLOUD_SEEN
            curves.append(differing(mask, np.ones(mask.shape, bool)))
            if len(curves) == wanted:
                break
    return np.mean(curves, axis=0) if curves else np.full(len(LAGS), np.nan)


def fit_clouds(site: dict[str, Any], granule: dict[str, Any]) -> CloudScales:
    """The share of wide clouds and the gain of the octaves that come nearest to both statistics."""
    best: tuple[float, CloudScales] | None = None
    target = np.array(granule["differing"])
    for wide, gain in product((0.35, 0.5, 0.65, 0.8), (0.8, 0.86, 0.92, 0.98)):
        scales = CloudScales(site["mean_cover"], wide, gain, 0.2)
        seen = simulated_site(scales, 400)
        cost = sum(((seen[k] - site[k]) / 0.05) ** 2 for k in ("share_clear", "share_overcast"))
        curve = simulated_granules(scales)
        cost += float((((curve - target) / 0.1) ** 2).mean())
        print(
            f"wide {wide} gain {gain}: cost {cost:.2f}",
            {k: round(v, 3) for k, v in seen.items()},
            curve.round(2),
        )
        if np.isfinite(cost) and (best is None or cost < best[0]):
            best = cost, scales
    assert best is not None
    return best[1]


def fit_levels(scales: CloudScales, site: dict[str, Any]) -> CloudScales:
    """Cover and cirrus such that what is seen of them is what was measured."""
    cover, cirrus = scales.cover, scales.cirrus
    for _ in range(4):
        seen = simulated_site(CloudScales(cover, scales.wide, scales.gain, cirrus), 900)
        cover = float(np.clip(cover * site["mean_cover"] / seen["mean_cover"], 0.05, 0.9))
        cirrus = float(
            np.clip(cirrus * (site["share_cirrus"] / max(seen["share_cirrus"], 1e-3)) ** 0.7, 0.01, 0.6)
        )
    return CloudScales(round(cover, 3), scales.wide, scales.gain, round(cirrus, 3))


# ------------------------------------------------------------------------------------------- errors of the
# SCL


def scene_errors(data: Path) -> dict[str, dict[str, Any]]:
    """Error rates from how pixels depart from their own median of the clear dates within 45 days.

    A pixel whose blue is 0.05 brighter is cloud or haze, whatever SCL says; one whose infrared is 0.6
    times the
    usual and whose blue is not brighter lies in shadow, on dates with clouds over the site.
    """
    dates = flanders_dates(data)
    scl = np.stack([read(p / "scl.tif") for _, p in dates])
    stacks = {}
    for band in ("blue", "nir"):
        full = np.stack([read(p / f"{band}.tif") for _, p in dates]) / 10000
        stacks[band] = full.reshape(len(dates), scl.shape[1], 2, scl.shape[2], 2).mean(axis=(2, 4))
    days = np.array([d.toordinal() for d, _ in dates])
    clear = np.isin(scl, (4, 5))
    counts: Counter[str] = Counter()
    for t, (day, _) in enumerate(dates):
        near = (np.abs(days - days[t]) <= 45) & (np.arange(len(days)) != t)
        known = clear[near].sum(axis=0) >= 3
        if not known.any() or day.month in (12, 1, 2):
            continue
        usual = {
            b: np.nanmedian(np.where(clear[near], s[near], np.nan)[:, known], axis=0)
            for b, s in stacks.items()
        }
        here = scl[t][known]
        bright = stacks["blue"][t][known] > usual["blue"] + 0.05
        dark = stacks["nir"][t][known] < 0.6 * usual["nir"]
        plain = ~bright & ~dark
        # Harvest darkens the infrared too, but not the blue, and comes without clouds.
        clouded = np.isin(scl[t], (8, 9)).mean() > 0.02
        dark &= (stacks["blue"][t][known] < usual["blue"]) & ~np.isin(here, (8, 9, 10, 11)) & clouded
        counts["cloud"] += int((bright & np.isin(here, (8, 9, 10, 11))).sum())
        counts["missed"] += int((bright & np.isin(here, (2, 4, 5, 6, 7))).sum())
        counts["snow"] += int((bright & (here == 11)).sum())
        counts["shadow"] += int(dark.sum())
        for name, classes in (("dark", (2,)), ("missed_shadow", (4, 5, 7))):
            counts[name] += int((dark & np.isin(here, classes)).sum())
        counts["plain"] += int((plain & np.isin(here, (4, 5, 7))).sum())
        counts["unclassified"] += int((plain & (here == 7)).sum())

    def rate(part: str, whole: int, what: str) -> dict[str, Any]:
        source = f"{FLANDERS}, March to November: {what}"
        return {"value": round(counts[part] / whole, 4), "source": source, "samples": whole}

    print(dict(counts))
    clouds = counts["cloud"] + counts["missed"]
    return {
        "missed_cloud": rate("missed", clouds, "brightened pixels in classes 2, 4, 5, 6 and 7"),
        "cloud_as_snow": rate("snow", clouds, "brightened pixels in class 11"),
        "shadow_as_dark": rate("dark", counts["shadow"], "darkened pixels in class 2"),
        "shadow_missed": rate("missed_shadow", counts["shadow"], "darkened pixels in classes 4, 5 and 7"),
        "unclassified": rate("unclassified", counts["plain"], "unchanged pixels in class 7"),
    }


def main() -> None:
    """Measure, fit the clouds, and write the file with the invented figures left as they are."""
    data = Path(sys.argv[1])
    stored = json.loads(TARGET.read_text(encoding="utf-8"))
    stored["parcels"]["places"] = parcel_sizes(data)
    known = crop_mixes(data)
    invented = [m for m in stored["mixes"]["places"] if m.get("invented")]
    stored["mixes"]["places"] = [*known, *invented]
    stored["scene_errors"] |= scene_errors(data)
    site, granule = site_statistics(data), granule_statistics(data)
    print(site, granule)
    used = fit_levels(fit_clouds(site, granule), site)
    source = "fitted to the measured statistics by scripts/fit_scales.py"
    seen, curve = simulated_site(used, 1500), simulated_granules(used, 6)
    stored["clouds"] = {
        "site": site,
        "granules": granule,
        "simulated": {**{k: round(v, 3) for k, v in seen.items()}, "differing": np.round(curve, 3).tolist()},
        "used": {
            k: {"value": getattr(used, k), "source": source} for k in ("cover", "wide", "gain", "cirrus")
        },
    }
    print(stored["clouds"])
    TARGET.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
