"""The last layer of a network: found, replaced, and left out where a network starts from another one's weights."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.errors import StudyError
from pipeline.losses import OfClasses, OfLabels
from pipeline.networks.losses import classifier

PREFIX = "network."
"""Of a network's tensors among those of a head."""


def classifier_name(network: nn.Module) -> str:
    """Return the name of the linear layer that gives a network's logits.

    Raises:
        StudyError: it is not one linear layer.
    """
    layer = getattr(network, "get_classifier", lambda: None)()
    names: list[str] = [name for name, module in network.named_modules() if module is layer]
    if not isinstance(layer, nn.Linear) or not names:
        raise StudyError(f"{type(network).__name__} does not end with one linear layer; take another model")
    return names[0]


def with_classifier(network: nn.Module, loss: OfClasses | OfLabels) -> nn.Module:
    """Return the network with the last layer that a loss asks for.

    Its weights are drawn anew, as torch draws those of any linear layer. timm's families differ in that, and some draw
    them for a thousand classes: with three, EfficientNet's first logits are so large that a short training never
    recovers from them, least of all in a space that its other weights are not made for.
    """
    name = classifier_name(network)
    last = network.get_submodule(name)
    if not isinstance(last, nn.Linear):
        raise StudyError(f"{name} of {type(network).__name__} is not a linear layer; take another model")
    last.reset_parameters()
    network.set_submodule(name, classifier(loss, last))
    return network


def initialise(network: nn.Module, initial: Mapping[str, NDArray[np.generic]]) -> None:
    """Start from the weights of a head that was trained on other images; the classifier keeps its own.

    Raises:
        StudyError: the head is of another network, or was trained in a space of another shape.
    """
    last = f"{classifier_name(network)}."
    own = {name: value for name, value in network.state_dict().items() if not name.startswith(last)}
    given = {
        name.removeprefix(PREFIX): torch.from_numpy(np.array(value))
        for name, value in initial.items()
        if name.startswith(PREFIX) and not name.startswith(PREFIX + last)
    }
    _require_same(own, given)
    network.load_state_dict(given, strict=False)


def _require_same(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    cure = "it must have been trained by the same head in the same space"
    if differ := sorted(own.keys() ^ given.keys()):
        side = "lacks" if differ[0] in own else "has, and this network has not,"
        raise StudyError(f"the head to start from {side} {differ[0]}; {cure}")
    for name, value in own.items():
        if value.shape != given[name].shape:
            shapes = f"{tuple(given[name].shape)} and not {tuple(value.shape)}"
            raise StudyError(f"{name} of the head to start from has the shape {shapes}; {cure}")
