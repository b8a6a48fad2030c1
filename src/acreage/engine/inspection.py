"""Inspection of inputs before a run: faults of items that can be found by a few small reads a file.

Opens each file as the reader does, asks whether it is whole, and looks at a small sample of it over the area:
nulls, emptiness, and whether the values can be what the metadata says. What cannot be told is no fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import numpy as np
import shapely
from rasterio.errors import RasterioError
from rasterio.features import geometry_mask
from rasterio.io import DatasetReader
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from acreage.catalog import plausibility
from acreage.catalog.headers import is_local
from acreage.catalog.intact import missing_end
from acreage.catalog.items import Bounds, ItemProblem, Raster, SourceItem
from acreage.catalog.plausibility import BandSample, Verdict
from acreage.core.errors import ItemUnreadable
from acreage.core.grid import Box, transformer
from acreage.engine.readers import close_readers, opened
from acreage.engine.samples import Sample, read_sample, read_whole_sample, sample_of_blocks, sample_shape
from acreage.engine.tiles import NotSimple, tiled_file

_LONLAT = "EPSG:4326"
_POLARISATIONS = frozenset(("VV", "VH", "HH", "HV"))
_INNER_SHARE = 0.05  # a footprint's rim, by its extent, that may lie beyond the pixels
_WHOLE_SHARE = 0.98  # of a raster: a footprint that covers more is its rectangle, drawn around nulls too


def inspect_items(
    items: Sequence[SourceItem], bands: Sequence[str], area: Bounds, threads: int
) -> tuple[ItemProblem, ...]:
    """Faults of items' files: header, wholeness, nulls, emptiness and plausibility.

    At most three small reads a file: the header, a sample of at most 128 x 128 pixels of the area from the
    smallest overview that suffices, and, of remote files, the last block. Local files are checked for
    wholeness by their directory of blocks, without decoding.

    Args:
        items: from a search.
        bands: names of the bands whose files are looked at; an item may lack some.
        area: west, south, east, north in degrees.
        threads: items that are looked at at once.

    Returns:
        At most one problem for each band of an item and one (with the band most concerned) for its
        reflectance, sorted by item and band. Empty where nothing was found.
    """

    def inspect(item: SourceItem) -> list[ItemProblem]:
        try:
            return _inspect(item, bands, area)
        finally:
            close_readers()

    with ThreadPoolExecutor(max(1, threads)) as pool:
        found = [problem for problems in pool.map(inspect, items) for problem in problems]
    return tuple(sorted(found, key=lambda p: (p.item, p.asset, p.reason)))


def _inspect(item: SourceItem, bands: Sequence[str], area: Bounds) -> list[ItemProblem]:
    problems: list[ItemProblem] = []
    samples: dict[str, Sample] = {}
    rasters = {band: item.rasters[band] for band in dict.fromkeys(bands) if band in item.rasters}
    boxes = {band: _over(raster, area) for band, raster in rasters.items()}
    shape = sample_shape([box for box in boxes.values() if not box.is_empty])
    for band in rasters:
        try:
            sample = _look(item, band, boxes[band], shape)
        except ItemUnreadable as error:
            problems.append(ItemProblem(error.item, error.asset, error.message, error.kind))
            continue
        if isinstance(sample, ItemProblem):
            problems.append(sample)
        elif sample is not None:
            samples[band] = sample
    for band, sample in samples.items():
        problem = _judge(item, band, sample)
        if problem is not None:
            problems.append(problem)
    guilty = {p.asset for p in problems}
    problems += _judge_together(item, {b: s for b, s in samples.items() if b not in guilty})
    return problems


def _over(raster: Raster, area: Bounds) -> Box:
    """The raster's pixels over the area."""
    bounds = area
    grid = raster.box.grid
    if grid.crs != _LONLAT:
        bounds = transformer(_LONLAT, grid.crs).transform_bounds(*area, densify_pts=21)
    if not all(map(math.isfinite, bounds)):
        return raster.box
    return raster.box.intersect(grid.box_covering(*bounds))


# --- reading ------------------------------------------------------------------------------------------------


def _look(item: SourceItem, band: str, box: Box, shape: tuple[int, int]) -> Sample | ItemProblem | None:
    """A sample of a band, or what is wrong with its file; None where it has nothing over the area."""
    raster = item.rasters[band]
    file = tiled_file(raster)
    if file is not None:
        if box.is_empty:
            return None
        with suppress(NotSimple):
            sample = sample_of_blocks(file, raster, box, shape)
            if sample.valid.any():
                return sample
    with opened(raster, item.id, band) as dataset:
        if is_local(raster.href):
            missing = missing_end(raster.href)
            if missing is not None:
                return ItemProblem(item.id, band, f"{raster.place} is not whole: {missing}.", "truncated")
        return _sampled(dataset, item, band, box, shape)


def _sampled(
    dataset: DatasetReader, item: SourceItem, band: str, box: Box, shape: tuple[int, int]
) -> Sample | ItemProblem | None:
    raster = item.rasters[band]
    sample = None if box.is_empty else read_sample(dataset, raster, box, shape)
    if sample is not None and not sample.valid.any() and not _outlines_pixels(item, raster):
        sample = replace(sample, elsewhere=bool(read_whole_sample(dataset, raster).valid.any()))
    if not is_local(raster.href):
        try:
            _read_last_block(dataset, raster.band_index)
        except RasterioError as error:
            reason = f"{raster.place} is not whole: its last block cannot be read: {error}."
            return ItemProblem(item.id, band, reason, "truncated")
    return sample


def _read_last_block(dataset: DatasetReader, index: int) -> None:
    """Read one pixel of the block that lies last in a file written in order."""
    rows, columns = dataset.block_shapes[index - 1]
    dataset.read(
        index,
        window=Window((dataset.width - 1) // columns * columns, (dataset.height - 1) // rows * rows, 1, 1),
    )


# --- judging ------------------------------------------------------------------------------------------------


def _judge(item: SourceItem, band: str, sample: Sample) -> ItemProblem | None:
    """What the pixels of one band show by themselves."""
    verdict = _judge_of(item, band)(sample)
    if verdict.state == "implausible":
        return _problem(item, band, sample.raster, verdict)
    if not sample.valid.any() and not sample.elsewhere and _is_dated(item):
        inner = _inside_footprint(item, sample)
        if inner > 0:
            place = sample.raster.place
            reason = f"{place} has no valid pixel among {inner} sampled ones in the item's footprint."
            return ItemProblem(item.id, band, reason, "empty")
    return None


def _judge_of(item: SourceItem, band: str) -> Callable[[Sample], Verdict]:
    """The judgement on a single band, by what the band is."""
    if band == "SCL":
        return lambda s: plausibility.judge_classes(s.values, s.valid, plausibility.SCL_CODES)
    if item.collection.startswith("ESA_WORLDCOVER"):
        return lambda s: plausibility.judge_classes(s.values, s.valid, plausibility.WORLDCOVER_CODES)
    if band == "DEM":
        return _judge_elevation
    if band in _POLARISATIONS:
        return _judge_radar
    if "SCL" in item.rasters:
        return lambda s: plausibility.judge_numbers(s.values, s.valid, s.raster.nodata, zero_is_null=True)
    return lambda s: plausibility.judge_nulls(s.values, s.raster.nodata)


def _judge_elevation(sample: Sample) -> Verdict:
    verdict = plausibility.judge_nulls(sample.values, sample.raster.nodata)
    if verdict.state == "implausible":
        return verdict
    return plausibility.judge_elevation(sample.values, sample.valid)


def _judge_radar(sample: Sample) -> Verdict:
    raster = sample.raster
    if sample.valid.any() and not sample.values[sample.valid].any():
        return Verdict("implausible", "all sampled pixels are 0", "empty")
    verdict = plausibility.judge_numbers(sample.values, sample.valid, raster.nodata, zero_is_null=False)
    if verdict.state == "implausible":
        return verdict
    values = sample.values * raster.scale + raster.offset if raster.db else sample.values
    return plausibility.judge_power(values, sample.valid, raster.db)


def _judge_together(item: SourceItem, samples: Mapping[str, Sample]) -> list[ItemProblem]:
    """What the reflectances show beside the scene classification."""
    scl = samples.get("SCL")
    bands = {
        band: BandSample(s.values, s.valid, s.raster.dn_offset, s.raster.scale)
        for band in ("B02", "B04", "B08")
        if (s := samples.get(band)) is not None and scl is not None and s.values.shape == scl.values.shape
    }
    if scl is None or not bands:
        return []
    verdict = plausibility.judge_reflectance(bands, np.where(scl.valid, scl.values, 0))
    if verdict.state != "implausible":
        return []
    band = next(iter(bands))
    return [_problem(item, band, samples[band].raster, verdict)]


def _problem(item: SourceItem, band: str, raster: Raster, verdict: Verdict) -> ItemProblem:
    return ItemProblem(item.id, band, f"{raster.place}: {verdict.reason}.", verdict.kind)


def _is_dated(item: SourceItem) -> bool:
    """False for elevation and land cover, whose tiles may hold nothing but sea."""
    return item.group != "static"


def _inside_footprint(item: SourceItem, sample: Sample) -> int:
    """Number of sampled pixels that lie well inside the item's footprint."""
    outline = _outline(item, sample.box.grid.crs)
    west, south, east, north = outline.bounds
    outline = outline.buffer(-_INNER_SHARE * min(east - west, north - south))
    if outline.is_empty:
        return 0
    rows, columns = sample.values.shape
    affine = sample.box.affine * sample.box.affine.scale(sample.box.width / columns, sample.box.height / rows)
    return int(geometry_mask([outline], (rows, columns), affine, invert=True).sum())


def _outlines_pixels(item: SourceItem, raster: Raster) -> bool:
    """Whether the footprint tells where a raster has pixels, and is not only the rectangle of the file."""
    if item.footprint is None:
        return False
    rectangle = shapely.box(*raster.box.bounds)
    inside = _outline(item, raster.box.grid.crs).intersection(rectangle)
    return bool(inside.area < _WHOLE_SHARE * rectangle.area)


def _outline(item: SourceItem, crs: str) -> BaseGeometry:
    """The item's footprint, or else its bounds, in a CRS."""
    outline: BaseGeometry = (
        shapely.box(*item.bbox) if item.footprint is None else shapely.from_wkb(item.footprint)
    )
    if crs != _LONLAT:
        project = transformer(_LONLAT, crs)
        outline = shapely.transform(
            outline, lambda xy: np.column_stack(project.transform(xy[:, 0], xy[:, 1]))
        )
    return shapely.make_valid(outline)
