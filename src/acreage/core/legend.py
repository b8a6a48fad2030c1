"""The legend of a crop type map: classes, their codes and colours, and the codes that are never a class."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from acreage.core.errors import InvalidInput

OUTSIDE = 0
NOT_CROPLAND = 254
NO_OBSERVATION = 255
CLASS_CODES = range(1, 251)

LANDCOVER_CODES = frozenset({10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100})
"""Codes of ESA WorldCover 10 m 2021 v200 (Product User Manual, table 3)."""


@dataclass(frozen=True)
class ReservedCode:
    """A code that means something in every map, whatever the legend."""

    code: int
    name: str
    title: str
    colour: str


RESERVED = (
    ReservedCode(OUTSIDE, "outside", "Outside of the area", "#ffffff"),
    ReservedCode(NOT_CROPLAND, "not_cropland", "Not cropland", "#d9d9d9"),
    ReservedCode(NO_OBSERVATION, "no_observation", "Cropland without a valid observation", "#5c5c5c"),
)


@dataclass(frozen=True)
class LegendClass:
    """One class of a legend.

    `landcover`: WorldCover codes under which the class grows; a mask that keeps none of them removes it.
    `source_codes`: codes of reference data that belong to the class; `?` stands for any one character.
    """

    code: int
    name: str
    title: str
    colour: str
    landcover: tuple[int, ...] = (40,)
    source_codes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"Legend class {self.name!r}"
        if self.code not in CLASS_CODES:
            raise InvalidInput(
                f"{where} has the code {self.code}.",
                hint="Classes have codes 1 to 250; 0, 254 and 255 are reserved.",
            )
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise InvalidInput(f"{where} has an unusable name.", hint="Use small letters, digits and _.")
        if not re.fullmatch(r"#[0-9a-f]{6}", self.colour):
            raise InvalidInput(f"{where} has the colour {self.colour!r}.", hint="Write it as #rrggbb.")
        if not self.landcover or not LANDCOVER_CODES.issuperset(self.landcover):
            raise InvalidInput(
                f"{where} has the land cover codes {list(self.landcover)}.",
                hint=f"Use one or more WorldCover codes: {sorted(LANDCOVER_CODES)}.",
            )


@dataclass(frozen=True)
class Legend:
    """Ordered classes with unique codes and names.

    `other`: code of the class that takes in classes too small to be trained; None if there is none.
    """

    name: str
    classes: tuple[LegendClass, ...]
    other: int | None = None
    _patterns: tuple[tuple[int, re.Pattern[str], LegendClass], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not self.classes:
            raise InvalidInput(f"Legend {self.name!r} has no classes.", hint="Give it at least one.")
        for what, values in (
            ("code", [str(c.code) for c in self.classes]),
            ("name", [c.name for c in self.classes]),
            ("source code", [s for c in self.classes for s in c.source_codes]),
        ):
            if twice := sorted({v for v in values if values.count(v) > 1}):
                raise InvalidInput(f"Legend {self.name!r} has the {what} {', '.join(twice)} more than once.")
        if self.other is not None and self.other not in {c.code for c in self.classes}:
            raise InvalidInput(f"Legend {self.name!r} names {self.other} as its other class, which it lacks.")
        object.__setattr__(self, "_patterns", tuple(_patterns(self.classes)))

    def __getitem__(self, code: int) -> LegendClass:
        for item in self.classes:
            if item.code == code:
                return item
        raise InvalidInput(f"Legend {self.name!r} has no class with code {code}.")

    @property
    def names(self) -> dict[int, str]:
        """Name of every class code, in the legend's order."""
        return {c.code: c.name for c in self.classes}

    def classify(self, label: str) -> LegendClass | None:
        """The class that a reference label belongs to: by name, else by the most literal matching code."""
        text = label.strip()
        for item in self.classes:
            if text.lower() == item.name:
                return item
        if re.fullmatch(r"\d\d(-\d\d){2}-\d{3}-\d", text):  # WorldCereal's codes, written with hyphens
            text = text.replace("-", "")
        matches = [(literal, item) for literal, pattern, item in self._patterns if pattern.fullmatch(text)]
        return max(matches, key=lambda m: m[0])[1] if matches else None

    def removed_by(self, kept: Collection[int]) -> tuple[LegendClass, ...]:
        """Classes that a cropland mask keeping these WorldCover codes removes altogether."""
        return tuple(c for c in self.classes if not set(c.landcover) & set(kept))

    def keep(self, codes: Collection[int]) -> Legend:
        """The legend with only these classes. Labels of the others then belong to no class."""
        other = self.other if self.other in codes else None
        return replace(self, classes=tuple(c for c in self.classes if c.code in codes), other=other)

    def without(self, names: Collection[str]) -> Legend:
        """The legend without the classes of these names; their labels then belong to no class."""
        if unknown := sorted(set(names) - set(self.names.values())):
            raise InvalidInput(
                f"Legend {self.name!r} has no class {', '.join(unknown)}.",
                hint=f"It has: {', '.join(self.names.values())}.",
            )
        return self.keep([c.code for c in self.classes if c.name not in names])

    def merge_into_other(self, codes: Iterable[int]) -> Legend:
        """The legend with these classes merged into its other class, source codes and names included."""
        if self.other is None:
            raise InvalidInput(f"Legend {self.name!r} has no other class to merge into.")
        gone = [self[c] for c in codes if c != self.other]
        into = self[self.other]
        sources = into.source_codes + tuple(s for c in gone for s in (*c.source_codes, c.name))
        classes = [
            replace(c, source_codes=sources) if c is into else c for c in self.classes if c not in gone
        ]
        return replace(self, classes=tuple(classes))

    def colour_table(self) -> dict[int, tuple[int, int, int, int]]:
        """RGBA (0..255) of every class and reserved code; outside is transparent."""
        table = {item.code: _rgba(item.colour) for item in RESERVED}
        table |= {item.code: _rgba(item.colour) for item in self.classes}
        table[OUTSIDE] = (*table[OUTSIDE][:3], 0)
        return dict(sorted(table.items()))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, read back by `from_dict`."""
        classes = [
            {
                "code": c.code,
                "name": c.name,
                "title": c.title,
                "colour": c.colour,
                "landcover": list(c.landcover),
                "source_codes": list(c.source_codes),
            }
            for c in self.classes
        ]
        return {"name": self.name, "other": self.other, "classes": classes}

    @classmethod
    def from_dict(cls, data: object) -> Legend:
        """A legend from its JSON form; InvalidInput says which entry is wrong."""
        if not isinstance(data, dict) or not isinstance(data.get("classes"), list):
            raise InvalidInput(
                "A legend is a JSON object with a list of classes.", hint='{"name": ..., "classes": [...]}'
            )
        classes = tuple(_class_from(entry, i) for i, entry in enumerate(data["classes"]))
        return cls(str(data.get("name", "legend")), classes, data.get("other"))


def read_legend(path: Path) -> Legend:
    """A legend from a JSON file.

    Raises:
        InvalidInput: no such file, no JSON, or no legend.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"The legend {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InvalidInput(f"The legend {path} is not JSON: {error}.") from error
    try:
        return Legend.from_dict(data)
    except InvalidInput as error:
        raise InvalidInput(f"In the legend {path}: {error.message}", hint=error.hint) from error


def _class_from(entry: object, index: int) -> LegendClass:
    known = {"code", "name", "title", "colour", "landcover", "source_codes"}
    if not isinstance(entry, dict) or not {"code", "name", "colour"} <= set(entry) <= known:
        raise InvalidInput(
            f"Legend entry {index} is {entry!r}.",
            hint=f"It needs code, name and colour, and may have {', '.join(sorted(known))}.",
        )
    code, landcover, sources = entry["code"], entry.get("landcover", [40]), entry.get("source_codes", [])
    lists_fit = isinstance(landcover, list) and isinstance(sources, list)
    if not isinstance(code, int) or isinstance(code, bool) or not lists_fit:
        raise InvalidInput(
            f"Legend entry {index} ({entry['name']!r}) has a code or a list of the wrong type.",
            hint="code is a whole number; landcover and source_codes are lists.",
        )
    return LegendClass(
        code,
        str(entry["name"]),
        str(entry.get("title", entry["name"])),
        str(entry["colour"]).lower(),
        tuple(landcover),
        tuple(str(s) for s in sources),
    )


def _patterns(classes: Iterable[LegendClass]) -> Iterable[tuple[int, re.Pattern[str], LegendClass]]:
    for item in classes:
        for source in item.source_codes:
            text = "".join("." if c == "?" else re.escape(c) for c in source)
            yield len(source.replace("?", "")), re.compile(text), item


def _rgba(colour: str) -> tuple[int, int, int, int]:
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue, 255
