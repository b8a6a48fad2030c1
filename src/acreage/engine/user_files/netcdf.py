"""Users' netCDF files after the CF conventions: what they hold, and reading it window by window."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from acreage.core.arrays import Array
from acreage.core.cube import Cube, CubeMeta
from acreage.core.errors import FileContentInvalid
from acreage.core.grid import Box
from acreage.engine.plan import Context
from acreage.engine.user_files.places import UserFile

# HDF5 takes one thread at a time.
_ONE = threading.Lock()


@contextmanager
def opened(file: UserFile) -> Iterator[Any]:
    """The file, open for this thread alone.

    Raises:
        FileContentInvalid: it is no netCDF file, or not whole.
    """
    with _ONE:
        try:
            dataset = netCDF4.Dataset(file.path, "r")
        except (OSError, RuntimeError, UnicodeDecodeError) as error:
            raise FileContentInvalid(
                f"{file.name} cannot be opened as netCDF: it is another format, damaged, or not whole.",
                hint="Upload it again, or check the option 'format'.",
            ) from error
        try:
            dataset.set_auto_maskandscale(False)
            yield dataset
        except (RuntimeError, OSError, UnicodeDecodeError) as error:
            raise FileContentInvalid(
                f"{file.name} cannot be read: it is damaged, or not whole.", hint="Upload it again."
            ) from error
        finally:
            dataset.close()


@dataclass(frozen=True)
class Variable:
    """How a band is read.

    Attributes:
        name: of the variable.
        dims: types of its dimensions as the cube has them by name, in the order of the file.
        nulls: numbers that stand for null.
        low, high: least and largest valid number, None where there is no limit.
        scale, offset: value = number * scale + offset.
        unsigned: whether signed numbers mean unsigned ones of the same size.
        truth: whether numbers mean false (0) and true.
    """

    name: str
    dims: tuple[str, ...]
    nulls: tuple[float | int, ...] = ()
    low: float | None = None
    high: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    unsigned: bool = False
    truth: bool = False

    def decode(self, numbers: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """Values of a dtype, and validity."""
        if self.unsigned:
            numbers = numbers.view(f"u{numbers.dtype.itemsize}")
        valid = np.ones(numbers.shape, bool)
        if numbers.dtype.kind == "f":
            valid &= ~np.isnan(numbers)
        for null in self.nulls:
            valid &= numbers != null
        if self.low is not None:
            valid &= numbers >= self.low
        if self.high is not None:
            valid &= numbers <= self.high
        if self.truth:
            return (numbers != 0).astype(dtype), valid
        if (self.scale, self.offset) != (1.0, 0.0):
            with np.errstate(over="ignore", invalid="ignore"):
                return (numbers * np.float64(self.scale) + self.offset).astype(dtype), valid
        return numbers.astype(dtype, copy=False), valid


@dataclass(frozen=True)
class NetcdfOp:
    """Reads windows of a netCDF file on its own grid.

    Attributes:
        file: which.
        stamp: of the file when it was planned.
        variables: one a band.
        box: pixels of the whole file; None where it has no x and y.
        upward: whether rows go from south to north in the file.
        leftward: whether columns go from east to west in the file.
    """

    file: UserFile
    stamp: tuple[int, int]
    variables: tuple[Variable, ...]
    box: Box | None
    upward: bool = False
    leftward: bool = False

    def run(self, inputs: Sequence[Cube], out: CubeMeta, context: Context) -> Cube:
        """The pixels of the output's box."""
        bands = out.find("bands")
        names = [d.name for d in out.dims if d is not bands]
        values, valid = [], []
        if stamp(self.file.path) != self.stamp:
            raise FileContentInvalid(
                f"{self.file.name} was changed after the job was planned.", hint="Run it again."
            )
        with opened(self.file) as dataset:
            for variable in self.variables:
                numbers = self._numbers(dataset, variable, out)
                order = [variable.dims.index(name) for name in names]
                found = variable.decode(np.transpose(numbers, order), out.dtype)
                values.append(found[0])
                valid.append(found[1])
        axis = 0 if bands is None else out.axis(bands.name)
        if bands is None:
            return Cube.of(np.asarray(values[0], order="C"), valid[0], out)
        return Cube.of(np.stack(values, axis), np.stack(valid, axis), out)

    def _numbers(self, dataset: Any, variable: Variable, out: CubeMeta) -> Array:
        """Numbers as in the file, rows from north to south and columns from west to east."""
        index: list[slice] = []
        turned: list[slice] = []
        types = {d.name: d.type for d in out.dims}
        for name in variable.dims:
            kind = types[name]
            if kind not in ("x", "y") or out.box is None or self.box is None:
                index.append(slice(None))
                turned.append(slice(None))
                continue
            rows, columns = out.box.slices_in(self.box)
            part, length = (rows, self.box.height) if kind == "y" else (columns, self.box.width)
            backward = self.upward if kind == "y" else self.leftward
            index.append(slice(length - part.stop, length - part.start) if backward else part)
            turned.append(slice(None, None, -1) if backward else slice(None))
        numbers = np.asarray(dataset.variables[variable.name][tuple(index) or ...])
        numbers = numbers if variable.dims else numbers.reshape(())  # the library makes one of one number
        if not numbers.dtype.isnative:
            numbers = numbers.astype(numbers.dtype.newbyteorder("="))
        found: Array = np.asarray(numbers[tuple(turned) or ...], order="C")
        return found


def stamp(path: Path) -> tuple[int, int]:
    """Size and time of change of a file; zeros where it is gone."""
    try:
        state = path.stat()
    except OSError:
        return (0, 0)
    return (state.st_size, state.st_mtime_ns)


def attributes_of(variable: Any) -> Mapping[str, Any]:
    """Attributes of a variable or file by name."""
    return {name: variable.getncattr(name) for name in variable.ncattrs()}
