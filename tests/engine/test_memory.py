"""Memory of a job: measured over the process tree, told with its stage, planned with what UDFs take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from tests.composites.graphs import composite
from tests.composites.scenes import DATES, make_scenes, write_scenes
from tests.support.engine_runs import settled

from acreage.catalog import open_catalog
from acreage.engine.budget import Budget
from acreage.engine.memory import base_memory
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan

SIZE = 300_000_000


# In a process of its own: that of the tests takes and gives back memory all the time.
MEASURING = f"""
import subprocess, sys, time
from acreage.engine.memory import watched

with watched() as memory:
    before = memory.peak.bytes
    memory.enter("quiet")
    memory.enter("busy")
    script = "b = bytearray(b'1') * {SIZE}; print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout.readline().strip() == b"ready"
        waited = time.monotonic()
        while memory.peak.bytes < before + {SIZE} * 0.9 and time.monotonic() - waited < 30:
            time.sleep(0.02)
        child.communicate(b"\\n")
    memory.enter("after")
print(before, memory.peak.bytes, memory.peak.stage)
"""


def test_memory_of_child_processes_counts_and_the_stage_is_told() -> None:
    told = subprocess.run([sys.executable, "-c", MEASURING], capture_output=True, text=True, check=True)
    before, peak, stage = told.stdout.split()
    assert int(before) + SIZE * 0.9 <= int(peak) <= int(before) + SIZE * 2
    assert stage == "busy"


def test_a_job_tells_its_peak_and_the_stage_that_needed_it(tmp_path: Path) -> None:
    catalog = open_catalog(str(write_scenes(tmp_path, make_scenes(np.random.default_rng(2), DATES))))
    plan = make_plan(parse_graph(composite(("eq",))), catalog, Budget(4_000_000_000, 1))
    _, result = settled(plan)
    assert result.usage.peak_memory >= base_memory() / 4
    known = {"", "writing", *(", ".join(plan.nodes[t].key for t in s.targets) for s in plan.stages)}
    assert result.usage.peak_stage in known


def test_what_udf_processes_take_leaves_less_for_windows(tmp_path: Path) -> None:
    catalog = open_catalog(str(write_scenes(tmp_path, make_scenes(np.random.default_rng(2), DATES))))
    parsed = parse_graph(composite(("eq", "cover"), interpolate=True))
    roomy = Budget(1_500_000_000, 2, base=400_000_000)
    tight = Budget(1_500_000_000, 2, base=400_000_000, udf=549_000_000)
    counts = [make_plan(parsed, catalog, b).estimate for b in (roomy, tight)]
    assert counts[0].windows < counts[1].windows
    assert all(c.memory_bytes <= 1_500_000_000 for c in counts)
