"""From a configuration to an executor. A cluster that is made for a job ends with it."""

from __future__ import annotations

import importlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dask.config
import distributed

from acreage.catalog.access import Policy
from acreage.core.errors import InvalidInput
from acreage.engine.dask.config import (
    AddressCluster,
    ClusterConfig,
    GatewayCluster,
    KubernetesCluster,
    LocalCluster,
    SlurmCluster,
    variables,
)
from acreage.engine.dask.errors import ClusterFailed, ClusterPackageMissing
from acreage.engine.dask.executor import DaskExecutor
from acreage.engine.dask.kubernetes import kubernetes_resource
from acreage.engine.store import scratch_folder

#: A worker this far above what the plan may use is ended before the machine runs out of memory.
_TOLERATED = 1.25
_CONNECT_S = 30.0
_DASK_CONFIG: dict[str, Any] = {
    # Results are small and rasters are on disk: there is nothing to spill, and a worker near its limit has to
    # end its windows, not to wait.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 1.0,
    "distributed.comm.timeouts.connect": f"{_CONNECT_S:g}s",
}


@contextmanager
def open_executor(
    config: ClusterConfig,
    *,
    scratch: Path | None,
    memory: int,
    threads: int,
    policy: Policy | None = None,
) -> Iterator[DaskExecutor]:
    """An executor on the cluster, for as long as the context lasts.

    Args:
        config: which cluster.
        scratch: folder that the client and all workers see; None: the system's temporary folder.
        memory: bytes that the plan may use in each worker process.
        threads: workers of a local cluster that does not say how many.
        policy: how hard each worker process may ask remote stores.

    Raises:
        ClusterPackageMissing: the package that makes this kind of cluster is not installed.
        ClusterFailed: it cannot be reached or made, or its workers are not fit.
        ScratchNotShared: a worker does not see the scratch folder.
        InvalidInput: workers have less memory than the plan may use.
    """
    _check_memory(config, memory)
    _quiet()
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_DASK_CONFIG))
        client = stack.enter_context(_connected(config, scratch, memory, threads))
        executor = stack.enter_context(
            DaskExecutor(
                client,
                scratch,
                policy=policy,
                wait_s=config.wait_s,
                patience_s=config.patience_s,
                interrupts=not isinstance(config, LocalCluster),
            )
        )
        _check_limits(client, memory)
        yield executor


def slurm_cluster(config: SlurmCluster) -> Any:
    """The `dask_jobqueue.SLURMCluster` of a configuration, without a job yet.

    Raises:
        ClusterPackageMissing: dask-jobqueue is not installed.
        InvalidInput: a variable that the configuration names is not set.
    """
    module = _package("dask_jobqueue", "slurm")
    directives = list(config.directives)
    if config.environment is not None:
        variables(config.environment)  # all set, or refused before anything is queued
        directives.append(f"--export={','.join(('PATH', 'HOME', *config.environment))}")
    return module.SLURMCluster(
        queue=config.queue,
        account=config.account,
        walltime=config.walltime,
        cores=config.threads,
        processes=1,
        memory=f"{int(config.memory)} B",
        interface=config.interface,
        log_directory=None if config.log_folder is None else str(config.log_folder),
        local_directory=None if config.local_folder is None else str(config.local_folder),
        job_extra_directives=directives,
        job_script_prologue=list(config.prologue),
        python=config.python or sys.executable,
        job_name="acreage",
        scheduler_options={"dashboard_address": ":0"},
        worker_extra_args=["--no-dashboard"],
    )


@contextmanager
def _connected(
    config: ClusterConfig, scratch: Path | None, memory: int, threads: int
) -> Iterator[distributed.Client]:
    refusals: tuple[type[Exception], ...] = (
        OSError,
        RuntimeError,
        TimeoutError,
        ValueError,
        *_refusals(config),
    )
    with ExitStack() as stack:
        try:
            if isinstance(config, AddressCluster):
                client = distributed.Client(
                    config.address,
                    timeout=_CONNECT_S,
                    security=_security(config),
                    set_as_default=False,
                )
            else:
                cluster = stack.enter_context(_made(config, scratch, memory, threads))
                client = distributed.Client(cluster, timeout=_CONNECT_S, set_as_default=False)
            # Not entered as a context: it would compute what others hand to Dask in this process, too.
            stack.callback(client.close)
        except refusals as error:
            where = config.address if isinstance(config, AddressCluster | GatewayCluster) else config.kind
            raise ClusterFailed(
                f"The Dask cluster {where} cannot be reached or made: {error}.",
                hint="Check the address, that its scheduler runs, and the network between.",
            ) from error
        yield client


def _made(config: ClusterConfig, scratch: Path | None, memory: int, threads: int) -> Any:
    if isinstance(config, LocalCluster):
        return _local(config, scratch, memory, threads)
    if isinstance(config, SlurmCluster):
        cluster = slurm_cluster(config)
        cluster.scale(jobs=config.workers)
        return cluster
    if isinstance(config, KubernetesCluster):
        module = _package("dask_kubernetes.operator", "kubernetes")
        return module.KubeCluster(
            namespace=config.namespace, custom_cluster_spec=kubernetes_resource(config), quiet=True
        )
    assert isinstance(config, GatewayCluster)
    return _gateway(config)


def _refusals(config: ClusterConfig) -> tuple[type[Exception], ...]:
    """How a cluster's package says that it cannot make one, besides with Python's own errors."""
    if isinstance(config, GatewayCluster):
        module = _package("dask_gateway", "gateway")
        return module.GatewayClusterError, module.GatewayServerError
    if isinstance(config, KubernetesCluster):
        module, kr8s = _package("dask_kubernetes.exceptions", "kubernetes"), _package("kr8s", "kubernetes")
        return (
            module.CrashLoopBackOffError,
            module.SchedulerStartupError,
            kr8s.APITimeoutError,
            kr8s.NotFoundError,
            kr8s.ServerError,
        )
    return ()


def _gateway(config: GatewayCluster) -> Any:
    module = _package("dask_gateway", "gateway")
    auth: Any = config.auth
    if config.auth == "basic":
        named = () if config.password_variable is None else (config.password_variable,)
        password = next(iter(variables(named).values()), None)
        auth = module.BasicAuth(username=config.username, password=password)
    gateway = module.Gateway(address=config.address, proxy_address=config.proxy_address, auth=auth)
    cluster = gateway.new_cluster(**config.options)
    cluster.scale(config.workers)
    return cluster


@contextmanager
def _local(config: LocalCluster, scratch: Path | None, memory: int, threads: int) -> Iterator[Any]:
    with scratch_folder(scratch) as folder:
        with _interrupts_ignored():
            cluster = distributed.LocalCluster(
                n_workers=config.workers or threads,
                threads_per_worker=config.threads,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                memory_limit=int(memory * _TOLERATED),
                local_directory=str(folder),
                silence_logs=logging.CRITICAL,
            )
        with cluster:
            yield cluster


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """While worker processes start, so that Ctrl-C reaches this process only: it ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _security(config: AddressCluster) -> Any:
    if config.tls_ca is None:
        return None
    files = {
        "tls_ca_file": config.tls_ca,
        "tls_client_cert": config.tls_cert,
        "tls_client_key": config.tls_key,
    }
    given = {name: str(path) for name, path in files.items() if path is not None}
    return distributed.Security(**given, require_encryption=True)


def _check_memory(config: ClusterConfig, memory: int) -> None:
    if isinstance(config, KubernetesCluster | SlurmCluster) and memory > config.memory:
        raise InvalidInput(
            f"The plan may use {memory / 1e9:g}GB in each worker, and the Dask configuration gives each "
            f"{config.memory / 1e9:g}GB.",
            hint=f"Give --memory {config.memory / 1e9:g}GB, or workers more memory.",
        )


def _check_limits(client: distributed.Client, memory: int) -> None:
    workers = client.scheduler_info(n_workers=-1)["workers"]
    for address, facts in sorted(workers.items()):
        limit = int(facts.get("memory_limit") or 0)
        if 0 < limit < memory:
            raise InvalidInput(
                f"The plan may use {memory / 1e9:g}GB in each worker, and the Dask worker {address} is ended "
                f"above {limit / 1e9:g}GB.",
                hint=f"Give --memory {limit / 1e9:.2g}GB, or start workers with a higher --memory-limit.",
            )


def _package(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ClusterPackageMissing(
            f"The package for this kind of Dask cluster is not installed: {error}.",
            hint=f"Install it with pip install 'acreage[{extra}]'.",
        ) from error


def _quiet() -> None:
    """Dask tells of every worker that comes or goes; we tell what matters, unless everything is logged."""
    if logging.getLogger().getEffectiveLevel() > logging.DEBUG:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
