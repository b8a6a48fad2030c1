"""The page on faults has every fault and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from acreage.core.faults import FAULTS, FaultKind

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"


def test_the_page_lists_every_kind_of_fault() -> None:
    listed = re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(FAULTS) == sorted(get_args(FaultKind))
