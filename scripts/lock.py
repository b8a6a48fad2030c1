"""Resolve the project's dependencies with pip and write requirements/lock.txt.

Run by `make lock`. pip resolves without installing (`--dry-run --report`); what it would install is pinned.
Hashes are left out: PyTorch's CPU build comes from another index, or from a local file.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "lock.txt"
HEADER = """\
# Every package that acreage and its tests use, at one version. Written by `make lock`; do not edit.
# The small CPU build of PyTorch: see README, "Installing".
"""
# What PyTorch's GPU build brings along: gigabytes that no part of the product uses.
GPU_PACKAGES = re.compile(r"^(nvidia-|cuda-|triton)")


def resolve(torch_index: str | None) -> dict[str, str]:
    """Name -> version of all that pip would install for the package with its `dev` extra."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--dry-run", "--ignore-installed", "--report", "-", f"{ROOT}[dev]"]
    if torch_index:
        command += ["--extra-index-url", torch_index]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    packages = {}
    for entry in json.loads(answer.stdout)["install"]:
        name = re.sub(r"[-_.]+", "-", entry["metadata"]["name"]).lower()
        # A local version (2.13.0+cpu) names a build, not a release: leave the build to the machine.
        packages[name] = entry["metadata"]["version"].split("+")[0]
    packages.pop("acreage", None)
    return packages


def main() -> int:
    """Write the lock file; refuse one that carries GPU packages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch-index", help="index that holds PyTorch's CPU build")
    packages = resolve(parser.parse_args().torch_index)
    heavy = sorted(name for name in packages if GPU_PACKAGES.match(name))
    if heavy:
        print(
            f"pip chose PyTorch's GPU build ({', '.join(heavy)}). Resolve with the CPU build:\n"
            "  make lock TORCH_INDEX=https://download.pytorch.org/whl/cpu",
            file=sys.stderr,
        )
        return 1
    LOCK.parent.mkdir(exist_ok=True)
    LOCK.write_text(HEADER + "".join(f"{name}=={packages[name]}\n" for name in sorted(packages)))
    print(f"{len(packages)} packages in {LOCK.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
