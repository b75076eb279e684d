"""k nearest neighbours: what the geometry of a space gives away without training."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from pipeline.folds import Rows, Split
from pipeline.heads import ABSENT, ALONE, Fitted, Floats, HeadSpec, Space, Support, constant_odds, selection_score
from pipeline.labels import MISSING
from pipeline.pooling import features

LARGEST_PRIOR = 1e-3


class Spec(HeadSpec):
    """Euclidean neighbours among the training rows; each neighbour votes by one over its class's frequency.

    Where classes are not exclusive, each is asked for by itself: its neighbours are the nearest of the training rows
    that know it, so that as many votes are counted as were asked for, and they vote for or against.
    """

    small: ClassVar[bool] = True
    family: Literal["knn"]
    grid: Annotated[int, Field(ge=1)] = 16
    """Cells along one side that the space is averaged over. [cells]"""
    neighbours: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [3, 9, 27]
    """Numbers of neighbours to choose from, one for all classes, on the validation rows. [samples]"""

    def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
        """Search once for the largest number of neighbours and count votes for each."""
        pooled = features(space, self.grid, split.train)
        questions = list(_questions(pooled.values, space, split, max(self.neighbours)))
        scores = [_scores(questions, "validation", k, space.exclusive) for k in self.neighbours]
        curve = pd.DataFrame({"neighbours": self.neighbours})
        curve["validation"] = [selection_score(space, split.validation, score) for score in scores]
        best = int(np.argmax(curve["validation"]))
        chosen = self.neighbours[best]
        trained = np.concatenate([question.trained for question in questions])
        tensors = {"neighbours": np.array([chosen]), "rows": split.train, "trained": trained, **pooled.tensors()}
        return Fitted(scores[best], _scores(questions, "test", chosen, space.exclusive), tensors, curve)


@dataclass(frozen=True)
class _Question:
    """What neighbours vote on: which of the exclusive classes, or whether there is one class.

    Attributes:
        answers: N, each row's: a class number, or 1 and 0.
        counts: how many training rows give each answer.
        neighbours: for each part its n x k nearest training rows that know the answer, nearest first.
        trained: whether each class asked for has what it takes to tell it from others.
    """

    answers: NDArray[np.integer]
    counts: NDArray[np.int64]
    neighbours: dict[str, Rows]
    trained: NDArray[np.bool_]

    def votes(self, part: str, neighbours: int) -> NDArray[np.float64]:
        """Return n x A log-shares of the votes for each answer."""
        return _log_shares(self.answers[self.neighbours[part][:, :neighbours]], self.counts)

    def odds(self, part: str, neighbours: int) -> NDArray[np.float64]:
        """Return n log-odds of the answer 1 against 0; constant if the training rows give one answer only."""
        if not self.trained[0]:
            return np.full(len(self.neighbours[part]), constant_odds(int(self.counts[1]), int(self.counts[0])))
        votes = self.votes(part, neighbours)
        return np.asarray(votes[:, 1] - votes[:, 0])


def _questions(x: NDArray[np.float64], space: Space, split: Split, most: int) -> Iterator[_Question]:
    if space.exclusive:
        answers = space.numbers
        counts = np.bincount(answers[split.train], minlength=space.classes)
        yield _Question(answers, counts, _neighbours(x, split.train, split, most), counts > 0)
        return
    known = space.labels != MISSING
    # Most classes are known of the same rows, which then are searched once.
    searched: dict[bytes, dict[str, Rows]] = {}
    for k, answers in enumerate(space.labels.T):
        rows = split.train[known[split.train, k]]
        if rows.tobytes() not in searched:
            searched[rows.tobytes()] = _neighbours(x, rows, split, most)
        counts = np.bincount(answers[rows], minlength=2)
        yield _Question(answers, counts, searched[rows.tobytes()], np.array([counts.min() > 0]))


def _neighbours(x: NDArray[np.float64], rows: Rows, split: Split, most: int) -> dict[str, Rows]:
    from sklearn.neighbors import NearestNeighbors

    parts = {"validation": split.validation, "test": split.test}
    if not len(rows):
        return {part: np.empty((len(wanted), 0), np.int64) for part, wanted in parts.items()}
    search = NearestNeighbors(n_neighbors=min(most, len(rows))).fit(x[rows])
    return {part: rows[search.kneighbors(x[wanted], return_distance=False)] for part, wanted in parts.items()}


def _scores(questions: list[_Question], part: str, neighbours: int, exclusive: bool) -> Floats:
    """Return n x K: log-shares of the votes, or log-odds, with a part of a vote of each answer added as a prior."""
    if exclusive:
        return np.asarray(questions[0].votes(part, neighbours), dtype=np.float32)
    odds = [question.odds(part, neighbours) for question in questions]
    return np.asarray(np.stack(odds, axis=1), dtype=np.float32)


def _log_shares(voters: NDArray[np.integer], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    weights = 1.0 / np.maximum(counts, 1)
    # A rare answer's prior must not outweigh a real vote of a frequent one.
    prior = np.minimum(LARGEST_PRIOR, weights[counts > 0].min() / (2 * weights))
    one_hot = np.eye(len(weights))[voters]
    votes = np.where(counts > 0, (one_hot.sum(axis=1) + prior) * weights, 0.0)
    shares = votes / votes.sum(axis=1, keepdims=True)
    return np.where(counts > 0, np.log(shares, where=shares > 0, out=np.zeros_like(shares)), ABSENT)
