"""Areas and settings of the crop type commands, from their options."""

from __future__ import annotations

from pathlib import Path

from acreage.catalog.items import Catalog
from acreage.core.errors import InvalidInput
from acreage.core.grid import Box, transformer
from acreage.croptype.sampling import area_of
from acreage.croptype.workflow import CubeSettings
from acreage.production.areas import read_rectangle, read_shapes

_FORMS = (
    "Give a vector file, or west,south,east,north in degrees, or the same in metres of a CRS as "
    "EPSG:3035:w,s,e,n."
)


def parse_area(text: str, settings: CubeSettings) -> tuple[Box, str]:
    """The map pixels of an area, and a name for it.

    Args:
        text: a vector file, `west,south,east,north` in degrees, or `EPSG:n:west,south,east,north`.
        settings: of the map.

    Raises:
        InvalidInput: it is none of these, or has no extent.
    """
    path = Path(text)
    if path.suffix and path.exists():
        frame = read_shapes(path, _FORMS)
        box = area_of(tuple(frame.total_bounds), frame.crs.to_string(), settings)
        return _checked(box, text), path.stem
    bounds, crs = read_rectangle(text, _FORMS)
    return _checked(area_of(bounds, crs, settings), text), "area"


def _checked(box: Box, text: str) -> Box:
    if box.is_empty:
        raise InvalidInput(f"The area {text} holds no pixel of the map.", hint=_FORMS)
    return box


def within_catalog(box: Box, catalog: Catalog, settings: CubeSettings) -> None:
    """Say clearly that an area lies outside of a collection before a job is planned.

    Raises:
        InvalidInput: the area touches nothing of a collection that the map needs.
    """
    bounds = transformer(box.grid.crs, "EPSG:4326").transform_bounds(*box.bounds, densify_pts=21)
    for name in settings.collections:
        boxes = catalog.describe(name).bboxes
        if boxes and not any(
            b[0] <= bounds[2] and b[2] >= bounds[0] and b[1] <= bounds[3] and b[3] >= bounds[1] for b in boxes
        ):
            own = ", ".join(f"{v:.4f}" for v in boxes[0])
            raise InvalidInput(
                f"The area ({', '.join(f'{v:.4f}' for v in bounds)}) lies outside of collection {name} "
                f"({own}).",
                hint="Check the order of the coordinates and the catalog.",
            )
