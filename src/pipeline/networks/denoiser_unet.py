"""The U-Net of diffusers as a denoiser's network."""

import torch
from torch import Tensor, nn

from pipeline.networks.diffusers_classes import build

TIME = 1000.0
"""diffusers' embeddings of time are made for numbers up to about this."""
GROUPS = 8


class UNet(nn.Module):
    """n x c x h x w values and n noise levels, ln(sigma) / 4, to n x c x h x w; 0 at first."""

    def __init__(self, shape: tuple[int, int, int], channels: list[int], layers: int) -> None:
        super().__init__()
        levels = len(channels)
        # Attention would not be differentiable forwards here: its outputs are laid out as group norms cannot take.
        architecture = {
            "in_channels": shape[0],
            "out_channels": shape[0],
            "block_out_channels": tuple(channels),
            "down_block_types": ("DownBlock2D",) * levels,
            "up_block_types": ("UpBlock2D",) * levels,
            "layers_per_block": layers,
            "norm_num_groups": GROUPS,
            "add_attention": False,
        }
        self.network = build("UNet2DModel", architecture)
        nn.init.zeros_(self.network.conv_out.weight)
        nn.init.zeros_(self.network.conv_out.bias)

    def forward(self, values: Tensor, noise: Tensor) -> Tensor:
        """Return the network's answer."""
        answer: Tensor = self.network(values, TIME * noise.to(torch.float32)).sample
        return answer


def unet(shape: tuple[int, int, int], channels: list[int], layers: int) -> nn.Module:
    """Return a U-Net for (c, h, w) with as many of the levels as both sides can be halved for."""
    _, h, w = shape
    most = next(count for count in range(len(channels), 0, -1) if h % 2 ** (count - 1) == w % 2 ** (count - 1) == 0)
    return UNet(shape, channels[:most], layers)
