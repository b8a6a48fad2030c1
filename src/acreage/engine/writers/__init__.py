"""Writing results to files: which format, which name, and all files of a job at once or none."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acreage.core.cube import CubeMeta
from acreage.core.errors import FormatUnsuitable, InvalidInput, OutputExists, WriteFailed
from acreage.engine.formats import DataKind, FormatInfo, output_format
from acreage.engine.plan import Output
from acreage.engine.store import Stored
from acreage.engine.writers.geotiff import file_stems, write_geotiff
from acreage.engine.writers.netcdf import write_netcdf
from acreage.engine.writers.png import check_png, write_png
from acreage.engine.writers.tables import check_small, write_csv, write_geojson, write_geoparquet, write_json
from acreage.engine.writers.zarr import write_zarr

Write = Callable[[Stored, Path, str, Mapping[str, Any]], list[Path]]
Stems = Callable[[CubeMeta, str], list[str]]


Check = Callable[[CubeMeta, Mapping[str, Any]], None]


def any_cube(meta: CubeMeta, options: Mapping[str, Any]) -> None:
    """Of a format that takes every cube of its kinds."""


def one_stem(meta: CubeMeta, stem: str) -> list[str]:
    """File names, without suffix, of a format that is one file."""
    return [stem]


@dataclass(frozen=True)
class FileFormat:
    """A file format that results can be written in.

    Attributes:
        name: openEO's name.
        suffix: of the files.
        write: writes into a folder under a stem; answers with the files.
        stems: names of these files without suffix, known before anything is computed.
        check: refuses a cube, or options for it, before anything is computed.
    """

    name: str
    suffix: str
    write: Write
    stems: Stems = one_stem
    check: Check = any_cube

    @property
    def info(self) -> FormatInfo:
        """What it holds, and its options."""
        return output_format(self.name)


FORMATS: tuple[FileFormat, ...] = (
    FileFormat("GTiff", ".tif", write_geotiff, file_stems),
    FileFormat("netCDF", ".nc", write_netcdf),
    FileFormat("Zarr", ".zarr.zip", write_zarr),
    FileFormat("PNG", ".png", write_png, file_stems, check_png),
    FileFormat("JSON", ".json", write_json, check=check_small),
    FileFormat("CSV", ".csv", write_csv, check=check_small),
    FileFormat("GeoJSON", ".geojson", write_geojson, check=check_small),
    FileFormat("Parquet", ".parquet", write_geoparquet, check=check_small),
)
_SUFFIXES = {".tiff": ".tif", ".geoparquet": ".parquet", ".nc4": ".nc"}


@dataclass(frozen=True)
class Target:
    """Where one output goes.

    Attributes:
        folder: of the files.
        stem: their name without what is added for single time steps, and without suffix.
        format: how they are written.
        options: of the format, all with their values.
    """

    folder: Path
    stem: str
    format: FileFormat
    options: Mapping[str, Any]


def find_format(name: str) -> FileFormat:
    """The format of this openEO name, in any case.

    Raises:
        FormatUnsuitable: it is not known; the message lists those that are.
    """
    wanted = output_format(name).name
    return next(known for known in FORMATS if known.name == wanted)


def format_for(output: Output, meta: CubeMeta, out: Path, *, single: bool, overwrite: bool) -> Target:
    """Format and place of an output, checked before anything is computed.

    Raises:
        FormatUnsuitable: the format is unknown or cannot hold this cube.
        ProcessParameterInvalid: the format has no such option, or it takes no such value.
        InvalidInput: the file's suffix says another format than the graph.
        OutputExists: the file is there.
    """
    stem, suffix = split_name(out.name)
    by_suffix = _by_suffix(suffix)
    if by_suffix is None and re.fullmatch(r"\.[A-Za-z]\w{0,7}", suffix) and not out.is_dir():
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
    options = found.info.read_options(output.options)
    found.check(meta, options)
    folder, stem = (out.parent, stem) if is_file else (out, _stem_of(output.key))
    target = Target(folder, stem, found, options)
    files = [target.folder / f"{name}{found.suffix}" for name in found.stems(meta, target.stem)]
    existing = [f for f in files if f.exists()]
    if existing and not overwrite:
        raise OutputExists(
            f"{existing[0]} is there already.", hint="Choose another name, or ask for it with --overwrite."
        )
    return target


def _stem_of(key: str) -> str:
    """A file name of a node's key, which may hold anything, a path as well."""
    return re.sub(r"[^\w.\-]+", "_", key).strip(".")[:100] or "result"


def distinct(targets: Sequence[Target]) -> list[Target]:
    """The targets with a number behind the name of what another one has taken."""
    taken: set[tuple[Path, str, str]] = set()
    found = []
    for target in targets:
        stem, number = target.stem, 1
        while (target.folder, stem.lower(), target.format.suffix) in taken:
            number += 1
            stem = f"{target.stem}_{number}"
        taken.add((target.folder, stem.lower(), target.format.suffix))
        found.append(replace(target, stem=stem))
    return found


def split_name(name: str) -> tuple[str, str]:
    """A file's name without its suffix, and the suffix; `.zarr.zip` is one."""
    path = Path(name)
    inner = Path(path.stem)
    if path.suffix.lower() == ".zip" and inner.suffix.lower() == ".zarr":
        return inner.stem, inner.suffix + path.suffix
    return path.stem, path.suffix


def _by_suffix(suffix: str) -> FileFormat | None:
    wanted = _SUFFIXES.get(suffix.lower(), suffix.lower())
    return next((f for f in FORMATS if f.suffix == wanted), None)


def _check_kind(found: FileFormat, meta: CubeMeta, output: Output) -> None:
    kind: DataKind = "raster" if meta.is_raster else "vector" if meta.geometries is not None else "table"
    if meta.dtype.kind not in "biuf":
        kind = "other"
    if kind not in found.info.kinds:
        holding = ", ".join(f.name for f in FORMATS if kind in f.info.kinds)
        names = {
            "raster": "a raster cube",
            "vector": "a vector cube",
            "table": "a result without geography",
            "other": "a result that is no numbers",
        }
        raise FormatUnsuitable(
            f"{found.name} cannot hold {names[kind]} ({output.key}).", hint=f"Save it as {holding}."
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
        for _, target, stored in outputs:
            target.folder.mkdir(parents=True, exist_ok=True)
            folder = target.folder / f".{target.stem}.{secrets.token_hex(4)}.partial"
            folder.mkdir()
            partial.append(folder)
            files = target.format.write(stored, folder, target.stem, target.options)
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
