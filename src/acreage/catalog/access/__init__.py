"""Reaching remote stores: HTTP(S) and S3, signed where needed, with patience and within limits."""

from acreage.catalog.access.address import is_remote, shown, split_signature, unsigned
from acreage.catalog.access.model import Access, AccessConfig, AccessFailed, EnvReference, Guard
from acreage.catalog.access.policy import HostUse, Policy, added, use_between
from acreage.catalog.access.rasters import RemoteRasters, remote_rasters
from acreage.catalog.access.sharing import PoliteAdapter, configure, remote_use, shared
from acreage.catalog.access.stores import EVERYWHERE, Reach, access_for, guarded_access
from acreage.catalog.access.transport import Transport

__all__ = [
    "EVERYWHERE",
    "Access",
    "AccessConfig",
    "AccessFailed",
    "EnvReference",
    "Guard",
    "HostUse",
    "Policy",
    "PoliteAdapter",
    "Reach",
    "RemoteRasters",
    "Transport",
    "access_for",
    "added",
    "configure",
    "guarded_access",
    "is_remote",
    "remote_rasters",
    "remote_use",
    "shared",
    "shown",
    "split_signature",
    "unsigned",
    "use_between",
]
