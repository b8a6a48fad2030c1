"""What is known of each back end beforehand: its address, login, words for the same things, machines, prices.

A YAML file holds one profile a back end (docs/back-ends.md). It names environment variables, never a secret.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    Field,
    HttpUrl,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from acreage.core.errors import InvalidInput
from acreage.core.tariff import Tariff
from acreage.production.logins import Login, NoLogin, Part

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Scalar = str | int | float | bool
_HINT = "docs/back-ends.md tells of every key."
_SIZES = {"mb": 1e6, "gb": 1e9, "mib": 2.0**20, "gib": 2.0**30}


class PropertyWords(Part):
    """How a property of items is called, and its values.

    Attributes:
        name: at the back end.
        values: ours to the back end's; others stay.
    """

    name: str
    values: dict[str, Scalar] = Field(default_factory=dict)


class CollectionWords(Part):
    """How a collection is called, and what it has.

    Attributes:
        id: at the back end.
        bands: ours to the back end's; others stay.
        properties: ours to the back end's; others stay.
    """

    id: str
    bands: dict[str, str] = Field(default_factory=dict)
    properties: dict[str, PropertyWords] = Field(default_factory=dict)

    @field_validator("bands")
    @classmethod
    def _one_to_one(cls, bands: dict[str, str]) -> dict[str, str]:
        if len(set(bands.values())) < len(bands):
            raise ValueError("two bands have one name")
        return bands


class JobOptions(Part):
    """What jobs are sent with.

    Attributes:
        options: the same for every job.
        memory: options for a worker's memory, as text with `{mb}`, `{gb}`, `{mib}` or `{gib}` in the number's
            place, rounded up.
        cores: the name of the option for the number of cores; None: not sent.
        tolerance: options that say how much of Sentinel-1 may fail, as text with `{collection}` and
            `{percent}` or `{share}`; only sent for tiles where some may.
        within: whether options are members of `job_options`, as most back ends take them, or of the job.
        plan: billing plan.
    """

    options: dict[str, Any] = Field(default_factory=dict)
    memory: dict[str, str] = Field(default_factory=lambda: {"memory": "{mb}MB"})
    cores: str | None = None
    tolerance: dict[str, str] = Field(default_factory=lambda: {"tolerate": "{collection}={percent}%"})
    within: Literal["job_options", "job"] = "job_options"
    plan: str | None = None

    @field_validator("memory")
    @classmethod
    def _fits(cls, memory: dict[str, str]) -> dict[str, str]:
        for text in memory.values():
            _sized(text, 1)
        return memory

    @field_validator("tolerance")
    @classmethod
    def _is_tolerance(cls, tolerance: dict[str, str]) -> dict[str, str]:
        for text in tolerance.values():
            _tolerated(text, "S1", 0.5)
        return tolerance

    def of(
        self, memory_mb: int, cores: int | None = None, tolerance: float = 0.0, s1: str = "SENTINEL1_GRD"
    ) -> dict[str, Any]:
        """Options of a job.

        Args:
            memory_mb: of its worker, 10 ** 6 bytes.
            cores: of its worker.
            tolerance: share of the products of Sentinel-1 that may fail.
            s1: the collection of Sentinel-1 at the back end.
        """
        found = {**self.options, **{name: _sized(text, memory_mb) for name, text in self.memory.items()}}
        if self.cores is not None and cores is not None:
            found[self.cores] = cores
        if tolerance > 0:
            found |= {name: _tolerated(text, s1, tolerance) for name, text in self.tolerance.items()}
        return found


class ModelByAddress(Part):
    """The model lies where the back end fetches it.

    Attributes:
        href: its address; `{name}` and `{sha256}` stand for the model file's.
    """

    kind: Literal["address"]
    href: str

    @field_validator("href")
    @classmethod
    def _fits(cls, href: str) -> str:
        try:
            href.format(name="model.pt", sha256="0" * 64)
        except (KeyError, IndexError, ValueError):
            raise ValueError("only {name} and {sha256} are known") from None
        return href


class ModelByUpload(Part):
    """The model is uploaded into the account's files at the back end, once.

    Attributes:
        folder: there.
        prefix: of the path as the back end's user-defined functions know it.
    """

    kind: Literal["upload"]
    folder: str = Field(default="models", pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$")
    prefix: str = ""


ModelPlace = Annotated[ModelByAddress | ModelByUpload, Field(discriminator="kind")]


class Machine(Part):
    """The shape of a back end's machines, into which workers are packed; a worker runs one tile's job.

    Attributes:
        cores: of a machine.
        memory_mb: of a machine, 10 ** 6 bytes.
        worker_memory_mb: of a worker.
        worker_cores: of a worker.
        count: machines; None: not known.
    """

    cores: PositiveInt = 4
    memory_mb: PositiveInt = 16_000
    worker_memory_mb: PositiveInt = 3_800
    worker_cores: PositiveInt = 1
    count: PositiveInt | None = None

    @model_validator(mode="after")
    def _holds_one(self) -> Machine:
        if self.workers < 1:
            raise ValueError(
                f"a worker ({self.worker_cores} cores, {self.worker_memory_mb} MB) is larger than its machine"
            )
        return self

    @property
    def workers(self) -> int:
        """Workers of one machine."""
        return self.packed(self.worker_memory_mb)

    def packed(self, worker_memory_mb: int) -> int:
        """Workers of one machine where each gets so much memory; 0: not even one."""
        return min(self.cores // self.worker_cores, self.memory_mb // worker_memory_mb)


class Prices(Part):
    """As `acreage.core.tariff.Tariff`."""

    currency: str = "credits"
    cpu_hour: NonNegativeFloat = 0.0
    memory_gb_hour: NonNegativeFloat = 0.0
    source_megapixel: NonNegativeFloat = 0.0
    job: NonNegativeFloat = 0.0

    @property
    def tariff(self) -> Tariff:
        """To count with."""
        return Tariff(**self.model_dump())


class Profile(Part):
    """A back end.

    Attributes:
        url: of its API.
        login: how to log in.
        collections: ours to the back end's words; others stay.
        job: options of jobs.
        model: where its user-defined functions find the model.
        machine: what a job runs on.
        parallel: jobs at once; None: what its machines hold, else what is found out.
        tariff: prices, where the back end does not tell costs.
        budget: that may be spent there; None: no limit of its own.
        speed: of a core, with 1 for the reference that estimates are made for.
        strict_stac: whether metadata of results must be valid STAC for a product to be taken.
        catalog: where the items of its collections are counted for the plan; None: as the plan's own.
        timeout_s: for one request.
        download_part: bytes that are asked for at once when results are downloaded.
    """

    url: HttpUrl
    login: Login = NoLogin()
    collections: dict[str, CollectionWords] = Field(default_factory=dict)
    job: JobOptions = JobOptions()
    model: ModelPlace
    machine: Machine = Machine()
    parallel: PositiveInt | None = None
    tariff: Prices = Prices()
    budget: NonNegativeFloat | None = None
    speed: PositiveFloat = 1.0
    strict_stac: bool = True
    catalog: str | None = None
    timeout_s: PositiveInt = 60
    download_part: PositiveInt = 16_000_000

    @property
    def stated_parallel(self) -> int | None:
        """Jobs at once as the profile has it: its own number, else as many workers as its machines hold."""
        if self.parallel is not None or self.machine.count is None:
            return self.parallel
        return self.machine.count * self.machine.workers

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, read back by `from_dict`."""
        return self.model_dump(mode="json")

    @staticmethod
    def from_dict(document: Mapping[str, Any], name: str = "") -> Profile:
        """A profile from its JSON form.

        Raises:
            InvalidInput: with every problem.
        """
        try:
            return Profile.model_validate(dict(document))
        except ValidationError as error:
            raise InvalidInput(
                f"The profile {name} of a back end cannot be used: {_problems(error)}.".replace("  ", " "),
                hint=_HINT,
            ) from error


class _File(Part):
    backends: dict[Name, Profile] = Field(min_length=1)


def read_profiles(path: Path) -> dict[str, Profile]:
    """The profiles of a YAML or JSON file with the key `backends`, by name.

    Raises:
        InvalidInput: it cannot be read, or is not what it should be; every problem is listed.
    """
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The back ends' profiles {path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"The back ends' profiles {path} are not YAML: {error}.", hint=_HINT) from error
    try:
        return dict(_File.model_validate(document).backends)
    except ValidationError as error:
        raise InvalidInput(
            f"The back ends' profiles {path} cannot be used: {_problems(error)}.", hint=_HINT
        ) from error


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in p['loc'])}: {p['msg']}" if p["loc"] else str(p["msg"])
        for p in error.errors(include_url=False, include_input=False)
    )


def _sized(text: str, memory_mb: int) -> str:
    amounts = {unit: math.ceil(memory_mb * 1e6 / size) for unit, size in _SIZES.items()}
    try:
        return text.format(**amounts)
    except (KeyError, IndexError, ValueError):
        known = ", ".join(f"{{{unit}}}" for unit in _SIZES)
        raise ValueError(f"{text!r} is no amount; known are {known}") from None


def _tolerated(text: str, collection: str, share: float) -> str:
    try:
        return text.format(collection=collection, percent=f"{100 * share:g}", share=f"{share:g}")
    except (KeyError, IndexError, ValueError):
        raise ValueError(
            f"{text!r} is no tolerance; known are {{collection}}, {{percent}} and {{share}}"
        ) from None
