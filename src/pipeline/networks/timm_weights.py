"""Read a model of timm with weights from a local file.

Two layouts of a file are known: timm's own, and that of the package `efficientnet_lite_pytorch` (EfficientNet-Lite as
TensorFlow trained it). The second one's layers are timm's one by one, in the order in which they are applied, but not
those of timm's model of the same name: it pads as TensorFlow does, one pixel less before than behind where a stride of
two leaves a choice, and its batch normalisation adds 1e-3 to the variance. timm has both as `tf_efficientnet_lite0`,
while `efficientnet_lite0` pads evenly and adds 1e-5, and takes other pixels (ImageNet's mean and deviation, where these
weights were trained on [-1, 1]). It would load and be somewhat wrong, so it is refused. Source of both statements:
ml-illustrated/EfficientNet-Lite-PyTorch (`efficientnet_lite_pytorch/utils.py`) and timm 1.0.31.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.errors import StudyError
from pipeline.networks.backbones import create_model

Tensors = dict[str, Tensor]

ELSEWHERE = ("pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
"""Arguments of `create_model` that say where weights come from."""
COUNTER = "num_batches_tracked"
"""Of batch normalisation; used in training only, and left out of some files."""
LITE_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
LITE_BLOCK = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
"""The layers of a block as they are applied; a block that does not expand lacks the first two."""


def read(model: str, weights: str | None, **arguments: Any) -> nn.Module:  # noqa: ANN401 - timm's own
    """Return one of timm's models in float32 for evaluation, without asking the internet.

    Args:
        model: timm's name of it.
        weights: a safetensors file; None leaves the model as it is initialised.
        arguments: further arguments of timm's `create_model`. With `num_classes=0` the file's classifier is not read.

    Raises:
        StudyError: there is no such model or file, or they do not fit together: each weight of the model and of the
            file must have its counterpart of the same shape, and be finite.
    """
    network = _build(model, arguments)
    if weights is not None:
        tensors = _in_timms_layout(_tensors(weights), network, model, weights)
        if arguments.get("num_classes") == 0:
            tensors = _without_classifier(tensors, network)
        _load(network, tensors, model, weights)
    return network.float().eval()


def _build(model: str, arguments: dict[str, Any]) -> nn.Module:
    if wrong := sorted(set(arguments) & set(ELSEWHERE)):
        raise StudyError(f"'{wrong[0]}' is no argument here: the weights of {model} are named by 'weights'")
    if ":" in model or "/" in model:
        raise StudyError(f"'{model}' names a place; say timm's name of a model, and its weights by 'weights'")
    try:
        network: nn.Module = create_model(model, pretrained=False, **arguments)
    except (RuntimeError, TypeError, ValueError, AssertionError, KeyError) as error:
        raise StudyError(f"timm cannot build '{model}': {error}") from error
    return network


def _tensors(weights: str) -> Tensors:
    if not Path(weights).is_file():
        raise StudyError(f"there is no file {weights}")
    try:
        tensors: Tensors = load_file(weights)
    except SafetensorError as error:
        raise StudyError(f"{weights} is not a safetensors file") from error
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise StudyError(f"{weights} holds values that are not finite: see {name}")
    return tensors


def _in_timms_layout(tensors: Tensors, network: nn.Module, model: str, weights: str) -> Tensors:
    """Return the tensors under timm's names; what has no counterpart keeps its own."""
    if "_conv_stem.weight" not in tensors:
        return tensors
    if not model.startswith("tf_efficientnet_lite"):
        ours = "which is tf_efficientnet_lite0 to 4 in timm"
        raise StudyError(f"{weights} is of EfficientNet-Lite with TensorFlow's padding, {ours}, and not of {model}")
    renamed = dict(_lite_layers(network))
    split = {key: key.rpartition(".") for key in tensors}
    return {f"{renamed.get(layer, layer)}.{kind}": tensors[key] for key, (layer, _, kind) in split.items()}


def _lite_layers(network: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the name of each layer in `efficientnet_lite_pytorch` and in timm.

    The first counts blocks through, the second within each stage; the layers of a block have the same order in both.
    """
    yield from LITE_OUTER.items()
    stages: Any = network.blocks
    blocks = [(f"blocks.{at}.{place}", block) for at, stage in enumerate(stages) for place, block in enumerate(stage)]
    for number, (name, block) in enumerate(blocks):
        layers = [layer for layer, module in block.named_children() if any(True for _ in module.parameters())]
        for theirs, ours in zip(LITE_BLOCK[-len(layers) :], layers, strict=True):
            yield f"_blocks.{number}.{theirs}", f"{name}.{ours}"


def _without_classifier(tensors: Tensors, network: nn.Module) -> Tensors:
    configuration: Any = network.pretrained_cfg
    named = configuration.get("classifier") or ()
    heads = tuple(f"{name}." for name in ([named] if isinstance(named, str) else named))
    return {name: value for name, value in tensors.items() if not name.startswith(heads)}


def _load(network: nn.Module, tensors: Tensors, model: str, weights: str) -> None:
    own = network.state_dict()
    if missing := [name for name in own if name not in tensors and not name.endswith(COUNTER)]:
        raise StudyError(f"{weights} lacks {len(missing)} of the weights of {model}: see {missing[0]}")
    if foreign := [name for name in tensors if name not in own]:
        raise StudyError(f"{weights} holds {len(foreign)} weights that {model} does not have: see {foreign[0]}")
    for name, value in tensors.items():
        if value.shape != own[name].shape:
            shapes = f"{tuple(value.shape)}, and {model} takes {tuple(own[name].shape)}"
            raise StudyError(f"{name} in {weights} has the shape {shapes}")
    with torch.no_grad():
        network.load_state_dict(own | tensors)
