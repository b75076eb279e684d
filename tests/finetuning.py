"""A data set and a small autoencoder for the tests of fine-tuning."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open

from pipeline import families
from pipeline.autoencoders.finetuned import Spec
from pipeline.natural_images import natural_images
from pipeline.networks.network import TrainableSpec
from pipeline.store import Layout, lay_out, to_grid, write_shard

ROWS, SHARDS, FOLDS = 48, 2, 3
MINUTE = {
    "block_out_channels": [4, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "latent_channels": 2,
    "norm_num_groups": 2,
    "mid_block_add_attention": False,
}
RECIPE = {"steps": 40, "batch": 8, "learning_rate": 3e-3, "evaluate_every": 10, "checkpoint_every": 0}
RESULT = ("config.json", "curve.csv", "diffusion_pytorch_model.safetensors", "parent.json")


def recipe(**options: object) -> Spec:
    """Return a short recipe."""
    return Spec.model_validate({"family": "finetuned", "parent": "minute", **RECIPE, **options})


def minute(folder: Path) -> dict[str, Any]:
    """Write a minute untrained variational autoencoder and return its entry."""
    from pipeline.networks.diffusers_classes import build

    with torch.random.fork_rng():
        torch.manual_seed(0)
        build("AutoencoderKL", MINUTE).save_pretrained(folder)
    return {"family": "diffusers-kl", "folder": str(folder)}


def parent(entry: dict[str, Any]) -> TrainableSpec:
    """Read the entry of a family that can be trained."""
    spec = families.spec("autoencoders", entry)
    assert isinstance(spec, TrainableSpec)
    return spec


def index() -> pd.DataFrame:
    """Return 48 samples of 24 patients in three folds, one of them blank."""
    table = pd.DataFrame({"fold": np.arange(ROWS) // 2 % FOLDS, "usable": True})
    table["patient"] = [f"p{row // 2}" for row in range(ROWS)]
    table[["label:a", "label:b"]] = np.tile(np.eye(2, dtype=np.int8), (ROWS // 2, 1))
    table.loc[7, "usable"] = False
    return table


def images(size: int = 16, channels: int = 1) -> np.ndarray:
    """Return the pixels of the samples."""
    return natural_images(ROWS, size, seed=3)[:, :channels]


def write(folder: Path, pixels: np.ndarray) -> Path:
    """Write a store with its manifests and the index beside it."""
    store = folder / "images.zarr"
    lay_out(store, Layout(ROWS, pixels.shape[1:], SHARDS, "uint16", {}))
    each = ROWS // SHARDS
    for shard in range(SHARDS):
        values = to_grid(pixels[shard * each : (shard + 1) * each])
        write_shard(store, shard, values, {}).write(folder / f"images/{shard}.json")
    index().to_parquet(folder / "index.parquet")
    return store


@dataclass(frozen=True)
class Program:
    """The stage's command line, for one study folder."""

    data: Path
    entry: dict[str, Any]

    def command(self, folder: Path, spec: Spec, fold: int = 0) -> list[str]:
        words = {"parent-spec": json.dumps(self.entry), "spec": spec.written(), "fold": fold, "folder": folder}
        words |= {"index": self.data / "index.parquet", "images": self.data / "images.zarr"}
        command = [sys.executable, "-m", "pipeline.finetune"]
        command += [word for name, value in words.items() for word in (f"--{name}", str(value))]
        return [*command, "--manifests", *(str(self.data / f"images/{shard}.json") for shard in range(SHARDS))]

    def run(self, folder: Path, spec: Spec, fold: int = 0) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(self.command(folder, spec, fold), capture_output=True, text=True, check=False)

    def end(self, folder: Path, spec: Spec, number: signal.Signals, step: int = 0) -> tuple[int, str]:
        """Send it a signal once it has written a checkpoint of this step or a later one.

        Returns:
            Its status and what it said.
        """
        process = subprocess.Popen(self.command(folder, spec), stderr=subprocess.PIPE, text=True)
        checkpoint = folder.with_name(f".{folder.name}") / "checkpoint.safetensors"
        while _written(checkpoint) < step and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate()
        return process.returncode, said


def _written(checkpoint: Path) -> int:
    """Return after which step a checkpoint was written; -1 where there is none yet."""
    if not checkpoint.is_file():
        return -1
    with safe_open(checkpoint, framework="numpy") as file:
        return int(json.loads(file.metadata()["progress"])["progress"]["step"])
