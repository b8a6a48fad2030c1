"""Process descriptions: the official ones from the installed specification, with our small overlay on top."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_FOLDERS = ("", "proposals", "missing-processes")
# A doubled word and the address of a registry that is no more.
_EPSG = (
    "as as [EPSG code](http://www.epsg-registry.org/)",
    "as [EPSG code](https://spatialreference.org/ref/epsg/)",
)


@lru_cache(maxsize=1)
def _official_folder() -> Path:
    # The package's own import loads all descriptions into a namespace; only its files are needed here.
    package = find_spec("openeo_processes_dask")
    assert package is not None
    assert package.submodule_search_locations
    return Path(next(iter(package.submodule_search_locations))) / "specs" / "openeo-processes"


@lru_cache(maxsize=1)
def _overlay() -> Mapping[str, Any]:
    text = resources.files("acreage.processes").joinpath("specs_overlay.json").read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


@cache
def load_spec(process_id: str) -> Mapping[str, Any]:
    """The description of a process: official, overlaid key by key with ours.

    In the overlay, `parameters` lists all parameters in order; each entry is laid key by key over the
    official
    parameter of its name, so that an entry with a name alone takes it as it is. `exceptions` are laid over
    the official ones by name, and `returns` key by key. All other keys replace their official value.

    Raises:
        KeyError: neither the specification nor the overlay has the process.
    """
    official: dict[str, Any] = {}
    for folder in _FOLDERS:
        path = _official_folder() / folder / f"{process_id}.json"
        if path.is_file():
            official = json.loads(path.read_text("utf-8").replace(*_EPSG))
            break
    overlay = _overlay().get(process_id, {})
    merged = {**official, **overlay}
    if not merged:
        raise KeyError(process_id)
    if "parameters" in overlay:
        known = {p["name"]: p for p in official.get("parameters", [])}
        merged["parameters"] = [{**known.get(p["name"], {}), **p} for p in overlay["parameters"]]
    for key in ("exceptions", "returns"):
        if key in overlay:
            merged[key] = {**official.get(key, {}), **overlay[key]}
    return {"id": process_id, **merged}
