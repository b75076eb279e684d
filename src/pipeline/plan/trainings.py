"""The trainings of a study: which heads, in which spaces, and what each is given."""

from dataclasses import dataclass
from typing import Any

from pipeline import families
from pipeline.autoencoders.finetuned import Spec as Finetuned
from pipeline.plan.stores import Stores

PREDICTIONS, TRAINING, WEIGHTS = "predictions.parquet", "training.parquet", "heads.safetensors"


class Trainings(Stores):
    """What every head is trained from, and where what it says lies."""

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
        names = [member.name for member in self._of(dataset, autoencoder)]
        return [f"results/heads/{dataset}/{name}/{space}/{head}/{file}" for name in names]

    def profiles(self, space: str, dataset: str, autoencoder: str, head: str) -> list[str]:
        """Return what a head scores along axes in one space of an entry; none where the space does not exist."""
        return self.predictions(space, dataset, autoencoder, head, "profile.parquet")

    def head_settings(self, head: str) -> str:
        """Return a head's entry as the JSON parameter of a rule: without what says where it is trained."""
        return self.study.heads[head].settings()

    def head_code(self, dataset: str, autoencoder: str, head: str) -> str:
        """Return what stands for the source files that training a head in a space of an autoencoder runs."""
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
        """Return the files that a training is given beside its data.

        A teacher is the head on the images; what a head starts from was trained in the same space of other images.
        Of both there is one, or none.
        """
        entry = self.study.heads[head]
        first = entry.pretrained_on.get(dataset)
        decoded = bool(self.decoder(space, dataset, autoencoder, head))
        baseline = self.study.baseline()
        return {
            "teacher": [f"results/heads/{dataset}/{baseline}/latent/{name}/{TRAINING}" for name in entry.teachers()],
            "initial": [f"results/heads/{first}/{autoencoder}/{space}/{head}/{WEIGHTS}"] if first else [],
            "decoder": self.member(dataset, autoencoder).spec.files() if decoded else [],
            "loaded": entry.files(),
        }

    def trained_first(self, space: str, dataset: str, autoencoder: str, head: str) -> list[str]:
        """Return what a head on reconstructions waits for: its predictions on the images, which may be the same."""
        if space != "reconstruction" or self.member(dataset, autoencoder).fold is not None:
            return []
        return self.predictions("latent", dataset, self.study.baseline(), head)

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
