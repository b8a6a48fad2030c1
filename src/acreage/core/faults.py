"""Kinds of faults of input products: one word for each, in searches, job logs, quarantine and documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

FaultKind = Literal[
    "malformed",
    "wrong-product",
    "duplicate-id",
    "clock",
    "missing-band",
    "unreadable",
    "not-an-image",
    "truncated",
    "wrong-grid",
    "nodata",
    "empty",
    "offset-unknown",
    "implausible",
]

FAULTS: Mapping[FaultKind, str] = {
    "malformed": "The item's metadata lacks or garbles what every item must have.",
    "wrong-product": "The item is another product than those of its collection, such as level 1C.",
    "duplicate-id": "Two items have one id.",
    "clock": "The item's time contradicts its own names or lies in the future.",
    "missing-band": "The item has no asset for a band, or its file has fewer bands.",
    "unreadable": "The file cannot be reached or decoded.",
    "not-an-image": "Something else than an image lies at the address, such as an error page.",
    "truncated": "The file ends before its last block.",
    "wrong-grid": "The file lies on another grid, or in another CRS, than the item states.",
    "nodata": "The null value of the file contradicts the item, or its pixels contradict the null value.",
    "empty": "The file holds no valid pixel where the item's footprint has some.",
    "offset-unknown": "The offset or scale of the digital numbers is not stated, or in contradictory ways.",
    "implausible": "The values cannot be what the metadata says they are.",
}
