"""A small continent: a simulated archive of 22 km over two UTM zones, a model of it, and its tiles."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import shapely
from tests.support.simulated import archive_of

from acreage.catalog import open_catalog
from acreage.cli.embedded import EmbeddedRunner
from acreage.cli.runtime import budget_of, udf_runner
from acreage.core.settings import load_settings
from acreage.core.temporal import Season
from acreage.croptype.labels import open_legend
from acreage.croptype.modelfile import save_model
from acreage.croptype.reference import read_reference
from acreage.croptype.sampling import points_in_parcels, sample_series
from acreage.croptype.training import TrainingOptions, train
from acreage.croptype.workflow import CubeSettings
from acreage.production.tiles import Tile, TileGrid, tile_of_id
from acreage.simulate.archive import Archive
from acreage.simulate.settings import ArchiveSettings

LARGE = "20kmE402N286"
"""Six degrees east, where UTM zones 31 and 32 meet, runs through it."""
SMALL_M = 2_500
SAMPLED_M, POINTS = 7_000, 4
SETTINGS = ArchiveSettings(
    (4_020_000.0, 2_860_000.0, 4_040_000.0, 2_880_000.0),
    seed=6,
    s2_every=3,
    s1_every=2,
    s1_directions=("ascending",),
)
CUBE = CubeSettings(s1_properties=(("sat:orbit_state", "ascending"),))


def continent_archive() -> Archive:
    """The archive; made once, which takes ten minutes."""
    return archive_of(SETTINGS)


def season() -> Season:
    """Of the archive and the model."""
    return SETTINGS.season


def large_tile() -> Tile:
    """The tile of 20 km."""
    tile = tile_of_id(LARGE)
    assert tile is not None
    return tile


def small_tiles() -> list[Tile]:
    """Sixty tiles of 2.5 km that lie in the large one, all but its lowest row's first four."""
    grid, (left, bottom, right, top) = TileGrid(SMALL_M), large_tile().bounds
    columns = range(int(left) // SMALL_M, int(right) // SMALL_M)
    rows = range(int(bottom) // SMALL_M, int(top) // SMALL_M)
    return [grid.tile(column, row) for row in rows for column in columns][4:]


def parcels(archive: Archive, split: str) -> gpd.GeoDataFrame:
    """Parcels of the archive that are marked `train` or `test`."""
    table = read_reference(archive.parcels, label_column="label").table
    return table[gpd.read_file(archive.parcels)["split"].to_numpy() == split]


def sampled_parcels(archive: Archive) -> gpd.GeoDataFrame:
    """Parcels that the model is trained on: those for training in a square in the middle."""
    x, y = shapely.box(*SETTINGS.area).centroid.coords[0]
    middle = shapely.box(*(v + s * SAMPLED_M / 2 for s, v in ((-1, x), (-1, y), (1, x), (1, y))))
    table = parcels(archive, "train")
    return table[table.geometry.to_crs("EPSG:3035").within(middle)]


def continent_model(archive: Archive) -> Path:
    """A model trained on parcels in the middle of the archive; made once, beside it."""
    path = archive.folder.with_name(f"{archive.folder.name}-model.pt")
    if path.exists():
        return path
    points = points_in_parcels(sampled_parcels(archive), POINTS, CUBE, 1)
    app = load_settings()
    budget = budget_of(app, "3GB", 2)
    with udf_runner(app, 2) as udf:
        runner = EmbeddedRunner(open_catalog(archive.catalog), budget, udf, app.scratch)
        sampled = sample_series(points, season(), CUBE, runner)
    options = TrainingOptions(members=2, epochs=60, patience=12, seed=1, min_samples=8)
    legend = open_legend("europe").without(["grassland", "vineyards", "other_permanent"])
    save_model(train(sampled.samples, legend, CUBE.cropland_codes, options), path)
    return path
