"""Decodes blocks of files, each once, and nothing else: the floor that jobs are measured against.

    python -m acreage.bench.decode blocks.json

One thread, block by block as they lie, no resampling, a small cache of GDAL. Prints processor and wall
seconds of the decoding alone as JSON; opening the files counts, starting Python does not.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

OPTIONS: dict[str, Any] = {
    "GDAL_CACHEMAX": 8_000_000,
    "GDAL_NUM_THREADS": "1",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
}


def decode(windows: dict[str, list[list[int]]]) -> dict[str, float]:
    """Read windows (first column, first row, width, height) of files; answers with what that took."""
    cpu, wall = time.process_time(), time.monotonic()
    blocks = pixels = size = 0
    with rasterio.Env(**OPTIONS):
        for path, boxes in windows.items():
            with rasterio.open(path) as file:
                dtype = np.dtype(file.dtypes[0])
                for left, top, width, height in boxes:
                    into = np.empty((height, width), dtype)
                    file.read(1, window=Window(left, top, width, height), out=into)
                    blocks, pixels, size = blocks + 1, pixels + into.size, size + into.nbytes
    return {
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.monotonic() - wall,
        "blocks": blocks,
        "pixels": pixels,
        "bytes": size,
    }


def main() -> None:
    """Decode the blocks that a file lists."""
    windows = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    sys.stdout.write(json.dumps(decode(windows)) + "\n")


if __name__ == "__main__":
    main()
