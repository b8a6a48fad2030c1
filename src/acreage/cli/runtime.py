"""What several commands need: the engine with its catalog, budget and UDF runner, and a progress bar."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from acreage.catalog import open_catalog
from acreage.catalog.access import Policy, configure
from acreage.catalog.access.public import PublicTransport
from acreage.catalog.catalog import CompositeCatalog, SourceCatalog
from acreage.catalog.index import IndexPolicy
from acreage.core.errors import InvalidInput
from acreage.core.settings import Settings
from acreage.croptype.udf_source import ARTIFACT_TYPE, udf_source
from acreage.engine.budget import Budget
from acreage.engine.memory import base_memory
from acreage.engine.planner import REWRITES
from acreage.udf.contract import UdfLimits
from acreage.udf.models import ModelCache
from acreage.udf.packages import PackageCache
from acreage.udf.runner import ProcessUdfRunner

BATCH_SHARE = 1 / 8
"""Of the memory of a window's thread, and of what a process of a UDF may take, that batches may take."""
NoRewriteOption = Annotated[
    list[str] | None,
    typer.Option(
        "--no-rewrite",
        metavar="NAME",
        help=f"Compute as the graph says, without this rewrite ({', '.join(REWRITES)}). May be repeated.",
    ),
]


def catalog_at(
    address: str | None, settings: Settings, index: IndexPolicy | None = None
) -> SourceCatalog | CompositeCatalog:
    """The catalog that a command works on, through the index as the settings or `index` say.

    Raises:
        InvalidInput: neither the option nor the setting names one.
        CatalogError: it cannot be read.
    """
    found = address or settings.catalog
    if not found:
        raise InvalidInput("No catalog is given.", hint="Name it with --catalog, or set ACREAGE_CATALOG.")
    configure(remote_policy(settings))
    return open_catalog(found, index=index or index_policy(settings))


def remote_policy(settings: Settings) -> Policy:
    """How hard this process, and each worker process, may ask remote stores."""
    return Policy(
        requests_per_second=settings.remote_requests_per_second,
        connections=settings.remote_connections,
        patience_s=settings.remote_patience_s,
    )


def index_policy(settings: Settings) -> IndexPolicy:
    """Where the catalog index lies and how it is used."""
    return IndexPolicy(
        settings.index or settings.cache / "index", settings.index_use, settings.index_max_age_days
    )


def budget_of(
    settings: Settings, memory: str | None = None, threads: int | None = None, *, base: int | None = None
) -> Budget:
    """Memory and threads from the options, else from the settings; what this process takes already counts.

    Args:
        settings: of the engine.
        memory: as `4GB`.
        threads: how many.
        base: bytes that this process takes, where that is known.

    Raises:
        InvalidInput: the memory is not a size.
    """
    size = int(settings.memory)
    if memory is not None:
        try:
            size = int(TypeAdapter(ByteSize).validate_python(memory))
        except ValidationError as error:
            raise InvalidInput(
                f"{memory!r} is not an amount of memory.", hint="Write it as 4GB or 512MiB."
            ) from error
    return Budget(size, threads or settings.threads, base=base_memory() if base is None else base)


def room_for_batches(settings: Settings, budget: Budget) -> int:
    """Bytes that inference may take for its batches in each process of a UDF: the rest is for windows."""
    shared = (budget.memory - budget.base) / budget.threads
    return round(BATCH_SHARE * min(shared, int(settings.udf_memory)))


def udf_runner(
    settings: Settings, threads: int = 1, trusted: bool = True, reach: Sequence[str] = ()
) -> ProcessUdfRunner:
    """A runner with one child process a thread; models and packages are fetched into the cache.

    Args:
        settings: limits, isolation and the package index.
        threads: that call it at once.
        trusted: whether the UDFs' author may do what this process may; else they are isolated or refused.
        reach: private hosts from which models of those that are not trusted are fetched.
    """
    return ProcessUdfRunner(
        UdfLimits(
            timeout_s=settings.udf_timeout_s,
            cpu_seconds=settings.udf_cpu_s,
            memory_bytes=int(settings.udf_memory),
            threads=1,
        ),
        workers=max(threads, 1),
        models=ModelCache(
            settings.cache / "models",
            local_files=trusted,
            download=None if trusted else PublicDownload(tuple(reach)),
        ),
        isolation=settings.udf_isolation,
        trusted=trusted,
        packages=udf_packages(settings),
    )


@dataclass(frozen=True)
class PublicDownload:
    """Files of the public internet only: what strangers' graphs name must not reach the server's network.

    Attributes:
        reach: hosts that may be asked although they are private.
    """

    reach: tuple[str, ...] = ()

    def __call__(self, address: str, path: Path, most_bytes: int) -> None:
        """As `acreage.udf.models.Download`."""
        PublicTransport(allowed=self.reach).download(address, path, most_bytes)


def model_code() -> dict[str, str]:
    """Source of the functions that run models of the application, by their artifact type."""
    return {ARTIFACT_TYPE: udf_source()}


def udf_packages(settings: Settings) -> PackageCache | None:
    """Where packages that UDFs declare are kept; None where none are installed."""
    if settings.udf_package_index == "none":
        return None
    return PackageCache(
        settings.cache / "udf-packages",
        settings.udf_package_index,
        int(settings.udf_packages_size),
        settings.udf_packages_age_days,
    )


def read_json(path: Path, what: str) -> Any:
    """A JSON document from a file.

    Raises:
        InvalidInput: it is not there or not JSON; the message says where.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The {what} {path} cannot be read: {error}.") from error
    except RecursionError:
        raise InvalidInput(f"The {what} {path} is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"The {what} {path} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}."
        ) from error


def parameters_of(pairs: list[str]) -> Mapping[str, Any]:
    """`NAME=VALUE` options; a value that is JSON is taken as such, else as text.

    Raises:
        InvalidInput: an option has no `=`.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise InvalidInput(f"{pair!r} is not a parameter.", hint="Write it as NAME=VALUE.")
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text
    return values


def refuse_unknown_parameters(values: Mapping[str, Any], document: Any) -> None:
    """Refuse values for parameters that a process neither describes nor uses: a misspelt name would be lost.

    Raises:
        InvalidInput: with the names that the document has.
    """
    known: set[str] = set()
    left = [document]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            described = part.get("parameters")
            for entry in described if isinstance(described, list) else []:
                if isinstance(entry, dict) and isinstance(entry.get("name"), str):
                    known.add(entry["name"])
            if isinstance(part.get("from_parameter"), str):
                known.add(part["from_parameter"])
            left.extend(part.values())
        elif isinstance(part, list):
            left.extend(part)
    if unknown := sorted(set(values) - known):
        raise InvalidInput(
            f"The process has no parameter {', '.join(unknown)}.",
            hint=f"It has: {', '.join(sorted(known)) or 'none'}.",
        )


_REFRESHED_A_SECOND = 2
"""Drawing a bar takes milliseconds of a core that windows are computed on."""


@contextmanager
def window_progress(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar over windows; on a terminal only."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("windows"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    shown = Progress(
        *columns,
        console=console,
        transient=True,
        refresh_per_second=_REFRESHED_A_SECOND,
        disable=not console.is_terminal,
    )
    with shown as progress:
        task = progress.add_task(what, total=None)

        def update(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield update
