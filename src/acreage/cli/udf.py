"""`acreage udf`: a user-defined function on a file, just as the engine runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from acreage.core.errors import InvalidInput, OutputExists, UdfError
from acreage.core.settings import load_settings
from acreage.core.udf import LabelledArray, UdfCode
from acreage.udf.contract import UdfLimits
from acreage.udf.files import read_array, write_array
from acreage.udf.models import ModelCache
from acreage.udf.runner import ProcessUdfRunner

_STYLES = {"error": "red", "warning": "yellow", "debug": "dim"}


def udf(
    code: Annotated[Path, typer.Argument(help="The UDF's source, a Python file.")],
    cube: Annotated[Path, typer.Option(help="The data cube it is applied to: netCDF (.nc) or .json.")],
    out: Annotated[Path, typer.Option(help="Where the resulting data cube goes: .nc or .json.")],
    context: Annotated[str, typer.Option(help="The UDF's context: a JSON object.")] = "{}",
    timeout: Annotated[float | None, typer.Option(help="Seconds that the UDF may take.")] = None,
    memory_mb: Annotated[int | None, typer.Option(help="Megabytes of memory that the UDF may take.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there already.")
    ] = False,
) -> None:
    """Run a UDF on a data cube file, in a process of its own, as the engine does.

    Its output goes to standard error, its result to a file.

    Example: `acreage udf ndvi.py --cube cube.nc --context '{"red": "B04"}' --out ndvi.nc`
    """
    if out.exists() and not overwrite:
        raise OutputExists(f"{out} is there already.", hint="Choose another name, or give --overwrite.")
    settings = load_settings()
    source = UdfCode(_read_source(code), name=code.name)
    arguments = _parse_context(context)
    limits = UdfLimits(
        timeout_s=timeout if timeout is not None else settings.udf_timeout_s,
        memory_bytes=settings.udf_memory if memory_mb is None else memory_mb * 1_000_000,
        threads=settings.threads,
    )
    given = read_array(cube)
    console = Console(stderr=True)
    with ProcessUdfRunner(limits, models=ModelCache(settings.cache / "models")) as runner:
        try:
            result = runner.run(source, given, arguments)
        except UdfError as error:
            for line in error.log:
                console.print(Text(line), soft_wrap=True)
            raise
    for entry in result.log:
        console.print(Text(str(entry), style=_STYLES.get(entry.level, "")), soft_wrap=True)
    write_array(out, result.array)
    console.print(Text(f"{out}: {_described(result.array)}, from {_described(given)}."), soft_wrap=True)


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
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"The context is not JSON: {error}.", hint="""Write it as --context '{"name": "value"}'."""
        ) from None
    if not isinstance(found, dict):
        raise InvalidInput(
            "The context is not a JSON object.", hint="""As in --context '{"name": "value"}'."""
        )
    return found
