"""`acreage udf`: a user-defined function on a file, just as the engine runs it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from acreage.cli.runtime import read_json, udf_packages
from acreage.core.errors import InvalidInput, OutputExists, UdfError, WriteFailed
from acreage.core.settings import Settings, load_settings
from acreage.core.udf import LabelledArray, UdfCode, UdfLogLine
from acreage.udf.contract import UdfLimits
from acreage.udf.direct import call_directly
from acreage.udf.files import as_udf_data, read_array, write_array
from acreage.udf.isolation import isolation_available
from acreage.udf.models import ModelCache
from acreage.udf.runner import ProcessUdfRunner

_STYLES = {"error": "red", "warning": "yellow", "debug": "dim"}
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="""Run a UDF on a file as the engine does, and say whether UDFs can be isolated here.

Example: `acreage udf run ndvi.py --data cube.nc --out ndvi.nc`
""",
)


@app.command("run")
def run(
    code: Annotated[Path, typer.Argument(help="The UDF's source, a Python file.")],
    out: Annotated[
        Path, typer.Option(help="Where the result goes: a data cube as .nc or .json; with --features .json.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="The data cube it is applied to: netCDF (.nc) or .json.")
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="GeoJSON features, for apply_udf_data and apply_vectorcube.")
    ] = None,
    context: Annotated[
        str, typer.Option(help="The UDF's context: a JSON object, or a file that ends in .json.")
    ] = "{}",
    timeout: Annotated[float | None, typer.Option(help="Seconds that the UDF may take.")] = None,
    cpu: Annotated[float | None, typer.Option(help="CPU seconds that the UDF may take.")] = None,
    memory_mb: Annotated[int | None, typer.Option(help="Megabytes of memory that the UDF may take.")] = None,
    no_isolation: Annotated[
        bool,
        typer.Option(
            "--no-isolation",
            help="Call it in this process, without sandbox and limits, so that a debugger can stop in it.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there already.")
    ] = False,
) -> None:
    """Run a UDF on a data cube file: in a process of its own, with the limits and the sandbox of a job.

    Its output goes to standard error, its result to a file.

    Example: `acreage udf run ndvi.py --data cube.nc --context '{"red": "B04"}' --out ndvi.nc`
    """
    if out.exists() and not overwrite:
        raise OutputExists(f"{out} is there already.", hint="Choose another name, or give --overwrite.")
    if data is None and features is None:
        raise InvalidInput("There is nothing to run the UDF on.", hint="Give --data, --features or both.")
    if no_isolation and features is not None:
        raise InvalidInput("--no-isolation takes data cubes only.", hint="Leave out --features.")
    settings = load_settings()
    source, arguments = _read_source(code), _parse_context(context)
    given = None if data is None else read_array(data)
    console = Console(stderr=True)
    if no_isolation and given is not None:
        models = ModelCache(settings.cache / "models")
        array = call_directly(code, source, given, models.localise(arguments))
        _write_cube(out, given, array, console)
        return
    limits = UdfLimits(
        timeout_s=timeout if timeout is not None else settings.udf_timeout_s,
        cpu_seconds=cpu if cpu is not None else settings.udf_cpu_s,
        memory_bytes=int(settings.udf_memory) if memory_mb is None else memory_mb * 1_000_000,
        threads=settings.threads,
    )
    try:
        with _runner(settings, limits) as runner:
            if features is not None:
                document = as_udf_data(read_json(features, "features"), given)
                answer = runner.run_features(UdfCode(source, name=code.name), document, arguments)
                _tell(answer.log, console)
                _write_json(out, answer.data)
            elif given is not None:
                result = runner.run(UdfCode(source, name=code.name), given, arguments)
                _tell(result.log, console)
                _write_cube(out, given, result.array, console)
    except UdfError as error:
        for line in error.log:
            console.print(Text(line), soft_wrap=True)
        raise


@app.command("check")
def check() -> None:
    """Say whether UDFs can be isolated on this machine; exit code 1 where they cannot.

    Example: `acreage udf check`
    """
    state, settings = isolation_available(), load_settings()
    out = Console(file=sys.stdout)
    out.print(Text(state.reason), soft_wrap=True)
    out.print(Text(f"ACREAGE_UDF_ISOLATION is {settings.udf_isolation}."), soft_wrap=True)
    if not state.available:
        raise typer.Exit(1)


def _runner(settings: Settings, limits: UdfLimits) -> ProcessUdfRunner:
    return ProcessUdfRunner(
        limits,
        models=ModelCache(settings.cache / "models"),
        isolation=settings.udf_isolation,
        packages=udf_packages(settings),
    )


def _tell(log: tuple[UdfLogLine, ...], console: Console) -> None:
    for entry in log:
        console.print(Text(str(entry), style=_STYLES.get(entry.level, "")), soft_wrap=True)


def _write_cube(out: Path, given: LabelledArray, array: LabelledArray, console: Console) -> None:
    write_array(out, array)
    console.print(Text(f"{out}: {_described(array)}, from {_described(given)}."), soft_wrap=True)


def _write_json(out: Path, document: Any) -> None:
    try:
        out.write_text(json.dumps(document, indent=1), encoding="utf-8")
    except OSError as error:
        raise WriteFailed(f"{out} cannot be written: {error}.", hint="Check its folder.") from None


def _described(array: LabelledArray) -> str:
    sizes = " x ".join(f"{name} {length}" for name, length in array.sizes.items())
    return f"{sizes} of {array.values.dtype}"


def _read_source(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The UDF {path} cannot be read: {error}.", hint="Give a Python file.") from None


def _parse_context(text: str) -> dict[str, Any]:
    try:
        found = read_json(Path(text), "context") if text.endswith(".json") else json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"The context is not JSON: {error}.", hint="""Write it as --context '{"name": "value"}'."""
        ) from None
    if not isinstance(found, dict):
        raise InvalidInput(
            "The context is not a JSON object.", hint="""As in --context '{"name": "value"}'."""
        )
    return found
