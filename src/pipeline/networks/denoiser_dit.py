"""The diffusion transformer of diffusers as a denoiser's network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipeline.errors import StudyError
from pipeline.networks.diffusers_classes import build

if TYPE_CHECKING:
    from pipeline.denoisers.dit import Spec

TIME = 1000.0
"""diffusers' embeddings of time are made for numbers up to about this."""


class DiT(nn.Module):
    """n x c x h x h values and n noise levels, ln(sigma) / 4, to n x c x h x h; 0 at first."""

    def __init__(self, shape: tuple[int, int, int], patch: int, spec: Spec) -> None:
        super().__init__()
        architecture = {
            "num_attention_heads": spec.heads,
            "attention_head_dim": spec.width // spec.heads,
            "in_channels": shape[0],
            "num_layers": spec.depth,
            "sample_size": shape[1],
            "patch_size": patch,
            "num_embeds_ada_norm": 1,
        }
        self.network = build("DiTTransformer2DModel", architecture)
        for module in self.network.modules():
            if hasattr(module, "dropout_prob"):
                module.dropout_prob = 0.0  # of the only class there is
        nn.init.zeros_(self.network.proj_out_2.weight)
        nn.init.zeros_(self.network.proj_out_2.bias)

    def forward(self, values: Tensor, noise: Tensor) -> Tensor:
        """Return the network's answer."""
        classes = torch.zeros(len(values), dtype=torch.long, device=values.device)
        answer: Tensor = self.network(values, TIME * noise.to(torch.float32), classes).sample
        return answer


def dit(shape: tuple[int, int, int], spec: Spec) -> nn.Module:
    """Return a transformer for (c, h, w); raise StudyError for a grid or a width that it cannot take."""
    _, h, w = shape
    if h != w:
        raise StudyError(f"a denoiser of the family dit takes square grids, and not {h} x {w}; take unet")
    if spec.width % spec.heads:
        raise StudyError(f"a width of {spec.width} cannot be shared by {spec.heads} heads; change 'heads'")
    patch = next(side for side in range(1, h + 1) if h % side == 0 and (h // side) ** 2 <= spec.tokens)
    return DiT(shape, patch, spec)
