"""One runner for many users, who never share a process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from acreage.core.udf import LabelledArray, UdfCode, UdfDataResult, UdfProbe, UdfResult, UdfRunner


@dataclass(frozen=True)
class OwnedUdfRunner:
    """A runner as one user has it; see `acreage.core.udf.UdfRunner`.

    What a function leaves in its process, such as the data of its last window, would else be there for
    another user with the same code.

    Attributes:
        runner: of all users.
        owner: the user.
    """

    runner: UdfRunner
    owner: str

    def run(self, code: UdfCode, array: LabelledArray, context: Mapping[str, Any]) -> UdfResult:
        """As `UdfRunner`."""
        return self.runner.run(replace(code, owner=self.owner), array, context)

    def run_features(
        self, code: UdfCode, data: Mapping[str, Any], context: Mapping[str, Any]
    ) -> UdfDataResult:
        """As `UdfRunner`."""
        return self.runner.run_features(replace(code, owner=self.owner), data, context)

    def describe(
        self, code: UdfCode, metadata: Mapping[str, Any], context: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """As `UdfRunner`."""
        return self.runner.describe(replace(code, owner=self.owner), metadata, context)

    def probe(self, code: UdfCode) -> UdfProbe:
        """As `UdfRunner`."""
        return self.runner.probe(replace(code, owner=self.owner))

    def resident_bytes(self) -> int:
        """As `UdfRunner`."""
        return self.runner.resident_bytes()

    def close(self) -> None:
        """Nothing: the runner is that of all users."""
