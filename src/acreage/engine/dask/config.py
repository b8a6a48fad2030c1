"""Which cluster computes the windows: the value of `--dask`, and the schema of its configuration files.

A file names environment variables and secrets of the cluster, never a secret itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

from acreage.core.errors import InvalidInput

OFF, LOCAL = "off", "local"
_SCHEMES = ("tcp", "tls", "ucx", "ws", "wss")
_HINT = "docs/dask.md has every key; examples/dask has files that work."
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class _Cluster(BaseModel):
    """What all kinds have.

    Attributes:
        wait_s: seconds that a job waits for its first worker.
        patience_s: seconds that a job goes on without any worker before it fails.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    wait_s: PositiveFloat = 600.0
    patience_s: PositiveFloat = 120.0


class _Made(_Cluster):
    """A cluster that is made for the job.

    Attributes:
        workers: worker processes.
        threads: windows that a worker computes at once.
    """

    workers: PositiveInt
    threads: PositiveInt = 1


class LocalCluster(_Cluster):
    """Worker processes on this machine, that end with the job.

    Attributes:
        workers: processes; as many as the job may have threads where it is not given.
        threads: windows that a worker computes at once.
    """

    kind: Literal["local"] = "local"
    workers: PositiveInt | None = None
    threads: PositiveInt = 1


class AddressCluster(_Cluster):
    """A scheduler that runs already.

    Attributes:
        address: as `tcp://host:8786`.
        tls_ca, tls_cert, tls_key: PEM files for a scheduler with TLS.
    """

    kind: Literal["address"] = "address"
    address: str = Field(pattern=r"^[a-z]+://.+")
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


class KubernetesCluster(_Made):
    """Pods made by the operator of dask-kubernetes.

    Attributes:
        name: of the cluster, and of its pods.
        namespace: where they run; the current one where it is not given.
        image: container image with this version of acreage.
        memory: of each worker's pod.
        cpus: of each worker's pod, as Kubernetes writes it; the number of threads where it is not given.
        scratch_claim: a persistent volume claim that many pods can write (ReadWriteMany).
        scratch_path: where it is mounted; the client must see the same volume under the same path.
        secrets: names of Kubernetes secrets whose keys become environment variables of the workers.
        environment: variables of the client's environment that the workers get; no secrets, they would
            stand in the pods' description.
        scheduler_memory: of the scheduler's pod.
    """

    kind: Literal["kubernetes"] = "kubernetes"
    name: str = Field(default="acreage", pattern=r"^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$")
    namespace: str | None = None
    image: str
    memory: ByteSize
    cpus: str | None = None
    scratch_claim: str
    scratch_path: Path
    secrets: tuple[str, ...] = ()
    environment: tuple[Variable, ...] = ()
    scheduler_memory: ByteSize = ByteSize(2_000_000_000)


class GatewayCluster(_Cluster):
    """A cluster of a dask-gateway server.

    Attributes:
        address: of the gateway server.
        proxy_address: of its scheduler proxy, where it is another one.
        auth: `basic`, `kerberos` or `jupyterhub` (its token in JUPYTERHUB_API_TOKEN); as Dask's own
            configuration has it where it is not given.
        username: for `basic`.
        password_variable: environment variable that holds the password, for `basic`.
        workers: worker processes.
        options: cluster options that the server offers, by name.
    """

    kind: Literal["gateway"] = "gateway"
    address: str = Field(pattern=r"^https?://.+")
    proxy_address: str | None = None
    auth: Literal["basic", "kerberos", "jupyterhub"] | None = None
    username: str | None = None
    password_variable: Variable | None = None
    workers: PositiveInt
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)


class SlurmCluster(_Made):
    """Jobs of SLURM, one worker each.

    Attributes:
        queue: partition.
        account: that is charged.
        walltime: of a job, as SLURM writes it.
        memory: of a job; acreage's `--memory` must fit in it.
        interface: network interface over which workers find the scheduler, as `ib0`.
        log_folder: for the jobs' output.
        local_folder: on the nodes, for what Dask itself writes.
        environment: variables that jobs take over from the client's environment, besides PATH and HOME;
            everything where it is not given.
        directives: further `#SBATCH` options.
        prologue: lines of shell that are run before the worker starts.
        python: interpreter on the nodes; the client's where it is not given.
    """

    kind: Literal["slurm"] = "slurm"
    queue: str | None = None
    account: str | None = None
    walltime: str = Field(default="04:00:00", pattern=r"^(\d+-)?\d+(:\d+){0,2}$")
    memory: ByteSize
    interface: str | None = None
    log_folder: Path | None = None
    local_folder: Path | None = None
    environment: tuple[Variable, ...] | None = None
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    python: str | None = None


ClusterConfig = LocalCluster | AddressCluster | KubernetesCluster | GatewayCluster | SlurmCluster
_ANY: TypeAdapter[ClusterConfig] = TypeAdapter(Annotated[ClusterConfig, Field(discriminator="kind")])


def cluster_config(value: str | None) -> ClusterConfig | None:
    """What `--dask` asks for: None for threads of this process.

    Args:
        value: `off` or nothing, `local`, a scheduler's address, or a configuration file.

    Raises:
        InvalidInput: none of these, or the file is not what its kind takes; every problem is listed.
    """
    if not value or value == OFF:
        return None
    if value == LOCAL:
        return LocalCluster()
    scheme, sign, _ = value.partition("://")
    if sign and scheme in _SCHEMES:
        return AddressCluster(address=value)
    path = Path(value)
    if path.suffix not in (".yaml", ".yml", ".json"):
        raise InvalidInput(
            f"{value!r} names no Dask cluster.",
            hint="Give local, an address as tcp://host:8786, a configuration file (.yaml), or off.",
        )
    return _read(path)


def cluster_size(config: ClusterConfig, threads: int) -> tuple[int, int]:
    """(worker processes, threads of each) as the configuration has it, or as far as it says.

    Args:
        config: which cluster.
        threads: of the job, which a local cluster makes that many workers of.
    """
    if isinstance(config, AddressCluster):
        return 1, 1
    if isinstance(config, GatewayCluster):
        return config.workers, 1
    return config.workers or threads, config.threads


def _read(path: Path) -> ClusterConfig:
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The Dask configuration {path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"The Dask configuration {path} is not YAML: {error}.", hint=_HINT) from error
    try:
        return _ANY.validate_python(document)
    except ValidationError as error:
        problems = "; ".join(_problem(p["loc"], p["msg"]) for p in error.errors(include_url=False))
        raise InvalidInput(
            f"The Dask configuration {path} cannot be used: {problems}.", hint=_HINT
        ) from error


def _problem(place: tuple[int | str, ...], message: str) -> str:
    # The first part of a place in one of several kinds is the kind itself.
    name = ".".join(str(part) for part in place[1:])
    return f"{name}: {message}" if name else message


def variables(names: tuple[str, ...]) -> dict[str, str]:
    """Values of environment variables that a configuration names.

    Raises:
        InvalidInput: one of them is not set.
    """
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise InvalidInput(
            f"The Dask configuration names environment variables that are not set: {', '.join(missing)}.",
            hint="Set them, or take them out of the file.",
        )
    return {name: os.environ[name] for name in names}
