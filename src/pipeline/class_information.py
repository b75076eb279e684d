"""Part of stage diffusability: what noise takes of the information about the class, by a noise-conditioned head."""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pipeline import families, information
from pipeline.errors import StudyError
from pipeline.files import write_atomically
from pipeline.folds import splits
from pipeline.heads import Space
from pipeline.program import run
from pipeline.spaces import space
from pipeline.store import check
from pipeline.trained import NOISE_DEVIATION, TrainedSpec

SAMPLES = 256
"""Test samples at most."""
SEED = 0
COLUMNS = ["dataset", "autoencoder", "head", *information.COLUMNS]


def read_spec(text: str) -> TrainedSpec:
    """Read one head's entry of the configuration; raise StudyError for one that is not told of noise."""
    spec = families.spec("heads", json.loads(text))
    if not isinstance(spec, TrainedSpec) or spec.noise is None:
        raise StudyError(f"a head of the family {json.loads(text)['family']} is not told of noise")
    return spec


def answers(
    spec: TrainedSpec, data: Space, tensors: dict[str, NDArray[np.generic]], parts: tuple[NDArray[np.int64], ...]
) -> information.Answers:
    """Return what a trained head says of its test rows at every noise level of its grid, in units of its inputs.

    Args:
        spec: its settings.
        data: the space that it was trained in.
        tensors: its weights.
        parts: training rows, test rows, and whose sample each test row is.
    """
    from pipeline.networks.classifier_answers import answered, taught

    train, test, groups = parts
    sigmas = np.array(spec.noise.grid()[::-1] if spec.noise else [])
    logs, squares = answered(spec, data, tensors, test, sigmas)
    weights = taught(data.numbers[train], data.classes, spec.effective_number)[data.numbers[test]]
    return information.Answers(sigmas, logs, squares, data.numbers[test], weights, groups)


def main() -> None:
    """Measure one head in one autoencoder's latents."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("dataset", "autoencoder", "head"):
        parser.add_argument(f"--{name}", required=True, help="its name in the configuration")
    parser.add_argument("--spec", required=True, help="the head's entry of the configuration as JSON")
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--manifests", type=Path, nargs="+", required=True)
    parser.add_argument("--classes", required=True, help="the class names as JSON, in order")
    parser.add_argument("--image-size", type=int, required=True, help="side of the images in pixels")
    parser.add_argument("--pixels", action="store_true", help="the values are pixels")
    parser.add_argument("--fold", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True, help="which of the head's trainings")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--information", type=Path, required=True)
    asked = parser.parse_args()
    spec = read_spec(asked.spec)
    check(asked.store, asked.manifests)
    index = pd.read_parquet(asked.index)
    data = space(asked.store, index, json.loads(asked.classes), True, asked.image_size, pixels=asked.pixels)
    split = next(split for split in splits(index) if split.fold == asked.fold)
    test = np.random.default_rng([SEED]).permutation(split.test)[:SAMPLES]
    groups = np.asarray(pd.factorize(index["patient"])[0], dtype=np.int64)[test]
    prefix = f"fold{asked.fold}.seed{asked.seed}."
    named = load_file(asked.weights).items()
    tensors = {name.removeprefix(prefix): value for name, value in named if name.startswith(prefix)}
    lines = information.quantities(answers(spec, data, tensors, (split.train, test, groups)))
    table = pd.DataFrame(lines, columns=information.COLUMNS)
    table["sigma"] /= NOISE_DEVIATION
    table.loc[table["quantity"].str.startswith("class_fisher"), ["value", "standard_error"]] *= NOISE_DEVIATION**2
    about = {name: getattr(asked, name) for name in ("dataset", "autoencoder", "head")}
    table = table.assign(**about)[COLUMNS]
    write_atomically(asked.information, lambda path: table.to_csv(path, index=False, float_format="%.6g"))


if __name__ == "__main__":
    run(main)
