"""Memory that inference needs, known before it runs, and the batch that fits a budget."""

from __future__ import annotations

from dataclasses import dataclass

from acreage.core.errors import InvalidInput
from acreage.croptype.model import TrainedModel

STEP = 256
"""Batches are whole multiples of this many pixels."""
WINDOW_BYTES = 24
"""Bytes a pixel of the window, beside the cube itself: mask and its tests, result, numbers of kept pixels."""
FEATURE_ROWS = 6
"""Rows of (dekads, pixels) that making features holds at once, beside values and features."""


@dataclass(frozen=True)
class InferenceMemory:
    """Bytes that classifying takes, beside the interpreter, its libraries and the cube that is classified.

    Attributes:
        model: weights, as trained and as they run.
        values: what is gathered for a batch.
        features: the network's input, and what making it takes.
        activations: of the network, at their largest.
        window: per pixel of a window, times its pixels.
    """

    model: int
    values: int
    features: int
    activations: int
    window: int

    @property
    def batch(self) -> int:
        """What grows with the batch."""
        return self.values + self.features + self.activations

    @property
    def total(self) -> int:
        """All of it."""
        return self.model + self.batch + self.window


def inference_memory(
    model: TrainedModel, batch_pixels: int, window_pixels: int = 0, precision: str = "fp32"
) -> InferenceMemory:
    """What the UDF takes for a model on the CPU.

    Args:
        model: with its network.
        batch_pixels: pixels of a batch.
        window_pixels: of the largest window; 0 leaves the window out.
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
        window=WINDOW_BYTES * window_pixels,
    )


def batch_pixels_for(
    model: TrainedModel, budget: int, window_pixels: int = 0, precision: str = "fp32", most: int = 4096
) -> int:
    """The largest batch, of at most `most` pixels, whose memory stays within `budget` bytes.

    Raises:
        InvalidInput: not even the smallest batch does; says what would.
    """
    least = inference_memory(model, STEP, window_pixels, precision)
    if least.total > budget:
        raise InvalidInput(
            f"Classifying takes at least {least.total / 1e6:.1f} MB, but {budget / 1e6:.1f} MB are left.",
            hint="Give more memory, smaller windows, or a model with fewer members.",
        )
    steps = (budget - least.model - least.window) // least.batch
    return int(min(most, STEP * steps))
