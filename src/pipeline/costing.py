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
from numpy.typing import NDArray

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
Step = Callable[[], object]

TRAINED_ON = 1000
"""Training rows among which neighbours are looked for."""
TURN = 0.3
"""Seconds that a head is timed for in one space before it is the next one's turn."""


@runtime_checkable
class Networked(Protocol):
    """A head that is a network."""

    def written(self) -> str:
        """Return its entry of the configuration."""
        ...

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

    def seen_by(self, head: Networked) -> "Place":
        """Return the place with as many pixels as a head takes of images."""
        side = getattr(head, "side", None)
        shape = (self.shape[0], side, side) if self.pixels and side else self.shape
        return replace(self, shape=shape)


class Timed(Protocol):
    """What can be timed: a head in one space, with a batch."""

    def kinds(self) -> dict[str, Step]:
        """Return what takes one batch, by `inference` and `training`."""
        ...

    def seconds(self, step: Step, count: int) -> float:
        """Return how long so many steps take."""
        ...


def applied(spec: HeadSpec, pixels: bool) -> HeadSpec:
    """Return the head that is there when it is used: the student, or that of an entry which has one for each space."""
    for name in ("student", "pixels" if pixels else "latents"):
        if isinstance(part := getattr(spec, name, None), HeadSpec):
            return part
    return spec


def measured(spec: HeadSpec, places: list[Place], settings: Cost) -> list[Values]:
    """Return the costs of a head in each of these places, timed in turns.

    Besides counts and bytes each has `rounds`, samples per second by `inference` and `training`, a number a round. A
    head that is neither a network nor a probe has nothing but the batch.
    """
    timed: list[Timed | None] = []
    costs: list[Values] = []
    for place in places:
        head = applied(spec, place.pixels)
        if isinstance(head, Linear | Neighbours):
            timed.append(probe := _Probe(head, place, settings.batch))
            known = {"device": "cpu", "precision": "float64", "feature_bytes": probe.feature_bytes}
        elif isinstance(head, Networked):
            known, steps = _of_network(head, place, settings)
            timed.append(steps)
        else:
            timed.append(None)
            known = {}
        costs.append({"batch": settings.batch, "threads": os.environ.get("OMP_NUM_THREADS", ""), **known})
    speeds = throughput(timed, settings.batch, settings.rounds)
    return [cost | {"rounds": speed} for cost, speed in zip(costs, speeds, strict=True)]


def throughput(timed: list[Timed | None], batch: int, rounds: int) -> list[dict[str, list[float]]]:
    """Return samples per second by what is done, one number a round; nothing of what cannot be timed.

    In every round each has its turn, so that what else the machine does falls on all of them.
    """
    turns = [
        (place, name, each, step, _count(each, step))
        for place, each in enumerate(timed)
        if each
        for name, step in each.kinds().items()
    ]
    found: list[dict[str, list[float]]] = [{} for _ in timed]
    for _ in range(rounds):
        for place, name, each, step, count in turns:
            found[place].setdefault(name, []).append(batch * count / each.seconds(step, count))
    return found


def _count(timed: Timed, step: Step) -> int:
    # The first step allocates, starts threads and chooses algorithms.
    timed.seconds(step, 1)
    return max(1, round(TURN / timed.seconds(step, 1)))


def _of_network(head: "Networked", place: Place, settings: Cost) -> tuple[Values, Timed]:
    import torch

    from pipeline.networks import cost
    from pipeline.networks.inference import device

    peaks = alone(peaks_of, head.written(), place, settings)
    network, setting = _built(head, place), _setting(head, place, settings)
    few = [setting.inputs(network, torch.device("cpu"), batch) for batch in (2, 4)]
    known = {
        "device": device().type,
        "threads": torch.get_num_threads(),
        "precision": settings.precision,
        "parameters": cost.parameters(network),
        "multiply_accumulates": cost.multiply_accumulates(network, few[0]),
        "activation_bytes": cost.kept_bytes(network, *few),
    }
    known |= {f"{name}_peak_bytes": value for name, value in peaks.items()}
    return known, cost.Steps(network, setting, device())


def _built(head: "Networked", place: Place) -> "nn.Module":
    return head.network(place.seen_by(head).space())


def _setting(head: "Networked", place: Place, settings: Cost) -> "Setting":
    from pipeline.networks.cost import Setting

    return Setting(place.seen_by(head).shape, place.classes, settings.batch, settings.precision)


def peaks_of(spec: str, place: Place, settings: Cost) -> dict[str, float]:
    """Return the peak bytes of inference and of training of a network, in a process that does nothing else."""
    from pipeline.networks.cost import peaks

    head = read_head(spec)
    if not isinstance(head, Networked):
        raise StudyError(f"a head of the family {head.family} is no network")
    setting = _setting(head, place, settings)
    return peaks(lambda: _built(head, place), setting)


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


class _Probe:
    """What takes raw values of a batch to predictions, through scikit-learn; its coefficients do not matter."""

    def __init__(self, spec: Linear | Neighbours, place: Place, batch: int) -> None:
        self.space, self.rows, self.grid = place.space(batch), np.arange(batch), spec.grid
        length = self._features().shape[1]
        self.feature_bytes = 8 * length
        self.answer = _answer(spec, place.classes, np.random.default_rng(0), length)

    def _features(self) -> NDArray[np.float64]:
        return features(self.space, self.grid, self.rows).values

    def kinds(self) -> dict[str, Step]:
        return {"inference": lambda: self.answer(self._features())}

    def seconds(self, step: Step, count: int) -> float:
        begin = time.perf_counter()
        for _ in range(count):
            step()
        return time.perf_counter() - begin


def _answer(
    spec: Linear | Neighbours, classes: int, random: np.random.Generator, length: int
) -> Callable[[NDArray[np.float64]], object]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import NearestNeighbors

    if isinstance(spec, Neighbours):
        search = NearestNeighbors(n_neighbors=max(spec.neighbours))
        found: Callable[[NDArray[np.float64]], object] = search.fit(random.normal(size=(TRAINED_ON, length))).kneighbors
        return found
    model = LogisticRegression()
    model.classes_ = np.arange(classes)
    model.coef_ = random.normal(size=(classes if classes > 2 else 1, length))
    model.intercept_ = np.zeros(len(model.coef_))
    decisions: Callable[[NDArray[np.float64]], object] = model.decision_function
    return decisions


def read_head(text: str) -> HeadSpec:
    """Read one head's entry of the configuration."""
    spec = families.spec("heads", json.loads(text))
    if not isinstance(spec, HeadSpec):
        raise StudyError(f"{type(spec).__module__}.Spec is not a HeadSpec")
    return spec
