"""Cloud Optimized GeoTIFFs of codes and counts, with names and colours that GDAL's readers understand."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.rio.overview import get_maximum_overview_level
from rio_cogeo.cogeo import cog_validate

from acreage.core.errors import WriteFailed
from acreage.core.legend import NO_OBSERVATION, RESERVED, Legend

BLOCK = 512


def translate(plain: Path, cog: Path, overviews: Literal["mode", "average"], legend: Legend | None) -> None:
    """Turn a plain GeoTIFF into a COG with overviews down to one block, and remove the plain one.

    `overviews`: resampling of the overviews; nodata takes no part in it. A colour table is kept. With a
    `legend` the COG gets a tag `CLASS_<code>` for every code, with its title.

    Raises:
        WriteFailed: what was written is no valid COG.
    """
    with rasterio.open(plain, "r+") as target:
        target.update_tags(**_tags(overviews, legend))
        levels = get_maximum_overview_level(target.width, target.height, minsize=BLOCK)
        # One call a level: in one call for all, GDAL would take the mode of the modes below.
        for level in range(1, levels + 1):
            target.build_overviews([2**level], Resampling[overviews])
    options = {"COMPRESS": "DEFLATE", "BLOCKSIZE": str(BLOCK), "OVERVIEW_RESAMPLING": overviews.upper()}
    rasterio.shutil.copy(plain, cog, driver="COG", OVERVIEWS="FORCE_USE_EXISTING", **options)
    plain.unlink()
    valid, errors, _ = cog_validate(cog)
    if not valid:
        raise WriteFailed(
            f"{cog.name} is no valid COG: {'; '.join(errors)}.", hint="Report this with the log."
        )


def _tags(overviews: str, legend: Legend | None) -> dict[str, str]:
    tags = {"OVERVIEW_RESAMPLING": overviews.upper()}
    if legend is not None:
        tags |= {f"CLASS_{r.code}": r.title for r in RESERVED}
        tags |= {f"CLASS_{c.code}": c.title for c in legend.classes}
    return tags


def write_names(sidecar: Path, legend: Legend, counts: NDArray[np.int64]) -> None:
    """Write category names and a raster attribute table as GDAL keeps them beside a GeoTIFF (`.aux.xml`).

    `counts`: pixels of every code, shape (256,).
    """
    table = legend.colour_table()
    titles = {r.code: r.title for r in RESERVED} | {c.code: c.title for c in legend.classes}
    root = ET.Element("PAMDataset")
    band = ET.SubElement(root, "PAMRasterBand", band="1")
    names = ET.SubElement(band, "CategoryNames")
    for code in range(NO_OBSERVATION + 1):
        ET.SubElement(names, "Category").text = titles.get(code, "")
    rat = ET.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    # GDAL's GDALRATFieldType (0 integer, 2 string) and GDALRATFieldUsage numbers.
    fields = (
        ("Value", 0, 5),
        ("Count", 0, 1),
        ("Class", 2, 2),
        ("Red", 0, 6),
        ("Green", 0, 7),
        ("Blue", 0, 8),
        ("Alpha", 0, 9),
    )
    for i, (name, kind, usage) in enumerate(fields):
        field = ET.SubElement(rat, "FieldDefn", index=str(i))
        for tag, value in (("Name", name), ("Type", str(kind)), ("Usage", str(usage))):
            ET.SubElement(field, tag).text = value
    for i, code in enumerate(sorted(titles)):
        row = ET.SubElement(rat, "Row", index=str(i))
        for entry in (code, int(counts[code]), titles[code], *table[code]):
            ET.SubElement(row, "F").text = str(entry)
    ET.indent(root)
    ET.ElementTree(root).write(sidecar, encoding="utf-8")
