"""A study that is open in a notebook, and one of its spaces."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from pipeline.errors import StudyError
from pipeline.folds import Split
from pipeline.heads import HeadSpec, Space
from pipeline.study import Study
from pipeline.values import whole


@dataclass(frozen=True)
class OpenStudy:
    """A study and the folder that it is run in.

    Attributes:
        study: its configuration, every entry read.
        folder: the checkout, with `results/`.
    """

    study: Study
    folder: Path

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets that the study compares autoencoders on."""
        return self.study.compared

    @property
    def autoencoders(self) -> list[str]:
        """Names of its autoencoders."""
        return list(self.study.autoencoders)

    @property
    def heads(self) -> dict[str, HeadSpec]:
        """Its heads by their names."""
        return self.study.heads

    def gap_table(self) -> pd.DataFrame:
        """Return `results/gap_table.csv`; raise StudyError where it was not made yet."""
        return pd.read_csv(self.require("results/gap_table.csv"))

    def require(self, path: str) -> Path:
        """Return a file of the study; raise StudyError, which says how it is made, where it is not there."""
        found = self.folder / path
        if not found.is_file():
            raise StudyError(f"there is no {found}; make it with: snakemake --configfile <your study> -- {path}")
        return found


@dataclass(frozen=True)
class LabelledSpace:
    """One space of one autoencoder on one data set, with the labels and folds of its N samples.

    Attributes:
        space: the values, N x c x h x w, and their labels, as heads see them.
        index: one row a sample: `results/index/<dataset>.parquet`.
        parts: the rows that train, validate and test, a fold each.
        classes: K names.
        task: `single-label`, `multi-label` or `first-label`.
        unit: what is scored: `image` or `series`.
    """

    space: Space
    index: pd.DataFrame
    parts: tuple[Split, ...]
    classes: list[str]
    task: str
    unit: str

    @property
    def values(self) -> NDArray[np.float32]:
        """N x c x h x w: raw latents, or pixels in [0, 1]."""
        return whole(self.space.values)[:]

    @property
    def labels(self) -> NDArray[np.int8]:
        """N x K: 1, 0, or -1 where the label is missing."""
        return self.space.labels

    @property
    def patients(self) -> NDArray[np.object_]:
        """N salted hashes: who a sample is of."""
        return self.index["patient"].to_numpy(object)

    @property
    def folds(self) -> NDArray[np.int64]:
        """N numbers: the fold that a sample is tested in, -1 for one that is not used."""
        return self.index["fold"].to_numpy(np.int64)


def open_study(configfile: str | Path = "config/config.yaml", folder: str | Path = ".") -> OpenStudy:
    """Open a study.

    Args:
        configfile: its configuration, below the folder or anywhere.
        folder: the checkout that it is run in.

    Raises:
        StudyError: there is no such file, or an entry of it is wrong.
    """
    place = Path(folder)
    path = place / configfile
    if not path.is_file():
        raise StudyError(f"there is no file {path}; give the study's configuration and the checkout it is run in")
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise StudyError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    return OpenStudy(Study(written), place)
