"""Part of stage diffusability: how one encoder bends and stretches one data set."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import families, geometry
from pipeline.autoencoders import Autoencoder, AutoencoderSpec
from pipeline.covariates import ROUNDING, centred, gram, squared_distances
from pipeline.denoisers import Rows, Space
from pipeline.diffusion import Geometry
from pipeline.errors import StudyError
from pipeline.files import write_atomically
from pipeline.geometry import Felt, Floats
from pipeline.held_out import space
from pipeline.program import run
from pipeline.progress import progress
from pipeline.store import check

COLUMNS = ["dataset", "autoencoder", "quantity", "value", "standard_error", "samples"]
SAMPLES = 1000
"""Training images at most, among which neighbours are looked for."""
SEED = 0


def read_spec(text: str) -> AutoencoderSpec:
    """Read one autoencoder's entry, for computing in float32: derivatives do not survive less."""
    spec = families.spec("autoencoders", json.loads(text))
    if not isinstance(spec, AutoencoderSpec):
        raise StudyError(f"{type(spec).__module__}.Spec is not an AutoencoderSpec")
    return spec.model_copy(update={"precision": "float32"}) if "precision" in type(spec).model_fields else spec


def one_each(images: Space, count: int) -> Rows:
    """Return held-out rows of different patients, at most so many, in the order that they were drawn in."""
    first = np.sort(np.unique(images.patients[images.held_out], return_index=True)[1])
    return images.held_out[first][:count]


def nearest(products: Floats, centres: int, count: int) -> NDArray[np.int64]:
    """Return which of the other samples are nearest to each of the first ones, centres x count; copies are left out."""
    apart = squared_distances(products)[:centres, centres:]
    apart[apart == 0] = np.inf
    return np.asarray(np.argsort(apart, axis=1, kind="stable")[:, :count])


def surveyed(autoencoder: Autoencoder, images: Space, latents: Space, how: Geometry) -> dict[str, tuple[float, float]]:
    """Return the measures of an encoder on a data set, each with its standard error.

    Args:
        autoencoder: its encoder.
        images: the images.
        latents: of the same rows.
        how: at how many images, along how many directions.

    Raises:
        StudyError: there are fewer training images than neighbours are asked for.
    """
    train, centres = images.train[: min(SAMPLES, images.most)], one_each(images, how.samples)
    if len(train) < how.neighbours:
        raise StudyError(f"there are {len(train)} training images; set 'neighbours' to no more than that")
    rows = np.concatenate([centres, train])
    x, z = (_flat(values, rows) for values in (images, latents))
    products = gram(x)
    near = nearest(products, len(centres), how.neighbours) + len(centres)
    size, latent_size = _size(products[len(centres) :, len(centres) :]), _size(gram(z[len(centres) :]))
    found: list[Felt] = []
    for number in progress(range(len(centres)), len(centres), "measuring", " images"):
        differences = _apart(x, near[number], number), _apart(z, near[number], number)
        random = np.random.default_rng([SEED, number])
        image = x[number].reshape(images.shape).astype(np.float64)
        found.append(geometry.felt(_encoder(autoencoder), image, differences, how.tangents, how.step * size, random))
    return geometry.with_errors(Felt.joined(found), size, latent_size)


def _encoder(autoencoder: Autoencoder) -> geometry.Encode:
    return lambda images: autoencoder.encode(images.astype(np.float32)).mean.astype(np.float64)


def _flat(space: Space, rows: Rows) -> NDArray[np.float32]:
    return space.read(rows).reshape(len(rows), space.dimension)


def _apart(values: NDArray[np.float32], near: NDArray[np.int64], centre: int) -> Floats:
    return np.asarray(values[near].astype(np.float64) - values[centre])


def _size(products: Floats) -> float:
    """Return the root mean squared distance of samples from their mean; raise StudyError where all are the same."""
    square = np.trace(centred(products)) / len(products)
    if square <= ROUNDING * np.trace(products):
        raise StudyError("all training samples are the same, so they have no directions")
    return float(np.sqrt(square))


def table(found: dict[str, tuple[float, float]], values: Sequence[int], samples: int) -> pd.DataFrame:
    """Return the measures as lines, with how many values of an image there are for each of the latent."""
    lines = [("compression", values[0] / values[1], 0.0), *((name, *value) for name, value in found.items())]
    return pd.DataFrame(lines, columns=["quantity", "value", "standard_error"]).assign(samples=samples)


def main() -> None:
    """Measure one encoder on one data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--autoencoder", required=True, help="the entry's name")
    parser.add_argument("--spec", required=True, help="the autoencoder's entry of the configuration as JSON")
    parser.add_argument("--settings", required=True, help="how to measure, as JSON")
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--image-manifests", type=Path, nargs="+", required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--manifests", type=Path, nargs="+", required=True)
    parser.add_argument("--fold", type=int, required=True, help="the fold that is measured on")
    parser.add_argument("--geometry", type=Path, required=True)
    asked = parser.parse_args()
    check(asked.images, asked.image_manifests)
    check(asked.store, asked.manifests)
    how, index = Geometry.read(asked.settings), pd.read_parquet(asked.index)
    images, latents = (space(store, index, asked.fold, len(index)) for store in (asked.images, asked.store))
    autoencoder = read_spec(asked.spec).load_for(images.shape)
    found = surveyed(autoencoder, images, latents, how)
    made = table(found, (images.dimension, latents.dimension), len(one_each(images, how.samples)))
    made = made.assign(dataset=asked.dataset, autoencoder=asked.autoencoder)[COLUMNS]
    write_atomically(asked.geometry, lambda path: made.to_csv(path, index=False, float_format="%.6g"))


if __name__ == "__main__":
    run(main)
