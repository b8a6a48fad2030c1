"""The process of a job of a simulated back end: it takes its time, writes a small file, and may fail.

    python -I simulated_job.py ATTEMPT RECORD

It imports nothing but the standard library, so that thousands of jobs take minutes. What it is to do stands
in its graph: a `constant` whose `x` is JSON with `tile`, `seconds` and the shares of `transient` and
`deterministic` failures. Each start is a line of the file RECORD: what a back end would send bills by.
"""

import hashlib
import json
import os
import sys
import time


def main() -> None:
    """The process."""
    attempt, record = sys.argv[1:]
    with open(os.path.join(attempt, "spec.json"), encoding="utf-8") as file:
        spec = json.load(file)
    (node,) = spec["process"]["process_graph"].values()
    about = json.loads(node["arguments"]["x"])
    write_line(record, {"job": spec["job_id"], "tile": about["tile"]})
    time.sleep(about["seconds"])
    error = None
    if draw("deterministic", about["tile"]) < about.get("deterministic", 0.0):
        error = {"code": "NoDataAvailable", "message": "There are no items for the season."}
    elif draw("transient", spec["job_id"]) < about.get("transient", 0.0):
        error = {"code": "Internal", "message": "executor lost: connection reset by peer"}
    files = []
    if error is None:
        text = json.dumps({"tile": about["tile"], "job": spec["job_id"]}).encode()
        with open(os.path.join(attempt, "results", "product.json"), "wb") as out:
            out.write(text)
        files = [{"name": "product.json", "size": len(text), "roles": ["data"], "checksum": checksum(text)}]
    else:
        line = {"time": "2026-01-01T00:00:00Z", "level": "error", **error}
        write_line(os.path.join(os.path.dirname(attempt), "log.jsonl"), line)
    usage = {"seconds": about["seconds"], "cpu_seconds": about["seconds"], "peak_memory": 10**9}
    outcome = {
        "status": "finished" if error is None else "error",
        "error": error,
        "usage": usage,
        "files": files,
        "about": {"bbox": [1, 2, 3, 4]},
        "http_status": 500,
        "place": "",
    }
    part = os.path.join(attempt, "outcome.part")
    with open(part, "w", encoding="utf-8") as out:
        json.dump(outcome, out)
    os.replace(part, os.path.join(attempt, "outcome.json"))


def draw(*about: str) -> float:
    """A number in [0, 1) that depends on what it is about alone."""
    return int(hashlib.sha256(repr(about).encode()).hexdigest()[:12], 16) / 16**12


def checksum(content: bytes) -> str:
    """As a multihash."""
    return "1220" + hashlib.sha256(content).hexdigest()


def write_line(path: str, line: dict) -> None:  # type: ignore[type-arg]
    """Append to a file, in one write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    os.write(descriptor, (json.dumps(line) + "\n").encode())
    os.close(descriptor)


if __name__ == "__main__":
    main()
