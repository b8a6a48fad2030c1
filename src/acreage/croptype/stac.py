"""STAC 1.1 item and collection of a map product (projection, raster, classification, processing, file)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import shapely
from numpy.typing import NDArray

from acreage.core.grid import Box, transformer
from acreage.core.legend import OUTSIDE, RESERVED, Legend
from acreage.core.provenance import InputItem, Provenance

EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
SHA256_MULTIHASH = "1220"  # multihash prefix: function 0x12 (SHA-256), length 0x20
COLLECTION_ID = "crop-types"
# What failed or is in quarantine is named in provenance.json; the item counts it.
_INPUT_COUNTS = ("inspected", "tolerance", "collections")

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class RasterFacts:
    """Number of pixels of every value 0..255, four arrays of shape (256,) int64."""

    classes: Counts
    confidence: Counts
    s2_observations: Counts
    s1_observations: Counts


def write_stac(
    folder: Path, box: Box, facts: RasterFacts, *, legend: Legend, provenance: Provenance, area_name: str
) -> None:
    """Write `item.json` and `collection.json` into a folder that already holds the product's other files."""
    item = build_item(folder, box, facts, legend=legend, provenance=provenance, area_name=area_name)
    collection = build_collection(item, legend, provenance)
    collection.set_self_href(str(folder / "collection.json"))
    item.set_self_href(str(folder / "item.json"))
    collection.set_root(collection)
    collection.add_link(pystac.Link("item", item, media_type="application/geo+json"))
    item.set_collection(collection)
    item.set_parent(collection)
    item.set_root(collection)
    collection.save_object(include_self_link=False)
    item.save_object(include_self_link=False)


def build_item(
    folder: Path, box: Box, facts: RasterFacts, *, legend: Legend, provenance: Provenance, area_name: str
) -> pystac.Item:
    """The product's item, with checksums of the files in `folder` and a link to every input item."""
    outline = footprint(box)
    start = datetime.combine(provenance.season.first, time(0, 0, 0), UTC)
    end = datetime.combine(provenance.season.last, time(23, 59, 59), UTC)
    properties = {
        "title": f"Crop types, {area_name}, {provenance.season}",
        "created": provenance.created_text,
        "proj:code": box.grid.crs if box.grid.crs.startswith("EPSG:") else None,
        "proj:shape": list(box.shape),
        "proj:transform": [float(v) for v in tuple(box.affine)[:6]],
        "proj:bbox": list(box.bounds),
        **_processing(provenance),
        "processing:expression": {"format": "openeo", "expression": dict(provenance.process_graph)},
        "processing:datetime": provenance.created_text,
        "acreage:season": str(provenance.season),
        "acreage:model": {"id": provenance.model_id, "sha256": provenance.model_sha256},
        "acreage:usage": dict(provenance.usage),
        "acreage:preprocessing": dict(provenance.preprocessing),
        "acreage:inputs": {k: v for k, v in provenance.inputs.items() if k in _INPUT_COUNTS},
    }
    if properties["proj:code"] is None:
        properties["proj:wkt2"] = box.grid.crs
    item = pystac.Item(
        id=area_name,
        geometry=shapely.geometry.mapping(outline),
        bbox=[round(v, 7) for v in outline.bounds],
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        properties=properties,
        stac_extensions=list(EXTENSIONS),
    )
    for name, asset in _assets(facts, legend, box.grid.res_x).items():
        asset.extra_fields |= _file_fields(folder / asset.href.removeprefix("./"))
        item.add_asset(name, asset)
    item.add_links(_derived_from(provenance.items))
    return item


def build_collection(item: pystac.Item, legend: Legend, provenance: Provenance) -> pystac.Collection:
    """A collection for this item alone; publishing gathers items of many areas into one collection."""
    assert item.bbox is not None
    season = [datetime.fromisoformat(str(item.properties[k])) for k in ("start_datetime", "end_datetime")]
    collection = pystac.Collection(
        id=COLLECTION_ID,
        title="Crop types",
        description=(
            f"Crop types at pixel level with confidence and observation counts, legend {legend.name!r}. "
            f"{provenance.note}"
        ).strip(),
        extent=pystac.Extent(
            pystac.SpatialExtent([list(item.bbox)]), pystac.TemporalExtent([[season[0], season[1]]])
        ),
        license="other",
        catalog_type=pystac.CatalogType.SELF_CONTAINED,
        stac_extensions=list(EXTENSIONS[2:4]),
        providers=[
            pystac.Provider(
                name="Acreage",
                roles=[pystac.ProviderRole.PROCESSOR],
                extra_fields=_processing(provenance),
            )
        ],
        keywords=["crop type", "Sentinel-1", "Sentinel-2", "openEO"],
    )
    collection.summaries.add("classification:classes", class_objects(legend))
    collection.summaries.add("proj:code", [item.properties["proj:code"]])
    return collection


def footprint(box: Box) -> shapely.Polygon:
    """Outline of a box in WGS 84 longitude and latitude, 20 points an edge, counter-clockwise."""
    ring = shapely.segmentize(shapely.box(*box.bounds).exterior, max(box.width * box.grid.res_x, 1e-9) / 20)
    x, y = shapely.get_coordinates(ring).T
    points = np.stack(transformer(box.grid.crs, "EPSG:4326").transform(x, y), axis=1)
    return shapely.orient_polygons(shapely.Polygon(np.round(points, 7)))


def class_objects(legend: Legend, counts: Counts | None = None) -> list[dict[str, Any]]:
    """Class objects of the classification extension, by code; with the number of pixels where known."""
    rows = [(r.code, r.name, r.title, r.colour) for r in RESERVED]
    rows += [(c.code, c.name, c.title, c.colour) for c in legend.classes]
    return [
        {
            "value": code,
            "name": name,
            "title": title,
            "color_hint": colour.removeprefix("#").upper(),
            **({"nodata": True} if code == OUTSIDE else {}),
            **({} if counts is None else {"count": int(counts[code])}),
        }
        for code, name, title, colour in sorted(rows)
    ]


def _processing(provenance: Provenance) -> dict[str, Any]:
    model = f"model {provenance.model_id} (SHA-256 {provenance.model_sha256})"
    lineage = f"Classified pixel time series of {provenance.season} with {model}. {provenance.note}".strip()
    return {
        "processing:level": "L4",
        "processing:lineage": lineage,
        "processing:software": dict(provenance.software),
    }


def _assets(facts: RasterFacts, legend: Legend, resolution: float) -> dict[str, pystac.Asset]:
    def band(name: str, description: str, counts: Counts, nodata: int, unit: str | None) -> dict[str, Any]:
        out = {"name": name, "description": description, "data_type": "uint8", "nodata": nodata}
        if unit is not None:
            out |= {"unit": unit}
        if stats := _statistics(counts, nodata, values=unit is not None):
            out["statistics"] = stats
        return out | {"raster:sampling": "area", "raster:spatial_resolution": resolution}

    classes = {
        "bands": [band("class", "Class code", facts.classes, OUTSIDE, None)],
        "classification:classes": class_objects(legend, facts.classes),
    }
    confidence = {
        "bands": [
            band(
                "confidence",
                "100 times the probability of the class; 255: no class",
                facts.confidence,
                255,
                "%",
            )
        ]
    }
    text = "Valid {} observations in the season; 254: 254 or more; 255: outside, or not cropland"
    observations = {
        "bands": [
            band("s2_observations", text.format("Sentinel-2"), facts.s2_observations, 255, "1"),
            band("s1_observations", text.format("Sentinel-1"), facts.s1_observations, 255, "1"),
        ]
    }
    rasters = {
        "classes": ("Classes (overviews: mode)", classes),
        "confidence": ("Confidence (overviews: average)", confidence),
        "observations": ("Observation counts (overviews: average)", observations),
    }
    assets = {
        name: pystac.Asset(f"./{name}.tif", title, media_type=COG, roles=["data"], extra_fields=fields)
        for name, (title, fields) in rasters.items()
    }
    assets["provenance"] = pystac.Asset(
        "./provenance.json",
        "Process graph, model, input items",
        media_type="application/json",
        roles=["metadata"],
    )
    assets["inputs"] = pystac.Asset(
        "./inputs.json",
        "What became of every expected input",
        media_type="application/json",
        roles=["metadata"],
    )
    assets["names"] = pystac.Asset(
        "./classes.tif.aux.xml", "Class names for GDAL", media_type="application/xml", roles=["metadata"]
    )
    assets["quicklook"] = pystac.Asset(
        "./quicklook.png", "Picture", media_type="image/png", roles=["overview"]
    )
    return assets


def _statistics(counts: Counts, nodata: int, *, values: bool) -> dict[str, float]:
    """Exact statistics out of a histogram; codes have no mean."""
    total = int(counts.sum())
    valid = counts.copy()
    valid[nodata] = 0
    n = int(valid.sum())
    out: dict[str, float] = {"valid_percent": round(100.0 * n / total, 4) if total else 0.0}
    if values and n:
        level = np.arange(256)
        present = np.flatnonzero(valid)
        mean = float((valid * level).sum() / n)
        out |= {
            "minimum": int(present[0]),
            "maximum": int(present[-1]),
            "mean": round(mean, 4),
            "stddev": round(float(np.sqrt((valid * (level - mean) ** 2).sum() / n)), 4),
        }
    return out


def _file_fields(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file:size": path.stat().st_size, "file:checksum": SHA256_MULTIHASH + digest}


def _derived_from(items: Iterable[InputItem]) -> list[pystac.Link]:
    return [
        pystac.Link(
            "derived_from",
            Path(item.href).as_uri() if Path(item.href).is_absolute() else item.href,
            media_type="application/geo+json",
            title=f"{item.collection}/{item.id}",
        )
        for item in items
    ]
