"""Stage pretrain: an autoencoder from its recipe, on procedural images and without any network."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline import families, program
from pipeline.errors import StudyError
from pipeline.files import flush, make_folder, note
from pipeline.natural_images import natural_images
from pipeline.networks.folder import CONFIGURATION, WEIGHTS, FolderSpec
from pipeline.spec import Spec

if TYPE_CHECKING:
    from pipeline.networks.diffusers_classes import Model

CURVE = "curve.csv"
CURVE_PERIOD = 50
"""Steps to one line of the curve."""
HELD_OUT_IMAGES = 90
HELD_OUT_SEED_OFFSET = 1_000_003
SMALLEST_ERROR = 1e-10
"""A black image may come back without any error; it counts as 100 dB."""


class Recipe(Spec):
    """All that the bytes of a pretrained autoencoder depend on, beside the code and the version of torch."""

    family: str
    """A family of autoencoders that reads diffusers' layout."""
    architecture: dict[str, Any]
    """The arguments of the family's class."""
    images: int = Field(gt=0)
    """Size of the pool of procedural training images."""
    size: int = Field(default=64, gt=0)
    """Side of a training image in pixels."""
    steps: int = Field(gt=0)
    batch: int = Field(default=16, gt=0)
    learning_rate: float = Field(default=2e-3, gt=0)
    edge_weight: float = Field(default=0.0, ge=0)
    penalty_weight: float = Field(default=0.0, ge=0)
    seed: int = Field(default=0, ge=0)


def pretrain(recipe: Recipe, folder: Path) -> list[float]:
    """Train and write the autoencoder to `folder` in diffusers' layout; return the loss of every step.

    Weights are stored in half precision, and beside them stands the curve: `step`, and the mean `loss` of the steps
    since the line before. The folder appears complete or not at all.
    """
    from pipeline.networks.diffusers_classes import build
    from pipeline.networks.training import Schedule, reproducible, train

    _refuse_strangers(folder)
    schedule = Schedule(
        **recipe.model_dump(include={"steps", "batch", "learning_rate", "edge_weight", "penalty_weight", "seed"})
    )
    pool = natural_images(recipe.images, recipe.size, recipe.seed)
    with reproducible(recipe.seed):
        model = build(_autoencoder(recipe, folder).network, recipe.architecture)
        losses = train(model, pool, schedule)
    _publish(model.half(), curve(losses), folder)
    return losses


def _refuse_strangers(folder: Path) -> None:
    if folder.exists() and (strangers := {path.name for path in folder.iterdir()} - {CONFIGURATION, WEIGHTS, CURVE}):
        raise StudyError(f"{folder} also holds {min(strangers)}, and training would replace the whole folder")


def curve(losses: list[float]) -> pd.DataFrame:
    """Return the mean loss of every 50 steps, under the number of the last of them."""
    steps = np.arange(1, len(losses) + 1)
    means = pd.DataFrame({"step": steps, "loss": losses}).groupby((steps - 1) // CURVE_PERIOD)
    return means.agg({"step": "max", "loss": "mean"})


def _publish(model: "Model", losses: pd.DataFrame, folder: Path) -> None:
    make_folder(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        complete = Path(temporary) / folder.name
        model.save_pretrained(complete, safe_serialization=True)
        losses.to_csv(complete / CURVE, index=False, float_format="%.6g", lineterminator="\n")
        for path in complete.iterdir():
            path.chmod(0o644)  # safetensors makes files that only their owner may read
            flush(path)
        flush(complete)
        if folder.exists():
            shutil.rmtree(folder)
        complete.rename(folder)
    flush(folder.parent)
    for path in sorted(folder.iterdir()):
        note(path)


def held_out_psnr(recipe: Recipe, folder: Path) -> float:
    """Return the mean PSNR in decibel over procedural images that the training did not see."""
    autoencoder = _autoencoder(recipe, folder).load(3)
    images = natural_images(HELD_OUT_IMAGES, recipe.size, recipe.seed + HELD_OUT_SEED_OFFSET)
    difference = autoencoder.decode(autoencoder.encode(images).mean) - images
    errors = np.square(difference).mean(axis=(1, 2, 3))
    return float(-10 * np.log10(np.maximum(errors, SMALLEST_ERROR)).mean())


def _autoencoder(recipe: Recipe, folder: Path) -> FolderSpec:
    spec = families.spec("autoencoders", {"family": recipe.family, "folder": str(folder)})
    if not isinstance(spec, FolderSpec):
        raise StudyError(f"an autoencoder of the family {recipe.family} is not trained from a recipe")
    return spec


def main() -> None:
    """Train the autoencoder of `--recipe` into `--folder`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True, help="JSON file with the keys of Recipe")
    parser.add_argument("--folder", type=Path, required=True, help="where config.json, weights and curve appear")
    arguments = parser.parse_args()
    recipe = Recipe.read(arguments.recipe.read_text())
    start = time.monotonic()
    losses = pretrain(recipe, arguments.folder)
    seconds, psnr = time.monotonic() - start, held_out_psnr(recipe, arguments.folder)
    print(f"{len(losses)} steps in {seconds:.0f} s, held-out PSNR {psnr:.2f} dB", file=sys.stderr)


if __name__ == "__main__":
    program.run(main)
