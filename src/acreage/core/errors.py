"""One error tree for the whole product.

Every error says what was wrong, where, and what to do next. `code` is the openEO error code (or one in its
style), `http_status` the status that the API answers with, `exit_code` the command line's exit code: each is
mapped here, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from acreage.core.faults import FaultKind


class AcreageError(Exception):
    """Base of all errors that a person is meant to read.

    Args:
        message: what was wrong and where.
        hint: what to do next; empty where the message says it.
    """

    code: ClassVar[str] = "Internal"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.hint, self.__dict__))


def _rebuild(kind: type[AcreageError], message: str, hint: str, state: dict[str, object]) -> AcreageError:
    error = kind.__new__(kind)
    AcreageError.__init__(error, message, hint=hint)
    error.__dict__.update(state)
    return error


class InvalidInput(AcreageError):
    """A file, an option or a value that a person gave cannot be used."""

    code = "InvalidInput"
    http_status = 400
    exit_code = 2


# --- process graphs -----------------------------------------------------------------------------------------


class ProcessGraphError(AcreageError):
    """A process graph that cannot be run as it stands."""

    code = "ProcessGraphInvalid"
    http_status = 400
    exit_code = 2


class ProcessGraphMissing(ProcessGraphError):
    """There is no process graph where one is needed."""

    code = "ProcessGraphMissing"


class ProcessUnsupported(ProcessGraphError):
    """A process id that this engine does not know."""

    code = "ProcessUnsupported"


class ProcessParameterRequired(ProcessGraphError):
    """A required parameter of a process was not given."""

    code = "ProcessParameterRequired"


class ProcessParameterUnsupported(ProcessGraphError):
    """A process was given a parameter that it does not have."""

    code = "ProcessParameterUnsupported"


class ProcessParameterInvalid(ProcessGraphError):
    """A parameter of a process has a value that the process cannot take."""

    code = "ProcessParameterInvalid"


class ProcessParameterMissing(ProcessGraphError):
    """A parameter reference names a parameter that is not defined where it stands."""

    code = "ProcessParameterMissing"


class DimensionNotAvailable(ProcessGraphError):
    """A process names a dimension that the data cube does not have."""

    code = "DimensionNotAvailable"


class LabelNotAvailable(ProcessGraphError):
    """A process names a dimension label (a band, a date) that the data cube does not have."""

    code = "LabelNotAvailable"


class DimensionMissing(ProcessGraphError):
    """A process needs a dimension of a type (bands, say) that the data cube does not have."""

    code = "DimensionMissing"


class DimensionExists(ProcessGraphError):
    """A new dimension has the name of one that is there already."""

    code = "DimensionExists"


class DimensionAmbiguous(ProcessGraphError):
    """A process needs exactly one dimension of a type, and the data cube has none or several."""

    code = "DimensionAmbiguous"


class DimensionMismatch(ProcessGraphError):
    """The dimensions of two data cubes do not go together."""

    code = "DimensionMismatch"


class DimensionLabelCountMismatch(ProcessGraphError):
    """A dimension with more than one label cannot be dropped."""

    code = "DimensionLabelCountMismatch"


class TooManyDimensions(ProcessGraphError):
    """The data cube has several temporal dimensions, and the process was not told which to use."""

    code = "TooManyDimensions"


class LabelExists(ProcessGraphError):
    """A new label is there already."""

    code = "LabelExists"


class LabelMismatch(ProcessGraphError):
    """There are more or fewer new labels than old ones."""

    code = "LabelMismatch"


class LabelsNotEnumerated(ProcessGraphError):
    """Labels are renamed by position, but they are not 0, 1, 2, ..."""

    code = "LabelsNotEnumerated"


class DistinctDimensionLabelsRequired(ProcessGraphError):
    """Labels of a dimension are not distinct."""

    code = "DistinctDimensionLabelsRequired"


class TemporalExtentEmpty(ProcessGraphError):
    """A temporal interval ends before or when it starts."""

    code = "TemporalExtentEmpty"


class BandFilterParameterMissing(ProcessGraphError):
    """Bands are filtered by nothing."""

    code = "BandFilterParameterMissing"


class BandExists(ProcessGraphError):
    """A new band has the name of one that is there already."""

    code = "BandExists"


class NirBandAmbiguous(ProcessGraphError):
    """The near-infrared band is not known."""

    code = "NirBandAmbiguous"


class RedBandAmbiguous(ProcessGraphError):
    """The red band is not known."""

    code = "RedBandAmbiguous"


class DigitalElevationModelInvalid(ProcessGraphError):
    """The elevation model cannot be used with the data."""

    code = "DigitalElevationModelInvalid"


class CubesNotCompatible(ProcessGraphError):
    """Two data cubes cannot be combined: other grids, dimensions or labels."""

    code = "IncompatibleDataCubes"


class OverlapResolverMissing(ProcessGraphError):
    """Two data cubes overlap, and nothing says which value to take."""

    code = "OverlapResolverMissing"


class IncompatibleGeometryTypes(ProcessGraphError):
    """Vector cubes of different base geometry types cannot be merged."""

    code = "IncompatibleGeometryTypes"


class GeometryInvalid(ProcessGraphError):
    """A GeoJSON object or one of its geometries cannot be used."""

    code = "GeometryInvalid"


class GeometriesOverlap(ProcessGraphError):
    """A pixel belongs to more than one of the polygons that are to be processed apart."""

    code = "GeometriesOverlap"


class UnitMismatch(ProcessGraphError):
    """A distance in metres was given for geometries whose CRS has another unit."""

    code = "UnitMismatch"


class CountMismatch(ProcessGraphError):
    """Fewer points were asked for than there are geometries."""

    code = "CountMismatch"


class KernelDimensionsUneven(ProcessGraphError):
    """A kernel side has an even number of elements, so it has no middle."""

    code = "KernelDimensionsUneven"


class DataCubePropertiesImmutable(ProcessGraphError):
    """The callback of apply_neighborhood changed dimensions that it must keep."""

    code = "DataCubePropertiesImmutable"


class TargetDimensionExists(ProcessGraphError):
    """The new dimension of aggregate_spatial has the name of one that is there already."""

    code = "TargetDimensionExists"


class FormatUnsuitable(ProcessGraphError):
    """Data cannot be stored in the file format that was asked for."""

    code = "FormatUnsuitable"


class MinMaxSwapped(ProcessGraphError):
    """A lower bound is above its upper bound."""

    code = "MinMaxSwapped"


class QuantilesParameterMissing(ProcessGraphError):
    """quantiles was told neither probabilities nor a number of intervals."""

    code = "QuantilesParameterMissing"


class QuantilesParameterConflict(ProcessGraphError):
    """quantiles was told both probabilities and a number of intervals."""

    code = "QuantilesParameterConflict"


class AscendingProbabilitiesRequired(ProcessGraphError):
    """The probabilities of quantiles are not in ascending order."""

    code = "AscendingProbabilitiesRequired"


class ArrayElementNotAvailable(ProcessGraphError):
    """An array has no element with the index or label."""

    code = "ArrayElementNotAvailable"


class ArrayElementParameterMissing(ProcessGraphError):
    """array_element was told neither an index nor a label."""

    code = "ArrayElementParameterMissing"


class ArrayElementParameterConflict(ProcessGraphError):
    """array_element was told both an index and a label."""

    code = "ArrayElementParameterConflict"


class ArrayNotLabeled(ProcessGraphError):
    """A label was given for an array without labels."""

    code = "ArrayNotLabeled"


class ArrayLabelConflict(ProcessGraphError):
    """Two arrays that are to be joined have a label in common."""

    code = "ArrayLabelConflict"


class ArrayLengthMismatch(ProcessGraphError):
    """There are not as many labels as values."""

    code = "ArrayLengthMismatch"


class InvalidProcessGraph(ProcessGraphError):
    """Several problems of one graph, listed together.

    Args:
        problems: the single errors, in graph order; at least one.
    """

    def __init__(self, problems: Sequence[ProcessGraphError]) -> None:
        lines = "\n".join(f"- [{p.code}] {p}" for p in problems)
        noun = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"The process graph has {noun}:\n{lines}", hint="")
        self.problems = tuple(problems)


# --- files of users -----------------------------------------------------------------------------------------


class UserFileError(ProcessGraphError):
    """A file that a user brought, or an address that a user gave, cannot be used."""

    code = "FileContentInvalid"


class FileNotFound(UserFileError):
    """There is no such file among the user's."""

    code = "FileNotFound"
    http_status = 404


class FilePathInvalid(UserFileError):
    """A path names no file that a user may have."""

    code = "FilePathInvalid"


class FileSizeExceeded(UserFileError):
    """A file is larger than is allowed, as it is or when it is unpacked."""

    code = "FileSizeExceeded"


class FileContentInvalid(UserFileError):
    """A file is not what it should be: another format, truncated, or contradicting itself."""

    code = "FileContentInvalid"


class AddressRefused(UserFileError):
    """An address that users may not reach through the service: not of the public internet."""

    code = "AddressRefused"


# --- models -------------------------------------------------------------------------------------------------


class MlModelInvalid(ProcessGraphError):
    """What describes a machine learning model is no item of the MLM extension, or contradicts itself."""

    code = "MlModelInvalid"


class MlModelUnsupported(ProcessGraphError):
    """A machine learning model is of a kind that is not run here."""

    code = "MlModelUnsupported"


class MlModelUnsuitable(ProcessGraphError):
    """A data cube is not what a machine learning model takes."""

    code = "MlModelUnsuitable"


# --- collections and items ----------------------------------------------------------------------------------


class CatalogError(AcreageError):
    """A catalog or its configuration cannot be read or is wrong."""

    code = "CatalogInvalid"
    http_status = 502
    exit_code = 3


class CollectionNotFound(CatalogError):
    """The collection is not in the catalog."""

    code = "CollectionNotFound"
    http_status = 404


class NoDataAvailable(CatalogError):
    """A collection holds no items for the area and time that were asked for."""

    code = "NoDataAvailable"
    http_status = 400


class ItemUnreadable(CatalogError):
    """An item's asset is missing, truncated or not what the item says.

    Args:
        item: the STAC item id.
        asset: the asset or band name.
        kind: which fault it is.
    """

    code = "ItemUnreadable"
    http_status = 502

    def __init__(
        self,
        message: str,
        *,
        item: str = "",
        asset: str = "",
        hint: str = "",
        kind: FaultKind = "unreadable",
    ) -> None:
        super().__init__(message, hint=hint)
        self.item = item
        self.asset = asset
        self.kind = kind


# --- running ------------------------------------------------------------------------------------------------


class MemoryBudgetExceeded(AcreageError):
    """The plan does not fit the memory that was promised to it."""

    code = "MemoryBudgetExceeded"
    http_status = 400
    exit_code = 4


class WriteFailed(AcreageError):
    """An output could not be written; nothing was left under its final name."""

    code = "WriteFailed"
    exit_code = 5


class ScratchFailed(AcreageError):
    """There is no room for intermediate results."""

    code = "ScratchFailed"
    exit_code = 5


class OutputExists(InvalidInput):
    """An output is there already, and nothing is overwritten unasked."""

    code = "OutputExists"


class UdfError(AcreageError):
    """A user-defined function failed.

    Args:
        log: what the function printed, newest last.
    """

    code = "UdfFailed"
    http_status = 400
    exit_code = 6

    def __init__(self, message: str, *, hint: str = "", log: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.log = tuple(log)


class ModelMismatch(InvalidInput):
    """A model was given a cube, a season or a legend that it was not trained for."""

    code = "ModelMismatch"


# --- productions --------------------------------------------------------------------------------------------


class LedgerError(AcreageError):
    """A ledger cannot be used as it is."""

    code = "LedgerInvalid"
    exit_code = 7


class LedgerVersion(LedgerError):
    """A ledger whose tables are of another version than this release's."""

    code = "LedgerVersion"


class LeaseLost(LedgerError):
    """Another runner works on the tile now: what was to be written about it was not."""

    code = "LeaseLost"


# --- production over back ends ------------------------------------------------------------------------------


class BackEndError(AcreageError):
    """An openEO back end did not do what it was asked.

    Args:
        backend: its name in the production.
        status: of the HTTP answer; None where there was none.
        api_code: openEO's error code, as the back end said it.
        may_be_done: whether the request may have been carried out all the same, as after a timeout; who
            asked for a new job looks for it before asking again.
    """

    code = "BackEndFailed"
    http_status = 502
    exit_code = 7
    kind: ClassVar[str] = "transient"
    """One word for each class, as the ledger and the policy have it."""

    def __init__(
        self,
        message: str,
        *,
        backend: str = "",
        status: int | None = None,
        api_code: str = "",
        may_be_done: bool = False,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.backend = backend
        self.status = status
        self.api_code = api_code
        self.may_be_done = may_be_done


class BackEndTransient(BackEndError):
    """A back end is away or busy (no connection, a timeout, 429, 502, 503, 504); later it may do the same.

    Args:
        retry_after: seconds that the back end asks to wait (never a date: whose clock is right is not known).
    """

    code = "BackEndAway"

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        backend: str = "",
        status: int | None = None,
        api_code: str = "",
        may_be_done: bool = False,
        hint: str = "",
    ) -> None:
        super().__init__(
            message, backend=backend, status=status, api_code=api_code, may_be_done=may_be_done, hint=hint
        )
        self.retry_after = retry_after


class BackEndFull(BackEndTransient):
    """A back end takes no more jobs of this account for now: its limit is lower than was thought."""

    code = "BackEndFull"
    kind = "full"


class BackEndUnauthorized(BackEndError):
    """A back end does not take the login, after it was refreshed."""

    code = "BackEndUnauthorized"
    kind = "unauthorized"


class BackEndPaymentRequired(BackEndError):
    """A back end wants more money than the account, or the job's budget, has."""

    code = "BackEndPaymentRequired"
    kind = "payment"


class BackEndOutOfMemory(BackEndError):
    """A job needs more memory than it was given."""

    code = "BackEndOutOfMemory"
    kind = "memory"


class BackEndDeterministic(BackEndError):
    """A back end refuses what it will refuse each time: a graph or an option that it does not take."""

    code = "BackEndRefused"
    kind = "deterministic"


class BackEndNotFound(BackEndError):
    """A back end does not know a job that it made: it lost it, or somebody deleted it."""

    code = "BackEndJobLost"
    kind = "lost"


class BackEndNonsense(BackEndError):
    """An answer that is not of the openEO API: HTML, another schema, contradictions."""

    code = "BackEndNonsense"
    kind = "nonsense"


class ProductWrong(AcreageError):
    """Downloaded results are not what the tile's job should give: cut off, of another tile, implausible.

    Args:
        again: whether another download may help; otherwise the back end made them so.
    """

    code = "ProductWrong"
    http_status = 502
    exit_code = 7

    def __init__(self, message: str, *, again: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.again = again
