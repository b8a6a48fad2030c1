"""Output folders that appear whole or not at all."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from acreage.core.errors import InvalidInput, OutputExists, WriteFailed


def check_writable(out: Path) -> None:
    """Find out before long work whether `out` could be written after it; makes its folder if need be.

    Raises:
        WriteFailed: its folder cannot be made or written in.
    """
    folder = out.absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise WriteFailed(
            f"{out} cannot be written: {error.strerror or error} ({folder}).", hint="Choose another place."
        ) from error


@contextmanager
def whole_folder(out: Path, *, overwrite: bool, ours: Collection[str]) -> Iterator[Path]:
    """Yield a temporary folder beside `out` to write into; it gets the name `out` when the block ends well.

    When the block fails or is interrupted, the temporary folder is removed and what was there before stays.

    Args:
        out: Final folder. It may be absent or empty; otherwise `overwrite` decides.
        overwrite: Replace an earlier output; a folder that holds anything but names of `ours` never is.
        ours: File and folder names that this kind of output consists of.

    Raises:
        OutputExists: `out` is there and `overwrite` is False.
        InvalidInput: `out` is a file, or holds other things than an earlier output.
        WriteFailed: the file system refused (no space, no permission).
    """
    out = out.absolute()
    check_folder(out, overwrite=overwrite, ours=ours)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = _beside(out, "partial")
        work.mkdir()
    except OSError as error:
        raise WriteFailed(
            f"No folder can be made in {out.parent}: {error.strerror}.", hint="Choose another output folder."
        ) from error
    try:
        yield work
        _swap_in(work, out)
    except OSError as error:
        raise WriteFailed(
            f"{out} could not be written: {error.strerror or error}.",
            hint="Nothing was left under that name. Check space and permissions.",
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def whole_file(out: Path) -> Iterator[Path]:
    """Yield a temporary path beside `out`; what is there gets the name `out` when the block ends well.

    An earlier file of that name is replaced; a command that must not do so checks before it starts.

    Raises:
        WriteFailed: the file system refused (no space, no permission).
    """
    part = _beside(out, "partial").with_suffix(out.suffix)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(out)
    except OSError as error:
        raise WriteFailed(
            f"{out} could not be written: {error.strerror or error}.",
            hint="Nothing was left under that name. Check space and permissions.",
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def check_folder(out: Path, *, overwrite: bool, ours: Collection[str]) -> None:
    """Whether `whole_folder` would put its folder there.

    Raises:
        OutputExists: `out` is there and `overwrite` is False.
        InvalidInput: `out` is a file, or holds other things than an earlier output.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise InvalidInput(f"{out} is a file, not a folder.", hint="Choose another output folder.")
    there = sorted(p.name for p in out.iterdir())
    if there and not overwrite:
        raise OutputExists(
            f"{out} is there already.",
            hint="Choose another output folder, or give --overwrite where the command has it.",
        )
    if foreign := [name for name in there if name not in ours]:
        raise InvalidInput(
            f"{out} is not replaced: it holds {', '.join(foreign[:5])}, which is no part of this output.",
            hint="Choose another output folder, or empty that one.",
        )


def _swap_in(work: Path, out: Path) -> None:
    """Give `work` the name `out`; an earlier folder of that name is set aside first and removed last."""
    if not out.exists():
        work.rename(out)
        return
    aside = _beside(out, "old")
    out.rename(aside)
    try:
        work.rename(out)
    except OSError:
        aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _beside(out: Path, what: str) -> Path:
    """A free name in the same folder, so that a rename stays within one file system."""
    return out.parent / f".{out.name}.{what}-{secrets.token_hex(4)}"
