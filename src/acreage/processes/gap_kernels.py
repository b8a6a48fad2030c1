"""Compiled loops that fill gaps between numbers along an array."""

from __future__ import annotations

import numpy as np

from acreage.processes.kernels import BLOCK, compiled, where_valid


@compiled
def _fill_row(x, before, place, after, end, out, out_valid):  # type: ignore[no-untyped-def]
    for j in range(out.shape[0]):
        x0 = place[j]
        y0 = before[j]
        known = x0 == x
        x1 = x if known else end[j]
        y1 = y0 if known else after[j]
        slope = (y1 - y0) / (x1 - x0)
        # The second and third form, as in numpy.interp, give a number beside infinities if there is one.
        y = slope * (x - x0) + y0
        from_end = slope * (x - x1) + y1
        level = y0 if y0 == y1 else np.nan
        y = y if y == y else from_end
        y = y if y == y else level
        out[j] = y0 if known else y
        out_valid[j] = out_valid[j] | ((x0 == x0) & (x1 == x1))
        after[j] = y1
        end[j] = x1


@where_valid
@compiled
def fill_gaps(values, valid, masked, positions, out, out_valid):  # type: ignore[no-untyped-def]
    """Interpolate nulls and NaN between numbers of a pixel linearly; ends stay as they are.

    A pass forwards notes the number before each element; one backwards knows the next and fills the gaps.
    NaN for a number or place that there is not makes whatever is computed with it NaN.

    Args:
        values: (n, p), any number dtype; `valid`, `masked` as everywhere.
        positions: (n), float64, the places of the elements, in ascending or descending order, each once.
        out: (n, p), float32 or float64; the computation is in float64.
        out_valid: (n, p), boolean.
    """
    n, pixels = values.shape
    before = np.full((n + 1, BLOCK), np.nan)
    place = np.full((n + 1, BLOCK), np.nan)
    after = np.empty(BLOCK)
    end = np.empty(BLOCK)
    for start in range(0, pixels, BLOCK):
        stop = min(start + BLOCK, pixels)
        gaps = 0
        for k in range(n):
            row = values[k, start:stop]
            filled = out[k, start:stop]
            if masked:
                use = valid[k, start:stop]
                for j in range(stop - start):
                    gaps += (not use[j]) | (row[j] != row[j])
                    filled[j] = row[j]
            else:
                for j in range(stop - start):
                    gaps += row[j] != row[j]
                    filled[j] = row[j]
            out_valid[k, start:stop] = True
        if gaps == 0:
            continue
        for k in range(n):
            row = values[k, start:stop]
            use = valid[k, start:stop] if masked else valid[0]
            for j in range(stop - start):
                value = np.float64(row[j])
                known = (use[j] if masked else True) & (value == value)
                before[k + 1, j] = value if known else before[k, j]
                place[k + 1, j] = positions[k] if known else place[k, j]
        after[:] = np.nan
        end[:] = np.nan
        for k in range(n - 1, -1, -1):
            known_valid = out_valid[k, start:stop]
            if masked:
                known_valid[:] = valid[k, start:stop]
            else:
                known_valid[:] = True
            _fill_row(positions[k], before[k + 1], place[k + 1], after, end, out[k, start:stop], known_valid)
