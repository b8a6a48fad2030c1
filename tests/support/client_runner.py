"""The application's runner by openEO's official Python client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openeo
import requests

from acreage.core.inputs import Inputs
from acreage.croptype.runner import JobResult, Progress


@dataclass(frozen=True)
class ClientRunner:
    """Runs graphs as batch jobs of a back end (`acreage.croptype.runner.Runner`)."""

    connection: openeo.Connection

    def run(self, graph: Mapping[str, Any], out: Path, progress: Progress | None = None) -> JobResult:
        """As `Runner` says; `progress` is not told."""
        job = self.connection.create_job(dict(graph), title=out.stem)
        job.start_and_wait(max_poll_interval=0.5, print=lambda _: None)
        results = job.get_results()
        (asset,) = results.get_assets()
        path = asset.download(out)
        (account,) = [x["href"] for x in results.get_metadata()["links"] if x["rel"] == "describedby"]
        inputs = Inputs.from_dict(requests.get(account, timeout=60).json())
        usage = {f"{name}_{u['unit']}": u["value"] for name, u in job.describe_job()["usage"].items()}
        return JobResult((path,), inputs, usage)
