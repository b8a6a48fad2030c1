"""Results of jobs of this very server that graphs load: found here, not asked for over the network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from acreage.backend.database.tables import JobRow
from acreage.backend.errors import (
    JobNotFinished,
    JobNotFound,
    ResultLinkInvalid,
    ResultsExpired,
    ResultStoreFailed,
)
from acreage.backend.jobs.folder import JobFolder
from acreage.backend.jobs.items import item_files, local_items
from acreage.backend.jobs.store import JobStore
from acreage.backend.signing import Signer
from acreage.core.errors import FileContentInvalid
from acreage.engine.order import is_node

if TYPE_CHECKING:
    from acreage.backend.bucket import Bucket

_AT_THE_STORE_S = 7 * 86400  # the longest that S3 signs for: a job may run for days
_ID = re.compile(r"j-[0-9a-f]{10,60}")
_PATH = re.compile(rf"/jobs/({_ID.pattern})/results(/canonical)?/?$")
#: Formats that `load_url` reads, by the ends of the files that jobs save.
_BY_LOAD_URL = {".nc": "netCDF", ".geojson": "GeoJSON", ".parquet": "Parquet"}
#: Processes that load what an argument names.
LOADERS = {"load_stac": ("url",), "load_ml_model": ("uri", "id")}


@dataclass(frozen=True)
class JobResults:
    """Finds results of jobs by what graphs name.

    Attributes:
        jobs: records.
        folder: of all jobs.
        signer: of links.
        bucket: where results may lie; None where there is none.
        own: `host` or `host:port` under which clients reach this server, where that is set.
    """

    jobs: JobStore
    folder: Path
    signer: Signer
    bucket: Bucket | None = None
    own: str = ""

    def named_in(self, user_id: str, process: Mapping[str, Any], own: str = "") -> dict[str, str]:
        """STAC documents of the jobs that a process's nodes name, by what they name.

        Args:
            user_id: whose process it is.
            process: whose graph calls predefined processes only.
            own: `host` or `host:port` of the request.

        Raises:
            JobNotFound: a job of this server is not the user's.
            JobNotFinished: it has no results yet.
            ResultLinkInvalid, ResultLinkExpired: a link to results here is signed wrongly, or has expired.
            FileContentInvalid: nothing of it can be loaded.
        """
        found: dict[str, str] = {}
        for address in named_addresses(process):
            job = self._job(user_id, address, {self.own, own} - {""})
            if job is not None:
                found[address] = str(self._document(job))
        return found

    def _job(self, user_id: str, address: str, own: set[str]) -> JobRow | None:
        if _ID.fullmatch(address):
            return self.jobs.get(user_id, address)
        try:
            parts = urlsplit(address)
        except ValueError:
            return None
        match = _PATH.search(parts.path)
        if match is None or parts.scheme not in ("http", "https"):
            return None
        job_id, query = match[1], {k: v[-1] for k, v in parse_qs(parts.query).items()}
        here = parts.netloc.rpartition("@")[2] in own
        if match[2]:
            if not (here or self.jobs.exists(job_id)):
                return None
            whose = query.get("user", "")
            try:
                self.signer.check(query.get("expires", ""), query.get("signature", ""), whose, job_id, "", "")
            except ResultLinkInvalid:
                if here:
                    raise
                return None  # of another server, with the same kind of ids
            return self.jobs.get(whose, job_id)
        with suppress(JobNotFound):
            return self.jobs.get(user_id, job_id)
        if here or self.jobs.exists(job_id):
            raise JobNotFound(f"There is no job {job_id!r}.", hint="Use a signed link to results of others.")
        return None

    def _document(self, job: JobRow) -> Path:
        if job.results_deleted is not None:
            raise ResultsExpired(
                f"The results of job {job.id} were deleted.", hint="Start the job again to compute them anew."
            )
        if job.status != "finished":
            raise JobNotFinished(
                f"Job {job.id} is {job.status}.", hint="Its results can be loaded once it is finished."
            )
        if not item_files(job.result or {}):
            raise _no_rasters(job)
        place = JobFolder(self.folder / job.id, job.attempt)
        stored, bucket = (job.result or {}).get("place"), self.bucket
        if not stored:
            return local_items(job, place)
        if bucket is None:
            raise ResultStoreFailed(
                f"The results of job {job.id} lie in a bucket, and the server has none any more.",
                hint="Those who run the server must set ACREAGE_SERVER_RESULTS as it was.",
            )
        return local_items(job, place, lambda name: bucket.signed(job.id, stored, name, _AT_THE_STORE_S))


def _no_rasters(job: JobRow) -> FileContentInvalid:
    """What to do with results that are no items: of some formats, load_url reads the file itself."""
    names = [str(f["name"]) for f in (job.result or {}).get("files", ())]
    told = f"Job {job.id} saved no GeoTIFF, and load_stac reads no other results"
    told += f" ({', '.join(names[:3])})." if names else "."
    for name in names:
        if (of := _BY_LOAD_URL.get(PurePath(name).suffix.lower())) is not None:
            hint = f"Load the signed link of {name} by load_url with the format {of}, or save it as GTiff."
            return FileContentInvalid(told, hint=hint)
    return FileContentInvalid(told, hint="Save its result as GTiff, and run it again.")


def named_addresses(process: Mapping[str, Any]) -> Iterator[str]:
    """What the loading nodes of a process name, also in callbacks."""
    left: list[Any] = [process.get("process_graph")]
    while left:
        part = left.pop()
        if isinstance(part, Mapping):
            arguments = part.get("arguments")
            if is_node(part) and part["process_id"] in LOADERS and isinstance(arguments, Mapping):
                values = (arguments.get(name) for name in LOADERS[part["process_id"]])
                yield from (v for v in values if isinstance(v, str))
            left.extend(part.values())
        elif isinstance(part, list):
            left.extend(part)
