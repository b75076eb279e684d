"""What a head costs in spaces of given shapes, in which it is measured in turns."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from pipeline import families
from pipeline.costs import Cost
from pipeline.errors import StudyError
from pipeline.heads import HeadSpec, Space
from pipeline.heads.knn import Spec as Neighbours
from pipeline.heads.linear import Spec as Linear
from pipeline.pooling import features

if TYPE_CHECKING:
    from torch import nn

    from pipeline.networks.cost import Setting

Values = dict[str, Any]

TRAINED_ON = 1000
"""Training rows among which neighbours are looked for."""
TURN = 0.3
"""Seconds that a head is timed for in one space before it is the next one's turn."""


@runtime_checkable
class Networked(Protocol):
    """A head that is a network."""

    def network(self, space: Space) -> "nn.Module":
        """Return an untrained network for a space."""
        ...


@dataclass(frozen=True)
class Place:
    """A space as far as costs go: its values do not matter."""

    shape: tuple[int, int, int]
    stride: int
    pixels: bool
    classes: int
    exclusive: bool

    def space(self, samples: int = 2) -> Space:
        """Return a space of so many samples, whose values are zero and whose classes take turns."""
        labels = np.eye(self.classes, dtype=np.int8)[np.arange(samples) % self.classes]
        return Space(np.zeros((samples, *self.shape), np.float32), labels, self.exclusive, self.stride, self.pixels)

    def seen_by(self, spec: HeadSpec) -> "Place":
        """Return the place with as many pixels as a head takes of images."""
        side = getattr(spec, "side", None)
        shape = (self.shape[0], side, side) if self.pixels and side else self.shape
        return replace(self, shape=shape)


def measured(spec: HeadSpec, places: list[Place], settings: Cost) -> list[Values]:
    """Return the costs of a head in each of these places, timed in turns; nothing of a head of another kind."""
    if isinstance(spec, Linear | Neighbours):
        return _of_probe(spec, places, settings)
    if isinstance(spec, Networked):
        return _of_network(spec, places, settings)
    return []


def _of_network(spec: HeadSpec, places: list[Place], settings: Cost) -> list[Values]:
    import torch

    from pipeline.networks import cost
    from pipeline.networks.inference import device

    jobs = [(spec.written(), place, settings) for place in places]
    peaks = [alone(peaks_of, *job) for job in jobs]
    networks, known = [], []
    for place in places:
        network, setting = _built(spec, place), _setting(spec, place, settings)
        few = [setting.inputs(network, torch.device("cpu"), batch) for batch in (2, 4)]
        arithmetic = {
            "parameters": cost.parameters(network),
            "multiply_accumulates": cost.multiply_accumulates(network, few[0]),
            "activation_bytes": cost.kept_bytes(network, *few),
        }
        known.append(arithmetic)
        networks.append(cost.Steps(network, setting, device()))
    speeds = cost.throughput(networks, settings.rounds, TURN)
    where = {"device": str(device().type), "threads": torch.get_num_threads(), "precision": settings.precision}
    return [
        where
        | {"batch": settings.batch, **arithmetic, "rounds": speed}
        | {f"{name}_peak_bytes": value for name, value in peak.items()}
        for arithmetic, speed, peak in zip(known, speeds, peaks, strict=True)
    ]


def _built(spec: HeadSpec, place: Place) -> "nn.Module":
    if not isinstance(spec, Networked):
        raise StudyError(f"a head of the family {spec.family} is no network")
    return spec.network(place.seen_by(spec).space())


def _setting(spec: HeadSpec, place: Place, settings: Cost) -> "Setting":
    from pipeline.networks.cost import Setting

    return Setting(place.seen_by(spec).shape, place.classes, settings.batch, settings.precision)


def peaks_of(spec: str, place: Place, settings: Cost) -> dict[str, float]:
    """Return the peak bytes of inference and of training of a head, in a process that does nothing else."""
    from pipeline.networks.cost import peaks

    head = read_head(spec)
    return peaks(lambda: _built(head, place), _setting(head, place, settings))


def alone(function: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    """Return what a function returns in a fresh process; raise StudyError where that dies."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh) as process:
        try:
            return process.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise StudyError(
                "the process that measures memory was killed, probably because there was too little of it; lower "
                "'cost: batch'"
            ) from None


def _of_probe(spec: Linear | Neighbours, places: list[Place], settings: Cost) -> list[Values]:
    predictors = [_predictor(spec, place, settings.batch) for place in places]
    counts = [max(1, round(TURN / _seconds(predict, 1))) for predict, _ in predictors]
    rounds: list[list[float]] = [[] for _ in places]
    for _ in range(settings.rounds):
        for (predict, _), count, found in zip(predictors, counts, rounds, strict=True):
            found.append(settings.batch * count / _seconds(predict, count))
    where = {"device": "cpu", "threads": os.environ.get("OMP_NUM_THREADS", ""), "precision": "float64"}
    return [
        where | {"batch": settings.batch, "feature_bytes": size, "rounds": {"inference": found}}
        for (_, size), found in zip(predictors, rounds, strict=True)
    ]


def _seconds(predict: Callable[[], object], count: int) -> float:
    begin = time.perf_counter()
    for _ in range(count):
        predict()
    return max(time.perf_counter() - begin, 1e-9)


def _predictor(spec: Linear | Neighbours, place: Place, batch: int) -> tuple[Callable[[], object], int]:
    """Return what takes raw values of a batch to predictions, and the bytes of one sample's features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import NearestNeighbors

    space, rows, random = place.space(batch), np.arange(batch), np.random.default_rng(0)
    length = features(space, spec.grid, rows).values.shape[1]
    if isinstance(spec, Linear):
        model = LogisticRegression()
        model.classes_ = np.arange(place.classes)
        model.coef_ = random.normal(size=(place.classes if place.classes > 2 else 1, length))
        model.intercept_ = np.zeros(len(model.coef_))
        answer = model.decision_function
    else:
        answer = (
            NearestNeighbors(n_neighbors=max(spec.neighbours)).fit(random.normal(size=(TRAINED_ON, length))).kneighbors
        )
    # The first call takes longer: libraries start their threads.
    answer(features(space, spec.grid, rows).values)
    return lambda: answer(features(space, spec.grid, rows).values), length * 8


def read_head(text: str) -> HeadSpec:
    """Read one head's entry of the configuration."""
    spec = families.spec("heads", json.loads(text))
    if not isinstance(spec, HeadSpec):
        raise StudyError(f"{type(spec).__module__}.Spec is not a HeadSpec")
    return spec
