"""A small archive with overlapping granules, whose files tests break and mend; graphs over it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.engine_runs import MEMORY
from tests.support.tiny_archive import S2_ASSETS, Layer, TinyArchive, chain, extent, load, node

from acreage.catalog import open_catalog
from acreage.catalog.items import Catalog
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.plan import Plan
from acreage.engine.planner import make_plan
from acreage.engine.quarantine import NOTHING, QuarantineList

DAYS = ("2019-03-02", "2019-03-07", "2019-03-12")
MARCH = ["2019-03-01", "2019-04-01"]
AREA = extent(96, 64)
ITEMS = tuple(f"{side}{n}" for n in range(len(DAYS)) for side in ("west", "east"))
BANDS = ("B04", "B05", "SCL")
S2 = "SENTINEL2_L2A"


def layers(rng: np.random.Generator, west: float) -> dict[str, Layer]:
    """A granule of 64 x 64 pixels: reflectances as of fields, with holes that the classification has too."""
    hole = rng.random((32, 32)) < 0.1
    red = rng.integers(1200, 2400, (64, 64)).astype(np.uint16)
    red[np.kron(hole, np.ones((2, 2), bool))] = 0
    edge = rng.integers(2000, 4000, (32, 32)).astype(np.uint16)
    edge[hole] = 0
    scl = rng.choice([4, 5], (32, 32)).astype(np.uint8)
    scl[hole] = 0
    return {"B04": Layer(red, 10, west), "B05": Layer(edge, 20, west), "SCL": Layer(scl, 20, west)}


class Archive:
    """Two granules a date, west and east, which share 32 columns; files can be broken and mended."""

    def __init__(self, folder: Path, made: TinyArchive) -> None:
        self.folder, self.made, self.root = folder, made, made.write()
        self.whole = {path: path.read_bytes() for path in folder.rglob("*.tif")}

    def file(self, item: str, band: str) -> Path:
        return self.folder / "sentinel-2-l2a" / item / f"{S2_ASSETS[band]}.tif"

    def catalog(self, without: tuple[str, ...] = ()) -> Catalog:
        """The archive; without some items where asked, as if it had never listed them."""
        if not without:
            return open_catalog(self.root)
        listed = [i for i in self.made.items["sentinel-2-l2a"] if i["id"] not in without]
        return open_catalog(TinyArchive(self.folder, {"sentinel-2-l2a": listed}).write())

    def plan(
        self,
        graph: Mapping[str, Any],
        window: int = 32,
        threads: int = 1,
        quarantined: QuarantineList = NOTHING,
        without: tuple[str, ...] = (),
    ) -> Plan:
        budget = Budget(MEMORY, threads, window)
        return make_plan(parse_graph(graph), self.catalog(without), budget, None, quarantined)

    def mend(self) -> None:
        for path, content in self.whole.items():
            path.write_bytes(content)
        self.root = self.made.write()


def over_time(reducer: str = "mean") -> dict[str, Any]:
    inner = {"r": {**node(reducer, data={"from_parameter": "data"}), "result": True}}
    arguments = {"dimension": "t", "reducer": {"process_graph": inner}}
    return {"process_id": "reduce_dimension", "arguments": arguments}


def along_x() -> dict[str, Any]:
    """Needs whole rows: its input is completed first, in a stage of its own."""
    inner = {"c": {**node("cumsum", data={"from_parameter": "data"}), "result": True}}
    return {
        "process_id": "apply_dimension",
        "arguments": {"dimension": "x", "process": {"process_graph": inner}},
    }


GRAPH = chain(load(["B04", "B05", "SCL"], AREA, MARCH), over_time())
