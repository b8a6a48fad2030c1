"""The rows of an index part as they are searched: footprint and time as arrays, whole items as JSON.

A row file is Parquet with small row groups, sorted by place and time, so that a tile and season lie in a few
of them. It holds no nested columns: the many hundred leaves of a stac-geoparquet file in as many row groups
make a footer that takes seconds to read, so the stac-geoparquet file beside it has large ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from shapely.errors import ShapelyError

from acreage.catalog.index.documents import Row, item_of
from acreage.catalog.sources import Boxes
from acreage.catalog.stac import StacItem
from acreage.core.errors import CatalogError

ROW_GROUP = 128
_NUMBERS = ("west", "south", "east", "north", "start", "end", "digest")
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in _NUMBERS[:4]),
        *(pa.field(name, pa.int64(), nullable=False) for name in _NUMBERS[4:]),
        pa.field("place", pa.string(), nullable=False),
        pa.field("footprint", pa.binary()),
        pa.field("item", pa.binary(), nullable=False),
    ]
)


def to_table(rows: Sequence[Row]) -> pa.Table:
    """The rows as a table, in the order given."""
    boxes = np.array([row.item.bbox for row in rows], np.float64).reshape(-1, 4)
    columns = {
        "id": [row.item.id for row in rows],
        **dict(zip(_NUMBERS[:4], boxes.T, strict=True)),
        "start": [int(row.item.start.astype("datetime64[ms]").astype(np.int64)) for row in rows],
        "end": [int(row.item.end.astype("datetime64[ms]").astype(np.int64)) for row in rows],
        "digest": [row.digest for row in rows],
        "place": [row.place for row in rows],
        "footprint": [shapely.to_wkb(row.item.geometry) for row in rows],
        "item": [row.content for row in rows],
    }
    return pa.table(columns, schema=SCHEMA)


def order(table: pa.Table) -> npt.NDArray[np.intp]:
    """Row numbers by place along a space-filling curve, then by time."""
    places, first, inverse = np.unique(
        np.asarray(table["place"].to_pylist(), dtype=object).astype(str),
        return_index=True,
        return_inverse=True,
    )
    west, south, east, north = (table[name].to_numpy()[first] for name in _NUMBERS[:4])
    middle = (west + east + np.where(west > east, 360.0, 0.0)) / 2
    codes = z_order(middle, (south + north) / 2)
    ranks = np.empty(len(places), np.int64)
    ranks[np.lexsort((np.arange(len(places)), codes))] = np.arange(len(places))
    return np.lexsort((table["start"].to_numpy(), ranks[inverse]))


def z_order(longitude: npt.NDArray[np.float64], latitude: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Position on the Z curve over the globe: the bits of column and row of a 2**16 grid, interleaved."""
    x = np.clip((longitude + 180.0) / 360.0 * 65535, 0, 65535).astype(np.uint64)
    y = np.clip((latitude + 90.0) / 180.0 * 65535, 0, 65535).astype(np.uint64)
    code = np.zeros(len(x), np.uint64)
    for bit in range(16):
        one = np.uint64(1)
        code |= ((x >> np.uint64(bit)) & one) << np.uint64(2 * bit)
        code |= ((y >> np.uint64(bit)) & one) << np.uint64(2 * bit + 1)
    return code


def write_rows(table: pa.Table, path: Path) -> None:
    """Write a row file."""
    pq.write_table(
        table, path, row_group_size=ROW_GROUP, compression="zstd", compression_level=3, use_dictionary=False,
        write_statistics=False,
    )  # fmt: skip


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Reading a file of the index.

    Raises:
        FileNotFoundError: it is not there.
        CatalogError: it cannot be read, or does not hold what was written.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, ShapelyError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise CatalogError(
            f"The index file {path} is damaged or cannot be read: {reason}.",
            hint="Remove its folder; it is built anew when it is next needed.",
        ) from error


class RowFile:
    """A row file, opened. Safe to use from several threads.

    Attributes:
        path: the file.
        boxes: footprints and times of all rows.
    """

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            FileNotFoundError: it is not there.
            CatalogError: it is damaged; so for all that reads it.
        """
        self.path = path
        with readable(path), pq.ParquetFile(path) as file:
            self._metadata = file.metadata
            table = file.read(columns=list(_NUMBERS[:6]))
        starts = np.array(
            [self._metadata.row_group(n).num_rows for n in range(self._metadata.num_row_groups)]
        )
        self._first = np.concatenate(([0], np.cumsum(starts)))
        west, south, east, north, start, end = (table[name].to_numpy() for name in _NUMBERS[:6])
        self.boxes = Boxes(
            np.stack([west, south, east, north]), start.view("datetime64[ms]"), end.view("datetime64[ms]")
        )

    def __len__(self) -> int:
        """The number of rows."""
        return int(self._first[-1])

    def items(self, rows: npt.NDArray[np.intp]) -> list[StacItem]:
        """Some rows, given in ascending order, as items."""
        if not len(rows):
            return []
        with readable(self.path):
            return self._items(rows)

    def _items(self, rows: npt.NDArray[np.intp]) -> list[StacItem]:
        groups = np.unique(np.searchsorted(self._first, rows, side="right") - 1)
        with pq.ParquetFile(self.path, metadata=self._metadata, memory_map=True) as file:
            table = file.read_row_groups(groups.tolist(), columns=["footprint", "item"])
        sizes = self._first[groups + 1] - self._first[groups]
        offsets = np.concatenate(([0], np.cumsum(sizes)))
        which = np.searchsorted(self._first[groups], rows, side="right") - 1
        table = table.take(pa.array(offsets[which] + rows - self._first[groups][which]))
        shapes = shapely.from_wkb(table["footprint"].to_numpy())
        boxes = self.boxes.bounds[:, rows].T.tolist()
        times = zip(self.boxes.start[rows], self.boxes.end[rows], strict=True)
        found = zip(table["item"].to_pylist(), shapes, boxes, times, strict=True)
        return [item_of(content, shape, tuple(box), *time) for content, shape, box, time in found]

    def columns(self, *names: str) -> pa.Table:
        """Whole columns."""
        with readable(self.path), pq.ParquetFile(self.path, metadata=self._metadata) as file:
            return file.read(columns=list(names))

    def table(self) -> pa.Table:
        """All of it."""
        return self.columns(*SCHEMA.names)
