"""Writing results to files: which format, which name, and all files of a job at once or none."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acreage.core.cube import CubeMeta
from acreage.core.errors import FormatUnsuitable, InvalidInput, OutputExists, WriteFailed
from acreage.engine.plan import Output
from acreage.engine.store import Stored
from acreage.engine.writers.geotiff import file_stems, write_geotiff
from acreage.engine.writers.netcdf import write_netcdf
from acreage.engine.writers.tables import write_csv, write_geoparquet, write_json

Write = Callable[[Stored, Path, str, Mapping[str, Any]], list[Path]]
Stems = Callable[[CubeMeta, str], list[str]]


def one_stem(meta: CubeMeta, stem: str) -> list[str]:
    """File names, without suffix, of a format that is one file."""
    return [stem]


@dataclass(frozen=True)
class FileFormat:
    """A file format that results can be written in.

    Attributes:
        name: openEO's name.
        suffix: of the files.
        raster, vector, flat: whether it holds raster cubes, vector cubes, and cubes without geography.
        options: names of the options it understands.
        write: writes into a folder under a stem; answers with the files.
        stems: names of these files without suffix, known before anything is computed.
    """

    name: str
    suffix: str
    raster: bool
    vector: bool
    flat: bool
    options: tuple[str, ...]
    write: Write
    stems: Stems = one_stem


FORMATS: tuple[FileFormat, ...] = (
    FileFormat(
        "GTiff", ".tif", True, False, False, ("overview_method", "compression"), write_geotiff, file_stems
    ),
    FileFormat("netCDF", ".nc", True, True, True, ("compression",), write_netcdf),
    FileFormat("JSON", ".json", True, True, True, (), write_json),
    FileFormat("CSV", ".csv", True, True, True, (), write_csv),
    FileFormat("GeoParquet", ".parquet", False, True, False, (), write_geoparquet),
)
_ALIASES = {"cog": "GTiff", "geotiff": "GTiff", "parquet": "GeoParquet", "nc": "netCDF"}
_SUFFIXES = {".tiff": ".tif", ".geoparquet": ".parquet", ".nc4": ".nc"}


@dataclass(frozen=True)
class Target:
    """Where one output goes.

    Attributes:
        folder: of the files.
        stem: their name without what is added for single time steps, and without suffix.
        format: how they are written.
    """

    folder: Path
    stem: str
    format: FileFormat


def find_format(name: str) -> FileFormat:
    """The format of this openEO name, in any case.

    Raises:
        FormatUnsuitable: it is not known; the message lists those that are.
    """
    wanted = _ALIASES.get(name.lower(), name).lower()
    for known in FORMATS:
        if known.name.lower() == wanted:
            return known
    raise FormatUnsuitable(
        f"The file format {name!r} is not supported.",
        hint=f"Use one of {', '.join(f.name for f in FORMATS)}.",
    )


def format_for(output: Output, meta: CubeMeta, out: Path, *, single: bool, overwrite: bool) -> Target:
    """Format and place of an output, checked before anything is computed.

    Raises:
        FormatUnsuitable: the format is unknown or cannot hold this cube.
        InvalidInput: the file's suffix says another format than the graph.
        OutputExists: the file is there.
    """
    by_suffix = _by_suffix(out.suffix)
    if by_suffix is None and re.fullmatch(r"\.[A-Za-z]\w{0,7}", out.suffix) and not out.is_dir():
        raise InvalidInput(
            f"{out.name} is not the name of a file that can be written.",
            hint=f"Name it with {', '.join(f.suffix for f in FORMATS)}, or give a folder.",
        )
    is_file = single and by_suffix is not None and not out.is_dir()
    if output.format is not None:
        found = find_format(output.format)
        if is_file and by_suffix is not found:
            raise InvalidInput(
                f"The graph saves {found.name}, and {out.name} is the name of another format.",
                hint=f"Name the output with {found.suffix}, or change save_result.",
            )
    elif by_suffix is not None:
        found = by_suffix
    else:
        found = find_format("GTiff" if meta.is_raster else "JSON")
    _check_kind(found, meta, output)
    target = Target(out.parent, out.stem, found) if is_file else Target(out, output.key, found)
    files = [target.folder / f"{name}{found.suffix}" for name in found.stems(meta, target.stem)]
    existing = [f for f in files if f.exists()]
    if existing and not overwrite:
        raise OutputExists(
            f"{existing[0]} is there already.", hint="Choose another name, or ask for it with --overwrite."
        )
    return target


def _by_suffix(suffix: str) -> FileFormat | None:
    wanted = _SUFFIXES.get(suffix.lower(), suffix.lower())
    return next((f for f in FORMATS if f.suffix == wanted), None)


def _check_kind(found: FileFormat, meta: CubeMeta, output: Output) -> None:
    kind = "raster" if meta.is_raster else "vector" if meta.geometries is not None else "flat"
    if not getattr(found, kind):
        holding = ", ".join(f.name for f in FORMATS if getattr(f, kind))
        names = {"raster": "a raster cube", "vector": "a vector cube", "flat": "a result without geography"}
        raise FormatUnsuitable(
            f"{found.name} cannot hold {names[kind]} ({output.key}).", hint=f"Save it as {holding}."
        )
    unknown = [n for n in output.options if n not in found.options]
    if unknown:
        raise FormatUnsuitable(
            f"{found.name} has no option {', '.join(unknown)} ({output.key}).",
            hint=f"It has {', '.join(found.options) or 'none'}.",
        )


def inputs_file(out: Path, targets: Sequence[Target]) -> Path:
    """Where the account of a job's inputs goes: `<file>.inputs.json`, or `inputs.json` in the folder."""
    if any(target.folder == out for target in targets):
        taken = any(f"{t.stem}{t.format.suffix}" == "inputs.json" for t in targets)
        return out / ("job-inputs.json" if taken else "inputs.json")
    return out.with_name(f"{out.name}.inputs.json")


def write_outputs(
    outputs: Sequence[tuple[Output, Target, Stored]], beside: Sequence[tuple[Path, bytes]] = ()
) -> tuple[tuple[Path, ...], ...]:
    """Write all outputs; they get their final names when every one is complete.

    Args:
        outputs: what, where, and the cube.
        beside: further files with their content, which appear together with the outputs.

    Raises:
        WriteFailed: the disk is full or not writable; no file was left under a final name.
    """
    partial: list[Path] = []
    moves: list[list[tuple[Path, Path]]] = []
    try:
        for output, target, stored in outputs:
            target.folder.mkdir(parents=True, exist_ok=True)
            folder = target.folder / f".{target.stem}.{secrets.token_hex(4)}.partial"
            folder.mkdir()
            partial.append(folder)
            files = target.format.write(stored, folder, target.stem, output.options)
            moves.append([(f, target.folder / f.name) for f in files])
        pairs = [pair for of_output in moves for pair in of_output]
        for path, content in beside:
            folder = path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"
            folder.mkdir(parents=True)
            partial.append(folder)
            (folder / path.name).write_bytes(content)
            pairs.append((folder / path.name, path))
        _rename(pairs)
        return tuple(tuple(final for _, final in of_output) for of_output in moves)
    except OSError as error:
        raise WriteFailed(
            f"The results could not be written: {_reason(error)}.",
            hint="Check the space and permissions of the output folder; nothing was left under a final name.",
        ) from error
    finally:
        for folder in partial:
            shutil.rmtree(folder, ignore_errors=True)


def _reason(error: OSError) -> str:
    """What the system said; rasterio tells it in the errors behind its own."""
    deepest: BaseException = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    said = deepest.strerror if isinstance(deepest, OSError) else None
    return (said or str(deepest)).rstrip(".")


def _rename(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Give all files their final names, or leave everything as it was."""
    done: list[tuple[Path, Path | None]] = []
    try:
        for source, final in pairs:
            before = None
            if final.exists():
                before = source.with_name(f"{source.name}.before")
                os.replace(final, before)
            done.append((final, before))
            os.replace(source, final)
    except OSError:
        for final, before in reversed(done):
            with contextlib.suppress(OSError):
                final.unlink(missing_ok=True)
                if before is not None:
                    os.replace(before, final)
        raise
