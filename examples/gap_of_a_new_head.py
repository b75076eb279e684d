"""The information loss and the learnability gap of a head that the workflow does not have: a script to start from.

Run it in a checkout whose study has made its stores:

    PYTHONPATH=src python examples/gap_of_a_new_head.py --dataset chest --autoencoder kl
"""

import argparse
from typing import get_args

import numpy as np

from pipeline import fit, gap, load_space, open_study, read_predictions
from pipeline.api import SpaceName
from pipeline.folds import Rows, Split
from pipeline.heads import ALONE, Fitted, Floats, HeadSpec, Space, Support, channel_statistics


class NearestMean(HeadSpec):
    """The class whose training samples have the nearest mean: what a space offers without any training."""

    family: str = "nearest-mean"

    def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
        """Average the training samples of each class; score the others by minus half their squared distance."""
        mean, deviation = channel_statistics(space.values[split.train])

        def flat(rows: Rows) -> Floats:
            values = (space.values[rows] - mean[:, None, None]) / deviation[:, None, None]
            return values.reshape(len(rows), -1)

        numbers, train = space.numbers[split.train], flat(split.train)
        means = np.stack([train[numbers == k].mean(axis=0) for k in range(space.classes)])
        validation, test = (self.score(flat(rows), means) for rows in (split.validation, split.test))
        return Fitted(validation, test, {"means": means})

    @staticmethod
    def score(values: Floats, means: Floats) -> Floats:
        """Return n x K log-probabilities, up to a constant, of a normal distribution around each mean."""
        return np.stack([-((values - mean) ** 2).mean(axis=1) / 2 for mean in means], axis=1)


def main() -> None:
    """Print the gap of the new head, and that of one of the study's own heads beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", default="config/config.yaml")
    parser.add_argument("--folder", default=".", help="the checkout that the study is run in")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--autoencoder", required=True)
    parser.add_argument("--beside", help="one of the study's heads")
    asked = parser.parse_args()

    study = open_study(asked.configfile, asked.folder)
    spaces = {space: load_space(study, asked.dataset, asked.autoencoder, space) for space in get_args(SpaceName)}
    image = spaces["image"]
    print(f"{len(image.values)} samples of {len(set(image.patients))} patients, classes {', '.join(image.classes)}")
    found = {space: fit(NearestMean(), data) for space, data in spaces.items()}
    print("nearest mean\n" + gap(image, found).round(3).to_string(index=False))
    if asked.beside:
        trained = {
            space: read_predictions(study, asked.dataset, asked.autoencoder, space, head=asked.beside)
            for space in spaces
        }
        print(f"{asked.beside}\n" + gap(image, trained).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
