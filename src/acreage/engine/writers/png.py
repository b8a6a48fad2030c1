"""PNG: pictures of a cube, 8 bits a channel, nulls transparent; a file a time step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from acreage.core.arrays import Array, BoolArray
from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import FormatUnsuitable, ProcessParameterInvalid
from acreage.engine.store import Stored
from acreage.engine.writers.common import band_names, pieces
from acreage.engine.writers.geotiff import by_file, file_stems

_GREY = (ColorInterp.gray, ColorInterp.alpha)
_COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
_MOST_COLOURS = 1000
Colour = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Picture:
    """How a cube becomes pictures.

    Attributes:
        bands: positions of the bands: one for grey, three for red, green and blue, a fourth for opacity.
        colours: colour of each value where there is a palette, else empty.
        low, high: values that become 0 and 255, one a band; empty with a palette.
    """

    bands: tuple[int, ...]
    colours: Mapping[int, Colour]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def channels(self, values: Array, valid: BoolArray) -> Array:
        """Channels (channels, rows, columns) of uint8 from (bands, rows, columns) of one date."""
        values, valid = values[list(self.bands)], valid[list(self.bands)]
        if self.colours:
            picture = np.zeros((*values.shape[1:], 4), np.uint8)
            for value, colour in self.colours.items():
                picture[(values[0] == value) & valid[0]] = colour
            return np.moveaxis(picture, -1, 0)
        stretched = [self._stretched(n, values[n]) for n in range(len(self.bands))]
        opaque = np.where(valid.all(axis=0), 255, 0).astype(np.uint8)
        if len(self.bands) == 4:
            opaque = np.where(opaque, stretched.pop(), 0)
        return np.stack([*(np.where(opaque, s, 0) for s in stretched), opaque]).astype(np.uint8)

    def _stretched(self, n: int, values: Array) -> Array:
        low, high = self.low[n], self.high[n]
        share = (np.nan_to_num(values.astype(np.float64), nan=low) - low) / ((high - low) or 1.0)
        return np.rint(np.clip(share, 0.0, 1.0) * 255.0)


def check_png(meta: CubeMeta, options: Mapping[str, Any]) -> None:
    """Whether pictures can be made of a cube; what only its values tell is left out.

    Raises:
        FormatUnsuitable: too many dimensions with several labels, or neither 1, 3 nor 4 bands.
        ProcessParameterInvalid: an option names a band that is not there, or contradicts another.
    """
    file_stems(meta, "")
    bands = _chosen(meta, options)
    colours = _palette(options)
    if colours and (len(bands) != 1 or meta.dtype.kind == "f"):
        raise ProcessParameterInvalid(
            "The option 'colormap' of PNG needs one band of whole numbers or booleans.",
            hint="Choose it with the option 'bands', and leave 'colormap' out for quantities.",
        )
    for name in ("min", "max"):
        given = options.get(name)
        if isinstance(given, list) and len(given) not in (1, len(bands)):
            raise ProcessParameterInvalid(
                f"The option {name!r} of PNG has {len(given)} values for {len(bands)} bands.",
                hint="Give one number, or one for each band.",
            )


def write_png(stored: Stored, folder: Path, stem: str, options: Mapping[str, Any]) -> list[Path]:
    """One file per label of the dimension besides bands, x and y; as `GTiff` names them.

    Options: `bands`, `min`, `max`, `colormap` as the list of formats describes them.
    """
    meta = stored.meta
    assert meta.box is not None
    picture = _picture(stored, options)
    names = file_stems(meta, stem)
    plain = [folder / f"{name}.plain.tif" for name in names]
    with rasterio.Env(GDAL_PAM_ENABLED="NO"):
        _write_plain(stored, picture, plain)
        files = []
        for source, name in zip(plain, names, strict=True):
            files.append(folder / f"{name}.png")
            rasterio.shutil.copy(source, files[-1], driver="PNG")
            source.unlink()
    return files


def _write_plain(stored: Stored, picture: _Picture, paths: Sequence[Path]) -> None:
    """The pictures as GeoTIFFs, written piece by piece; GDAL makes PNGs of them line by line."""
    box = stored.meta.box
    assert box is not None
    channels = _GREY if len(picture.bands) == 1 and not picture.colours else _COLOURS
    size = {"width": box.width, "height": box.height, "count": len(channels), "dtype": "uint8"}
    place = {"crs": box.grid.crs, "transform": box.affine}
    files = [rasterio.open(p, "w", driver="GTiff", bigtiff="IF_SAFER", **size, **place) for p in paths]
    try:
        for file in files:
            file.colorinterp = channels
        for cube, part in _parts(stored):
            window = Window(0, part[0], box.width, part[1])
            dates = zip(by_file(cube.values, stored.meta), by_file(cube.validity(), stored.meta), strict=True)
            for file, (values, valid) in zip(files, dates, strict=True):
                file.write(picture.channels(values, valid), window=window)
    finally:
        for file in files:
            file.close()


def _parts(stored: Stored) -> Iterator[tuple[Cube, tuple[int, int]]]:
    """The pieces, each with its first row in the picture and its rows."""
    assert stored.meta.box is not None
    for cube in pieces(stored):
        assert cube.meta.box is not None
        yield cube, (cube.meta.box.y0 - stored.meta.box.y0, cube.meta.box.height)


def _picture(stored: Stored, options: Mapping[str, Any]) -> _Picture:
    meta = stored.meta
    bands = _chosen(meta, options)
    colours = _palette(options)
    if colours:
        return _Picture(bands, colours)
    low, high = (_per_band(options.get(name), len(bands)) for name in ("min", "max"))
    if None in (*low, *high) and meta.dtype.kind == "b":
        return _Picture(bands, {}, (0.0,) * len(bands), (1.0,) * len(bands))
    if None in (*low, *high) and meta.dtype != np.uint8:
        found = _ranges(stored, bands)
        low = [f[0] if given is None else given for f, given in zip(found, low, strict=True)]
        high = [f[1] if given is None else given for f, given in zip(found, high, strict=True)]
    return _Picture(
        bands,
        {},
        tuple(0.0 if v is None else float(v) for v in low),
        tuple(255.0 if v is None else float(v) for v in high),
    )


def _per_band(given: Any, count: int) -> list[float | None]:
    values = given if isinstance(given, list) else [given]
    return list(values) * count if len(values) == 1 else list(values)


def _ranges(stored: Stored, bands: Sequence[int]) -> list[tuple[float, float]]:
    """Smallest and largest finite valid value of each band, over all dates; 0 and 1 where it has none."""
    low, high = [np.inf] * len(bands), [-np.inf] * len(bands)
    for cube in pieces(stored):
        values, valid = by_file(cube.values, stored.meta), by_file(cube.validity(), stored.meta)
        for n, band in enumerate(bands):
            found = values[:, band][valid[:, band]].astype(np.float64)
            found = found[np.isfinite(found)]
            if found.size:
                low[n], high[n] = min(low[n], found.min()), max(high[n], found.max())
    return [(float(a), float(b)) if a <= b else (0.0, 1.0) for a, b in zip(low, high, strict=True)]


def _chosen(meta: CubeMeta, options: Mapping[str, Any]) -> tuple[int, ...]:
    names = band_names(meta)
    wanted = options.get("bands") or list(names)
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise ProcessParameterInvalid(
            f"The option 'bands' of PNG names {', '.join(unknown)}, which the cube does not have.",
            hint=f"It has {', '.join(names)}.",
        )
    if len(wanted) not in (1, 3, 4):
        raise FormatUnsuitable(
            f"PNG shows 1, 3 or 4 bands, and the cube has {len(wanted)}.",
            hint="Choose them with the option 'bands': grey, or red, green, blue and perhaps opacity.",
        )
    return tuple(names.index(name) for name in wanted)


def _palette(options: Mapping[str, Any]) -> dict[int, Colour]:
    given = options.get("colormap") or {}
    if len(given) > _MOST_COLOURS:
        raise ProcessParameterInvalid(
            f"The option 'colormap' of PNG has {len(given)} values; {_MOST_COLOURS} are the most.",
            hint="Group classes first.",
        )
    return {int(value): _colour(colour) for value, colour in given.items()}


def _colour(given: str | Sequence[int]) -> Colour:
    if isinstance(given, str):
        parts = [int(part, 16) for part in re.findall("..", given.removeprefix("#"))]
    else:
        parts = list(given)
    red, green, blue, opacity = (*parts, 255)[:4]
    return red, green, blue, opacity
