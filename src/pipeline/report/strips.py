"""Sample strips: image, reconstruction, difference and latent of a few samples, as PNG data inside the page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import StudyError
from pipeline.report import text
from pipeline.report.results import unique

AMPLIFICATION = 5
"""Absolute differences are shown times this factor, on every page the same, so that pages can be compared."""

TILE = 112
"""Width of a tile on the page in CSS pixels."""

SIDES = (160, 128, 96, 64, 48, 32)
"""Longest sides in pixels at which tiles are stored: the first with which all of them stay within the budget."""

BUDGET = 3_500_000
"""Characters that all tiles of a page may take together."""

Bytes = NDArray[np.uint8]
"""H x W (grey) or H x W x 3 (colour)."""


@dataclass(frozen=True)
class Strip:
    """One sample of one dataset through one autoencoder.

    Attributes:
        dataset: name of the dataset.
        autoencoder: name of the autoencoder.
        image: C x H x W in [0, 1], C is 1 or 3.
        reconstruction: as the image; None where there is no decoder.
        latent: c x h x w, raw.
    """

    dataset: str
    autoencoder: str
    image: NDArray[np.float32]
    reconstruction: NDArray[np.float32] | None
    latent: NDArray[np.float32]


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


def pixels(image: NDArray[np.float32]) -> Bytes:
    """Return C x H x W in [0, 1] as bytes; what lies outside is clipped."""
    scaled = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return scaled[0] if scaled.shape[0] == 1 else np.moveaxis(scaled, 0, -1)


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


def png(array: Bytes, side: int) -> tuple[str, int]:
    """Return a PNG data URI of at most `side` pixels a side (area averaged), and its width in pixels."""
    picture = Image.fromarray(np.ascontiguousarray(array))
    factor = side / max(picture.size)
    if factor < 1:
        width, height = (max(1, round(length * factor)) for length in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii"), picture.width


def _tiles(strip: Strip) -> list[tuple[str, Bytes]]:
    tiles = [("image", pixels(strip.image))]
    if strip.reconstruction is not None:
        changed = pixels(difference(strip.image, strip.reconstruction))
        tiles += [
            ("reconstruction", pixels(strip.reconstruction)),
            (f"difference {text.TIMES} {AMPLIFICATION}", changed),
        ]
    return [*tiles, ("latent", pixels(latent_colours(strip.latent)))]


def _img(tile: str, width: int, alt: str) -> str:
    # Blocks show the true grid of a latent; an image close to the size of its tile is only distorted by them.
    blocky = ' class="blocks"' if 2 * width <= TILE else ""
    return f'<img src="{tile}" width="{TILE}" alt="{text.html(alt)}"{blocky}>'


def _figure(strip: Strip, sample: int, side: int) -> str:
    cells = []
    for name, array in _tiles(strip):
        alt = f"{strip.dataset}, {strip.autoencoder}, sample {sample}: {name}"
        cells.append(f"<figure>{_img(*png(array, side), alt)}<figcaption>{name}</figcaption></figure>")
    return f'<div class="strip" role="group" aria-label="sample {sample}">{"".join(cells)}</div>'


def _dataset(dataset: str, strips: Sequence[Strip], side: int) -> str:
    rows = []
    for autoencoder in unique(strip.autoencoder for strip in strips):
        mine = [strip for strip in strips if strip.autoencoder == autoencoder]
        shape = text.shape("x".join(map(str, mine[0].latent.shape)))
        figures = "".join(_figure(strip, sample, side) for sample, strip in enumerate(mine, start=1))
        label = f"<h4>{text.html(autoencoder)}</h4><p>latent {shape}</p>"
        rows.append(f'<div class="samples"><div>{label}</div><div class="strips">{figures}</div></div>\n')
    return f"<section><h3>{text.html(dataset)}</h3>\n{''.join(rows)}</section>\n"


def section(strips: Sequence[Strip], order: Sequence[str]) -> str:
    """Return the strips as HTML, by dataset, the autoencoders in the given order; raise StudyError for a broken one."""
    place = {name: position for position, name in enumerate(order)}
    ordered = sorted(map(checked, strips), key=lambda strip: place.get(strip.autoencoder, len(place)))
    datasets = unique(strip.dataset for strip in strips)
    grids, side = "", 0
    for side in SIDES:
        grids = "".join(_dataset(name, [s for s in ordered if s.dataset == name], side) for name in datasets)
        if len(grids) <= BUDGET:
            break
    return (
        f"<p>The absolute difference is multiplied by {AMPLIFICATION} everywhere on this page (black: none; white: "
        f"{1 / AMPLIFICATION:.2g} of the pixel range or more). Latents are shown by their first three principal "
        "components as red, green and blue, scaled from the 1st to the 99th percentile for each sample on its own: "
        "colours show structure and cannot be compared between tiles. A latent of one channel is grey. "
        f"Tiles are stored with at most {side} pixels a side; larger arrays are area-averaged.</p>\n{grids}"
    )
