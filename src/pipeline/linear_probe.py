"""Logistic regression on features, with the strength of its penalty chosen on the validation rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.folds import Split
from pipeline.heads import ABSENT, Floats, Space, constant_odds, selection_score
from pipeline.labels import MISSING, Labels


@dataclass(frozen=True)
class Decisions:
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


@dataclass(frozen=True)
class Probe:
    """The regression whose penalty did best.

    Attributes:
        decisions: of the one that was chosen.
        validation: n x K scores of the split's validation rows.
        test: n x K scores of its test rows.
        tried: what each strength reached on the validation rows, in the order of the strengths.
        chosen: the place of the best strength; of equal ones the first.
    """

    decisions: Decisions
    validation: Floats
    test: Floats
    tried: list[float]
    chosen: int


def fit_probe(x: NDArray[np.float64], space: Space, split: Split, strengths: Sequence[float]) -> Probe:
    """Fit once for each strength and keep the best on the validation rows.

    Exclusive classes get one multinomial regression, others one balanced regression each, on the rows that know it.

    Args:
        x: N x F features, standardised by the training rows. Only rows of the split are read.
        space: gives the labels; its values are not looked at.
        split: the rows that train, choose and are scored.
        strengths: inverse strengths of the L2 penalty (scikit-learn's C), one for all classes.
    """
    train = split.train
    if space.exclusive:
        models = [_multinomial(x[train], space.numbers[train], space.classes, c) for c in strengths]
    else:
        models = [_one_by_one(x[train], space.labels[train], c) for c in strengths]
    scores = [model.scores(x[split.validation]) for model in models]
    tried = [selection_score(space, split.validation, score) for score in scores]
    best = int(np.argmax(tried))
    return Probe(models[best], scores[best], models[best].scores(x[split.test]), tried, best)


def _multinomial(x: NDArray[np.float64], y: NDArray[np.int64], classes: int, strength: float) -> Decisions:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000).fit(x, y)
    return Decisions(model.coef_, model.intercept_, np.isin(np.arange(classes), model.classes_), exclusive=True)


def _one_by_one(x: NDArray[np.float64], given: Labels, strength: float) -> Decisions:
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
    return Decisions(coefficients, intercepts, trained, exclusive=False)


def _log_probabilities(decisions: NDArray[np.float64]) -> Floats:
    """Return n x K finite log-probabilities: scikit-learn's own are minus infinity where a probability rounds to 0."""
    logits = decisions if decisions.shape[1] > 1 else np.concatenate([np.zeros_like(decisions), decisions], axis=1)
    return np.asarray(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), dtype=np.float32)
