"""Block-wise reading of a COG over HTTP on loopback: the access layer, GDAL's own /vsicurl, a local file.

    python benchmarks/remote_reading.py [--latency MS] [--threads N]

The server is a process of its own. Every way reads the same windows of 512 x 512 pixels in the same random
order, each window once; what is printed is the best of three rounds, each with files opened anew under
another address, so that nothing is kept from the round before.
"""

from __future__ import annotations

import argparse
import http.server
import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from acreage.catalog.access import Policy, RemoteRasters, Transport

SIZE, BLOCK = 4096, 512
VSICURL = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_CACHEMAX": 64_000_000,
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers ranges of one file after a pause."""

    protocol_version = "HTTP/1.1"
    data = b""
    latency = 0.0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_HEAD(self) -> None:
        """The head of the whole file."""
        self._head(200, len(self.data))

    def do_GET(self) -> None:
        """A range, or all."""
        time.sleep(self.latency)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted is None:
            self._head(200, len(self.data))
            self.wfile.write(self.data)
            return
        first, last = int(wanted[1]), min(int(wanted[2]), len(self.data) - 1)
        self._head(206, last - first + 1, f"bytes {first}-{last}/{len(self.data)}")
        self.wfile.write(memoryview(self.data)[first : last + 1])

    def _head(self, status: int, length: int, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()


def serve(path: Path, latency: float, told: Connection) -> None:
    """Serve until the process is ended."""
    Handler.data, Handler.latency = path.read_bytes(), latency
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def serving(path: Path, latency: float) -> Iterator[str]:
    """The address of a server in another process."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(path, latency, there))
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}/a.tif"
    finally:
        process.terminate()
        process.join()


def timed(
    threads: int, windows: list[Window], make: Callable[[str], Callable[[Window], int]]
) -> tuple[float, int]:
    """Seconds of the best of three rounds, and the sum of all pixels."""
    best, total = float("inf"), 0
    for number in range(3):
        read = make(f"?round={number}")
        start = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            total = sum(pool.map(read, windows))
        best = min(best, time.perf_counter() - start)
    return best, total


def by_gdal(address: str) -> Callable[[Window], int]:
    """A dataset for each thread, as GDAL wants."""
    from threading import local

    kept = local()

    def read(window: Window) -> int:
        with rasterio.Env(**VSICURL):
            if not hasattr(kept, "file"):
                kept.file = rasterio.open(address)
            return int(kept.file.read(1, window=window).sum())

    return read


def by_layer(address: str) -> Callable[[Window], int]:
    """The access layer with its own limits out of the way."""
    rasters = RemoteRasters(Transport(Policy(requests_per_second=1e6, connections=64)))

    def read(window: Window) -> int:
        with rasterio.Env(GDAL_CACHEMAX=64_000_000), rasters.dataset(address) as file:
            return int(file.read(1, window=window).sum())

    return read


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latency", type=float, default=0.0, help="pause before each answer, milliseconds")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        values = rng.integers(0, 4000, (SIZE, SIZE)).astype(np.uint16)
        place = rasterio.Affine(10, 0, 500_000, 0, -10, 5_600_000)
        with rasterio.open(
            path,
            "w",
            "COG",
            SIZE,
            SIZE,
            1,
            "EPSG:32631",
            place,
            "uint16",
            compress="deflate",
            blocksize=BLOCK,
        ) as file:
            file.write(values, 1)
        # Across block borders: each window needs parts of four blocks.
        corners = [(c, r) for c in range(256, SIZE - 512, 512) for r in range(256, SIZE - 512, 512)]
        windows = [Window(*corners[n], 512, 512) for n in rng.permutation(len(corners))]
        ways: list[tuple[str, Callable[[str, str], Callable[[Window], int]]]] = [
            ("local file", lambda address, query: by_gdal(str(path))),
            ("/vsicurl", lambda address, query: by_gdal(f"/vsicurl/{address}{query}")),
            ("access layer", lambda address, query: by_layer(f"{address}{query}")),
        ]
        print(f"{path.stat().st_size / 1e6:.1f} MB, {len(windows)} windows, {options.threads} threads")
        for name, way in ways:
            with serving(path, options.latency / 1000) as address:
                seconds, total = timed(options.threads, windows, partial(way, address))
            print(
                f"{name:14s} {seconds:7.3f} s  {1000 * seconds / len(windows):6.2f} ms a window  sum {total}"
            )


if __name__ == "__main__":
    main()
