"""The preprocessing of a tile: ours, without the rewrite, and the peers, against decoding its blocks once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from acreage.bench.archives import archive_at, settings_for
from acreage.bench.blocks import blocks_of
from acreage.bench.peers import PEERS, Agreement, compare_results, peer_command, peer_scripts
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
REWRITE = "streaming-composite"
SMALLER = "preprocessing-10km"
Run = Callable[[], Measured]


def measure_smaller(bench: Bench) -> PartResult:
    """The preprocessing of 10 km, of which every tool is capable: the simulator's own clouds and fields."""
    if bench.quick:
        return PartResult(SMALLER, "a quarter of the tile", (), (("10 km", "left out of a quick run"),))
    bench.tell("simulating 10 km")
    folder = bench.archive.folder.with_name(f"{bench.archive.folder.name}-10km")
    archive = archive_at(folder, settings_for(10.0, quick=False), None, bench.threads)
    smaller = replace(bench, archive=archive, work=bench.work / "10km", variants=("natural",))
    return replace(measure_preprocessing(smaller), part=SMALLER)


def measure_preprocessing(bench: Bench) -> PartResult:
    """Every variant of the archive, each tool in turn."""
    rows: list[Row] = []
    scripts, skipped = peer_scripts(bench)
    used = {name: script for name, script in scripts.items() if name not in bench.skip}
    # A quick run without peers has nothing to compare, nor to be measured well for.
    agreements = compare_results(bench, used, "natural") if used or not bench.quick else {}
    for variant in bench.variants:
        bench.tell(f"{variant}: needed blocks")
        runs = {**_floor(bench, variant), **_ours(bench, variant, skipped), **_peers(bench, variant, scripts)}
        left_out = [name for name in runs if {name, f"{variant}: {name}"} & bench.skip]
        told = {name: name if name in bench.skip else f"{variant}: {name}" for name in left_out}
        skipped += [(name, "left out with --skip") for name in told.values()]
        runs = {name: run for name, run in runs.items() if name not in left_out}
        done = in_turn(runs, bench.rounds, bench.teller(variant))
        rows += [_row(variant, name, measured, agreements.get(name)) for name, measured in done.items()]
    about = (
        f"{bench.area.width * 10 / 1000:g} km, {bench.season}, uncompressed netCDF out, "
        f"{bench.threads} thread, {bench.memory} for acreage"
    )
    return PartResult("preprocessing", about, tuple(rows), tuple(dict.fromkeys(skipped)))


def _row(variant: Variant, name: str, measured: list[Measured], agreed: Agreement | None) -> Row:
    if agreed is not None:
        return Row.of(variant, name, measured, note=PEERS[name].note, **asdict(agreed))
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


def _peers(bench: Bench, variant: Variant, scripts: Mapping[str, Path]) -> dict[str, Run]:
    catalog = bench.catalog(variant)

    def running(script: Path) -> Run:
        return lambda: bench.run(
            lambda folder: peer_command(bench, catalog, script, bench.area, bench.season, folder / "cube.nc")
        )

    return {name: running(script) for name, script in scripts.items()}
