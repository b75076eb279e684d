"""Give a torch autoencoder the contract of this project: NumPy pixels in [0, 1], grey or colour, and finite latents."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.autoencoders import Latents, Pixels
from pipeline.errors import StudyError


@dataclass(frozen=True)
class Codec:
    """A network and how to call it.

    Attributes:
        network: holds the parameters.
        channels: that it takes and gives.
        lowest: the value that stands for a pixel of 0; a pixel of 1 is 1.
        encode: images to the posterior mean and, where there is one, the posterior log-variance.
        decode: a posterior mean to images.
    """

    network: nn.Module
    channels: int
    lowest: float
    encode: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    decode: Callable[[Tensor], Tensor]


class TorchAutoencoder:
    """An autoencoder around a network.

    A grey image is repeated over the channels of a colour network, and the decoded channels are averaged.
    """

    def __init__(self, codec: Codec, image_channels: int) -> None:
        if image_channels not in (1, codec.channels):
            raise StudyError(f"an autoencoder of {codec.channels} channels does not take images of {image_channels}")
        self.codec, self.image_channels = codec, image_channels
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        codec.network.requires_grad_(False).eval().to(self.device)

    def encode(self, images: Pixels) -> Latents:
        """Encode n x C x H x W pixels; raise StudyError for latents that are not finite."""
        with _inference():
            pixels = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).to(self.device)
            pixels = pixels.expand(-1, self.codec.channels, -1, -1)
            scaled = self.codec.lowest + (1 - self.codec.lowest) * pixels
            mean, log_variance = self.codec.encode(scaled)
        return Latents(_finite(mean), None if log_variance is None else _finite(log_variance))

    def decode(self, latents: NDArray[np.float32]) -> Pixels:
        """Decode n x c x h x w posterior means; raise StudyError for pixels that are not finite."""
        with _inference():
            values = torch.from_numpy(np.ascontiguousarray(latents, dtype=np.float32)).to(self.device)
            pixels = (self.codec.decode(values) - self.codec.lowest) / (1 - self.codec.lowest)
            if self.image_channels == 1:
                pixels = pixels.mean(dim=1, keepdim=True)
        return np.clip(_finite(pixels), 0.0, 1.0)


@contextmanager
def _inference() -> Iterator[None]:
    # An accelerator otherwise rounds convolutions to ten bits of mantissa and picks an algorithm by timing.
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact:
        yield


def _finite(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.float().cpu().numpy()
    if not np.isfinite(array).all():
        raise StudyError(f"{np.count_nonzero(~np.isfinite(array))} of the autoencoder's values are not finite")
    return array
