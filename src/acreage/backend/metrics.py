"""What Prometheus is told."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
REQUESTS = Counter("acreage_requests", "Answers of the API", ("method", "route", "status"), registry=REGISTRY)
SECONDS = Histogram("acreage_request_seconds", "Time until an answer", ("route",), registry=REGISTRY)
JOBS = Gauge("acreage_jobs", "Batch jobs by status", ("status",), registry=REGISTRY)
RUNNING = Gauge("acreage_jobs_running_here", "Batch jobs that this server runs", registry=REGISTRY)
DISK_FREE = Gauge("acreage_disk_free_bytes", "Free space of the storage folder's disk", registry=REGISTRY)
