"""Pictures of tiles: all of one size, whatever part of them has data."""

from __future__ import annotations

import base64
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

TILE = 256
_CHANNELS = {1: (0, 0, 0), 2: (0, 0, 0, 1), 3: (0, 1, 2), 4: (0, 1, 2, 3)}

EMPTY_TILE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAQAAAAEAAQMAAABmvDolAAAAA1BMVEUAAACnej3aAAAAAXRSTlMAQObYZgAAAB9JREFUeNrtwQENAAAA"
    "wqD3T20ON6AAAAAAAAAAAL4NIQAAAWDknZcAAAAASUVORK5CYII="
)
"""PNG of 256 x 256 transparent pixels."""


@dataclass(frozen=True)
class Picture:
    """A PNG of a part of a tile.

    Attributes:
        path: of the file.
        column, row: its first pixel in the tile.
    """

    path: Path
    column: int
    row: int


def write_tile(picture: Picture, out: Path) -> None:
    """A PNG of 256 x 256 pixels with colours and opacity, transparent around the picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(picture.path) as file:
            values, opaque = file.read(), file.dataset_mask()
            colours = file.colormap(1) if file.count == 1 and file.colorinterp[0].name == "palette" else None
        if colours is not None:
            table = np.zeros((256, 4), np.uint8)
            for value, colour in colours.items():
                table[value] = colour
            channels = np.moveaxis(table[values[0]], -1, 0)
        else:
            channels = values[list(_CHANNELS[len(values)])]
            if len(channels) == 3:
                channels = np.concatenate([channels, opaque[None]])
        tile = np.zeros((4, TILE, TILE), np.uint8)
        height = min(channels.shape[1], TILE - picture.row)
        width = min(channels.shape[2], TILE - picture.column)
        rows, columns = (
            slice(picture.row, picture.row + height),
            slice(picture.column, picture.column + width),
        )
        tile[:, rows, columns] = channels[:, :height, :width]
        with rasterio.open(out, "w", driver="PNG", width=TILE, height=TILE, count=4, dtype="uint8") as file:
            file.write(tile)
