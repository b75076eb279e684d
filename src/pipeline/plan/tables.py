"""The tables of a study: what is evaluated, concluded and tabulated."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.controls import CONTROLS
from pipeline.members import Member
from pipeline.plan.diffusion import Diffusion
from pipeline.plan.stores import FOLDERS


class Tables(Diffusion):
    """Which files each table is made of."""

    def described(self, dataset: str, autoencoder: str) -> list[str]:
        """Return the folders of what stage `describe` reads for an entry: its spaces, those of the images first."""
        return [f"results/images/{dataset}", *self._spaces(dataset, autoencoder)]

    def description(self, dataset: str, autoencoder: str) -> str:
        """Return the spaces that an entry is described by as JSON: for each member its folders by space."""
        spaces = list(FOLDERS) if self._decodes(dataset, autoencoder) else ["latent"]
        members = self._of(dataset, autoencoder)
        folders = [{space: self.space(space, dataset, member.name) for space in spaces} for member in members]
        return json.dumps({"image": f"results/images/{dataset}", "members": folders, "shards": self.cut(dataset)})

    def covariates(self) -> list[str]:
        """Return the covariates of every entry on every data set."""
        pairs = [(dataset, name) for dataset in self.study.compared for name in self.autoencoders(dataset)]
        return [f"results/covariates/{dataset}/{name}.csv" for dataset, name in pairs]

    def gaps(self, dataset: str, autoencoder: str) -> dict[str, str]:
        """Return the score file of each head."""
        return {
            head: f"results/scores/{dataset}/{autoencoder}/{head}/gap.csv" for head in self.heads(dataset, autoencoder)
        }

    def candidates(self, dataset: str) -> list[str]:
        """Return the entries that a data set compares: its autoencoders without the controls."""
        return [name for name in self.autoencoders(dataset) if self.study.autoencoders[name].family not in CONTROLS]

    def cells(self) -> str:
        """Return for each data set which entries each head is evaluated in, controls among them, as JSON."""
        return self._by_head(self.autoencoders)

    def claims(self) -> str:
        """Return for each data set which candidates each head is trained in, as JSON."""
        return self._by_head(self.candidates)

    def _by_head(self, entries: Callable[[str], list[str]]) -> str:
        found = {
            dataset: {
                head: [name for name in entries(dataset) if head in self.heads(dataset, name)]
                for head in self.study.trained(dataset)
            }
            for dataset in self.study.compared
        }
        return json.dumps(found)

    def concluded(self) -> list[str]:
        """Return the replicates that the study's claims rest on."""
        return [
            f"results/scores/{dataset}/{name}/{head}/resampled.parquet"
            for dataset in self.study.compared
            for name in self.candidates(dataset)
            for head in self.heads(dataset, name)
        ]

    def exhibited(self) -> list[str]:
        """Return what the page chooses samples by: predictions from latents, scores and fidelity of every entry."""
        found: list[str] = []
        for dataset in self.study.compared:
            for name in self.autoencoders(dataset):
                for head in self.heads(dataset, name):
                    scores = f"results/scores/{dataset}/{name}/{head}"
                    found += [f"{scores}/resampled.parquet", f"{scores}/scores.csv"]
                    found += self.predictions("latent", dataset, name, head)
                for member in self.study.members(dataset, name):
                    found += self.measured(dataset, member)["fidelity"]
        return found

    def evaluated(self, table: str) -> list[str]:
        """Return one of the tables of stage `evaluate`, by its name, of every data set, entry and head."""
        gaps = [self.gaps(dataset, name) for dataset in self.study.compared for name in self.autoencoders(dataset)]
        return [str(Path(path).with_name(f"{table}.csv")) for of_entry in gaps for path in of_entry.values()]

    def roles(self) -> str:
        """Return which head stands for which initialisation as JSON; none where nothing is compared."""
        named = self.study.entries.initialisation
        return json.dumps(named.named() if named else {})

    def tabulated(self, dataset: str) -> list[str]:
        """Return the files that a data set's table is made of, apart from its stores."""
        rows = self._rows(dataset)
        members = [member for row in rows for member in row["members"]]
        kinds = ("fidelity", "features", "moments")
        beside = [path for member in members for kind in kinds for path in member[kind]]
        statistics = [member["statistics"] for member in members]
        diagnosed = [path for row in rows for path in row["diagnosed"].values()]
        return [*beside, *statistics, *diagnosed, *(path for row in rows for path in row["gaps"].values())]

    def table(self, dataset: str) -> str:
        """Return which autoencoders a data set's table has and where their figures stand, as JSON."""
        return json.dumps(self._rows(dataset))

    def _rows(self, dataset: str) -> list[dict[str, Any]]:
        return [
            {
                "autoencoder": name,
                "family": self.study.autoencoders[name].family,
                "members": [self._member(dataset, member) for member in self._of(dataset, name)],
                "diagnosed": self.diagnosed(dataset, name),
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
