"""`acreage train`: a model and its card from labelled time series."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from acreage.cli.croptype_input import (
    Landcover,
    SamplesFile,
    SeasonText,
    Without,
    load_samples,
    names,
    parse_landcover,
)
from acreage.core.errors import InvalidInput, OutputExists
from acreage.core.legend import Legend
from acreage.core.outputs import check_writable, whole_file
from acreage.croptype.labels import open_legend, shipped_legends
from acreage.croptype.model import TrainedModel, architectures
from acreage.croptype.model_card import model_card
from acreage.croptype.model_item import write_model_item
from acreage.croptype.modelfile import save_model
from acreage.croptype.precision import compare_precisions
from acreage.croptype.reports import score_table
from acreage.croptype.series import Samples
from acreage.croptype.training import TrainingOptions, train
from acreage.croptype.validation import score_model


def train_command(
    samples: SamplesFile,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Model file to write; its card (.md) and STAC item (.json) go beside it."
        ),
    ],
    legend: Annotated[
        str, typer.Option(help=f"Legend file (JSON), or one of the package: {', '.join(shipped_legends())}.")
    ] = "europe",
    season: SeasonText = None,
    landcover: Landcover = "40",
    without: Without = None,
    holdout: Annotated[
        str | None,
        typer.Option(
            help="`region=NAME`, `group=NAME` or `label=NAME`: samples not trained on, scored at the end."
        ),
    ] = None,
    architecture: Annotated[
        str,
        typer.Option(help=f"Network: {', '.join(architectures())} (docs/architectures.md compares them)."),
    ] = TrainingOptions.architecture,
    teacher: Annotated[
        str | None, typer.Option(help="Network that each member also learns from (distillation).")
    ] = None,
    members: Annotated[int, typer.Option(help="Networks in the ensemble; each holds out another part.")] = 5,
    epochs: Annotated[int, typer.Option(help="Passes over the samples, at most.")] = 150,
    patience: Annotated[int, typer.Option(help="Epochs without progress before a member stops.")] = 25,
    min_samples: Annotated[int, typer.Option(help="Smaller classes go into the legend's other class.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed and samples give the same model.", min=0)] = 0,
    terrain: Annotated[
        bool, typer.Option(help="Use the DEM as a feature; it may tell places apart rather than crops.")
    ] = False,
    fill_gaps: Annotated[
        bool, typer.Option(help="Interpolate interior gaps of S2, as the preprocessing graph does.")
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model that is there already.")
    ] = False,
) -> None:
    """Train a crop type model on labelled time series.

    SAMPLES is a file of `acreage sample`, or WorldCereal dekad series (GeoParquet).

    Example: `acreage train samples.parquet --without grassland,vineyards,other_permanent --out model.pt`
    """
    if out.exists() and not overwrite:
        raise OutputExists(f"{out} is there already.", hint="Choose another name, or give --overwrite.")
    console = Console()
    options = TrainingOptions(
        architecture=architecture,
        teacher=teacher or "",
        members=members,
        epochs=epochs,
        patience=patience,
        min_samples=min_samples,
        seed=seed,
        terrain=terrain,
    )
    check_writable(out)
    chosen = open_legend(legend).without(names(without))
    series = load_samples(samples, season, fill_gaps)
    kept_out = _held_out(holdout, {"region": series.regions, "group": series.groups, "label": series.labels})
    model = _train(series.select(~kept_out), chosen, parse_landcover(landcover), options)
    digest = save_model(model, out)
    check = compare_precisions(model.classifier, model.values_of(series.select(~kept_out)))
    _write_card(out.with_suffix(".md"), model_card(model, digest, check))
    write_model_item(model, out, digest)
    _tell(console, model, out, digest)
    if kept_out.any():
        scores, _ = score_model(model, series.select(kept_out))
        console.print(
            f"On the {int(scores.support.sum())} samples of {holdout}, never trained on: "
            f"accuracy {scores.accuracy:.3f}, macro-F1 {scores.macro_f1:.3f}."
        )
        console.print(score_table(scores), markup=False, highlight=False)


def _train(
    samples: Samples, legend: Legend, landcover: tuple[int, ...], options: TrainingOptions
) -> TrainedModel:
    members, epochs = options.members, options.epochs
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn()
    ) as bar:
        task = bar.add_task("Training", total=members * epochs, note="")

        def show(member: int, epoch: int, _at_most: int, loss: float) -> None:
            note = f"member {member + 1} of {members}, epoch {epoch}, held-out loss {loss:.3f}"
            bar.update(task, completed=member * epochs + epoch, note=note)

        model = train(samples, legend, landcover, options, show)
        bar.update(task, completed=members * epochs)
    return model


def _held_out(holdout: str | None, columns: dict[str, NDArray[np.str_]]) -> NDArray[np.bool_]:
    if holdout is None:
        return np.zeros(len(columns["region"]), dtype=bool)
    column, _, name = holdout.partition("=")
    if column not in columns or not name:
        raise InvalidInput(
            f"--holdout is {holdout!r}.", hint="Write it as region=NAME, group=NAME or label=NAME."
        )
    chosen = columns[column] == name
    if not chosen.any() or chosen.all():
        there = sorted(set(columns[column].tolist()))[:10]
        raise InvalidInput(
            f"--holdout {holdout} keeps {'no' if not chosen.any() else 'every'} sample out.",
            hint=f"Values of {column}: {', '.join(t for t in there if t) or 'none'}.",
        )
    return np.asarray(chosen)


def _write_card(path: Path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _tell(console: Console, model: TrainedModel, out: Path, digest: str) -> None:
    unmapped, dropped = model.training["unmapped_labels"], model.training["dropped_classes"]
    console.print(
        f"Trained on {sum(model.training['samples'].values())} samples "
        f"in {len(model.legend.classes)} classes: accuracy {model.metrics['accuracy']:.3f}, "
        f"macro-F1 {model.metrics['macro_f1']:.3f} ({model.metrics['how']})."
    )
    if unmapped or dropped:
        console.print(
            f"Left out: {sum(unmapped.values())} samples whose label belongs to no class, "
            f"{sum(dropped.values())} in classes too small."
        )
    console.print(
        f"Model: {out}\nCard: {out.with_suffix('.md')}\nItem: {out.with_suffix('.json')}\nsha256: {digest}",
        soft_wrap=True,
    )
