"""Pictures of plans: SVG by Graphviz."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import graphviz
import pytest
from tests.support.tiny_archive import chain, extent, load, node

from acreage.catalog import open_catalog
from acreage.core.errors import InvalidInput, WriteFailed
from acreage.engine.budget import Budget
from acreage.engine.draw import draw_plan, to_dot
from acreage.engine.parser import parse_graph
from acreage.engine.plan import Plan
from acreage.engine.planner import make_plan

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def plan(archive: Path) -> Plan:
    odd = '<b> & "quoted" \\n'
    graph = chain(
        load(["B04", "B08"], extent(60, 60), ["2019-03-01", "2019-04-01"]),
        node("rename_labels", dimension="bands", target=["a", odd], source=["B04", "B08"]),
        node("save_result", format="netCDF"),
    )
    graph[odd] = {**graph.pop("n2"), "arguments": {"data": {"from_node": "n1"}, "format": "netCDF"}}
    return make_plan(parse_graph(graph), open_catalog(archive), Budget(4_000_000_000, 1))


def test_the_picture_has_every_operation_edge_and_output(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "new" / "plan.svg"
    draw_plan(plan, path)
    root = ET.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    groups = [g.get("class") for g in root.iter(f"{SVG}g")]
    assert groups.count("node") == len(plan.nodes) + len(plan.outputs)
    assert groups.count("edge") == sum(len(n.inputs) for n in plan.nodes) + len(plan.outputs)
    text = " ".join(t.text or "" for t in root.iter(f"{SVG}text"))
    for words in (
        "load_collection",
        "SENTINEL2_L2A, 3 items",
        "rename_labels",
        "t 3, bands 2, y 60, x 60",
        "netCDF",
    ):
        assert words in text
    assert "EPSG:32631 10" in text


def test_names_with_special_characters_do_not_break_the_picture(plan: Plan) -> None:
    ET.fromstring(to_dot(plan).pipe(format="svg").decode())


def test_another_suffix_is_refused(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="SVG"):
        draw_plan(plan, tmp_path / "plan.png")
    assert list(tmp_path.iterdir()) == []


def test_without_graphviz_it_says_what_to_install(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match="Graphviz") as caught:
        draw_plan(plan, tmp_path / "plan.svg")
    assert "graphviz" in caught.value.hint
    assert issubclass(graphviz.ExecutableNotFound, Exception)


def test_a_place_that_cannot_be_written_is_a_clear_error(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteFailed):
        draw_plan(plan, tmp_path / "file" / "plan.svg")
