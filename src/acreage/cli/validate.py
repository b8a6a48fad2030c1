"""`acreage validate`: accuracy of a way of training, or of a finished model."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from acreage.cli.croptype_input import SamplesFile, SeasonText, Without, load_samples, names
from acreage.core.errors import InvalidInput, OutputExists
from acreage.core.outputs import check_writable, whole_file
from acreage.croptype import series
from acreage.croptype.labels import Labelled, apply_legend, open_legend
from acreage.croptype.model import architectures
from acreage.croptype.modelfile import open_model
from acreage.croptype.reports import (
    labelled_text,
    model_report,
    score_table,
    validation_data,
    validation_report,
)
from acreage.croptype.training import TrainingOptions
from acreage.croptype.validation import (
    METHODS,
    Method,
    Split,
    Summary,
    evaluate,
    fold_splits,
    region_splits,
    score_model,
    summarise,
)


def validate_command(
    samples: SamplesFile,
    model: Annotated[Path | None, typer.Option(help="Score this model file, and train nothing.")] = None,
    legend: Annotated[str, typer.Option(help="Legend file (JSON), or one of the package.")] = "europe",
    season: SeasonText = None,
    without: Without = None,
    folds: Annotated[int, typer.Option(help="Stratified folds; a group is never split.", min=2)] = 5,
    seeds: Annotated[int, typer.Option(help="Repetitions with seeds 0, 1, ...", min=1)] = 5,
    compare: Annotated[
        str | None, typer.Option(help=f"Other methods on the same splits: {', '.join(METHODS)}.")
    ] = None,
    regions: Annotated[
        int,
        typer.Option(
            help="Also train on one region and score on another, for regions of so many samples; 0: no."
        ),
    ] = 0,
    min_samples: Annotated[
        int, typer.Option(help="Smaller classes go into the legend's other class.", min=2)
    ] = 10,
    architecture: Annotated[
        str, typer.Option(help=f"The model's network: {', '.join(architectures())}.")
    ] = TrainingOptions.architecture,
    members: Annotated[int, typer.Option(help="Networks in the model's ensemble.")] = 5,
    terrain: Annotated[
        bool, typer.Option(help="Use the DEM as a feature; it may tell places apart rather than crops.")
    ] = False,
    fill_gaps: Annotated[
        bool, typer.Option(help="Interpolate interior gaps of S2, as the preprocessing graph does.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Report to write: Markdown (.md) or JSON (.json).")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a report that is there already.")
    ] = False,
) -> None:
    """Measure accuracy on samples that were not trained on.

    Example: `acreage validate samples.parquet --folds 5 --seeds 5 --compare random-forest --out report.md`
    """
    if out is not None and out.suffix not in (".md", ".json"):
        raise InvalidInput(f"--out is {out}.", hint="Name a file that ends in .md or .json.")
    if out is not None:
        if out.exists() and not overwrite:
            raise OutputExists(f"{out} is there already.", hint="Choose another name, or give --overwrite.")
        check_writable(out)
    console = Console()
    series_ = load_samples(samples, season, fill_gaps)
    if model is not None:
        _score(model, series_, samples, out, console)
        return
    if unknown := [m for m in names(compare) if m not in METHODS]:
        raise InvalidInput(
            f"There is no method {', '.join(unknown)}.", hint=f"There are: {', '.join(METHODS)}."
        )
    labelled = apply_legend(series_, open_legend(legend).without(names(without)), min_samples)
    console.print(labelled_text(labelled))
    options = TrainingOptions(
        architecture=architecture, members=members, min_samples=min_samples, terrain=terrain
    )
    methods = {name: METHODS[name](options) for name in dict.fromkeys(["model", *names(compare)])}
    splits = list(
        chain(
            fold_splits(labelled, folds, seeds),
            region_splits(labelled, seeds, regions) if regions else (),
        )
    )
    summaries = _run(labelled, splits, methods, console)
    console.print(_table(summaries))
    command = _command(
        samples,
        f"--folds {folds} --seeds {seeds}",
        compare,
        regions,
        season,
        without,
        terrain,
        fill_gaps,
        architecture,
    )
    _write(
        out, validation_report(labelled, summaries, command), validation_data(labelled, summaries, command)
    )


def _run(
    labelled: Labelled, splits: list[Split], methods: dict[str, Method], console: Console
) -> list[Summary]:
    with Progress(console=console) as bar:
        task = bar.add_task("Validating", total=len(splits) * len(methods))

        def show(line: str) -> None:
            bar.update(task, advance=1, description=line)

        return summarise(evaluate(labelled, iter(splits), methods, show))


def _score(model: Path, samples: series.Samples, path: Path, out: Path | None, console: Console) -> None:
    scores, unknown = score_model(open_model(model), samples)
    command = f"acreage validate {path.name} --model {model.name}"
    console.print(
        f"Accuracy {scores.accuracy:.3f}, macro-F1 {scores.macro_f1:.3f} on {scores.support.sum()} samples."
    )
    console.print(score_table(scores), markup=False, highlight=False)
    _write(
        out,
        model_report(scores, unknown, command),
        {"command": command, "unmapped": unknown, **scores.to_dict()},
    )


def _table(summaries: list[Summary]) -> Table:
    table = Table("experiment", "method", "scored", "accuracy", "macro-F1")
    for s in summaries:
        table.add_row(
            s.experiment,
            s.method,
            str(s.tested),
            f"{s.accuracy:.3f} ± {s.accuracy_sd:.3f}",
            f"{s.macro_f1:.3f} ± {s.macro_f1_sd:.3f}",
        )
    return table


def _command(
    samples: Path,
    counts: str,
    compare: str | None,
    regions: int,
    season: str | None,
    without: str | None,
    terrain: bool,
    fill: bool,
    architecture: str,
) -> str:
    words = ["acreage validate", samples.name, counts]
    words += [f"--season {season}"] if season else []
    words += [f"--without {without}"] if without else []
    words += [f"--compare {compare}"] if compare else []
    words += [f"--regions {regions}"] if regions else []
    words += ["--terrain"] if terrain else []
    words += [] if fill else ["--no-fill-gaps"]
    words += [f"--architecture {architecture}"] if architecture != TrainingOptions.architecture else []
    return " ".join(words)


def _write(out: Path | None, text: str, data: dict[str, object]) -> None:
    if out is None:
        return
    content = text if out.suffix == ".md" else json.dumps(data, indent=2) + "\n"
    with whole_file(out) as partial:
        partial.write_text(content, encoding="utf-8")
