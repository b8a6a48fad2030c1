"""The preprocessing of a tile: ours, without the rewrite, and the peers, against decoding its blocks once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from acreage.bench.blocks import blocks_of
from acreage.bench.process import Measured
from acreage.bench.results import PartResult, Row
from acreage.bench.rounds import in_turn
from acreage.bench.setup import Bench, acreage, answer, probe
from acreage.bench.variants import Variant
from acreage.core.temporal import periods
from acreage.croptype.workflow import CubeSettings

ALL, NEEDED = "decode, all blocks", "decode, needed blocks"
OURS, UNREWRITTEN = "acreage", "acreage, no rewrite"
IMPORTS, WRITING = "imports and parsing", "writing"
PEERS = {"odc-stac": "odc_eager.py", "odc-stac, Dask": "odc_dask.py"}
REWRITE = "streaming-composite"
Run = Callable[[], Measured]


def measure_preprocessing(bench: Bench) -> PartResult:
    """Every variant of the archive, each tool in turn."""
    rows: list[Row] = []
    skipped: list[tuple[str, str]] = []
    for variant in bench.variants:
        bench.tell(f"{variant}: needed blocks")
        runs = {**_floor(bench, variant), **_ours(bench, variant, skipped), **_peers(bench, variant, skipped)}
        skipped += [(name, "left out with --skip") for name in sorted(bench.skip & runs.keys())]
        runs = {name: run for name, run in runs.items() if name not in bench.skip}
        done = in_turn(runs, bench.rounds, bench.teller(variant))
        rows += [_row(variant, name, measured) for name, measured in done.items()]
    about = (
        f"{bench.area.width * 10 / 1000:g} km, {bench.season}, uncompressed netCDF out, "
        f"{bench.threads} thread, {bench.memory} for acreage"
    )
    return PartResult("preprocessing", about, tuple(rows), tuple(dict.fromkeys(skipped)))


def _row(variant: Variant, name: str, measured: list[Measured]) -> Row:
    if name not in (ALL, NEEDED, WRITING):
        return Row.of(variant, name, measured)
    # Of these the work alone counts, without starting Python: the strictest floor.
    told = [answer(m) for m in measured]
    facts = {k: told[0][k] for k in ("blocks", "pixels") if k in told[0]}
    facts["process_cpu_seconds"] = [m.cpu_seconds for m in measured]
    return Row(
        variant,
        name,
        tuple(t["cpu_seconds"] for t in told),
        tuple(t["wall_seconds"] for t in told),
        tuple(m.peak_memory for m in measured),
        facts,
    )


def _floor(bench: Bench, variant: Variant) -> dict[str, Run]:
    lists = block_lists(bench, variant)

    def decoding(path: Path) -> Run:
        return lambda: bench.run(lambda folder: [sys.executable, "-m", "acreage.bench.decode", str(path)])

    return {name: decoding(path) for name, path in lists.items()}


def block_lists(bench: Bench, variant: Variant) -> dict[str, Path]:
    """Files with all blocks, and with the needed ones, of a variant; they are found once."""
    bench.work.mkdir(parents=True, exist_ok=True)
    paths = {
        name: bench.work / f"blocks-{variant}-{bench.area.width}-{bench.season.first}-{which}.json"
        for name, which in ((ALL, "all"), (NEEDED, "needed"))
    }
    if not all(path.exists() for path in paths.values()):
        found = blocks_of(bench.folder(variant), bench.area, bench.season)
        for path, which in zip(paths.values(), (found.all, found.needed), strict=True):
            path.write_text(json.dumps(found.windows(which)) + "\n", encoding="utf-8")
    return paths


def _ours(bench: Bench, variant: Variant, skipped: list[tuple[str, str]]) -> dict[str, Run]:
    graph, catalog = bench.graph(), bench.catalog(variant)
    runs: dict[str, Run] = {OURS: lambda: bench.run(bench.execute(catalog, graph))}
    if rewrite_exists(bench):
        plain = bench.execute(catalog, graph, "--no-rewrite", REWRITE)
        runs[UNREWRITTEN] = lambda: bench.run(plain)
    else:
        skipped.append((UNREWRITTEN, "`acreage execute` has no option --no-rewrite"))
    settings = CubeSettings()
    bands = len(settings.s2_bands) + len(settings.s1_bands) + 2
    shape = [sum(1 for _ in periods("dekad", *bench.season.interval)), *bench.area.shape]
    runs[IMPORTS] = lambda: bench.run(lambda folder: probe("imports", graph=str(graph)))
    runs[WRITING] = lambda: bench.run(
        lambda folder: probe("writing", shape=shape, bands=bands, out=str(folder / "cube.nc"))
    )
    return runs


def rewrite_exists(bench: Bench) -> bool:
    """Whether `acreage execute` can switch rewrites off."""
    told = bench.run(lambda folder: acreage("execute", "--help"), COLUMNS="200").output
    return "--no-rewrite" in told


def _peers(bench: Bench, variant: Variant, skipped: list[tuple[str, str]]) -> dict[str, Run]:
    if bench.scripts is None:
        skipped += [(name, "the scripts of the peers are not there: give --scripts") for name in PEERS]
        return {}
    runs: dict[str, Run] = {}
    for name, file in PEERS.items():
        script = bench.scripts / "peers" / file
        if not script.is_file():
            skipped.append((name, f"{script} is not there"))
            continue
        runs[name] = _peer(bench, variant, script)
    return runs


def _peer(bench: Bench, variant: Variant, script: Path) -> Run:
    catalog, bounds = str(bench.catalog(variant)), ",".join(map(str, bench.area.bounds))
    season = f"{bench.season.first}/{bench.season.last}"
    return lambda: bench.run(
        lambda folder: [
            sys.executable,
            str(script),
            *("--catalog", catalog, "--bounds", bounds, "--season", season),
            *("--out", str(folder / "cube.nc"), "--threads", str(bench.threads)),
        ]
    )
