"""Images of which is known what a classifier can tell from them, and from what an autoencoder leaves of them.

The tests run these small, `make calibrate` large.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import families, metrics
from pipeline.autoencoders import AutoencoderSpec
from pipeline.autoencoders.orthogonal import haar
from pipeline.folds import Split
from pipeline.heads import Floats, HeadSpec, Space
from pipeline.networks.patches import shuffle, unshuffle

LEVEL, SCALE = 0.5, 0.05
"""What 0 and 1 are as pixels: ten deviations of the noise lie within [0, 1]."""
NARROW = {"stem_width": 8, "channels": [8, 8, 8, 8]}
Classes = NDArray[np.int64]


@dataclass(frozen=True)
class TwoNormals:
    """Two equally likely classes of images: white noise around plus and minus half of `distance` along one direction.

    The best classifier looks along that direction: its balanced accuracy is Phi(d / 2) and its AUROC Phi(d / sqrt 2).
    Averaging over patches keeps a direction that is constant on each patch, and takes away one whose patches sum to
    nothing. So it leaves the distance d sqrt(1 - share).

    Attributes:
        distance: d, in deviations of the noise.
        share: of the direction's square that averaging over patches takes away.
        side: of the images, in pixels.
        patch: side of the patches.
    """

    distance: float
    share: float = 0.0
    side: int = 8
    patch: int = 2

    def direction(self) -> NDArray[np.float64]:
        """Return the unit direction between the classes, side x side."""
        rng = np.random.default_rng([self.side, self.patch])
        blocks = rng.choice([-1.0, 1.0], size=(self.side // self.patch,) * 2)
        coarse = np.kron(blocks, np.ones((self.patch, self.patch)))
        fine = np.indices((self.side, self.side)).sum(axis=0) % 2 * 2.0 - 1.0
        return np.asarray(np.sqrt(1 - self.share) * coarse + np.sqrt(self.share) * fine) / self.side

    def draw(self, count: int, seed: int) -> tuple[Floats, Classes]:
        """Return images count x 1 x side x side in [0, 1], and their classes."""
        rng = np.random.default_rng([seed, count])
        classes = rng.permutation(np.arange(count) % 2)
        noise = rng.standard_normal((count, self.side, self.side))
        values = noise + (classes - 0.5)[:, None, None] * self.distance * self.direction()
        return np.clip(LEVEL + SCALE * values, 0, 1)[:, None].astype(np.float32), classes

    def found(self, kept: float = 1.0, features: int = 0, samples: float = np.inf) -> float:
        """Return the distance that a linear rule finds: d, where nothing has to be estimated.

        With F features and n training samples, the means are seen apart by d u + e, with e of covariance 4 / n. Along
        that they are d^2 / sqrt(d^2 + 4 F / n) apart, and a covariance that is estimated, too, costs a factor of
        sqrt(1 - F / n) (Fisher's rule in Raudys and Young 2004, Journal of Multivariate Analysis 89, 1-35).

        Args:
            kept: share of d^2 that is left.
            features: F.
            samples: n; where a share r of the labels is exchanged, they count n (1 - 2 r)^2.
        """
        square = kept * self.distance**2
        return float(square / np.sqrt(square + 4 * features / samples) * np.sqrt(1 - features / samples))

    def auroc(self, kept: float = 1.0, features: int = 0, samples: float = np.inf) -> float:
        """Return the AUROC of the best rule, or the expected one of a rule that was learnt; see `found`."""
        return NormalDist().cdf(self.found(kept, features, samples) / np.sqrt(2))

    def accuracy(self, kept: float = 1.0, features: int = 0, samples: float = np.inf) -> float:
        """Return the balanced accuracy of the best rule, or the expected one of a rule that was learnt; see `found`."""
        return NormalDist().cdf(self.found(kept, features, samples) / 2)


def flipped(classes: Classes, rate: float, seed: int) -> Classes:
    """Return the classes 0 and 1 with a share of them exchanged, each by itself.

    Who tells the true class with balanced accuracy a tells the noisy one with a (1 - rate) + (1 - a) rate.
    """
    flips = np.random.default_rng([seed, len(classes), 1]).random(len(classes)) < rate  # not the images' own stream
    return np.where(flips, 1 - classes, classes)


def oriented(count: int, side: int, seed: int, smooth: float = 0.8) -> tuple[Floats, Classes]:
    """Return textures count x 1 x side x side, smooth along the columns (class 0) or the rows (class 1).

    Every pixel is standard normal in both classes and the classes have the same mean, so no linear rule tells them.
    Neighbours along the smooth direction correlate with `smooth`, others not at all.
    """
    rng = np.random.default_rng([seed, count])
    noise = rng.standard_normal((count, side, side))
    for row in range(1, side):
        noise[:, row] = smooth * noise[:, row - 1] + np.sqrt(1 - smooth**2) * noise[:, row]
    classes = rng.permutation(np.arange(count) % 2)
    turned = np.where(classes[:, None, None] == 1, noise.transpose(0, 2, 1), noise)
    return np.ascontiguousarray(turned[:, None], dtype=np.float32), classes


def mixed(images: Floats, patch: int, seed: int = 0) -> Floats:
    """Return images whose patches were each turned by one random orthogonal matrix: lossless, and an image again."""
    matrix = haar(images.shape[1] * patch**2, seed)
    turned = np.einsum("ij,njhw->nihw", matrix, unshuffle(images, patch), optimize=True)
    return np.ascontiguousarray(shuffle(turned, patch), dtype=np.float32)


def permuted(images: Floats, seed: int = 0) -> Floats:
    """Return images whose pixels were all exchanged, in each image alike: lossless, and no neighbours are left."""
    count, channels, height, width = images.shape
    order = np.random.default_rng(seed).permutation(height * width)
    return np.asarray(images.reshape(count, channels, -1)[:, :, order].reshape(images.shape))


def moments(images: Floats, reach: int) -> Floats:
    """Return the second moments within patches of reach x reach pixels, averaged over an image's patches.

    They are all that a rule knows which is quadratic, looks no farther than a patch and everywhere alike: n x F x 1 x 1
    with F = p (p + 1) / 2 for p = reach^2. Where patches were turned by a matrix Q, moments M become Q M Q'. Those are
    linear in M if a patch is not smaller than what was turned, so that a linear rule can undo it; otherwise parts of
    Q M Q' are all that is seen.
    """
    patches = unshuffle(images, reach)
    flat = patches.reshape(*patches.shape[:2], -1).astype(np.float64)
    products = flat @ flat.transpose(0, 2, 1) / flat.shape[2]
    rows, columns = np.triu_indices(flat.shape[1])
    return np.asarray(products[:, rows, columns][:, :, None, None], dtype=np.float32)


def whitened(values: Floats, train: NDArray[np.int64]) -> Floats:
    """Return values in coordinates in which the training rows have mean 0 and covariance 1.

    Orthogonal maps keep both, so a head that standardises its features sees the same distances before and after them.
    """
    flat = values.reshape(len(values), -1).astype(np.float64)
    centred = flat - flat[train].mean(axis=0)
    root = np.linalg.cholesky(np.linalg.inv(np.cov(centred[train].T, bias=True)))
    return np.asarray((centred @ root).reshape(values.shape), dtype=np.float32)


def head(family: str, **options: object) -> HeadSpec:
    """Return a head by its family and settings."""
    spec = families.spec("heads", {"family": family, **options})
    if not isinstance(spec, HeadSpec):
        raise TypeError(f"{family} is no family of heads")
    return spec


def space(values: Floats, classes: Classes, stride: int = 1, pixels: bool = False) -> Space:
    """Return a space of two exclusive classes."""
    return Space(values, np.eye(2, dtype=np.int8)[classes], True, stride, pixels)


def three_spaces(images: Floats, classes: Classes, family: str, **options: object) -> dict[str, Space]:
    """Return what an autoencoder makes of images: `image`, `reconstruction` and `latent`."""
    spec = families.spec("autoencoders", {"family": family, **options})
    if not isinstance(spec, AutoencoderSpec):
        raise TypeError(f"{family} is no family of autoencoders")
    autoencoder = spec.load(images.shape[1])
    latents = autoencoder.encode(images).mean
    return {
        "image": space(images, classes, pixels=True),
        "reconstruction": space(autoencoder.decode(latents), classes, pixels=True),
        "latent": space(latents, classes, images.shape[2] // latents.shape[2]),
    }


def parts(train: int, validation: int, test: int) -> Split:
    """Return the split of so many rows, in this order."""
    edges = np.cumsum([train, validation, test])
    return Split(0, *np.split(np.arange(edges[2]), edges[:2]))


CNN = head("timm", model="resnet10t", epochs=6, learning_rate=0.01, arguments=NARROW)
"""A small network of local filters."""


def score(spec: HeadSpec, data: Space, split: Split, metric: str) -> float:
    """Return a trained head's score of the test rows."""
    fitted = spec.fit(data, split, 0)
    weights: NDArray[Any] = np.ones((1, len(split.test)))
    return float(metrics.METRICS[metric](fitted.test.astype(np.float64), data.numbers[split.test], weights)[0])


def scores(spec: HeadSpec, spaces: dict[str, Space], split: Split, metric: str) -> dict[str, float]:
    """Return a head's score in each space, trained in each by itself."""
    return {name: score(spec, data, split, metric) for name, data in spaces.items()}
