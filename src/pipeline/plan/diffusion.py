"""The denoisers of a study: which are fitted where, and what is measured with them."""

import json
from pathlib import Path

from pipeline import families
from pipeline.members import Member
from pipeline.plan.trainings import Trainings
from pipeline.trained import TrainedSpec

TABLES = ("results/diffusability.csv", "results/encoder_geometry.csv", "results/diffusability_summary.csv")
"""What a study with denoisers has more than others."""
INFORMATION = "results/class_information.csv"
"""What a study with heads that are told of the noise has more than others."""


class Diffusion(Trainings):
    """Which files diffusability is measured from, and which tables it makes."""

    def denoised(self, dataset: str, autoencoder: str) -> Member:
        """Return the autoencoder in whose latents an entry is measured: of one for each fold the first."""
        return self.study.members(dataset, autoencoder)[0]

    def denoised_fold(self, dataset: str, autoencoder: str) -> int:
        """Return the fold whose training rows a denoiser is fitted to, and on whose test rows it is measured."""
        return self.member(dataset, autoencoder).fold or 0

    def denoisers(self, dataset: str, autoencoder: str) -> list[str]:
        """Return the denoisers of an entry on a data set."""
        return [
            name
            for name, spec in self.study.denoisers.items()
            if (not spec.datasets or dataset in spec.datasets)
            and (not spec.autoencoders or autoencoder in (*spec.autoencoders, self.study.baseline()))
        ]

    def diagnosed(self, dataset: str, autoencoder: str) -> dict[str, str]:
        """Return what the gap table says of how diffusable an entry is: a file of each kind, or none.

        They are of the data set's denoiser that is fitted to the most of its entries; of equals the first.
        """
        fitted = [self.denoisers(dataset, name) for name in self.autoencoders(dataset)]
        chosen = max(self.study.denoisers, key=lambda name: sum(name in each for each in fitted), default="")
        if chosen not in self.denoisers(dataset, autoencoder):
            return {}
        place = f"{dataset}/{self.denoised(dataset, autoencoder).name}"
        files = {"diffusability": f"{place}/{chosen}.csv", "geometry": f"{place}.csv"}
        return {kind: f"results/{kind}/{path}" for kind, path in files.items()}

    def denoiser_settings(self, denoiser: str) -> str:
        """Return a denoiser's entry as the JSON parameter of a rule: without what says where it is fitted."""
        return self.study.denoisers[denoiser].settings()

    def denoiser_code(self, stage: str, denoiser: str) -> str:
        """Return what stands for the source files that a stage runs with a denoiser."""
        return self._code(stage, families.module_name("denoisers", self.study.denoisers[denoiser].family))

    def measured_how(self) -> str:
        """Return how diffusability is measured, as the JSON parameter of a rule."""
        how = self.study.entries.diffusability
        return json.dumps(how.model_dump(mode="json", exclude_unset=True, exclude={"geometry"}), sort_keys=True)

    def geometry_how(self) -> str:
        """Return how the geometry of encoders is measured, as the JSON parameter of a rule."""
        return self.study.entries.diffusability.geometry.written()

    def _denoised_entries(self) -> list[tuple[str, str]]:
        pairs = [(dataset, name) for dataset in self.study.compared for name in self.autoencoders(dataset)]
        return [pair for pair in pairs if self.denoisers(*pair)]

    def diffusabilities(self) -> list[str]:
        """Return the measurements of every entry with every denoiser."""
        return [
            f"results/diffusability/{dataset}/{self.denoised(dataset, name).name}/{denoiser}.csv"
            for dataset, name in self._denoised_entries()
            for denoiser in self.denoisers(dataset, name)
        ]

    def geometries(self) -> list[str]:
        """Return the geometry of every encoder on the data that a denoiser is fitted to."""
        entries = self._denoised_entries()
        return [f"results/geometry/{dataset}/{self.denoised(dataset, name).name}.csv" for dataset, name in entries]

    def informed(self, dataset: str, autoencoder: str) -> list[str]:
        """Return the heads that say what noise takes of the class: told of the noise, and with probabilities."""
        if dataset not in self.study.labelled() or self.study.datasets[dataset].task == "multi-label":
            return []
        heads = {name: self.study.heads[name] for name in self.heads(dataset, autoencoder)}
        return [
            name
            for name, head in heads.items()
            if isinstance(head, TrainedSpec) and head.noise and (head.loss is None or head.loss.kind == "cross-entropy")
        ]

    def informed_code(self, head: str) -> str:
        """Return what stands for the source files that asking a trained head runs."""
        return self._code("class_information", families.module_name("heads", self.study.heads[head].family))

    def class_informations(self) -> list[str]:
        """Return what noise takes of the class in the latents of every entry, by every such head."""
        return [
            f"results/class_information/{dataset}/{self.denoised(dataset, name).name}/{head}.csv"
            for dataset in self.study.compared
            for name in self.autoencoders(dataset)
            for head in self.informed(dataset, name)
        ]

    def diffusability_tables(self) -> list[str]:
        """Return the study's tables of diffusability, as far as it has denoisers and heads that are told of noise."""
        tables = [*TABLES] if self._denoised_entries() else []
        return [*tables, INFORMATION] if self.class_informations() else tables

    def shown(self) -> list[str]:
        """Return the names of the tables that the page of this study has and others may not."""
        costs = ["cost"] if self.study.entries.cost.reported else []
        return costs + [Path(path).stem for path in self.diffusability_tables() if self._denoised_entries()]
