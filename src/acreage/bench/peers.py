"""The tools that the preprocessing is compared with; their scripts are in `benchmarks/peers`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from acreage.bench.jobs import centred
from acreage.bench.setup import Bench
from acreage.bench.variants import Variant
from acreage.core.grid import Box
from acreage.core.temporal import Season

CLOSE = 0.05  # relative difference of two values that are called close
_SIDE_M, _DAYS = 1000.0, 40  # what results are compared on


@dataclass(frozen=True)
class Peer:
    """A tool.

    Attributes:
        script: its file's name.
        needs: modules that it imports, of the extra `bench`.
        note: what the page says of it.
    """

    script: str
    needs: tuple[str, ...]
    note: str = ""


ODC_STAC = {
    "odc-stac": Peer("odc_eager.py", ("odc.stac", "flox")),
    "odc-stac, Dask": Peer("odc_dask.py", ("odc.stac", "flox")),
}
PEERS: Mapping[str, Peer] = {
    **ODC_STAC,
    "openeo-processes-dask": Peer(
        "openeo_dask.py",
        ("odc.stac", "openeo_pg_parser_networkx", "dask_geopandas", "rioxarray", "xvec"),
        "it runs the graph of acreage, but not all of it: its caller loads and saves; it has no "
        "`to_scl_dilation_mask` and no `sar_backscatter`; cubes of its `resample_spatial` have extents that "
        "its `merge_cubes` refuses, as it refuses one without dates; its `aggregate_temporal_period` fails "
        "on dates of one month and leaves out a first date on the 10th, 20th or 30th; its "
        "`array_interpolate_linear` refuses more than 50 million numbers. In place of these odc-stac loads "
        "onto the pixels of the map, `aggregate_temporal` is given the dekads, and masks and gaps are those "
        "of the other peers.",
    ),
}


@dataclass(frozen=True)
class Agreement:
    """How a cube agrees with another.

    Attributes:
        same_places: share of the values that both have or both lack, 0 to 1.
        close: share of the values that both have which differ by at most `CLOSE` of the larger; 1 without.
        values: number of values that both have.
    """

    same_places: float
    close: float
    values: int


def peer_scripts(bench: Bench) -> tuple[dict[str, Path], list[tuple[str, str]]]:
    """Scripts of the peers that can be run, by name, and (name, why) of the others."""
    found: dict[str, Path] = {}
    missing: list[tuple[str, str]] = []
    for name, peer in PEERS.items():
        if bench.scripts is None:
            missing.append((name, "the scripts of the peers are not there: give --scripts"))
            continue
        script = bench.scripts / "peers" / peer.script
        absent = [module for module in peer.needs if not _installed(module)]
        if not script.is_file():
            missing.append((name, f"{script} is not there"))
        elif absent:
            missing.append((name, f"{', '.join(absent)} not installed: see the extra `bench`"))
        else:
            found[name] = script
    return found, missing


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it is a part of
        return False


def peer_command(
    bench: Bench, catalog: Path, script: Path, area: Box, season: Season, out: Path
) -> list[str]:
    """The command that preprocesses an area with a script."""
    return [
        sys.executable,
        str(script),
        *("--catalog", str(catalog), "--graph", str(bench.graph(area, season))),
        *("--bounds", ",".join(map(str, area.bounds)), "--season", f"{season.first}/{season.last}"),
        *("--out", str(out), "--threads", str(bench.threads)),
    ]


def compare_results(bench: Bench, scripts: Mapping[str, Path], variant: Variant) -> dict[str, Agreement]:
    """Run ours and the peers once on a small square, and compare what they wrote.

    So compiled code lies in its caches before anything is measured.
    """
    area = centred(bench.area, min(_SIDE_M, bench.area.width * bench.area.grid.res_x))
    last = min(bench.season.last, bench.season.first + timedelta(days=_DAYS - 1))
    season, catalog = Season(bench.season.first, last), bench.catalog(variant)
    ours, found = bench.execute(catalog, bench.graph(area, season)), {}
    with bench.fresh() as folder:
        bench.tell("acreage on a small square")
        bench.run(partial(_fixed, ours(folder)))
        for name, script in scripts.items():
            bench.tell(f"{name} on a small square")
            out = folder / f"{script.stem}.nc"
            bench.run(partial(_fixed, peer_command(bench, catalog, script, area, season, out)))
            found[name] = agreement(folder / "cube.nc", out)
    return found


def _fixed(command: list[str], folder: Path) -> list[str]:
    return command


def agreement(ours: Path, theirs: Path) -> Agreement:
    """Compare the bands of two netCDF files, (t, y, x) or (y, x), dates in the same order.

    Raises:
        ValueError: bands or shapes differ.
    """
    same = close = shared = total = 0
    with xr.open_dataset(ours) as a, xr.open_dataset(theirs) as b:
        bands = {str(name) for name in a.data_vars if a[name].ndim > 1}
        if bands != {str(name) for name in b.data_vars if b[name].ndim > 1}:
            raise ValueError(f"{ours.name} and {theirs.name} have other bands")
        for band in bands:
            mine, other = _values(a[band]), _values(b[band])
            mine, other = np.broadcast_arrays(mine, other)
            both = np.isfinite(mine) & np.isfinite(other)
            most = np.maximum(np.abs(mine[both]), np.abs(other[both]))
            same += int((np.isfinite(mine) == np.isfinite(other)).sum())
            close += int((np.abs(mine[both] - other[both]) <= CLOSE * most).sum())
            shared, total = shared + int(both.sum()), total + mine.size
    return Agreement(same / total, close / shared if shared else 1.0, shared)


def _values(band: xr.DataArray) -> Any:
    return band.values.astype(np.float64)
