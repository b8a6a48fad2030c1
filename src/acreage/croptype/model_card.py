"""The card that goes with a model file: what it is for, what it was made of, how well it does."""

from __future__ import annotations

import numpy as np

from acreage.croptype.metrics import Scores
from acreage.croptype.model import TrainedModel
from acreage.croptype.precision import PrecisionCheck
from acreage.croptype.reports import confusion_table, score_table
from acreage.croptype.udf_source.crop_type_udf import BF16_DISAGREEMENT

LIMITS = """\
- It was trained and scored on the samples below and nothing else. Other regions, years and crops will be
  worse; measure with `acreage validate` before trusting it there.
- The scores come from samples held out of each member's training, but used to stop it; they flatter a little.
- A class with few samples has a score with a wide error.
- Confidence is the mean softmax probability of the ensemble. It ranks pixels; it is not calibrated.
- Input values must have the units given above. The model cannot tell reflectance 0..1 from x 10000."""


def model_card(model: TrainedModel, sha256: str, precision: PrecisionCheck | None = None) -> str:
    """Markdown card of a model whose file has this digest, with a comparison of precisions where given."""
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
        *(["## Precision", _precision_text(precision)] if precision else []),
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


def _precision_text(check: PrecisionCheck) -> str:
    changed = round(check.disagreement * check.samples)
    how = "which it multiplies in" if check.native else "which it only emulates"
    return (
        f"In bf16 {changed} of {check.samples} training samples ({check.disagreement:.2%}) get another "
        f"class than in fp32; `auto` takes bf16 up to {BF16_DISAGREEMENT:.1%}. On the machine that trained, "
        f"a batch of {check.batch_pixels} pixels took {1000 * check.fp32_s:.1f} ms of CPU time in fp32 and "
        f"{1000 * check.bf16_s:.1f} ms in bf16, {how}."
    )
