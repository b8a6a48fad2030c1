"""The kernel that looks up the ground at many places: the hot path of `Ground.at`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acreage.simulate.fields import BLOCK, ROAD, TRACK, block_of
from acreage.simulate.noise import mix, value_noise

TEXTURE_METRES = 55.0
TEXTURE = 0.06
"""Deviation of the vigour inside a parcel."""
SCATTERED = 2000
"""Places a block below which a request counts as scattered; a block has 57 600 pixels of 10 m."""
_U = np.uint64


class Blocks(NamedTuple):
    """Tables of many blocks, one after another; `*_start` say where each begins.

    Attributes:
        lookup: (columns, rows) number in this table of block (i + i0, j + j0), -1 where it has none.
        ids: parcel id of each block's leaf 0.
        closed: (leaves,) whether the cover goes on over the tracks, as a forest does.
    The others: as in `fields.BlockTable`, and what `landuse.describe_parcels` says of the leaves.
    """

    lookup: NDArray[np.int32]
    i0: int
    j0: int
    ids: NDArray[np.int64]
    frame: NDArray[np.float64]
    season: NDArray[np.float32]
    wall_start: NDArray[np.int64]
    walls: NDArray[np.float64]
    node_start: NDArray[np.int64]
    cuts: NDArray[np.float64]
    children: NDArray[np.int32]
    leaf_start: NDArray[np.int64]
    leaves: NDArray[np.float64]
    clipped: NDArray[np.bool_]
    area: NDArray[np.float64]
    cover: NDArray[np.uint8]
    closed: NDArray[np.bool_]
    vigour: NDArray[np.float32]
    shift: NDArray[np.float32]


def used_blocks(
    seed: np.uint64, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[int, int, NDArray[np.bool_]]:
    """Number of the first block, and (columns, rows) whether any place may lie in each block from it on."""
    if x.size == 0:
        return 0, 0, np.ones((1, 1), np.bool_)
    i0, j0 = int(x.min() // BLOCK) - 1, int(y.min() // BLOCK) - 1
    used = np.zeros((int(x.max() // BLOCK) + 2 - i0, int(y.max() // BLOCK) + 2 - j0), np.bool_)
    if x.size < SCATTERED * used.size:
        # Tables of neighbours that no place lies in would cost more than to find each place's block.
        _mark_exactly(seed, x, y, i0, j0, used)
    else:
        _mark(x, y, i0, j0, used)
    return i0, j0, used


@njit(nogil=True, cache=True)
def _mark_exactly(
    seed: np.uint64, x: NDArray[np.float64], y: NDArray[np.float64], i0: int, j0: int, used: NDArray[np.bool_]
) -> None:
    for k in range(x.size):
        i, j = block_of(seed, x[k], y[k])
        used[i - i0, j - j0] = True


@njit(nogil=True, cache=True)
def _mark(x: NDArray[np.float64], y: NDArray[np.float64], i0: int, j0: int, used: NDArray[np.bool_]) -> None:
    last_i, last_j = -(1 << 40), -(1 << 40)
    for k in range(x.size):
        i, j = math.floor(x[k] / BLOCK) - i0, math.floor(y[k] / BLOCK) - j0
        if i == last_i and j == last_j:
            continue
        last_i, last_j = i, j
        for a in range(i - 1, i + 2):
            for b in range(j - 1, j + 2):
                used[a, b] = True


@njit(nogil=True, cache=True)
def _depth(blocks: Blocks, block: int, u: float, v: float) -> float:
    """Metres to the nearest wall of a block; negative outside."""
    depth = 1e9
    for w in range(blocks.wall_start[block], blocks.wall_start[block + 1]):
        depth = min(depth, blocks.walls[w, 2] - blocks.walls[w, 0] * u - blocks.walls[w, 1] * v)
    return depth


@njit(nogil=True, cache=True)
def _leaf(blocks: Blocks, block: int, u: float, v: float) -> int:
    """The leaf of a block that (u, v) of its frame lies in."""
    start, node = blocks.node_start[block], 0
    while not math.isnan(blocks.cuts[start + node, 1]):
        value = u if blocks.cuts[start + node, 0] == 0.0 else v
        node = blocks.children[start + node, 0 if value <= blocks.cuts[start + node, 1] else 1]
    return int(blocks.leaf_start[block] + blocks.children[start + node, 0])


@njit(nogil=True, cache=True)
def fill_patch(
    seed: np.uint64,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    blocks: Blocks,
    track: int,
    codes: NDArray[np.uint8],
    landcovers: NDArray[np.uint8],
    parcel: NDArray[np.int64],
    cover: NDArray[np.uint8],
    code: NDArray[np.uint8],
    landcover: NDArray[np.uint8],
    vigour: NDArray[np.float32],
    shift: NDArray[np.float32],
    season: NDArray[np.float32],
) -> None:
    """Fill flat arrays of `Patch` for flat arrays of places. `track`: the cover of tracks and margins."""
    scale = 1.0 / TEXTURE_METRES
    texture = mix(seed ^ _U(0x7E87))
    block, leaf = -1, -1
    bx, by, cos, sin = 0.0, 0.0, 1.0, 0.0
    u0, v0, u1, v1, clipped = 1.0, 1.0, 0.0, 0.0, False
    for k in range(x.size):
        dx, dy = x[k] - bx, y[k] - by
        u, v = cos * dx + sin * dy, cos * dy - sin * dx
        # The last place's leaf holds the next one mostly; only a leaf at the block's edge must look at the
        # walls.
        inside = u0 < u <= u1 and v0 < v <= v1
        depth = 1e9
        if inside and clipped:
            depth = _depth(blocks, block, u, v)
            inside = depth > 0.0
        if not inside:
            if block < 0 or _depth(blocks, block, u, v) <= 0.0:
                i, j = block_of(seed, x[k], y[k])
                block = blocks.lookup[i - blocks.i0, j - blocks.j0]
                bx, by = blocks.frame[block, 0], blocks.frame[block, 1]
                cos, sin = blocks.frame[block, 2], blocks.frame[block, 3]
                dx, dy = x[k] - bx, y[k] - by
                u, v = cos * dx + sin * dy, cos * dy - sin * dx
            leaf = _leaf(blocks, block, u, v)
            u0, v0 = blocks.leaves[leaf, 0], blocks.leaves[leaf, 1]
            u1, v1 = blocks.leaves[leaf, 2], blocks.leaves[leaf, 3]
            clipped = blocks.clipped[leaf]
            depth = _depth(blocks, block, u, v) if clipped else 1e9
        margin = min(u - u0, u1 - u, v - v0, v1 - v)
        grown = margin >= TRACK and depth >= ROAD and blocks.area[leaf] > 0.0
        c = int(blocks.cover[leaf]) if grown or blocks.closed[leaf] else track
        parcel[k] = blocks.ids[block] + leaf - blocks.leaf_start[block] if grown else -1
        cover[k] = c
        code[k] = codes[c]
        landcover[k] = landcovers[c]
        shade = 1.0 + TEXTURE * value_noise(texture, x[k] * scale, y[k] * scale)
        vigour[k] = shade * (blocks.vigour[leaf] if grown else 1.0)
        shift[k] = blocks.shift[leaf] if grown else 0.0
        season[k] = blocks.season[block]
