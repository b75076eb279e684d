"""Fit a classifier of timm to the channels, the size and the coarseness of a space.

Strides. In image space nothing changes. A cell of a latent stands for several pixels already, so strides at the
beginning of the network are dropped until the grid behind the stem has one cell for every 4 x 4 pixels, or one for
every cell of the space where that is coarser: of a space of stride 2 the last halving of the stem, of a coarser one the
whole stem's. The stem is everything up to a quarter of the side, whatever its layers. Where the last map would have
fewer cells along a side than that of the images, or than `smallest`, the first strides of the stages behind the stem
are dropped, too: a space of stride 8 would otherwise end with a quarter of the images' last cells, and small images
with a single one, which costs some networks far more than the space does (docs/results.md). Of a network that takes
patches of an image of fixed size the patch shrinks by the stride instead, so that it has as many as in image space;
`smallest` has no say there.

Kernels. A convolution that overlaps its neighbours keeps its kernel; pooling that only reduces is left out. A patch's
kernel shrinks with its stride, and its weights are summed over blocks: it does with a cell what it did with the block
of equal pixels that the cell stands for, so that the variance of its response is kept.

Channels. Pixels of three channels take ImageNet's first layer as it is. Otherwise its weights are averaged over their
input channels and multiplied by 3 / sqrt(c), for c input channels of equal variance: if these are uncorrelated, as
those of latents nearly are, the response has the variance that it has for grey pixels of three equal channels.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pipeline.errors import StudyError
from pipeline.networks import timm_weights
from pipeline.networks.strides import Level, drop, last_side, levels, summed_blocks
from pipeline.weights import verify

if TYPE_CHECKING:
    from pipeline.heads import Space
    from pipeline.trained import BackboneSpec

COLOURS = 3
POSITIONS = "pos_embed"


def backbone(spec: BackboneSpec, space: Space) -> nn.Module:
    """Return a model of timm for a space, with K outputs.

    Raises:
        StudyError: timm has no such model, its stem cannot be fitted to the space, or the file is not of its weights.
    """
    arguments = {"in_chans": space.values.shape[1], "num_classes": space.classes, **spec.arguments}
    network = timm_weights.read(spec.model, None, **arguments)
    if patch := _patch(network):
        side = _divisor(space, max(1, patch // space.stride), spec.model)
        fitted = {"img_size": tuple(space.values.shape[2:]), "patch_size": side}
        network = timm_weights.read(spec.model, None, **arguments, **fitted)
    else:
        _fit_strides(network, spec, space)
    if spec.weights is not None:
        _take_weights(network, spec, space.pixels)
    return network


def _patch(network: nn.Module) -> int:
    """Return the side in pixels of the patches that a model made for one size takes, or 0."""
    embedding: Any = getattr(network, "patch_embed", None)
    return 0 if getattr(embedding, "img_size", None) is None else int(embedding.patch_size[0])


def _divisor(space: Space, wanted: int, model: str) -> int:
    """Return the largest side of a patch that divides the space and is not above the one that is wanted."""
    h, w = space.values.shape[2:]
    side = next(side for side in range(wanted, 0, -1) if h % side == 0 and w % side == 0)
    if 2 * side < wanted:
        raise StudyError(f"patches of {wanted} cells do not divide {h} x {w} for {model}; give another 'side'")
    return side


def _fit_strides(network: nn.Module, spec: BackboneSpec, space: Space) -> None:
    found = levels(network, space.values.shape[1])
    stem = [level for level in found if level.before < spec.stem]
    surplus = {1: 1, 2: 2}.get(space.stride, spec.stem)
    if surplus > 1 and math.prod(level.factor for level in stem) != spec.stem:
        raise StudyError(
            f"the stem of timm's {spec.model} does not reduce the side to a quarter by convolutions or pooling, so it "
            "cannot be fitted to a latent grid; take another model"
        )
    side = min(space.values.shape[2:])
    wanted = max(spec.smallest, last_side(side * space.stride, found))
    kept, rest = _drop_stem(stem, surplus), found[len(stem) :]
    while rest and last_side(side, kept + rest) < wanted:
        level = rest.pop(0)
        drop(level, level.factor)
    if last_side(side, kept + rest) < 1:
        h, w = space.values.shape[2:]
        raise StudyError(f"{h} x {w} cells are too few for the stem of timm's {spec.model}; take another model")


def _drop_stem(stem: list[Level], surplus: int) -> list[Level]:
    """Drop strides, the last ones first, until the stem reduces less by a factor; return what is left of it."""
    kept: list[Level] = []
    for level in reversed(stem):
        factor = min(level.factor, surplus)
        if factor > 1:
            drop(level, factor)
            surplus //= factor
        if level.factor > factor:
            kept.insert(0, replace(level, factor=level.factor // factor))
    return kept


def _take_weights(network: nn.Module, spec: BackboneSpec, pixels: bool) -> None:
    """Copy the weights of a file into a fitted network, all but the classifier's."""
    verify(spec.files())
    plain = timm_weights.read(spec.model, spec.weights, num_classes=0, **_of_the_file(spec.arguments))
    configuration: Any = plain.pretrained_cfg
    first, last = configuration["first_conv"], configuration["classifier"]
    if not isinstance(first, str) or not isinstance(last, str):
        raise StudyError(f"timm's {spec.model} has more than one first or last layer; take another model")
    given, own = plain.state_dict(), network.state_dict()
    for name, value in own.items():
        if name.startswith(f"{last}."):
            continue
        taken = given[name]
        if name == f"{first}.weight":
            taken = adapted_channels(taken, value.shape[1], pixels)
        if name == POSITIONS and value.shape != taken.shape and hasattr(network, "patch_embed"):
            taken = _positions(taken, network)
        elif value.dim() == 4 and value.shape != taken.shape:
            taken = summed_blocks(taken, value.shape[2])
        if value.shape != taken.shape:
            raise StudyError(f"{name} of {spec.weights} does not fit {spec.model} in this space; take another model")
        value.copy_(taken)


def _of_the_file(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what a network needs to be told to have the shapes of the file."""
    return {name: value for name, value in arguments.items() if name not in ("img_size", "patch_size", "drop_rate")}


def adapted_channels(weights: Tensor, channels: int, pixels: bool) -> Tensor:
    """Return a first layer's weights, O x 3 x k x k, for other channels: O x c x k x k; see above."""
    given = weights.shape[1]
    if pixels and channels == given:
        return weights
    mean = weights.mean(dim=1, keepdim=True)
    return (mean * given / math.sqrt(channels)).expand(-1, channels, -1, -1).contiguous()


def _positions(given: Tensor, network: Any) -> Tensor:  # noqa: ANN401 - timm's own
    """Return 1 x T x F position embeddings for the network's own grid of tokens; those of no place stay."""
    prefix = given.shape[1] - math.isqrt(given.shape[1]) ** 2
    side = math.isqrt(given.shape[1] - prefix)
    places = given[:, prefix:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    fitted = nn.functional.interpolate(places, tuple(network.patch_embed.grid_size), mode="bicubic", antialias=True)
    return torch.cat([given[:, :prefix], fitted.flatten(2).transpose(1, 2)], dim=1)
