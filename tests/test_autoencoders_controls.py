"""Controls have known answers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.autoencoders.orthogonal import haar
from pipeline.natural_images import natural_images
from pipeline.networks.patches import shuffle, unshuffle
from tests.autoencoder_entries import psnr, read

LOSSLESS = ["identity", "pixel-unshuffle", "orthogonal"]
PIXELS = natural_images(6, 64, seed=41)

sizes = st.tuples(st.integers(1, 3), st.sampled_from([1, 3]), st.integers(1, 5), st.integers(1, 5), st.integers(1, 9))


def images_of(size: tuple[int, int, int, int, int]) -> NDArray[np.float32]:
    count, channels, rows, columns, stride = size
    shape = (count, channels, rows * stride, columns * stride)
    return np.random.default_rng(rows).random(shape, dtype=np.float32)


@settings(max_examples=40, deadline=None)
@given(sizes)
def test_patches_are_rearranged_as_torch_does_and_back(size: tuple[int, int, int, int, int]) -> None:
    images, stride = images_of(size), size[-1]
    patches = unshuffle(images, stride)
    expected = torch.nn.functional.pixel_unshuffle(torch.from_numpy(images), stride).numpy()
    np.testing.assert_array_equal(patches, expected)
    np.testing.assert_array_equal(shuffle(patches, stride), images)


@pytest.mark.parametrize("family", LOSSLESS)
@settings(max_examples=30, deadline=None)
@given(size=sizes)
def test_lossless_controls_invert(family: str, size: tuple[int, int, int, int, int]) -> None:
    images = images_of(size)
    options = {} if family == "identity" else {"stride": size[-1]}
    autoencoder = read(family, **options).load(images.shape[1])
    difference = np.abs(autoencoder.decode(autoencoder.encode(images).mean) - images).max()
    assert difference < 2e-6  # a quarter of half a step of the 1/65535 grid on which images are stored


def test_extreme_pixels_survive_a_large_orthogonal_mixing() -> None:
    images = np.ones((1, 3, 32, 32), np.float32)
    autoencoder = read("orthogonal", stride=16).load(3)
    assert np.abs(autoencoder.decode(autoencoder.encode(images).mean) - images).max() < 2e-6


def test_orthogonal_mixing_keeps_distances_and_not_values() -> None:
    latents = read("orthogonal").load(3).encode(PIXELS).mean
    differences = np.linalg.norm((PIXELS[:3] - PIXELS[3:]).reshape(3, -1), axis=1)
    np.testing.assert_allclose(
        np.linalg.norm((latents[:3] - latents[3:]).reshape(3, -1), axis=1), differences, rtol=1e-5
    )
    assert np.abs(latents - unshuffle(PIXELS, 4)).mean() > 0.1


def test_orthogonal_mixing_depends_on_its_seed_alone() -> None:
    first, again, other = (read("orthogonal", seed=seed).load(1).encode(PIXELS[:, :1]).mean for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.1


def test_haar_matrices_have_the_moments_of_the_uniform_distribution() -> None:
    # An entry of a Haar matrix of size n has mean 0, variance 1/n and fourth moment 3 / (n (n + 2)). Without the sign
    # correction the first column keeps a sign and the mean of entry (0, 0) is far from 0.
    matrices = np.stack([haar(4, seed) for seed in range(4000)])
    np.testing.assert_allclose(matrices[0] @ matrices[0].T, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(matrices.mean(axis=0), 0, atol=0.04)
    np.testing.assert_allclose(np.square(matrices).mean(axis=0), 1 / 4, atol=0.02)
    np.testing.assert_allclose((matrices**4).mean(axis=0), 3 / 24, atol=0.02)


def test_the_lossy_control_projects_onto_patch_means() -> None:
    autoencoder = read("lossy").load(3)
    latents = autoencoder.encode(PIXELS).mean
    pooled = torch.nn.functional.avg_pool2d(torch.from_numpy(PIXELS), 4).numpy()
    np.testing.assert_allclose(latents, pooled, atol=1e-6)
    decoded = autoencoder.decode(latents)
    np.testing.assert_array_equal(autoencoder.encode(decoded).mean, latents)
    assert psnr(decoded, PIXELS) < 35
