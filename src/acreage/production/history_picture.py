"""The history of a ledger as a picture: what each back end worked on when, and how the production grew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from acreage.core.outputs import whole_file
from acreage.production.ledger.events import events
from acreage.production.ledger.store import Ledger
from acreage.production.ledger.values import Event

_COLOURS = {
    "queue": "#c9d3dd",
    "job": "#3b76af",
    "fetch": "#8c564b",
    "verified": "#2f8f4e",
    "failed": "#c23b3b",
}
_LABELS = {
    "queue": "made, not started",
    "job": "started, until it had ended",
    "fetch": "downloaded and verified",
    "verified": "done",
    "failed": "failed or given up",
}
_ENDS = {"verified": "verified", "failed": "failed", "abandoned": "failed", "held": "failed"}
_MOST_BARS = 20_000


@dataclass
class Course:
    """When an attempt was where.

    Attributes:
        backend: which.
        at: time of each step, by the kind of its event.
    """

    backend: str
    at: dict[str, float] = field(default_factory=dict)

    @property
    def begin(self) -> float:
        """When it was claimed."""
        return self.at.get("claimed", min(self.at.values()))

    @property
    def end(self) -> float:
        """When it was last heard of."""
        return max(self.at.values())

    def spans(self) -> list[tuple[str, float, float]]:
        """(phase, from, to) of what is known of it."""
        started, ended = self.at.get("started", self.at.get("starting")), self.at.get("ended")
        found = [("queue", self.begin, started if started is not None else self.end)]
        if started is not None:
            found.append(("job", started, ended if ended is not None else self.end))
        if ended is not None:
            found.append(("fetch", ended, self.end))
        return found


def courses(history: Iterable[Event]) -> dict[int, Course]:
    """The attempts that a history tells of, by id."""
    found: dict[int, Course] = {}
    for event in history:
        if event.attempt is None or event.backend is None:
            continue
        # The first time counts: a step that was noted again is no later step.
        found.setdefault(event.attempt, Course(event.backend)).at.setdefault(event.kind, event.at)
    return found


def lanes(one: Sequence[Course]) -> list[int]:
    """A lane for each attempt, so that no two that overlap share one; as few as can be."""
    order = sorted(range(len(one)), key=lambda i: one[i].begin)
    free: list[float] = []
    chosen = [0] * len(one)
    for i in order:
        lane = next((n for n, end in enumerate(free) if end <= one[i].begin), len(free))
        if lane == len(free):
            free.append(0.0)
        free[lane], chosen[i] = one[i].end, lane
    return chosen


def draw_history(ledger: Ledger, out: Path, marks: Mapping[float, str] | None = None) -> None:
    """Draw a PNG: above, every attempt as a bar in its back end's lanes; below, tiles that are done.

    Args:
        ledger: whose events are drawn.
        out: file.
        marks: what happened around it, by time (seconds since 1970).
    """
    found = list(courses(events(ledger)).values())[-_MOST_BARS:]
    names = sorted({course.backend for course in found})
    zero = min((course.begin for course in found), default=0.0)
    figure = Figure(figsize=(13, 7.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    bars, curve = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1.2])
    _draw_bars(bars, found, names, zero)
    _draw_curve(curve, found, names, zero)
    for at, text in (marks or {}).items():
        for axes in (bars, curve):
            axes.axvline((at - zero) / 60, color="#666666", linewidth=0.8, linestyle="--")
        bars.text(
            (at - zero) / 60, 1.0, f" {text}", rotation=55, fontsize=7, transform=bars.get_xaxis_transform()
        )
    curve.set_xlabel("minutes")
    figure.suptitle(f"{ledger.production.name}: {len(found)} batch jobs of the ledger", x=0.01, ha="left")
    with whole_file(out) as part:
        figure.savefig(part, format="png")


def _draw_bars(axes: Axes, found: Sequence[Course], names: Sequence[str], zero: float) -> None:
    base, ticks = 0, []
    for name in names:
        mine = [course for course in found if course.backend == name]
        rows = lanes(mine)
        segments: dict[str, list[list[tuple[float, float]]]] = {
            phase: [] for phase in ("queue", "job", "fetch")
        }
        ends: dict[str, list[tuple[float, float]]] = {"verified": [], "failed": []}
        for course, row in zip(mine, rows, strict=True):
            y = float(base + row)
            for phase, begin, end in course.spans():
                segments[phase].append([((begin - zero) / 60, y), ((end - zero) / 60, y)])
            for kind, mark in _ENDS.items():
                if kind in course.at:
                    ends[mark].append(((course.at[kind] - zero) / 60, y))
        for phase, lines in segments.items():
            axes.add_collection(LineCollection(lines, colors=_COLOURS[phase], linewidths=5, capstyle="butt"))
        for mark, points in ends.items():
            if points:
                x, y_ = np.array(points).T
                axes.scatter(x, y_, s=14, color=_COLOURS[mark], zorder=3)
        height = max(rows, default=0) + 1
        ticks.append(base + (height - 1) / 2)
        base += height + 1
    axes.set_yticks(ticks, list(names))
    axes.set_ylim(base, -1)
    axes.autoscale(axis="x")
    handles = [Line2D([], [], color=_COLOURS[p], linewidth=5) for p in ("queue", "job", "fetch")]
    handles += [Line2D([], [], color=_COLOURS[p], marker="o", linestyle="") for p in ("verified", "failed")]
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    figure.legend(handles, list(_LABELS.values()), fontsize=8, ncols=5, loc="outside lower center")


def _draw_curve(axes: Axes, found: Sequence[Course], names: Sequence[str], zero: float) -> None:
    for name in (*names, None):
        done = np.sort([c.at["verified"] for c in found if "verified" in c.at and name in (None, c.backend)])
        minutes = np.concatenate([[0.0], (done - zero) / 60]) if done.size else np.zeros(1)
        label, colour = (name, None) if name is not None else ("all", "#222222")
        axes.step(minutes, np.arange(minutes.size), where="post", label=label, color=colour)
    axes.set_ylabel("tiles done")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
