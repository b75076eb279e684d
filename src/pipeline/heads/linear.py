"""A linear probe: logistic regression on a coarse grid of each space."""

from typing import Annotated, ClassVar, Literal

import pandas as pd
from pydantic import Field

from pipeline.folds import Split
from pipeline.heads import ALONE, Fitted, HeadSpec, Space, Support
from pipeline.linear_probe import fit_probe
from pipeline.pooling import features


class Spec(HeadSpec):
    """Logistic regression whose strength of regularisation is chosen on the validation rows.

    Exclusive classes get one multinomial regression, others one balanced regression each, on the rows that know it.
    """

    small: ClassVar[bool] = True
    family: Literal["linear"]
    grid: Annotated[int, Field(ge=1)] = 16
    """Cells along one side that the space is averaged over. [cells]"""
    strengths: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = [0.001, 0.01, 0.1, 1.0]
    """Inverse strengths of the L2 penalty (scikit-learn's C) to choose from, one for all classes. [1]"""

    def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
        """Fit once for each strength and keep the best on the validation rows."""
        pooled = features(space, self.grid, split.train)
        probe = fit_probe(pooled.values, space, split, self.strengths)
        curve = pd.DataFrame({"strength": self.strengths, "validation": probe.tried})
        return Fitted(probe.validation, probe.test, {**probe.decisions.tensors(), **pooled.tensors()}, curve)
