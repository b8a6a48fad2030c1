"""Publishing: products in the form of each catalog, with its names, its layout and its contradictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from acreage.simulate.publish import cdse, earth_search, planetary_computer
from acreage.simulate.publish.products import OpticalPixels, OpticalProduct, Published
from acreage.simulate.settings import Form

FORMS: Mapping[Form, Callable[[Path, OpticalProduct, OpticalPixels], Published]] = {
    "earth-search": earth_search.publish_optical,
    "planetary-computer": planetary_computer.publish_optical,
    "cdse": cdse.publish_optical,
}
