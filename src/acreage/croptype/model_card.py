"""The card that goes with a model file: what it is for, what it was made of, how well it does."""

from __future__ import annotations

import numpy as np

from acreage.croptype.metrics import Scores
from acreage.croptype.model import TrainedModel
from acreage.croptype.reports import confusion_table, score_table

LIMITS = """\
- It was trained and scored on the samples below and nothing else. Other regions, years and crops will be
  worse; measure with `acreage validate` before trusting it there.
- The scores come from samples held out of each member's training, but used to stop it; they flatter a little.
- A class with few samples has a score with a wide error.
- Confidence is the mean softmax probability of the ensemble. It ranks pixels; it is not calibrated.
- Input values must have the units given above. The model cannot tell reflectance 0..1 from x 10000."""


def model_card(model: TrainedModel, sha256: str) -> str:
    """Markdown card of a model whose file has this digest."""
    training, metrics = model.training, model.metrics
    confusion = np.array(metrics["confusion"], np.int64)
    scores = Scores(tuple(c["name"] for c in metrics["classes"]), confusion)
    classes = [
        f"| {c.code} | {c.name} | {c.title} | {training['samples'].get(c.name, 0)} |"
        for c in model.legend.classes
    ]
    left_out = [
        f"- {title}: {', '.join(f'{k} ({v})' for k, v in training[key].items())}"
        for key, title in (
            ("dropped_classes", "classes left out"),
            ("unmapped_labels", "labels without a class"),
        )
        if training[key]
    ]
    if training["merged_classes"]:
        left_out.append(f"- merged into the other class: {', '.join(training['merged_classes'])}")
    parts = [
        "# Crop type model",
        f"sha256 `{sha256}`, training fingerprint `{training['fingerprint']}`.",
        "## Intended use",
        f"One crop class a pixel from dekad composites of the season {model.spec.dekads[0]} to "
        f"{model.spec.dekads[-1]} (first days of {len(model.spec.dekads)} dekads), under a cropland mask "
        f"that keeps WorldCover {', '.join(map(str, model.landcover))}.",
        f"Bands: {', '.join(model.spec.bands)}. S2 bands are reflectance x 10000, VV and VH "
        f"{'decibels' if model.spec.s1_unit == 'db' else 'linear power'}, DEM metres. Missing dekads are "
        "accepted, and so is a missing elevation.",
        "## Classes",
        "\n".join(["| code | name | title | samples |", "|---:|---|---|---:|", *classes]),
        "## Data",
        f"{sum(training['samples'].values())} samples in {training['groups']} groups, dekads "
        f"{training['first_dekad']} to {training['last_dekad']}, regions: "
        f"{', '.join(r for r in training['regions'] if r) or 'not named'}. "
        f"Digest of the data: `{training['data_sha256']}`.",
        *(["\n".join(left_out)] if left_out else []),
        "## Scores",
        f"Accuracy {scores.accuracy:.3f}, macro-F1 {scores.macro_f1:.3f}: {metrics['how']}.",
        score_table(scores),
        confusion_table(scores),
        "## Limits",
        LIMITS,
        "## Provenance",
        "\n".join(
            [
                f"- network: {model.network['architecture']}, {model.network['members']} members, "
                f"settings {model.network['settings'] or 'default'}",
                *(
                    f"- {k}: {v}"
                    for k, v in training["options"].items()
                    if k not in ("architecture", "settings")
                ),
                *(f"- {k} {v}" for k, v in training["packages"].items()),
            ]
        ),
    ]
    return "\n\n".join(parts) + "\n"
