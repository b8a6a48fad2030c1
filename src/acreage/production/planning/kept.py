"""What planning has found out so far, so that it goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acreage.core.outputs import whole_file


@dataclass(frozen=True)
class Kept:
    """A folder of answers; each is a file that is named by its question.

    Attributes:
        folder: made at the first answer; None: nothing is kept.
    """

    folder: Path | None = None

    def asked(self, question: Any, answer: Callable[[], Any]) -> Any:
        """The answer to a JSON-ready question: the kept one, else a new one, which is kept.

        A file that cannot be read (the disk was full) is as good as none.
        """
        if self.folder is None:
            return answer()
        text = json.dumps(question, sort_keys=True)
        path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
        try:
            return json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            pass
        found = answer()
        with whole_file(path) as part:
            part.write_text(json.dumps(found), "utf-8")
        return found

    def forget(self) -> None:
        """Remove the folder: the plan is made."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
