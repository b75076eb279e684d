"""The closed-form linear denoiser: the best one of a normal distribution with the training rows' moments.

It is the reference for every other. Isometric spaces have the same values of everything to rounding, since it depends
on distances alone; expectations over the noise are exact. Its three estimates of the Fisher information differ where
held-out samples do not have the moments that were fitted.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.covariates import gram
from pipeline.denoisers import ALONE, LOSS_LEVELS, DenoiserSpec, Fitted, Rows, Space, Support, Tensors
from pipeline.diffusion import Diffusability
from pipeline.fisher import Statistics
from pipeline.normal import Normal


class Spec(DenoiserSpec):
    """The covariance is shrunk towards the same in all directions, as other training patients' samples ask for."""

    family: Literal["gaussian"]
    samples: Annotated[int, Field(ge=4)] = 1000
    """Training rows at most, the first of them in the order that they were drawn in. [samples]"""

    def fit(self, space: Space, support: Support = ALONE) -> Fitted:
        """Take mean and covariance of the training rows."""
        train = space.train[: min(self.samples, space.most)]
        products = gram(_flat(space, np.concatenate([train, space.held_out])))
        normal = Normal.fitted(products[: len(train), : len(train)], space.dimension, space.patients[train])
        squares = normal.squares(products)
        errors = [normal.statistics(squares, sigma**2).error / space.dimension for sigma in LOSS_LEVELS]
        curve = pd.DataFrame({"share": [normal.rest], "deviation": [normal.deviation], "samples": [len(train)]})
        return Fitted(normal.tensors() | {"rows": train}, np.stack(errors), curve)

    def measure(
        self, tensors: Tensors, space: Space, sigmas: Sequence[float], how: Diffusability
    ) -> Iterator[Statistics]:
        """Yield the closed forms."""
        normal = Normal.of(tensors)
        products = gram(_flat(space, np.concatenate([tensors["rows"], space.held_out])))
        squares = normal.squares(products)
        for sigma in sigmas:
            yield normal.statistics(squares, sigma**2)


def _flat(space: Space, rows: Rows) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return space.read(rows).reshape(len(rows), space.dimension)
