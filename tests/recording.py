"""A head that learns nothing and remembers what it was asked for, and a small data set for it."""

from typing import ClassVar

import numpy as np
import pandas as pd

from pipeline.folds import Split
from pipeline.heads import ALONE, Fitted, HeadSpec, Space, Support

INDEX = pd.DataFrame({"fold": np.arange(24) // 2 % 3, "usable": True, "patient": [f"p{k // 2}" for k in range(24)]})
INDEX[["label:a", "label:b"]] = np.tile(np.eye(2, dtype=np.int8), (12, 1))
PATIENTS = INDEX["patient"].to_numpy()


def data(exclusive: bool = True) -> Space:
    """A space of zeros."""
    return Space(np.zeros((24, 1, 2, 2), np.float32), INDEX[["label:a", "label:b"]].to_numpy(np.int8), exclusive, 1)


class Recording(HeadSpec):
    """A head whose validation scores say what it was asked for: right in a share of `skill` of the samples."""

    family: str = "x"
    skill: float = 1.0
    calls: ClassVar[list[tuple[Split, int, Support, float]]] = []

    def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
        """Remember the call; give scores of the right order for the first share of the validation rows."""
        self.calls.append((split, seed, support, self.skill))
        right = space.labels[split.validation].astype(np.float32)
        right[round(self.skill * len(right)) :] *= -1
        curve = pd.DataFrame({"step": [0, 1], "loss": [0.1 + seed, 1 / 3]})
        return Fitted(right, np.full((len(split.test), 2), -seed, np.float32), {"seed": np.array(seed)}, curve)
