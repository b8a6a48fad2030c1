"""Files to be read over the network, and a transport that does not wait long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from acreage.catalog.access import Policy, RemoteRasters, Transport, configure

QUICK = Policy(backoff_s=0.01, backoff_limit_s=0.05, patience_s=20.0, requests_per_second=5000.0)


@dataclass(frozen=True)
class Files:
    """A folder with one image as COG and as JPEG 2000, and its pixels."""

    folder: Path
    pixels: NDArray[np.uint16]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("files")
    pixels = np.random.default_rng(7).integers(1, 9000, (700, 900)).astype(np.uint16)
    place: dict[str, Any] = {
        "width": 900, "height": 700, "count": 1, "crs": "EPSG:32631", "dtype": "uint16",
        "transform": Affine(10, 0, 500_000, 0, -10, 5_600_000),
    }  # fmt: skip
    with rasterio.open(
        folder / "a.tif", "w", "COG", **place, nodata=0, compress="deflate", blocksize=128
    ) as f:
        f.write(pixels, 1)
    with rasterio.open(
        folder / "a.jp2", "w", "JP2OpenJPEG", **place,
        QUALITY=100, REVERSIBLE="YES", blockxsize=256, blockysize=256,
    ) as f:  # fmt: skip
        f.write(pixels, 1)
    return Files(folder, pixels)


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's own credentials reach a test."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "ENDPOINT_URL", "REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))


@pytest.fixture(autouse=True)
def _quick_process() -> Iterator[None]:
    """What readers and catalogs share in this process: impatient, and fresh for each test."""
    configure(Policy(backoff_s=0.011))  # another policy than the last test's, so that nothing is kept
    configure(QUICK)
    yield
    configure(Policy())


@pytest.fixture
def rasters() -> Iterator[Callable[..., RemoteRasters]]:
    """Makes remote datasets over a transport of their own, with a policy that differs by some keys."""
    made: list[RemoteRasters] = []

    def make(**policy: Any) -> RemoteRasters:
        kept = {name: getattr(QUICK, name) for name in QUICK.__slots__}
        made.append(RemoteRasters(Transport(Policy(**{**kept, **policy}))))
        return made[-1]

    yield make
    for each in made:
        each.close()
        each.transport.close()
