"""Graphs that load files of a user, run through the whole engine."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from tests.support.engine_runs import MEMORY, WHOLE, cubes_of

from acreage.core.cube import Cube
from acreage.core.errors import CollectionNotFound
from acreage.engine.budget import Budget
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.user_files import Limits, UserFile, UserFiles


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


def aborts(file: UserFile, options: Mapping[str, Any], limits: Limits) -> Any:
    os.abort()


def hangs(file: UserFile, options: Mapping[str, Any], limits: Limits) -> Any:
    time.sleep(60)


def takes_memory(file: UserFile, options: Mapping[str, Any], limits: Limits) -> Any:
    return len(bytes(2 * limits.open_bytes))


def answers(file: UserFile, options: Mapping[str, Any], limits: Limits) -> Any:
    return file.name, dict(options)
