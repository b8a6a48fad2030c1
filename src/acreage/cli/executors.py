"""Who computes the windows at the command line: threads of this process, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from acreage.cli.runtime import remote_policy, udf_runner
from acreage.core.settings import Settings
from acreage.engine.budget import Budget
from acreage.engine.executors import Executor
from acreage.udf.runner import ProcessUdfRunner

if TYPE_CHECKING:
    from acreage.engine.dask.config import ClusterConfig

DaskOption = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="CLUSTER",
        help=(
            "Compute on Dask workers: local (as many as --threads, --memory for each), the address of a "
            "scheduler (tcp://host:8786), a configuration file (docs/dask.md), or off."
        ),
    ),
]


@dataclass(frozen=True)
class Means:
    """What a job computes with.

    Attributes:
        budget: memory and threads, of each process that computes.
        udf: runner of user-defined functions; travels to the processes that compute.
        executor: None for threads of this process.
    """

    budget: Budget
    udf: ProcessUdfRunner
    executor: Executor | None = None


@contextmanager
def means(
    settings: Settings,
    budget: Budget,
    dask: str | None,
    *,
    threads: int | None = None,
    trusted: bool = True,
    reach: Sequence[str] = (),
) -> Iterator[Means]:
    """The executor that the option or the setting names, with what goes along with it.

    Args:
        settings: of the command.
        budget: from the options.
        dask: the option `--dask`.
        threads: UDF processes without a cluster; the budget's threads where it is not given.
        trusted: whether the graph's user-defined functions may do what this process may.
        reach: private hosts from which models of those that may not are fetched.

    Raises:
        InvalidInput: the option names no cluster, or its file cannot be used.
        ClusterFailed: the cluster cannot be reached or made, or its workers are not fit.
        ScratchNotShared: a worker does not see the scratch folder.
    """
    config = _config(settings, dask)
    if config is None:
        with udf_runner(settings, threads or budget.threads, trusted, reach) as udf:
            yield Means(budget, udf)
        return
    from acreage.engine.dask.clusters import open_executor
    from acreage.engine.dask.config import cluster_size

    with (
        open_executor(
            config,
            scratch=settings.scratch,
            memory=budget.memory,
            threads=budget.threads,
            policy=remote_policy(settings),
        ) as executor,
        udf_runner(settings, executor.threads, trusted, reach) as udf,
    ):
        # Workers that have not come yet count: windows are cut for all.
        processes = max(executor.workers, cluster_size(config, budget.threads)[0])
        yield Means(replace(budget, threads=executor.threads, processes=processes), udf, executor)


@contextmanager
def means_of_a_plan(settings: Settings, budget: Budget, dask: str | None) -> Iterator[Means]:
    """As `means`, for a plan that is not run: no cluster is made or reached, its size is as configured."""
    config = _config(settings, dask)
    if config is not None:
        from acreage.engine.dask.config import cluster_size

        processes, threads = cluster_size(config, budget.threads)
        budget = replace(budget, threads=threads, processes=processes)
    with udf_runner(settings, 1) as udf:
        yield Means(budget, udf)


def _config(settings: Settings, dask: str | None) -> ClusterConfig | None:
    value = dask or settings.dask
    if value is None:
        return None
    from acreage.engine.dask.config import cluster_config

    return cluster_config(value)
