"""The page on the benchmarks, and its plots, written from the raw numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from acreage.bench.goals import goals
from acreage.bench.peers import CLOSE, PEERS
from acreage.bench.preprocessing import ALL, IMPORTS, NEEDED, OURS, SMALLER, WRITING
from acreage.bench.results import PartResult, Results, Row
from acreage.bench.rounds import paired_ratio

PAGE, IMAGES = "benchmarks.md", "images"
TITLES = {
    "preprocessing": "Preprocessing of a tile",
    SMALLER: "Preprocessing of a quarter of a tile",
    "tile": "A tile from archive to map",
    "inference": "Inference",
    "start-up": "Start-up",
    "planning": "Planning",
    "job": "A job on one square kilometre",
    "sampling": "Sampling",
    "growth": "Growth",
    "large": "A large area",
    "dask": "Dask",
}
_SAME, _NEAR = 0.99, 0.95  # less is no longer the same computation
_PLOTS = {
    "preprocessing": "bench-preprocessing.png",
    SMALLER: "bench-preprocessing-10km.png",
    "growth": "bench-growth.png",
}
_WORDS = """\
CPU seconds are those of the whole process and of all its children, user and system, starting Python and
writing the output included; of the rows *decode* and *writing* the work alone counts. *Decode, needed
blocks* reads every block once that a kept pixel's support touches, with rasterio on one thread: no
resampling, nothing written. *Decode, all blocks* reads all that the area touches. Memory is the
proportional set size summed over the process tree, looked at every 50 ms; the page cache of written files is
not in it. What is compared was run in turn (A B C, A B C, ...) in one call of the command; medians are
shown, and ratios are medians of the ratios of the rounds. All archives are simulated
(docs/simulation.md). Caches of catalogs and of looked-at files are empty at the start of every run; the page
cache is left as it is.

*clear*: no cloud and cropland everywhere. *natural*: the simulator's own clouds and fields. *half-cloudy*:
every second date is cloud from edge to edge, cropland everywhere.
"""


def page_text(results: Results) -> str:
    """The page as Markdown; images lie in `images/` beside it."""
    lines = [
        "# Benchmarks",
        "",
        "<!-- Written by `acreage bench --docs docs` from docs/benchmarks.json; do not edit. -->",
        "",
        f"Measured on {_machine(results)}. Every part names its command.",
        "",
        _WORDS,
    ]
    lines += _goals(results)
    for part in results.parts:
        lines += _part(part)
    return "\n".join(lines).rstrip() + "\n"


def write_page(results: Results, folder: Path) -> Path:
    """The page and its plots below a folder."""
    from acreage.bench.plots import plot_growth, plot_preprocessing

    images = folder / IMAGES
    images.mkdir(parents=True, exist_ok=True)
    for part in results.parts:
        if part.part in ("preprocessing", SMALLER) and part.rows:
            plot_preprocessing(part, images / _PLOTS[part.part])
        if part.part == "growth" and part.rows:
            plot_growth(part, images / _PLOTS["growth"])
    page = folder / PAGE
    page.write_text(page_text(results), encoding="utf-8")
    return page


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, the first column to the left, numbers to the right."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]


def part_rows(part: PartResult) -> list[tuple[str, ...]]:
    """Case, name, CPU, wall, memory, and the ratio to decoding the needed blocks, as text."""
    return [
        (
            row.case,
            row.name,
            f"{row.cpu:.2f}" if row.cpu_seconds else "",
            f"{row.wall:.2f}",
            f"{max(row.peak_memory) / 1e9:.2f}" if row.peak_memory else "",
            _to_floor(part, row),
        )
        for row in part.rows
    ]


def _to_floor(part: PartResult, row: Row) -> str:
    floor = part.find(row.case, NEEDED)
    if floor is None or row.name in (IMPORTS, WRITING):
        return ""
    return f"{paired_ratio(row.cpu_seconds, floor.cpu_seconds).median:.2f} x"


def _machine(results: Results) -> str:
    m = results.machine
    libraries = ", ".join(f"{name} {version}" for name, version in m["libraries"].items())
    return (
        f"{m['processor']}, {m['cores']} cores, {m['memory_bytes'] / 2**30:.0f} GiB, {m['system']}, "
        f"Python {m['python']}, acreage {m['acreage']}; {libraries}"
    )


def _goals(results: Results) -> list[str]:
    found = goals(results)
    if not found:
        return []
    rows = [(goal.text, goal.measured, "yes" if goal.met else "**no**") for goal in found]
    return ["## Aims", "", *table(("aim", "measured", "met"), rows), ""]


def _part(part: PartResult) -> list[str]:
    lines = [f"## {TITLES.get(part.part, part.part)}", "", f"{part.about[:1].upper()}{part.about[1:]}.", ""]
    if part.when:
        rounds = max((len(row.wall_seconds) for row in part.rows), default=0)
        often = f"{rounds} rounds" if rounds > 1 else "once"
        by = f", by `{part.command}`" if part.command else ""
        lines += [f"Measured {part.when[:10]}, {often}{by}.", ""]
    if part.rows:
        header = ("case", "run", "CPU s", "wall s", "peak GB", "to the floor")
        with_floor = any(part.find(case, NEEDED) for case in part.cases)
        cells = part_rows(part)
        shown = cells if with_floor else [row[:-1] for row in cells]
        lines += [*table(header if with_floor else header[:-1], shown), ""]
    if part.part in _PLOTS and part.rows:
        lines += [f"![{TITLES[part.part]}]({IMAGES}/{_PLOTS[part.part]})", ""]
    lines += [f"- Not measured: {what}: {why}." for what, why in part.skipped]
    lines += [*_facts(part)]
    return [*lines, ""] if lines[-1] else lines


def _facts(part: PartResult) -> list[str]:
    if part.part in ("preprocessing", SMALLER):
        return _net(part)
    told = []
    for row in part.rows:
        if "same_bytes" in row.facts:
            told.append(
                f"- {row.case}: all outputs have {'the same' if row.facts['same_bytes'] else 'OTHER'} bytes."
            )
        if "pixels_per_second" in row.facts:
            told.append(f"- {row.case}, {row.name}: {row.facts['pixels_per_second']:,.0f} pixels a second.")
        if "amplification" in row.facts:
            told.append(
                f"- The plan: {row.facts['windows']} windows, decoded {row.facts['amplification']:.2f} x, "
                f"{row.facts['core_seconds']:.0f} core-seconds and {row.facts['memory_bytes'] / 1e9:.2f} GB "
                "expected."
            )
    return told


def _net(part: PartResult) -> list[str]:
    """Ours without imports and writing, and the blocks of the floor."""
    told = []
    for case in part.cases:
        rows = [part.find(case, n) for n in (OURS, IMPORTS, WRITING, NEEDED, ALL)]
        if any(row is None for row in rows):
            continue
        ours, imports, writing, needed, every = (row for row in rows if row is not None)
        rest = ours.cpu - imports.cpu - writing.cpu
        told.append(
            f"- {case}: {ours.cpu:.1f} CPU seconds are {imports.cpu:.1f} of imports and parsing, "
            f"{writing.cpu:.1f} of writing, and {rest:.1f} of the work, {rest / needed.cpu:.2f} x the floor. "
            f"{needed.facts['blocks']} of {every.facts['blocks']} blocks are needed."
        )
    return told + _peers(part)


def _peers(part: PartResult) -> list[str]:
    """What is to be said of each peer: its results beside ours, and what it cannot do."""
    told = []
    for name in PEERS:
        row = next((row for row in part.rows if row.name == name), None)
        if row is None or "close" not in row.facts:
            continue
        same, close = row.facts["same_places"], row.facts["close"]
        good = same >= _SAME and close >= _NEAR
        told.append(
            f"- {name}: on a small square {100 * same:.2f} % of the values are there or missing as "
            f"in acreage's cube; of {row.facts['values']} that both have {100 * close:.2f} % are within "
            f"{100 * CLOSE:g} %.{'' if good else ' **These are other results.**'}"
        )
        if row.facts["note"]:
            told.append(f"- {name}: {row.facts['note']}")
    return told
