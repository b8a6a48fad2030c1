"""Whether a cluster's workers can do the job: the same software, the same scratch folder."""

from __future__ import annotations

import platform
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distributed import Client

from acreage import __version__
from acreage.core.errors import ScratchFailed
from acreage.engine.dask.errors import ClusterFailed, ScratchNotShared
from acreage.engine.dask.worker import NOT_SHARED, WorkerFacts, introduce

_SAME = "Give all workers the same environment as the client, in the same versions (docs/dask.md)."


def check_workers(client: Client, folder: Path) -> None:
    """Ask every worker for its versions, and to read and write in a folder.

    Args:
        client: of the cluster.
        folder: made for this by the client.

    Raises:
        ClusterFailed: a worker has another version of this software or of Python, or none.
        ScratchNotShared: a worker does not see the folder's files, or cannot write there; or workers of
            several machines share it over NFS.
        ScratchFailed: the client cannot write there.
    """
    token = secrets.token_hex(8)
    try:
        (folder / "token").write_text(token, "utf-8")
    except OSError as error:
        raise ScratchFailed(
            f"Nothing can be written into {folder}: {error.strerror or error}.",
            hint="Make room, or name another folder in ACREAGE_SCRATCH.",
        ) from error
    try:
        answers = client.run(introduce, folder, token, on_error="return")
    except ImportError as error:
        raise _cannot_import("", error) from error
    _check_answers(answers, folder)
    _check_coherent(answers, folder)
    seen = len(list(folder.glob(f"seen-{token}-*")))
    if seen < len(answers):
        raise ScratchNotShared(
            f"{len(answers) - seen} of {len(answers)} Dask workers write into {folder.parent} on their own "
            "machine, where the client does not see it.",
            hint=NOT_SHARED,
        )


def _check_answers(answers: Mapping[str, Any], folder: Path) -> None:
    here = ".".join(platform.python_version_tuple()[:2])
    for address, facts in sorted(answers.items()):
        if isinstance(facts, ImportError):
            raise _cannot_import(address, facts) from facts
        if not isinstance(facts, WorkerFacts):
            raise ClusterFailed(
                f"The Dask worker {address} does not answer: {facts}.", hint="Look at its log, or end it."
            )
        if (facts.version, facts.python) != (__version__, here):
            raise ClusterFailed(
                f"The Dask worker {address} on {facts.host} has acreage {facts.version} with Python "
                f"{facts.python}, the client {__version__} with {here}.",
                hint=_SAME,
            )
        if facts.problem:
            raise ScratchNotShared(
                f"The Dask worker {address} on {facts.host} cannot use the scratch folder {folder.parent}: "
                f"{facts.problem}.",
                hint=NOT_SHARED,
            )


def _check_coherent(answers: Mapping[str, WorkerFacts], folder: Path) -> None:
    """Refuse NFS between several machines.

    Its clients write whole pages, with what they last saw of the bytes around theirs: windows that meet in a
    page, written by two machines, would spoil each other without an error.
    """
    hosts = sorted({facts.host for facts in answers.values()})
    if len(hosts) > 1 and any(facts.file_system.startswith("nfs") for facts in answers.values()):
        raise ScratchNotShared(
            f"The scratch folder {folder.parent} is on NFS, and Dask workers run on {len(hosts)} machines "
            f"({', '.join(hosts[:3])}{', ...' if len(hosts) > 3 else ''}). NFS spoils files that several "
            "machines write to at once.",
            hint="Use a coherent file system (Lustre, BeeGFS, GPFS, CephFS), or workers on one machine.",
        )


def _cannot_import(address: str, error: ImportError) -> ClusterFailed:
    return ClusterFailed(f"The Dask worker {address} cannot import acreage: {error}.", hint=_SAME)
