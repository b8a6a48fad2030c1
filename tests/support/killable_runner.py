"""A runner as a process of its own, over simulated back ends behind the real API, to be killed.

    python -m tests.support.killable_runner PRODUCTION TRANSIENT DETERMINISTIC [--spawn]

It ends with status 0 when every tile is done or held. With `--spawn` it imports everything once and makes a
runner, as a process of its own, for every line that it reads; it answers with the runner's number, and with
its status when it has ended.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from pathlib import Path

from tests.support.simulated_server import SimulatedMaker, SimulatedProducts

from acreage.core.instances import Instances
from acreage.production.clock import SystemClock
from acreage.production.ledger.settings import back_ends
from acreage.production.ledger.store import open_ledger
from acreage.production.openeo_backend import OpenEoBackEnd
from acreage.production.parts import RunSettings
from acreage.production.profiles import Profile
from acreage.production.runner import make_runner
from acreage.production.work import Threads

QUICK = RunSettings(
    lease_s=20.0, settle_s=1.0, control_s=0.5, look_s=(0.3, 1.0), idle_s=0.5, learn_s=1e9, failure_share=1.0
)


def run() -> None:
    """A runner."""
    place, transient, deterministic = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    ledger = open_ledger(str(place))
    calls = {b.name: OpenEoBackEnd(b.name, Profile.from_dict(b.config)) for b in back_ends(ledger)}
    runner = make_runner(
        ledger,
        f"runner-{os.getpid()}-{secrets.token_hex(4)}",
        calls,
        SimulatedMaker({"transient": transient, "deterministic": deterministic}),
        SimulatedProducts(ledger.production.results),
        SystemClock(),
        Threads(default=4),
        QUICK,
        Instances(place / "runners"),
    )
    cpu = time.thread_time()
    runner.run()
    told = f"runner's own thread: {time.thread_time() - cpu:.2f} s; process: {time.process_time():.2f} s"
    (place / "cpu.txt").write_text(told, "utf-8")
    ledger.close()


def spawn() -> None:
    """Runners, one after the other."""
    for _ in sys.stdin:
        number = os.fork()
        if number == 0:
            os.setsid()
            run()
            os._exit(0)
        print(number, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)


if __name__ == "__main__":
    spawn() if "--spawn" in sys.argv else run()
