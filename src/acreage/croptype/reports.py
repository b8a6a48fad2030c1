"""Accuracy reports as Markdown and JSON-ready data."""

from __future__ import annotations

from typing import Any

from acreage.croptype.labels import Labelled
from acreage.croptype.metrics import Scores
from acreage.croptype.validation import Summary


def score_table(scores: Scores) -> str:
    """Precision, recall and F1 of every class as a Markdown table."""
    lines = ["| class | samples | precision | recall | F1 |", "|---|---:|---:|---:|---:|"]
    for name, n, p, r, f in zip(
        scores.names, scores.support, scores.precision, scores.recall, scores.f1, strict=True
    ):
        lines.append(f"| {name} | {n} | {p:.2f} | {r:.2f} | {f:.2f} |")
    return "\n".join(lines)


def confusion_table(scores: Scores) -> str:
    """The confusion matrix as a Markdown table; rows are the reference, columns the prediction."""
    numbers = [str(i + 1) for i in range(len(scores.names))]
    lines = [
        "| reference \\ predicted | " + " | ".join(numbers) + " |",
        "|---|" + "---:|" * len(numbers),
    ]
    for number, name, row in zip(numbers, scores.names, scores.confusion, strict=True):
        lines.append(f"| {number} {name} | " + " | ".join(str(v) if v else "" for v in row) + " |")
    return "\n".join(lines)


def summary_table(summaries: list[Summary]) -> str:
    """One row a method and experiment: mean and standard deviation over seeds."""
    lines = [
        "| experiment | method | scored | seeds | accuracy | macro-F1 |",
        "|---|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {s.experiment} | {s.method} | {s.tested} | {s.seeds} "
        f"| {s.accuracy:.3f} ± {s.accuracy_sd:.3f} | {s.macro_f1:.3f} ± {s.macro_f1_sd:.3f} |"
        for s in summaries
    ]
    return "\n".join(lines)


def labelled_text(labelled: Labelled) -> str:
    """In words: how many samples, what was merged, and what was left out."""
    counts = ", ".join(
        f"{name} {int((labelled.targets == i).sum())}" for i, name in enumerate(labelled.names)
    )
    text = f"{len(labelled.samples)} samples in {len(labelled.names)} classes: {counts}."
    if labelled.merged:
        text += f" Too few samples, merged into the other class: {', '.join(labelled.merged)}."
    if labelled.dropped:
        text += f" Too few samples, left out: {_counted(labelled.dropped)}."
    if labelled.unmapped:
        text += f" Labels that belong to no class, left out: {_counted(labelled.unmapped)}."
    return text


def validation_report(labelled: Labelled, summaries: list[Summary], command: str) -> str:
    """The whole report of a validation run."""
    parts = [
        "# Validation",
        f"Made by `{command}`.",
        labelled_text(labelled),
        "A seed's folds are pooled, then seeds are averaged; ± is the standard deviation over seeds. "
        "Macro-F1 is the mean F1 of the classes that the scored samples hold.",
        summary_table(summaries),
    ]
    for item in summaries:
        parts += [
            f"## {item.experiment}: {item.method}",
            score_table(item.pooled),
            confusion_table(item.pooled),
        ]
    return "\n\n".join(parts) + "\n"


def validation_data(labelled: Labelled, summaries: list[Summary], command: str) -> dict[str, Any]:
    """The same as JSON-ready data."""
    return {
        "command": command,
        "samples": len(labelled.samples),
        "classes": labelled.names,
        "merged": list(labelled.merged),
        "dropped": labelled.dropped,
        "unmapped": labelled.unmapped,
        "results": [s.to_dict() for s in summaries],
    }


def model_report(scores: Scores, unknown: dict[str, int], command: str) -> str:
    """The report of a finished model on samples."""
    parts = [
        "# Validation of a model",
        f"Made by `{command}`.",
        f"Accuracy {scores.accuracy:.3f}, macro-F1 {scores.macro_f1:.3f} on {int(scores.support.sum())} "
        "samples. Honest only if the model was not trained on them.",
    ]
    if unknown:
        parts.append(f"Labels that the model's legend does not know, left out: {_counted(unknown)}.")
    return "\n\n".join([*parts, score_table(scores), confusion_table(scores)]) + "\n"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{k} ({v})" for k, v in counts.items())
