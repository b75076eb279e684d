"""The tiny autoencoder of the FLUX.2 latent space (madebyollin/taesd, TAEF2) with the key names of its weights.

RGB in [0, 1], n x 3 x H x W, to n x 32 x H/8 x W/8 and back.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.errors import StudyError

WIDTH = 64
LATENT_CHANNELS = 32
LARGEST_LATENT = 3.0


def _conv(inputs: int, outputs: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, stride=stride, bias=bias)


class _Block(nn.Module):
    """Three convolutions around a shortcut; a mid block first adds features normalised over the whole image."""

    def __init__(self, *, mid: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(WIDTH, WIDTH), nn.ReLU(), _conv(WIDTH, WIDTH), nn.ReLU(), _conv(WIDTH, WIDTH))
        wide = 4 * WIDTH
        self.pool = (
            nn.Sequential(
                nn.Conv2d(WIDTH, wide, 1, bias=False),
                nn.GroupNorm(4, wide),
                nn.ReLU(),
                nn.Conv2d(wide, WIDTH, 1, bias=False),
            )
            if mid
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


class _Squash(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / LARGEST_LATENT) * LARGEST_LATENT


def _down(*, mid: bool = False) -> list[nn.Module]:
    return [_conv(WIDTH, WIDTH, stride=2, bias=False), *(_Block(mid=mid) for _ in range(3))]


def _up(*, mid: bool = False) -> list[nn.Module]:
    return [*(_Block(mid=mid) for _ in range(3)), nn.Upsample(scale_factor=2), _conv(WIDTH, WIDTH, bias=False)]


class TinyAutoencoder(nn.Module):
    """Encoder and decoder; the number of a layer is the one in its key."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            _conv(3, WIDTH), _Block(), *_down(), *_down(), *_down(mid=True), _conv(WIDTH, LATENT_CHANNELS)
        )
        self.decoder = nn.Sequential(
            *(_Squash(), _conv(LATENT_CHANNELS, WIDTH), nn.ReLU()),
            *(*_up(mid=True), *_up(), *_up()),
            *(_Block(), _conv(WIDTH, 3)),
        )


def read(weights: str) -> TinyAutoencoder:
    """Read the weights in float32; raise StudyError where the file is missing or its keys are others."""
    if not Path(weights).is_file():
        raise StudyError(f"there is no file {weights}")
    network = TinyAutoencoder()
    try:
        network.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
    except (SafetensorError, RuntimeError) as error:
        raise StudyError(f"{weights} does not hold a tiny autoencoder with mid blocks") from error
    return network
