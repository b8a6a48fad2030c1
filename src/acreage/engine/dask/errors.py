"""What goes wrong with a cluster, as far as a person can do something about it."""

from __future__ import annotations

from acreage.core.errors import AcreageError, InvalidInput, ScratchFailed


class ClusterFailed(AcreageError):
    """A cluster cannot be reached or made, or is not fit for the job."""

    code = "ClusterFailed"
    http_status = 503
    exit_code = 7


class WorkersLost(ClusterFailed):
    """No worker is left, or every worker that took one of the windows ended."""

    code = "WorkersLost"


class ClusterPackageMissing(InvalidInput):
    """The package that makes this kind of cluster is not installed."""

    code = "ClusterPackageMissing"


class ScratchNotShared(ScratchFailed):
    """A worker does not see the job's scratch folder, or cannot write there."""

    code = "ScratchNotShared"
