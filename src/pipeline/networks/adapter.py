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

from pipeline.autoencoders import Latents, Pixels, Shape, batch_size
from pipeline.errors import StudyError
from pipeline.networks.allocator import keep_freed
from pipeline.networks.batches import at_a_time
from pipeline.networks.guarded import Guarded, Values
from pipeline.networks.inference import device, exact


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

    A grey image is repeated over the channels of a colour network, and the decoded channels are averaged. Latents of
    reduced precision that are not finite, or do not fit the type that latents are stored in, are computed again.
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
        self.codec, self.image_channels = codec, image_channels
        self.largest = float(np.finfo(latent_dtype).max)
        self.device = device()
        network = codec.network.requires_grad_(False).eval().to(self.device)
        if self.device.type == "cuda":
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        else:
            keep_freed()
        self.guarded = Guarded(self.device, getattr(torch, precision))

    @property
    def retries(self) -> int:
        """How many batches were computed again in float32, because reduced precision did not hold."""
        return self.guarded.retries

    def encode(self, images: Pixels) -> Latents:
        """Encode n x C x H x W pixels; raise StudyError for latents that are not finite."""
        return self.begin_encoding(images)()

    def decode(self, latents: NDArray[np.float32]) -> Pixels:
        """Decode n x c x h x w posterior means; raise StudyError for pixels that are not finite."""
        return self.begin_decoding(latents)()

    def begin_encoding(self, images: Pixels) -> Callable[[], Latents]:
        """Begin to encode n x C x H x W pixels; what is returned gives the latents, or raises as `encode` does."""
        begun = self.guarded.begin(images, self._encoded, self.largest)

        def latents() -> Latents:
            found = begun()
            if found.largest > self.largest:
                raise StudyError(f"a latent of {found.largest:.4g} exceeds float16: set 'latent_dtype: float32'")
            return Latents(*found.arrays)

        return latents

    def begin_decoding(self, latents: NDArray[np.float32]) -> Callable[[], Pixels]:
        """Begin to decode n x c x h x w posterior means; what is returned gives pixels, or raises as `decode` does."""
        begun = self.guarded.begin(latents, self._decoded)
        return lambda: np.clip(begun().arrays[0], 0.0, 1.0)

    def at_a_time(self, image: Shape, decoding: bool) -> int:
        """Return how many images of (C, H, W) the device encodes, or decodes, at a time."""
        if self.device.type != "cuda":
            return batch_size(image)
        grey = np.full((1, *image), 0.5, np.float32)
        compute, one = (self.decode, self.encode(grey).mean) if decoding else (self.encode, grey)
        found = at_a_time(image, lambda count: compute(one.repeat(count, axis=0)), self.device)
        # What was only tried is no part of what is counted.
        self.guarded.retries = 0
        return found

    def _encoded(self, images: Tensor) -> Values:
        pixels = images.expand(-1, self.codec.channels, -1, -1)
        return self.codec.encode(self.codec.lowest + (1 - self.codec.lowest) * pixels)

    def _decoded(self, latents: Tensor) -> Values:
        # In float32 whatever the network computed in.
        pixels = (self.codec.decode(latents).float() - self.codec.lowest) / (1 - self.codec.lowest)
        return pixels.mean(dim=1, keepdim=True) if self.image_channels == 1 else pixels, None

    def stages(self) -> list[str]:
        """Return the names of the decoder's stages, the one next to the latent first."""
        return list(self.codec.stages)

    def activations(self, latents: NDArray[np.float32], stages: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return what these stages give on the way to the image, each n x channels x height x width, in float32."""
        with exact(), _recording({name: self.codec.stages[name] for name in stages}) as seen:
            self.codec.decode(self.guarded.transfer.there(latents))
        return {name: _array(value) for name, value in seen.items()}


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


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.float().cpu().numpy()
    return array
