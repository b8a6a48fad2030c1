"""A runner that is pickled arrives as one runner a process, with children that end with it."""

from __future__ import annotations

import gc
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from tests.udf.examples import small_cube, udf

from acreage.udf.contract import UdfLimits
from acreage.udf.models import ModelCache
from acreage.udf.packages import PackageCache
from acreage.udf.runner import ProcessUdfRunner

CODE = udf(
    "import time\nreturn cube.astype(float).fillna(0) * 0 + born", before="import time; born = time.time()"
)


def test_copies_that_arrive_in_a_process_are_one_runner_until_nobody_holds_it(tmp_path: Path) -> None:
    sent = ProcessUdfRunner(UdfLimits(timeout_s=120), workers=1, models=ModelCache(tmp_path))
    with sent:
        data = pickle.dumps(sent)
        before = set(_children())
        one, two = pickle.loads(data), pickle.loads(data)
        assert one is two is not sent
        first = one.run(CODE, small_cube(), {}).array.values.max()
        assert set(_children()) > before
        del one, two
        gc.collect()
        _until(lambda: set(_children()) <= before)
        again = pickle.loads(data)
        assert again.run(CODE, small_cube(), {}).array.values.max() != first
        again.close()


def test_runners_with_other_limits_or_models_stay_apart(tmp_path: Path) -> None:
    limits = UdfLimits(timeout_s=120)
    runners = [
        ProcessUdfRunner(limits, 1, ModelCache(tmp_path)),
        ProcessUdfRunner(limits, 2, ModelCache(tmp_path)),
        ProcessUdfRunner(UdfLimits(timeout_s=60), 1, ModelCache(tmp_path)),
        ProcessUdfRunner(limits, 1, ModelCache(tmp_path / "other")),
        ProcessUdfRunner(limits, 1, ModelCache(tmp_path, local_files=False)),
        ProcessUdfRunner(limits, 1),
        ProcessUdfRunner(limits, 1, isolation="none"),
        ProcessUdfRunner(limits, 1, trusted=False),
        ProcessUdfRunner(limits, 1, packages=PackageCache(tmp_path)),
    ]
    arrived = [pickle.loads(pickle.dumps(r)) for r in runners]
    assert len({id(r) for r in arrived}) == len(runners)


def test_a_closed_runner_is_replaced_at_the_next_arrival() -> None:
    data = pickle.dumps(ProcessUdfRunner(UdfLimits(timeout_s=120)))
    closed = pickle.loads(data)
    closed.close()
    with pickle.loads(data) as fresh:
        assert fresh is not closed
        assert fresh.probe(CODE).entry == "apply_datacube"


def test_a_model_cache_travels_as_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    cache = ModelCache(tmp_path / "cache", max_bytes=100, timeout_s=3)
    fetched = cache.fetch(str(tmp_path / "model.pt"))
    same = pickle.loads(pickle.dumps(cache))
    assert same == cache
    assert hash(same) == hash(cache)
    assert same.fetch(str(tmp_path / "model.pt")) == fetched


def _children() -> list[int]:
    return [p.pid for p in psutil.Process().children()]


def _until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not so() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert so()
