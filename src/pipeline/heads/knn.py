"""k nearest neighbours: what the geometry of a space gives away without training."""

from typing import Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from pipeline.folds import Split
from pipeline.heads import Fitted, Floats, HeadSpec, Space, balanced_accuracy
from pipeline.pooling import features


class Spec(HeadSpec):
    """Euclidean neighbours among the training rows; each neighbour votes by one over its class's frequency."""

    family: Literal["knn"]
    grid: Annotated[int, Field(ge=1)] = 16
    """Cells along one side that the space is averaged over."""
    neighbours: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [3, 9, 27]
    """Numbers of neighbours to choose from, on the validation rows."""

    def fit(self, space: Space, split: Split, seed: int) -> Fitted:
        """Search once for the largest number of neighbours and count votes for each."""
        from sklearn.neighbors import NearestNeighbors

        pooled = features(space, self.grid, split.train)
        x, y = pooled.values, space.labels
        most = min(max(self.neighbours), len(split.train))
        search = NearestNeighbors(n_neighbors=most).fit(x[split.train])
        voters = {
            part: y[split.train][search.kneighbors(x[rows], return_distance=False)]
            for part, rows in {"validation": split.validation, "test": split.test}.items()
        }
        weights = 1.0 / np.maximum(np.bincount(y[split.train], minlength=space.classes), 1)
        curve = pd.DataFrame({"neighbours": self.neighbours})
        scores = [_votes(voters["validation"][:, :k], weights) for k in self.neighbours]
        curve["validation"] = [balanced_accuracy(score, y[split.validation]) for score in scores]
        best = int(np.argmax(curve["validation"]))
        chosen = self.neighbours[best]
        tensors = {"neighbours": np.array([chosen]), "rows": split.train, **pooled.tensors()}
        return Fitted(scores[best], _votes(voters["test"][:, :chosen], weights), tensors, curve)


def _votes(voters: NDArray[np.int64], weights: NDArray[np.float64]) -> Floats:
    """Return n x K logarithms of the share of weighted votes, with one vote of each class added as a prior."""
    one_hot = np.eye(len(weights))[voters]
    votes = (one_hot.sum(axis=1) + 1e-3) * weights
    return np.asarray(np.log(votes / votes.sum(axis=1, keepdims=True)), dtype=np.float32)
