"""Where a product comes from: the graph, the model and every input item that was really read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from acreage.core.errors import InvalidInput
from acreage.core.temporal import Season


@dataclass(frozen=True, order=True, slots=True)
class InputItem:
    """One STAC item of which at least one pixel was read.

    Attributes:
        collection: Id of its collection.
        id: The item's id.
        href: Where its JSON is: an address, or an absolute path.
    """

    collection: str
    id: str
    href: str


@dataclass(frozen=True)
class Provenance:
    """All that is needed to say how a map came about, and to make it again.

    Attributes:
        process_graph: The openEO process graph (node id to node) as it was run.
        model_id: Name of the model.
        model_sha256: Hex digest of the model file, 64 small letters and digits.
        items: Items that were really read; kept sorted and without repeats.
        season: The season, both days included.
        software: Name to version of the software that ran, e.g. {"acreage": "0.1.0"}. At least one.
        usage: What the job used: name to value in the unit that the name ends with, e.g. `cpu_seconds`.
        created: When the map was made, UTC.
        note: A sentence for whoever uses the map, e.g. that its input is simulated. May be empty.
        inputs: What became of the expected inputs, as `Inputs.summary` gives it: counts by collection, and by
            name what failed or is in quarantine. Empty where nothing is known.
        preprocessing: What was chosen of the preprocessing, as the orbit direction with its reasons.

    Raises:
        InvalidInput: no process graph, no software, a digest that is none, or a time without a zone.
    """

    process_graph: Mapping[str, Any]
    model_id: str
    model_sha256: str
    items: tuple[InputItem, ...]
    season: Season
    software: Mapping[str, str]
    usage: Mapping[str, float | int | str] = field(default_factory=dict)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    note: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(sorted(set(self.items))))
        if not self.process_graph:
            raise InvalidInput("A provenance needs the process graph that was run; it is empty.")
        if not self.software:
            raise InvalidInput("A provenance needs the name and version of the software that ran.")
        if not re.fullmatch(r"[0-9a-f]{64}", self.model_sha256):
            raise InvalidInput(f"{self.model_sha256!r} is not a SHA-256 digest in small hex letters.")
        if self.created.tzinfo is None:
            raise InvalidInput(f"The creation time {self.created} has no time zone.", hint="Give it in UTC.")

    @property
    def created_text(self) -> str:
        """RFC 3339 in UTC to the second."""
        return self.created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, read back by `from_dict`."""
        return {
            "created": self.created_text,
            "note": self.note,
            "season": str(self.season),
            "model": {"id": self.model_id, "sha256": self.model_sha256},
            "software": dict(self.software),
            "usage": dict(self.usage),
            "process_graph": dict(self.process_graph),
            "inputs": dict(self.inputs),
            "preprocessing": dict(self.preprocessing),
            "items": [{"collection": i.collection, "id": i.id, "href": i.href} for i in self.items],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Provenance:
        """A provenance from its JSON form.

        Raises:
            InvalidInput: an entry is missing or of the wrong kind.
        """
        try:
            return cls(
                process_graph=data["process_graph"],
                model_id=data["model"]["id"],
                model_sha256=data["model"]["sha256"],
                items=tuple(InputItem(i["collection"], i["id"], i["href"]) for i in data["items"]),
                season=Season.parse(data["season"]),
                software=data["software"],
                usage=data["usage"],
                created=datetime.fromisoformat(data["created"]),
                note=data["note"],
                inputs=data.get("inputs", {}),
                preprocessing=data.get("preprocessing", {}),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(
                f"This is not a provenance: {error!r}.", hint="Read provenance.json."
            ) from error
