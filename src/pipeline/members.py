"""Which autoencoders an entry of the configuration stands for on one data set.

Most entries are one autoencoder, which encodes every sample. A fine-tuned one must not have seen what it is tested on,
so it is one for each tested fold: a member. Each member encodes all samples and is used in its own fold alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.autoencoders import AutoencoderSpec
from pipeline.autoencoders.finetuned import Spec as Finetuned
from pipeline.datasets import DatasetSpec
from pipeline.errors import StudyError
from pipeline.networks.network import TrainableSpec


@dataclass(frozen=True)
class Member:
    """An autoencoder with stores of its own.

    Attributes:
        name: of its stores.
        entry: the entry that it belongs to.
        spec: how it is loaded.
        fold: the only fold that it is used in; None: all.
    """

    name: str
    entry: str
    spec: AutoencoderSpec
    fold: int | None = None


def members(autoencoders: dict[str, AutoencoderSpec], name: str, dataset: str, spec: DatasetSpec) -> list[Member]:
    """Return the members of one entry on one data set: none where a fine-tuned one leaves it out."""
    entry = autoencoders[name]
    if not isinstance(entry, Finetuned):
        return [Member(name, name, entry)]
    if not spec.classes or (entry.datasets and dataset not in entry.datasets):
        return []
    parent = autoencoders[entry.parent]
    if not isinstance(parent, TrainableSpec):
        raise StudyError(f"{entry.parent} cannot be fine-tuned")
    found = []
    for fold in range(spec.tested_folds()):
        member = f"{name}-fold{fold}"
        found.append(Member(member, name, parent.tuned(f"results/weights/{dataset}/{member}"), fold))
    return found


def check(autoencoders: dict[str, AutoencoderSpec], datasets: dict[str, DatasetSpec]) -> None:
    """Raise StudyError for a fine-tuned entry that lacks its parent or data sets, or a member's name that is taken."""
    for name, entry in _finetuned(autoencoders):
        where = f"autoencoders: {name}"
        parent = autoencoders.get(entry.parent)
        if parent is None:
            raise StudyError(f"{where}: there is no autoencoder {entry.parent!r} to start from")
        if not isinstance(parent, TrainableSpec):
            raise StudyError(f"{where}: an autoencoder of the family {parent.family} cannot be fine-tuned")
        for dataset in entry.datasets:
            if dataset not in datasets or not datasets[dataset].classes:
                raise StudyError(
                    f"{where}: there is no data set {dataset!r} with classes, whose folds it could keep to"
                )
        for dataset, spec in datasets.items():
            try:
                taken = {member.name for member in members(autoencoders, name, dataset, spec)} & set(autoencoders)
            except StudyError as error:
                raise StudyError(f"{where}: {error.message}") from None
            if taken:
                raise StudyError(f"{where}: the name {min(taken)!r} is also that of its member for one fold")


def _finetuned(autoencoders: dict[str, AutoencoderSpec]) -> Iterator[tuple[str, Finetuned]]:
    for name, entry in autoencoders.items():
        if isinstance(entry, Finetuned):
            yield name, entry
