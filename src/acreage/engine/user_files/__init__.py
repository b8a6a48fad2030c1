"""Files that users bring: where they are, what they hold, and how they become data cubes."""

from acreage.engine.user_files.load import LOADS, Ready, ScaleOp, load_files
from acreage.engine.user_files.places import (
    FolderWorkspace,
    Limits,
    StacPlace,
    UserFile,
    UserFiles,
    Workspace,
)
from acreage.engine.user_files.rasters import RasterCatalog

__all__ = [
    "LOADS",
    "FolderWorkspace",
    "Limits",
    "RasterCatalog",
    "Ready",
    "ScaleOp",
    "StacPlace",
    "UserFile",
    "UserFiles",
    "Workspace",
    "load_files",
]
