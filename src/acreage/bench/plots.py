"""Plots of the benchmarks."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from acreage.bench.preprocessing import ALL, IMPORTS, NEEDED, OURS, WRITING
from acreage.bench.results import PartResult

FLOOR, PRODUCT, OTHER = "#8c8c8c", "#2f6f4f", "#c58b2a"


def plot_preprocessing(part: PartResult, path: Path) -> None:
    """CPU seconds and peak memory of every tool, a row of panels a case."""
    cases = part.cases
    figure = Figure(figsize=(9, 2.4 * len(cases)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(cases), 2, squeeze=False)
    for (seconds, memory), case in zip(axes, cases, strict=True):
        rows = [r for r in part.rows if r.case == case and r.name not in (IMPORTS, WRITING)]
        names = [r.name for r in rows]
        colours = [_colour(name) for name in names]
        bars = seconds.barh(names, [r.cpu for r in rows], color=colours)
        seconds.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
        _tidy(seconds, f"{case}: CPU seconds")
        peaks = [max(r.peak_memory, default=0) / 1e9 for r in rows]
        bars = memory.barh(names, peaks, color=colours)
        memory.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
        memory.set_yticklabels([])
        _tidy(memory, f"{case}: peak memory, GB")
    figure.savefig(path, dpi=110)


def plot_growth(part: PartResult, path: Path) -> None:
    """CPU and wall seconds along each thing that grows, a panel each."""
    figure = Figure(figsize=(3.2 * len(part.cases), 3), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, case in zip(figure.subplots(1, len(part.cases), squeeze=False)[0], part.cases, strict=True):
        rows = [r for r in part.rows if r.case == case]
        names = [r.name for r in rows]
        axis.plot(names, [r.cpu for r in rows], "o-", color=PRODUCT, label="CPU seconds")
        axis.plot(names, [r.wall for r in rows], "s--", color=OTHER, label="wall seconds")
        axis.set_ylim(bottom=0)
        axis.set_title(case, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)


def _colour(name: str) -> str:
    if name in (ALL, NEEDED):
        return FLOOR
    return PRODUCT if name.startswith(OURS) else OTHER


def _tidy(axis: Axes, title: str) -> None:
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set_title(title, fontsize=10, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
