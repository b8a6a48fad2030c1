"""Item properties under the names of different catalogs: `properties.yaml` says which mean the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from acreage.catalog.definition import parse_yaml

Form = Literal["", "tile", "grid", "lower", "upper", "number"]
_TILE = re.compile(r"(?:MGRS-)?0?(\d{1,2})([C-X])([A-Z]{2})")


@dataclass(frozen=True)
class Spelling:
    """A name of a fact, how its values are written, and which part of the fact it holds."""

    name: str
    form: Form = ""
    part: str = ""


@dataclass(frozen=True)
class Fact:
    """One fact about an item.

    Attributes:
        fixed: all processings of one acquisition have the same value.
        spellings: the names it has.
    """

    fixed: bool
    spellings: tuple[Spelling, ...]


@cache
def facts() -> Mapping[str, Fact]:
    """Facts by each of their names."""
    text = (resources.files("acreage.catalog") / "properties.yaml").read_text("utf-8")
    found: dict[str, Fact] = {}
    for entry in parse_yaml(text).values():
        spellings = tuple(Spelling(name, **options) for name, options in entry["spellings"].items())
        fact = Fact(entry["fixed"], spellings)
        found.update({s.name: fact for s in spellings})
    return found


def value_of(properties: Mapping[str, Any], name: str) -> Any:
    """A property under its own name, else as another catalog's spelling of it says; None where none does."""
    value = properties.get(name)
    if value is not None:
        return value
    fact = facts().get(name)
    if fact is None:
        return None
    plain = _plain(properties, fact)
    return None if plain is None else written(plain, _spelling(fact, name))


def spellings(name: str, value: Any) -> list[tuple[str, Any]]:
    """A filter's value under every name that states the whole fact alone, the name itself first."""
    fact = facts().get(name)
    if fact is None:
        return [(name, value)]
    own = _spelling(fact, name)
    whole = _whole(value, own)
    if whole is None or own.part:
        return [(name, value)]
    others = [s for s in fact.spellings if s.name != name and not s.part]
    return [(name, value), *((s.name, written(whole, s)) for s in others)]


def is_fixed(name: str) -> bool:
    """True where all processings of one acquisition have the same value of this property."""
    fact = facts().get(name)
    return fact is not None and fact.fixed


def written(plain: Any, spelling: Spelling) -> Any:
    """A fact's plain value as a catalog writes it."""
    if isinstance(plain, str):
        tile = _TILE.fullmatch(plain)
        if spelling.part and tile:
            return {"zone": int(tile[1]), "band": tile[2], "square": tile[3]}[spelling.part]
        if spelling.form == "grid" and tile:
            return f"MGRS-{int(tile[1])}{tile[2]}{tile[3]}"
        if spelling.form == "tile" and tile:
            return f"{int(tile[1]):02d}{tile[2]}{tile[3]}"
        if spelling.form == "upper":
            return plain.upper()
        if spelling.form == "lower":
            return plain.lower()
        if spelling.form == "number":
            return _number(plain)
    return plain


def _plain(properties: Mapping[str, Any], fact: Fact) -> Any:
    for spelling in fact.spellings:
        value = properties.get(spelling.name)
        if value is not None and not spelling.part:
            return value
    parts = [properties.get(s.name) for s in fact.spellings if s.part]
    if parts and all(p is not None for p in parts):
        return "".join(map(str, parts))
    return None


def _whole(value: Any, own: Spelling) -> Any:
    if own.form in ("tile", "grid"):
        return value if isinstance(value, str) and _TILE.fullmatch(value) else None
    return value


def _spelling(fact: Fact, name: str) -> Spelling:
    return next(s for s in fact.spellings if s.name == name)


def _number(text: str) -> float | int | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else number
