"""`acreage execute`: any process graph, no server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from acreage.catalog.access.public import PublicTransport
from acreage.cli.executors import DaskOption, means, means_of_a_plan
from acreage.cli.inputs import (
    NoInspectOption,
    TolerateOption,
    expected_list,
    inspector,
    quarantine_of,
    tell_inputs,
    write_expected,
)
from acreage.cli.plan_table import bytes_text, print_plan
from acreage.cli.runtime import (
    NoRewriteOption,
    budget_of,
    catalog_at,
    model_code,
    parameters_of,
    read_json,
    refuse_unknown_parameters,
    remote_policy,
    window_progress,
)
from acreage.core.errors import InvalidInput
from acreage.core.settings import load_settings
from acreage.engine.parser import parse_graph
from acreage.engine.planner import make_plan
from acreage.engine.run import RunResult, run_plan
from acreage.engine.tolerance import Tolerance
from acreage.engine.user_files import UserFiles


def execute(
    graph: Annotated[Path, typer.Argument(help="The process graph, a JSON file.")],
    catalog: Annotated[
        str | None, typer.Option(help="Catalog file, folder, STAC API address or configuration file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write (.tif, .nc, .json, .csv, .parquet), or a folder.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print the plan and compute nothing.")] = False,
    draw: Annotated[Path | None, typer.Option(help="Draw the plan into this SVG file.")] = None,
    no_rewrite: NoRewriteOption = None,
    parameter: Annotated[
        list[str] | None, typer.Option(help="Value of a parameter of the process, as NAME=VALUE.")
    ] = None,
    memory: Annotated[str | None, typer.Option(help="Memory that the job may use, as 4GB.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Windows that are computed at once.")] = None,
    dask: DaskOption = None,
    items: Annotated[
        bool, typer.Option("--items", help="With --plan: print every expected item and band, too.")
    ] = False,
    items_out: Annotated[
        Path | None, typer.Option(help="Write every expected item and band into this .csv or .json file.")
    ] = None,
    tolerate: TolerateOption = None,
    no_inspect: NoInspectOption = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that are there.")] = False,
) -> None:
    """Run a process graph on a catalog, without a server.

    Example: `acreage execute graph.json --catalog catalog.json --out cube.nc`
    """
    if out is None and not plan and draw is None and items_out is None:
        raise InvalidInput("There is nothing to do.", hint="Give --out FILE, --plan or --draw FILE.svg.")
    tolerance = Tolerance.parse(tolerate or [])
    settings = load_settings()
    console = Console(stderr=True)
    budget = budget_of(settings, memory, threads)
    document, values = read_json(graph, "process graph"), parameters_of(parameter or [])
    refuse_unknown_parameters(values, document)
    parsed = parse_graph(document, values)
    given = means_of_a_plan if plan or out is None else means
    with given(settings, budget, dask) as use:
        quarantine = quarantine_of(settings)
        sources = catalog_at(catalog, settings)
        anywhere = PublicTransport(remote_policy(settings), ["*"])
        files = UserFiles(transport=anywhere, machine_paths=True, model_code=model_code())
        planned = make_plan(
            parsed, sources, use.budget, use.udf, quarantine.read(), no_rewrite or (), files=files
        )
        if items_out is not None:
            write_expected(planned, items_out)
            console.print(f"Written: {items_out}", markup=False, soft_wrap=True)
        if draw is not None:
            from acreage.engine.draw import draw_plan

            draw_plan(planned, draw)
            console.print(f"Drawn: {draw}")
        if plan:
            print_plan(planned, Console(file=sys.stdout))
            if items:
                Console(file=sys.stdout).print(expected_list(planned))
        else:
            for note in planned.notes:
                console.print(f"note: {note}", style="yellow", markup=False)
        if plan or out is None:
            return
        with window_progress(console, "Computing") as progress:
            result = run_plan(
                planned,
                out,
                udf=use.udf,
                executor=use.executor,
                scratch=settings.scratch,
                tolerance=tolerance,
                inspect=inspector(settings, wanted=not no_inspect),
                quarantine=quarantine,
                overwrite=overwrite,
                progress=progress,
            )
    report(result, console)


def report(result: RunResult, console: Console) -> None:
    """Say what was written, read and used."""
    for line in result.udf_log[-20:]:
        console.print(f"udf: {line}", style="dim", markup=False)
    tell_inputs(result.inputs, console)
    for files in result.files:
        for file in files:
            console.print(f"Written: {file}", markup=False, soft_wrap=True)
    u = result.usage
    console.print(f"Inputs: {result.inputs_file}", markup=False, soft_wrap=True)
    console.print(
        f"{len(result.items_read)} items read, {len(result.failures)} assets failed; "
        f"{u.seconds:.1f} s, {u.cpu_seconds:.1f} CPU seconds, peak memory {bytes_text(u.peak_memory)} "
        f"({u.peak_stage})."
    )
    for host, use in u.remote.items():
        console.print(
            f"{host}: {use.requests} requests, {bytes_text(use.bytes)}, {use.retries} retries, "
            f"{use.waits} pauses of {use.waited_s:.1f} s in all, {use.renewals} signatures renewed.",
            markup=False,
            soft_wrap=True,
        )
