"""Stage augment: images to one of their views, flipped and turned at random before anything encodes them."""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from pipeline.autoencoders import batch_size
from pipeline.files import sha256
from pipeline.program import run
from pipeline.progress import progress
from pipeline.store import Manifest, Rows, ShardWriter, check, shard_path, to_grid
from pipeline.views import Augmentation

Pixels = NDArray[np.float32]


def draw(spec: Augmentation, view: int, row: int) -> tuple[bool, float]:
    """Return whether an image is flipped and its angle in degrees, of which seed, view and row alone decide."""
    random = np.random.default_rng([spec.seed, view, row])
    # Both are always drawn, the angle first: another probability of flips leaves every angle as it is.
    turn, chance = random.uniform(-1, 1), random.random()
    return bool(chance < spec.flip), float(turn * spec.rotation)


def augmented(images: Pixels, spec: Augmentation, view: int, first: int) -> Pixels:
    """Return a view of images n x C x H x W in [0, 1], whose first is row `first` of the data set."""
    result = np.empty_like(images)
    for at, image in enumerate(images):
        flipped, degrees = draw(spec, view, first + at)
        result[at] = rotated(image[:, :, ::-1] if flipped else image, degrees)
    return result


def rotated(image: Pixels, degrees: float) -> Pixels:
    """Return C x H x W turned about its centre, counter-clockwise as it is looked at, first row on top.

    Bilinear; what lies outside the image is 0, which is black in every data set's pixels.
    """
    if not degrees:
        return np.asarray(image)
    angle = math.radians(degrees)
    matrix = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    centre = (np.array(image.shape[1:]) - 1) / 2
    turned = [
        affine_transform(channel, matrix, centre - matrix @ centre, order=1, mode="grid-constant", cval=0.0)
        for channel in image
    ]
    return np.stack(turned).astype(np.float32, copy=False)


def augment(images: Rows, store: Path, shard: int, spec: Augmentation, view: int, made_by: dict[str, Any]) -> Manifest:
    """Fill one shard of a view; only a batch is in memory, and no value depends on how the store is cut."""
    batch = batch_size(images.shape)
    with ShardWriter(store, shard) as writer:
        count = math.ceil((writer.stop - writer.start) / batch)
        for pixels in progress(images.batches(writer.start, writer.stop, batch), count, "augmenting", " batches"):
            writer.append(to_grid(augmented(pixels, spec, view, writer.row)))
        return writer.finish(made_by)


def main() -> None:
    """Fill one shard of one view."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="what is drawn, as JSON")
    parser.add_argument("--view", type=int, required=True, help="the number of the view, from 0")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--image-manifest", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--shard", type=int, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    asked = parser.parse_args()
    spec = Augmentation.read(asked.spec)
    check(asked.images, [asked.image_manifest])
    drawing = spec.model_dump(mode="json", exclude={"views"})
    made_by = {"augmentation": drawing, "view": asked.view, "images": sha256(shard_path(asked.images, asked.shard))}
    augment(Rows(asked.images), asked.store, asked.shard, spec, asked.view, made_by).write(asked.manifest)


if __name__ == "__main__":
    run(main)
