"""What is left of a job's work where only a share of the pixels is cropland.

The land cover of a simulated archive is replaced by fields of 200 m, a share of which is cropland, and the
same area is mapped for each share. Run:

    python benchmarks/cropland_share.py ARCHIVE --model MODEL [--side 5000]

docs/production.md quotes what this prints: CPU seconds, and the part that they are of those of all cropland.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio

SHARES = (1.0, 0.6, 0.3, 0.1, 0.03, 0.01)
FIELD = 20  # pixels


def landcover(source: Path, out: Path, share: float) -> None:
    """A copy whose fields are cropland with this probability, and forest else."""
    with rasterio.open(source) as file:
        profile, (rows, columns) = file.profile, file.shape
    rng = np.random.default_rng(1)
    fields = rng.random((rows // FIELD + 1, columns // FIELD + 1)) < share
    whole = np.kron(fields, np.ones((FIELD, FIELD), bool))[:rows, :columns]
    profile.update(driver="GTiff")
    out.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(out, "w", **profile) as file:
        file.write(np.where(whole, 40, 10).astype(profile["dtype"]), 1)


def cpu_seconds(archive: Path, model: Path, share: float, side: float) -> float:
    """Of mapping the middle of the archive, with its child processes."""
    left, bottom, right, top = json.loads((archive / "archive.json").read_text())["area"]
    x, y, half = (left + right) / 2, (bottom + top) / 2, side / 2
    source = next((archive / "esa-worldcover").rglob("*_2021_*_Map.tif"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        landcover(source, folder / "cover" / source.name, share)
        item = json.loads(next(source.parent.glob("*.json")).read_text())
        for asset in item["assets"].values():
            asset["href"] = str(folder / "cover" / Path(asset["href"]).name)
        (folder / "cover" / "item.json").write_text(json.dumps(item))
        kinds = ("SENTINEL2_L2A", "SENTINEL1_GRD", "COPERNICUS_30")
        entries = {kind: {"catalog": str(archive / "catalog.json")} for kind in kinds}
        entries["ESA_WORLDCOVER_10M_2021_V2"] = {"catalog": str(folder / "cover" / "item.json")}
        (folder / "catalog.json").write_text(json.dumps({"collections": entries}))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", "from acreage.cli.main import main; main()", "map"]
        command += ["--area", f"EPSG:3035:{x - half},{y - half},{x + half},{y + half}"]
        command += ["--season", "2019-03-01/2019-10-31", "--model", str(model), "--memory", "3GB"]
        command += ["--catalog", str(folder / "catalog.json"), "--out", str(folder / "map"), "--threads", "1"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure each share in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--side", type=float, default=5000.0)
    given = parser.parse_args()
    whole = None
    for share in SHARES:
        seconds = cpu_seconds(given.archive.resolve(), given.model.resolve(), share, given.side)
        whole = whole or seconds
        print(f"{100 * share:5.1f} % cropland: {seconds:6.1f} CPU s, {seconds / whole:.2f}", flush=True)


if __name__ == "__main__":
    main()
