"""A second implementation of CompVis' latent-diffusion autoencoder, on its own names of weights, with low-rank updates.

Source: Rombach et al., 2022, and the layout of StanfordMIMI/MedVAE (`medvae/utils/vae/diffusionmodels.py`, and
`medvae/utils/lora.py` for the updates).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

GROUPS, EPSILON, LAYERS = 32, 1e-6, 2


def random_weights(*, channels: int, latent: int, widths: tuple[int, ...], rank: int = 0) -> dict[str, Tensor]:
    """Return weights under the published names; with a rank, updates beside those convolutions that MedVAE fits."""
    return {
        name: _random(name, shape)
        for key, shape, fitted in _convolutions(channels, latent, widths)
        for name, shape in _named(key, shape, rank if fitted else 0)
    } | {
        f"{key}.{part}": torch.randn(width) / 10 + (part == "weight")
        for key, width in _norms(widths)
        for part in ("weight", "bias")
    }


def _random(name: str, shape: tuple[int, ...]) -> Tensor:
    fan_in = shape[1] * shape[2] * shape[3] if len(shape) == 4 else 100
    # Updates are small beside what they are added to, and most pixels are within the range of images.
    smaller = "lora" in name or name.startswith("decoder.conv_out")
    return torch.randn(shape) / fan_in**0.5 / (4 if smaller else 1)


def _named(key: str, shape: tuple[int, ...], rank: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    outputs, inputs, *size = shape
    within = f"{key}.conv" if rank else key
    yield f"{within}.weight", shape
    yield f"{within}.bias", (outputs,)
    if rank:
        yield f"{key}.lora_down.weight", (rank, inputs, *size)
        yield f"{key}.lora_up.weight", (outputs, rank, 1, 1)


def _blocks(widths: tuple[int, ...]) -> Iterator[tuple[str, int, int]]:
    """Yield the name, inputs and outputs of every residual block."""
    last = widths[-1]
    for half in ("encoder", "decoder"):
        yield f"{half}.mid.block_1", last, last
        yield f"{half}.mid.block_2", last, last
    for level, (before, width) in enumerate(zip((widths[0], *widths), widths, strict=False)):
        for block in range(LAYERS):
            yield f"encoder.down.{level}.block.{block}", width if block else before, width
    for level, (width, before) in enumerate(zip(widths, (*widths[1:], last), strict=True)):
        for block in range(LAYERS + 1):
            yield f"decoder.up.{level}.block.{block}", width if block else before, width


def _convolutions(channels: int, latent: int, widths: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...], bool]]:
    """Yield the name and shape of every convolution, and whether it is in a residual or attention block."""
    first, last = widths[0], widths[-1]
    yield "encoder.conv_in", (first, channels, 3, 3), False
    yield "encoder.conv_out", (2 * latent, last, 3, 3), False
    yield "quant_conv", (2 * latent, 2 * latent, 1, 1), False
    yield "post_quant_conv", (latent, latent, 1, 1), False
    yield "decoder.conv_in", (last, latent, 3, 3), False
    yield "decoder.conv_out", (channels, first, 3, 3), False
    for key, inputs, outputs in _blocks(widths):
        yield f"{key}.conv1", (outputs, inputs, 3, 3), True
        yield f"{key}.conv2", (outputs, outputs, 3, 3), True
        if inputs != outputs:
            yield f"{key}.nin_shortcut", (outputs, inputs, 1, 1), True
    for half in ("encoder", "decoder"):
        for part in ("q", "k", "v", "proj_out"):
            yield f"{half}.mid.attn_1.{part}", (last, last, 1, 1), True
    for level, width in enumerate(widths[:-1]):
        yield f"encoder.down.{level}.downsample.conv", (width, width, 3, 3), False
    for level, width in enumerate(widths[1:], start=1):
        yield f"decoder.up.{level}.upsample.conv", (width, width, 3, 3), False
    # What MedVAE computes from a code, beside the autoencoder.
    for key, shape in {"0": (64, latent, 1, 1), "2": (64, 64, 3, 3), "4": (latent, 64, 1, 1)}.items():
        yield f"channel_ds.{key}", shape, False
    yield "channel_proj", (latent, latent, 1, 1), False


def _norms(widths: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    for key, inputs, outputs in _blocks(widths):
        yield f"{key}.norm1", inputs
        yield f"{key}.norm2", outputs
    for half, width in (("encoder", widths[-1]), ("decoder", widths[0])):
        yield f"{half}.mid.attn_1.norm", widths[-1]
        yield f"{half}.norm_out", width


@dataclass(frozen=True)
class Reference:
    """Encode images in [-1, 1] to moments, and decode means."""

    weights: dict[str, Tensor]
    levels: int

    def moments(self, images: Tensor) -> Tensor:
        """Return mean and log-variance, one after the other."""
        x = self._convolve("encoder.conv_in", images)
        for level in range(self.levels):
            for block in range(LAYERS):
                x = self._residual(f"encoder.down.{level}.block.{block}", x)
            if level < self.levels - 1:
                padded = functional.pad(x, (0, 1, 0, 1))
                x = self._convolve(f"encoder.down.{level}.downsample.conv", padded, stride=2, padding=0)
        return self._convolve("quant_conv", self._end("encoder", self._middle("encoder", x)))

    def images(self, means: Tensor) -> Tensor:
        """Return images in about [-1, 1]."""
        x = self._middle("decoder", self._convolve("decoder.conv_in", self._convolve("post_quant_conv", means)))
        for level in reversed(range(self.levels)):
            for block in range(LAYERS + 1):
                x = self._residual(f"decoder.up.{level}.block.{block}", x)
            if level:
                x = self._convolve(
                    f"decoder.up.{level}.upsample.conv", x.repeat_interleave(2, 2).repeat_interleave(2, 3)
                )
        return self._end("decoder", x)

    def _convolve(self, key: str, x: Tensor, stride: int = 1, padding: int | None = None) -> Tensor:
        if f"{key}.lora_up.weight" in self.weights:
            low = self._convolve(f"{key}.lora_down", x)
            return self._convolve(f"{key}.conv", x) + self._convolve(f"{key}.lora_up", low)
        weight, bias = self.weights[f"{key}.weight"], self.weights.get(f"{key}.bias")
        return functional.conv2d(x, weight, bias, stride, weight.shape[-1] // 2 if padding is None else padding)

    def _norm(self, key: str, x: Tensor) -> Tensor:
        return functional.group_norm(x, GROUPS, self.weights[f"{key}.weight"], self.weights[f"{key}.bias"], EPSILON)

    def _residual(self, key: str, x: Tensor) -> Tensor:
        y = self._convolve(f"{key}.conv1", functional.silu(self._norm(f"{key}.norm1", x)))
        y = self._convolve(f"{key}.conv2", functional.silu(self._norm(f"{key}.norm2", y)))
        return y + (x if x.shape == y.shape else self._convolve(f"{key}.nin_shortcut", x))

    def _attend(self, key: str, x: Tensor) -> Tensor:
        normed = self._norm(f"{key}.norm", x)
        q, k, v = (self._convolve(f"{key}.{part}", normed).flatten(2) for part in "qkv")
        attention = torch.softmax(torch.einsum("nci,ncj->nij", q, k) / x.shape[1] ** 0.5, dim=2)
        seen = torch.einsum("nij,ncj->nci", attention, v).reshape(x.shape)
        return x + self._convolve(f"{key}.proj_out", seen)

    def _middle(self, half: str, x: Tensor) -> Tensor:
        x = self._attend(f"{half}.mid.attn_1", self._residual(f"{half}.mid.block_1", x))
        return self._residual(f"{half}.mid.block_2", x)

    def _end(self, half: str, x: Tensor) -> Tensor:
        return self._convolve(f"{half}.conv_out", functional.silu(self._norm(f"{half}.norm_out", x)))
