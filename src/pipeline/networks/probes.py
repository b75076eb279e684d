"""Statistics of any denoiser, by Hutchinson probes: one Jacobian-vector product each way for every probe.

For v with independent signs, E v'Av = tr A and E ||Av||^2 = ||A||_F^2 (Hutchinson 1989), so no Jacobian is ever held.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipeline.fisher import Statistics

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""n x ... noisy values and n standard deviations of their noise to n x ... clean ones."""
Draws = tuple[Tensor, Tensor]
"""n x ... standard normal noise, and n x k x ... probes."""


def drawn(rows: NDArray[np.int64], shape: tuple[int, ...], level: int, probes: int, seed: int) -> Draws:
    """Return noise and signs, which the seed, the row and the level determine, whatever else is in the batch."""
    noise, signs = [], []
    for row in rows.tolist():
        random = np.random.default_rng([seed, level, row])
        noise.append(random.standard_normal(shape))
        signs.append(2.0 * random.integers(0, 2, (probes, *shape)) - 1)
    return torch.from_numpy(np.stack(noise)), torch.from_numpy(np.stack(signs))


def statistics(denoise: Denoiser, x: Tensor, sigma: float, draws: Draws) -> Statistics:
    """Return what a noise level says of each sample of a batch.

    Memory is that of the denoiser's pass through one batch with its gradient, whatever the number of probes.

    Args:
        denoise: the result for a sample must not depend on what else is in the batch.
        x: n x ... clean values.
        sigma: standard deviation of the noise.
        draws: noise n x ..., probes n x k x ..., in the type and on the device of `x`.
    """
    noise, probes = draws
    t, dimension = sigma**2, x[0].numel()
    y, sigmas = x + sigma * noise, torch.full((len(x),), sigma, dtype=x.dtype, device=x.device)

    def function(values: Tensor) -> Tensor:
        return denoise(values, sigmas)

    sums: dict[str, Tensor] = {}
    # The other kernels of attention have no forward derivative.
    with sdpa_kernel(SDPBackend.MATH):
        clean, backward, *_ = torch.func.vjp(function, y)
        for v in probes.unbind(dim=1):
            forth = torch.func.jvp(function, (y,), (v,))[1].detach()
            (back,) = backward(v)
            inside = {"trace": _dot(v, forth), "jacobian": _dot(forth, forth), "square": _dot(forth, back.detach())}
            inside["hessian"] = _dot(forth - v, forth - v) / t**2
            sums = {name: value + sums.get(name, 0.0) for name, value in inside.items()}
    clean = clean.detach()
    means = {name: value / probes.shape[1] for name, value in sums.items()}
    means["trace"] = (dimension - means["trace"]) / t
    return Statistics(
        error=_array(_dot(clean - x, clean - x)),
        noise=_array(t * _dot(noise, noise)),
        score=_array(_dot(clean - y, clean - y) / t**2),
        **{name: _array(value) for name, value in means.items()},
    )


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() * b.double()).flatten(1).sum(dim=1)


def _array(values: Tensor) -> NDArray[np.float64]:
    return np.asarray(values.cpu().numpy(), dtype=np.float64)
