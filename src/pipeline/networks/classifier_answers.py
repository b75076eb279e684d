"""Ask a trained head that is told of the noise what it says of noisy samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.networks.classifier_gradients import answers
from pipeline.networks.classifiers import PREFIX
from pipeline.networks.inference import device
from pipeline.networks.losses import class_weights
from pipeline.networks.trainer import build
from pipeline.progress import progress

if TYPE_CHECKING:
    from pipeline.heads import Space
    from pipeline.trained import TrainedSpec

Floats = NDArray[np.float64]
BATCH = 64
SEED = 0


def answered(
    spec: TrainedSpec,
    space: Space,
    tensors: Mapping[str, NDArray[np.generic]],
    rows: NDArray[np.int64],
    sigmas: Floats,
) -> tuple[Floats, Floats]:
    """Return log q(k | y) and its squared gradients, both L x n x K, of rows with noise that row and level determine.

    Args:
        spec: the head's settings.
        space: the space that it was trained in.
        tensors: its weights and what its inputs are normalised by.
        rows: n.
        sigmas: L, of inputs as the head takes them.
    """
    where = device()
    network = build(spec, space)
    state = {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)}
    network.load_state_dict({name: torch.from_numpy(np.asarray(value)) for name, value in state.items()})
    network.requires_grad_(False).eval().to(where)
    mean, deviation = (np.asarray(tensors[name], np.float32)[:, None, None] for name in ("mean", "deviation"))
    logs, squares = [], []
    for level in progress(range(len(sigmas)), len(sigmas), "measuring", " levels"):
        parts = []
        for part in np.array_split(rows, -(-len(rows) // BATCH)):
            noise = np.stack([_noise(level, row, space.values.shape[1:]) for row in part.tolist()])
            noisy = (space.values[part] - mean) / deviation + np.float32(sigmas[level]) * noise
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                parts.append(answers(network, torch.from_numpy(noisy).to(where), float(sigmas[level])))
        logs.append(np.concatenate([found.cpu().numpy() for found, _ in parts]))
        squares.append(np.concatenate([found.cpu().numpy() for _, found in parts]))
    return np.stack(logs), np.stack(squares)


def taught(numbers: NDArray[np.int64], classes: int, beta: float) -> NDArray[np.float64]:
    """Return what a sample of each class counts in the training loss, K: the class-balanced weights."""
    return np.asarray(class_weights(torch.from_numpy(numbers), classes, beta).double().numpy())


def _noise(level: int, row: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng([SEED, level, row]).standard_normal(shape, np.float32)
