"""Which files a study consists of: what the rules ask, in one typed place.

Paths are written out in full, as the rules write them; a wildcard is a whole folder level.
"""

import json
import os
from pathlib import Path
from typing import Any

from pipeline import families, sources
from pipeline.errors import StudyError
from pipeline.spec import Spec
from pipeline.study import Study

FOLDERS = {"latent": "latents", "reconstruction": "reconstructions"}


class Plan:
    """The files of one study."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def code(self, stage: str, kind: families.Kind | None = None, name: str | None = None) -> list[str]:
        """Return the source files that a stage runs, with those of the family of one entry, relative to here.

        They are inputs of the stage's rule, compared by content.
        """
        modules = [f"pipeline.{stage}"]
        if kind and name:
            modules.append(families.module_name(kind, self._entry(kind, name).family))
        return [os.path.relpath(path) for path in sources.files(*modules)]

    def fitted(self, weights: str) -> list[str]:
        """Return the source files that fitting one of the shipped autoencoders runs, those of its family included."""
        recipe = Path(f"resources/weights/{weights}/recipe.json")
        if not recipe.is_file():
            raise StudyError(f"there is no recipe {recipe}")
        family = families.module_name("autoencoders", json.loads(recipe.read_text())["family"])
        return [os.path.relpath(path) for path in sources.files("pipeline.fit", family)]

    def spec(self, kind: families.Kind, name: str) -> str:
        """Return one entry of the configuration as the JSON parameter of a rule."""
        return str(self._entry(kind, name).written())

    def _entry(self, kind: families.Kind, name: str) -> Any:  # noqa: ANN401 - one of four specs, each with a family
        entries: dict[str, Spec] = getattr(self.study, kind)
        return entries[name]

    def weights(self, autoencoder: str) -> list[str]:
        """Return the files that an autoencoder is loaded from."""
        return self.study.autoencoders[autoencoder].files()

    def inventory(self, dataset: str) -> str:
        """Return the list of a data set's files: made with a generated folder, else refreshed by every call."""
        benchmark = self.study.generated(dataset)
        return f"results/benchmarks/{benchmark}.inventory.csv" if benchmark else f"private/{dataset}.inventory.csv"

    def remade(self, dataset: str) -> list[str]:
        """Return what makes a data set's headers be read again: a folder that is generated again.

        Changes of other folders are found by the first process of a call, see `pipeline.launch`.
        """
        return [self.inventory(dataset)] if self.study.generated(dataset) else []

    def heads(self, dataset: str) -> list[str]:
        """Return the heads that are trained on a data set: none where it has no labels."""
        return list(self.study.heads) if dataset in self.study.labelled() else []

    def space(self, space: str, dataset: str, autoencoder: str) -> str:
        """Return the folder of a space, without the ending of its store."""
        return f"results/{FOLDERS[space]}/{dataset}/{autoencoder}"

    def shards(self, dataset: str, folder: str) -> list[str]:
        """Return the shard files of the store of a data set's samples."""
        return [f"{folder}.zarr/c/{shard}/0/0/0" for shard in range(self.study.datasets[dataset].shards)]

    def beside(self, dataset: str, folder: str, ending: str = "json") -> list[str]:
        """Return what lies beside each shard of a store; by default its manifests."""
        return [f"{folder}/{shard}.{ending}" for shard in range(self.study.datasets[dataset].shards)]

    def stores(self, dataset: str) -> list[str]:
        """Return the metadata of a data set's stores and of all their shards: what a reader waits for."""
        folders = [f"results/images/{dataset}"]
        folders += [self.space(space, dataset, name) for space in FOLDERS for name in self.study.autoencoders]
        layouts = [f"{folder}.zarr/zarr.json" for folder in folders]
        return layouts + [path for folder in folders for path in self.beside(dataset, folder)]

    def gaps(self, dataset: str, autoencoder: str) -> dict[str, str]:
        """Return the score file of each head."""
        return {head: f"results/scores/{dataset}/{autoencoder}/{head}/gap.csv" for head in self.heads(dataset)}

    def measured(self, dataset: str, autoencoder: str) -> dict[str, list[str]]:
        """Return the files of stage `measure` that describe an autoencoder: none where it has no decoder."""
        decodes = self.study.autoencoders[autoencoder].decodes
        configured = decodes and self.study.entries.fidelity.features
        folder = f"results/fidelity/{dataset}/{autoencoder}"
        return {
            "fidelity": self.beside(dataset, folder, "parquet") if decodes else [],
            "features": self.beside(dataset, folder, "features.safetensors") if configured else [],
        }

    def tabulated(self, dataset: str) -> list[str]:
        """Return the files that a data set's table is made of, apart from its stores."""
        rows = self._rows(dataset)
        measured = [path for entry in rows for path in (*entry["fidelity"], *entry["features"])]
        return measured + [path for entry in rows for path in entry["gaps"].values()]

    def table(self, dataset: str) -> str:
        """Return which autoencoders a data set's table has and where their figures stand, as JSON."""
        return json.dumps(self._rows(dataset))

    def _rows(self, dataset: str) -> list[dict[str, Any]]:
        rows = []
        for name, spec in self.study.autoencoders.items():
            latents = self.space("latent", dataset, name)
            row: dict[str, Any] = {"autoencoder": name, "family": spec.family, "latents": f"{latents}.zarr"}
            row |= self.measured(dataset, name)
            row |= {"manifests": self.beside(dataset, latents), "gaps": self.gaps(dataset, name)}
            rows.append(row)
        return rows
