"""Covers that are harder to tell apart than the simulated archives' own, for comparing classifiers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from acreage.simulate.curves import Curve, Phenology, Spread

GROUPS = (
    ("wheat", "barley", "other_cereals"),
    ("maize", "soy", "sunflower", "potatoes", "sugar_beet"),
    ("rapeseed", "pulses"),
    ("temporary_grass", "fallow", "grassland"),
)
"""Crops that look alike already and are made more so."""


def harder(phenology: Phenology, alike: float, spread: float) -> Phenology:
    """Covers whose curves lie closer together and whose parcels differ more.

    A curve is replaced by terms of its own and of the others of its group, in parts: sums of curves stay so.

    Args:
        phenology: all covers.
        alike: part of a curve that is the mean of its group's.
        spread: factor of the spreads between parcels, but not of the calendar's.
    """
    by_name = {c.name: c for c in phenology.covers}
    covers = []
    for cover in phenology.covers:
        group = next((g for g in GROUPS if cover.name in g), (cover.name,))
        own = cover.spread
        wider = Spread(
            own.shift_days,
            spread * own.vigour,
            spread * own.brightness,
            spread * own.greenness,
            (spread * own.radar_db[0], spread * own.radar_db[1]),
        )
        parts = {name: alike / len(group) for name in group}
        parts[cover.name] += 1 - alike
        covers.append(
            replace(
                cover,
                optical=_mean([(share, by_name[n].optical) for n, share in parts.items()]),
                radar=_mean([(share, by_name[n].radar) for n, share in parts.items()]),
                spread=wider,
            )
        )
    return Phenology(tuple(covers))


def _mean(parts: list[tuple[float, Curve]]) -> Curve:
    base = sum(share * np.array(curve.base) for share, curve in parts)
    terms = [
        replace(term, amount=tuple(share * a for a in term.amount))
        for share, curve in parts
        for term in curve.terms
    ]
    return Curve(tuple(np.asarray(base).tolist()), tuple(terms))
