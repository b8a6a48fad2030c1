"""Memory that inference needs, known before it runs, and the batch that fits a budget."""

from __future__ import annotations

from dataclasses import dataclass

from acreage.croptype.model import TrainedModel
from acreage.croptype.udf_source.crop_type_udf import BATCH_PIXELS, choose_precision

STEP = 256
"""Batches are whole multiples of this many pixels; the smallest has as many."""
FEATURE_ROWS = 6
"""Rows of (dekads, pixels) that making features holds at once, beside values and features."""
LIBRARIES = 16_000_000
"""Bytes that PyTorch's libraries take when they first compute, as measured."""
FRAGMENTS = 1.3
"""By which a process grows for each byte of a batch, as measured: freed arrays leave holes."""


@dataclass(frozen=True)
class InferenceMemory:
    """Bytes that classifying takes, beside the interpreter, its libraries and the cube that is classified.

    Attributes:
        model: weights, as trained and as they run.
        values: what is gathered for a batch.
        features: the network's input, and what making it takes.
        activations: of the network, at their largest.
    """

    model: int
    values: int
    features: int
    activations: int

    @property
    def batch(self) -> int:
        """What grows with the batch."""
        return self.values + self.features + self.activations

    @property
    def process(self) -> int:
        """By how much a process grows that has loaded the model and classifies its first window."""
        return self.model + LIBRARIES + round(FRAGMENTS * self.batch)


@dataclass(frozen=True)
class PlannedBatch:
    """The batch that a job classifies in.

    Attributes:
        pixels: of the batch.
        memory: bytes that it takes in each process of the UDF (`InferenceMemory.process`).
    """

    pixels: int
    memory: int


def inference_memory(model: TrainedModel, batch_pixels: int, precision: str = "fp32") -> InferenceMemory:
    """What the UDF takes for a model on the CPU.

    Args:
        model: with its network.
        batch_pixels: pixels of a batch.
        precision: `fp32` or `bf16`; bf16 keeps a second copy of weights and input.
    """
    spec, network = model.spec, model.classifier.network
    dekads, classes = len(spec.dekads), len(model.classifier.codes)
    series = dekads * (len(spec.temporal) + len(spec.sensors))
    copies = 2 if precision == "bf16" else 1
    weights = sum(p.numel() for p in network.state_dict().values()) * 4
    compiled = model.classifier.compiled()
    results = len(network.members) * classes * 3 + classes + 4
    return InferenceMemory(
        model=weights * (1 + copies),
        values=4 * batch_pixels * dekads * len(spec.bands),
        features=4 * batch_pixels * (copies * series + FEATURE_ROWS * dekads + 4 * len(spec.static)),
        activations=4 * batch_pixels * (compiled.working_floats + results),
    )


def plan_batch(model: TrainedModel, room: int, most: int = BATCH_PIXELS) -> PlannedBatch:
    """The largest batch, of at most `most` pixels, whose memory stays within `room` bytes, or the smallest.

    Whether the smallest fits is for the plan of the job to say, which knows all that the job needs.
    """
    # Precision is chosen where the UDF runs: where both may be, the one that takes more is planned.
    precision = choose_precision("auto", model.classifier.bf16_disagreement, "cpu", cpu_has=True)
    taken = 0
    for pixels in range(STEP * max(most // STEP, 1), 0, -STEP):
        taken = inference_memory(model, pixels, precision).process
        if taken <= room:
            return PlannedBatch(pixels, taken)
    return PlannedBatch(STEP, taken)
