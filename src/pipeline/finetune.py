"""Stage finetune: another autoencoder, trained further on one fold's training images."""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline import families, sources, weights
from pipeline.autoencoders.finetuned import Spec
from pipeline.ending import ending
from pipeline.errors import StudyError
from pipeline.files import make_folder, put, sha256, write_atomically, write_text
from pipeline.folds import Split, splits
from pipeline.networks.network import TrainableSpec
from pipeline.program import run
from pipeline.scattered import Scattered
from pipeline.store import Rows, check

if TYPE_CHECKING:
    from torch import nn

    from pipeline.networks.finetuning import Progress


def read_parent(text: str) -> TrainableSpec:
    """Read the parent's entry of the configuration; raise StudyError for a family that cannot be trained."""
    spec = families.spec("autoencoders", json.loads(text))
    if not isinstance(spec, TrainableSpec):
        raise StudyError(f"an autoencoder of the family {json.loads(text)['family']} cannot be fine-tuned")
    return spec


def split_of(index: pd.DataFrame, fold: int) -> Split:
    """Return the parts of a tested fold; raise StudyError where it is not tested or there is nothing to learn from."""
    split = next((split for split in splits(index) if split.fold == fold), None)
    if split is None:
        raise StudyError(f"fold {fold} is not one that is tested")
    if not len(split.train) or not len(split.validation):
        raise StudyError(f"fold {fold} has no images to fine-tune on or to choose by")
    return split


def identity(spec: Spec, parent: TrainableSpec, split: Split, manifests: Sequence[Path]) -> str:
    """Return a hash of everything that the result depends on, so that no state of another training is gone on with.

    Raises:
        StudyError: a weight file is not what its pinned hash says.
    """
    code = sources.files("pipeline.finetune", families.module_name("autoencoders", parent.family))
    made_from = {
        # How often it is written changes no result.
        "spec": spec.model_dump(mode="json", exclude={"checkpoint_every", "datasets"}),
        "parent": parent.model_dump(mode="json"),
        "files": weights.verify([*parent.files(), *spec.files()]),
        "manifests": [sha256(path) for path in manifests],
        "rows": [hashlib.sha256(rows.tobytes()).hexdigest() for rows in (split.train, split.validation)],
        "fold": split.fold,
        "code": [sources.meaning(path) for path in code],
        "torch": version("torch"),
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def publish(parent: TrainableSpec, network: "nn.Module", curve: pd.DataFrame, folder: Path) -> None:
    """Write the network, in float32 and as its family reads it, and the curve beside it."""
    make_folder(folder)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        parent.save(network.float().cpu(), Path(temporary))
        for path in sorted(Path(temporary).iterdir()):
            path.chmod(0o644)  # safetensors makes files that only their owner may read
            put(path, folder / path.name)
    write_atomically(folder / "curve.csv", lambda path: curve.to_csv(path, index=False, lineterminator="\n"))


def record(spec: Spec, parent: TrainableSpec, split: Split, done: "Progress") -> dict[str, Any]:
    """Return what the weights come from."""
    return {
        "parent": spec.parent,
        "spec": parent.model_dump(mode="json"),
        "files": [
            {"file": file, "sha256": found}
            for file, found in zip(parent.files(), weights.verify(parent.files()), strict=True)
        ],
        "fold": split.fold,
        "training_rows": len(split.train),
        "validation_rows": len(split.validation),
        "seed": spec.seed,
        "steps": done.step,
        "best_step": done.best_step,
        "best_validation_loss": done.best_loss,
        "parent_validation_loss": done.curve[0]["validation_loss"],
    }


def finetune(spec: Spec, parent: TrainableSpec, images: Rows, split: Split, identity: str, folder: Path) -> None:
    """Train on the split's training rows, choose by its validation rows, and write the result.

    The state of a training that ends early is kept in a hidden folder beside `folder`, which Snakemake, deleting the
    outputs of the job, does not know of.

    Raises:
        StudyError: the family or the images cannot be trained on, or the process was told to end.
    """
    from pipeline.networks.checkpoint import Checkpoint
    from pipeline.networks.finetuning import COLUMNS, Data
    from pipeline.networks.finetuning import finetune as train

    seen = Scattered(images, np.concatenate([split.train, split.validation]))
    data = Data(seen.read, images.shape, split.train, split.validation, split.fold)
    checkpoint = Checkpoint(folder.with_name(f".{folder.name}"), identity)
    codec = parent.codec()
    with ending() as ended:
        done = train(spec, codec, data, checkpoint, ended)
    curve = pd.DataFrame(done.curve, columns=["step", *COLUMNS, "validation_loss", "validation_psnr"])
    publish(parent, codec.network, curve, folder)
    write_text(folder / "parent.json", json.dumps(record(spec, parent, split, done), indent=1, sort_keys=True) + "\n")
    checkpoint.remove()
    first, best = (curve.loc[curve["step"] == step, "validation_psnr"].item() for step in (0, done.best_step))
    sys.stderr.write(f"best after step {done.best_step} of {done.step}: validation PSNR {first:.2f} to {best:.2f} dB\n")


def main() -> None:
    """Fine-tune one autoencoder for one fold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent-spec", required=True, help="the parent's entry of the configuration as JSON")
    parser.add_argument("--spec", required=True, help="the fine-tuned autoencoder's entry of the configuration as JSON")
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--manifests", type=Path, nargs="+", required=True)
    parser.add_argument("--fold", type=int, required=True, help="the fold that is not seen")
    parser.add_argument("--folder", type=Path, required=True, help="where config.json, weights and curve appear")
    arguments = parser.parse_args()
    spec, parent = Spec.read(arguments.spec), read_parent(arguments.parent_spec)
    check(arguments.images, arguments.manifests)
    index, images = pd.read_parquet(arguments.index), Rows(arguments.images)
    if len(images) != len(index):
        raise StudyError(f"{arguments.images} holds {len(images)} samples and the index {len(index)}")
    split = split_of(index, arguments.fold)
    made_from = identity(spec, parent, split, arguments.manifests)
    finetune(spec, parent, images, split, made_from, arguments.folder)


if __name__ == "__main__":
    run(main)
