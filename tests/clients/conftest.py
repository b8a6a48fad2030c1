"""The crop type graph over a small simulated archive, a server on it, and what the embedded engine makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.croptype_samples import BANDS, QUICK, make_samples
from tests.support.oidc_server import Served, running_server
from tests.support.simulated import archive_of
from typer.testing import CliRunner

from acreage.cli.croptype_area import parse_area
from acreage.cli.demo import demo_settings
from acreage.cli.main import app
from acreage.core.legend import Legend, LegendClass
from acreage.croptype.mapping import MapJob, map_graph
from acreage.croptype.modelfile import save_model
from acreage.croptype.training import train
from acreage.croptype.workflow import CubeSettings
from acreage.simulate.settings import ArchiveSettings

S2_BANDS = tuple(b for b in BANDS if b.startswith("B"))
SETTINGS = CubeSettings(s2_bands=S2_BANDS, buffer=150.0)
USER = "carla"
# A trained model is no matter here: two crops are told apart by a made-up rule.
LEGEND = Legend(
    "test",
    (
        LegendClass(1, "wheat", "Wheat", "#e0c040", (40,), ("wheat",)),
        LegendClass(2, "maize", "Maize", "#c08020", (40,), ("maize",)),
    ),
)


def small_archive() -> ArchiveSettings:
    """Half a kilometre of the demo's archive, over its boundary of UTM zones, with few of its passes."""
    demo = demo_settings(1)
    west, south, east, north = demo.area
    x, y = (west + east) / 2 // 20 * 20, (south + north) / 2 // 20 * 20
    return replace(
        demo,
        area=(x - 320, y - 320, x + 320, y + 320),
        margin_m=200.0,
        s2_every=8,
        s2_orbits=1,
        s1_every=6,
        s1_directions=("ascending",),
        reprocessed_every=0,
    )


@dataclass(frozen=True)
class CropTypes:
    """A map that is to be made.

    Attributes:
        graph: process with its graph, as the application builds it.
        graph_file: the same as a file.
        embedded: what the embedded engine makes of it.
    """

    graph: dict[str, Any]
    graph_file: Path
    embedded: Path


@pytest.fixture(scope="session")
def catalog() -> Path:
    """The archive's catalog file."""
    return archive_of(small_archive()).catalog


@pytest.fixture(scope="session")
def crop_types(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> CropTypes:
    """The graph of a map of 64 by 64 pixels, and the map by `acreage execute`."""
    folder = tmp_path_factory.mktemp("embedded")
    model, graph_file, out = folder / "model.pt", folder / "graph.json", folder / "map.tif"
    save_model(train(make_samples(), LEGEND, (40,), QUICK), model)
    settings = small_archive()
    area, name = parse_area(f"EPSG:3035:{','.join(map(repr, settings.area))}", SETTINGS)
    graph, _, _ = map_graph(MapJob(area, name, settings.season, model, SETTINGS))
    graph_file.write_text(json.dumps(graph), "utf-8")
    command = ["execute", str(graph_file), "--catalog", str(catalog), "--out", str(out), "--threads", "1"]
    result = CliRunner().invoke(app, command, env={"TERM": "dumb"})
    assert result.exit_code == 0, result.output
    return CropTypes(graph, graph_file, out)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, catalog: Path) -> Iterator[Served]:
    """`acreage serve` in a process of its own, with one account."""
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder, catalog, users=[USER], ACREAGE_THREADS="1") as running:
        yield running
