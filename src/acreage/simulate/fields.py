"""The field pattern: the plane EPSG:3035 in irregular blocks, each cut into turned rectangles.

A block is the Voronoi cell of a lattice point that was moved at random; inside, rectangles of the block's own
direction are cut in two until they are as small as the size drawn for their part of the block. The tables of
a block follow from the seed and the block's number alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acreage.simulate.noise import hash2, mix, normal_of, unit

BLOCK = 2400.0
"""Metres between the lattice points of blocks."""
JITTER = 0.3
"""Greatest move of a lattice point, as a share of BLOCK; up to 0.3 the nearest point is one of 3 x 3."""
TRACK = 2.5
"""Metres: half the width of the tracks between parcels of a block."""
ROAD = 4.0
"""Metres: half the width of the roads between blocks."""
SMALLEST = 400.0
"""Square metres: what is smaller is margin and no parcel."""
ESTATE = 25e4
"""Square metres of the parts of a block that share one target size of parcels."""
MOST_LEAVES = 4096
_CORNERS = 24
_U = np.uint64


class BlockTable(NamedTuple):
    """One block: its frame, its cuts and its parcels.

    Attributes:
        frame: (4,) x and y of its point, cosine and sine of its direction.
        walls: (walls, 3) half-planes n . p <= c around it in the turned frame: nx, ny (length 1), c.
        cuts: (nodes, 2) axis (0: u, 1: v) and place of each cut; NaN for leaves.
        children: (nodes, 2) nodes below and above the cut; for leaves the leaf's number twice.
        leaves: (leaves, 4) u0, v0, u1, v1 of each leaf.
        clipped: (leaves,) whether walls pass through it.
        area: (leaves,) square metres inside its tracks, 0 where it is no parcel.
        middle: (leaves, 2) x and y of the middle.
    """

    frame: NDArray[np.float64]
    walls: NDArray[np.float64]
    cuts: NDArray[np.float64]
    children: NDArray[np.int32]
    leaves: NDArray[np.float64]
    clipped: NDArray[np.bool_]
    area: NDArray[np.float64]
    middle: NDArray[np.float64]


@njit(nogil=True, cache=True)
def block_point(seed: np.uint64, i: int, j: int) -> tuple[float, float]:
    """Coordinates of a block's point."""
    bits = hash2(seed ^ _U(0xB10C), i, j)
    dx, dy = unit(bits) - 0.5, unit(mix(bits)) - 0.5
    return (i + 0.5 + 2 * JITTER * dx) * BLOCK, (j + 0.5 + 2 * JITTER * dy) * BLOCK


@njit(nogil=True, cache=True)
def block_of(seed: np.uint64, x: float, y: float) -> tuple[int, int]:
    """Number (column, row) of the block that a place lies in."""
    i0, j0 = math.floor(x / BLOCK), math.floor(y / BLOCK)
    best, bi, bj = 1e300, i0, j0
    for i in range(i0 - 1, i0 + 2):
        for j in range(j0 - 1, j0 + 2):
            px, py = block_point(seed, i, j)
            d = (px - x) * (px - x) + (py - y) * (py - y)
            if d < best:
                best, bi, bj = d, i, j
    return bi, bj


@njit(nogil=True, cache=True)
def clip(
    polygon: NDArray[np.float64], count: int, nx: float, ny: float, c: float, out: NDArray[np.float64]
) -> int:
    """The part of a convex polygon with n . p <= c, written to `out`; its number of corners."""
    n = 0
    for k in range(count):
        ax, ay = polygon[k, 0], polygon[k, 1]
        m = k + 1 if k + 1 < count else 0
        bx, by = polygon[m, 0], polygon[m, 1]
        da, db = nx * ax + ny * ay - c, nx * bx + ny * by - c
        if da <= 0.0:
            out[n, 0], out[n, 1] = ax, ay
            n += 1
        if (da < 0.0 < db) or (db < 0.0 < da):
            t = da / (da - db)
            out[n, 0], out[n, 1] = ax + t * (bx - ax), ay + t * (by - ay)
            n += 1
    return n


@njit(nogil=True, cache=True)
def area_and_middle(polygon: NDArray[np.float64], count: int) -> tuple[float, float, float]:
    """Area and centre of mass of a convex polygon."""
    area, cx, cy = 0.0, 0.0, 0.0
    for k in range(1, count - 1):
        ax, ay = polygon[k, 0] - polygon[0, 0], polygon[k, 1] - polygon[0, 1]
        bx, by = polygon[k + 1, 0] - polygon[0, 0], polygon[k + 1, 1] - polygon[0, 1]
        part = 0.5 * abs(ax * by - ay * bx)
        area += part
        cx += part * (ax + bx) / 3.0
        cy += part * (ay + by) / 3.0
    if area <= 0.0:
        return 0.0, 0.0, 0.0
    return area, polygon[0, 0] + cx / area, polygon[0, 1] + cy / area


@njit(nogil=True, cache=True)
def parcel_polygon(
    leaf: NDArray[np.float64], walls: NDArray[np.float64], track: float, road: float, out: NDArray[np.float64]
) -> int:
    """Corners, in the block's frame, of a leaf inside its tracks and roads; how many."""
    a = np.empty((_CORNERS, 2))
    x0, y0, x1, y1 = leaf[0] + track, leaf[1] + track, leaf[2] - track, leaf[3] - track
    if x1 <= x0 or y1 <= y0:
        return 0
    a[0, 0], a[0, 1], a[1, 0], a[1, 1] = x0, y0, x1, y0
    a[2, 0], a[2, 1], a[3, 0], a[3, 1] = x1, y1, x0, y1
    count = 4
    for w in range(walls.shape[0]):
        count = clip(a, count, walls[w, 0], walls[w, 1], walls[w, 2] - road, out)
        for k in range(count):
            a[k, 0], a[k, 1] = out[k, 0], out[k, 1]
    for k in range(count):
        out[k, 0], out[k, 1] = a[k, 0], a[k, 1]
    return count


@njit(nogil=True, cache=True)
def _walls(
    seed: np.uint64,
    i: int,
    j: int,
    cos: float,
    sin: float,
    walls: NDArray[np.float64],
    cell: NDArray[np.float64],
) -> tuple[int, int]:
    """Fill the half-planes between a block and its neighbours and the block's corners; how many of each."""
    x, y = block_point(seed, i, j)
    every, other = np.empty((24, 3)), np.empty((_CORNERS, 2))
    n = 0
    for di in range(-2, 3):
        for dj in range(-2, 3):
            if di == 0 and dj == 0:
                continue
            px, py = block_point(seed, i + di, j + dj)
            dx, dy = px - x, py - y
            length = math.hypot(dx, dy)
            every[n, 0] = (cos * dx + sin * dy) / length
            every[n, 1] = (-sin * dx + cos * dy) / length
            every[n, 2] = length / 2.0
            n += 1
    big = 4 * BLOCK
    for k in range(4):
        cell[k, 0] = big if k in (1, 2) else -big
        cell[k, 1] = big if k > 1 else -big
    corners = 4
    for w in range(24):
        corners = clip(cell, corners, every[w, 0], every[w, 1], every[w, 2], other)
        for k in range(corners):
            cell[k, 0], cell[k, 1] = other[k, 0], other[k, 1]
    count = 0
    for w in range(24):
        touching = False
        for k in range(corners):
            touching |= every[w, 0] * cell[k, 0] + every[w, 1] * cell[k, 1] > every[w, 2] - 0.01
        if touching:
            for c in range(3):
                walls[count, c] = every[w, c]
            count += 1
    return count, corners


def cut_block(seed: np.uint64, i: int, j: int, mean_log: float, deviation_log: float) -> BlockTable:
    """The table of a block.

    `mean_log`, `deviation_log`: of the natural logarithm of the wanted parcel sizes in square metres.
    """
    key = _U(hash2(seed ^ _U(0xF1E1D), i, j))
    angle = (unit(key) - 0.5) * math.pi / 2
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = block_point(seed, i, j)
    walls, cell = np.empty((24, 3)), np.empty((_CORNERS, 2))
    bounds, corners = _walls(seed, i, j, cos, sin, walls, cell)
    walls = walls[:bounds].copy()
    most = 2 * MOST_LEAVES
    cuts, children = np.full((most, 2), np.nan), np.zeros((most, 2), np.int32)
    leaves, clipped = np.empty((MOST_LEAVES, 4)), np.zeros(MOST_LEAVES, np.bool_)
    area, middle = np.zeros(MOST_LEAVES), np.zeros((MOST_LEAVES, 2))
    # Parcels of a part of a block come out at 0.43 to 1 of its target; small targets give more of them.
    deviation = math.sqrt(max(deviation_log * deviation_log - 0.09, 0.04))
    mean = mean_log + deviation * deviation + 0.36
    frame = np.array([x, y, cos, sin])
    used, count = _cut(
        key, mean, deviation, frame, walls, cell, corners, cuts, children, leaves, clipped, area, middle
    )
    return BlockTable(
        frame=frame,
        walls=walls,
        cuts=cuts[:used].copy(),
        children=children[:used].copy(),
        leaves=leaves[:count].copy(),
        clipped=clipped[:count].copy(),
        area=area[:count].copy(),
        middle=middle[:count].copy(),
    )


@njit(nogil=True, cache=True)
def _cut(
    key: np.uint64,
    mean: float,
    deviation: float,
    frame: NDArray[np.float64],
    walls: NDArray[np.float64],
    cell: NDArray[np.float64],
    corners: int,
    cuts: NDArray[np.float64],
    children: NDArray[np.int32],
    leaves: NDArray[np.float64],
    clipped: NDArray[np.bool_],
    area: NDArray[np.float64],
    middle: NDArray[np.float64],
) -> tuple[int, int]:
    """Fill a block's tables; how many nodes and leaves. See `cut_block`."""
    # Open nodes: rectangle, target size (0: not drawn yet), node; the polygon inside the walls is cut along.
    rects, targets, nodes = np.zeros((64, 4)), np.zeros(64), np.zeros(64, np.int32)
    shapes, counts = np.zeros((64, _CORNERS, 2)), np.zeros(64, np.int64)
    shape, polygon = np.zeros((_CORNERS, 2)), np.zeros((_CORNERS, 2))
    for c in range(corners):
        for a in range(2):
            shapes[0, c, a] = cell[c, a]
    counts[0] = corners
    _extent(cell, corners, rects[0])
    rect, span = np.zeros(4), np.zeros(4)
    depth, used, count = 1, 1, 0
    while depth > 0:
        depth -= 1
        node, target, n = nodes[depth], targets[depth], counts[depth]
        for c in range(4):
            rect[c] = rects[depth, c]
        for c in range(n):
            shape[c, 0], shape[c, 1] = shapes[depth, c, 0], shapes[depth, c, 1]
        bits = mix(key + _U(node))
        size, mx, my = area_and_middle(shape, n)
        if target == 0.0 and size < ESTATE:
            target = math.exp(mean + deviation * normal_of(mix(bits ^ _U(5))))
        small = target > 0.0 and size <= target * (0.85 + 0.3 * unit(mix(bits ^ _U(6))))
        if small or size < SMALLEST or count + depth + 2 >= MOST_LEAVES or depth >= 60:
            children[node, 0] = children[node, 1] = count
            for c in range(4):
                leaves[count, c] = rect[c]
            inside = parcel_polygon(rect, walls, TRACK, ROAD, polygon)
            full = area_and_middle(polygon, inside)[0]
            whole = (rect[2] - rect[0]) * (rect[3] - rect[1])
            clipped[count] = abs(size - whole) > 0.01 or _near(rect, walls)
            area[count] = full if full >= SMALLEST else 0.0
            middle[count, 0] = frame[0] + frame[2] * mx - frame[3] * my
            middle[count, 1] = frame[1] + frame[3] * mx + frame[2] * my
            count += 1
            continue
        _extent(shape, n, span)
        width, height = span[2] - span[0], span[3] - span[1]
        wide = width > height
        # Fields are longer than wide: now and then the short side is cut.
        if unit(mix(bits ^ _U(1))) < 0.12 and width < 2.5 * height and height < 2.5 * width:
            wide = not wide
        at = 0.38 + 0.24 * unit(mix(bits ^ _U(2)))
        axis = 0 if wide else 1
        place = span[axis] + at * (width if wide else height)
        cuts[node, 0], cuts[node, 1] = axis, place
        for side in range(2):
            sign = 1.0 if side == 0 else -1.0
            for c in range(4):
                rects[depth, c] = rect[c]
            rects[depth, axis + (2 if side == 0 else 0)] = place
            nx, ny = (sign, 0.0) if wide else (0.0, sign)
            counts[depth] = clip(shape, n, nx, ny, sign * place, shapes[depth])
            targets[depth] = target
            nodes[depth] = used
            children[node, side] = used
            used += 1
            depth += 1
    return used, count


@njit(nogil=True, cache=True)
def _extent(polygon: NDArray[np.float64], count: int, out: NDArray[np.float64]) -> None:
    """Least and greatest coordinates of a polygon: u0, v0, u1, v1."""
    for a in range(2):
        out[a] = out[a + 2] = polygon[0, a]
        for k in range(1, count):
            out[a] = min(out[a], polygon[k, a])
            out[a + 2] = max(out[a + 2], polygon[k, a])


@njit(nogil=True, cache=True)
def _near(rect: NDArray[np.float64], walls: NDArray[np.float64]) -> bool:
    """Whether a wall comes nearer to a rectangle than a road's half width."""
    for w in range(walls.shape[0]):
        reach = max(walls[w, 0] * rect[0], walls[w, 0] * rect[2]) + max(
            walls[w, 1] * rect[1], walls[w, 1] * rect[3]
        )
        if reach > walls[w, 2] - ROAD:
            return True
    return False
