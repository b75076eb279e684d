"""The features of one layer of a model of timm, as maps."""

from typing import Any

import torch
from torch import Tensor, nn

from pipeline.errors import StudyError
from pipeline.networks.timm_weights import read

Shape = tuple[int, int, int]

CHANNELS = 3
SET_HERE = ("num_classes", "in_chans", "features_only")


class Features(nn.Module):
    """Images in [0, 1], n x 3 x H x W, to the features of one layer, n x c x h x w.

    The pixels are normalised by the mean and the deviation that timm states for the model's weights. The final
    normalisation of a transformer is applied to whichever of its layers is taken, as DINOv2 does; tokens that belong to
    no place (class, registers) are left out.
    """

    def __init__(self, backbone: nn.Module, layer: int) -> None:
        super().__init__()
        self.backbone: Any = backbone
        self.strides = _strides(self.backbone)
        if not -len(self.strides) <= layer < len(self.strides):
            name = type(backbone).__name__
            raise StudyError(f"'layer' is {layer}, and timm gives {len(self.strides)} layers of {name} as maps")
        self.layer = layer % len(self.strides)
        stated: Any = self.backbone.pretrained_cfg
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(stated[name]).reshape(1, CHANNELS, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """Return the features."""
        options = {"norm": True, "output_fmt": "NCHW", "intermediates_only": True, "stop_early": True}
        taken = self.backbone.forward_intermediates((images - self.mean) / self.std, indices=[self.layer], **options)
        features: Tensor = taken[0]
        return features

    def shape(self, height: int, width: int) -> Shape:
        """Return (c, h, w) for images of this size, of which one is tried.

        Raises:
            StudyError: the model does not take the size, or its places do not divide it.
        """
        unfit = f"images of {height} x {width} pixels do not fit"
        stride = self.strides[self.layer]
        if height % stride or width % stride:
            raise StudyError(f"{unfit}: they do not divide into places of {stride} x {stride}")
        try:
            with torch.inference_mode():
                found = self(self.mean.new_zeros(1, CHANNELS, height, width)).shape
        except (AssertionError, RuntimeError, ValueError) as error:
            cure = "timm's argument img_size sets another size, or dynamic_img_size: true any"
            raise StudyError(f"{unfit}: {str(error).rstrip('.')}; for some models {cure}") from error
        if found[2:] != (height // stride, width // stride):
            raise StudyError(f"{unfit}: their features have {found[2]} x {found[3]} places")
        return found[1], found[2], found[3]


def build(model: str, weights: str | None, seed: int | None, arguments: dict[str, Any], layer: int) -> Features:
    """Return the features of a pretrained model, or of one whose weights are drawn from the seed.

    Raises:
        StudyError: model, weights and arguments do not fit together, or there is no such layer.
    """
    if wrong := sorted(set(arguments) & set(SET_HERE)):
        raise StudyError(f"'{wrong[0]}' is no argument here: features are of images of three channels, and no classes")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed or 0)
        return Features(read(model, weights, num_classes=0, **arguments), layer).eval()


def _strides(backbone: Any) -> list[int]:  # noqa: ANN401 - a model of timm
    """Return how many pixels become one place in each of the layers that timm gives as maps."""
    if not hasattr(backbone, "forward_intermediates"):
        return []
    layers = backbone.feature_info
    return [int(entry["reduction"]) for entry in (layers if isinstance(layers, list) else layers.info)]
