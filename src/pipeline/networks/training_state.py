"""How far a training is, what it is the training of, and torch as a training finds it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from pipeline.folds import Split
    from pipeline.heads import Support
    from pipeline.trained import TrainedSpec


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        epoch: epochs that are done and judged.
        step: steps since then.
        best: the best validation score.
        waited: epochs without a better one.
        done: whether no epoch is left to train.
        curve: one entry an epoch.
    """

    epoch: int = 0
    step: int = 0
    best: float = -1.0
    waited: int = 0
    done: bool = False
    curve: list[dict[str, Any]] = field(default_factory=list)


def identity(spec: TrainedSpec, split: Split, seed: int, support: Support, imitation: float) -> str:
    """Return a hash of what a training is, beside what its data are."""
    settings = json.dumps([support.identity, spec.model_dump(mode="json"), split.fold, seed, imitation], sort_keys=True)
    digest = hashlib.sha256(settings.encode())
    for rows in (split.train, split.validation, split.test):
        digest.update(np.ascontiguousarray(rows).tobytes() + b"|")
    return digest.hexdigest()


@contextmanager
def reproducible(seed: int, device: torch.device) -> Iterator[None]:
    """Deterministic kernels and a seed of one's own inside; what was set before holds again afterwards."""
    strict, lenient = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    try:
        with exact, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            # Some layers have no deterministic kernel on an accelerator.
            torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
            torch.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=lenient)
