"""The real site in Flanders, 2019: maps, and their agreement with parcels that were not trained on.

    .venv/bin/python benchmarks/real_site.py --data ../shared/data --out build/real-site

Two experiments. `french`: a model trained on the 500 real French series of 2023; no parcel of the site was
seen. `crossed`: the site's own parcels in two halves, a model trained on one and tested on the other; crops
with
one parcel only are always trained on and never tested.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import geopandas as gpd
import numpy as np
from rich.console import Console

from acreage.catalog import open_catalog
from acreage.cli.croptype_area import parse_area
from acreage.cli.embedded import EmbeddedRunner
from acreage.cli.runtime import budget_of, udf_runner
from acreage.core.legend import Legend
from acreage.core.settings import load_settings
from acreage.core.temporal import Season
from acreage.croptype.agreement import Agreement, agreement, agreement_table
from acreage.croptype.labels import open_legend, open_samples
from acreage.croptype.mapping import MapJob, make_map
from acreage.croptype.modelfile import save_model
from acreage.croptype.picture import draw_product
from acreage.croptype.reference import read_reference
from acreage.croptype.sampling import points_in_parcels, sample_series
from acreage.croptype.series import Samples
from acreage.croptype.training import TrainingOptions, train
from acreage.croptype.workflow import CubeSettings

SEASON = Season.parse("2019-03-01/2019-10-31")
AREA = "EPSG:32631:574680,5621800,575320,5622440"
SETTINGS = CubeSettings()


class Site:
    """The site with its runner."""

    def __init__(self, data: Path, out: Path) -> None:
        self.data, self.out = data, out
        self.folder = data / "flanders-2019"
        self.parcels = read_reference(self.folder / "parcels.gpkg").table
        self.app = load_settings()
        self.area, _ = parse_area(AREA, SETTINGS)
        self.legend = open_legend("europe").without(["grassland", "vineyards", "other_permanent"])

    def runner(self, udf: object) -> EmbeddedRunner:
        """The embedded engine on the site's catalog."""
        return EmbeddedRunner(open_catalog(self.folder / "catalog.json"), budget_of(self.app), udf)  # type: ignore[arg-type]

    def sample(self, parcels: gpd.GeoDataFrame) -> Samples:
        """Series of 30 pixels of each parcel, as the model sees them."""
        points = points_in_parcels(parcels, 30, SETTINGS, seed=0)
        with udf_runner(self.app) as udf:
            return sample_series(points, SEASON, SETTINGS, self.runner(udf)).samples

    def map(self, name: str, samples: Samples, options: TrainingOptions) -> tuple[Path, Legend]:
        """Train and map; the product's folder and the model's legend."""
        model = train(samples, self.legend, SETTINGS.cropland_codes, options)
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / f"{name}.pt"
        save_model(model, path)
        job = MapJob(self.area, f"flanders-2019-{name}", SEASON, path, SETTINGS)
        with udf_runner(self.app, 2) as udf:
            make_map(job, self.runner(udf), self.out / name, overwrite=True)
        return self.out / name, model.legend


def halves(parcels: gpd.GeoDataFrame, legend: Legend) -> np.ndarray:
    """0 or 1 per parcel, by area alternately within each crop; -1 for crops of one parcel and other land."""
    found = [legend.classify(label) for label in parcels["label"]]
    half = np.full(len(parcels), -1)
    order = np.argsort(-parcels.geometry.area.to_numpy())
    for code in {c.code for c in found if c is not None}:
        mine = [i for i in order if found[i] is not None and found[i].code == code]
        if len(mine) > 1:
            half[mine] = np.arange(len(mine)) % 2
    return half


def main() -> None:
    """Run both experiments; write pictures, tables and a summary."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    site, console = Site(given.data, given.out), Console()
    summary = {}
    for name, found in (("french", french(site)), ("crossed", crossed(site))):
        console.print(
            f"\n{name}: {found.parcels_right} of {len(found.scored)} parcels right by majority, ", end=""
        )
        console.print(f"{found.pixels.accuracy:.3f} of {int(found.pixels.support.sum())} pixels")
        console.print(agreement_table(found), markup=False, highlight=False)
        summary[name] = {
            "parcels_right": found.parcels_right,
            "parcels": len(found.scored),
            "pixel_accuracy": round(float(found.pixels.accuracy), 4),
            "pixels": int(found.pixels.support.sum()),
            "each": [asdict(p) for p in found.parcels],
        }
    (given.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", "utf-8")


def french(site: Site) -> Agreement:
    """Trained in France in 2023, mapped in Flanders in 2019."""
    series = open_samples(site.data / "labels" / "dekad_2023_FRA_LPIS_POLY_110.geoparquet")
    series = series.in_season(Season.parse("2023-03-01/2023-10-31")).with_gaps_filled()
    folder, legend = site.map("french", series, TrainingOptions())
    note = (
        "Trained on 500 French series of 2023; no parcel of this site was seen. "
        "Land cover mask: a stand-in made of the parcels."
    )
    draw_product(
        folder,
        site.out / "french.png",
        legend=legend,
        title=f"Crop types, Flanders, {SEASON}",
        note=note,
        reference=site.parcels,
    )
    return agreement(folder / "classes.tif", site.parcels, legend)


def crossed(site: Site) -> Agreement:
    """Two halves, each mapped by the model of the other."""
    half = halves(site.parcels, site.legend)
    rows, references, predictions, unknown = [], [], [], ()
    names: list[str] = []
    for tested in (0, 1):
        samples = site.sample(site.parcels[half != tested])
        folder, legend = site.map(f"crossed-{tested}", samples, TrainingOptions(min_samples=5))
        found = agreement(folder / "classes.tif", site.parcels[half == tested], legend)
        note = "The outlined parcels were not trained on. Land cover mask: a stand-in made of the parcels."
        draw_product(
            folder, site.out / f"crossed-{tested}.png", legend=legend,
            title=f"Crop types, Flanders, {SEASON}, half {tested}",
            note=note, reference=site.parcels[half == tested],
        )  # fmt: skip
        rows.extend(found.parcels)
        unknown += found.unknown
        names = list(dict.fromkeys([*names, *found.pixels.names]))
        for i, reference in enumerate(found.pixels.names):
            for j, mapped in enumerate(found.pixels.names):
                count = int(found.pixels.confusion[i, j])
                references.extend([reference] * count)
                predictions.extend([mapped] * count)
    from acreage.croptype.metrics import score

    index = {n: i for i, n in enumerate(names)}
    pixels = score(np.array([index[r] for r in references]), np.array([index[p] for p in predictions]), names)
    return Agreement(pixels, tuple(rows), unknown)


if __name__ == "__main__":
    main()
