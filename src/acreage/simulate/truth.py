"""The truth of a simulated archive, on the 10 m grid of EPSG:3035."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acreage.core.grid import Box
from acreage.simulate.forward import Forward
from acreage.simulate.ground import points
from acreage.simulate.publish.rasters import write_cog
from acreage.simulate.settings import ArchiveSettings

_ROWS = 1024


def reflectance(settings: ArchiveSettings, box: Box, day: date) -> NDArray[np.float32]:
    """Reflectance of the ground on a day without atmosphere or noise: (10, rows, columns) float32, 0..1.

    Bands in the order of `surface.BANDS_10`; `box` on any grid, values at its pixels' centres.
    """
    forward = Forward(settings)
    x, y = points(box)
    return forward.reflectance(forward.ground.at(x, y), day)


def write_truth(folder: Path, settings: ArchiveSettings, forward: Forward) -> None:
    """Write `truth.tif` and `landcover.tif` of the area, without its margin."""
    box = settings.box
    code, landcover = np.zeros(box.shape, np.uint8), np.zeros(box.shape, np.uint8)
    for piece in box.windows(_ROWS, _ROWS):
        patch = forward.ground.at(*points(piece))
        window = piece.slices_in(box)
        code[window], landcover[window] = patch.code, patch.landcover
    names = {f"CLASS_{c.code}": c.name for c in forward.phenology.covers if c.code}
    write_cog(folder / "truth.tif", code, box, 0, codes=True, tags=names)
    write_cog(folder / "landcover.tif", landcover, box, 0, codes=True)
