"""The items of one time step as one raster: put together on each lattice first, then resampled once.

Items whose rasters lie on one lattice (granules of one UTM zone, elevation tiles of one latitude band, slices
of one pass) are one raster that happens to be cut into files. Their pixels are put together as they are, so
that an interpolation reaches over the files' borders. Different lattices meet on the target's pixels.
docs/decisions/0011 gives the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from acreage.catalog.items import Raster, SourceItem
from acreage.core.arrays import Array, BoolArray, null_like
from acreage.core.grid import Box
from acreage.engine.placement import (
    EDGE,
    bounding_part,
    covered,
    distance_from,
    holds,
    moved_to,
    near,
    on_lattice,
    source_region,
    touches,
)
from acreage.processes.resample_kernels import index_map, is_identity, resample, support

Pixels = tuple[Array, BoolArray | None]
ReadBand = Callable[[SourceItem, str, Box], Pixels | None]
_GAP = 0.5  # source pixels over which an edge pixel may stand for the ground between two lattices


@dataclass
class StepMosaic:
    """Reads the items of one time step onto a box.

    Which item a pixel of a lattice is taken from is decided once, for all bands and loads: the first whose
    reference band is valid there, else the first that covers it. Where several lattices cover a pixel of the
    box, the same rule picks the lattice. None of it depends on the box: a pixel has the same item whether or
    not its window holds parts of others.

    Attributes:
        items: of the step, best first.
        lattices: indices of items that share a lattice.
        reference: band whose validity decides.
        method: resampling method.
        box: pixels that are made.
        read: gives pixels of one band of an item, over a box on its raster's own grid; None where they cannot
            be read.
    """

    items: Sequence[SourceItem]
    lattices: Sequence[Sequence[int]]
    reference: str
    method: str
    box: Box
    read: ReadBand
    _winners: dict[tuple[Box, tuple[int, ...]], Array] = field(default_factory=dict)

    def items_with_pixels(self) -> list[SourceItem]:
        """The items that have pixels for the box, whether or not others come before them."""
        return [
            item
            for item in self.items
            if any(not source_region(r.box, self.box, self.method).is_empty for r in item.rasters.values())
        ]

    def fill(self, bands: Sequence[str], values: Array, valid: BoolArray) -> None:
        """Fill arrays of shape (bands, rows, columns), which hold nulls."""
        groups = [tuple(n for n in group if self.touching(n)) for group in self.lattices]
        groups = [group for group in groups if group]
        if not groups:
            return
        owner = None if len(groups) == 1 else self._owners(groups)
        for number, group in enumerate(groups):
            mine = None if owner is None else owner == number
            loose = None if owner is None else owner < 0
            wanted = None if mine is None or loose is None else mine | loose
            if wanted is not None and not wanted.any():
                continue
            for b, band in enumerate(bands):
                part = self._group(group, band, wanted)
                if part is None:
                    continue
                known = True if part[1] is None else part[1]
                if mine is None or loose is None:
                    values[b], valid[b] = part[0], known
                else:
                    _put(part, mine | (loose & ~valid[b]), values[b], valid[b])
        if sum(map(len, groups)) > 1:
            for b, band in enumerate(bands):
                self._fill_edges(groups, band, values[b], valid[b])

    def touching(self, number: int) -> bool:
        """Whether an item may matter to the box."""
        boxes = {r.box for r in self.items[number].rasters.values()}
        return any(touches(box, self.box, self.method) for box in boxes)

    def _owners(self, groups: Sequence[tuple[int, ...]]) -> Array:
        """Per pixel of the box the number of the group that it is taken from, -1 where none covers it."""
        winner = self.winner(tuple(sorted(n for group in groups for n in group)), self.box)
        group_of = np.full(len(self.items) + 1, -1, np.int16)
        for number, group in enumerate(groups):
            group_of[list(group)] = number
        owners: Array = group_of[winner]
        return owners

    def winner(self, group: tuple[int, ...], box: Box) -> Array:
        """Per pixel of a box on any grid the item that it is taken from, -1 where none covers it."""
        key = (box, group)
        if key not in self._winners:
            self._winners[key] = self._find_winner(group, box)
        return self._winners[key]

    def _find_winner(self, group: tuple[int, ...], box: Box) -> Array:
        winner = np.full(box.shape, -1, np.int16)
        often = np.zeros(box.shape, np.int16)
        references = {n: r for n in group if (r := self.items[n].rasters.get(self.reference)) is not None}
        covers = {n: covered(raster.box, box) for n, raster in references.items()}
        for n in reversed(list(covers)):
            winner[covers[n]] = n
            often += covers[n]
        part = bounding_part(often > 1, box)
        if part is None:  # nothing to choose: the reference band need not be read
            return winner
        place = part.slices_in(box)
        undecided, chosen = often[place] > 1, winner[place]
        for n in covers:
            found = undecided & covers[n][place]
            if not found.any():  # whatever other pixels of the window are undecided
                continue
            pixels = self._single(n, self.reference, "near", part)
            if pixels is not None:
                found &= True if pixels[1] is None else pixels[1]
                chosen[found] = n
                undecided &= ~found
        return winner

    def _group(self, group: tuple[int, ...], band: str, wanted: BoolArray | None) -> Pixels | None:
        """One band of the items of one lattice on the box, None where they have no pixel there.

        Items without a pixel that matters to the wanted ones (None: all) are not read: which are does not
        depend on the box.
        """
        if len(group) == 1:
            return self._single(group[0], band, self.method, self.box, wanted)
        rasters = {n: r for n in group if (r := self.items[n].rasters.get(band)) is not None}
        if not rasters:
            return None
        grid = next(iter(rasters.values())).box.grid
        places = {n: on_lattice(raster.box, grid) for n, raster in rasters.items()}
        whole = Box(grid, 0, 0, 0, 0)
        for place in places.values():
            whole = whole.union(place)
        # A row and a column of nulls around all files: their edges look alike in every window.
        native = source_region(whole.expand(1, 1), self.box, self.method)
        found = self._put_together(group, band, rasters, places, native, wanted)
        if found is None:
            return None
        if is_identity(self.method, grid, self.box.grid) and on_lattice(self.box, grid) == native:
            return found
        return resample(found[0], found[1], native, index_map(grid, self.box), self.method)

    def _put_together(
        self,
        group: tuple[int, ...],
        band: str,
        rasters: dict[int, Raster],
        places: dict[int, Box],
        native: Box,
        wanted: BoolArray | None,
    ) -> Pixels | None:
        """The pixels of a lattice as the files have them, each from its winner."""
        parts: list[tuple[tuple[slice, slice], int, Pixels]] = []
        winner = None
        matters = None if wanted is None else near(wanted, self.box, native, self.method)
        for n, place in places.items():
            common = place.intersect(native)
            if common.is_empty:
                continue
            if winner is None:
                winner = self.winner(group, native)
            at = common.slices_in(native)
            mine = (winner[at] == n) | (winner[at] < 0)
            if not (mine if matters is None else mine & matters[at]).any():
                continue
            pixels = self.read(self.items[n], band, moved_to(common, place, rasters[n].box))
            if pixels is not None:
                parts.append((at, n, pixels))
        if winner is None or not parts:
            return None
        dtype = np.result_type(*(pixels[0] for _, _, pixels in parts))
        values = np.full(native.shape, null_like(dtype), dtype)
        valid = np.zeros(native.shape, bool)
        for at, n, pixels in parts:
            _put(pixels, (winner[at] == n) | ((winner[at] < 0) & ~valid[at]), values[at], valid[at])
        return values, None if valid.all() else valid

    def _single(
        self, number: int, band: str, method: str, box: Box, wanted: BoolArray | None = None
    ) -> Pixels | None:
        """One band of one item on a box, None where it has no pixel there."""
        raster = self.items[number].rasters.get(band)
        if raster is None:
            return None
        source = source_region(raster.box, box, method)
        if source.is_empty or (wanted is not None and not near(wanted, box, source, method).any()):
            return None
        pixels = self.read(self.items[number], band, source)
        if pixels is None:
            return None
        if is_identity(method, raster.box.grid, box.grid) and on_lattice(box, raster.box.grid) == source:
            return pixels
        return resample(*pixels, source, index_map(source.grid, box), method)

    # --- edges ---

    def _fill_edges(
        self, groups: Sequence[tuple[int, ...]], band: str, values: Array, valid: BoolArray
    ) -> None:
        """Pixels whose centre lies on the very edge of a raster, or between two lattices.

        The kernel counts a raster's right and lower edge as part of it, which is lost where rasters are put
        together. Between two lattices, whose edges need not meet, the nearer edge pixels are extended by half
        a pixel at most.
        """
        rasters = [
            (number, n, raster.box)
            for number, group in enumerate(groups)
            for n in group
            if (raster := self.items[n].rasters.get(band)) is not None
        ]
        if any(holds(box, self.box) for _, _, box in rasters):
            return
        open_ = ~valid
        for _, _, box in rasters:
            open_ &= ~covered(box, self.box)
        if not open_.any():
            return
        rasters.sort(key=lambda r: r[1])
        distance = {n: distance_from(box, self.box) for _, n, box in rasters}
        sides = np.zeros(open_.shape, np.int16)
        for number in range(len(groups)):
            beside = [distance[n] <= _GAP + EDGE for g, n, _ in rasters if g == number]
            sides += np.logical_or.reduce(beside) if beside else 0
        for reach, where in ((EDGE, open_), (_GAP + EDGE, open_ & (sides > 1))):
            for _, n, _ in rasters:
                wanted = where & (distance[n] <= reach) & ~valid
                if wanted.any():
                    part = self._extended(n, band)
                    if part is not None:
                        known = wanted if part[1] is None else wanted & part[1]
                        _put(part, known, values, valid)

    def _extended(self, number: int, band: str) -> Pixels | None:
        """One band of one item on the box, positions outside of its raster moved to the nearest edge."""
        item = self.items[number]
        raster = item.rasters[band].box
        source = self.box.project(raster.grid, support(self.method, raster.grid, self.box.grid) + 1)
        source = source.intersect(raster)
        pixels = None if source.is_empty else self.read(item, band, source)
        if pixels is None:
            return None
        at = index_map(raster.grid, self.box)
        moved = replace(
            at,
            columns=np.clip(at.columns, raster.x0, raster.x1),
            rows=np.clip(at.rows, raster.y0, raster.y1),
            separable=False,
            identity=False,
        )
        return resample(*pixels, source, moved, self.method)


def _put(part: Pixels, where: BoolArray, values: Array, valid: BoolArray) -> None:
    values[where] = part[0][where]
    valid[where] = True if part[1] is None else part[1][where]
