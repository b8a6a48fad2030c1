"""sar_backscatter on collections that are calibrated already."""

from __future__ import annotations

from typing import Any

from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import DigitalElevationModelInvalid, ProcessParameterInvalid
from acreage.processes.bands import bands_dimension
from acreage.processes.registry import cube_process

COEFFICIENTS = ("beta0", "sigma0-ellipsoid", "sigma0-terrain", "gamma0-ellipsoid", "gamma0-terrain")
_EXTRA_BANDS = ("mask", "contributing_area", "local_incidence_angle", "ellipsoid_incidence_angle")


def _describe(
    *,
    data: CubeMeta,
    coefficient: str | None,
    elevation_model: str | None,
    noise_removal: bool,
    options: Any,
    **extra_bands: Any,
) -> CubeMeta:
    bands_dimension(data)
    _check_coefficient(data, coefficient)
    asked = [name for name in _EXTRA_BANDS if extra_bands.get(name)]
    if asked:
        raise ProcessParameterInvalid(
            f"sar_backscatter cannot add {' and '.join(f'`{a}`' for a in asked)}: "
            "the calibrated data do not carry it.",
            hint="Leave it false.",
        )
    _check_elevation_model(data, coefficient, elevation_model)
    removed = data.attribute("sar:noise_removal")
    if removed is not None and bool(removed) != noise_removal:
        raise ProcessParameterInvalid(
            f"The collection was calibrated {'with' if removed else 'without'} noise removal, "
            f"and `noise_removal` is {str(noise_removal).lower()}.",
            hint=f"Set `noise_removal` to {str(bool(removed)).lower()}.",
        )
    if options:
        raise ProcessParameterInvalid(
            f"sar_backscatter has no options for calibrated data, but was given {', '.join(options)}.",
            hint="Leave `options` out.",
        )
    return data


def _check_coefficient(data: CubeMeta, coefficient: str | None) -> None:
    calibration = data.attribute("sar:calibration")
    if calibration is None:
        raise ProcessParameterInvalid(
            "sar_backscatter needs SAR data whose calibration is known; this data cube's is not.",
            hint="Apply it to a SAR collection, and name its calibration in the collection's configuration.",
        )
    if coefficient is not None and coefficient not in COEFFICIENTS:
        raise ProcessParameterInvalid(
            f"{coefficient!r} is not a coefficient of sar_backscatter.",
            hint=f"Use one of {', '.join(COEFFICIENTS)} or null.",
        )
    if coefficient is not None and coefficient != calibration:
        raise ProcessParameterInvalid(
            f"The collection is calibrated to {calibration}, and sar_backscatter asked for {coefficient}.",
            hint=f"Ask for {calibration}, or load raw SAR data.",
        )


def _check_elevation_model(data: CubeMeta, coefficient: str | None, model: str | None) -> None:
    used = data.attribute("sar:elevation_model")
    if model is None or model == used:
        return
    if used is not None:
        raise DigitalElevationModelInvalid(
            f"The collection was processed with the elevation model {used}, not {model}.",
            hint=f"Name {used}, or leave `elevation_model` out.",
        )
    if coefficient is None or coefficient.endswith("-terrain"):
        raise DigitalElevationModelInvalid(
            f"The collection does not say which elevation model was used; {model} cannot be promised.",
            hint="Leave `elevation_model` out.",
        )


@cube_process("sar_backscatter", describe=_describe, grid_transparent=True)
def sar_backscatter(*, data: Cube, out: CubeMeta, **_: Any) -> Cube:
    """The data as they are, where they carry the coefficient that is asked for; `describe` refuses all else.

    The calibration is the attribute `sar:calibration`; `sar:elevation_model` and `sar:noise_removal` are
    checked where a collection states them. A coefficient of null takes the data as calibrated.
    """
    return data
