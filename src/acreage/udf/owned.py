"""One runner for many users, who never share a process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from acreage.core.udf import LabelledArray, UdfCode, UdfDataResult, UdfProbe, UdfResult, UdfRunner
from acreage.udf.errors import UdfModelUnavailable


@dataclass(frozen=True)
class OwnedUdfRunner:
    """A runner as one user has it; see `acreage.core.udf.UdfRunner`.

    What a function leaves in its process, such as the data of its last window, would else be there for
    another user with the same code.

    Attributes:
        runner: of all users.
        owner: the user.
        files: the file behind a path among the user's files; then a context may name such a path as its
            model, with its hash. None: there are none.
    """

    runner: UdfRunner
    owner: str
    files: Callable[[str], Path] | None = None
    _verified: dict[tuple[str, int, int], str] = field(default_factory=dict, repr=False, compare=False)

    def run(self, code: UdfCode, array: LabelledArray, context: Mapping[str, Any]) -> UdfResult:
        """As `UdfRunner`."""
        return self.runner.run(self._owned(code, context), array, context)

    def run_features(
        self, code: UdfCode, data: Mapping[str, Any], context: Mapping[str, Any]
    ) -> UdfDataResult:
        """As `UdfRunner`."""
        return self.runner.run_features(self._owned(code, context), data, context)

    def describe(
        self, code: UdfCode, metadata: Mapping[str, Any], context: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """As `UdfRunner`."""
        return self.runner.describe(self._owned(code, context), metadata, context)

    def probe(self, code: UdfCode) -> UdfProbe:
        """As `UdfRunner`."""
        return self.runner.probe(replace(code, owner=self.owner))

    def resident_bytes(self) -> int:
        """As `UdfRunner`."""
        return self.runner.resident_bytes()

    def close(self) -> None:
        """Nothing: the runner is that of all users."""

    def _owned(self, code: UdfCode, context: Mapping[str, Any]) -> UdfCode:
        owned = replace(code, owner=self.owner)
        named = _own_file(context)
        if self.files is None or code.model is not None or named is None:
            return owned
        path, wanted = self.files(named[0]), named[1]
        if wanted is None:
            raise UdfModelUnavailable(
                f"The context has no hash for the model {named[0]}.",
                hint='Put its SHA-256 beside the path, as "model_sha256".',
            )
        state = path.stat()
        key = (str(path), state.st_size, state.st_mtime_ns)
        if key not in self._verified:
            with path.open("rb") as file:
                self._verified[key] = hashlib.file_digest(file, "sha256").hexdigest()
        if self._verified[key] != wanted.lower():
            raise UdfModelUnavailable(
                f"The model {named[0]} has the SHA-256 {self._verified[key]}, and {wanted} was asked for.",
                hint="Upload it anew.",
            )
        return replace(owned, model=path)


def _own_file(context: Mapping[str, Any]) -> tuple[str, str | None] | None:
    """Path and hash of the model that a context names as a file of the user's; None where it does not."""
    model: Any = context.get("model")
    beside = context.get("model_sha256")
    if isinstance(model, Mapping):
        model, beside = model.get("href"), model.get("sha256")
    if not isinstance(model, str) or not model or model.startswith("/") or urlsplit(model).scheme:
        return None
    return model, None if beside is None else str(beside)
