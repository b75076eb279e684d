"""Stage diffusability: Fisher information, its rate and the MMSE rate of one space, with one denoiser."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from pipeline import fisher
from pipeline.denoise import read_spec
from pipeline.denoisers import DenoiserSpec, Space, Tensors
from pipeline.diffusion import Diffusability
from pipeline.files import write_atomically
from pipeline.held_out import space
from pipeline.program import run
from pipeline.progress import progress
from pipeline.store import Rows, check

COLUMNS = [
    *("dataset", "autoencoder", "denoiser", "fold", "sigma", "quantity", "value", "standard_error"),
    *("per_latent_dimension", "per_data_dimension", "samples"),
]


def measured(spec: DenoiserSpec, tensors: Tensors, data: Space, how: Diffusability, pixels: int) -> pd.DataFrame:
    """Return `sigma`, `quantity`, `value`, `standard_error`, the value per dimension, and the number of samples.

    Sums over dimensions are given per dimension of the latent and of the image, too; the quality control is not.

    Args:
        spec: the denoiser.
        tensors: what it was fitted to.
        data: whose held-out rows are measured.
        how: at which levels.
        pixels: values of an image.
    """
    groups = data.patients[data.held_out]
    lines: list[tuple[float, str, float, float]] = []
    found = progress(spec.measure(tensors, data, how.levels, how), len(how.levels), "measuring", " levels")
    for sigma, statistics in zip(how.levels, found, strict=True):
        for name, value in fisher.quantities(statistics, sigma**2, groups).items():
            lines.append((sigma, name, *value))
    table = pd.DataFrame(lines, columns=["sigma", "quantity", "value", "standard_error"])
    sums = table["value"].where(table["quantity"].isin(fisher.EXTENSIVE))
    per = {"per_latent_dimension": sums / data.dimension, "per_data_dimension": sums / pixels}
    return table.assign(**per, samples=len(groups))


def main() -> None:
    """Measure one autoencoder's latents on one data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--autoencoder", required=True, help="the entry's name")
    parser.add_argument("--denoiser", required=True, help="the entry's name")
    parser.add_argument("--spec", required=True, help="the denoiser's entry of the configuration as JSON")
    parser.add_argument("--settings", required=True, help="how to measure, as JSON")
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--manifests", type=Path, nargs="+", required=True)
    parser.add_argument("--fold", type=int, required=True, help="the fold that is measured on")
    parser.add_argument("--weights", type=Path, required=True, help="what stage denoise has made")
    parser.add_argument("--diffusability", type=Path, required=True)
    asked = parser.parse_args()
    how = Diffusability.read(asked.settings)
    check(asked.store, asked.manifests)
    data = space(asked.store, pd.read_parquet(asked.index), asked.fold, how.samples)
    pixels = int(np.prod(Rows(asked.store).attributes["image_shape"]))
    table = measured(read_spec(asked.spec), load_file(asked.weights), data, how, pixels)
    named = {name: getattr(asked, name) for name in ("dataset", "autoencoder", "denoiser", "fold")}
    table = table.assign(**named)[COLUMNS]
    write_atomically(asked.diffusability, lambda path: table.to_csv(path, index=False, float_format="%.9g"))


if __name__ == "__main__":
    run(main)
