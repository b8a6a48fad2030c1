"""A trained crop type model and the checks that keep it from being used where it does not belong."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acreage.core.errors import InvalidInput, ModelMismatch
from acreage.core.legend import Legend
from acreage.core.temporal import Season
from acreage.croptype.series import Samples, season_dekads
from acreage.croptype.udf_source.crop_type_udf import NETWORKS, Classifier, FeatureSpec, differences

UNITS = {"linear": "linear power", "db": "decibels"}


@dataclass(frozen=True)
class TrainedModel:
    """What a model file holds, ready to run."""

    legend: Legend
    classifier: Classifier
    landcover: tuple[int, ...]
    """WorldCover codes that the cropland mask must keep."""
    network: dict[str, Any]
    """`architecture`, its `settings`, and the number of `members` of the ensemble."""
    training: dict[str, Any]
    """Provenance: fingerprint, options, seed, class counts, package versions."""
    metrics: dict[str, Any]
    """Scores on samples that the scored member was not trained on."""

    @property
    def spec(self) -> FeatureSpec:
        """Bands, dekads and channels that the model reads."""
        return self.classifier.spec

    @property
    def metadata(self) -> dict[str, Any]:
        """Everything but the weights, as stored in the model file."""
        return {
            "features": self.spec.to_dict(),
            "legend": self.legend.to_dict(),
            "landcover": list(self.landcover),
            "network": self.network,
            "training": self.training,
            "metrics": self.metrics,
        }

    def predict(self, samples: Samples) -> NDArray[np.float32]:
        """Class probabilities (N, classes) of samples that hold the model's bands and dekads.

        Raises:
            ModelMismatch: they do not.
        """
        return self.classifier.probabilities(self.values_of(samples))

    def values_of(self, samples: Samples) -> NDArray[np.float32]:
        """The samples' series (N, T, bands) in the order that the classifier reads.

        Raises:
            ModelMismatch: the samples lack the model's bands or dekads.
        """
        self.check_cube(samples.bands, samples.dekads)
        order = [samples.bands.index(b) for b in self.spec.bands]
        return np.ascontiguousarray(samples.values[:, :, order])

    def check_cube(self, bands: Sequence[str], labels: Sequence[Any]) -> None:
        """Refuse a cube whose bands or time labels are not the model's; further bands do no harm.

        Raises:
            ModelMismatch: lists everything that differs.
        """
        try:
            found = differences(self.spec, list(bands), list(labels))
        except ValueError as error:
            raise ModelMismatch(f"The cube does not match the model: {error}.") from error
        if found:
            raise ModelMismatch(
                "The cube does not match the model: " + "; ".join(found) + ".",
                hint="Use the model's bands and season, or train a model for these.",
            )

    def check_backscatter(self, unit: str) -> None:
        """Refuse backscatter in another unit than the model was trained on: values alone do not tell.

        Raises:
            ModelMismatch: `unit` is not the model's.
        """
        if unit != self.spec.s1_unit:
            raise ModelMismatch(
                f"The cube's backscatter is in {UNITS[unit]}, but the model was trained on "
                f"{UNITS[self.spec.s1_unit]}.",
                hint=f"Set s1_unit to {self.spec.s1_unit!r}.",
            )

    def check_season(self, season: Season) -> None:
        """Refuse a season that is not the model's, before anything is read.

        Raises:
            ModelMismatch: the season has other dekads.
        """
        found = [d.strftime("%m-%d") for d in season_dekads(season)]
        if found != list(self.spec.dekads):
            raise ModelMismatch(
                f"The season {season} has the dekads {found[0]} to {found[-1]} ({len(found)}), but the model "
                f"was trained on {self.spec.dekads[0]} to {self.spec.dekads[-1]} ({len(self.spec.dekads)}).",
                hint="Map the model's season, or train a model for this one.",
            )


def check_landcover(legend: Legend, kept: Collection[int]) -> None:
    """Refuse classes that the cropland mask would remove: they could never appear in the map.

    Raises:
        InvalidInput: names the classes and the way out.
    """
    if removed := legend.removed_by(kept):
        names = ", ".join(c.name for c in removed)
        codes = ",".join(str(c) for c in sorted({code for c in removed for code in c.landcover} | set(kept)))
        raise InvalidInput(
            f"The cropland mask keeps WorldCover {', '.join(map(str, sorted(kept)))} and so removes {names}.",
            hint=f"Keep their land cover (--landcover {codes}) or leave them out "
            f"(--without {names.replace(', ', ',')}).",
        )


def architectures() -> list[str]:
    """Names of the networks that a model may have."""
    return sorted(NETWORKS)
