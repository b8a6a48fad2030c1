"""Graphs that load files of a user, run through the whole engine."""

from __future__ import annotations

import os
import time
from typing import Any

from tests.support.engine_runs import MEMORY, WHOLE, cubes_of

from acreage.core.cube import Cube
from acreage.core.errors import CollectionNotFound
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.user_files import UserFiles


class NoCollections:
    """A catalog of nothing."""

    def collections(self) -> tuple[str, ...]:
        return ()

    def describe(self, collection_id: str) -> Any:
        raise CollectionNotFound(collection_id)

    search = describe


def loaded(files: UserFiles, graph: dict[str, Any], window: int = WHOLE, threads: int = 1) -> Cube:
    """The one result of a graph."""
    plan = make_plan(parse_graph(graph), NoCollections(), Budget(MEMORY, threads, window), files=files)
    (cube,) = cubes_of(plan).values()
    return cube


# What is called in a process apart must be found there by its name.


def aborts() -> Any:
    os.abort()


def hangs() -> Any:
    time.sleep(60)


def takes_memory(size: int) -> Any:
    return len(bytes(size))


def answers(*args: Any) -> Any:
    return args
