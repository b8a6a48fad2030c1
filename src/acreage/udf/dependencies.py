"""Dependencies that a UDF declares in its source (PEP 723 inline script metadata)."""

from __future__ import annotations

import platform
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from acreage.udf.errors import UdfDependencyMissing, UdfSourceInvalid

# The reference expression of the specification:
# https://packaging.python.org/en/latest/specifications/inline-script-metadata/
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


def declared_dependencies(source: str) -> tuple[str, ...]:
    """Requirements of a `# /// script` block, in order; empty where there is none.

    Raises:
        UdfSourceInvalid: several blocks, broken TOML, something that is not a requirement, another Python.
    """
    blocks = [
        m.group("content") for m in _BLOCK.finditer(source.replace("\r\n", "\n")) if m["type"] == "script"
    ]
    if not blocks:
        return ()
    if len(blocks) > 1:
        raise UdfSourceInvalid(
            f"The UDF has {len(blocks)} '# /// script' blocks.", hint="Put all its dependencies into one."
        )
    text = "".join(
        line[2:] if line.startswith("# ") else line[1:] for line in blocks[0].splitlines(keepends=True)
    )
    try:
        block = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UdfSourceInvalid(
            f"The UDF's '# /// script' block is not TOML: {error}.",
            hint='Write it as: # dependencies = ["package>=1.0"].',
        ) from None
    found = block.get("dependencies", [])
    _check_python(block.get("requires-python"))
    if not isinstance(found, list) or not all(isinstance(r, str) for r in found):
        raise UdfSourceInvalid(
            "The UDF's dependencies are not a list of strings.", hint='As in ["package>=1.0"].'
        )
    return tuple(found)


def _check_python(wanted: object) -> None:
    if wanted is None:
        return
    try:
        fits = SpecifierSet(str(wanted)).contains(platform.python_version(), prereleases=True)
    except InvalidSpecifier:
        raise UdfSourceInvalid(
            f"The UDF's requires-python {wanted!r} is no version.", hint='Write it as ">=3.11".'
        ) from None
    if not fits:
        raise UdfSourceInvalid(
            f"The UDF requires Python {wanted}, and here is {platform.python_version()}.",
            hint="Change requires-python in its '# /// script' block.",
        )


@dataclass(frozen=True)
class Dependencies:
    """What a UDF declares.

    Attributes:
        requirements: as they are written.
        missing: those of them, in normal form, whose package is not installed here.
    """

    requirements: tuple[str, ...]
    missing: tuple[str, ...]


def read_dependencies(source: str) -> Dependencies:
    """The declared requirements, and which of them are not installed in this environment.

    Raises:
        UdfSourceInvalid: the declaration cannot be read, or it is for another Python.
        UdfDependencyMissing: a package is installed in another version, which is not replaced.
    """
    texts = declared_dependencies(source)
    asked = [r for text in texts if (r := _requirement(text)).marker is None or r.marker.evaluate()]
    here = {str(r): _installed_version(r.name) for r in asked}
    wrong = [
        f"{r} (here is {version})"
        for r in asked
        if (version := here[str(r)]) is not None and not r.specifier.contains(version, prereleases=True)
    ]
    missing = tuple(dict.fromkeys(name for name, version in here.items() if version is None))
    if wrong:
        raise _unmet([*(f"{name} (not installed)" for name in missing), *wrong])
    return Dependencies(texts, missing)


def not_installed(missing: Sequence[str]) -> UdfDependencyMissing:
    """The error for packages that are missing where none are installed for UDFs."""
    return _unmet([f"{name} (not installed)" for name in missing])


def _unmet(problems: Sequence[str]) -> UdfDependencyMissing:
    return UdfDependencyMissing(
        f"The UDF needs packages that are not installed where it runs: {'; '.join(problems)}.",
        hint="Ask the operator to install them, or take them out of the UDF's '# /// script' block.",
    )


def _requirement(text: str) -> Requirement:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        first = str(error).splitlines()[0]
        raise UdfSourceInvalid(
            f"The UDF's dependency {text!r} is not a requirement: {first}.", hint="Write it as package>=1.0."
        ) from None
    if requirement.url is not None:
        raise UdfSourceInvalid(
            f"The UDF's dependency {text!r} names an address.",
            hint="Name a package of the index, as package>=1.0.",
        )
    return requirement


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
