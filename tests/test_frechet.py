"""The Frechet distance against closed forms and SciPy's matrix root; features of a network of timm's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy.linalg import sqrtm
from torch.nn.functional import interpolate

from pipeline.errors import StudyError
from pipeline.frechet import Gaussian, distance
from pipeline.networks import embedding
from pipeline.networks.backbones import create_model

Floats = NDArray[np.float64]


def exactly(mean: Floats, covariance: Floats, samples: int = 64) -> Floats:
    """Samples whose mean and unbiased covariance are just these."""
    size = len(mean)
    basis, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(samples, size)) - 0.0)
    centred, _ = np.linalg.qr(basis - basis.mean(axis=0))
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    found: Floats = mean + np.sqrt(samples - 1) * centred @ root
    return found


def random_covariance(size: int, seed: int) -> Floats:
    factor = np.random.default_rng(seed).normal(size=(size, size + 2))
    found: Floats = factor @ factor.T
    return found


def test_gaussians_with_commuting_covariances_have_a_closed_form() -> None:
    first, second = np.array([4.0, 1.0, 9.0]), np.array([1.0, 16.0, 0.25])
    apart = np.array([1.0, -2.0, 0.5])
    one, two = exactly(np.zeros(3), np.diag(first)), exactly(apart, np.diag(second), 40)
    expected = (apart**2).sum() + ((np.sqrt(first) - np.sqrt(second)) ** 2).sum()
    assert distance(Gaussian.of(one), Gaussian.of(two)) == pytest.approx(expected, rel=1e-10)


def test_any_gaussians_agree_with_the_formula_and_scipys_matrix_root() -> None:
    means = np.random.default_rng(1).normal(size=(2, 6))
    covariances = [random_covariance(6, seed) for seed in (2, 3)]
    one, two = (exactly(mean, covariance) for mean, covariance in zip(means, covariances, strict=True))
    np.testing.assert_allclose(np.cov(one.T), covariances[0], atol=1e-9)
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert distance(Gaussian.of(one), Gaussian.of(two)) == pytest.approx(expected, rel=1e-9)


def test_a_shift_alone_counts_by_its_squared_length_and_equal_sets_are_not_apart() -> None:
    values = np.random.default_rng(4).normal(size=(50, 8))
    assert distance(Gaussian.of(values), Gaussian.of(values + 3)) == pytest.approx(8 * 9, rel=1e-9)
    assert 0 <= distance(Gaussian.of(values), Gaussian.of(values[::-1])) < 1e-9


def test_it_is_symmetric_and_grows_with_the_difference() -> None:
    random = np.random.default_rng(5)
    values = random.normal(size=(60, 5))
    found = [distance(Gaussian.of(values), Gaussian.of(values * scale)) for scale in (1.1, 1.5, 3.0)]
    assert found == sorted(found)
    other = Gaussian.of(random.normal(2, 3, size=(30, 5)))
    assert distance(Gaussian.of(values), other) == pytest.approx(distance(other, Gaussian.of(values)))


@pytest.mark.parametrize("samples", [2, 3, 10])
def test_fewer_samples_than_dimensions_give_the_exact_value(samples: int) -> None:
    random = np.random.default_rng(6)
    one, two = random.normal(size=(samples, 64)), random.normal(1, 2, size=(samples + 1, 64))
    found = distance(Gaussian.of(one), Gaussian.of(two))
    # In the space that all samples span, the covariances are small and dense matrices.
    basis, _ = np.linalg.qr(np.concatenate([one, two]).T)
    small = [part @ basis for part in (one, two)]
    covariances = [np.cov(part.T) for part in small]
    eigenvalues = np.linalg.eigvals(covariances[0] @ covariances[1]).real
    expected = ((small[0].mean(axis=0) - small[1].mean(axis=0)) ** 2).sum() + sum(map(np.trace, covariances))
    expected -= 2 * np.sqrt(np.maximum(eigenvalues, 0)).sum()
    assert found == pytest.approx(expected, rel=1e-6)
    assert distance(Gaussian.of(one), Gaussian.of(one)) < 1e-9


def test_one_sample_has_no_covariance_and_so_no_distance() -> None:
    values = np.random.default_rng(7).normal(size=(5, 3))
    assert np.isnan(distance(Gaussian.of(values), Gaussian.of(values[:1])))


@pytest.mark.parametrize("cuts", [(1, 2), (10, 11), (3, 50)])
def test_shards_together_are_the_whole_set(cuts: tuple[int, int]) -> None:
    values = np.random.default_rng(8).normal(5, 2, size=(60, 7)).astype(np.float32)
    whole = Gaussian.of(values)
    first, *others = (Gaussian.of(part) for part in np.split(values, cuts))
    for other in others:
        first = first + other
    assert first.samples == 60
    np.testing.assert_allclose(first.mean, whole.mean)
    np.testing.assert_allclose(first.root.T @ first.root, whole.root.T @ whole.root, rtol=1e-9, atol=1e-9)
    assert distance(first, whole) < 1e-9


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small classifier of timm's with random weights, in a file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("features") / "model.safetensors"
    save_file(create_model("test_efficientnet", pretrained=False).state_dict(), path)
    return path


def test_features_are_those_of_the_network_on_resized_and_normalised_images(weights: Path) -> None:
    network = embedding.read("test_efficientnet", weights)
    images = np.random.default_rng(0).random((3, 1, 40, 40), dtype=np.float32)
    found = network(images)
    plain = create_model("test_efficientnet", pretrained=False, num_classes=0)
    from safetensors.torch import load_file

    plain.load_state_dict({k: v for k, v in load_file(weights).items() if not k.startswith("classifier")})
    plain.eval()
    size = plain.pretrained_cfg["input_size"][1:]
    pixels = interpolate(torch.from_numpy(images), size, mode="bilinear", antialias=True).repeat(1, 3, 1, 1)
    mean, std = (torch.tensor(plain.pretrained_cfg[name])[:, None, None] for name in ("mean", "std"))
    with torch.no_grad():
        expected = plain((pixels - mean) / std).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(network(images[:1]), found[:1], atol=1e-5)


def test_a_network_that_gives_no_finite_vectors_is_refused() -> None:
    settings = {"input_size": (3, 8, 8), "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    images = np.zeros((2, 1, 8, 8), np.float32)
    with pytest.raises(StudyError, match="no finite vector"):
        embedding.Embedding(torch.nn.Identity(), settings)(images)
    with pytest.raises(StudyError, match="images of 1 channels, not of 3"):
        embedding.Embedding(torch.nn.Identity(), settings | {"input_size": (1, 8, 8)})
