"""What the runner needs of the application's science: a tile's job, and the check of its product."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from acreage.production.backends import Fetched, JobRequest
from acreage.production.ledger.values import Attempt, TileRecord


class JobMaker(Protocol):
    """Makes the jobs of tiles, in the words of each back end. Safe to use from several threads."""

    def request(self, tile: TileRecord, attempt: Attempt) -> JobRequest:
        """The job of an attempt.

        Args:
            tile: which.
            attempt: whose back end, token and memory it is for.

        Raises:
            AcreageError: there can be no such job; the tile is held.
        """
        ...


class Products(Protocol):
    """Takes in the products of tiles. Safe to use from several threads."""

    def accept(self, tile: TileRecord, attempt: Attempt, fetched: Fetched) -> None:
        """Verify downloaded results and put the finished product into its place, whole or not at all.

        Doing so again, after the runner was killed in between, gives the same.

        Raises:
            ProductWrong: it is not what the tile's job should give.
            WriteFailed: there is no room for it here.
        """
        ...


@dataclass(frozen=True)
class RunSettings:
    """How a runner works.

    Attributes:
        lease_s: after so long without a sign of this runner, others take its tiles over; longer than clocks
            of machines differ.
        settle_s: after so long, a request that was on its way when a runner was killed has arrived or never
            will.
        control_s: between looks at what people set.
        look_s: the least and the most time between two looks at a back end's jobs; in between by their
            length.
        idle_s: between tries to send tiles where nothing else happens.
        parallel: jobs at once at first, where neither a person nor the API tells.
        learn_s: how long a back end's queue must say the same before the number of jobs is changed.
        window: attempts of which the share of failures is taken.
        least: of them, before it is.
        failure_share: at which the run pauses, where the production does not say.
        broken_jobs: failed jobs in a row that break a back end.
    """

    lease_s: float = 120.0
    settle_s: float = 60.0
    control_s: float = 2.0
    look_s: tuple[float, float] = (5.0, 60.0)
    idle_s: float = 15.0
    parallel: int = 2
    learn_s: float = 120.0
    window: int = 50
    least: int = 20
    failure_share: float = 0.3
    broken_jobs: int = 10


def download_folder(results: Path, attempt: Attempt) -> Path:
    """Where the results of an attempt are downloaded to, before they are verified."""
    return results / ".incoming" / attempt.token
