"""Results of finished jobs are loaded again by load_stac, where the service says they lie."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.user_files import loaded
from tests.support.written import raster_meta, write

from acreage.core.cube import Cube, Dimension
from acreage.core.errors import AcreageError, NoDataAvailable
from acreage.core.temporal import parse_instant
from acreage.engine.user_files import FolderWorkspace, UserFiles

pytestmark = pytest.mark.usefixtures("kept_helper")

ADDRESS = "https://openeo.example/jobs/j-1/results"


@dataclass(frozen=True)
class Jobs(FolderWorkspace):
    """A workspace whose user has one finished job."""

    document: Path = Path()

    def result(self, address: str) -> Path | None:
        return self.document if address in (ADDRESS, "j-1") else None


def finished(folder: Path) -> tuple[Cube, Path]:
    """A cube of one date and two bands, and the STAC item of its file."""
    meta = raster_meta("i2", times=0, rows=20, columns=30)
    values = np.arange(meta.size, dtype=np.int16).reshape(meta.shape)
    cube = Cube.of(values, values % 7 > 0, meta)
    (path,) = write(cube, "GTiff", folder)
    assert meta.box is not None
    bands = [{"name": name, "data_type": "int16"} for name in ("B04", "B8A")]
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": "j-1",
        "bbox": [5.0, 48.0, 7.0, 50.0],
        "geometry": None,
        "properties": {"datetime": "2019-03-01T00:00:00Z"},
        "links": [],
        "assets": {"out": {"href": f"./{path.name}", "roles": ["data"], "bands": bands}},
    }
    document = folder / "item.json"
    document.write_text(json.dumps(item))
    return cube, document


@pytest.mark.parametrize("address", [ADDRESS, "j-1"])
def test_a_finished_job_is_loaded_from_where_it_lies(tmp_path: Path, address: str) -> None:
    cube, document = finished(tmp_path)
    node = {"process_id": "load_stac", "arguments": {"url": address}, "result": True}
    found = loaded(UserFiles(Jobs(tmp_path, document)), {"load": node})
    assert found.meta.dim("t") == Dimension("t", "temporal", (parse_instant("2019-03-01"),))
    assert found.meta.box == cube.meta.box
    assert found.meta.dim("bands").labels == ("B04", "B8A")
    np.testing.assert_array_equal(found.values[0], cube.values)
    np.testing.assert_array_equal(found.validity()[0], cube.validity())


def test_geometries_are_an_extent_of_what_is_loaded(tmp_path: Path) -> None:
    _, document = finished(tmp_path)
    ring = [[1.0, 40.0], [1.5, 40.0], [1.5, 40.5], [1.0, 40.0]]
    arguments = {"url": ADDRESS, "spatial_extent": {"type": "Polygon", "coordinates": [ring]}}
    node = {"process_id": "load_stac", "arguments": arguments, "result": True}
    with pytest.raises(NoDataAvailable, match="outside of that area"):
        loaded(UserFiles(Jobs(tmp_path, document)), {"load": node})


def test_paths_of_the_machine_and_other_jobs_are_refused(tmp_path: Path) -> None:
    _, document = finished(tmp_path)
    for url in (str(document), "j-2", f"file://{document}"):
        node = {"process_id": "load_stac", "arguments": {"url": url}, "result": True}
        with pytest.raises(AcreageError, match="neither an address nor a job's results"):
            loaded(UserFiles(Jobs(tmp_path, document)), {"load": node})
