"""Each fault put into a product of a simulated archive: found, named, counted, and nothing else lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from tests.fault_table.conftest import Reference, plan_of
from tests.support.engine_runs import assert_same_cube, settled
from tests.support.faulty_archives import OPTICAL, Source
from tests.support.injections import INJECTIONS, Injection, injected, named
from typer.testing import CliRunner

from acreage.cli.main import app
from acreage.core.cube import Cube
from acreage.core.errors import ItemUnreadable
from acreage.core.faults import FAULTS
from acreage.core.inputs import Inputs
from acreage.engine.inspection import inspect_items
from acreage.engine.tolerance import TooManyFailures

FOUND = [i for i in INJECTIONS if i.kind is not None]
NOT_FOUND = [i for i in INJECTIONS if i.kind is None]


def same(a: Cube, b: Cube) -> bool:
    return a.meta == b.meta and a.values.tobytes() == b.values.tobytes()


def fates(inputs: Inputs) -> dict[str, str]:
    return {i.item: i.fate for i in inputs.items}


@pytest.mark.parametrize("injection", FOUND, ids=lambda i: f"{i.subject.collection}: {i.name}")
def test_a_fault_is_named_and_costs_its_product_and_nothing_else(
    injection: Injection, sources: dict[str, Source], reference: Reference, tmp_path: Path
) -> None:
    source = sources[injection.source]
    with injected(injection, source, tmp_path / "archive") as (product, address):
        name, inspected = named(injection, product), "--no-inspect" not in injection.options
        plan = plan_of(address, source, injection.subject)
        inspect = inspect_items if inspected else None
        with pytest.raises(TooManyFailures, match=r"1 items could not be read \(0 tolerated\)") as caught:
            settled(plan, inspect=inspect)
        cubes, result = settled(plan, inspect=inspect, tolerance=1)
    assert {(a.item, a.kind) for a in caught.value.failed} == {(name, injection.kind)}
    assert f"- {injection.kind}: " in caught.value.message
    assert name in caught.value.message
    by_search = {e.item for e in plan.expected if e.state == "failed"}
    assert (injection.finder == "search") == (name in by_search)
    assert {(a.item, a.kind) for a in result.inputs.failed} == {(name, injection.kind)}
    whole, account = reference(source, injection.subject, "")
    without, _ = reference(source, injection.subject, product.name)
    assert not same(whole, without), "the product must matter to the result"
    assert_same_cube(next(iter(cubes.values())), without)
    assert fates(result.inputs).keys() - {name} == fates(account).keys() - {product.name}
    assert {item for item, fate in fates(result.inputs).items() if fate == "failed"} == {name}


@pytest.mark.parametrize("injection", NOT_FOUND, ids=lambda i: i.name)
def test_what_is_not_found_is_known(
    injection: Injection, sources: dict[str, Source], reference: Reference, tmp_path: Path
) -> None:
    """When one of these is found its row is to be changed, and the page with it."""
    source = sources[injection.source]
    with injected(injection, source, tmp_path / "archive") as (product, address):
        cubes, result = settled(plan_of(address, source, injection.subject), inspect=inspect_items)
    assert fates(result.inputs)[product.name] == "read"
    whole, _ = reference(source, injection.subject, "")
    assert same(next(iter(cubes.values())), whole) == injection.harmless


def test_every_kind_of_fault_is_in_the_table() -> None:
    assert {i.kind for i in FOUND} == set(FAULTS)


def test_names_in_the_table_are_told_apart() -> None:
    names = [(i.subject.collection, i.name) for i in INJECTIONS]
    assert len(names) == len(set(names))


def call(address: str, source: Source, folder: Path, out: str, *options: str) -> tuple[Result, Path]:
    """`acreage execute` on the graph of Sentinel-2 composites."""
    graph = folder / "graph.json"
    graph.write_text(json.dumps(OPTICAL.graph(source.area)), "utf-8")
    arguments = ["execute", str(graph), "--catalog", address, "--out", str(folder / out), *options]
    return CliRunner().invoke(app, arguments), folder / out


def test_the_command_refuses_then_tolerates_and_the_next_job_skips_what_is_in_quarantine(
    sources: dict[str, Source], tmp_path: Path
) -> None:
    injection = next(i for i in FOUND if i.kind == "truncated" and i.finder == "inspection")
    source = sources[injection.source]
    with injected(injection, source, tmp_path / "archive") as (product, address):
        strict, out = call(address, source, tmp_path, "a.nc")
        assert strict.exit_code == ItemUnreadable.exit_code
        assert f"- truncated: Item {product.name}, band B04" in strict.stderr
        assert not out.exists()
        lenient, first = call(address, source, tmp_path, "b.nc", "--tolerate", "1")
        assert lenient.exit_code == 0
        assert f"failed: truncated: Item {product.name}, band B04" in lenient.stderr
        later, second = call(address, source, tmp_path, "c.nc")
        assert later.exit_code == 0
        assert f"{product.name}: In quarantine" in later.stderr
    assert first.read_bytes() == second.read_bytes()
    accounts = [json.loads(p.with_name(f"{p.name}.inputs.json").read_text("utf-8")) for p in (first, second)]
    fate = [{i["item"]: i["fate"] for i in account["items"]} for account in accounts]
    assert (fate[0].pop(product.name), fate[1].pop(product.name)) == ("failed", "skipped")
    assert fate[0] == fate[1]
    assert "failed" not in fate[0].values()


def test_a_process_of_its_own_ends_with_a_message_and_no_traceback(
    sources: dict[str, Source], tmp_path: Path
) -> None:
    injection = next(i for i in FOUND if i.by_address)
    source = sources[injection.source]
    graph = tmp_path / "graph.json"
    graph.write_text(json.dumps(OPTICAL.graph(source.area)), "utf-8")
    with injected(injection, source, tmp_path / "archive") as (product, address):
        command = [str(Path(sys.executable).with_name("acreage")), "execute", str(graph)]
        done = subprocess.run(
            [*command, "--catalog", address, "--out", str(tmp_path / "out.nc")],
            capture_output=True,
            text=True,
        )
    assert done.returncode == ItemUnreadable.exit_code
    assert f"- malformed: Item {product.document}: The item is unusable: it has no id." in done.stderr
    assert "Traceback" not in done.stderr
