"""Sentinel-2 as Earth Search v1 publishes it.

Its pixels have lost the offset of baseline 04.00, and `earthsearch:boa_offset_applied` says so, while
`raster:bands` still states it; of some items the offset was not removed.
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
    stamp,
)
from acreage.simulate.publish.rasters import write_cog
from acreage.simulate.sun import sun_position

COLLECTION = "sentinel-2-l2a"
EXTENSIONS = (
    "grid/v1.0.0",
    "mgrs/v1.0.0",
    "projection/v1.1.0",
    "view/v1.0.0",
    "raster/v1.1.0",
    "processing/v1.1.0",
    "eo/v1.1.0",
)
# band: asset key, title, common name, description, centre and width in micrometres; as in the catalog.
ASSETS = {
    "B02": ("blue", "Blue (band 2) - 10m", "blue", "Blue (band 2)", 0.49, 0.098),
    "B03": ("green", "Green (band 3) - 10m", "green", "Green (band 3)", 0.56, 0.045),
    "B04": ("red", "Red (band 4) - 10m", "red", "Red (band 4)", 0.665, 0.038),
    "B05": ("rededge1", "Red edge 1 (band 5) - 20m", "rededge", "Red edge 1 (band 5)", 0.704, 0.019),
    "B06": ("rededge2", "Red edge 2 (band 6) - 20m", "rededge", "Red edge 2 (band 6)", 0.74, 0.018),
    "B07": ("rededge3", "Red edge 3 (band 7) - 20m", "rededge", "Red edge 3 (band 7)", 0.783, 0.028),
    "B08": ("nir", "NIR 1 (band 8) - 10m", "nir", "NIR 1 (band 8)", 0.842, 0.145),
    "B8A": ("nir08", "NIR 2 (band 8A) - 20m", "nir08", "NIR 2 (band 8A)", 0.865, 0.033),
    "B11": ("swir16", "SWIR 1 (band 11) - 20m", "swir16", "SWIR 1 (band 11)", 1.61, 0.143),
    "B12": ("swir22", "SWIR 2 (band 12) - 20m", "swir22", "SWIR 2 (band 12)", 2.19, 0.242),
}


def publish_optical(folder: Path, product: OpticalProduct, pixels: OpticalPixels) -> Published:
    """Write a granule's files below `folder` (the archive's) and return its item."""
    sensed, p = product.moment, product.processing
    tile = product.granule
    name = f"{product.seen.letters}_{tile.tile}_{sensed:%Y%m%d}_{p.sequence}_L2A"
    home = folder / COLLECTION / name
    added = p.offset if product.offset_kept else 0
    assets: dict[str, stac.Json] = {}
    for band in BANDS:
        box = coarser(product.box, 2) if band in BANDS_20M else product.box
        write_cog(home / f"{band}.tif", pixels.digital_numbers(band, added), box, 0)
        assets[ASSETS[band][0]] = _asset(band, product)
    scl_box = coarser(product.box, 2)
    write_cog(home / "SCL.tif", pixels.scl, scl_box, 0, codes=True)
    assets["scl"] = {
        "href": "./SCL.tif",
        "type": stac.COG,
        "title": "Scene classification map (SCL)",
        **stac.grid_fields(scl_box),
        "raster:bands": [{"nodata": 0, "data_type": "uint8", "spatial_resolution": 20}],
        "roles": ["data", "reflectance"],
    }
    return stac.item(COLLECTION, name, product.footprint, _properties(product), assets, EXTENSIONS)


def _asset(band: str, product: OpticalProduct) -> stac.Json:
    key, title, common, description, centre, width = ASSETS[band]
    gsd = 20 if band in BANDS_20M else 10
    box = coarser(product.box, 2) if gsd == 20 else product.box
    return {
        "href": f"./{band}.tif",
        "type": stac.COG,
        "title": title,
        "eo:bands": [
            {
                "name": key,
                "common_name": common,
                "description": description,
                "center_wavelength": centre,
                "full_width_half_max": width,
            }
        ],
        "gsd": gsd,
        **stac.grid_fields(box),
        "raster:bands": [
            {
                "nodata": 0,
                "data_type": "uint16",
                "bits_per_sample": 15,
                "spatial_resolution": gsd,
                "scale": 0.0001,
                "offset": -0.1 if product.processing.has_offset else 0,
            }
        ],
        "roles": ["data", "reflectance"],
    }


def _properties(product: OpticalProduct) -> stac.Json:
    p, tile = product.processing, product.granule
    middle = product.footprint.centroid
    azimuth, elevation = sun_position(product.moment, middle.x, middle.y)
    created = stamp(p.generated, 3)
    return {
        "created": created,
        "platform": product.seen.satellite,
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": product.cloud_cover,
        "proj:epsg": int(tile.crs.removeprefix("EPSG:")),
        "mgrs:utm_zone": tile.zone,
        "mgrs:latitude_band": tile.band,
        "mgrs:grid_square": tile.square,
        "grid:code": f"MGRS-{tile.tile}",
        "view:sun_azimuth": azimuth,
        "view:sun_elevation": elevation,
        "s2:nodata_pixel_percentage": product.percentages.get(0, 0.0),
        **{f"s2:{text}_percentage": product.percentages.get(c, 0.0) for c, text in SCL_CLASSES.items()},
        "s2:product_type": "S2MSI2A",
        "s2:processing_baseline": p.baseline,
        "s2:product_uri": f"{product.safe}.SAFE",
        "s2:generation_time": stamp(p.generated),
        "s2:datatake_id": product.datatake,
        "s2:datatake_type": "INS-NOBS",
        "s2:datastrip_id": product.datastrip,
        "s2:granule_id": product.granule_id,
        "datetime": stamp(product.moment),
        "s2:sequence": str(p.sequence),
        "earthsearch:boa_offset_applied": p.has_offset and not product.offset_kept,
        "updated": created,
    }
