"""A simulated ground and sky, and windows on them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from acreage.simulate.curves import Phenology, load_phenology
from acreage.simulate.ground import Ground
from acreage.simulate.scales import Scales, load_scales

Float = NDArray[np.float64]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def phenology() -> Phenology:
    return load_phenology()


@pytest.fixture(scope="session")
def scales() -> Scales:
    return load_scales()


@pytest.fixture(scope="session")
def ground(phenology: Phenology, scales: Scales) -> Ground:
    return Ground(7, phenology, scales)


def script(name: str) -> ModuleType:
    """A script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def places(x0: float, y0: float, columns: int, rows: int, step: float = 10.0) -> tuple[Float, Float]:
    """Centres of pixels, rows southward from the upper left corner (x0, y0), EPSG:3035."""
    x, y = np.meshgrid(x0 + step * (np.arange(columns) + 0.5), y0 - step * (np.arange(rows) + 0.5))
    return x, y
