"""The typed settings: one frozen value, read from `ACREAGE_` environment variables when asked for.

Nothing is read at import. The command line reads the settings once (`load_settings`) and hands each part what
it needs; no other part looks into the environment. docs/settings.md is generated from the fields below.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    ByteSize,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from acreage.core.errors import InvalidInput

PREFIX = "ACREAGE_"
LogLevel = Literal["debug", "info", "warning", "error"]
# Under this, numba's and GDAL's own buffers leave nothing for a window.
LEAST_MEMORY = 256 * 1024**2


class SettingsInvalid(InvalidInput):
    """A setting in the environment has a value that cannot be used."""

    code = "SettingsInvalid"


def _cores() -> int:
    """CPU cores this process may use: a container's or a job's share, not the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "acreage"


class Settings(BaseSettings):
    """Everything that a machine or an operator may choose; each has a default that works.

    A field's `json_schema_extra["default"]` is how its default reads in docs/settings.md, where the default
    depends on the machine.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, validate_default=True, env_ignore_empty=True, extra="forbid"
    )

    threads: PositiveInt = Field(
        default_factory=_cores,
        description="Threads that one job computes with.",
        json_schema_extra={"default": "the CPU cores that the process may use"},
    )
    memory: ByteSize = Field(
        default=ByteSize(4_000_000_000),
        description=(
            "Memory that one job may use, all its processes together, at least 256MiB; windows are sized to "
            "fit it. A number of bytes, or one with a unit: 4GB, 512MiB."
        ),
        json_schema_extra={"default": "4GB"},
    )
    scratch: Path | None = Field(
        default=None,
        description=(
            "Folder for what a job spills while it runs; fast and local, or shared by all workers of a Dask "
            "cluster."
        ),
        json_schema_extra={"default": "the system's folder for temporary files"},
    )
    cache: Path = Field(
        default_factory=_user_cache,
        description="Folder for what is worth keeping between runs: compiled kernels, fetched models.",
        json_schema_extra={"default": "`$XDG_CACHE_HOME/acreage`, else `~/.cache/acreage`"},
    )
    quarantine: Path | None = Field(
        default=None,
        description=(
            "Folder for the list of products that no job uses, and for what was found out about files; one "
            "for all machines of a production."
        ),
        json_schema_extra={"default": "`quarantine` in the cache folder"},
    )
    log_level: LogLevel = Field(
        default="warning",
        description="How much is logged on standard error: debug, info, warning or error.",
    )
    udf_timeout_s: PositiveFloat = Field(
        default=600.0, description="Seconds that one call of a user-defined function may take."
    )
    udf_cpu_s: PositiveFloat | None = Field(
        default=None,
        description=(
            "CPU seconds that one call of a user-defined function may take, all its threads and processes "
            "together."
        ),
        json_schema_extra={"default": "no limit"},
    )
    udf_memory: ByteSize = Field(
        default=ByteSize(2_000_000_000),
        description=(
            "Memory at which one process of a user-defined function is stopped. What it is expected to need "
            "is planned within `memory`."
        ),
        json_schema_extra={"default": "2GB"},
    )
    udf_isolation: Literal["auto", "bubblewrap", "none"] = Field(
        default="auto",
        description=(
            "How user-defined functions are kept from the network, files and other processes: `auto` (by "
            "bubblewrap where it works, else by limits of time and memory only), `bubblewrap` (refused "
            "without it) or `none` (limits only). Those of users who are not trusted are refused without "
            "bubblewrap (docs/udf-security.md)."
        ),
    )
    udf_package_index: str | None = Field(
        default=None,
        description=(
            "Where packages that user-defined functions declare are installed from: the address of a package "
            "index, a folder of wheels, or `none`: nothing is installed."
        ),
        json_schema_extra={"default": "what pip is configured for"},
    )
    udf_packages_size: ByteSize = Field(
        default=ByteSize(5_000_000_000),
        description=(
            "Size of the packages of one user-defined function, and of all that are kept together: those "
            "unused for longest go first."
        ),
        json_schema_extra={"default": "5GB"},
    )
    udf_packages_age_days: PositiveFloat = Field(
        default=30.0,
        description="Days after which packages of user-defined functions are looked up and installed anew.",
    )
    catalog: str | None = Field(
        default=None,
        description=(
            "The catalog that commands use when `--catalog` is not given: a catalog file, a folder, a STAC "
            "API address or a configuration file."
        ),
        json_schema_extra={"default": "none"},
    )

    dask: str | None = Field(
        default=None,
        description=(
            "Where windows are computed when `--dask` is not given: `local` (Dask workers on this machine), "
            "the address of a Dask scheduler, a configuration file (docs/dask.md), or `off`."
        ),
        json_schema_extra={"default": "`off`: threads of one process"},
    )

    remote_requests_per_second: PositiveFloat = Field(
        default=100.0,
        description="Requests that all threads together may send to one host of a remote store each second.",
    )
    remote_connections: PositiveInt = Field(
        default=16, description="Requests to one host of a remote store that may be under way at once."
    )
    remote_patience_s: PositiveFloat = Field(
        default=300.0,
        description=(
            "Seconds that one request to a remote store may take, with all its repetitions and the pauses "
            "that the server asks for, before its file counts as unreadable."
        ),
    )

    index: Path | None = Field(
        default=None,
        description="Folder for the catalog index: what searches found, kept for every later job.",
        json_schema_extra={"default": "`index` in `ACREAGE_CACHE`"},
    )
    index_use: Literal["network", "always", "never"] = Field(
        default="network",
        description=(
            "Which catalogs are read through an index: `network` for those over the network, `always` for "
            "those at hand as well, or `never`."
        ),
    )
    index_max_age_days: NonNegativeFloat | None = Field(
        default=None,
        description="Days after which the index asks a catalog anew by itself.",
        json_schema_extra={"default": "never"},
    )

    @model_validator(mode="after")
    def _enough_memory(self) -> Self:
        for name in ("memory", "udf_memory"):
            if getattr(self, name) < LEAST_MEMORY:
                raise ValueError(f"{PREFIX}{name.upper()} is under 256MiB")
        return self

    @model_validator(mode="after")
    def _folders_are_folders(self) -> Self:
        for name in ("scratch", "cache", "quarantine", "index"):
            folder = getattr(self, name)
            if folder is not None and folder.exists() and not folder.is_dir():
                raise ValueError(f"{PREFIX}{name.upper()} names {folder}, which is not a folder")
        return self


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsInvalid: naming every variable whose value cannot be used.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsInvalid(
            "The settings cannot be used: " + "; ".join(settings_problems(error, PREFIX)) + ".",
            hint="docs/settings.md lists every setting with what it takes.",
        ) from error


def settings_problems(error: ValidationError, prefix: str) -> list[str]:
    """What is wrong with each variable, for a person."""
    problems = []
    for detail in error.errors(include_url=False):
        text = detail["msg"].removeprefix("Value error, ")
        if detail["loc"]:
            text = f"{prefix}{str(detail['loc'][0]).upper()}={detail['input']!r}: {text}"
        problems.append(text)
    return problems
