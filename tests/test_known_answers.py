"""What the instrument measures where the answer is known; `make calibrate` runs the same, large."""

from collections.abc import Iterator

import numpy as np
import pytest
from bench import calibrate
from bench.known_answers import TwoNormals, flipped, mixed, moments, oriented, parts, permuted, whitened
from bench.measure import Row
from bench.mixtures import GOLDEN, SPACE, THREE, TWO, Grids, Mixture
from scipy.stats import norm


def held(rows: Iterator[Row]) -> list[Row]:
    """Return the rows, all of which keep their bounds."""
    found = list(rows)
    assert found
    for row in found:
        assert row.low is not None and row.holds(), str(row)
    return found


def test_where_the_latent_is_the_image_every_gap_is_exactly_zero() -> None:
    rows = held(calibrate.identity(400))
    assert all(row.ratio == 0 and row.bound == 0 for row in rows)


def test_scrambles_that_a_head_cannot_notice_change_no_decision() -> None:
    held(calibrate.invariants(3000))


def test_the_gap_of_a_lossless_scramble_shrinks_to_zero_as_a_rule_looks_farther() -> None:
    gaps = [row.ratio for row in held(calibrate.reach(4000, patch=4))[:2]]
    assert gaps[0] > 0.2 and gaps[1] < 0.005


def test_a_permutation_of_pixels_costs_local_filters_their_accuracy_and_others_nothing() -> None:
    held(calibrate.local_filters(1600, {"1-nn": calibrate.NEAREST, "linear": calibrate.LINEAR}))


def test_averaging_loses_what_the_closed_form_says_and_as_information_alone() -> None:
    rows = held(calibrate.lossy(6000, 12000, (0.5, 0.75)))
    assert len(rows) == 4


def test_exchanged_labels_lower_every_space_alike() -> None:
    held(calibrate.noisy_labels(6000, 12000, (0.2,)))


def test_the_information_of_mixtures_is_that_of_the_table() -> None:
    assert len(held(calibrate.mixtures(40000))) == 2 * len(GOLDEN) + 1


@pytest.mark.parametrize(("name", "mixture", "t", "known"), GOLDEN[::2])
def test_a_posterior_for_other_noise_falls_short(name: str, mixture: Mixture, t: float, known: float) -> None:
    """So the estimate tells a classifier that is wrong from one that is right."""
    grids = Grids(mixture, 4)
    value, error, shortfall = grids.measured(lambda y, sigma: grids.log_posterior(y, 3 * sigma), t, 20000, 1)
    assert shortfall > 0.03 * known
    assert value == pytest.approx(known - shortfall, abs=5 * error)


@pytest.mark.parametrize("mixture", [TWO, THREE])
def test_information_falls_with_noise_by_half_the_posteriors_squared_slope(mixture: Mixture) -> None:
    """dI(C; Y_t) / dt = -E |grad log p(c | y)|^2 / 2: de Bruijn's identity for the mixture and for its components."""
    t, step = 0.5, 1e-4
    slope = (mixture.information(t + step) - mixture.information(t - step)) / (2 * step)
    y = np.linspace(-9, 9, 40001)[:, None]
    joint = np.exp(mixture.log_joint(y, t))
    gradient = np.gradient(mixture.log_posterior(y, t), y[:, 0], axis=0)
    expected = -np.trapezoid((joint * gradient**2).sum(axis=1), y[:, 0]) / 2
    assert slope == pytest.approx(expected, rel=1e-4)


def test_a_rotation_changes_no_information_and_evens_the_coordinates() -> None:
    evened = SPACE.evened()
    np.testing.assert_allclose(np.linalg.eigvalsh(evened.covariance()), np.linalg.eigvalsh(SPACE.covariance()))
    np.testing.assert_allclose(np.diag(evened.covariance()), np.trace(SPACE.covariance()) / 3)
    x, classes = SPACE.draw(50000, np.random.default_rng(0))
    np.testing.assert_allclose(np.cov(x.T), SPACE.covariance(), atol=0.05)
    np.testing.assert_allclose(np.bincount(classes) / 50000, SPACE.weights, atol=0.01)
    values = []
    for mixture, side in [(evened, 1), (evened, 4)]:
        grids = Grids(mixture, side)
        assert grids.t(grids.sigma(0.25)) == pytest.approx(0.25)
        values.append(grids.measured(grids.log_posterior, 0.25, 100000, 2)[:2])
    plain = SPACE.draw(100000, np.random.default_rng(3))
    noisy = plain[0] + 0.5 * np.random.default_rng(4).standard_normal((100000, 3))
    direct = SPACE.entropy() + SPACE.log_posterior(noisy, 0.25)[np.arange(100000), plain[1]].mean()
    for value, error in values:
        assert value == pytest.approx(direct, abs=5 * error)


def test_the_direction_between_the_classes_loses_the_share_that_it_says() -> None:
    apart = TwoNormals(1.6, 0.3, side=8, patch=2)
    direction = apart.direction()
    assert np.square(direction).sum() == pytest.approx(1)
    kept = direction.reshape(4, 2, 4, 2).mean(axis=(1, 3)).repeat(2, axis=0).repeat(2, axis=1)
    assert np.square(kept).sum() == pytest.approx(0.7)
    assert apart.auroc() == pytest.approx(norm.cdf(1.6 / np.sqrt(2)))
    assert apart.accuracy(0.7) == pytest.approx(norm.cdf(1.6 * np.sqrt(0.7) / 2))
    images, classes = apart.draw(20000, 0)
    values = ((images[:, 0] - 0.5) / 0.05 * direction).sum(axis=(1, 2))
    assert values[classes == 1].mean() - values[classes == 0].mean() == pytest.approx(1.6, abs=0.06)
    assert values[classes == 1].std() == pytest.approx(1, abs=0.03)


def test_labels_are_exchanged_at_their_rate_and_whatever_the_image() -> None:
    _, classes = TwoNormals(1.6).draw(20000, 4)
    changed = flipped(classes, 0.2, 4) != classes
    for label in (0, 1):
        assert changed[classes == label].mean() == pytest.approx(0.2, abs=0.015)


def test_scrambles_are_lossless() -> None:
    images, _ = oriented(20, 16, 0)
    for scrambled in (mixed(images, 4), permuted(images)):
        assert scrambled.shape == images.shape and not np.allclose(scrambled, images)
        products = [values.reshape(20, -1) @ values.reshape(20, -1).T for values in (images, scrambled)]
        np.testing.assert_allclose(products[0], products[1], rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(np.sort(permuted(images).ravel()), np.sort(images.ravel()))


def test_textures_have_the_correlations_that_they_are_drawn_with() -> None:
    images, classes = oriented(2000, 16, 5, smooth=0.6)
    for label, axis, other in [(0, 2, 3), (1, 3, 2)]:
        values = images[classes == label]
        assert values.std() == pytest.approx(1, abs=0.02)
        for along, expected in ((axis, 0.6), (other, 0.0)):
            first, second = (np.delete(values, drop, axis=along) for drop in (-1, 0))
            assert (first * second).mean() == pytest.approx(expected, abs=0.02)


def test_moments_are_those_of_patches() -> None:
    images = np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype(np.float32)
    found = moments(images, 2)
    assert found.shape == (3, 10, 1, 1)
    patches = np.stack([images[1, 0, i : i + 2, j : j + 2].ravel() for i in range(0, 8, 2) for j in range(0, 8, 2)])
    expected = (patches.T @ patches / len(patches))[np.triu_indices(4)]
    np.testing.assert_allclose(found[1, :, 0, 0], expected, rtol=1e-5)


def test_whitened_training_rows_have_mean_zero_and_covariance_one() -> None:
    values = np.random.default_rng(0).normal(size=(200, 1, 4, 4)).astype(np.float32) * 3 + 1
    split = parts(120, 40, 40)
    train = whitened(values, split.train)[split.train].reshape(120, -1)
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(train.T, bias=True), np.eye(16), atol=1e-4)
