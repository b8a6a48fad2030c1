"""The STAC item that describes a model file, by the Machine Learning Model (MLM) extension.

openEO's `load_ml_model` reads it, so that a graph can name the model without carrying the code that runs it.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from acreage.core.outputs import whole_file
from acreage.croptype.model import UNITS, TrainedModel
from acreage.croptype.udf_source import ARTIFACT_TYPE
from acreage.croptype.udf_source.crop_type_udf import (
    BATCH_PIXELS,
    CODE_NO_OBSERVATION,
    CODE_NOT_CROPLAND,
    CODE_OUTSIDE,
    MASK_BAND,
    OUTPUT_BANDS,
)

_EXTENSIONS = [
    "https://stac-extensions.github.io/mlm/v1.5.2/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
]
_RESERVED = (
    (CODE_OUTSIDE, "outside", "Outside of the map"),
    (CODE_NOT_CROPLAND, "not_cropland", "Not cropland"),
    (CODE_NO_OBSERVATION, "no_observation", "Cropland without a valid observation"),
)


def model_item(model: TrainedModel, sha256: str, size: int, href: str) -> dict[str, Any]:
    """The item of a model.

    Args:
        model: that the file holds.
        sha256: of the file, in hexadecimal.
        size: of the file, bytes.
        href: of the file, as seen from the item.
    """
    training = model.training
    bands = [*model.spec.bands, MASK_BAND]
    asset = {
        "href": href,
        "title": "Weights, features and legend",
        "type": "application/octet-stream; framework=pytorch",
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": ARTIFACT_TYPE,
        "file:checksum": f"1220{sha256}",
        "file:size": size,
        "bands": [{"name": b} for b in bands],
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": _EXTENSIONS,
        "id": f"crop-type-{training['fingerprint'][:16]}",
        "geometry": None,
        "properties": {
            "description": "A class a pixel from a season of dekad composites.",
            "datetime": None,
            "start_datetime": _moment(training["first_dekad"]),
            "end_datetime": _moment(training["last_dekad"]),
            # What the bands are; the extension wants it here, and the core their names at the file too.
            "bands": [{"name": b, "description": _unit(b, model), "nodata": "nan"} for b in bands],
            "mlm:name": f"Crop types {training['fingerprint'][:16]}",
            "mlm:architecture": model.network["architecture"],
            "mlm:framework": "PyTorch",
            "mlm:framework_version": training["packages"]["torch"],
            "mlm:tasks": ["classification", "regression"],
            "mlm:total_parameters": sum(p.numel() for p in model.classifier.network.parameters()),
            "mlm:batch_size_suggestion": BATCH_PIXELS,
            "mlm:accelerator": None,
            "mlm:input": [_input(model, bands)],
            "mlm:output": _outputs(model),
        },
        "links": [],
        "assets": {"model": asset},
    }


def write_model_item(model: TrainedModel, path: Path, sha256: str) -> Path:
    """Write the item beside a model's file, whole or not at all; where it is.

    Args:
        model: that the file holds.
        path: of the file.
        sha256: of the file, in hexadecimal.

    Raises:
        WriteFailed: it cannot be written.
    """
    item = path.with_suffix(".json")
    document = model_item(model, sha256, path.stat().st_size, f"./{path.name}")
    with whole_file(item) as partial:
        partial.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return item


def _moment(day: str) -> str:
    return f"{date.fromisoformat(day).isoformat()}T00:00:00Z"


def _unit(band: str, model: TrainedModel) -> str:
    if band == MASK_BAND:
        return "1: cropland, 0: not"
    if band == "DEM":
        return "elevation, metres"
    return f"backscatter, {UNITS[model.spec.s1_unit]}" if band[0] in "VH" else "reflectance x 10000"


def _input(model: TrainedModel, bands: list[str]) -> dict[str, Any]:
    dekads = model.spec.dekads
    return {
        "name": "season",
        "description": f"Dekads that begin on {', '.join(dekads)} (month-day).",
        "bands": bands,
        "input": {
            "shape": [-1, len(dekads), len(bands)],
            "dim_order": ["batch", "time", "bands"],
            "data_type": "float32",
        },
        "value_scaling": None,
        "resize_type": None,
        "pre_processing_function": None,
    }


def _outputs(model: TrainedModel) -> list[dict[str, Any]]:
    classes = [
        {"value": c.code, "name": c.name, "title": c.title, "color_hint": c.colour.lstrip("#").upper()}
        for c in model.legend.classes
    ]
    classes += [{"value": code, "name": name, "title": title} for code, name, title in _RESERVED]
    result = {"shape": [-1], "dim_order": ["batch"], "data_type": "uint8"}
    class_name, confidence = OUTPUT_BANDS
    return [
        {
            "name": class_name,
            "tasks": ["classification"],
            "result": result,
            "classification:classes": sorted(classes, key=lambda c: int(str(c["value"]))),
            "post_processing_function": None,
        },
        {
            "name": confidence,
            "description": "100 times the probability of the class, 255 where there is none.",
            "tasks": ["regression"],
            "result": result,
            "post_processing_function": None,
        },
    ]
