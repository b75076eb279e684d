"""How large the data of a job are, and what it asks for: functions of wildcards and attempts, as Snakemake calls them.

Sizes come from the configuration and, once files are there that say more, from them: the number of samples from
`results/inspected/<dataset>.rows`, the shape of latents from their store. Before that a shard is taken to hold
`ROWS_A_SHARD` samples, and a latent as many values as its image, which is more than most have.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.autoencoders.finetuned import Spec as Finetuned
from pipeline.networks.network import NetworkSpec
from pipeline.plan import resources
from pipeline.plan.resources import NEEDS, ROWS_A_SHARD, Size
from pipeline.plan.submissions import Submissions

Resource = Callable[..., int | None]


class Requests(Submissions):
    """What the jobs of each rule ask for. `offered` is the number of accelerators that a call may use at a time."""

    def memory(self, stage: str, offered: int) -> Resource:
        """Return `mem_mb` of a stage."""
        return lambda wildcards, attempt: resources.memory(stage, self.size(stage, wildcards, offered), attempt)

    def runtime(self, stage: str, offered: int) -> Resource:
        """Return `runtime` of a stage, in minutes."""
        return lambda wildcards, attempt: resources.minutes(stage, self.size(stage, wildcards, offered), attempt)

    def threads(self, stage: str, offered: int) -> Resource:
        """Return `threads` of a stage."""
        return lambda wildcards: resources.threads(stage, self.size(stage, wildcards, offered))

    def gpu(self, stage: str, offered: int) -> Resource:
        """Return `gpu` of a stage: 1 where any is offered and the job can use it, otherwise unset."""
        return lambda wildcards: 1 if self.size(stage, wildcards, offered).device else None

    def samples(self, dataset: str) -> int:
        """Return how many samples a data set has: as was inspected, or else as its shards are taken to hold."""
        written = Path(f"results/inspected/{dataset}.rows")
        return int(written.read_text()) if written.is_file() else ROWS_A_SHARD * self.cut(dataset)

    def size(self, stage: str, wildcards: Any, offered: int) -> Size:  # noqa: ANN401 - Snakemake's wildcards
        """Return the size of a job's data."""
        named: dict[str, str] = dict(wildcards.items())
        stored = named.get("dataset") or named.get("view")
        device = bool(offered) and NEEDS[stage].device and self._uses_device(stage, stored, named)
        if stored is None:
            return self._of_study(device)
        dataset, space = self.plain(stored), named.get("space")
        samples, spec = self.samples(dataset), self.study.datasets[dataset]
        image = spec.pixels.size**2 * (3 if spec.pixels.channels == "rgb" else 1)
        trained = space is not None and stage == "train"
        return Size(
            samples=samples,
            shard=math.ceil(samples / spec.shards),
            pixels=spec.pixels.size**2,
            values=self._values(named, image) if trained else image,
            views=len(self.views(dataset)) if trained and self.study.heads[named["head"]].sees_views() else 0,
            device=device,
            network=self._is_network(dataset, named.get("autoencoder")),
            passes=self._passes(named) if trained else self._images(named) if stage == "finetune" else 0,
            scores=10 * len(spec.classes) * len(self.study.entries.seeds),
        )

    def _of_study(self, device: bool) -> Size:
        samples = sum(self.samples(dataset) for dataset in self.study.datasets)
        side = max(dataset.pixels.size for dataset in self.study.datasets.values())
        return Size(samples, samples, side**2, 3 * side**2, device=device)

    def _uses_device(self, stage: str, stored: str | None, named: dict[str, str]) -> bool:
        if "head" in named:
            return self.study.heads[named["head"]].device
        if stage in ("encode", "decode") and stored:
            return isinstance(self.member(stored, named["autoencoder"]).spec, NetworkSpec)
        return stage != "measure" or self.study.entries.fidelity.lpips is not None

    def _is_network(self, dataset: str, autoencoder: str | None) -> bool:
        if autoencoder is None:
            return True
        return any(member.spec.is_network for member in self._of(dataset, self.entry_of(dataset, autoencoder)))

    def _values(self, named: dict[str, str], image: int) -> int:
        """Return how many values a sample has in the space that a head is trained in."""
        layout = Path(f"{self.space(named['space'], named['dataset'], named['autoencoder'])}.zarr/zarr.json")
        known = named["space"] == "latent" and layout.is_file()
        return math.prod(json.loads(layout.read_text())["shape"][1:]) if known else image

    def _passes(self, named: dict[str, str]) -> float:
        """Return how many samples all trainings of a head look at, in multiples of the data set."""
        spec, dataset = self.study.heads[named["head"]], self.study.datasets[named["dataset"]]
        folds = dataset.tested_folds()
        tested = len(self.fold(named["dataset"], named["autoencoder"])) or folds
        seeds, shares = len(self.study.entries.seeds), spec.label_fraction + sum(spec.fractions)
        searched = math.prod(len(values) for values in spec.search.values()) - 1
        epochs = spec.passes(self.pixels(named["space"], named["autoencoder"]))
        # One fold tests and one validates.
        return tested * (seeds * shares + searched) * epochs * max(folds - 2, 1) / max(folds, 1)

    def _images(self, named: dict[str, str]) -> int:
        """Return how many images a fine-tuning looks at."""
        entry = self.study.autoencoders[self.entry_of(named["dataset"], named["autoencoder"])]
        return entry.steps * entry.batch if isinstance(entry, Finetuned) else 0
