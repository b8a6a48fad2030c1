"""What is paid for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acreage.backend.jobs.children import Child
from acreage.backend.jobs.folder import JobFolder
from acreage.core.tariff import Use


def use_of(usage: Mapping[str, Any]) -> Use:
    """What is paid for, of what a job's process says that it used."""
    return Use(
        cpu_seconds=float(usage.get("cpu_seconds", 0.0)),
        memory_gb_seconds=float(usage.get("peak_memory", 0)) / 1e9 * float(usage.get("seconds", 0.0)),
        source_megapixels=float(usage.get("source_pixels", 0)) / 1e6,
    )


def use_of_running(child: Child, folder: JobFolder) -> Use:
    """What is paid for, of what a process has used up to its last look."""
    return use_of(
        {
            "cpu_seconds": child.cpu_seconds,
            "peak_memory": child.peak_memory,
            "seconds": child.seconds,
            "source_pixels": folder.progress().source_pixels,
        }
    )
