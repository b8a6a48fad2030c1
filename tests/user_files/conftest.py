"""Loading files of a user's workspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.engine_runs import WHOLE
from tests.support.user_files import loaded

from acreage.core.cube import Cube
from acreage.engine.user_files import FolderWorkspace, UserFiles

Load = Callable[..., Cube]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads files of `tmp_path` by name: `load("GTiff", "a.tif", bands=["B1"])`; `then` are nodes behind."""
    files = UserFiles(FolderWorkspace(tmp_path))

    def run(
        name: str,
        *paths: str,
        then: dict[str, Any] | None = None,
        window: int = WHOLE,
        threads: int = 1,
        **options: Any,
    ) -> Cube:
        arguments = {"paths": list(paths), "format": name, "options": options}
        node = {"process_id": "load_uploaded_files", "arguments": arguments}
        return loaded(
            files, {"load": node if then else {**node, "result": True}, **(then or {})}, window, threads
        )

    return run
