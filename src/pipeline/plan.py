"""Which files a study consists of: what the rules ask, in one typed place.

Paths are written out in full, as the rules write them; a wildcard is a whole folder level.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import families, sources, views
from pipeline.autoencoders.finetuned import Spec as Finetuned
from pipeline.controls import CONTROLS
from pipeline.errors import StudyError
from pipeline.members import Member
from pipeline.spec import Spec
from pipeline.study import Study

PREDICTIONS, TRAINING, WEIGHTS = "predictions.parquet", "training.parquet", "heads.safetensors"
FOLDERS = {"latent": "latents", "reconstruction": "reconstructions"}


class Plan:
    """The files of one study."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def code(self, stage: str, kind: families.Kind | None = None, name: str | None = None) -> list[str]:
        """Return the source files that a stage runs, with those of the family of one entry, relative to here.

        They are inputs of the stage's rule, compared by content.
        """
        return self._code(
            stage, *([families.module_name(kind, self._entry(kind, name).family)] if kind and name else [])
        )

    def _code(self, stage: str, *families: str) -> list[str]:
        return [os.path.relpath(path) for path in sources.files(f"pipeline.{stage}", *families)]

    def pretrained(self, weights: str) -> list[str]:
        """Return the source files that training one of the shipped autoencoders runs, those of its family included."""
        recipe = Path(f"resources/weights/{weights}/recipe.json")
        if not recipe.is_file():
            raise StudyError(f"there is no recipe {recipe}")
        family = families.module_name("autoencoders", json.loads(recipe.read_text())["family"])
        return [os.path.relpath(path) for path in sources.files("pipeline.pretrain", family)]

    def spec(self, kind: families.Kind, name: str) -> str:
        """Return one entry of the configuration as the JSON parameter of a rule."""
        return str(self._entry(kind, name).written())

    def _entry(self, kind: families.Kind, name: str) -> Any:  # noqa: ANN401 - one of four specs, each with a family
        entries: dict[str, Spec] = getattr(self.study, kind)
        return entries[name]

    def member(self, dataset: str, name: str) -> Member:
        """Return the autoencoder of this name, on a data set or a view of it; raise StudyError where it has none."""
        dataset = self.plain(dataset)
        found = (member for entry in self.study.autoencoders for member in self.study.members(dataset, entry))
        member = next((member for member in found if member.name == name), None)
        if member is None:
            raise StudyError(f"the data set {dataset} has no autoencoder {name}")
        return member

    def codec(self, stage: str, dataset: str, autoencoder: str) -> list[str]:
        """Return the source files of a stage that loads an autoencoder."""
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

    def fold(self, dataset: str, autoencoder: str) -> list[int]:
        """Return the only fold that heads are trained for in the spaces of an autoencoder; none: all."""
        if dataset not in self.study.compared:
            return [0]
        fold = self.member(dataset, autoencoder).fold
        return [] if fold is None else [fold]

    def predictions(self, space: str, dataset: str, autoencoder: str, head: str, file: str = PREDICTIONS) -> list[str]:
        """Return the predictions of a head in one space of an entry; none where the space does not exist."""
        if space == "reconstruction" and not self._decodes(dataset, autoencoder):
            return []
        names = [member.name for member in self.study.members(dataset, autoencoder)]
        return [f"results/heads/{dataset}/{name}/{space}/{head}/{file}" for name in names]

    def head_settings(self, head: str) -> str:
        """Return a head's entry as the JSON parameter of a rule: without what says where it is trained."""
        return self.study.heads[head].settings()

    def head_code(self, dataset: str, autoencoder: str, head: str) -> list[str]:
        """Return the source files that training a head in a space of an autoencoder runs."""
        entry = self.study.heads[head]
        modules = [families.module_name("heads", entry.family)]
        if entry.needs_decoder:
            member = self.member(dataset, autoencoder)
            modules.append(families.module_name("autoencoders", member.spec.family))
        return self._code("train", *modules)

    def pixels(self, space: str, autoencoder: str) -> bool:
        """Tell whether the values of a space are pixels."""
        return space == "reconstruction" or autoencoder == self.study.baseline()

    def decoder(self, space: str, dataset: str, autoencoder: str, head: str) -> list[str]:
        """Return the autoencoder's entry as JSON where a head looks at what its decoder makes of latents."""
        if not self.study.heads[head].needs_decoder or self.pixels(space, autoencoder):
            return []
        member = self.member(dataset, autoencoder)
        return [member.spec.written()] if member.spec.decodes else []

    def given(self, space: str, dataset: str, autoencoder: str, head: str) -> dict[str, list[str]]:
        """Return the files that a training is given beside its data: none, or one of each.

        A teacher is the head on the images; what a head starts from was trained in the same space of other images.
        """
        entry = self.study.heads[head]
        first = entry.pretrained_on.get(dataset)
        decoded = bool(self.decoder(space, dataset, autoencoder, head))
        baseline = self.study.baseline()
        return {
            "teacher": [f"results/heads/{dataset}/{baseline}/latent/{name}/{TRAINING}" for name in entry.teachers()],
            "initial": [f"results/heads/{first}/{autoencoder}/{space}/{head}/{WEIGHTS}"] if first else [],
            "decoder": self.member(dataset, autoencoder).spec.files() if decoded else [],
        }

    def trained_first(self, space: str, dataset: str, autoencoder: str, head: str) -> list[str]:
        """Return what a head on reconstructions waits for: its predictions on the images, which may be the same."""
        if space != "reconstruction" or self.member(dataset, autoencoder).fold is not None:
            return []
        return self.predictions("latent", dataset, self.study.baseline(), head)

    def _decodes(self, dataset: str, autoencoder: str) -> bool:
        return all(member.spec.decodes for member in self.study.members(dataset, autoencoder))

    def autoencoders(self, dataset: str) -> list[str]:
        """Return the entries that a data set's table has rows of."""
        return [name for name in self.study.autoencoders if self.study.members(dataset, name)]

    def inventory(self, dataset: str) -> str:
        """Return the list of a data set's files: made with a generated folder, else refreshed by every call."""
        benchmark = self.study.generated(dataset)
        return f"results/benchmarks/{benchmark}.inventory.csv" if benchmark else f"private/{dataset}.inventory.csv"

    def remade(self, dataset: str) -> list[str]:
        """Return what makes a data set's headers be read again: a folder that is generated again.

        Changes of other folders are found by the first process of a call, see `pipeline.launch`.
        """
        return [self.inventory(dataset)] if self.study.generated(dataset) else []

    def heads(self, dataset: str, autoencoder: str) -> list[str]:
        """Return the heads that are trained in the spaces of an entry on a data set.

        Of a fine-tuned autoencoder, which has seen the data set, there is none on other images to start from.
        """
        entry = self.study.autoencoders[autoencoder]
        named = {name: self.study.heads[name] for name in self.study.trained(dataset)}
        return [
            name
            for name, head in named.items()
            if (not head.autoencoders or autoencoder in (*head.autoencoders, self.study.baseline()))
            and not (isinstance(entry, Finetuned) and head.pretrained_on)
        ]

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

    def viewed(self, space: str, dataset: str, autoencoder: str, head: str) -> "Viewed":
        """Return the views of a space, for a head that is trained on them."""
        seen = self.views(dataset) if self.study.heads[head].sees_views() else []
        folders = [self.space(space, view, autoencoder) for view in seen]
        return Viewed(
            stores=[f"{folder}.zarr" for folder in folders],
            layouts=[f"{folder}.zarr/zarr.json" for folder in folders],
            shards=[path for folder in folders for path in self.shards(dataset, folder)],
            manifests=[path for folder in folders for path in self.beside(dataset, folder)],
        )

    def stores(self, dataset: str) -> list[str]:
        """Return the metadata of a data set's stores and of all their shards: what a reader waits for."""
        folders = [f"results/images/{dataset}"]
        folders += [folder for name in self.autoencoders(dataset) for folder in self._spaces(dataset, name)]
        layouts = [f"{folder}.zarr/zarr.json" for folder in folders]
        return layouts + [path for folder in folders for path in self.beside(dataset, folder)]

    def _spaces(self, dataset: str, autoencoder: str) -> list[str]:
        spaces = FOLDERS if self._decodes(dataset, autoencoder) else ("latent",)
        members = self.study.members(dataset, autoencoder)
        return [self.space(space, dataset, member.name) for member in members for space in spaces]

    def described(self, dataset: str, autoencoder: str) -> list[str]:
        """Return the folders of what stage `describe` reads for an entry: its spaces, those of the images first."""
        return [f"results/images/{dataset}", *self._spaces(dataset, autoencoder)]

    def description(self, dataset: str, autoencoder: str) -> str:
        """Return the spaces that an entry is described by as JSON: for each member its folders by space."""
        spaces = list(FOLDERS) if self._decodes(dataset, autoencoder) else ["latent"]
        members = self.study.members(dataset, autoencoder)
        folders = [{space: self.space(space, dataset, member.name) for space in spaces} for member in members]
        return json.dumps({"image": f"results/images/{dataset}", "members": folders, "shards": self.cut(dataset)})

    def covariates(self) -> list[str]:
        """Return the covariates of every entry on every data set."""
        pairs = [(dataset, name) for dataset in self.study.compared for name in self.autoencoders(dataset)]
        return [f"results/covariates/{dataset}/{name}.csv" for dataset, name in pairs]

    def costed(self, head: str) -> list[dict[str, Any]]:
        """Return the spaces that a head's costs are measured in: of each data set its images, then its latents.

        Reconstructions are shaped like images, and the latents of a fine-tuned autoencoder like its parent's.
        """
        spec, baseline, found = self.study.heads[head], self.study.baseline(), []
        for dataset in self.study.labelled():
            if spec.datasets and dataset not in spec.datasets:
                continue
            written = self.study.datasets[dataset]
            about = {"dataset": dataset, "classes": len(written.classes), "exclusive": written.task != "multi-label"}
            image = {"autoencoder": baseline, "space": "image", "store": f"results/images/{dataset}.zarr"}
            found.append(about | image)
            for name, entry in self.study.autoencoders.items():
                if name == baseline or isinstance(entry, Finetuned):
                    continue
                if not spec.autoencoders or name in spec.autoencoders:
                    store = f"{self.space('latent', dataset, name)}.zarr"
                    found.append(about | {"autoencoder": name, "space": "latent", "store": store})
        return found

    def gaps(self, dataset: str, autoencoder: str) -> dict[str, str]:
        """Return the score file of each head."""
        return {
            head: f"results/scores/{dataset}/{autoencoder}/{head}/gap.csv" for head in self.heads(dataset, autoencoder)
        }

    def candidates(self, dataset: str) -> list[str]:
        """Return the entries that a data set compares: its autoencoders without the controls."""
        return [name for name in self.autoencoders(dataset) if self.study.autoencoders[name].family not in CONTROLS]

    def claims(self) -> str:
        """Return for each data set which candidates each head is trained in, as JSON."""
        entries = {
            dataset: {
                head: [name for name in self.candidates(dataset) if head in self.heads(dataset, name)]
                for head in self.study.trained(dataset)
            }
            for dataset in self.study.compared
        }
        return json.dumps(entries)

    def concluded(self) -> list[str]:
        """Return the replicates that the study's claims rest on."""
        return [
            f"results/scores/{dataset}/{name}/{head}/resampled.parquet"
            for dataset in self.study.compared
            for name in self.candidates(dataset)
            for head in self.heads(dataset, name)
        ]

    def measured(self, dataset: str, member: Member) -> dict[str, list[str]]:
        """Return the files of stage `measure` that describe an autoencoder: none where it has no decoder."""
        folder = f"results/fidelity/{dataset}/{member.name}"
        configured = member.spec.decodes and self.study.entries.fidelity.features
        return {
            "fidelity": self.beside(dataset, folder, "parquet") if member.spec.decodes else [],
            "features": self.beside(dataset, folder, "features.safetensors") if configured else [],
        }

    def tabulated(self, dataset: str) -> list[str]:
        """Return the files that a data set's table is made of, apart from its stores."""
        rows = self._rows(dataset)
        members = [member for row in rows for member in row["members"]]
        kinds = ("fidelity", "features", "moments")
        beside = [path for member in members for kind in kinds for path in member[kind]]
        statistics = [member["statistics"] for member in members]
        return [*beside, *statistics, *(path for row in rows for path in row["gaps"].values())]

    def table(self, dataset: str) -> str:
        """Return which autoencoders a data set's table has and where their figures stand, as JSON."""
        return json.dumps(self._rows(dataset))

    def _rows(self, dataset: str) -> list[dict[str, Any]]:
        return [
            {
                "autoencoder": name,
                "family": self.study.autoencoders[name].family,
                "members": [self._member(dataset, member) for member in self.study.members(dataset, name)],
                "gaps": self.gaps(dataset, name),
                "protocols": {head: self.study.heads[head].protocol for head in self.heads(dataset, name)},
            }
            for name in self.autoencoders(dataset)
        ]

    def _member(self, dataset: str, member: Member) -> dict[str, Any]:
        latents = self.space("latent", dataset, member.name)
        beside = {"manifests": self.beside(dataset, latents), "moments": self.beside(dataset, latents, "safetensors")}
        files = {"latents": f"{latents}.zarr", "statistics": f"{latents}.statistics.csv"}
        return {"fold": member.fold, **files, **beside, **self.measured(dataset, member)}

    def profiles(self, space: str, dataset: str, autoencoder: str, head: str) -> list[str]:
        """Return what a head scores along axes in one space of an entry; none where the space does not exist."""
        return self.predictions(space, dataset, autoencoder, head, "profile.parquet")

    def cells(self) -> str:
        """Return for each data set which entries each head is evaluated in, controls among them, as JSON."""
        entries = {
            dataset: {
                head: [name for name in self.autoencoders(dataset) if head in self.heads(dataset, name)]
                for head in self.study.trained(dataset)
            }
            for dataset in self.study.compared
        }
        return json.dumps(entries)

    def evaluated(self, table: str) -> list[str]:
        """Return one of the tables of stage `evaluate`, by its name, of every data set, entry and head."""
        gaps = [self.gaps(dataset, name) for dataset in self.study.compared for name in self.autoencoders(dataset)]
        return [str(Path(path).with_name(f"{table}.csv")) for of_entry in gaps for path in of_entry.values()]

    def roles(self) -> str:
        """Return which head stands for which initialisation as JSON; none where nothing is compared."""
        named = self.study.entries.initialisation
        return json.dumps(named.named() if named else {})


@dataclass(frozen=True)
class Viewed:
    """The files of the views of one space, view by view; none where there are no views.

    Attributes:
        stores: one folder for each view.
        layouts: their metadata.
        shards: their shard files, which readers take as `ancient()`.
        manifests: their manifests.
    """

    stores: list[str]
    layouts: list[str]
    shards: list[str]
    manifests: list[str]


@dataclass(frozen=True)
class Finetuning:
    """What one fine-tuned autoencoder is trained from.

    Attributes:
        code: source files.
        files: the parent's weights, and those of the loss.
        parent_spec: the parent's entry as JSON.
        spec: its own entry as JSON.
        fold: the fold whose training rows it sees.
    """

    code: list[str]
    files: list[str]
    parent_spec: str
    spec: str
    fold: int
