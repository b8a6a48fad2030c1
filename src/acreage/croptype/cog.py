"""Cloud Optimized GeoTIFFs of codes and counts, with names and colours that GDAL's readers understand."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray
from rio_cogeo.cogeo import cog_translate

from acreage.core.legend import NO_OBSERVATION, RESERVED, Legend


def translate(plain: Path, cog: Path, overviews: Literal["mode", "average"], legend: Legend | None) -> None:
    """Turn a plain GeoTIFF into a COG with overviews down to one block, and remove the plain one.

    `overviews`: resampling of the overviews, `mode` or `average`; nodata takes no part in it. A colour table is kept.
    With a `legend` the COG gets a tag `CLASS_<code>` for every code, with its title.
    """
    tags: dict[str, str] = {"OVERVIEW_RESAMPLING": overviews.upper()}
    if legend is not None:
        tags |= {f"CLASS_{r.code}": r.title for r in RESERVED}
        tags |= {f"CLASS_{c.code}": c.title for c in legend.classes}
    cog_translate(
        plain,
        cog,
        {
            "driver": "GTiff",
            "interleave": "pixel",
            "tiled": True,
            "blockxsize": 512,
            "blockysize": 512,
            "compress": "DEFLATE",
        },
        overview_resampling=overviews,
        in_memory=False,
        forward_band_tags=True,
        quiet=True,
        additional_cog_metadata=tags,
    )
    plain.unlink()


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
