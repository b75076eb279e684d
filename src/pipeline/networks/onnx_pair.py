"""An encoder and a decoder as ONNX graphs, with the contract of this project."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.autoencoders import Latents, Pixels
from pipeline.errors import StudyError
from pipeline.networks.onnx_graphs import Array, Graph
from pipeline.networks.patches import grid

PROBE = 8
"""Places of the latent along a side of the image on which a pair is tried."""
USUAL_STRIDE = 8
LOG_VARIANCES = (-30.0, 20.0)
"""Bounds of a log-variance, as diffusers' DiagonalGaussianDistribution sets them."""


@dataclass(frozen=True)
class Pair:
    """Two graphs and how to read them.

    Attributes:
        encoder: images to latents.
        decoder: latents to one image, or to the levels of a pyramid.
        encoder_range: what the encoder takes for pixels of 0 and 1.
        decoder_range: what the decoder gives for pixels of 0 and 1.
        gaussian: the encoder gives a mean and, behind it, a log-variance.
    """

    encoder: Graph
    decoder: Graph
    encoder_range: tuple[float, float]
    decoder_range: tuple[float, float]
    gaussian: bool


class OnnxAutoencoder:
    """An autoencoder around a pair, which is tried once on an image of noise.

    A grey image is repeated over the channels of a colour encoder, and the decoded channels are averaged.

    Attributes:
        stride: pixels to one place of the latent.
        latent_channels: of the mean.
    """

    def __init__(self, pair: Pair, image_channels: int, channels: int | None, stride: int | None) -> None:
        self.pair, self.image_channels = pair, image_channels
        self.channels = _channels(pair.encoder, channels)
        if image_channels not in (1, self.channels):
            raise StudyError(f"an autoencoder of {self.channels} channels does not take images of {image_channels}")
        self.latent_channels, self.stride = self._try(stride)

    def encode(self, images: Pixels) -> Latents:
        """Encode n x C x H x W pixels; raise StudyError for a size that does not fit, or values that are not finite."""
        shape = self.latent_shape((images.shape[1], images.shape[2], images.shape[3]))
        latents = self._encode(images)
        if latents.mean.shape[1:] != shape:
            made = _text(latents.mean.shape[1:])
            raise StudyError(f"{self.pair.encoder.file} makes {made} of {_text(images.shape[1:])}, not {_text(shape)}")
        return latents

    def decode(self, latents: Array) -> Pixels:
        """Decode n x c x h x w latents; raise StudyError for values that are not finite."""
        black, white = self.pair.decoder_range
        height, width = (self.stride * places for places in latents.shape[2:])
        image = _assembled(self.pair.decoder, latents, (self.channels, height, width))
        if self.image_channels == 1:
            image = image.mean(axis=1, keepdims=True)
        pixels = np.clip((image - black) / (white - black), 0.0, 1.0)
        return np.asarray(pixels, dtype=np.float32)

    def latent_shape(self, image: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return (c, h, w) for an image of (C, H, W); raise StudyError for a size that does not fit."""
        shape = self.latent_channels, *grid(image, self.stride)
        fixed = self.pair.encoder.shape[2:]
        if any(size not in (None, asked) for size, asked in zip(fixed, image[1:], strict=True)):
            taken = " x ".join("any" if size is None else str(size) for size in fixed)
            raise StudyError(f"{self.pair.encoder.file} takes images of {taken} and not of {image[1]} x {image[2]}")
        return shape

    def _encode(self, images: Pixels) -> Latents:
        black, white = self.pair.encoder_range
        colour = np.repeat(images, self.channels // images.shape[1], axis=1)
        (values,) = self.pair.encoder((black + (white - black) * colour).astype(np.float32))
        if not self.pair.gaussian:
            return Latents(values)
        if values.shape[1] % 2:
            raise StudyError(f"{self.pair.encoder.file} gives {values.shape[1]} channels, which are no two halves")
        mean, log_variance = np.split(values, 2, axis=1)
        return Latents(mean, np.clip(log_variance, *LOG_VARIANCES))

    def _try(self, stated: int | None) -> tuple[int, int]:
        """Return the latent's channels and the stride, and make sure that the graphs fit together."""
        encoder, decoder = self.pair.encoder, self.pair.decoder
        side = PROBE * (stated or USUAL_STRIDE)
        height, width = (size or side for size in encoder.shape[2:])
        noise = np.random.default_rng(0).random((1, self.channels, height, width), dtype=np.float32)
        first = self._encode(noise).mean
        if not np.array_equal(first, self._encode(noise).mean):
            raise StudyError(f"{encoder.file} gives other latents each time: it draws random numbers")
        _, channels, rows, columns = first.shape
        stride = height // rows
        if (rows * stride, columns * stride) != (height, width):
            raise StudyError(f"{encoder.file} makes {rows} x {columns} of {height} x {width}: there is no stride")
        if stated not in (None, stride):
            raise StudyError(f"{encoder.file} has a stride of {stride}, and not of {stated}")
        image = _assembled(decoder, first, (self.channels, height, width))
        if not np.array_equal(image, _assembled(decoder, first, (self.channels, height, width))):
            raise StudyError(f"{decoder.file} gives another image each time: it draws random numbers")
        return channels, stride


def interpolation(size: int, places: int) -> Array:
    """Return the size x places matrix that interpolates linearly between pixel centres and repeats the border."""
    centres = np.clip((np.arange(size) + 0.5) * places / size - 0.5, 0, places - 1)
    weights = np.maximum(0.0, 1 - np.abs(centres[:, None] - np.arange(places)))
    return np.asarray(weights, dtype=np.float32)


def _assembled(decoder: Graph, latents: Array, shape: tuple[int, int, int]) -> Array:
    """Return the image of (C, H, W): the decoder's only output, or the sum of all levels, interpolated to that size."""
    levels = decoder(latents)
    found = [level.shape[1:] for level in levels]
    fits = all(channels == shape[0] and rows <= shape[1] and columns <= shape[2] for channels, rows, columns in found)
    if not fits or shape not in found:
        raise StudyError(f"{decoder.file} gives {', '.join(map(_text, found))}, and the image is {_text(shape)}")
    return np.asarray(sum(_grown(level, shape[1], shape[2]) for level in levels), dtype=np.float32)


def _grown(level: Array, height: int, width: int) -> Array:
    if level.shape[2:] == (height, width):
        return level
    return np.asarray(interpolation(height, level.shape[2]) @ level @ interpolation(width, level.shape[3]).T)


def _channels(encoder: Graph, stated: int | None) -> int:
    declared = encoder.shape[1]
    if stated is None and declared is None:
        raise StudyError(f"{encoder.file} leaves open how many channels its images have: say 'channels'")
    if None not in (stated, declared) and stated != declared:
        raise StudyError(f"{encoder.file} takes images of {declared} channels, and not of {stated}")
    return stated or declared or 0


def _text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
