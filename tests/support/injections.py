"""Every fault of the fault table: how it is put into a product, and what the system must say of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from tests.support import faults
from tests.support.faulty_archives import (
    ELEVATION,
    LANDCOVER,
    OPTICAL,
    OPTICAL_PC,
    RADAR,
    RADAR_DB,
    RADAR_RTC,
    STACKED,
    Json,
    Product,
    Source,
    Subject,
    Suits,
    copy_archive,
    product_of,
)
from tests.support.servers.faulty import HTML, Answer, Fault, folder_backend, serving

from acreage.core.faults import FaultKind

Array = NDArray[Any]
Finder = Literal["search", "inspection", "window", "nobody"]
Inject = Callable[[Product, Source], None]


def _any(_: Json) -> bool:
    return True


@dataclass(frozen=True)
class Injection:
    """A fault.

    Attributes:
        name: as the table has it.
        inject: puts it into a product, whose archive in good order is given too.
        kind: what the system must call it; None where it finds nothing.
        finder: who finds it.
        subject: what is read.
        source: the archive.
        suits: products that it may be put into, by their items.
        clear: put into the product with most to see, or of which least is seen.
        served: how a server answers requests for the file; None: the archive lies on this machine.
        options: of the command, beside the tolerance.
        by_address: the item has no id; it is named by the address of its document.
        harmless: where nothing is found: the result is the one without the fault.
    """

    name: str
    inject: Inject
    kind: FaultKind | None
    finder: Finder
    subject: Subject = OPTICAL
    source: str = "earth-search"
    suits: Suits = _any
    clear: bool = True
    served: Fault | None = None
    options: tuple[str, ...] = ()
    by_address: bool = False
    harmless: bool = False

    def product(self, source: Source) -> str:
        """Id of the product that it is put into."""
        return product_of(source, self.subject, self.suits, clear=self.clear)


# --- files ---


def _file(break_it: Callable[[Any], None]) -> Inject:
    return lambda product, _: break_it(product.file)


def _cut_to_header(product: Product, _: Source) -> None:
    product.file.write_bytes(product.file.read_bytes()[:100])


def _cut_before_pixels(product: Product, _: Source) -> None:
    """All directories are whole, and no pixel is there."""
    offset, _size = faults.block_at(product.file, 0)
    product.file.write_bytes(product.file.read_bytes()[:offset])


def _pixels(edit: Callable[[Array], Array], assets: tuple[str, ...] = (), **profile: Any) -> Inject:
    return lambda product, _: product.pixels(edit, assets, **profile)


def _frame(values: Array) -> Array:
    framed = values.copy()
    inner = framed[:, 40:-40, 40:-40].copy()
    framed[:] = 65535
    framed[:, 40:-40, 40:-40] = inner
    return framed


def _nothing(product: Product, _: Source) -> None:
    """The product is in order; it is the server that is not."""


def _scaled(factor: float) -> Callable[[Array], Array]:
    return lambda values: np.clip(np.round(values * factor), 0, 65535).astype(values.dtype)


def _other_zone(product: Product, _: Source) -> None:
    product.pixels(lambda v: v, crs="EPSG:32632")


def _raised(values: Array) -> Array:
    return np.where(values > 0, values + 1000, 0).astype(values.dtype)


def _lowered(values: Array) -> Array:
    return np.where(values > 0, np.maximum(values.astype(np.int32) - 1000, 0), 0).astype(values.dtype)


def _to_db(values: Array) -> Array:
    return (10 * np.log10(values)).astype(np.float32)


def _to_power(values: Array) -> Array:
    return (10 ** (values / 10)).astype(np.float32)


# --- documents ---


def _edited(edit: Callable[[Json], object]) -> Inject:
    def change(item: Json) -> None:
        edit(item)

    return lambda product, _: product.change(change)


def _properties(**values: Any) -> Inject:
    return _edited(
        lambda item: item["properties"].update({k.replace("__", ":"): v for k, v in values.items()})
    )


def _shifted_statement(product: Product, _: Source) -> None:
    def shift(item: Json) -> None:
        asset = item["assets"][product.subject.asset]
        place = Affine(*asset["proj:transform"][:6])
        asset["proj:transform"] = list(place @ Affine.translation(1, 0))[:6]

    product.change(shift)


def _at(days: int = 0, hours: int = 0) -> Inject:
    def move(item: Json) -> None:
        stated = np.datetime64(item["properties"]["datetime"].rstrip("Z"), "ms")
        moved = stated + np.timedelta64(24 * days + hours, "h")
        item["properties"]["datetime"] = f"{moved}Z"

    return _edited(move)


def _without_bounds(item: Json) -> None:
    item["geometry"] = None
    del item["bbox"]


def _second_with_this_id(product: Product, _: Source) -> None:
    shutil.copyfile(product.document, product.home / "again.json")
    product.change(lambda item: item["properties"].update({"eo:cloud_cover": 99.0}))
    link = {"rel": "item", "href": f"./{product.name}/again.json", "type": "application/geo+json"}
    product.relink(lambda links: [*links, link])


def _level_1c(item: Json) -> None:
    properties = item["properties"]
    properties["s2:product_uri"] = properties["s2:product_uri"].replace("MSIL2A", "MSIL1C")
    properties["s2:product_type"] = "S2MSI1C"


def _contradictory_offset(item: Json) -> None:
    item["properties"].update({"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "05.00"})
    item["assets"]["red"]["raster:bands"][0]["offset"] = 0


def _called(new: str) -> Callable[[Json], None]:
    """All that names a baseline names another one."""

    def rename(item: Json) -> None:
        properties = item["properties"]
        old = properties["s2:processing_baseline"]
        for key in (
            "s2:processing_baseline",
            "s2:product_uri",
            "s2:datatake_id",
            "s2:granule_id",
            "s2:datastrip_id",
        ):
            digits = (old.replace(".", ""), new.replace(".", ""))
            properties[key] = properties[key].replace(f"N{digits[0]}", f"N{digits[1]}").replace(old, new)

    return rename


def _has_offset(item: Json) -> bool:
    return float(item["properties"]["s2:processing_baseline"]) >= 4


def _has_no_offset(item: Json) -> bool:
    return not _has_offset(item)


def _all(*steps: Inject) -> Inject:
    def inject(product: Product, source: Source) -> None:
        for step in steps:
            step(product, source)

    return inject


_S2_FILES = ("blue", "red", "nir")
_PC_FILES = ("B02", "B04", "B08")
_PC: dict[str, Any] = {"subject": OPTICAL_PC, "source": "planetary-computer"}
_DB: dict[str, Any] = {"subject": RADAR_DB, "source": "cdse"}
_RTC: dict[str, Any] = {"subject": RADAR_RTC, "source": "planetary-computer"}


def _elevation(value: float) -> Inject:
    return lambda product, source: product.fill(source.area, value, None)


def _codes(value: int) -> Inject:
    return lambda product, source: product.fill(source.area, value, 0)


def _east(item: Json) -> bool:
    return "E006" in str(item["id"]) and "2020" not in str(item["id"])


FILES = (
    Injection("file deleted", _file(faults.deleted), "unreadable", "search"),
    Injection("COG cut in its last block", _file(faults.cut_tail), "truncated", "inspection"),
    Injection("COG cut behind its directories", _cut_before_pixels, "truncated", "inspection"),
    Injection("COG cut after 100 bytes", _cut_to_header, "truncated", "search"),
    Injection("random bytes", _file(faults.garbage), "not-an-image", "search"),
    Injection("an empty file", _file(faults.nothing), "not-an-image", "search"),
    Injection("an HTML page as .tif", _file(faults.html), "not-an-image", "search"),
    Injection(
        "a block overwritten", _file(lambda path: faults.break_block(path, 0)), "unreadable", "inspection"
    ),
    Injection(
        "a block overwritten, `--no-inspect`",
        _file(lambda path: faults.break_block(path, 0)),
        "unreadable",
        "window",
        options=("--no-inspect",),
    ),
    Injection(
        "COG cut in its last block, `--no-inspect`",
        _file(faults.cut_tail),
        "truncated",
        "window",
        options=("--no-inspect",),
    ),
)
SERVERS = (
    Injection("HTTP 200 with an HTML page", _nothing, "not-an-image", "inspection", served=HTML),
    Injection("HTTP 404", _nothing, "unreadable", "inspection", served=Fault(Answer(404, {}, b"not here"))),
    Injection("HTTP connection always cut", _nothing, "unreadable", "inspection", served=Fault(cut=50)),
    Injection(
        "over HTTP: COG cut in its last block",
        _file(faults.cut_tail),
        "truncated",
        "inspection",
        served=Fault(),
    ),
)
PIXELS = (
    Injection(
        "null value 65535 in the file, 0 in the item", _pixels(_frame, nodata=65535), "nodata", "search"
    ),
    Injection("a frame of 65535, null value 0", _pixels(_frame), "nodata", "inspection"),
    Injection("all pixels zero", _pixels(np.zeros_like), "empty", "inspection"),
    Injection("all pixels one number", _pixels(lambda v: np.full_like(v, 777)), "implausible", "inspection"),
    Injection("reflectance ten times too high", _pixels(_scaled(10), _S2_FILES), "implausible", "inspection"),
    Injection("reflectance ten times too low", _pixels(_scaled(0.1), _S2_FILES), "implausible", "inspection"),
)
METADATA = (
    Injection(
        "no asset for a band", _edited(lambda item: item["assets"].pop("red")), "missing-band", "search"
    ),
    Injection(
        "an asset without href", _edited(lambda i: i["assets"]["red"].pop("href")), "missing-band", "search"
    ),
    Injection(
        "fewer bands in the file than the collection has",
        _pixels(lambda v: v[:1]),
        "missing-band",
        "search",
        subject=STACKED,
        source="stacked",
    ),
    Injection("item in EPSG:32631, file in EPSG:32632", _other_zone, "wrong-grid", "search"),
    Injection("`proj:transform` shifted by a pixel", _shifted_statement, "wrong-grid", "search"),
    Injection("time a year late", _at(days=365), "clock", "search"),
    Injection("time three hours late", _at(hours=3), "clock", "search"),
    Injection("time an hour late", _at(hours=1), None, "nobody", harmless=True),
    Injection("time in the future", _at(days=365 * 60), "clock", "search"),
    Injection("two items with one id", _second_with_this_id, "duplicate-id", "search"),
    Injection("level 1C among level 2A", _edited(_level_1c), "wrong-product", "search"),
    Injection("no id", _edited(lambda i: i.pop("id")), "malformed", "search", by_address=True),
    Injection("neither geometry nor bbox", _edited(_without_bounds), "malformed", "search"),
    Injection("no datetime", _edited(lambda i: i["properties"].pop("datetime")), "malformed", "search"),
)
OFFSETS = (
    Injection(
        'baseline, offset and "applied" contradict each other',
        _edited(_contradictory_offset),
        "offset-unknown",
        "search",
    ),
    Injection(
        "said to be removed, +1000 in the pixels",
        _all(_properties(earthsearch__boa_offset_applied=True), _pixels(_raised, _S2_FILES)),
        "implausible",
        "inspection",
    ),
    Injection(
        "said to be in the pixels, and is not",
        _all(
            _properties(earthsearch__boa_offset_applied=False),
            _edited(_called("04.00")),
            _edited(lambda i: [a["raster:bands"][0].pop("offset", 0) for a in i["assets"].values()]),
        ),
        "implausible",
        "inspection",
    ),
    Injection(
        "baseline 02.12 stated, its name says 04.00",
        _properties(s2__processing_baseline="02.12"),
        "offset-unknown",
        "search",
        **_PC,
        suits=_has_offset,
    ),
    Injection(
        "baseline 02.12 all over, +1000 in the pixels",
        _edited(_called("02.12")),
        "implausible",
        "inspection",
        **_PC,
        suits=_has_offset,
    ),
    Injection(
        "baseline 04.00 all over, no offset in the pixels",
        _edited(_called("04.00")),
        "implausible",
        "inspection",
        **_PC,
        suits=_has_no_offset,
    ),
    Injection(
        "said to be removed, +1000 in the pixels, under clouds",
        _all(_properties(earthsearch__boa_offset_applied=True), _pixels(_raised, _S2_FILES)),
        None,
        "nobody",
        clear=False,
    ),
)
RADARS = (
    Injection(
        "all pixels null", _pixels(lambda v: np.full_like(v, np.nan)), "empty", "inspection", subject=RADAR
    ),
    Injection("all pixels zero", _pixels(np.zeros_like), "empty", "inspection", subject=RADAR),
    Injection("decibels, said to be linear", _pixels(_to_db), "implausible", "inspection", subject=RADAR),
    Injection("linear, said to be decibels", _pixels(_to_power), "implausible", "inspection", **_DB),
    Injection(
        "-32768 in the pixels, null value NaN",
        _all(
            _pixels(
                lambda v: np.where(np.arange(v.shape[2]) < 40, np.float32(-32768), v), nodata=float("nan")
            ),
            _edited(lambda i: i["assets"]["vv"]["raster:bands"][0].update(nodata="nan")),
        ),
        "nodata",
        "inspection",
        **_RTC,
    ),
)
LAYERS = (
    Injection(
        "elevation tile deleted", _file(faults.deleted), "unreadable", "search", ELEVATION, suits=_east
    ),
    Injection("elevation tile of -9999", _elevation(-9999), "nodata", "inspection", ELEVATION, suits=_east),
    Injection(
        "elevation in millimetres", _elevation(250_000), "implausible", "inspection", ELEVATION, suits=_east
    ),
    Injection(
        "land cover outside of the legend", _codes(35), "implausible", "inspection", LANDCOVER, suits=_east
    ),
)
GROUPS: Mapping[str, tuple[Injection, ...]] = {
    "Files": FILES,
    "Servers": SERVERS,
    "Pixels": PIXELS,
    "Metadata": METADATA,
    "Offset of the digital numbers": OFFSETS,
    "Radar": RADARS,
    "Elevation and land cover": LAYERS,
}
INJECTIONS = tuple(injection for group in GROUPS.values() for injection in group)


@contextmanager
def injected(injection: Injection, source: Source, folder: Path) -> Iterator[tuple[Product, str]]:
    """The broken product in a copy of its archive, and the address at which that is opened."""
    copy_archive(source.folder, folder)
    product = Product(folder, injection.subject, injection.product(source)).own()
    injection.inject(product, source)
    if injection.served is None:
        yield product, str(folder / source.catalog)
        return
    broken = product.file.relative_to(folder.resolve()).as_posix()
    with serving(folder_backend(folder), rule=lambda _: injection.served, matching=broken) as server:
        yield product, f"{server.address}/{source.catalog}"


def named(injection: Injection, product: Product) -> str:
    """What the broken item is called."""
    return str(product.document) if injection.by_address else product.name


__all__ = ["GROUPS", "INJECTIONS", "Injection", "injected", "named"]
