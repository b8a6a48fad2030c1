"""What all routes share: the parts of one server."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi import Request

from acreage.backend.accounts.budgets import Budgets
from acreage.backend.accounts.oidc import Providers
from acreage.backend.accounts.users import Accounts, Passwords
from acreage.backend.database.session import installation_of, open_database
from acreage.backend.database.tables import JobRow
from acreage.backend.disk import Disk
from acreage.backend.errors import ProcessGraphComplexity
from acreage.backend.files import UserFiles
from acreage.backend.housekeeping import Housekeeper, Limits
from acreage.backend.jobs.dispatcher import Dispatcher, DispatcherLimits
from acreage.backend.jobs.folder import JobSpec
from acreage.backend.jobs.store import JobStore
from acreage.backend.processes import StoredProcesses
from acreage.backend.remote import check_public, fetch_json
from acreage.backend.requests import SyncRequests
from acreage.backend.results import JobResults, named_addresses
from acreage.backend.services import Services
from acreage.backend.settings import ServerSettings
from acreage.backend.signing import Signer
from acreage.backend.storage import Storage
from acreage.backend.work import Loads, Work
from acreage.core.database import Database
from acreage.core.instances import Instances
from acreage.core.tariff import Tariff, read_tariff
from acreage.engine.parser import unwrap
from acreage.engine.user_processes import expand
from acreage.processes.catalogue import process_descriptions

if TYPE_CHECKING:
    from acreage.backend.bucket import Bucket


@dataclass(frozen=True)
class Server:
    """The parts of a server, made once.

    Attributes:
        settings: of the server.
        work: the engine.
        storage: where files lie.
        files: of users.
        database: records.
        accounts: users who log in by a password.
        providers: of OpenID Connect.
        processes: that users have stored.
        jobs: records of batch jobs.
        results: of them, as graphs name them.
        dispatcher: runs them.
        requests: runs synchronous requests.
        services: map tiles of users.
        signer: of links.
        budgets: what things cost, and what users may spend.
        bucket: of results; None: they lie in the storage folder.
        disk: of the storage.
        housekeeper: removes what is old.
        predefined: descriptions of the processes that every graph may call.
    """

    settings: ServerSettings
    work: Work
    storage: Storage
    files: UserFiles
    database: Database
    accounts: Accounts
    providers: Providers
    processes: StoredProcesses
    jobs: JobStore
    results: JobResults
    dispatcher: Dispatcher
    requests: SyncRequests
    services: Services
    signer: Signer
    budgets: Budgets
    bucket: Bucket | None
    disk: Disk
    housekeeper: Housekeeper
    predefined: Sequence[dict[str, Any]]

    @property
    def tariff(self) -> Tariff:
        """What things cost."""
        return self.budgets.tariff

    @property
    def plan(self) -> str:
        """The one billing plan."""
        return "free" if self.tariff.is_free else "metered"

    def expanded(self, user_id: str, document: Mapping[str, Any], own: str = "") -> dict[str, Any]:
        """A process with the user's own processes put in.

        Args:
            user_id: whose process it is.
            document: of the process.
            own: `host` or `host:port` under which the client reaches this server.

        Raises:
            ProcessGraphComplexity: it has too many nodes.
            ProcessGraphError: it cannot be put together.
            JobNotFound, JobNotFinished, ResultLinkInvalid, ResultLinkExpired: it loads results that are not
                to be had.
        """
        check_nodes(document, self.settings.graph_nodes)
        made = expand(document, self.processes.lookup(user_id))
        results = self.results.named_in(user_id, made, own)
        for address in named_addresses(made):
            if address not in results and "://" in address:
                check_public(address, self.settings.reach)
        return made

    def loads(self, user_id: str, process: Mapping[str, Any], own: str = "") -> Loads:
        """What a user's process (as `expanded` gives it) may load; errors as there."""
        return Loads(self.storage.files_of(user_id), self.results.named_in(user_id, process, own))


def make_server(
    settings: ServerSettings,
    work: Work,
    folder: Path,
    passwords: Mapping[str, str],
    *,
    trusted: bool = False,
) -> Server:
    """The parts of a server on a storage folder.

    Args:
        settings: of the server.
        work: the engine.
        folder: of the storage.
        passwords: of accounts, by name.
        trusted: whether code of those accounts may do what the server may.

    Raises:
        InvalidInput, WriteFailed: something cannot be used.
    """
    storage = Storage.at(folder)
    disk = Disk(storage.root, int(settings.disk_reserve))
    database = open_database(settings.database or storage.database)
    installation = installation_of(database)
    storage.claim(installation)
    bucket = _bucket_of(settings, installation)
    known = Passwords.of(passwords, storage.secret())
    accounts = Accounts(database, known, timedelta(days=settings.token_days), trusted)
    processes = StoredProcesses(database, partial(fetch_json, allowed=settings.reach))
    tariff = Tariff() if settings.tariff is None else read_tariff(settings.tariff)
    budgets = Budgets(database, tariff, settings.user_budget)
    lease = timedelta(seconds=settings.lease_s)
    jobs = JobStore(database, settings.jobs_per_user, settings.job_attempts, lease, budgets)
    providers = Providers.read(settings.oidc)
    signer = Signer(storage.secret(), settings.link_days * 86400)
    public = "" if settings.public_url is None else urlsplit(str(settings.public_url)).netloc
    results = JobResults(jobs, storage.jobs, signer, bucket, public)

    def prepare(job: JobRow) -> JobSpec:
        process = expand(job.process, processes.lookup(job.user_id))
        return JobSpec(
            job.id,
            job.user_id,
            accounts.trusts(job.user_id) or providers.trusts(job.user_id),
            process,
            job.options or {},
            job.log_level,  # type: ignore[arg-type]
            str(storage.files_of(job.user_id)),
            bucket=None if bucket is None else asdict(bucket.address),
            place=f"{job.attempt}-{secrets.token_hex(8)}",
            results=results.named_in(job.user_id, process),
        )

    limits = DispatcherLimits(settings.jobs_at_once, settings.job_timeout_s, settings.lease_s)
    instances = Instances(storage.instances)
    dispatcher = Dispatcher(jobs, storage.jobs, work.command, prepare, budgets, limits, instances, disk)
    requests = SyncRequests(
        storage.requests, work.command, settings.requests_at_once, settings.sync_timeout_s, disk
    )
    services = Services(database, storage.tiles)
    housekeeper = Housekeeper(jobs, storage, bucket, _kept(settings), requests.sweep, services.existing)
    return Server(
        settings,
        work,
        storage,
        UserFiles(storage, int(settings.upload_bytes), disk),
        database,
        accounts,
        providers,
        processes,
        jobs,
        results,
        dispatcher,
        requests,
        services,
        signer,
        budgets,
        bucket,
        disk,
        housekeeper,
        process_descriptions(settings.process_descriptions),
    )


def _kept(settings: ServerSettings) -> Limits:
    def days(value: float) -> timedelta | None:
        return timedelta(days=value) if value else None

    return Limits(days(settings.results_days), days(settings.retention_days), int(settings.tiles_bytes))


def _bucket_of(settings: ServerSettings, installation: str) -> Bucket | None:
    """The bucket that the settings name, which this installation alone writes.

    Raises:
        InvalidInput, ResultStoreFailed: it cannot be used.
    """
    if settings.results is None:
        return None
    from acreage.backend.bucket import Bucket  # it takes a while, and few have one
    from acreage.backend.bucket_address import BucketAddress

    endpoint = None if settings.results_endpoint is None else str(settings.results_endpoint)
    address = BucketAddress.of(settings.results, endpoint, settings.results_region, settings.results_profile)
    bucket = Bucket(address)
    bucket.claim(installation)
    return bucket


def check_nodes(document: Mapping[str, Any], most: int) -> None:
    """Refuse a graph of too many nodes, callbacks included.

    Raises:
        ProcessGraphComplexity
    """
    count, left = 0, [unwrap(document)["process_graph"]]
    while left:
        part = left.pop()
        if isinstance(part, Mapping):
            count += "process_id" in part
            left.extend(part.values())
        elif isinstance(part, list):
            left.extend(part)
        if count > most:
            raise ProcessGraphComplexity(
                f"The process graph has more than {most} nodes.", hint="Split it into several jobs."
            )


async def server_of(request: Request) -> Server:
    """The server that a request came to; asynchronous, since it needs no thread."""
    return server_at(request)


def server_at(request: Request) -> Server:
    """The server that a request came to."""
    server: Server = request.app.state.server
    return server
