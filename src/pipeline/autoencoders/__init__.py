"""Autoencoders: one module a family, each with a `Spec` that can `load` an `Autoencoder`.

Contract: pixels in [0, 1] in, raw deterministic latents out (the posterior mean, never a sample; nothing normalised),
and back. The result for a sample does not depend on what else is in the batch. A family's module imports torch only
inside `load`, and keeps networks of its own in a module below `pipeline/networks/`.
"""

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.spec import Spec

T = TypeVar("T")

Pixels = NDArray[np.float32]
"""n x C x H x W in [0, 1]; C is 1 for grey images and 3 for colour."""

Shape = tuple[int, int, int]
"""Channels, height, width of one sample."""


PIXELS_AT_A_TIME = 32 * 128 * 128
MOST_IMAGES = 32


def batch_size(image: Shape) -> int:
    """Return how many images of (C, H, W) are encoded or decoded at a time: a bound of what one batch takes."""
    return max(1, min(MOST_IMAGES, PIXELS_AT_A_TIME // (image[1] * image[2])))


@dataclass(frozen=True)
class Latents:
    """Raw latents of a batch.

    Attributes:
        mean: n x c x h x w, float32: the posterior mean, or the code itself where there is no posterior.
        log_variance: same shape, only for a variational encoder.
    """

    mean: NDArray[np.float32]
    log_variance: NDArray[np.float32] | None = None


class Autoencoder(Protocol):
    """A frozen encoder and decoder for images of the number of channels that it was loaded for.

    One that computes in reduced precision counts in `retries` the batches that it had to repeat in float32.
    """

    def encode(self, images: Pixels) -> Latents:
        """Encode a batch of pixels."""
        ...

    def decode(self, latents: NDArray[np.float32]) -> Pixels:
        """Decode a batch of posterior means to pixels, clipped to [0, 1]."""
        ...


@runtime_checkable
class Overlapping(Protocol):
    """An autoencoder whose device computes while this process does something else.

    What begins a batch is called before the results of the last one are asked for.
    """

    def begin_encoding(self, images: Pixels) -> Callable[[], Latents]:
        """Begin to encode a batch of pixels; what is returned waits for the latents."""
        ...

    def begin_decoding(self, latents: NDArray[np.float32]) -> Callable[[], Pixels]:
        """Begin to decode a batch of posterior means; what is returned waits for the pixels."""
        ...

    def at_a_time(self, image: Shape, decoding: bool) -> int:
        """Return how many images of (C, H, W) the device encodes, or decodes, at a time."""
        ...


def encoded(autoencoder: Autoencoder, batches: Iterable[Pixels]) -> Iterator[tuple[Pixels, Latents]]:
    """Yield batches with their latents, each waited for when the next batch has been begun."""
    if not isinstance(autoencoder, Overlapping):
        yield from ((images, autoencoder.encode(images)) for images in batches)
        return
    begun = ((images, autoencoder.begin_encoding(images)) for images in batches)
    yield from ((images, latents()) for images, latents in _one_behind(begun))


def decoded(autoencoder: Autoencoder, batches: Iterable[NDArray[np.float32]]) -> Iterator[Pixels]:
    """Yield the images of batches of latents, each waited for when the next batch has been begun."""
    if not isinstance(autoencoder, Overlapping):
        yield from map(autoencoder.decode, batches)
        return
    yield from (pixels() for pixels in _one_behind(map(autoencoder.begin_decoding, batches)))


def _one_behind(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, each when the next one is there."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting


def at_a_time(autoencoder: Autoencoder, image: Shape, decoding: bool = False) -> int:
    """Return how many images of (C, H, W) an autoencoder encodes, or decodes, at a time."""
    return autoencoder.at_a_time(image, decoding) if isinstance(autoencoder, Overlapping) else batch_size(image)


@runtime_checkable
class Staged(Protocol):
    """An autoencoder that shows what its decoder computes on the way from the latent to the image."""

    def stages(self) -> list[str]:
        """Return the names of the stages, the one next to the latent first."""
        ...

    def activations(self, latents: NDArray[np.float32], stages: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return the output of these stages, each n x channels x height x width."""
        ...


@runtime_checkable
class Coded(Protocol):
    """A codec whose latents have an agreed form on disk."""

    def file_bytes(self, images: Pixels) -> NDArray[np.int64]:
        """Return how many bytes the file of each image takes."""
        ...


class AutoencoderSpec(Spec):
    """What the configuration says of one autoencoder."""

    decodes: ClassVar[bool] = True
    """Whether there is a decoder. Without one there are no reconstructions, and what needs them is left empty."""

    is_network: ClassVar[bool] = False
    """Whether images go through a network, which takes far longer than a formula."""

    family: str
    latent_dtype: Literal["float32"] = "float32"
    """How latents are stored. A family whose decoder resolves far less than float16 rounds offers that, too."""
    space: Literal["raw"] = "raw"
    """Which of the spaces that an autoencoder offers the latents live in. A family that offers more says so here."""
    tile: Annotated[int, Field(ge=1)] | None = None
    """Images with a longer side are taken in overlapping squares of so many pixels, which bounds memory; see
    `pipeline.networks.tiles`. None: whole. [pixels]"""

    @abstractmethod
    def latent_shape(self, image: Shape) -> Shape:
        """Return (c, h, w) for images of shape (C, H, W); raise StudyError for a size that is not supported."""

    @abstractmethod
    def load(self, image_channels: int) -> Autoencoder:
        """Load the autoencoder for images with this many channels (1 or 3)."""

    def place(self, job: int) -> None:
        """Let a network be loaded to one of several accelerators, by the number of the job."""

    def load_for(self, image: Shape) -> Autoencoder:
        """Load the autoencoder for images of shape (C, H, W), which it takes in tiles if that is asked for."""
        autoencoder = self.load(image[0])
        if self.tile is None or max(image[1:]) <= self.tile:
            return autoencoder
        from pipeline.networks.tiles import Tiled

        tiled = Tiled(autoencoder, self.tile, image[1] // self.latent_shape(image)[1])
        self.latent_shape((image[0], min(self.tile, image[1]), min(self.tile, image[2])))  # it takes squares, too
        return tiled

    def files(self) -> list[str]:
        """Return the weight and configuration files that `load` reads; a change of one of them encodes anew."""
        return []
