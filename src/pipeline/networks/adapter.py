"""Give a torch autoencoder the contract of this project: NumPy pixels in [0, 1], grey or colour, and finite latents."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.autoencoders import Latents, Pixels
from pipeline.errors import StudyError
from pipeline.networks.inference import device, exact

Values = tuple[Tensor, Tensor | None]
"""A posterior mean and, where there is one, the posterior log-variance."""


@dataclass(frozen=True)
class Codec:
    """A network and how to call it.

    Attributes:
        network: holds the parameters.
        channels: that it takes and gives.
        lowest: the value that stands for a pixel of 0; a pixel of 1 is 1.
        encode: images to the posterior mean and, where there is one, the posterior log-variance.
        decode: a posterior mean to images.
        stages: the decoder's modules, from the latent to the image, whose outputs are its activations.
    """

    network: nn.Module
    channels: int
    lowest: float
    encode: Callable[[Tensor], Values]
    decode: Callable[[Tensor], Tensor]
    stages: Mapping[str, nn.Module] = field(default_factory=dict)


class TorchAutoencoder:
    """An autoencoder around a network.

    A grey image is repeated over the channels of a colour network, and the decoded channels are averaged.

    Attributes:
        retries: batches that were not finite in reduced precision, or did not fit the type that latents are stored
            in, and were computed again in float32.
    """

    def __init__(
        self,
        codec: Codec,
        image_channels: int,
        precision: Literal["float32", "float16", "bfloat16"] = "float32",
        latent_dtype: Literal["float16", "float32"] = "float32",
    ) -> None:
        if image_channels not in (1, codec.channels):
            raise StudyError(f"an autoencoder of {codec.channels} channels does not take images of {image_channels}")
        self.codec, self.image_channels, self.retries = codec, image_channels, 0
        self.precision: torch.dtype = getattr(torch, precision)
        self.largest = float(np.finfo(latent_dtype).max)
        self.device = device()
        codec.network.requires_grad_(False).eval().to(self.device)

    def encode(self, images: Pixels) -> Latents:
        """Encode n x C x H x W pixels; raise StudyError for latents that are not finite."""
        with exact():
            pixels = self._tensor(images).expand(-1, self.codec.channels, -1, -1)
            scaled = self.codec.lowest + (1 - self.codec.lowest) * pixels
            mean, log_variance = self._guarded(lambda: self.codec.encode(scaled), self.largest)
        if not _fits(mean, self.largest):
            raise StudyError(f"a latent of {float(mean.abs().max()):.4g} exceeds float16: set 'latent_dtype: float32'")
        return Latents(_array(mean), None if log_variance is None else _array(log_variance))

    def decode(self, latents: NDArray[np.float32]) -> Pixels:
        """Decode n x c x h x w posterior means; raise StudyError for pixels that are not finite."""
        with exact():
            values = self._tensor(latents)
            images, _ = self._guarded(lambda: (self.codec.decode(values), None), np.inf)
            pixels = (images - self.codec.lowest) / (1 - self.codec.lowest)
            if self.image_channels == 1:
                pixels = pixels.mean(dim=1, keepdim=True)
        return np.clip(_array(pixels), 0.0, 1.0)

    def stages(self) -> list[str]:
        """Return the names of the decoder's stages, the one next to the latent first."""
        return list(self.codec.stages)

    def activations(self, latents: NDArray[np.float32], stages: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return what these stages give on the way to the image, each n x channels x height x width, in float32."""
        with exact(), _recording({name: self.codec.stages[name] for name in stages}) as seen:
            self.codec.decode(self._tensor(latents))
        return {name: _array(value) for name, value in seen.items()}

    def _guarded(self, compute: Callable[[], Values], largest: float) -> Values:
        """Return values in float32: those of reduced precision where all are finite and not too large."""
        if self.precision != torch.float32:
            with torch.autocast(self.device.type, self.precision):
                first, second = compute()
            if _fits(first, largest) and (second is None or _fits(second, np.inf)):
                return first.float(), None if second is None else second.float()
            self.retries += 1
        first, second = compute()
        for values in (first, second):
            if values is not None and not bool(values.isfinite().all()):
                wrong = int((~values.isfinite()).sum())
                raise StudyError(f"{wrong} of the autoencoder's values are not finite")
        return first.float(), None if second is None else second.float()

    def _tensor(self, values: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(self.device)


def decoder_stages(decoder: nn.Module) -> dict[str, nn.Module]:
    """Return the stages of a convolutional decoder: what each resolution ends with, and the last before the image.

    Either a decoder with `conv_in`, `mid_block` and `up_blocks`, as diffusers builds most of them, or a plain sequence
    with layers that enlarge.
    """
    parts = dict(decoder.named_children())
    if "up_blocks" in parts:
        blocks = {name: parts[name] for name in ("conv_in", "mid_block") if name in parts}
        return blocks | {f"up_blocks.{name}": block for name, block in parts["up_blocks"].named_children()}
    layers = dict(parts.get("layers", decoder).named_children())
    names = list(layers)
    ends = [before for before, name in pairwise(names) if isinstance(layers[name], nn.Upsample)]
    return {f"layers.{name}": layers[name] for name in [*ends, names[-2]]}


@contextmanager
def _recording(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Record what these modules give inside."""
    seen: dict[str, Tensor] = {}

    def record(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _inputs, output: seen.__setitem__(name, output)

    handles = [module.register_forward_hook(record(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _fits(values: Tensor, largest: float) -> bool:
    return bool(values.isfinite().all()) and (largest == np.inf or float(values.abs().max()) <= largest)


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.float().cpu().numpy()
    return array
