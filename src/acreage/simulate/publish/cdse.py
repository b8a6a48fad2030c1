"""Sentinel-2 as the Copernicus Data Space publishes it: lossless JPEG 2000 in the product's own folder.

Digital numbers keep the offset of their baseline; `raster:offset` of each asset states it.
"""

from __future__ import annotations

from pathlib import Path

from acreage.core.grid import Box
from acreage.simulate.lattice import coarser
from acreage.simulate.publish import stac
from acreage.simulate.publish.products import (
    BANDS,
    BANDS_20M,
    OpticalPixels,
    OpticalProduct,
    Published,
    stamp,
)
from acreage.simulate.publish.rasters import write_jp2
from acreage.simulate.publish.safe import image_path, metadata_path, write_metadata
from acreage.simulate.sun import sun_position

COLLECTION = "sentinel-2-l2a"
EXTENSIONS = (
    "eo/v2.0.0",
    "raster/v2.0.0",
    "sat/v1.0.0",
    "projection/v2.0.0",
    "grid/v1.1.0",
    "view/v1.0.0",
    "processing/v1.2.0",
    "classification/v2.0.0",
    "product/v0.1.0",
)
# band: title, common name, centre and width in micrometres; as in the catalog.
_BANDS = {
    "B02": ("Blue (band 2)", "blue", 0.492, 0.267),
    "B03": ("Green (band 3)", "green", 0.559, 0.291),
    "B04": ("Red (band 4)", "red", 0.665, 0.342),
    "B05": ("Red edge 1 (band 5)", "rededge071", 0.704, 0.357),
    "B06": ("Red edge 2 (band 6)", "rededge075", 0.739, 0.374),
    "B07": ("Red edge 3 (band 7)", "rededge078", 0.78, 0.399),
    "B08": ("NIR 1 (band 8)", "nir", 0.833, 0.454),
    "B8A": ("NIR 2 (band 8A)", "nir08", 0.864, 0.441),
    "B11": ("SWIR 1 (band 11)", "swir16", 1.61, 0.853),
    "B12": ("SWIR 2 (band 12)", "swir22", 2.186, 1.143),
}
_CLASSES = (
    "no_data",
    "saturated_or_defective",
    "dark_area_pixels",
    "cloud_shadows",
    "vegetation",
    "not_vegetated",
    "water",
    "unclassified",
    "cloud_medium_probability",
    "cloud_high_probability",
    "thin_cirrus",
    "snow",
)
_STATISTICS = {
    0: "nodata",
    1: "saturated_defective",
    2: "dark_area",
    3: "cloud_shadow",
    4: "vegetation",
    5: "not_vegetated",
    6: "water",
    7: "unclassified",
    8: "medium_proba_clouds",
    9: "high_proba_clouds",
    10: "thin_cirrus",
}


def publish_optical(folder: Path, product: OpticalProduct, pixels: OpticalPixels) -> Published:
    """Write a granule's files below `folder` (the archive's) and return its item."""
    home = folder / COLLECTION / product.safe
    assets: dict[str, stac.Json] = {}
    for band in BANDS:
        metres = 20 if band in BANDS_20M else 10
        path, box = image_path(product, band, "jp2"), _box(product, metres)
        write_jp2(home / path, pixels.digital_numbers(band, product.processing.offset), box)
        assets[f"{band}_{metres}m"] = _asset(band, f"./{path}", product)
    path = image_path(product, "SCL", "jp2")
    write_jp2(home / path, pixels.scl, _box(product, 20))
    assets["SCL_20m"] = _scl(f"./{path}", product)
    write_metadata(home / metadata_path(product), product)
    assets["product_metadata"] = {
        "href": f"./{metadata_path(product)}",
        "type": stac.XML,
        "roles": ["metadata"],
        "title": "MTD_MSIL2A.xml",
    }
    properties = _properties(product)
    return stac.item(
        COLLECTION, product.safe, product.footprint, properties, assets, EXTENSIONS, version="1.1.0"
    )


def _box(product: OpticalProduct, metres: int) -> Box:
    return coarser(product.box, 2) if metres == 20 else product.box


def _grid(box: Box) -> stac.Json:
    return {"proj:bbox": list(box.bounds), "proj:code": box.grid.crs, **stac.grid_fields(box)}


def _asset(band: str, href: str, product: OpticalProduct) -> stac.Json:
    title, common, centre, width = _BANDS[band]
    metres = 20 if band in BANDS_20M else 10
    return {
        "href": href,
        "bands": [
            {
                "eo:center_wavelength": centre,
                "eo:full_width_half_max": width,
                "name": band,
                "eo:common_name": common,
            }
        ],
        **_grid(_box(product, metres)),
        "gsd": metres,
        "type": stac.JP2,
        "roles": ["data", "reflectance", "sampling:original", f"gsd:{metres}m"],
        "title": f"{title} - {metres}m",
        "nodata": 0,
        "data_type": "uint16",
        "raster:scale": 0.0001,
        "raster:offset": -0.1 if product.processing.has_offset else 0,
    }


def _scl(href: str, product: OpticalProduct) -> stac.Json:
    classes = [
        {
            "name": name,
            "value": value,
            "percentage": product.percentages.get(value, 0.0),
            **({"nodata": True} if value == 0 else {}),
        }
        for value, name in enumerate(_CLASSES)
    ]
    return {
        "href": href,
        **_grid(_box(product, 20)),
        "classification:classes": classes,
        "gsd": 20,
        "type": stac.JP2,
        "roles": ["data", "sampling:original", "gsd:20m"],
        "title": "Scene classification map (SCL) - 20m",
        "nodata": 0,
        "data_type": "uint8",
    }


def _properties(product: OpticalProduct) -> stac.Json:
    p, tile = product.processing, product.granule
    middle = product.footprint.centroid
    azimuth, elevation = sun_position(product.moment, middle.x, middle.y)
    sensed = stamp(product.sensed, 3)
    return {
        "gsd": 10,
        "created": stamp(p.generated),
        "updated": stamp(p.generated),
        "datetime": sensed,
        "platform": product.seen.satellite,
        "grid:code": f"MGRS-{tile.tile}",
        "published": stamp(p.generated),
        "statistics": {name: product.percentages.get(c, 0.0) for c, name in _STATISTICS.items()},
        "instruments": ["msi"],
        "end_datetime": sensed,
        "product:type": "S2MSI2A",
        "constellation": "sentinel-2",
        "eo:snow_cover": product.percentages.get(11, 0.0),
        "eo:cloud_cover": round(product.cloud_cover, 2),
        "start_datetime": sensed,
        "sat:orbit_state": product.seen.direction,
        "eopf:datatake_id": product.datatake,
        "processing:level": "L2",
        "view:sun_azimuth": azimuth,
        "eopf:datastrip_id": product.datastrip,
        "processing:version": p.baseline,
        "sat:absolute_orbit": product.seen.absolute_orbit,
        "sat:relative_orbit": product.seen.relative_orbit,
        "view:sun_elevation": elevation,
        "processing:datetime": stamp(p.generated),
        "processing:facility": "ESA",
        "eopf:instrument_mode": "INS-NOBS",
    }
