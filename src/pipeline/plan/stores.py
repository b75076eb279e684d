"""The stores of a study, and what they are made of: data sets, views, autoencoders."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import families, views
from pipeline.autoencoders.finetuned import Spec as Finetuned
from pipeline.errors import StudyError
from pipeline.members import Member
from pipeline.plan.programs import Programs
from pipeline.spec import Spec
from pipeline.study import Study

FOLDERS = {"latent": "latents", "reconstruction": "reconstructions"}


class Stores:
    """Where images, latents and reconstructions lie, and the source files of the stages that make them."""

    def __init__(self, study: Study, first: bool = False) -> None:
        self.study = study
        self.programs = Programs(first)
        self._members: dict[str, dict[str, Member]] = {}
        self._entries: dict[tuple[str, str], list[Member]] = {}

    def code(self, stage: str, kind: families.Kind | None = None, name: str | None = None) -> str:
        """Return what stands for the source files that a stage runs, with those of the family of one entry."""
        return self._code(
            stage, *([families.module_name(kind, self._entry(kind, name).family)] if kind and name else [])
        )

    def _code(self, stage: str, *families: str) -> str:
        return self.programs.file(f"pipeline.{stage}", *families)

    def pretrained(self, weights: str) -> str:
        """Return what stands for the source files that training one of the shipped autoencoders runs."""
        recipe = Path(f"resources/weights/{weights}/recipe.json")
        if not recipe.is_file():
            raise StudyError(f"there is no recipe {recipe}")
        family = families.module_name("autoencoders", json.loads(recipe.read_text())["family"])
        return self._code("pretrain", family)

    def spec(self, kind: families.Kind, name: str) -> str:
        """Return one entry of the configuration as the JSON parameter of a rule."""
        return str(self._entry(kind, name).written())

    def _entry(self, kind: families.Kind, name: str) -> Any:  # noqa: ANN401 - one of four specs, each with a family
        entries: dict[str, Spec] = getattr(self.study, kind)
        return entries[name]

    def member(self, dataset: str, name: str) -> Member:
        """Return the autoencoder of this name, on a data set or a view of it; raise StudyError where it has none."""
        dataset = self.plain(dataset)
        if dataset not in self._members:
            named = {member.name: member for entry in self.study.autoencoders for member in self._of(dataset, entry)}
            self._members[dataset] = named
        if name not in self._members[dataset]:
            raise StudyError(f"the data set {dataset} has no autoencoder {name}")
        return self._members[dataset][name]

    def _of(self, dataset: str, entry: str) -> list[Member]:
        """Return the members of an entry, found once: every job asks for some."""
        if (dataset, entry) not in self._entries:
            self._entries[dataset, entry] = self.study.members(dataset, entry)
        return self._entries[dataset, entry]

    def entry_of(self, dataset: str, autoencoder: str) -> str:
        """Return the entry of a member; an entry is its own."""
        return autoencoder if autoencoder in self.study.autoencoders else self.member(dataset, autoencoder).entry

    def codec(self, stage: str, dataset: str, autoencoder: str) -> str:
        """Return what stands for the source files of a stage that loads an autoencoder."""
        return self._code(stage, families.module_name("autoencoders", self.member(dataset, autoencoder).spec.family))

    def loaded(self, dataset: str, autoencoder: str) -> str:
        """Return how an autoencoder is loaded, as the JSON parameter of a rule."""
        return self.member(dataset, autoencoder).spec.written()

    def weights(self, dataset: str, autoencoder: str) -> list[str]:
        """Return the files that an autoencoder is loaded from."""
        return self.member(dataset, autoencoder).spec.files()

    def finetuning(self, dataset: str, autoencoder: str) -> "Finetuning":
        """Return what a fine-tuned autoencoder is trained from; raise StudyError for one that is not fine-tuned."""
        member = self.member(dataset, autoencoder)
        entry = self.study.autoencoders[member.entry]
        if not isinstance(entry, Finetuned) or member.fold is None:
            raise StudyError(f"{autoencoder} is not a fine-tuned autoencoder")
        parent = self.study.autoencoders[entry.parent]
        return Finetuning(
            code=self._code("finetune", families.module_name("autoencoders", parent.family)),
            files=[*parent.files(), *entry.files()],
            parent_spec=parent.written(),
            spec=entry.written(),
            fold=member.fold,
        )

    def _decodes(self, dataset: str, autoencoder: str) -> bool:
        return all(member.spec.decodes for member in self._of(dataset, autoencoder))

    def autoencoders(self, dataset: str) -> list[str]:
        """Return the entries that a data set's table has rows of."""
        return [name for name in self.study.autoencoders if self._of(dataset, name)]

    def inventory(self, dataset: str) -> str:
        """Return the list of a data set's files: made with a generated folder, else refreshed by every call."""
        benchmark = self.study.generated(dataset)
        return f"results/benchmarks/{benchmark}.inventory.csv" if benchmark else f"private/{dataset}.inventory.csv"

    def remade(self, dataset: str) -> list[str]:
        """Return what makes a data set's headers be read again: a folder that is generated again.

        Changes of other folders are found by the first process of a call, see `pipeline.launch`.
        """
        return [self.inventory(dataset)] if self.study.generated(dataset) else []

    def space(self, space: str, dataset: str, autoencoder: str) -> str:
        """Return the folder of a space, without the ending of its store."""
        return f"results/{FOLDERS[space]}/{dataset}/{autoencoder}"

    def shards(self, dataset: str, folder: str) -> list[str]:
        """Return the shard files of the store of a data set's samples."""
        return [f"{folder}.zarr/c/{shard}/0/0/0" for shard in range(self.cut(dataset))]

    def beside(self, dataset: str, folder: str, ending: str = "json") -> list[str]:
        """Return what lies beside each shard of a store; by default its manifests."""
        return [f"{folder}/{shard}.{ending}" for shard in range(self.cut(dataset))]

    def cut(self, dataset: str) -> int:
        """Return into how many shards the stores of a data set, or of a view of it, are cut."""
        return self.study.datasets[self.plain(dataset)].shards

    def plain(self, dataset: str) -> str:
        """Return the data set of a view; any other is its own."""
        return views.dataset_of(dataset)

    def view_number(self, view: str) -> int:
        """Return which view of its data set this is."""
        return views.number_of(view)

    def views(self, dataset: str) -> list[str]:
        """Return the names of a data set's views: none where it has no labels."""
        count = self.study.entries.augmentation.views if dataset in self.study.labelled() else 0
        return [views.name(dataset, number) for number in range(count)]

    def all_views(self) -> str:
        """Return a pattern of the names of all views."""
        names = [view for dataset in self.study.datasets for view in self.views(dataset)]
        return "|".join(map(re.escape, names)) or "(?!)"

    def encoded(self) -> str:
        """Return a pattern of the names of all that is encoded: data sets and views."""
        return "|".join([*map(re.escape, self.study.datasets), self.all_views()])

    def stores(self, dataset: str) -> list[str]:
        """Return the metadata of a data set's stores and of all their shards: what a reader waits for."""
        folders = [f"results/images/{dataset}"]
        folders += [folder for name in self.autoencoders(dataset) for folder in self._spaces(dataset, name)]
        layouts = [f"{folder}.zarr/zarr.json" for folder in folders]
        return layouts + [path for folder in folders for path in self.beside(dataset, folder)]

    def _spaces(self, dataset: str, autoencoder: str) -> list[str]:
        spaces = FOLDERS if self._decodes(dataset, autoencoder) else ("latent",)
        members = self._of(dataset, autoencoder)
        return [self.space(space, dataset, member.name) for member in members for space in spaces]

    def measured(self, dataset: str, member: Member) -> dict[str, list[str]]:
        """Return the files of stage `measure` that describe an autoencoder: none where it has no decoder."""
        folder = f"results/fidelity/{dataset}/{member.name}"
        configured = member.spec.decodes and self.study.entries.fidelity.features
        return {
            "fidelity": self.beside(dataset, folder, "parquet") if member.spec.decodes else [],
            "features": self.beside(dataset, folder, "features.safetensors") if configured else [],
        }


@dataclass(frozen=True)
class Finetuning:
    """What one fine-tuned autoencoder is trained from.

    Attributes:
        code: what stands for its source files.
        files: the parent's weights, and those of the loss.
        parent_spec: the parent's entry as JSON.
        spec: its own entry as JSON.
        fold: the fold whose training rows it sees.
    """

    code: str
    files: list[str]
    parent_spec: str
    spec: str
    fold: int
