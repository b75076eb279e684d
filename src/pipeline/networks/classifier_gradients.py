"""How a classifier's answer changes with its noisy input."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Classifier = Callable[[Tensor, Tensor], Tensor]
"""n x ... noisy values and n standard deviations of their noise to n x K logits of exclusive classes."""


def answers(classify: Classifier, y: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Return log q(k | y) and ||grad_y log q(k | y)||^2, both n x K in double precision.

    Args:
        classify: the logits of a sample must not depend on what else is in the batch.
        y: n x ... noisy values.
        sigma: standard deviation of their noise.
    """
    y = y.detach().requires_grad_(True)
    sigmas = torch.full((len(y),), sigma, dtype=y.dtype, device=y.device)
    with torch.enable_grad():
        logs = functional.log_softmax(classify(y, sigmas), dim=1)
        squares = []
        for column in logs.unbind(dim=1):
            (slope,) = torch.autograd.grad(column.sum(), y, retain_graph=True)
            squares.append(slope.double().flatten(1).square().sum(dim=1))
    return logs.detach().double(), torch.stack(squares, dim=1)
