"""Can pixels be what their metadata says they are? Judgements on small samples; pure functions.

**Offset of Sentinel-2 digital numbers.** Vegetation is dark in blue and red whatever the season, and the
scene classification (SCL) that names it was made by the processor from the right reflectances, so it does not
move with the fault. A pixel is *dark* where the smaller one of B02 and B04 is below 1000 DN (0.1); it has
*collapsed* where B04 is at most 10 DN, or null (B02 is not asked: it may be over-corrected in winter).
Vegetation's brightness in B08 tells the scale.

Found on real pixels: `flanders-2019`, 72 dates of one site with farmland, and four whole granules in the Alps
at 120 m (`benchmarks/real_granules.py`, docs/real-granules.md). For scenes of which at least
2 % (and 30 pixels) are vegetation (SCL 4), as found and as found after a fault was put in:

| | real | offset left in (+1000) | removed twice (-1000) | DN / 10 | DN x 10 |
|---|---|---|---|---|---|
| dark share of vegetation | 0.914 .. 1.000 | 0.000 | | | |
| collapsed share of vegetation | 0.000 .. 0.001 | | 0.648 .. 1.000 | | |
| median reflectance of vegetation in B08 | 0.195 .. 0.516 | | | 0.019 .. 0.052 | 1.95 .. 5.16 |

Of 76 scenes 45 have that many; each of the five faults was found in all 45, and none of the 76 was refused as
it is.

The thresholds lie in the gaps, far from the real side. Where less is vegetation (clouds, snow, water, desert)
nothing can be told, and nothing is refused: the few pixels of a cloudy scene that are called vegetation lie
along clouds and are bright (dark share 0.568 and 0.750 where they are 1 %, 0.375 where they are 0.4 %).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from acreage.core.arrays import Array, BoolArray
from acreage.core.faults import FaultKind

MIN_PIXELS = 30
LEAST_VEGETATION = 0.02
DARK_DN = 1000
DARKEST_DN = 1  # what a processor writes for a negative reflectance: all of a lake, in short wave infrared
COLLAPSED_DN = 10
LEAST_DARK_SHARE = 0.05
MOST_COLLAPSED_SHARE = 0.3
LEAST_NIR, MOST_NIR = 0.08, 1.0
MOST_NULL_LIKE_SHARE = 0.01
SATURATED_SHARE = 0.5
ZERO_FIELD = 5  # sampled pixels a side
VEGETATION = 4
SCL_CODES = frozenset(range(12))
WORLDCOVER_CODES = frozenset((0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100))
# Values that are written for "no value" somewhere; of no use as reflectance, power or metres.
USUAL_NULLS = (-9999.0, -32768.0, -32767.0, 32767.0, 65535.0, -3.4028234663852886e38, 3.4028234663852886e38)

State = Literal["plausible", "implausible", "cannot tell"]


@dataclass(frozen=True)
class Verdict:
    """What pixels say of their metadata.

    Attributes:
        state: `cannot tell` is no fault.
        reason: why it is implausible, or cannot be told; a sentence for a person, without a subject.
        kind: the fault where implausible.
        figures: the measured numbers by name.
    """

    state: State
    reason: str = ""
    kind: FaultKind = "implausible"
    figures: Mapping[str, float] = field(default_factory=dict)


PLAUSIBLE = Verdict("plausible")


@dataclass(frozen=True)
class BandSample:
    """Some pixels of a band.

    Attributes:
        values: the file's digital numbers, any shape.
        valid: False where they are null; same shape.
        dn_offset: what is added to the valid ones.
        scale: reflectance per DN.
    """

    values: Array
    valid: BoolArray
    dn_offset: int = 0
    scale: float = 0.0001

    @property
    def harmonised(self) -> Array:
        """float64 DN with the offset added, not clipped; NaN where null."""
        return np.where(self.valid, self.values.astype(np.float64) + self.dn_offset, np.nan)


def judge_reflectance(bands: Mapping[str, BandSample], scl: Array | None) -> Verdict:
    """Whether the offset and scale of a Sentinel-2 item fit its pixels.

    Args:
        bands: B02, B04 and B08, as far as they are there, all of the shape of `scl`.
        scl: scene classification of the same pixels; None where there is none.
    """
    if scl is None:
        return Verdict("cannot tell", "there is no scene classification")
    vegetation = scl == VEGETATION
    number = int(vegetation.sum())
    share = number / max(1, int((scl != 0).sum()))
    if number < MIN_PIXELS or share < LEAST_VEGETATION:
        told = f"only {number} sampled pixels ({share:.1%}) are vegetation"
        return Verdict("cannot tell", told, figures={"n": number})
    found = {name: sample.harmonised[vegetation] for name, sample in bands.items()}
    figures: dict[str, float] = {"n": number}
    if "B08" in found:
        verdict = _scale(found["B08"] * bands["B08"].scale, figures)
        if verdict is not None:
            return verdict
    if "B02" in found and "B04" in found:
        verdict = _offset(found["B02"], found["B04"], figures)
        if verdict is not None:
            return verdict
    if len(figures) == 1:
        return Verdict("cannot tell", "neither B02 and B04 nor B08 are there", figures=figures)
    return Verdict("plausible", figures=figures)


def _offset(blue: Array, red: Array, figures: dict[str, float]) -> Verdict | None:
    collapsed = ~(red > COLLAPSED_DN)
    figures["collapsed share"] = float(collapsed.mean())
    if figures["collapsed share"] > MOST_COLLAPSED_SHARE:
        return Verdict(
            "implausible",
            f"{figures['collapsed share']:.0%} of the vegetation has no reflectance left in B04: "
            "the offset of 1000 was subtracted twice, or was never added",
            figures=figures,
        )
    valid = ~(np.isnan(blue) | np.isnan(red))
    if valid.sum() < MIN_PIXELS:
        return None
    figures["dark share"] = float((np.minimum(blue, red)[valid] < DARK_DN).mean())
    if figures["dark share"] < LEAST_DARK_SHARE:
        return Verdict(
            "implausible",
            f"only {figures['dark share']:.0%} of the vegetation has less than {DARK_DN} DN in B02 or B04: "
            "the offset of 1000 is still in the pixels",
            figures=figures,
        )
    return None


def _scale(nir: Array, figures: dict[str, float]) -> Verdict | None:
    nir = nir[~np.isnan(nir)]
    if nir.size < MIN_PIXELS:
        return None
    middle = figures["B08 median"] = float(np.median(nir))
    if LEAST_NIR <= middle <= MOST_NIR:
        return None
    return Verdict(
        "implausible",
        f"vegetation has a median reflectance of {middle:.3g} in B08, "
        f"outside of {LEAST_NIR} to {MOST_NIR}: the scale is wrong",
        figures=figures,
    )


def judge_numbers(values: Array, valid: BoolArray, nodata: float | None, zero_is_null: bool) -> Verdict:
    """Whether measured numbers are no disguised nulls, not one constant and not saturated.

    For what varies from pixel to pixel by its nature: reflectance and backscatter, not classes.

    Args:
        values: as in the file, any shape.
        valid: False where they are null.
        nodata: the null value that is believed.
        zero_is_null: True where 0 cannot be measured.
    """
    verdict = judge_nulls(values, nodata, zero_is_null)
    if verdict.state == "implausible":
        return verdict
    left = values[valid]
    if left.size < MIN_PIXELS:
        return Verdict("cannot tell", f"only {left.size} sampled pixels are valid")
    if left.min() == left.max() and not (zero_is_null and left.flat[0] == DARKEST_DN):
        return Verdict("implausible", f"all {left.size} sampled pixels are {left.flat[0]:g}")
    if values.dtype.kind in "iu":
        share = float((left == np.iinfo(values.dtype).max).mean())
        if share > SATURATED_SHARE:
            return Verdict("implausible", f"{share:.0%} of the pixels are saturated")
    return PLAUSIBLE


def judge_nulls(values: Array, nodata: float | None, zero_is_null: bool = False) -> Verdict:
    """Whether a usual null value, other than the one that is believed, stands among the pixels."""
    suspects = (*USUAL_NULLS, 0.0) if zero_is_null else USUAL_NULLS
    for suspect in suspects:
        if nodata is not None and suspect == nodata:
            continue
        share = float((values == suspect).mean()) if values.size else 0.0
        if share > MOST_NULL_LIKE_SHARE:
            told = "none" if nodata is None else f"{nodata:g}"
            return Verdict(
                "implausible",
                f"{share:.0%} of the pixels are {suspect:g}, a null value; it is said to be {told}",
                "nodata",
                {"share": share},
            )
    return PLAUSIBLE


def judge_power(values: Array, valid: BoolArray, db: bool) -> Verdict:
    """Whether backscatter is linear power, or dB, as is said of it.

    Linear power is never negative; real sigma0 in dB has a median far below zero (land: -25 to -5 dB). Single
    zeros are left by the removal of noise, whole fields of them only by a null value that nobody states.
    """
    left = values[valid]
    if left.size < MIN_PIXELS:
        return Verdict("cannot tell", f"only {left.size} sampled pixels are valid")
    negative = float((left < 0).mean())
    figures = {"negative share": negative, "median": float(np.median(left))}
    from scipy.ndimage import minimum_filter  # slow to load, and no plan needs it

    zeros = ((values == 0) & valid).astype(np.uint8)
    fields = 0.0 if db else float(minimum_filter(zeros, ZERO_FIELD, mode="nearest").mean())
    if fields > MOST_NULL_LIKE_SHARE:
        return Verdict(
            "implausible",
            f"at least {fields:.0%} of the pixels lie in fields of 0, which is not said to be null",
            "nodata",
            figures,
        )
    if not db and negative > MOST_NULL_LIKE_SHARE:
        told = "these are dB" if negative > SATURATED_SHARE else "which power cannot be"
        return Verdict(
            "implausible",
            f"{negative:.0%} of the pixels are negative; it is said to be linear power: {told}",
            figures=figures,
        )
    if db and negative < MOST_NULL_LIKE_SHARE:
        return Verdict(
            "implausible", "no pixel is negative; it is said to be in dB: this is power", figures=figures
        )
    return Verdict("plausible", figures=figures)


def judge_elevation(values: Array, valid: BoolArray) -> Verdict:
    """Whether elevations lie on Earth: -500 to 9000 m."""
    left = values[valid]
    if left.size == 0:
        return Verdict("cannot tell", "no sampled pixel is valid")
    lowest, highest = float(left.min()), float(left.max())
    if lowest < -500 or highest > 9000:
        return Verdict("implausible", f"elevations from {lowest:g} to {highest:g} m are not on Earth")
    return PLAUSIBLE


def judge_classes(values: Array, valid: BoolArray, codes: Collection[int]) -> Verdict:
    """Whether class codes are those of the legend; up to 1 % may be others."""
    left = values[valid]
    if left.size == 0:
        return Verdict("cannot tell", "no sampled pixel is valid")
    strange = ~np.isin(left, list(codes))
    if float(strange.mean()) > MOST_NULL_LIKE_SHARE:
        shown = ", ".join(f"{v:g}" for v in np.unique(left[strange])[:5])
        return Verdict("implausible", f"{float(strange.mean()):.0%} of the pixels have codes such as {shown}")
    return PLAUSIBLE
