"""What bands are called besides their names: common names and wavelengths.

A source says so in the cube's attributes, `band:<name>:common_name` and `band:<name>:center_wavelength`
(micrometres). Where it says nothing of a band, the names of Sentinel-2's bands are known.
"""

from __future__ import annotations

from collections.abc import Mapping

from acreage.core.cube import Attribute, CubeMeta, Dimension
from acreage.core.errors import DimensionAmbiguous, DimensionMissing

# Common names: STAC electro-optical extension 1.1. Central wavelengths: ESA's description of Sentinel-2 MSI.
_SENTINEL2: Mapping[str, tuple[str, float]] = {
    "B01": ("coastal", 0.443),
    "B02": ("blue", 0.490),
    "B03": ("green", 0.560),
    "B04": ("red", 0.665),
    "B05": ("rededge071", 0.704),
    "B06": ("rededge075", 0.740),
    "B07": ("rededge078", 0.783),
    "B08": ("nir", 0.842),
    "B8A": ("nir08", 0.865),
    "B09": ("nir09", 0.945),
    "B10": ("cirrus", 1.375),
    "B11": ("swir16", 1.610),
    "B12": ("swir22", 2.190),
}


def bands_dimension(meta: CubeMeta, *, exactly_one: bool = False) -> Dimension:
    """The dimension of type bands.

    Raises:
        DimensionMissing: there is none (DimensionAmbiguous with `exactly_one`).
        DimensionAmbiguous: there are several.
    """
    found = [d for d in meta.dims if d.type == "bands"]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(f"{d.name} ({d.type})" for d in meta.dims) or "none"
    kind = DimensionAmbiguous if found or exactly_one else DimensionMissing
    number = "several dimensions" if found else "no dimension"
    raise kind(
        f"The data cube has {number} of type bands; its dimensions are {shown}.",
        hint="Add one with add_dimension(type='bands')." if not found else "Drop all but one of them.",
    )


def common_name(meta: CubeMeta, band: str) -> str | None:
    """The common name of a band, or None."""
    said = meta.attribute(f"band:{band}:common_name")
    if said is not None:
        return str(said)
    return _SENTINEL2[band][0] if band in _SENTINEL2 else None


def wavelength(meta: CubeMeta, band: str) -> float | None:
    """The central wavelength of a band in micrometres, or None."""
    said = meta.attribute(f"band:{band}:center_wavelength")
    if said is not None:
        return float(said)
    return _SENTINEL2[band][1] if band in _SENTINEL2 else None


def named(meta: CubeMeta, dim: Dimension, name: str) -> list[str]:
    """The bands that a name means: the one so named, else all of this common name, in the cube's order."""
    bands = [str(label) for label in dim.labels]
    if name in bands:
        return [name]
    return [b for b in bands if common_name(meta, b) == name]


def renamed_attributes(meta: CubeMeta, renames: Mapping[str, str]) -> CubeMeta:
    """The metadata with the attributes of bands moved to their new names.

    What is known of a band by its old name alone is written down, for its new name would not tell.
    """
    changes: dict[str, Attribute | None] = {}
    for old in renames:
        prefix = f"band:{old}:"
        changes.update({k: None for k, _ in meta.attributes if k.startswith(prefix)})
    for old, new in renames.items():
        prefix = f"band:{old}:"
        changes.update(
            {f"band:{new}:{k.removeprefix(prefix)}": v for k, v in meta.attributes if k.startswith(prefix)}
        )
        known, length = common_name(meta, old), wavelength(meta, old)
        if known is not None:
            changes[f"band:{new}:common_name"] = known
        if length is not None:
            changes[f"band:{new}:center_wavelength"] = length
    return meta.with_attributes(changes)
