"""Part of stage tabulate: which samples the page shows, and their tiles: typical ones, the worst, the wrong ones."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import labels
from pipeline.calibration import log_probabilities
from pipeline.errors import StudyError
from pipeline.folds import UNUSED
from pipeline.labels import Labels
from pipeline.report.preference import Choice
from pipeline.report.remarkable import Remark
from pipeline.report.results import Results
from pipeline.report.strips import Strip, fidelity
from pipeline.store import Rows
from pipeline.tested import read, score_columns

CLASSES = 8
"""So many classes of a data set are shown at most, the most common ones."""
WRONG = 5
"""So many confident errors are shown of each data set."""


@dataclass(frozen=True)
class Shelf:
    """What lies there of one data set: its index, its stores and what was measured and predicted of its samples."""

    results: Path
    dataset: str

    @cached_property
    def index(self) -> pd.DataFrame:
        """Return the sample index, N rows; without labels no sample is in a fold."""
        table = pd.read_parquet(self.results / "index" / f"{self.dataset}.parquet")
        return table if "fold" in table else table.assign(fold=UNUSED)

    @cached_property
    def classes(self) -> list[str]:
        """Return the K classes; none where the data set has no labels."""
        held = [name for name in self.index.columns if str(name).startswith(labels.PREFIX)]
        return [str(name).removeprefix(labels.PREFIX) for name in held]

    @cached_property
    def given(self) -> Labels:
        """Return the labels, N x K."""
        return labels.of(self.index, self.classes)

    @cached_property
    def exclusive(self) -> bool:
        """Return whether every tested sample has exactly one class."""
        about = json.loads((self.results / "index" / f"{self.dataset}.json").read_text())
        return bool(about["task"] != "multi-label")

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Return N: whether a sample has pixels."""
        return self.index["usable"].to_numpy(np.bool_)

    def called(self, row: int) -> str:
        """Return what a sample is called on the page: the start of its salted hash, and its frame."""
        frame = int(self.index["frame"].iloc[row])
        return f"sample {self.index['id'].iloc[row][:8]}" + (f", frame {frame}" if frame else "")

    def labelled(self, row: int) -> str:
        """Return the classes that a sample is labelled with."""
        found = [name for name, value in zip(self.classes, self.given[row], strict=True) if value == 1]
        return ", ".join(found) or ("none of the classes" if (self.given[row] == 0).any() else "no label")

    def members(self, autoencoder: str) -> dict[str, int | None]:
        """Return an autoencoder, or its members, by the names of their stores, with the fold that each is used in."""
        found = [path.stem for path in (self.results / "latents" / self.dataset).glob(f"{autoencoder}-fold*.zarr")]
        # Another autoencoder may be called like a member of this one, and then this one has none.
        whole = (self.results / "latents" / self.dataset / f"{autoencoder}.zarr").is_dir()
        return {autoencoder: None} if whole else {name: int(name.rpartition("-fold")[2]) for name in sorted(found)}

    def member(self, autoencoder: str, row: int) -> str:
        """Return the name of an autoencoder's stores, or of those that a sample is tested with.

        A sample that is not tested is shown with the first member.
        """
        found, fold = self.members(autoencoder), int(self.index["fold"].iloc[row])
        if not found:
            raise StudyError(f"there are no latents of {autoencoder} on {self.dataset}; encode them again")
        return next((name for name, own in found.items() if own is None or own == fold), next(iter(found)))

    def strip(self, autoencoder: str, row: int, sample: str) -> Strip:
        """Return one sample through one autoencoder."""
        name = self.member(autoencoder, row)
        decoded = self.results / "reconstructions" / self.dataset / f"{name}.zarr"
        image = Rows(self.results / "images" / f"{self.dataset}.zarr").read(row, row + 1)[0]
        latent = Rows(self.results / "latents" / self.dataset / f"{name}.zarr").read(row, row + 1)[0]
        reconstruction = Rows(decoded).read(row, row + 1)[0] if decoded.is_dir() else None
        return Strip(self.dataset, autoencoder, image, reconstruction, latent, sample)

    def errors(self, autoencoder: str) -> "pd.Series[float]":
        """Return the mean squared error by row, of usable samples, each with the member that it is tested with."""
        parts = [pd.Series(dtype=np.float64)]
        for name, fold in self.members(autoencoder).items():
            for path in sorted((self.results / "fidelity" / self.dataset / name).glob("[0-9]*.parquet")):
                part = pd.read_parquet(path, columns=["row", "mse"]).set_index("row")["mse"]
                meant = self.usable if fold is None else self.usable & (self.index["fold"] == fold).to_numpy()
                parts.append(part[meant[part.index.to_numpy(np.int64)]])
        found: pd.Series[float] = pd.concat([part for part in parts if len(part)] or parts)
        return found

    def probabilities(self, autoencoder: str, head: str) -> pd.DataFrame:
        """Return the probabilities of K classes by tested row, from latents, mean over seeds."""
        folder = self.results / "heads" / self.dataset
        table = read([folder / name / "latent" / head / "predictions.parquet" for name in self.members(autoencoder)])
        table = table[table["part"] == "test"]
        scores = table[score_columns(table)].to_numpy(np.float64)
        likely = np.exp(log_probabilities(scores)) if self.exclusive else np.exp(-np.logaddexp(0.0, -scores))
        return pd.DataFrame(likely, columns=self.classes).groupby(table["row"].to_numpy()).mean()


def typical(results: Results, folder: Path) -> Iterator[Strip]:
    """Yield a sample of each class of every data set through every autoencoder: the one in the middle of the store.

    Of a data set without labels it is two, evenly spaced.
    """
    for dataset in results.datasets:
        shelf = Shelf(folder, dataset)
        for row, name in middle(shelf).items():
            for encoded in results.encodings(dataset):
                yield shelf.strip(encoded.autoencoder, row, f"{name}, {shelf.called(row)}")


def middle(shelf: Shelf) -> dict[int, str]:
    """Return rows with what each is shown for, by the order of how common the classes are."""
    if not shelf.classes:
        rows = np.flatnonzero(shelf.usable)
        return {int(rows[(2 * number + 1) * len(rows) // 4]): "no label" for number in range(2)}
    found: dict[int, str] = {}
    has = (shelf.given == 1) & shelf.usable[:, None]
    for place in np.argsort(-has.sum(axis=0), kind="stable")[:CLASSES]:
        rows = np.flatnonzero(has[:, place])
        if len(rows):
            found.setdefault(int(rows[len(rows) // 2]), shelf.classes[place])
    return found


def worst(results: Results, folder: Path) -> Iterator[Remark]:
    """Yield the reconstruction with the largest error of every candidate on every data set."""
    for dataset in results.datasets:
        shelf = Shelf(folder, dataset)
        for row in results.encodings(dataset):
            errors = shelf.errors(row.autoencoder) if not row.is_control else pd.Series(dtype=np.float64)
            if not len(errors) or not errors.max() > 0:
                continue
            number = int(errors.index.to_numpy(np.int64)[errors.to_numpy().argmax()])
            usual = f"median of all: {-10 * math.log10(errors.median()):.1f} dB"
            said = (row.autoencoder, *fidelity(strip := shelf.strip(row.autoencoder, number, "")), usual)
            yield Remark("The worst reconstruction of each autoencoder", strip, (*said, *_of(shelf, number)))


def wrong(results: Results, chosen: Mapping[str, Choice], folder: Path) -> Iterator[Remark]:
    """Yield the samples of every data set that the deciding head is most surely wrong about from the best latents.

    Args:
        results: the gap table.
        chosen: by data set, see `preference.deciding`.
        folder: of all results.
    """
    for dataset, choice in chosen.items():
        if choice.comparison is None:
            continue
        shelf, best = Shelf(folder, dataset), choice.comparison.best
        baseline = next(row.autoencoder for row in results.encodings(dataset) if row.family == "identity")
        latents, images = (shelf.probabilities(name, choice.head) for name in (best, baseline))
        for row, name, sure in most_sure(latents, shelf.given, shelf.exclusive)[:WRONG]:
            image = images.loc[row]
            seen = f"{image.idxmax()} {image.max():.2f}" if shelf.exclusive else f"{name} {image[name]:.2f}"
            said = (f"from latents: {name} {sure:.2f}", f"from the image: {seen}")
            strip = shelf.strip(best, row, "")
            title = f"The surest errors of head {choice.head} from the latents of {best}"
            yield Remark(title, strip, (f"labelled {shelf.labelled(row)}", *said, shelf.called(row)))


def most_sure(likely: pd.DataFrame, given: Labels, exclusive: bool) -> list[tuple[int, str, float]]:
    """Return wrong predictions, the surest first: row, class, and its probability.

    Of exclusive classes it is the class that is taken for the true one. Of others it is that with the largest error of
    each sample, whether it was said to be there, with a probability above 1/2, or not to be there.

    Args:
        likely: n x K probabilities by row.
        given: labels of all samples, N x K.
        exclusive: whether every sample has exactly one class.
    """
    values, labelled = likely.to_numpy(), given[likely.index.to_numpy(np.int64)]
    if exclusive:
        place = values.argmax(axis=1)
        errors = np.where(labelled[np.arange(len(values)), place] == 0, values.max(axis=1), -1.0)
    else:
        apart = np.where(labelled == labels.MISSING, -1.0, np.abs(values - (labelled == 1)))
        place, errors = apart.argmax(axis=1), np.where(apart.max(axis=1) > 0.5, apart.max(axis=1), -1.0)
    order = [number for number in np.argsort(-errors, kind="stable") if errors[number] >= 0]
    return [(int(likely.index[n]), str(likely.columns[place[n]]), float(values[n, place[n]])) for n in order]


def _of(shelf: Shelf, row: int) -> tuple[str, ...]:
    return (shelf.labelled(row), shelf.called(row)) if shelf.classes else (shelf.called(row),)
