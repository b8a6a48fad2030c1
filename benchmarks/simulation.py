"""How long a simulated archive of one 20 km tile takes.

    .venv/bin/python benchmarks/simulation.py build/tile

73 Sentinel-2 and 37 Sentinel-1 dates over a year in Earth Search's form; prints products, size, wall and
CPU seconds. Kernels are compiled before the clock starts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

from acreage.core.temporal import Season
from acreage.simulate.archive import simulate_archive
from acreage.simulate.settings import ArchiveSettings

TILE = ArchiveSettings.around(
    (4.35, 50.65),
    20.0,
    season=Season(date(2019, 1, 3), date(2019, 12, 29)),
    s2_orbits=1,
    s1_every=3,
    reprocessed_every=0,
)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    warm = replace(
        TILE,
        area=ArchiveSettings.around((4.35, 50.65), 0.4).area,
        season=Season(date(2019, 5, 1), date(2019, 5, 9)),
    )
    with tempfile.TemporaryDirectory() as folder:
        simulate_archive(Path(folder) / "warm", warm)
    wall, cpu = time.monotonic(), time.process_time()
    archive = simulate_archive(given.out, TILE, threads=given.threads)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    for name in ("sentinel-2-l2a", "sentinel-1-sigma0", "cop-dem-glo-30", "esa-worldcover"):
        print(f"{name}: {archive.count(name)} items")
    size = sum(p.stat().st_size for p in given.out.rglob("*") if p.is_file())
    print(f"{size / 1e9:.2f} GB, {wall:.0f} s, {cpu:.0f} CPU seconds, {given.threads} threads")


if __name__ == "__main__":
    main()
