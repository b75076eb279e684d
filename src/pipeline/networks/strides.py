"""Where a convolutional network halves its maps, and how to leave that out."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.errors import StudyError

PROBE = 128
"""Side in pixels of the image that is sent through a network to see where its maps shrink."""
Reducing = nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d


@dataclass(frozen=True)
class Level:
    """All layers that take maps of one size and give smaller ones: of a block, its branches do so side by side.

    Attributes:
        network: whose layers they are.
        before: by which factor maps have shrunk before.
        factor: by which these layers shrink them.
        names: of the layers.
    """

    network: nn.Module
    before: int
    factor: int
    names: tuple[str, ...]

    def side(self, given: int) -> int:
        """Return the side of the map that is made of one of a given side."""
        layers = [self.network.get_submodule(name) for name in self.names]
        return given // self.factor if any(_cuts(layer) for layer in layers) else math.ceil(given / self.factor)


@torch.no_grad()
def levels(network: nn.Module, channels: int) -> list[Level]:
    """Return where maps shrink by a stride, in order.

    Raises:
        StudyError: the network takes no image of `PROBE` pixels.
    """
    seen: dict[tuple[int, int], list[str]] = {}

    def watch(name: str, layer: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
            before, after = PROBE // given[0].shape[2], given[0].shape[2] // max(1, made.shape[2])
            seen.setdefault((before, after), []).append(name)

        return layer.register_forward_hook(note)

    reducing = {name: layer for name, layer in network.named_modules() if _reduces(layer)}
    hooks = [watch(name, layer) for name, layer in reducing.items()]
    was = network.training
    try:
        network.eval()(torch.zeros(1, channels, PROBE, PROBE))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise StudyError(f"{type(network).__name__} takes no images of other sizes; take another model") from error
    finally:
        network.train(was)
        for hook in hooks:
            hook.remove()
    return [Level(network, before, factor, tuple(names)) for (before, factor), names in sorted(seen.items())]


def _reduces(layer: nn.Module) -> bool:
    if not isinstance(layer, Reducing):
        return False
    return _pair(layer.stride) != (1, 1)


def _pair(value: int | tuple[int, ...] | str) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(int(v) for v in value)


def last_side(side: int, found: list[Level]) -> int:
    """Return the side of the last map, of a map of a given side."""
    for level in found:
        side = level.side(side)
    return side


def _cuts(layer: nn.Module) -> bool:
    """Return whether what is left over at the border is cut off, and not filled up."""
    if isinstance(layer, nn.Conv2d):
        return layer.kernel_size == layer.stride
    return isinstance(layer, nn.AvgPool2d | nn.MaxPool2d) and layer.kernel_size == layer.stride and not layer.ceil_mode


def summed_blocks(weights: Tensor, side: int) -> Tensor:
    """Return O x I x k x k weights summed over blocks: O x I x side x side.

    The convolution does with cells what the first one did with cells repeated k / side times along both sides. Where
    that is no whole number, a weight on a border is shared by the blocks.
    """
    edges = torch.arange(side + 1, dtype=torch.float64)[:, None] * weights.shape[2] / side
    at = torch.arange(weights.shape[2], dtype=torch.float64)
    shares = (torch.minimum(edges[1:], at + 1) - torch.maximum(edges[:-1], at)).clamp(min=0)
    return (shares @ weights.double() @ shares.T).to(weights.dtype)


def drop(level: Level, factor: int) -> None:
    """Let a level's layers shrink their maps less by a factor."""
    for name in level.names:
        layer = level.network.get_submodule(name)
        if isinstance(layer, nn.Conv2d):
            _drop_stride(level.network, name, layer, factor)
        elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
            if factor != level.factor:
                raise StudyError(f"{name} shrinks maps by {level.factor}, not by less; take another model")
            level.network.set_submodule(name, nn.Identity())


def _drop_stride(network: nn.Module, name: str, layer: nn.Conv2d, factor: int) -> None:
    stride = (max(1, layer.stride[0] // factor), max(1, layer.stride[1] // factor))
    if layer.kernel_size != layer.stride:
        layer.stride = stride
        return
    smaller = nn.Conv2d(
        layer.in_channels, layer.out_channels, stride, stride, groups=layer.groups, bias=layer.bias is not None
    )
    with torch.no_grad():
        smaller.weight.copy_(summed_blocks(layer.weight, stride[0]))
        if layer.bias is not None and smaller.bias is not None:
            smaller.bias.copy_(layer.bias)
    network.set_submodule(name, smaller)
