"""Faults injected into files, each with the kind that the system must give it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from acreage.core.faults import FaultKind


@dataclass(frozen=True)
class FileFault:
    """Breaks a file in place.

    Attributes:
        name: for test ids.
        kind: what an inspection calls it.
        inject: does it.
        when_read: what reading pixels calls it; None where pixels come as if nothing were wrong.
    """

    name: str
    kind: FaultKind
    inject: Callable[[Path], None]
    when_read: FaultKind | None


def deleted(path: Path) -> None:
    path.unlink()


def cut_tail(path: Path) -> None:
    """The header is whole; half of the last block is not there."""
    offset, size = block_at(path, -1)
    path.write_bytes(path.read_bytes()[: offset + size // 2])


def garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).integers(0, 256, path.stat().st_size, np.uint8).tobytes())


def html(path: Path) -> None:
    path.write_text("<html><body><h1>503 Service Unavailable</h1></body></html>")


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def other_crs(path: Path) -> None:
    _again(path, crs="EPSG:32633")


def shifted(path: Path) -> None:
    with rasterio.open(path) as file:
        moved = file.transform.translation(2 * file.transform.a, 0) @ file.transform
    _again(path, transform=moved)


def all_zero(path: Path) -> None:
    with rasterio.open(path, "r+") as file:
        file.write(np.zeros(file.shape, file.dtypes[0]), 1)


FAULTS = (
    FileFault("deleted", "unreadable", deleted, "unreadable"),
    FileFault("cut tail", "truncated", cut_tail, "truncated"),
    FileFault("garbage", "not-an-image", garbage, "not-an-image"),
    FileFault("HTML page", "not-an-image", html, "not-an-image"),
    FileFault("no bytes", "not-an-image", nothing, "not-an-image"),
    FileFault("other CRS", "wrong-grid", other_crs, "wrong-grid"),
    FileFault("shifted", "wrong-grid", shifted, "wrong-grid"),
    FileFault("all zero", "empty", all_zero, None),
)


def break_block(path: Path, number: int) -> None:
    """Overwrite one compressed block: windows that need it cannot be read, others can."""
    offset, size = block_at(path, number)
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = b"\xff" * size
    path.write_bytes(bytes(content))


def block_at(path: Path, number: int) -> tuple[int, int]:
    """Offset and size in bytes of a block, counted by rows, modulo their number."""
    with rasterio.open(path) as file:
        rows, columns = file.block_shapes[0]
        across, down = -(-file.width // columns), -(-file.height // rows)
        y, x = divmod(number % (across * down), across)
        tag = [file.get_tag_item(f"BLOCK_{what}_{x}_{y}", "TIFF", bidx=1) for what in ("OFFSET", "SIZE")]
    return int(tag[0] or 0), int(tag[1] or 0)


def _again(path: Path, **changes: object) -> None:
    with rasterio.open(path) as file:
        values, profile = file.read(), {**file.profile, **changes}
    with rasterio.open(path, "w", **profile) as file:
        file.write(values)


__all__ = ["FAULTS", "FileFault", "block_at", "break_block"]
