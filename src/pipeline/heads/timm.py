"""Any image classifier of timm, its stem fitted to the space, from random or from ImageNet weights."""

from typing import Literal

from pipeline.trained import BackboneSpec


class Spec(BackboneSpec):
    """The `matched` protocol: one backbone, optimiser, augmentation and number of epochs for every space.

    The stem is the only thing that follows the space: it reduces images, and latents that are finer than `stem`, to a
    grid of one cell for every `stem` x `stem` pixels, so that the stages behind it work at the same resolution.
    """

    family: Literal["timm"]
    model: str = "resnet18"
    """timm's name of it."""
