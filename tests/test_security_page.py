"""docs/security.md names a test for each attempt, and each is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "security.md"
FILE = re.compile(r"`(tests/[\w/]+\.py)`")
TEST = re.compile(r"`(test_\w+)`")


def rows() -> Iterator[tuple[str, str]]:
    """File and name of the test of each attempt; a file above a table is that of its rows."""
    above = ""
    for line in PAGE.read_text("utf-8").splitlines():
        files, names = FILE.findall(line), TEST.findall(line)
        if line.startswith("`tests/"):
            above = files[0]
        elif line.startswith("#"):
            above = ""
        elif line.startswith("| ") and not line.startswith("| tried"):
            assert len(names) == 1, line
            yield (files[0] if files else above), names[0]


ROWS = list(rows())


def test_no_test_stands_for_two_attempts() -> None:
    assert len(ROWS) > 40
    assert len(set(ROWS)) == len(ROWS)


@pytest.mark.parametrize(("file", "name"), ROWS, ids=[name for _, name in ROWS])
def test_the_test_of_an_attempt_is_there(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)
