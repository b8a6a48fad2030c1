"""A job's process without an engine, for tests of those who run it.

    python -m tests.support.imitated_job ATTEMPT

What it does is an option of the job: `seconds` of work, then `how` it ends: `finished`, `error`, `killed`,
`killed once` or `silent`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from acreage.backend.jobs.children import die_with_parent
from acreage.backend.jobs.folder import JobFolder, Outcome


def main() -> None:
    """The process."""
    die_with_parent()
    attempt = Path(sys.argv[1])
    place = JobFolder(attempt.parent, int(attempt.name.rpartition("-")[2]))
    options = dict(place.spec().options)
    how = options.get("how", "finished")
    if options.get("helper"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (attempt.parent / "helper.pid").write_text(str(child.pid))
    until = time.monotonic() + options.get("seconds", 0.0)
    place.tell_progress(0.5, options.get("source_pixels", 0))
    while time.monotonic() < until:
        sum(range(10_000))
    if how == "killed" or (how == "killed once" and place.attempt == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "silent":
        return
    if how == "error":
        error = {"code": "NoDataAvailable", "message": "There is nothing."}
        place.end(Outcome("error", error, {"seconds": 1.0, "cpu_seconds": 0.5}))
        return
    result = place.results / "answer.json"
    result.write_text('{"answer": 42}')
    usage = {"seconds": 2.0, "cpu_seconds": 3600.0, "peak_memory": 10**9, "source_pixels": 10**6}
    files = ({"name": "answer.json", "size": result.stat().st_size, "roles": ["data"]},)
    place.end(Outcome("finished", None, usage, files, {"bbox": [1, 2, 3, 4]}))


if __name__ == "__main__":
    main()
