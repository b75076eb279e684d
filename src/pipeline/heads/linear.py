"""A linear probe: multinomial logistic regression on a coarse grid of each space."""

from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.folds import Split
from pipeline.heads import Fitted, HeadSpec, Space, balanced_accuracy
from pipeline.pooling import features


class Spec(HeadSpec):
    """Logistic regression whose strength of regularisation is chosen on the validation rows."""

    family: Literal["linear"]
    grid: Annotated[int, Field(ge=1)] = 16
    """Cells along one side that the space is averaged over."""
    strengths: list[float] = [0.001, 0.01, 0.1, 1.0]
    """Inverse strengths of the L2 penalty (scikit-learn's C) to choose from."""

    def fit(self, space: Space, split: Split, seed: int) -> Fitted:
        """Fit once for each strength and keep the best on the validation rows."""
        from sklearn.linear_model import LogisticRegression

        x, y = features(space, self.grid, split.train), space.labels
        models = [
            LogisticRegression(C=strength, class_weight="balanced", max_iter=2000).fit(x[split.train], y[split.train])
            for strength in self.strengths
        ]
        scores = [model.predict_log_proba(x[split.validation]).astype(np.float32) for model in models]
        curve = pd.DataFrame({"strength": self.strengths})
        curve["validation"] = [balanced_accuracy(score, y[split.validation]) for score in scores]
        best = int(np.argmax(curve["validation"]))
        test = models[best].predict_log_proba(x[split.test]).astype(np.float32)
        tensors = {"coefficients": models[best].coef_, "intercepts": models[best].intercept_}
        return Fitted(scores[best], test, tensors, curve)
