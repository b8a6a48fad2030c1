"""Sentinel-2 as Planetary Computer publishes it.

COGs in the layout of the product's folder; digital numbers keep the offset of their baseline, which only
`s2:processing_baseline` and the product's metadata tell.
"""

from __future__ import annotations

from pathlib import Path

from acreage.simulate.lattice import coarser
from acreage.simulate.publish import stac
from acreage.simulate.publish.products import (
    BANDS,
    BANDS_20M,
    SCL_CLASSES,
    OpticalPixels,
    OpticalProduct,
    Published,
    compact,
    stamp,
)
from acreage.simulate.publish.rasters import write_cog
from acreage.simulate.publish.safe import image_path, metadata_path, write_metadata
from acreage.simulate.sun import sun_position

COLLECTION = "sentinel-2-l2a"
EXTENSIONS = ("eo/v1.0.0", "sat/v1.0.0", "projection/v1.0.0")
# band: description, common name, centre and width in micrometres; as in the catalog.
_BANDS = {
    "B02": ("Blue", "blue", 0.49, 0.098),
    "B03": ("Green", "green", 0.56, 0.045),
    "B04": ("Red", "red", 0.665, 0.038),
    "B05": ("Vegetation red edge 1", "rededge", 0.704, 0.019),
    "B06": ("Vegetation red edge 2", "rededge", 0.74, 0.018),
    "B07": ("Vegetation red edge 3", "rededge", 0.783, 0.028),
    "B08": ("NIR", "nir", 0.842, 0.145),
    "B8A": ("Vegetation red edge 4", "rededge", 0.865, 0.033),
    "B11": ("SWIR (1.6)", "swir16", 1.61, 0.143),
    "B12": ("SWIR (2.2)", "swir22", 2.19, 0.242),
}


def publish_optical(folder: Path, product: OpticalProduct, pixels: OpticalPixels) -> Published:
    """Write a granule's files below `folder` (the archive's) and return its item."""
    p = product.processing
    name = (
        f"{product.seen.letters}_MSIL2A_{compact(product.sensed)}_R{product.seen.relative_orbit:03d}"
        f"_T{product.granule.tile}_{compact(p.generated)}"
    )
    home = folder / COLLECTION / name
    assets: dict[str, stac.Json] = {}
    for band in BANDS:
        path = image_path(product, band, "tif")
        box = coarser(product.box, 2) if band in BANDS_20M else product.box
        write_cog(home / path, pixels.digital_numbers(band, p.offset), box, 0)
        assets[band] = _asset(band, f"./{path}", product)
    path, half = image_path(product, "SCL", "tif"), coarser(product.box, 2)
    write_cog(home / path, pixels.scl, half, 0, codes=True)
    assets["SCL"] = {
        "href": f"./{path}",
        "type": stac.COG,
        "title": "Scene classfication map (SCL)",
        "gsd": 20.0,
        "proj:bbox": list(half.bounds),
        **stac.grid_fields(half),
        "roles": ["data"],
    }
    write_metadata(home / metadata_path(product), product)
    assets["product-metadata"] = {
        "href": f"./{metadata_path(product)}",
        "type": stac.XML,
        "title": "Product metadata",
        "roles": ["metadata"],
    }
    return stac.item(COLLECTION, name, product.footprint, _properties(product), assets, EXTENSIONS)


def _asset(band: str, href: str, product: OpticalProduct) -> stac.Json:
    description, common, centre, width = _BANDS[band]
    metres = 20 if band in BANDS_20M else 10
    box = coarser(product.box, 2) if metres == 20 else product.box
    number = band.removeprefix("B").lstrip("0")
    return {
        "href": href,
        "type": stac.COG,
        "title": f"Band {number} - {description} - {metres}m",
        "gsd": metres,
        "eo:bands": [
            {
                "name": band,
                "common_name": common,
                "description": f"Band {number} - {description}",
                "center_wavelength": centre,
                "full_width_half_max": width,
            }
        ],
        "proj:bbox": list(box.bounds),
        **stac.grid_fields(box),
        "roles": ["data"],
    }


def _properties(product: OpticalProduct) -> stac.Json:
    p, tile = product.processing, product.granule
    middle = product.footprint.centroid
    azimuth, elevation = sun_position(product.moment, middle.x, middle.y)
    return {
        "datetime": stamp(product.sensed),
        "platform": product.satellite,
        "proj:epsg": int(tile.crs.removeprefix("EPSG:")),
        "instruments": ["msi"],
        "s2:mgrs_tile": tile.tile,
        "constellation": "Sentinel 2",
        "s2:granule_id": product.granule_id,
        "eo:cloud_cover": product.cloud_cover,
        "s2:datatake_id": product.datatake,
        "s2:product_uri": f"{product.safe}.SAFE",
        "s2:datastrip_id": product.datastrip,
        "s2:product_type": "S2MSI2A",
        "sat:orbit_state": product.seen.direction,
        "s2:datatake_type": "INS-NOBS",
        "s2:generation_time": stamp(p.generated, 3),
        "sat:relative_orbit": product.seen.relative_orbit,
        "s2:mean_solar_zenith": 90.0 - elevation,
        "s2:mean_solar_azimuth": azimuth,
        "s2:processing_baseline": p.baseline,
        "s2:nodata_pixel_percentage": product.percentages.get(0, 0.0),
        **{f"s2:{text}_percentage": product.percentages.get(c, 0.0) for c, text in SCL_CLASSES.items()},
    }
