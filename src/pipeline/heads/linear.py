"""A linear probe: logistic regression on a coarse grid of each space."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from pipeline.folds import Split
from pipeline.heads import ABSENT, ALONE, Fitted, Floats, HeadSpec, Space, Support, constant_odds, selection_score
from pipeline.labels import MISSING, Labels
from pipeline.pooling import features


class Spec(HeadSpec):
    """Logistic regression whose strength of regularisation is chosen on the validation rows.

    Exclusive classes get one multinomial regression, others one balanced regression each, on the rows that know it.
    """

    family: Literal["linear"]
    grid: Annotated[int, Field(ge=1)] = 16
    """Cells along one side that the space is averaged over."""
    strengths: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = [0.001, 0.01, 0.1, 1.0]
    """Inverse strengths of the L2 penalty (scikit-learn's C) to choose from, one for all classes."""

    def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
        """Fit once for each strength and keep the best on the validation rows."""
        pooled = features(space, self.grid, split.train)
        x, train = pooled.values, split.train
        if space.exclusive:
            models = [_multinomial(x[train], space.numbers[train], space.classes, c) for c in self.strengths]
        else:
            models = [_one_by_one(x[train], space.labels[train], c) for c in self.strengths]
        scores = [model.scores(x[split.validation]) for model in models]
        curve = pd.DataFrame({"strength": self.strengths})
        curve["validation"] = [selection_score(space, split.validation, score) for score in scores]
        best = int(np.argmax(curve["validation"]))
        tensors = {**models[best].tensors(), **pooled.tensors()}
        return Fitted(scores[best], models[best].scores(x[split.test]), tensors, curve)


@dataclass(frozen=True)
class _Model:
    """Decisions that are linear in the features.

    Attributes:
        coefficients: D x F, for D decisions; two exclusive classes have a single one, as scikit-learn's do.
        intercepts: D.
        trained: K, whether a class had what it takes to train it; where it had not, its score is constant.
        exclusive: whether scores are log-probabilities.
    """

    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    trained: NDArray[np.bool_]
    exclusive: bool

    def scores(self, x: NDArray[np.float64]) -> Floats:
        """Return n x K scores."""
        decisions = x @ self.coefficients.T + self.intercepts
        if not self.exclusive:
            return np.asarray(decisions, dtype=np.float32)
        scores = np.full((len(x), len(self.trained)), ABSENT, dtype=np.float32)
        scores[:, self.trained] = _log_probabilities(decisions)
        return scores

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """Return what is needed to apply the model again."""
        return {"coefficients": self.coefficients, "intercepts": self.intercepts, "trained": self.trained}


def _multinomial(x: NDArray[np.float64], y: NDArray[np.int64], classes: int, strength: float) -> _Model:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000).fit(x, y)
    return _Model(model.coef_, model.intercept_, np.isin(np.arange(classes), model.classes_), exclusive=True)


def _one_by_one(x: NDArray[np.float64], given: Labels, strength: float) -> _Model:
    from sklearn.linear_model import LogisticRegression

    coefficients, intercepts = np.zeros((given.shape[1], x.shape[1])), np.zeros(given.shape[1])
    trained = (given == 1).any(axis=0) & (given == 0).any(axis=0)
    for k, y in enumerate(given.T):
        if not trained[k]:
            intercepts[k] = constant_odds(int((y == 1).sum()), int((y == 0).sum()))
            continue
        known = y != MISSING
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000).fit(x[known], y[known])
        coefficients[k], intercepts[k] = model.coef_[0], model.intercept_[0]
    return _Model(coefficients, intercepts, trained, exclusive=False)


def _log_probabilities(decisions: NDArray[np.float64]) -> Floats:
    """Return n x K finite log-probabilities: scikit-learn's own are minus infinity where a probability rounds to 0."""
    logits = decisions if decisions.shape[1] > 1 else np.concatenate([np.zeros_like(decisions), decisions], axis=1)
    return np.asarray(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), dtype=np.float32)
