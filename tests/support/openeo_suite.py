"""A plugin by which openEO's own test suite runs its examples of processes through our engine.

The suite chooses among runners that it has itself; with this plugin, `EngineRunner` stands in the place of
the one named `dask` (docs/openeo-suite.md):

    pytest -p tests.support.openeo_suite --runner dask src/openeo_test_suite/tests/processes/processing
"""

from __future__ import annotations

import sys
from types import ModuleType

from tests.support.process_runner import EngineRunner

_module = ModuleType("openeo_test_suite.lib.process_runner.dask")
_module.__dict__["Dask"] = EngineRunner
sys.modules[_module.__name__] = _module
