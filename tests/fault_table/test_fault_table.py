"""Each fault put into a product of a simulated archive: found, named, counted, and nothing else lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fault_table.conftest import Reference, plan_of
from tests.support.engine_runs import assert_same_cube, settled
from tests.support.faulty_archives import Source
from tests.support.injections import INJECTIONS, Injection, injected, named

from acreage.core.cube import Cube
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
