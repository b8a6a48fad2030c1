"""Settings of the server, from the environment; the command line gives catalog, address and storage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ByteSize,
    Field,
    HttpUrl,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from acreage.core.settings import SettingsInvalid, settings_problems

SERVER_PREFIX = "ACREAGE_SERVER_"


def _separated(value: Any) -> Any:
    """Parts of a text with commas; browsers write no slash at the end of an origin."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())


class ServerSettings(BaseSettings):
    """How the back end serves; every field is an environment variable (docs/settings.md)."""

    model_config = SettingsConfigDict(env_prefix=SERVER_PREFIX, extra="ignore", frozen=True)

    title: str = Field(default="Acreage", description="Name of the back end that clients show.")
    description: str = Field(
        default="An openEO back end for crop type maps of Sentinel data.",
        description="A paragraph that clients show, CommonMark.",
    )
    public_url: HttpUrl | None = Field(
        default=None,
        description="Address under which clients reach the server, where a proxy stands before it.",
        json_schema_extra={"default": "the address of each request"},
    )
    database: str | None = Field(
        default=None,
        description=(
            "Address of the database of jobs, accounts and stored processes, as "
            "`postgresql://user:password@host/name`."
        ),
        json_schema_extra={"default": "a SQLite file in the storage folder"},
    )
    jobs_at_once: PositiveInt = Field(default=1, description="Batch jobs that this server runs at once.")
    requests_at_once: PositiveInt = Field(
        default=2, description="Synchronous requests (`/result`) that are computed at once."
    )
    jobs_per_user: PositiveInt = Field(
        default=1000, description="Jobs of one user that may be queued or running."
    )
    job_attempts: PositiveInt = Field(
        default=3, description="How often a job is begun whose server or process was killed."
    )
    lease_s: PositiveFloat = Field(
        default=30.0,
        description="Seconds after which a job counts as lost whose server has not said that it lives.",
    )
    sync_timeout_s: PositiveFloat = Field(
        default=600.0, description="Seconds that a synchronous request may be computed."
    )
    job_timeout_s: PositiveFloat = Field(default=7 * 86400.0, description="Seconds that a job may run.")
    token_days: PositiveFloat = Field(
        default=7.0, description="Days after which a login by name and password must be renewed."
    )
    link_days: PositiveFloat = Field(
        default=7.0, description="Days for which signed links to results can be used."
    )
    retention_days: NonNegativeFloat = Field(
        default=0.0, description="Days after their end for which jobs and results are kept; 0: for ever."
    )
    results_days: NonNegativeFloat = Field(
        default=0.0,
        description="Days after a job's end for which its results are kept; the job stays. 0: as the job.",
    )
    results: str | None = Field(
        default=None,
        description=(
            "Bucket of an S3-compatible store for results of batch jobs, as `s3://bucket/prefix` "
            "(docs/operations.md)."
        ),
        json_schema_extra={"default": "the storage folder"},
    )
    results_endpoint: HttpUrl | None = Field(
        default=None,
        description="Address of the store of `results`, where it is not AWS.",
        json_schema_extra={"default": "AWS"},
    )
    results_region: str | None = Field(
        default=None,
        description="Region of the bucket of `results`.",
        json_schema_extra={"default": "as AWS's own settings say"},
    )
    results_profile: str | None = Field(
        default=None,
        description="Profile of AWS's configuration files whose credentials are used for `results`.",
        json_schema_extra={"default": "AWS's usual chain: `AWS_` variables, files, roles"},
    )
    results_redirect: bool = Field(
        default=False,
        description=(
            "Whether links to results in a bucket lead clients to the store itself, by an address that is "
            "signed for an hour; else the server passes the files on."
        ),
    )
    disk_reserve: ByteSize = Field(
        default=ByteSize(500_000_000),
        description="Space that is kept free on the disk of the storage folder: below, jobs wait, and "
        "uploads and synchronous requests are refused.",
    )
    tiles_bytes: ByteSize = Field(
        default=ByteSize(5_000_000_000),
        description="Size of the tiles of all map services that are kept; those unused for longest go first.",
    )
    user_budget: NonNegativeFloat | None = Field(
        default=None,
        description=(
            "What a user may spend in all, in the tariff's currency; `acreage account` gives one user more "
            "or less."
        ),
        json_schema_extra={"default": "no limit"},
    )
    tariff: Path | None = Field(
        default=None,
        description="File with the prices of what jobs use (docs/server.md).",
        json_schema_extra={"default": "jobs cost nothing"},
    )
    process_descriptions: Path | None = Field(
        default=None,
        description=(
            "Folder with the official process descriptions (a checkout of openeo-processes), to list them "
            "word by word (docs/server.md)."
        ),
        json_schema_extra={"default": "the installed descriptions, with our words for what changed since"},
    )
    users: Path | None = Field(
        default=None,
        description="File with accounts that log in by a password, NAME:PASSWORD a line (docs/accounts.md).",
        json_schema_extra={"default": "none"},
    )
    oidc: Path | None = Field(
        default=None,
        description="File with the OpenID Connect providers whose users may log in (docs/accounts.md).",
        json_schema_extra={"default": "none"},
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_separated)] = Field(
        default=("*",), description="Web sites whose scripts may use the API, separated by commas; * for all."
    )
    request_bytes: ByteSize = Field(
        default=ByteSize(10_000_000), description="Size of a request's body at most; uploads have their own."
    )
    upload_bytes: ByteSize = Field(
        default=ByteSize(5_000_000_000), description="Size of a user's files, all together, at most."
    )
    graph_nodes: PositiveInt = Field(default=5000, description="Nodes of a process graph at most.")
    requests_per_minute: PositiveInt = Field(
        default=6000, description="Requests of one user, or of one address without a login, a minute at most."
    )
    private_addresses: bool = Field(
        default=False,
        description=(
            "Whether graphs may name any address of the server's own network: `namespace`, `load_stac`, "
            "`load_url`, `load_ml_model`, models of user-defined functions."
        ),
    )
    private_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_separated)] = Field(
        default=(),
        description=(
            "Hosts of the server's own network that graphs may name, each as `name` or `name:port`, "
            "separated by commas."
        ),
        json_schema_extra={"default": "none"},
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="How the server logs on standard error: `text` for people, or `json`."
    )

    @property
    def reach(self) -> tuple[str, ...]:
        """Hosts that graphs may name although they are private; `*` is all."""
        return ("*",) if self.private_addresses else self.private_hosts


def load_server_settings() -> ServerSettings:
    """Read the server's settings from the environment.

    Raises:
        SettingsInvalid: naming every variable whose value cannot be used.
    """
    try:
        return ServerSettings()
    except ValidationError as error:
        raise SettingsInvalid(
            "The settings cannot be used: " + "; ".join(settings_problems(error, SERVER_PREFIX)) + ".",
            hint="docs/settings.md lists every setting with what it takes.",
        ) from error
