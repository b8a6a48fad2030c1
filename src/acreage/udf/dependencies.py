"""Dependencies that a UDF declares in its source (PEP 723 inline script metadata)."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement

from acreage.udf.errors import UdfDependencyMissing, UdfSourceInvalid

# The reference expression of the specification:
# https://packaging.python.org/en/latest/specifications/inline-script-metadata/
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


def declared_dependencies(source: str) -> tuple[str, ...]:
    """Requirements of a `# /// script` block, in order; empty where there is none.

    Raises:
        UdfSourceInvalid: several blocks, broken TOML, or something that is not a requirement.
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
        found = tomllib.loads(text).get("dependencies", [])
    except tomllib.TOMLDecodeError as error:
        raise UdfSourceInvalid(
            f"The UDF's '# /// script' block is not TOML: {error}.",
            hint='Write it as: # dependencies = ["package>=1.0"].',
        ) from None
    if not isinstance(found, list) or not all(isinstance(r, str) for r in found):
        raise UdfSourceInvalid(
            "The UDF's dependencies are not a list of strings.", hint='As in ["package>=1.0"].'
        )
    return tuple(found)


def check_dependencies(source: str) -> tuple[str, ...]:
    """The declared requirements, all of them installed in this environment.

    Raises:
        UdfSourceInvalid: the declaration cannot be read.
        UdfDependencyMissing: with all packages that are missing or of another version.
    """
    requirements = declared_dependencies(source)
    problems = [problem for r in requirements if (problem := _problem(r))]
    if problems:
        raise UdfDependencyMissing(
            f"The UDF needs packages that are not installed where it runs: {'; '.join(problems)}.",
            hint="Ask the operator to install them, or take them out of the UDF's '# /// script' block.",
        )
    return requirements


def _problem(text: str) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        first = str(error).splitlines()[0]
        raise UdfSourceInvalid(
            f"The UDF's dependency {text!r} is not a requirement: {first}.", hint="Write it as package>=1.0."
        ) from None
    if requirement.marker is not None and not requirement.marker.evaluate():
        return ""
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{text} (not installed)"
    return (
        "" if requirement.specifier.contains(installed, prereleases=True) else f"{text} (here is {installed})"
    )
