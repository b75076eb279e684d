"""A noise-conditioned head trained on mixtures: how much of I(C; Y_t) it gets, at any t."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from bench.known_answers import head
from bench.measure import Row
from bench.mixtures import SPACE, THREE, TWO, Floats, Grids, LogPosterior, Mixture
from pipeline.folds import Split
from pipeline.heads import Space
from pipeline.networks.classifiers import PREFIX
from pipeline.networks.trainer import build
from pipeline.trained import TrainedSpec

STRIDE = 8
"""What a head is told of grids: one cell stands for 8 x 8 pixels, as in a usual latent."""
HELD_OUT = 2000
SMALL = {"depths": [1, 1, 1, 1], "dims": [32, 32, 32, 32]}
CASES = {"two": (TWO, (0.1, 0.25, 1.0, 4.0)), "three": (THREE, (0.05, 0.5, 2.0)), "3-D": (SPACE.evened(), (0.25, 1.0))}
"""The mixtures of the table, at the table's t."""


def classifier(**options: object) -> TrainedSpec:
    """Return a small film-convnext that learns the mixture's own shares of the classes."""
    spec = head("film-convnext", **{"arguments": SMALL, "effective_number": 0.0, "batch": 256, **options})
    if not isinstance(spec, TrainedSpec):
        raise TypeError("film-convnext is no network")
    return spec


def trained(spec: TrainedSpec, mixture: Mixture, side: int, count: int) -> LogPosterior:
    """Return what a head says of noisy grids once it was trained on `count` clean ones, which it noises itself.

    A head keeps the epoch that is best without noise, which need not be the best with noise. Here the validation rows
    are clear cases, which every epoch gets right, so that the last epoch is kept.
    """
    x, classes = mixture.draw(count + 2 * HELD_OUT, np.random.default_rng([count, 7]))
    split = _clear(mixture.log_posterior(x, 1e-6)[np.arange(len(x)), classes], count)
    values = np.broadcast_to(x[:, :, None, None], (*x.shape, side, side)).astype(np.float32)
    space = Space(values, np.eye(len(mixture.weights), dtype=np.int8)[classes], True, STRIDE)
    fitted = spec.fit(space, split, 0)
    network = build(spec, space).eval()
    tensors = {name.removeprefix(PREFIX): value for name, value in fitted.tensors.items() if name.startswith(PREFIX)}
    network.load_state_dict({name: torch.from_numpy(np.asarray(value)) for name, value in tensors.items()})

    @torch.no_grad()
    def answer(noisy: Floats, sigma: float) -> Floats:
        logits = [
            network(torch.from_numpy(part.astype(np.float32)), torch.full((len(part),), sigma))
            for part in np.array_split(noisy, len(noisy) // 2000 + 1)
        ]
        return np.asarray(functional.log_softmax(torch.cat(logits).double(), dim=1).numpy())

    return answer


def _clear(logs: Floats, count: int) -> Split:
    """Return a split whose validation rows are those of the held-out ones whose class is the surest."""
    held_out = np.arange(count, len(logs))
    surest = held_out[np.argsort(-logs[held_out], kind="stable")]
    return Split(0, np.arange(count), np.sort(surest[: HELD_OUT // 2]), np.sort(surest[HELD_OUT // 2 :]))


def film(
    name: str, spec: TrainedSpec, side: int = 2, count: int = 16_000, draws: int = 50_000, bound: float = 0.03
) -> Iterator[Row]:
    """The share of I(C; Y_t) that a trained film-convnext misses, at the table's t."""
    mixture, times = CASES[name]
    grids, answer = Grids(mixture, side), trained(spec, mixture, side, count)
    for t in times:
        value, _, shortfall = grids.measured(answer, t, draws, 5)
        whole = mixture.information(t) if mixture.means.shape[1] == 1 else value + shortfall
        note = f"{whole - shortfall:.4f} of {whole:.4f} nats"
        yield Row(f"film-convnext, {name}, t {t}: share of I(C;Y) missed", shortfall / whole, bound, False, note)
