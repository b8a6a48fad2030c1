"""Training: samples and a legend in, a model out; the same samples, options and seed give the same model."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

from acreage.core.errors import InvalidInput
from acreage.core.legend import Legend
from acreage.croptype.features import Features, FeatureSpec, features, fit_features
from acreage.croptype.labels import Labelled, apply_legend
from acreage.croptype.metrics import score
from acreage.croptype.model import TrainedModel, architectures, check_landcover
from acreage.croptype.precision import disagreement
from acreage.croptype.series import Samples
from acreage.croptype.udf_source.crop_type_udf import Classifier, Ensemble, build_network

Progress = Callable[[int, int, int, float], None]
"""Called after each epoch: member, epochs done, epochs at most, best loss on the part held out so far."""


@dataclass(frozen=True)
class TrainingOptions:
    """How a model is trained. Every field enters the training fingerprint."""

    architecture: str = "patch_cnn"
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the architecture; its own defaults otherwise."""
    members: int = 5
    """Networks in the ensemble. Member k holds out fold k of that many for its early stopping."""
    seed: int = 0
    epochs: int = 150
    """At most; each member stops when its held-out loss has not fallen for `patience` epochs."""
    patience: int = 25
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    class_weight_power: float = 0.5
    """Class weight = (1 / share of the class) ** power: 0 none, 1 all classes alike."""
    label_smoothing: float = 0.05
    drop_observations: float = 0.15
    """Share of observed steps that are hidden at random in each epoch, a sensor at a time."""
    noise: float = 0.1
    """Standard deviation of noise added to scaled values in training."""
    min_samples: int = 10
    """Smaller classes are merged into the legend's other class, or left out."""
    terrain: bool = False
    """Whether the DEM is a feature. It tells places apart rather than crops (docs/training.md)."""
    teacher: str = ""
    """Architecture of a network that each member also learns from (knowledge distillation); none if empty.

    A member's teacher is trained on that member's own samples, so that held-out samples stay held out."""
    teacher_weight: float = 0.7
    """Share of the loss that compares with the teacher's probabilities, not with the labels."""
    temperature: float = 2.0
    """By which the logits of both are divided before they are compared."""

    def __post_init__(self) -> None:
        if self.architecture not in architectures():
            raise InvalidInput(
                f"There is no architecture {self.architecture!r}.",
                hint=f"Use one of {', '.join(architectures())}.",
            )
        if self.members < 2 or self.epochs < 1 or self.patience < 1 or self.batch < 2 or self.min_samples < 2:
            raise InvalidInput(
                "Training needs at least 2 members, 1 epoch, 1 epoch of patience, batches of 2 "
                "and 2 samples a class."
            )
        if self.teacher and self.teacher not in architectures():
            raise InvalidInput(
                f"There is no architecture {self.teacher!r} for a teacher.",
                hint=f"Use one of {', '.join(architectures())}.",
            )
        if not 0 <= self.teacher_weight <= 1 or self.temperature <= 0:
            raise InvalidInput(
                f"The teacher's weight is {self.teacher_weight} (0 to 1) and its temperature "
                f"{self.temperature} (above 0)."
            )
        if not 0 <= self.drop_observations < 1:
            raise InvalidInput(
                f"The share of dropped observations is {self.drop_observations}, not in [0, 1)."
            )


def train(
    samples: Samples,
    legend: Legend,
    landcover: tuple[int, ...],
    options: TrainingOptions | None = None,
    progress: Progress | None = None,
) -> TrainedModel:
    """Train a model on samples of one season.

    `landcover`: WorldCover codes that the cropland mask of the maps will keep.

    Raises:
        InvalidInput: labels that the legend does not know, a class that the mask removes, too few samples.
    """
    options = options or TrainingOptions()
    labelled = apply_legend(samples, legend, options.min_samples)
    check_landcover(labelled.legend, landcover)
    model = train_labelled(labelled, landcover, options, progress)
    apart = disagreement(model.classifier, model.values_of(labelled.samples))
    compared = {"samples": len(labelled.samples), "disagreement": apart}
    return replace(
        model,
        classifier=replace(model.classifier, bf16_disagreement=apart),
        metrics={**model.metrics, "bf16": compared},
    )


def train_labelled(
    labelled: Labelled,
    landcover: tuple[int, ...],
    options: TrainingOptions,
    progress: Progress | None = None,
) -> TrainedModel:
    """Train on samples whose labels are in the legend already; every class of it gets an output."""
    if not options.terrain:
        labelled = replace(labelled, samples=labelled.samples.without_terrain())
    spec = fit_features(labelled.samples)
    task = _Task(
        features(labelled.samples.values, spec),
        labelled.targets,
        len(labelled.names),
        torch.tensor([spec.sensors.index(c.sensor) for c in spec.temporal]),
        options,
    )
    held_out = np.zeros((len(labelled.targets), task.classes), np.float32)
    members: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]), _one_thread():
        for k, (fit, check) in enumerate(_folds(labelled, options)):
            torch.manual_seed(options.seed * 1000 + k)
            teacher = None
            if options.teacher:
                teacher = build_network(options.teacher, {}, spec, task.classes).members[0]
                _fit_member(teacher, task, fit, check, None)
            member = build_network(options.architecture, options.settings, spec, task.classes)
            report = functools.partial(progress, k) if progress else None
            _fit_member(member.members[0], task, fit, check, report, teacher)
            held_out[check] = _probabilities(member, task.inputs, check)
            members.append(member.members[0])
    network = Ensemble(members)
    network.eval()
    scores = score(labelled.targets, held_out.argmax(axis=1), labelled.names)
    codes = np.array([c.code for c in labelled.legend.classes], np.uint8)
    return TrainedModel(
        labelled.legend,
        Classifier(spec, network, codes),
        landcover,
        {"architecture": options.architecture, "settings": options.settings, "members": len(members)},
        _provenance(labelled, spec, landcover, options),
        {
            "how": f"each sample scored by the one of {len(members)} members that held it out",
            **scores.to_dict(),
        },
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in training come out the same, whatever the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Task:
    """What all members of one training share."""

    inputs: Features
    targets: NDArray[np.int64]
    classes: int
    sensor_of_channel: Tensor
    """(channels,) index of the mask channel that each value channel goes with."""
    options: TrainingOptions


def _folds(
    labelled: Labelled, options: TrainingOptions
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    splitter = StratifiedGroupKFold(options.members, shuffle=True, random_state=options.seed)
    with warnings.catch_warnings():
        # A class may have fewer samples than there are members; some members then stop without seeing it.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        try:
            yield from splitter.split(labelled.targets, labelled.targets, labelled.samples.groups)
        except ValueError as error:
            raise InvalidInput(
                f"The samples cannot be split into {options.members} parts: {error}",
                hint="Use fewer members, or more samples.",
            ) from error


def _fit_member(
    network: nn.Module,
    task: _Task,
    fit: NDArray[np.int64],
    check: NDArray[np.int64],
    report: Callable[[int, int, float], None] | None,
    teacher: nn.Module | None = None,
) -> None:
    """Train one network in place; it ends with the weights of its best epoch on the part to check on."""
    options, inputs = task.options, task.inputs
    series = torch.from_numpy(np.ascontiguousarray(inputs.series))
    static, wanted = torch.from_numpy(inputs.static), torch.from_numpy(task.targets)
    weights = _class_weights(task.targets[fit], task.classes, options.class_weight_power)
    loss = nn.CrossEntropyLoss(weights, label_smoothing=options.label_smoothing)
    optimizer = torch.optim.AdamW(
        network.parameters(), options.learning_rate, weight_decay=options.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs)
    best, best_state, since = float("inf"), copy.deepcopy(network.state_dict()), 0
    for epoch in range(options.epochs):
        network.train()
        for part in torch.split(torch.from_numpy(fit)[torch.randperm(len(fit))], options.batch):
            if len(part) < 2:  # batch normalisation has no variance of one
                continue
            optimizer.zero_grad()
            seen = _augmented(series[part], task)
            found = network(seen, static[part])
            total = loss(found, wanted[part])
            if teacher is not None:
                total = _distilled(total, found, teacher, (seen, static[part]), options)
            total.backward()
            optimizer.step()
        schedule.step()
        network.eval()
        with torch.no_grad():
            now = float(loss(network(series[check], static[check]), wanted[check]))
        since += 1
        if now < best:
            best, best_state, since = now, copy.deepcopy(network.state_dict()), 0
        if report:
            report(epoch + 1, options.epochs, best)
        if since >= options.patience:
            break
    network.load_state_dict(best_state)
    network.eval()


def _distilled(
    loss: Tensor, found: Tensor, teacher: nn.Module, inputs: tuple[Tensor, Tensor], options: TrainingOptions
) -> Tensor:
    """The loss with the teacher's part, after Hinton et al. 2015 (arXiv:1503.02531)."""
    with torch.no_grad():
        wanted = (teacher(*inputs) / options.temperature).log_softmax(dim=1)
    given = (found / options.temperature).log_softmax(dim=1)
    apart = nn.functional.kl_div(given, wanted, reduction="batchmean", log_target=True)
    return (1 - options.teacher_weight) * loss + options.teacher_weight * options.temperature**2 * apart


def _augmented(series: Tensor, task: _Task) -> Tensor:
    """Series with noise and with some observations hidden, exactly as missing ones look."""
    count = len(task.sensor_of_channel)
    values, masks = series[:, :count], series[:, count:]
    masks = masks * (torch.rand(masks.shape) >= task.options.drop_observations)
    values = values + task.options.noise * torch.randn(values.shape)
    return torch.cat([values * masks[:, task.sensor_of_channel], masks], dim=1)


def _class_weights(targets: NDArray[np.int64], classes: int, power: float) -> Tensor:
    """(classes,) weights whose mean over the targets is 1; a class without targets weighs nothing."""
    counts = np.bincount(targets, minlength=classes).astype(np.float64)
    weights = np.where(counts > 0, (len(targets) / np.maximum(counts, 1)) ** power, 0.0)
    return torch.from_numpy((weights / weights[targets].mean()).astype(np.float32))


def _probabilities(member: Ensemble, inputs: Features, index: NDArray[np.int64]) -> NDArray[np.float32]:
    with torch.no_grad():
        result = member(torch.from_numpy(inputs.series[index]), torch.from_numpy(inputs.static[index]))
    return np.asarray(result.numpy(), np.float32)


def _provenance(
    labelled: Labelled, spec: FeatureSpec, landcover: tuple[int, ...], options: TrainingOptions
) -> dict[str, Any]:
    """Where a model comes from, with one digest over data, settings, seed and package versions."""
    samples = labelled.samples
    packages = {name: version(name) for name in ("torch", "numpy", "scikit-learn")}
    packages["python"] = platform.python_version()
    data = hashlib.sha256()
    order = np.argsort(samples.ids)
    for text in (samples.ids[order], samples.labels[order], samples.groups[order]):
        data.update("\n".join(text.tolist()).encode())
    data.update(np.nan_to_num(samples.values[order], nan=-1e30).astype("<f4").tobytes())
    content = {
        "data_sha256": data.hexdigest(),
        "legend": labelled.legend.to_dict(),
        "features": spec.to_dict(),
        "landcover": list(landcover),
        "options": asdict(options),
        "packages": packages,
    }
    fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    counts = np.bincount(labelled.targets, minlength=len(labelled.names)).tolist()
    return {
        "fingerprint": fingerprint,
        "data_sha256": data.hexdigest(),
        "options": asdict(options),
        "packages": packages,
        "first_dekad": samples.dekads[0].isoformat(),
        "last_dekad": samples.dekads[-1].isoformat(),
        "samples": dict(zip(labelled.names, counts, strict=True)),
        "groups": len(np.unique(samples.groups)),
        "regions": sorted(set(samples.regions.tolist())),
        "unmapped_labels": labelled.unmapped,
        "merged_classes": list(labelled.merged),
        "dropped_classes": labelled.dropped,
    }
