"""The typed configuration of a whole study."""

import importlib
import os
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from pipeline import families, members, misspelt, roster
from pipeline.autoencoders import AutoencoderSpec
from pipeline.benchmarks import BenchmarkSpec
from pipeline.costs import Cost
from pipeline.datasets import DatasetSpec
from pipeline.denoisers import DenoiserSpec
from pipeline.diffusion import Diffusability
from pipeline.errors import StudyError
from pipeline.fidelity import Fidelity
from pipeline.groups import Groups
from pipeline.heads import HeadSpec
from pipeline.members import Member
from pipeline.spec import Spec
from pipeline.views import Augmentation

T = TypeVar("T")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>[^}]*))?\}")


class Initialisation(Spec):
    """Names of heads that differ in how their weights begin, and in nothing else."""

    scratch: str
    """From random weights, in every space."""
    pretrained: str | None = None
    """Trained on other images first, each in its own space."""
    published: str | None = None
    """As is published: pretrained on images where the space is pixels, random elsewhere."""

    @model_validator(mode="after")
    def _something_to_compare(self) -> Self:
        if self.pretrained is None and self.published is None:
            raise ValueError("name 'pretrained' or 'published', which 'scratch' is compared with")
        return self

    def named(self) -> dict[str, str]:
        """Return the heads that are named, by what they stand for."""
        return {key: value for key, value in self if value is not None}


class Entries(Spec):
    """The study as it is written: named entries by kind, each an instance of its family's own class."""

    title: str = "Learnability gap"
    """Headline of the page."""
    seeds: Annotated[list[int], Field(min_length=1)] = [0]
    """Training seeds; scores are averaged over them."""
    replicates: Annotated[int, Field(ge=100)] = 1000
    """How many bootstrap replicates the intervals rest on. [1]"""
    fidelity: Fidelity = Fidelity()
    """Measures of reconstructions that need weights."""
    groups: Groups = Groups()
    """Which classes are head, medium and tail classes."""
    augmentation: Augmentation = Augmentation()
    """Views of labelled images, for heads to be trained on."""
    cost: Cost = Cost()
    """How the costs of heads are measured."""
    diffusability: Diffusability = Diffusability()
    """How the spaces are measured by what removes noise from them."""
    benchmarks: dict[str, dict[str, Any]] = {}
    """Data sets to generate."""
    datasets: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    """Data sets that the tables compare."""
    pretraining: dict[str, dict[str, Any]] = {}
    """Data sets that heads are trained on first, in each space: entries like those of `datasets`, in no table."""
    initialisation: Initialisation | None = None
    """Which heads tell what comes of pretraining from what comes of the space."""
    autoencoders: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    """Autoencoders; one must be of the family `identity`."""
    heads: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    """Classifiers that are trained in every space."""
    denoisers: dict[str, dict[str, Any]] = {}
    """What removes noise from every space; none: diffusability is not measured."""

    @field_validator("seeds")
    @classmethod
    def seeds_differ(cls, seeds: list[int]) -> list[int]:
        """A seed that stands there twice would count its own result twice."""
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError("seeds must be different numbers from 0")
        return seeds

    @field_validator("datasets", "pretraining")
    @classmethod
    def names_are_free(cls, entries: dict[str, Any]) -> dict[str, Any]:
        """Weights that a data set's images have no part in lie beside those of the data sets."""
        if "pretrained" in entries:
            raise ValueError("no data set can be called 'pretrained'")
        return entries

    @field_validator("benchmarks", "datasets", "pretraining", "autoencoders", "heads", "denoisers")
    @classmethod
    def names_are_plain(cls, entries: dict[str, Any]) -> dict[str, Any]:
        """Names become folders and wildcards: letters, digits and hyphens only."""
        for name in entries:
            if not NAME.fullmatch(name):
                raise ValueError(f"the name {name!r} may hold letters, digits and hyphens only")
        return entries


class Study:
    """A configuration whose every entry has been read by its family's class.

    Raises:
        StudyError: one sentence that names the first entry that is wrong.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.entries = _parse("the configuration", Entries.model_validate, expand(config), lambda: Entries)
        self.benchmarks: dict[str, BenchmarkSpec] = self._specs("benchmarks")
        self.compared: list[str] = list(self.entries.datasets)
        self.datasets: dict[str, DatasetSpec] = self._specs("datasets", "datasets") | self._specs(
            "datasets", "pretraining"
        )
        self.autoencoders: dict[str, AutoencoderSpec] = self._specs("autoencoders")
        self.heads: dict[str, HeadSpec] = self._specs("heads")
        self.denoisers: dict[str, DenoiserSpec] = self._specs("denoisers")
        self.entries.fidelity.require({name: spec.pixels.size for name, spec in self.datasets.items()})
        members.check(self.autoencoders, self.datasets)
        roster.check(self)
        if not any(spec.family == "identity" for spec in self.autoencoders.values()):
            raise StudyError("the study has no autoencoder of the family 'identity', which is the pixel baseline")

    def _specs(self, kind: families.Kind, section: str = "") -> dict[str, Any]:
        written: dict[str, dict[str, Any]] = getattr(self.entries, section or kind)
        return {
            name: _parse(
                f"{section or kind}: {name}",
                partial(families.spec, kind),
                entry,
                partial(_class, kind, entry),
            )
            for name, entry in written.items()
        }

    def trained(self, dataset: str) -> list[str]:
        """Return the heads that are trained on a data set: none where it has no labels."""
        if not self.datasets[dataset].classes:
            return []
        if dataset in self.compared:
            return [name for name, head in self.heads.items() if head.trained_on(dataset)]
        return [name for name, head in self.heads.items() if dataset in head.pretrained_on.values()]

    def baseline(self) -> str:
        """Return the name of the autoencoder that stands for the pixels."""
        return next(name for name, spec in self.autoencoders.items() if spec.family == "identity")

    def members(self, dataset: str, autoencoder: str) -> list[Member]:
        """Return the autoencoders that an entry stands for on a data set."""
        return members.members(self.autoencoders, autoencoder, dataset, self.datasets[dataset])

    def stores(self) -> list[str]:
        """Return the names of all autoencoders that have stores, on any data set."""
        pairs = [(dataset, name) for dataset in self.datasets for name in self.autoencoders]
        return list(dict.fromkeys(member.name for pair in pairs for member in self.members(*pair)))

    def labelled(self) -> list[str]:
        """Return the compared data sets that heads can be trained on."""
        return [name for name in self.compared if self.datasets[name].classes]

    def generated(self, dataset: str) -> str | None:
        """Return the benchmark that this data set's folder is generated by, if it is."""
        root = self.datasets[dataset].root
        return next((name for name in self.benchmarks if root == f"results/benchmarks/{name}"), None)


def expand(value: Any) -> Any:  # noqa: ANN401 - a configuration is any JSON value
    """Replace `${NAME}` and `${NAME:-default}` in every string by the environment variable; empty counts as not set."""
    if isinstance(value, dict):
        return {key: expand(item) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item) for item in value]
    return VARIABLE.sub(_variable, value) if isinstance(value, str) else value


def _variable(match: re.Match[str]) -> str:
    found = os.environ.get(match["name"]) or match["default"]
    if found is None:
        raise StudyError(f"the configuration uses {match[0]}, and the environment variable {match['name']} is not set")
    return found


def _class(kind: families.Kind, entry: dict[str, Any]) -> type[Spec]:
    """Return the class that reads an entry, whose family is known to be there."""
    found: type[Spec] = importlib.import_module(families.module_name(kind, entry["family"])).Spec
    return found


def _parse(
    where: str, read: Callable[[dict[str, Any]], T], entry: dict[str, Any], model: Callable[[], type[Spec]]
) -> T:
    try:
        return read(entry)
    except ValidationError as error:
        raise StudyError(f"{where}: {misspelt.told(error, model())}") from None
    except StudyError as error:
        raise StudyError(f"{where}: {error}") from None
