"""A discriminator of image patches, its hinge loss, and how much of it the reconstruction bears.

Sources: Isola et al., "Image-to-image translation with conditional adversarial networks", 2017 (section 6.1.2, the
70 x 70 discriminator); Lim and Ye, "Geometric GAN", 2017 (hinge); Esser et al., "Taming transformers", 2021 (equation
7).
"""

from torch import Tensor, autograd, nn

from pipeline.errors import StudyError

WIDTH = 64
LAYERS = 3
SMALLEST_SIDE = 24
"""Pixels; below it there is not one whole decision."""
SLOPE = 0.2
LARGEST_RATIO = 1e4
SMALLEST_NORM = 1e-6


class PatchDiscriminator(nn.Sequential):
    """n x C x H x W images to n x 1 x h x w logits, each of a patch of 70 x 70 pixels: above 0 for a real image."""

    def __init__(self, channels: int) -> None:
        layers: list[nn.Module] = [_conv(channels, WIDTH, 2, bias=True), nn.LeakyReLU(SLOPE)]
        width = WIDTH
        for layer in range(1, LAYERS + 1):
            wider, stride = min(2 * width, 8 * WIDTH), 2 if layer < LAYERS else 1
            layers += [_conv(width, wider, stride, bias=False), _normalisation(wider), nn.LeakyReLU(SLOPE)]
            width = wider
        super().__init__(*layers, _conv(width, 1, 1, bias=True))


def _conv(inputs: int, outputs: int, stride: int, *, bias: bool) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, kernel_size=4, stride=stride, padding=1, bias=bias)
    nn.init.normal_(layer.weight, 0.0, 0.02)
    return layer


def _normalisation(width: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(width)
    nn.init.normal_(layer.weight, 1.0, 0.02)
    return layer


def require_size(height: int, width: int) -> None:
    """Raise StudyError for images that are too small to be judged."""
    if min(height, width) < SMALLEST_SIDE:
        raise StudyError(
            f"the patch discriminator needs images of at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels, and not "
            f"{height} x {width}; leave 'adversarial_weight' out"
        )


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Return the discriminator's loss: 0 once real logits are above 1 and fake ones below -1."""
    return 0.5 * ((1 - real).relu().mean() + (1 + fake).relu().mean())


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, layer: nn.Parameter) -> Tensor:
    """Return the ratio of the two losses' gradient norms at the decoder's last layer, at most 10,000.

    With this weight the discriminator moves the last layer as strongly as the reconstruction does.
    """
    wanted, given = (autograd.grad(loss, layer, retain_graph=True)[0].norm() for loss in (reconstruction, adversarial))
    ratio: Tensor = wanted / (given + SMALLEST_NORM)
    return ratio.clamp(max=LARGEST_RATIO).detach()
