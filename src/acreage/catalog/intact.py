"""Is a file of this machine an image at all, and is it all there? Looks at structure, decodes nothing."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import tifffile

from acreage.core.faults import FaultKind

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
_CODESTREAM = b"\xff\x4f\xff\x51"
_END_OF_CODESTREAM = b"\xff\xd9"
_SHOWN = 60


def not_an_image(path: str) -> str | None:
    """What a file is instead of a GeoTIFF or JPEG 2000, quoting how it begins; None where it is one."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(512)
    except OSError:
        return None
    if start.startswith((*_TIFF, _JP2, _CODESTREAM)) or start.lstrip().startswith(b"<VRTDataset"):
        return None
    if not start:
        return "it is empty"
    text = " ".join(start.decode("latin-1").split())
    if text.startswith(("<", "{")):
        return f"it is a document that begins with {text[:_SHOWN]!r}"
    return f"it is neither TIFF nor JPEG 2000; it begins with the bytes {start[:8].hex(' ')}"


def missing_end(path: str) -> str | None:
    """How much of a TIFF or JPEG 2000 file is missing, as a sentence; None where it is whole.

    TIFF: every block of every image and overview lies inside the file. JPEG 2000: every box does, and the
    codestream ends with its end marker. Other files are taken for whole.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        start = file.read(12)
    if start.startswith(_TIFF):
        needed = _tiff_end(path, size)
        if needed is None:
            return f"its directory of blocks lies beyond its end at {size} bytes"
        return f"it has {size} of at least {needed} bytes" if needed > size else None
    if start.startswith((_JP2, _CODESTREAM)):
        return _jp2_fault(path, size)
    return None


def broken_file(path: str) -> tuple[FaultKind, str]:
    """The fault of a file that GDAL cannot open or read: its kind, and what can be seen of it."""
    told = not_an_image(path)
    if told is not None:
        return "not-an-image", told
    try:
        told = missing_end(path)
    except OSError as error:
        return "unreadable", error.strerror or str(error)
    return ("truncated", told) if told is not None else ("unreadable", "")


def _tiff_end(path: str, size: int) -> int | None:
    """The end of the last block of any directory; None where a directory cannot be read."""
    end = 0
    logger = logging.getLogger("tifffile")
    if logger.level != logging.CRITICAL:
        logger.setLevel(logging.CRITICAL)  # what it says of broken files is said here
    try:
        with tifffile.TiffFile(path) as file:
            pages = [page.aspage() for page in file.pages]
            pages += [child.aspage() for page in pages for child in page.pages or ()]
            if not pages or not all(page.dataoffsets for page in pages):
                return None
            for page in pages:
                for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                    if count:
                        end = max(end, offset + count)
    except (tifffile.TiffFileError, struct.error, ValueError, IndexError, KeyError, TypeError, OSError):
        return None
    return end


def _jp2_fault(path: str, size: int) -> str | None:
    with Path(path).open("rb") as file:
        at = 0
        if file.read(4) != _CODESTREAM:
            while at < size:
                file.seek(at)
                head = file.read(16)
                if len(head) < 8:
                    return f"it ends in the middle of a box header at {size} bytes"
                length, kind = struct.unpack(">I4s", head[:8])
                if length == 1 and len(head) == 16:
                    length = struct.unpack(">Q", head[8:])[0]
                end = size if length == 0 else at + length
                if end > size:
                    return f"it has {size} of at least {end} bytes"
                if kind == b"jp2c":
                    file.seek(end - 2)
                    return None if file.read(2) == _END_OF_CODESTREAM else _NO_END
                at = max(end, at + 8)
            return "it has no codestream"
        file.seek(size - 2)
        return None if file.read(2) == _END_OF_CODESTREAM else _NO_END


_NO_END = "its codestream does not end with the end marker"
