"""How many of openEO's own examples of its processes pass, and why the others do not: a table and a page.

    git clone https://github.com/Open-EO/openeo-processes build/openeo-processes
    git -C build/openeo-processes checkout 98ae014
    .venv/bin/python -m benchmarks.process_examples --processes build/openeo-processes \\
        --out docs/process-examples.md

Each example is submitted as a process graph to the whole engine: parsed, planned, and run in windows of two
pixels.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table
from tests.support.process_examples import Example, Result, read_examples, run_example
from tests.support.process_runner import EngineRunner

from acreage.processes.registry import process_ids

ROOT = Path(__file__).parents[1]
LISTED = ROOT / "tests" / "official" / "exceptions.json"
NOT_SERVED = ROOT / "tests" / "official" / "not_served.json"
OUTCOMES = ("passed", "failed", "skipped")
Results = Sequence[tuple[Example, Result]]


def by_process(results: Results) -> dict[str, Counter[str]]:
    """Numbers of outcomes of each process."""
    counts: dict[str, Counter[str]] = {}
    for example, result in results:
        counts.setdefault(example.process_id, Counter())[result.outcome] += 1
    return counts


def table(results: Results) -> Table:
    """A row a process, and the totals."""
    made = Table("process", *OUTCOMES)
    counts = by_process(results)
    for process_id, found in counts.items():
        made.add_row(process_id, *(str(found[o] or "") for o in OUTCOMES))
    made.add_section()
    total = sum(counts.values(), Counter())
    made.add_row("all", *(str(total[o]) for o in OUTCOMES))
    return made


def page(results: Results, exceptions: Mapping[str, Mapping[str, str]]) -> str:
    """The page of documentation."""
    total = Counter(result.outcome for _, result in results)
    failed = {e.name: r.reason for e, r in results if r.outcome == "failed"}
    defective = {n: r for n, r in exceptions["defective"].items() if n in failed}
    taken = {n: r for n, r in exceptions["taken"].items() if n not in failed}
    others = {n: r for n, r in failed.items() if n not in defective}
    counts = by_process(results)
    lines = [
        "# openEO's own examples of its processes",
        "",
        f"The specification of openEO's processes ({exceptions['specification']}) holds "
        f"{len(results)} examples of {len(counts)} processes:",
        "arguments, and the value or the error that comes of them. Each is submitted as a process graph,",
        "parsed, planned, and run in windows of two pixels; numbers are compared to 10 decimals.",
        "",
        "```",
        *_command(),
        "```",
        "",
        "| outcome | examples |",
        "|---|---:|",
        f"| passed | {total['passed']} |",
        f"| contradict their own specification | {len(defective)} |",
        f"| failed otherwise | {len(others)} |",
        f"| skipped, for the process is not served | {total['skipped']} |",
        "",
        "`ACREAGE_OPENEO_PROCESSES=FOLDER .venv/bin/pytest tests/official` fails where this page is wrong.",
        "Examples are numbered from 0, as they stand in the file of their process. What an example leaves",
        "out of the data cube that it expects is not compared. How openEO's own test suite runs them through",
        "the engine is told with [its results](openeo-suite.md).",
        "",
    ]
    lines += _reasons("Contradict their own specification", defective)
    lines += _reasons("Passed, though not as specified", taken)
    lines += _reasons("Failed otherwise", others)
    lines += _not_served()
    return "\n".join(lines)


def _command() -> list[str]:
    text = __doc__ or ""
    return [line.removeprefix("    ") for line in text.splitlines() if line.startswith("    ")]


def _reasons(title: str, reasons: Mapping[str, str]) -> list[str]:
    """A list of examples with what is wrong with them, those with one reason together."""
    if not reasons:
        return []
    together: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        together.setdefault(reason, []).append(f"`{name}`")
    rows = [f"| {', '.join(names)} | {reason} |" for reason, names in together.items()]
    return [f"## {title}", "", "| example | why |", "|---|---|", *rows, ""]


def _not_served() -> list[str]:
    """Processes of the specification that are left out, and why."""
    reasons = {k: v for k, v in json.loads(NOT_SERVED.read_text("utf-8")).items() if k not in process_ids()}
    rows = [f"| `{name}` | {reason} |" for name, reason in sorted(reasons.items())]
    return ["## Processes that are not served", "", "| process | why |", "|---|---|", *rows, ""]


def main() -> None:
    """Run all examples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--processes", type=Path, required=True, help="a checkout of openeo-processes")
    parser.add_argument("--out", type=Path, help="the page to write")
    arguments = parser.parse_args()
    runner = EngineRunner()
    examples = read_examples(arguments.processes)
    results = [(e, run_example(e, runner)) for e in track(examples, "Examples")]
    Console().print(table(results))
    if arguments.out is not None:
        exceptions = json.loads(LISTED.read_text("utf-8"))
        arguments.out.write_text(page(results, exceptions), "utf-8")


if __name__ == "__main__":
    main()
