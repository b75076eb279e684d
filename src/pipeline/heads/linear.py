"""A linear probe: multinomial logistic regression on a coarse grid of each space."""

from typing import Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from pipeline.folds import Split
from pipeline.heads import Fitted, Floats, HeadSpec, Space, balanced_accuracy
from pipeline.pooling import features


class Spec(HeadSpec):
    """Logistic regression whose strength of regularisation is chosen on the validation rows."""

    family: Literal["linear"]
    grid: Annotated[int, Field(ge=1)] = 16
    """Cells along one side that the space is averaged over."""
    strengths: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = [0.001, 0.01, 0.1, 1.0]
    """Inverse strengths of the L2 penalty (scikit-learn's C) to choose from."""

    def fit(self, space: Space, split: Split, seed: int) -> Fitted:
        """Fit once for each strength and keep the best on the validation rows."""
        from sklearn.linear_model import LogisticRegression

        pooled = features(space, self.grid, split.train)
        x, y = pooled.values, space.labels
        models = [
            LogisticRegression(C=strength, class_weight="balanced", max_iter=2000).fit(x[split.train], y[split.train])
            for strength in self.strengths
        ]
        scores = [_log_probabilities(model.decision_function(x[split.validation])) for model in models]
        curve = pd.DataFrame({"strength": self.strengths})
        curve["validation"] = [balanced_accuracy(score, y[split.validation]) for score in scores]
        best = int(np.argmax(curve["validation"]))
        test = _log_probabilities(models[best].decision_function(x[split.test]))
        tensors = {"coefficients": models[best].coef_, "intercepts": models[best].intercept_, **pooled.tensors()}
        return Fitted(scores[best], test, tensors, curve)


def _log_probabilities(decisions: NDArray[np.float64]) -> Floats:
    """Return n x K finite log-probabilities: scikit-learn's own are minus infinity where a probability rounds to 0."""
    logits = decisions if decisions.ndim == 2 else np.stack([np.zeros_like(decisions), decisions], axis=1)
    return np.asarray(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), dtype=np.float32)
