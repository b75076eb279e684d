"""Stage describe: what one autoencoder's spaces are like, apart from what any head makes of them."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import covariates, labels
from pipeline.errors import StudyError
from pipeline.files import write_atomically
from pipeline.program import run
from pipeline.progress import progress
from pipeline.scattered import Scattered
from pipeline.store import Rows, check

Floats = NDArray[np.float64]
Values = dict[str, float]

SAMPLES = 2000
"""At most so many samples are measured."""
WHOLE_BYTES = 2**30
"""Whole values are held for as many of them as take no more than this as float32 images, 341 of 3 x 512 x 512."""
SPECTRA = 256
"""Of so many samples Fourier amplitudes are averaged."""
GRID = 8
"""Cells along one side that a space is averaged over, for separability and similarity."""
BLOCK = 64
"""Samples that are read at once."""
SEED = 0
COLUMNS = ["dataset", "autoencoder", "space", "covariate", "value", "samples"]


@dataclass(frozen=True)
class Sample:
    """The samples that are measured, the same in every space of a data set.

    Attributes:
        rows: of the stores, n, in the order in which they were drawn: any first part is a sample, too.
        patients: n, who they are of.
        labels: n x K.
        exclusive: whether each labelled sample has exactly one class.
    """

    rows: NDArray[np.int64]
    patients: NDArray[np.int64]
    labels: labels.Labels
    exclusive: bool

    def singles(self, count: int) -> NDArray[np.int64]:
        """Return the places of the first sample of every patient, among the first `count`.

        Samples of one patient are not independent, as estimates of a dimension assume.
        """
        return np.sort(np.unique(self.patients[:count], return_index=True)[1])


def draw(index: pd.DataFrame, classes: list[str], exclusive: bool, limit: int = SAMPLES) -> Sample:
    """Draw usable samples patient by patient; all of a patient's follow one another, and the last may be cut.

    Raises:
        StudyError: no sample is usable.
    """
    usable = np.flatnonzero(index["usable"].to_numpy(bool))
    if not len(usable):
        raise StudyError("no sample of the index is usable, so its spaces cannot be described")
    groups = pd.factorize(index["patient"])[0]
    place = np.random.default_rng([SEED]).permutation(int(groups.max()) + 1)[groups]
    rows = usable[np.argsort(place[usable], kind="stable")][:limit]
    return Sample(rows, groups[rows], labels.of(index, classes)[rows], exclusive)


@dataclass(frozen=True)
class Seen:
    """What is kept of a space.

    Attributes:
        pooled: n x n inner products of averages over a grid of cells, each standardised over the samples.
        whole: m x m inner products of all values of the first m samples, each channel standardised over them.
        power: c x h x w squared Fourier amplitudes.
    """

    pooled: Floats
    whole: Floats
    power: Floats


def look(store: Rows, rows: NDArray[np.int64], held: int) -> Seen:
    """Read the samples once, in blocks, and keep whole values of the first `held`.

    Raises:
        StudyError: a value is not finite.
    """
    images, held = Scattered(store, rows, held_bytes=0), min(held, len(rows))
    order = np.argsort(rows, kind="stable")
    whole = np.empty((held, *store.shape), np.float32)
    cells: list[Floats] = []
    power = np.zeros(store.shape)
    for places in np.array_split(order, -(-len(order) // BLOCK)):
        values = images.read(rows[places])
        if not np.isfinite(values).all():
            raise StudyError("a store holds values that are not finite")
        cells.append(pooled(values, GRID))
        whole[places[places < held]] = values[places < held]
        power += covariates.power(values[places < SPECTRA])
    vectors = np.empty((len(rows), cells[0].shape[1]))
    vectors[order] = np.concatenate(cells)
    values = channels_standardised(whole).reshape(held, -1)
    return Seen(covariates.gram(standardised(vectors)), covariates.gram(values), power)


def pooled(values: NDArray[np.float32], grid: int) -> Floats:
    """Return averages of n x c x h x w over at most grid x grid equal cells, n x (c * g * g)."""
    n, _, h, w = values.shape
    cells = min(grid, h, w)
    return np.asarray(_shares(h, cells) @ values @ _shares(w, cells).T, dtype=np.float64).reshape(n, -1)


def _shares(length: int, cells: int) -> Floats:
    """Return cells x length: which share of each cell each of the values on a line is."""
    size, at = length / cells, np.arange(length)
    begin = np.arange(cells)[:, None] * size
    inside = np.minimum(begin + size, at + 1) - np.maximum(begin, at)
    return np.asarray(np.clip(inside, 0, None) / size)


def standardised(vectors: Floats) -> Floats:
    """Return vectors n x d with mean 0 and deviation 1 in each of the d; a constant one is 0."""
    deviation = vectors.std(axis=0)
    return np.asarray((vectors - vectors.mean(axis=0)) / np.where(deviation > 1e-12, deviation, 1.0))


def channels_standardised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standardise each channel of n x c x h x w over samples and places, in place: it may be large."""
    for channel in np.moveaxis(values, 1, 0):
        deviation = float(channel.std(dtype=np.float64))
        channel -= channel.mean(dtype=np.float64)
        channel /= deviation if deviation > 1e-12 else 1.0
    return values


def covariates_of(seen: Seen, images: Seen, sample: Sample) -> dict[str, tuple[float, int]]:
    """Return the covariates of a space, and of how many samples each is."""
    held = len(seen.whole)
    singles = sample.singles(held)
    apart = covariates.squared_distances(seen.whole[np.ix_(singles, singles)])
    near = covariates.squared_distances(seen.pooled)
    whole, many = len(singles), len(sample.rows)
    return {
        "dimension_two_nearest": (covariates.two_nearest(apart), whole),
        "dimension_likeliest": (covariates.likeliest_dimension(apart), whole),
        "effective_rank": (covariates.effective_rank(seen.whole), held),
        "separability": (covariates.separability(near, sample.labels, sample.patients, sample.exclusive), many),
        "cka": (covariates.linear_cka(seen.pooled, images.pooled), many),
        "cka_debiased": (covariates.debiased_cka(seen.pooled, images.pooled), many),
        "spectral_exponent": (covariates.spectral_exponent(seen.power), min(many, SPECTRA)),
    }


def described(images: Path, members: Sequence[Mapping[str, Path]], sample: Sample) -> pd.DataFrame:
    """Return `space`, `covariate`, `value` and `samples` of the images and of each space, averaged over members.

    Args:
        images: the image store.
        members: the stores of each member by space.
        sample: what is measured.
    """
    store = Rows(images)
    held = max(1, WHOLE_BYTES // (4 * int(np.prod(store.shape))))
    seen = look(store, sample.rows, held)
    found = [("image", covariates_of(seen, seen, sample))]
    spaces = [named for member in members for named in member.items()]
    for space, folder in progress(spaces, len(spaces), "describing", " spaces"):
        found.append((space, covariates_of(look(Rows(folder), sample.rows, held), seen, sample)))
    lines = [(space, name, *value) for space, values in found for name, value in values.items()]
    table = pd.DataFrame(lines, columns=["space", "covariate", "value", "samples"])
    # A member without a value leaves the mean without one, too: it is not of the others alone.
    members_of = table.groupby(["space", "covariate"], sort=False, as_index=False)
    return members_of.agg(value=("value", _mean), samples=("samples", "first"))


def _mean(values: pd.Series) -> float:
    return float(values.mean(skipna=False))


def main() -> None:
    """Describe the spaces of one autoencoder on one data set.

    The plan is a JSON object: `image`, the folder of the image store without its ending; `members`, for each one the
    folders of its spaces; and `shards`, how many each store has.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--autoencoder", required=True)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--classes", required=True, help="the class names as JSON, in order")
    parser.add_argument("--task", choices=get_args(labels.Task), required=True)
    parser.add_argument("--plan", required=True, help=main.__doc__)
    parser.add_argument("--covariates", type=Path, required=True)
    asked = parser.parse_args()
    planned, index = json.loads(asked.plan), pd.read_parquet(asked.index)

    def checked(folder: str) -> Path:
        store = Path(f"{folder}.zarr")
        check(store, [Path(folder, f"{shard}.json") for shard in range(planned["shards"])])
        if len(Rows(store)) != len(index):
            raise StudyError(f"{store} holds {len(Rows(store))} samples and the index {len(index)}")
        return store

    members = [{space: checked(folder) for space, folder in member.items()} for member in planned["members"]]
    sample = draw(index, json.loads(asked.classes), asked.task != "multi-label")
    table = described(checked(planned["image"]), members, sample)
    table = table.assign(dataset=asked.dataset, autoencoder=asked.autoencoder)[COLUMNS]
    write_atomically(asked.covariates, lambda path: table.to_csv(path, index=False, float_format="%.6g"))


if __name__ == "__main__":
    run(main)
