"""Runs a model beside the engine: the source of a user-defined function, complete in itself.

It needs numpy, xarray and PyTorch or ONNX Runtime, and nothing of `acreage`. The context says all about the
model; see `predict.py`, which writes it:

- ``model``, ``model_sha256``: path of the file, and the digest that it must have;
- ``artifact``: ``torchscript``, ``torch-export`` or ``onnx``;
- ``roles``: dimensions of the model's input in order, of ``batch``, ``bands``, ``time``, ``y``, ``x``;
- ``dims``: what the cube calls ``bands`` and ``time``;
- ``take``: positions of the model's bands among the cube's;
- ``scaling``, ``fill``, ``dtype``: of the input, as the item has them;
- ``result``: dimensions of the output, of ``batch``, ``values``, ``one``, ``y``, ``x``;
- ``size``: values of a prediction;
- ``codes``: where given, a prediction is the code of the greatest value;
- ``labels``: of the dimension ``predictions``;
- ``batch``: samples of one call; every call has this many, the last one is filled up.

Every batch has one shape, so that what a pixel gets does not depend on the window in which it is computed.
"""

import hashlib
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr


def apply_datacube(cube: xr.DataArray, context: dict) -> xr.DataArray:  # type: ignore[type-arg]
    """Predictions of every pixel: dimensions predictions, those that the model does not know, y, x."""
    call = _model(context["model"], context["model_sha256"], context["artifact"])
    own = {role: context["dims"][role] for role in ("bands", "time") if role in context["dims"]}
    others = [d for d in cube.dims if d not in (*own.values(), "y", "x")]
    ordered = cube.transpose(*others, *own.values(), "y", "x")
    outer = tuple(ordered.sizes[d] for d in others)
    rows, columns = ordered.sizes["y"], ordered.sizes["x"]
    inner = tuple(ordered.sizes[d] for d in own.values())
    values = ordered.values.reshape(-1, *inner, rows, columns)
    made = [_predicted(part, list(own), call, context) for part in values]
    found = np.stack(made, axis=1).reshape(len(context["labels"]), *outer, rows, columns)
    coords = {d: ordered.coords[d] for d in (*others, "y", "x") if d in ordered.coords}
    return xr.DataArray(
        found, {"predictions": context["labels"], **coords}, ("predictions", *others, "y", "x")
    )


def _predicted(values: Any, own: list[str], call: Any, context: dict[str, Any]) -> Any:
    """(labels, y, x) of (own dimensions, y, x)."""
    rows, columns = values.shape[-2:]
    pixels = values.reshape(*values.shape[:-2], -1)
    out = np.empty((len(context["labels"]), pixels.shape[-1]), np.float64 if context["wide"] else np.float32)
    count = pixels.shape[-1] if "y" in context["roles"] else context["batch"]
    for start in range(0, pixels.shape[-1], count):
        part, null = _prepared(pixels[..., start : start + count], own, context)
        if "y" in context["roles"]:
            found = _of_patch(part.reshape(*part.shape[:-1], rows, columns), call, context)
        else:
            found = _of_pixels(part, call, context)
        if context["codes"]:
            found = _classes(found, context["codes"])
        found[:, null] = np.nan
        out[:, start : start + count] = found
    return out.reshape(-1, rows, columns)


def _prepared(values: Any, own: list[str], context: dict[str, Any]) -> tuple[Any, Any]:
    """The model's values of pixels (own dimensions, pixels), bands first, and which pixels become null."""
    if "bands" in own:
        axis = own.index("bands")
        values = np.moveaxis(np.take(values, context["take"], axis=axis), axis, 0)
    else:
        values = values[None]
    missing = np.isnan(values)
    inner = tuple(range(missing.ndim - 1))
    null = missing.all(axis=inner)
    values = values.astype(np.float64)  # a copy: what is handed in is not ours
    fills = context["fill"] or [None]
    for band, (lost, data) in enumerate(zip(missing, values, strict=True)):
        fill = fills[band if len(fills) > 1 else 0]
        if fill is None:
            null |= lost.any(axis=tuple(range(lost.ndim - 1)))
        elif fill != "nan":
            data[lost] = fill
    scaled = _scaled(values, context["scaling"])
    scaled[:, ..., null] = 0.0  # what becomes of them is nobody's concern, as long as it is a number
    dtype = np.dtype(context["dtype"])
    with np.errstate(invalid="ignore", over="ignore"):
        ready = (np.rint(scaled) if dtype.kind in "iu" else scaled).astype(dtype)
    return ready if "bands" in context["roles"] else ready[0], null


def _axes(context: dict[str, Any], behind: tuple[str, ...]) -> list[int]:
    """The order of the model's dimensions, its batch left out, in (bands, time, *behind)."""
    given = [r for r in ("bands", "time") if r in context["roles"]] + list(behind)
    return [given.index(r) for r in context["roles"] if r != "batch"]


def _of_pixels(values: Any, call: Any, context: dict[str, Any]) -> Any:
    """(values, pixels) float64 of a model whose samples are pixels."""
    pixels, count = values.shape[-1], context["batch"]
    batch = np.zeros((*values.shape[:-1], count), values.dtype)
    batch[..., :pixels] = values
    batch = np.moveaxis(batch, -1, 0).transpose(0, *(1 + axis for axis in _axes(context, ())))
    return _called(batch, call, context)[:, :pixels]


def _of_patch(values: Any, call: Any, context: dict[str, Any]) -> Any:
    """(values, pixels) float64 of a model whose sample is the very rectangle that is handed in."""
    sample = values.transpose(_axes(context, ("y", "x")))
    batch = np.zeros((context["batch"], *sample.shape), values.dtype)
    batch[0] = sample
    found = _called(batch, call, context)[:, 0]
    if found.shape[1:] != values.shape[-2:]:
        raise ValueError(f"the model gave {found.shape[1:]} pixels for {values.shape[-2:]}")
    return found.reshape(len(found), -1)


def _called(batch: Any, call: Any, context: dict[str, Any]) -> Any:
    place = context["roles"].index("batch")
    return _result(call(np.ascontiguousarray(np.moveaxis(batch, 0, place))), len(batch), context)


def _classes(scores: Any, codes: list[int]) -> Any:
    """(1, pixels): the code of the greatest score; NaN where one is none."""
    lost = np.isnan(scores).any(axis=0)
    found = np.array(codes, np.float64)[np.where(lost, 0, scores).argmax(axis=0)][None]
    found[:, lost] = np.nan
    return found


def _result(found: Any, count: int, context: dict[str, Any]) -> Any:
    """(values, batch) or (values, batch, y, x) float64 of what the model gave."""
    found = np.asarray(found)
    roles = context["result"]
    if found.ndim != len(roles):
        raise ValueError(
            f"the model gave an array of shape {found.shape}, and its item says {len(roles)} dimensions: "
            f"{', '.join(roles)}"
        )
    kept = [r for r in roles if r != "one"]
    found = found.squeeze(tuple(i for i, r in enumerate(roles) if r == "one"))
    if "values" not in kept:
        found, kept = found[None], ["values", *kept]
    order = [r for r in ("values", "batch", "y", "x") if r in kept]
    found = found.transpose(*(kept.index(r) for r in order)).astype(np.float64)
    if found.shape[:2] != (context["size"], count):
        raise ValueError(
            f"the model gave {found.shape[0]} values for {found.shape[1]} samples, and its item says "
            f"{context['size']} for {count}"
        )
    return found


def _scaled(values: Any, scaling: list[dict[str, Any]]) -> Any:
    """Values with bands first, scaled; formulas of the MLM extension."""
    if len(scaling) < 2:
        scaling = scaling or [{}]
        return _scaled_band(values, scaling[0])
    return np.stack([_scaled_band(v, s) for v, s in zip(values, scaling, strict=True)])


def _scaled_band(values: Any, how: dict[str, Any]) -> Any:
    kind = how.get("type")
    if kind == "min-max":
        return (values - how["minimum"]) / (how["maximum"] - how["minimum"])
    if kind == "z-score":
        return (values - how["mean"]) / how["stddev"]
    if kind in ("clip", "clip-min", "clip-max"):
        low = how["minimum"] if kind != "clip-max" else None
        high = how["maximum"] if kind != "clip-min" else None
        return np.clip(values, low, high)
    if kind == "offset":
        return values - how["value"]
    if kind == "scale":
        return values / how["value"]
    return values


@lru_cache(maxsize=2)
def _model(path: str, sha256: str, artifact: str) -> Any:
    """A function from the input array to the output array; the file is read once a process."""
    content = Path(path).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f"the model's file has the SHA-256 {found}, but {sha256} is wanted")
    return {"onnx": _onnx, "torchscript": _torchscript, "torch-export": _exported}[artifact](content)


def _onnx(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ValueError(f"the model has {len(inputs)} inputs: {', '.join(i.name for i in inputs)}")
    return lambda values: session.run([session.get_outputs()[0].name], {inputs[0].name: values})[0]


def _torchscript(content: bytes) -> Any:
    import torch

    return _torch_call(torch.jit.load(io.BytesIO(content), map_location="cpu").eval())  # type: ignore[no-untyped-call]


def _exported(content: bytes) -> Any:
    import torch

    return _torch_call(torch.export.load(io.BytesIO(content)).module())


def _torch_call(module: Any) -> Any:
    import torch

    torch.set_num_threads(1)

    def call(values: Any) -> Any:
        with torch.inference_mode():
            found = module(torch.from_numpy(values))
        if isinstance(found, (tuple, list)):
            found = found[0]
        if not isinstance(found, torch.Tensor):
            raise ValueError(f"the model gave {type(found).__name__} and not a tensor")
        return found.to(torch.float64).numpy()

    return call
