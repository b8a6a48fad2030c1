"""Every fault put into a product of a simulated archive, and what the command line says of it: a table.

    .venv/bin/python -m benchmarks.fault_table --out docs/fault-table.md

For each fault `acreage execute` runs twice on a copy of the archive with one broken product: as it is, and
with `--tolerate 1`. The second result is compared, byte for byte, with that of an archive from which the
product was removed. What is injected is said in tests/support/injections.py.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any

from tests.support.faulty_archives import SETTINGS, Product, Source, Subject, copy_archive, stacked
from tests.support.injections import GROUPS, Finder, Injection, injected, named
from tests.support.simulated import archive_of

from acreage.catalog import open_catalog
from acreage.catalog.access import Policy, configure
from acreage.engine.budget import Budget
from acreage.engine.inspection import inspect_items
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan

PATIENCE_S = 2.0
ROOT = Path(__file__).parents[1]
SHOWN = 150
Key = tuple[Path, Subject, str]


@dataclass(frozen=True)
class Run:
    """What a command left.

    Attributes:
        code: its exit code.
        said: what it wrote to both streams.
        result: bytes of the output, empty where there is none.
        items: item id -> (fate, kinds of its assets), of the account; empty where there is none.
    """

    code: int
    said: str
    result: bytes
    items: Mapping[str, tuple[str, frozenset[str]]]


@dataclass(frozen=True)
class Row:
    """One fault, as the system met it; `wrong` lists what is not as it must be."""

    injection: Injection
    product: str
    finder: Finder
    kind: str
    code: int
    message: str
    identical: bool
    complete: bool
    wrong: tuple[str, ...]


@dataclass
class Bench:
    """A folder with the archives, and everything that is run there.

    Attributes:
        folder: of copies and outputs.
        sources: archives in good order by name.
    """

    folder: Path
    sources: Mapping[str, Source]
    _numbers: Any = field(default_factory=count)
    _references: dict[Key, Run] = field(default_factory=dict)

    def fresh(self) -> Path:
        """A new folder."""
        path = self.folder / f"{next(self._numbers):03d}"
        path.mkdir()
        return path

    def execute(
        self, address: str, source: Source, subject: Subject, *options: str, quarantine: Path | None = None
    ) -> Run:
        """`acreage execute`, with an empty quarantine and index where none is given."""
        home = self.fresh()
        graph, out = home / "graph.json", home / "result.nc"
        graph.write_text(json.dumps(subject.graph(source.area)), "utf-8")
        own = {
            k: v for k, v in os.environ.items() if not k.startswith("ACREAGE_") and "proxy" not in k.lower()
        }
        settings = {
            "ACREAGE_CACHE": str(self.folder / "kernels"),
            "ACREAGE_QUARANTINE": str(quarantine or home / "quarantine"),
            "ACREAGE_INDEX": str(home / "index"),
            "ACREAGE_REMOTE_PATIENCE_S": str(PATIENCE_S),
            "ACREAGE_THREADS": "1",
            "COLUMNS": "1000",
        }
        command = [str(Path(sys.executable).with_name("acreage")), "execute", str(graph)]
        done = subprocess.run(
            [*command, "--catalog", address, "--out", str(out), *options],
            env={**own, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
        account = home / "result.nc.inputs.json"
        result = out.read_bytes() if out.exists() else b""
        return Run(done.returncode, done.stdout + done.stderr, result, _fates(account))

    def reference(self, source: Source, subject: Subject, without: str = "") -> Run:
        """The run on an archive in good order, without a product where one is named."""
        key = (source.folder, subject, without)
        if key not in self._references:
            archive = source.folder
            if without:
                archive = self.fresh() / "archive"
                copy_archive(source.folder, archive)
                Product(archive, subject, without).remove()
            self._references[key] = self.execute(str(archive / source.catalog), source, subject)
            if self._references[key].code != 0:
                raise SystemExit(f"The archive in good order fails: {self._references[key].said}")
        return self._references[key]

    def row(self, injection: Injection) -> Row:
        """Put a fault in, run twice, compare."""
        source, subject = self.sources[injection.source], injection.subject
        with injected(injection, source, self.fresh() / "archive") as (product, address):
            finder, kinds = _found(address, source, injection, named(injection, product))
            strict = self.execute(address, source, subject, *injection.options)
            lenient = self.execute(address, source, subject, *injection.options, "--tolerate", "1")
        whole = self.reference(source, subject)
        without = self.reference(source, subject, product.name)
        told = _line(strict.said, named(injection, product))
        expected = whole if injection.kind is None else without
        failed = {name: kinds for name, (fate, kinds) in lenient.items.items() if fate == "failed"}
        lost = {} if injection.kind is None else {named(injection, product): frozenset((injection.kind,))}
        others = lenient.items.keys() - {named(injection, product)} == whole.items.keys() - {product.name}
        identical, complete = lenient.result == expected.result, others and failed == lost
        kind = told.split(":")[0].removeprefix("- ") if told else ""
        checks = {
            "finder": finder == injection.finder,
            "kind": kind == (injection.kind or "") and kinds <= {injection.kind},
            "exit code": (strict.code == 0) == (injection.kind is None) and lenient.code == 0,
            "a traceback": "Traceback" not in strict.said + lenient.said,
            "an output of the failed job": bool(strict.result) == (injection.kind is None),
            "a product that does not matter": whole.result != without.result,
            "result": identical or (injection.kind is None and not injection.harmless),
            "account": complete,
        }
        wrong = tuple(name for name, right in checks.items() if not right)
        message = _short(told, product, address)
        return Row(injection, product.name, finder, kind, strict.code, message, identical, complete, wrong)

    def quarantine(self, injection: Injection) -> list[str]:
        """Two jobs that share a quarantine: what the second, which tolerates nothing, says of the product."""
        source, subject, shared = self.sources[injection.source], injection.subject, self.fresh()
        with injected(injection, source, self.fresh() / "archive") as (product, address):
            first = self.execute(address, source, subject, "--tolerate", "1", quarantine=shared)
            second = self.execute(address, source, subject, quarantine=shared)
        same = first.result == second.result == self.reference(source, subject, product.name).result
        skipped = second.items[product.name] == ("skipped", frozenset(("quarantined",)))
        told = _short(_line(second.said, product.name), product, address)
        return [
            f"A job tolerated {injection.name!r}. The next one over the same quarantine tolerates nothing,",
            f"and ends with exit code {second.code}. Its result is {'' if same else 'NOT '}the one of the",
            f"archive without it. The account lists it as {'' if skipped else 'NOT '}skipped. It is told:",
            "",
            f"    {told}",
        ]


def _fates(account: Path) -> dict[str, tuple[str, frozenset[str]]]:
    if not account.exists():
        return {}
    found = {}
    for item in json.loads(account.read_text("utf-8"))["items"]:
        own = [a for a in item["assets"].values() if a["fate"] == item["fate"]]
        found[item["item"]] = (item["fate"], frozenset(a["kind"] for a in own if a.get("kind")))
    return found


def _found(address: str, source: Source, injection: Injection, name: str) -> tuple[Finder, set[str]]:
    """Who finds it, by the same steps as the command's."""
    graph = parse_graph(injection.subject.graph(source.area))
    plan = make_plan(graph, open_catalog(address), Budget(4_000_000_000, 1, 256), None)
    known = {e.kind for e in plan.expected if e.state == "failed" and e.item == name}
    if known:
        return "search", known
    if "--no-inspect" in injection.options:
        return "window", set()
    seen = [p for i in plan.inspections for p in inspect_items(i.items, i.bands, i.area, 1)]
    kinds = {str(p.kind) for p in seen if p.item == name}
    return ("inspection", kinds) if kinds else ("nobody", set())


def _line(said: str, name: str) -> str:
    """The line that says what is wrong with a product."""
    return next(
        (
            line
            for line in said.splitlines()
            if name in line and re.match(rf"- |{re.escape(name)}: In quarantine", line)
        ),
        "",
    )


def _short(line: str, product: Product, address: str) -> str:
    """Without folders, addresses and what other columns say, and not too long."""
    text = line.replace(f"{product.archive}/", "").replace(f"{address.rsplit('/', 1)[0]}/", "")
    text = text.replace(f"{product.archive.resolve()}/", "").replace(
        f"{product.subject.source}/{product.name}/", ""
    )
    text = re.sub(r"^- [a-z-]+: ", "", text).replace(f"Item {product.name}, ", "").replace("|", "/")
    return text if len(text) <= SHOWN else f"{text[:SHOWN].rstrip()} ..."


# --- the page ---

HEAD = """# Fault table

<!-- Written by `.venv/bin/python -m benchmarks.fault_table --out docs/fault-table.md`; do not edit. -->

Each fault is put into one product of an archive that is **simulated** (1.2 x 1.2 km on 6 degrees east, May
2019: two UTM zones, two elevation tiles, two land cover tiles; in Earth Search's form, and in Planetary
Computer's and the Data Space's where a fault needs them). `acreage execute` runs on it as a user runs it:
dekad composites of Sentinel-2 without clouds, dekad composites of Sentinel-1, or a layer. Every run has a
quarantine and an index of its own. What faults are called: [faults](faults.md).

- **by**: who finds it; the *search* while planning, the *inspection* before the first window, or a *window*
  that reads pixels.
- **exit**: the exit code with the default tolerance, which is none; no output is written.
- **says**: the line that names the product, without the product's name and folder.
- **same**: with `--tolerate 1` the output is, byte for byte, the one of an archive from which the product was
  removed. In every row the product is one that changes the result.
- **account**: with `--tolerate 1` the account beside the output lists that product as failed with that kind,
  nothing else as failed, and every other item of the archive in good order.

"""
TAIL = """
An hour's error stays within the orbit that the datatake's name allows; time steps are made by that name, so
the composite does not change. Whether 1000 is still in the pixels can be told by vegetation only
([numbers](real-granules.md#plausible-reflectance)): a product under clouds whose metadata agree with each
other is believed, and what the mask leaves of it is in the composite.
"""


def page(groups: Mapping[str, list[Row]], quarantine: list[str]) -> str:
    """The page as markdown."""
    rows = [row for group in groups.values() for row in group]
    found = [r for r in rows if r.kind and not r.wrong]
    silent = [r for r in rows if r.finder == "nobody"]
    wrong = [r for r in rows if r.wrong]
    lines = [
        f"Of {len(rows)} faults {len(found)} are found, named rightly and accounted for, with the same "
        f"result as without the product; {len(silent)} are not found (see [below](#not-found)); "
        f"{len(wrong)} rows are not as they must be"
        + "".join(f"; {r.injection.name}: {', '.join(r.wrong)}" for r in wrong)
        + ". No run ended in a traceback." * all("a traceback" not in r.wrong for r in rows),
    ]
    for title, group in groups.items():
        lines += ["", f"## {title}", ""]
        lines += [
            "| fault | product | by | kind | exit | says | same | account |",
            "|---|---|---|---|---:|---|---|---|",
        ]
        lines += [_row(r) for r in group if r.finder != "nobody"]
    lines += ["", "## In quarantine", "", *quarantine]
    lines += ["", "## Not found", ""]
    lines += ["| fault | product | exit | the result |", "|---|---|---:|---|"]
    lines += [_silent(r) for r in silent]
    return HEAD + "\n".join(lines) + "\n" + TAIL


def _row(r: Row) -> str:
    kind = f"`{r.kind}`" if r.kind else "none"
    cells = [r.injection.name, f"`{r.product}`", r.finder, kind, str(r.code), r.message]
    return _cells([*cells, _yes(r.identical), _yes(r.complete)])


def _silent(r: Row) -> str:
    result = "is the one without the fault" if r.identical else "differs from the one without the fault"
    return _cells([r.injection.name, f"`{r.product}`", str(r.code), result])


def _cells(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _yes(value: bool) -> str:
    return "yes" if value else "**no**"


def run(folder: Path, jobs: int, told: Callable[[str], None]) -> str:
    """Simulate, inject, run; the page."""
    sources = {}
    for name, settings in SETTINGS.items():
        told(f"simulating {name}")
        sources[name] = Source(archive_of(settings).folder)
    sources["stacked"] = stacked(sources["earth-search"], folder / "stacked")
    bench = Bench(folder, sources)
    injections = [i for group in GROUPS.values() for i in group]
    wanted = {(i.source, i.subject, w) for i in injections for w in ("", i.product(sources[i.source]))}
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda w: bench.reference(sources[w[0]], w[1], w[2]), wanted))

        def row(injection: Injection) -> Row:
            found = bench.row(injection)
            name = f"{injection.subject.collection}: {injection.name}"
            told(f"{name}: {found.kind or 'not found'} {found.wrong or ''}")
            return found

        rows = iter(list(pool.map(row, injections)))
    cut = next(i for i in injections if i.kind == "truncated" and i.finder == "inspection")
    return page({t: list(islice(rows, len(group))) for t, group in GROUPS.items()}, bench.quarantine(cut))


def main() -> None:
    """Write the page to a file or standard output."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="markdown file; standard output where it is left out")
    parser.add_argument("--jobs", type=int, default=2, help="commands that are run at once")
    options = parser.parse_args()
    configure(Policy(patience_s=PATIENCE_S))
    # Beside the archives that are kept, so that copies can share their files.
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        text = run(
            Path(folder).resolve(), options.jobs, lambda line: print(line, file=sys.stderr, flush=True)
        )
    if options.out is None:
        print(text)
    else:
        options.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
