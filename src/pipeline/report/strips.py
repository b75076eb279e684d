"""Sample strips: image, reconstruction, difference and latent of a few samples through all autoencoders."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import StudyError
from pipeline.report import text
from pipeline.report.gallery import Column, Gallery, Values, fitted, html
from pipeline.report.results import unique

AMPLIFICATION = 5
"""Absolute differences are shown times this factor, on every page the same, so that pages can be compared."""

BUDGET = 3_000_000
"""Characters that the strips of all samples may take together."""

RECONSTRUCTION, LATENT = "reconstruction", "latent"
DIFFERENCE = f"difference {text.TIMES} {AMPLIFICATION}"


@dataclass(frozen=True)
class Strip:
    """One sample of one dataset through one autoencoder.

    Attributes:
        dataset: name of the dataset.
        autoencoder: name of the autoencoder.
        image: C x H x W in [0, 1], C is 1 or 3.
        reconstruction: as the image; None where there is no decoder.
        latent: c x h x w, raw.
        sample: what it is and why it is shown; the strips of one sample have the same.
    """

    dataset: str
    autoencoder: str
    image: NDArray[np.float32]
    reconstruction: NDArray[np.float32] | None
    latent: NDArray[np.float32]
    sample: str = ""


def checked(strip: Strip) -> Strip:
    """Return the strip; raise StudyError where it holds what cannot be shown truthfully."""
    where = f"the sample strip of {strip.dataset} / {strip.autoencoder}"
    if strip.image.ndim != 3 or strip.image.shape[0] not in (1, 3) or strip.latent.ndim != 3:
        raise StudyError(f"{where} has an image of shape {strip.image.shape} and a latent of {strip.latent.shape}")
    decoded = strip.image if strip.reconstruction is None else strip.reconstruction
    if strip.image.shape != decoded.shape:
        raise StudyError(f"{where} has an image {strip.image.shape} but a reconstruction {decoded.shape}")
    if not all(np.isfinite(part).all() for part in (strip.image, decoded, strip.latent)):
        raise StudyError(f"{where} holds values that are not finite")
    return strip


def difference(image: NDArray[np.float32], reconstruction: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the amplified absolute difference, C x H x W, clipped to [0, 1]."""
    amplified: NDArray[np.float32] = np.clip(AMPLIFICATION * np.abs(image - reconstruction), 0, 1)
    return amplified


def latent_colours(latent: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a latent c x h x w as 3 x h x w in [0, 1]: its three first principal components as red, green and blue.

    Each is scaled from its 1st to its 99th percentile and signed so that its largest deviation is positive, so any
    rotation, permutation or change of sign of the channels gives the same colours. One channel stays one, as grey, and
    keeps its sign.
    """
    if latent.shape[0] == 1:
        return _scaled(latent.astype(np.float64)).astype(np.float32)
    flat = latent.reshape(latent.shape[0], -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    variances, directions = np.linalg.eigh(flat @ flat.T)
    order = np.argsort(variances)[::-1][:3]
    scores = directions[:, order].T @ flat
    # A component of rounding noise (10^-5 of the first one's amplitude) would be stretched to full contrast.
    scores[variances[order] <= 1e-10 * variances[order[0]]] = 0
    extremes = np.take_along_axis(scores, np.abs(scores).argmax(axis=1, keepdims=True), axis=1)
    scores *= np.where(extremes < 0, -1, 1)
    colours = np.full((3, flat.shape[1]), 0.5)
    colours[: len(scores)] = _scaled(scores)
    return colours.reshape(3, *latent.shape[1:]).astype(np.float32)


def _scaled(channels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale each channel from its 1st-99th percentile to [0, 1]; a constant one becomes mid-grey."""
    out = np.full_like(channels, 0.5)
    for target, channel in zip(out, channels, strict=True):
        low, high = np.percentile(channel, (1, 99))
        if high > low:
            target[...] = np.clip((channel - low) / (high - low), 0, 1)
    return out


def gallery(strips: Sequence[Strip]) -> Gallery:
    """Return one sample through all autoencoders, its image first.

    What is exact, or the image itself, is said and not drawn again.
    """
    first = strips[0]
    columns = [Column(("image",), {RECONSTRUCTION: first.image}, shows="the original")]
    for strip in strips:
        if np.array_equal(strip.latent, strip.image):
            continue
        said = [strip.autoencoder, f"latent {text.shape('x'.join(map(str, strip.latent.shape)))}"]
        columns.append(Column([*said, *fidelity(strip)], {**compared(strip), LATENT: latent_colours(strip.latent)}))
    return Gallery(first.dataset, first.sample or "sample", columns)


def compared(strip: Strip) -> dict[str, Values | str]:
    """Return the tiles that show what a reconstruction changed."""
    if strip.reconstruction is None:
        return {RECONSTRUCTION: "no decoder"}
    if np.array_equal(strip.image, strip.reconstruction):
        return {RECONSTRUCTION: "the very image"}
    return {RECONSTRUCTION: strip.reconstruction, DIFFERENCE: difference(strip.image, strip.reconstruction)}


def fidelity(strip: Strip) -> list[str]:
    """Return the PSNR of this sample's reconstruction for a peak of 1, in words; nothing where there is none."""
    if strip.reconstruction is None:
        return []
    error = float(np.square(strip.image.astype(np.float64) - strip.reconstruction).mean())
    return [f"{-10 * math.log10(error):.1f} dB"] if error else []


def section(strips: Sequence[Strip], order: Sequence[str]) -> str:
    """Return the strips as HTML, by dataset and sample, the autoencoders in the given order.

    Raises:
        StudyError: a strip cannot be shown truthfully.
    """
    place = {name: position for position, name in enumerate(order)}
    ordered = sorted(map(checked, strips), key=lambda strip: place.get(strip.autoencoder, len(place)))
    datasets = unique(strip.dataset for strip in strips)
    grids, side = fitted(lambda side: "".join(_dataset(name, strips, ordered, side) for name in datasets), BUDGET)
    return (
        f"<p>The absolute difference is multiplied by {AMPLIFICATION} everywhere on this page (black: none; white: "
        f"{1 / AMPLIFICATION:.2g} of the pixel range or more). Latents are shown by their first three principal "
        "components as red, green and blue, scaled from the 1st to the 99th percentile for each sample on its own: "
        "colours show structure and cannot be compared between tiles. A latent of one channel is grey. "
        f"Tiles are stored with at most {side} pixels a side; larger arrays are area-averaged.</p>\n{grids}"
    )


def _dataset(dataset: str, strips: Sequence[Strip], ordered: Sequence[Strip], side: int) -> str:
    # Samples come as they were chosen, autoencoders in the order of the page.
    samples = unique(strip.sample for strip in strips if strip.dataset == dataset)
    shown = [[strip for strip in ordered if (strip.dataset, strip.sample) == (dataset, name)] for name in samples]
    tables = "".join(html(gallery(mine), side) for mine in shown)
    state = " open" if dataset == strips[0].dataset else ""
    return f"<details{state}{text.of(dataset)}><summary>{text.html(dataset)}</summary>\n{tables}</details>\n"
