"""ml_predict while planning: whether a cube suits a model, and the function that is to be run on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from acreage.core.cube import CubeMeta
from acreage.core.errors import MlModelUnsuitable
from acreage.core.udf import UdfCode
from acreage.engine.models.places import ModelFile
from acreage.processes.registry import Blocks

PREDICTIONS = "predictions"
_BATCH = 1024  # samples of one call, where the model takes any number
_PATCH = 256  # pixels along a side, where the model takes any number


@dataclass(frozen=True)
class Prediction:
    """What runs a model on a cube.

    Attributes:
        code: the function.
        context: JSON handed to it.
        blocks: in which pixels are handed over; None for a model of single pixels.
        renamed: dimension of the function's result that holds the predictions, where that is another name.
    """

    code: UdfCode
    context: Mapping[str, Any]
    blocks: Blocks | None = None
    renamed: str | None = None


def predicted(model: ModelFile, given: CubeMeta, dimensions: Sequence[str], *, scores: bool) -> Prediction:
    """How a model runs on a cube.

    Args:
        model: as it was loaded.
        given: the cube.
        dimensions: that the model is to reduce.
        scores: whether all values are wanted where a model gives one for each class.

    Raises:
        DimensionNotAvailable: the cube lacks a dimension.
        MlModelUnsuitable: the cube is not what the model takes.
    """
    name, item = model.item.name, model.item
    for dimension in dimensions:
        given.dim(dimension)
    if not given.is_raster:
        raise MlModelUnsuitable("A model is run on a raster cube.", hint="Load rasters.")
    dims = _own_dimensions(model, given)
    if set(dimensions) != set(dims.values()):
        raise MlModelUnsuitable(
            f"The model {name!r} reduces {', '.join(dims.values())}, and `dimensions` is "
            f"{', '.join(dimensions) or 'empty'}.",
            hint=f"Set `dimensions` to {list(dims.values())}.",
        )
    take = _bands(model, given, dims)
    _check_time(model, given, dims)
    place = {"model": model.address, "model_sha256": model.sha256}
    if model.source is not None:
        if scores:
            raise MlModelUnsuitable(
                f"The model {name!r} gives no value for each class.", hint="Use ml_predict."
            )
        code = UdfCode(model.source, name="model.py", model=model.path)
        return Prediction(code, place, renamed=dims.get("bands"))
    if scores and not item.output.codes:
        raise MlModelUnsuitable(f"The model {name!r} gives no value for each class.", hint="Use ml_predict.")
    source = resources.files("acreage.engine.models").joinpath("inference.py").read_text("utf-8")
    by_class = bool(item.output.codes) and not scores
    batch, blocks = _shape(model)
    context = {
        **place,
        "artifact": item.artifact,
        "roles": list(item.input.roles),
        "dims": dims,
        "take": take,
        "scaling": [dict(s) for s in item.input.scaling],
        "fill": list(item.input.fill),
        "dtype": item.input.dtype,
        "result": list(item.output.roles),
        "size": item.output.size,
        "codes": list(item.output.codes) if by_class else [],
        "labels": _labels(model, by_class),
        "batch": batch,
        "wide": np.dtype(item.input.dtype) == np.float64,
    }
    return Prediction(UdfCode(source, name="inference.py", model=model.path), context, blocks)


def _own_dimensions(model: ModelFile, given: CubeMeta) -> dict[str, str]:
    """The cube's names of the dimensions that the model reduces."""
    found: dict[str, str] = {}
    for role, kind in (("bands", "bands"), ("time", "temporal")):
        if role in model.item.input.roles:
            dim = next((d for d in given.dims if d.type == kind), None)
            if dim is None:
                raise MlModelUnsuitable(
                    f"The model {model.item.name!r} takes the dimension {role!r}, and the cube has "
                    f"{', '.join(given.names)}."
                )
            found[role] = dim.name
    return found


def _bands(model: ModelFile, given: CubeMeta, dims: Mapping[str, str]) -> list[int]:
    """Positions of the model's bands among the cube's."""
    if "bands" not in dims:
        return []
    labels = [str(v) for v in given.dim(dims["bands"]).labels]
    wanted = model.item.input.bands
    if not wanted:
        size = model.item.input.size("bands")
        if size not in (-1, len(labels)):
            raise MlModelUnsuitable(
                f"The model {model.item.name!r} takes {size} bands, and the cube has {len(labels)}: "
                f"{', '.join(labels)}.",
                hint="Use filter_bands to keep the model's bands, in its order.",
            )
        return list(range(len(labels)))
    missing = [b for b in wanted if b not in labels]
    if missing:
        raise MlModelUnsuitable(
            f"The model {model.item.name!r} takes the bands {', '.join(wanted)}; the cube lacks "
            f"{', '.join(dict.fromkeys(missing))} (it has {', '.join(labels)}).",
            hint="Load these bands, or name the cube's by rename_labels.",
        )
    return [labels.index(b) for b in wanted]


def _check_time(model: ModelFile, given: CubeMeta, dims: Mapping[str, str]) -> None:
    if "time" in dims:
        size, steps = model.item.input.size("time"), len(given.dim(dims["time"]).labels)
        if size not in (-1, steps):
            raise MlModelUnsuitable(
                f"The model {model.item.name!r} takes {size} time steps, and the cube has {steps}.",
                hint="Make as many, for example by aggregate_temporal_period.",
            )


def _shape(model: ModelFile) -> tuple[int, Blocks | None]:
    """Samples of one call, and the blocks in which pixels are handed over."""
    given = model.item.input
    batch = given.size("batch")
    rows, columns = given.size("y"), given.size("x")
    if rows is None or columns is None:
        return (_BATCH if batch in (-1, None) else batch), None
    height, width = (_PATCH if n == -1 else n for n in (rows, columns))
    return (1 if batch in (-1, None) else batch), Blocks(width, height, 0, 0)


def _labels(model: ModelFile, by_class: bool) -> list[str]:
    output = model.item.output
    if by_class:
        return ["0"]
    return list(output.labels) or [str(n) for n in range(output.size)]
