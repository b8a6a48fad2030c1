"""HDF5 files that refer to other files: a user's file could so hold what is not the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_MAGIC = b"\x89HDF\r\n\x1a\n"
_MOST_OBJECTS = 10_000


def refers_elsewhere(path: Path) -> str | None:
    """What of an HDF5 file (netCDF-4) lies in other files, or keeps that from being told; None where nothing.

    Looked for: links to other files, datasets whose bytes lie in other files, virtual datasets.
    """
    with open(path, "rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return None  # a classic netCDF file, which cannot
    import h5py  # slow to load

    try:
        with h5py.File(path, "r", locking=False) as root:
            return _in_groups(root, h5py)
    except (OSError, RuntimeError, KeyError, ValueError, UnicodeDecodeError):
        return "its structure is damaged"


def _in_groups(root: Any, h5py: Any) -> str | None:
    waiting, seen = [root], 0
    while waiting:
        group = waiting.pop()
        for name in group:
            seen += 1
            if seen > _MOST_OBJECTS:
                return f"it has more than {_MOST_OBJECTS} objects"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                return f"{name[:100]!r} is a link to something else"
            found = group[name]
            if isinstance(found, h5py.Group):
                waiting.append(found)
            elif isinstance(found, h5py.Dataset) and (found.external or found.is_virtual):
                return f"the values of {name[:100]!r} lie in another file"
    return None
