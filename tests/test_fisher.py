"""Fisher information and its rate: estimators against tables, closed forms, SciPy and diffusers."""

import math

import numpy as np
import pytest
import torch
from bench import oracles
from bench.mixtures import SPACE, TWO, Mixture
from diffusers import EDMEulerScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from torch import Tensor, nn

from pipeline import fisher
from pipeline.fisher import Statistics
from pipeline.networks import edm
from pipeline.networks.probes import drawn, statistics

Floats = NDArray[np.float64]


@pytest.mark.parametrize("check", [oracles.spectra, oracles.lines])
def test_the_estimators_reproduce_the_table_to_a_millionth(check: object) -> None:
    assert callable(check)
    rows = list(check())
    assert len(rows) >= 18
    assert [str(row) for row in rows if not row.holds()] == []


def test_by_draws_the_estimators_reproduce_the_table_within_their_standard_errors() -> None:
    rows = list(oracles.solid(20_000))
    assert len(rows) == 12
    assert [str(row) for row in rows if not row.holds()] == []


def test_the_line_of_the_table_for_two_points_is_that_of_scipy() -> None:
    def slope(z: float) -> float:
        return (1 - math.tanh((1 + math.sqrt(0.25) * z) / 0.25) ** 2) / 0.25

    def rate(z: float) -> float:
        return math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * slope(z) ** 2

    exact = quad(rate, -12, 12, epsabs=1e-12, limit=500, points=[-2])[0]
    assert exact == pytest.approx(oracles.POINTS[0].mmse_rate, abs=1e-8)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=6), st.floats(0.01, 10), st.floats(0.1, 10))
@settings(max_examples=50, deadline=None)
def test_a_scaled_space_has_the_same_quantities_at_the_same_noise_per_deviation(
    spectrum: list[float], t: float, scale: float
) -> None:
    plain = fisher.gaussian(np.array(spectrum), t)
    scaled = fisher.gaussian(scale**2 * np.array(spectrum), scale**2 * t)
    powers = {"mmse": 2, "fisher_score": -2, "fisher_rate": -4, "mmse_rate": 0}
    for name, power in powers.items():
        assert scaled[name] == pytest.approx(scale**power * plain[name], rel=1e-9)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=6), st.floats(0.05, 10))
@settings(max_examples=50, deadline=None)
def test_the_closed_form_keeps_the_identities_and_its_derivatives(spectrum: list[float], t: float) -> None:
    variances, step = np.array(spectrum), 1e-4 * t
    found = fisher.gaussian(variances, t)
    below, above = (fisher.gaussian(variances, t + sign * step) for sign in (-1, 1))
    d = len(spectrum)
    assert found["mmse"] == pytest.approx(t * d - t**2 * found["fisher_score"], abs=1e-9 * d * t)
    fisher_slope = (above["fisher_score"] - below["fisher_score"]) / (2 * step)
    assert -fisher_slope == pytest.approx(found["fisher_rate"], rel=1e-5)
    mmse_slope = (above["mmse"] - below["mmse"]) / (2 * step)
    assert mmse_slope == pytest.approx(found["mmse_rate"], abs=1e-5 * max(1, found["mmse_rate"]))


def test_an_isometric_embedding_adds_to_the_score_and_leaves_the_denoiser_alone() -> None:
    extra, t, count = 2, 0.25, 300
    wider = Mixture(
        SPACE.weights, np.pad(SPACE.means, ((0, 0), (0, extra))), np.pad(SPACE.covariances, ((0, 0), (0, 2), (0, 2)))
    )
    x = SPACE.draw(count, np.random.default_rng(0))[0]
    noise, probes = drawn(np.arange(count), (5,), 0, 2, 0)
    inner = (noise[:, :3], probes[:, :, :3])
    padded = torch.from_numpy(np.pad(x, ((0, 0), (0, extra))))
    before = statistics(oracles.denoiser(SPACE), torch.from_numpy(x), t**0.5, inner)
    after = statistics(oracles.denoiser(wider), padded, t**0.5, (noise, probes))
    for name in ("error", "jacobian", "square"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-9)
    np.testing.assert_allclose(after.trace, before.trace + extra / t, rtol=1e-9)
    np.testing.assert_allclose(after.hessian, before.hessian + extra / t**2, rtol=1e-9)
    np.testing.assert_allclose(after.score, before.score + (noise[:, 3:].numpy() ** 2).sum(axis=1) / t, rtol=1e-9)


def linear(matrix: Floats) -> object:
    return lambda y, sigma: y @ torch.from_numpy(matrix).T


def test_probes_estimate_the_trace_and_both_norms_of_any_jacobian() -> None:
    matrix = np.random.default_rng(1).normal(size=(6, 6))
    many = 20_000
    draws = drawn(np.arange(many), (6,), 0, 1, 0)
    zeros = torch.zeros(many, 6, dtype=torch.float64)
    found = statistics(linear(matrix), zeros, 1.0, draws)  # type: ignore[arg-type]
    error = 4 * np.linalg.norm(matrix) ** 2 / math.sqrt(many)
    assert found.trace.mean() == pytest.approx(6 - np.trace(matrix), abs=error)
    assert found.jacobian.mean() == pytest.approx(np.linalg.norm(matrix) ** 2, abs=error)
    assert found.square.mean() == pytest.approx(np.trace(matrix @ matrix), abs=error)
    assert found.hessian.mean() == pytest.approx(np.linalg.norm(matrix - np.eye(6)) ** 2, abs=error)


def test_the_quality_control_is_zero_of_the_best_denoiser_and_not_of_others() -> None:
    x = TWO.draw(20_000, np.random.default_rng(2))[0]
    best = oracles.denoiser(TWO)
    good = oracles.by_draws(best, x, 0.25)
    poor = oracles.by_draws(lambda y, sigma: 0.9 * best(y, sigma), x, 0.25)
    assert good["disagreement"][0] < 4 * good["disagreement"][1]
    assert poor["disagreement"][0] > 0.1 > 4 * poor["disagreement"][1]
    turning = np.array([[0.5, 0.4], [-0.4, 0.5]])
    turned = oracles.by_draws(linear(turning), np.zeros((50, 2)), 1.0, probes=64)  # type: ignore[arg-type]
    assert turned["asymmetry"][0] == pytest.approx(1 - (0.5 - 0.32) / 0.82, abs=0.1)
    assert good["asymmetry"][0] == pytest.approx(0, abs=1e-12)


def test_what_a_batch_holds_beside_a_sample_changes_nothing() -> None:
    x = SPACE.draw(7, np.random.default_rng(3))[0]
    whole = oracles.by_draws(oracles.denoiser(SPACE), x, 0.5, probes=3)
    rows = [statistics_of(x, row) for row in range(7)]
    parts = fisher.quantities(Statistics.joined(rows), 0.5, np.arange(7))
    for name, value in whole.items():
        assert parts[name] == pytest.approx(value, rel=1e-9)


def statistics_of(x: Floats, row: int) -> Statistics:
    draws = drawn(np.array([row]), (3,), 0, 3, 0)
    return statistics(oracles.denoiser(SPACE), torch.from_numpy(x[[row]]), 0.5**0.5, draws)


def test_the_standard_error_is_the_usual_one_and_counts_groups_and_not_samples() -> None:
    values = np.random.default_rng(4).normal(size=50)
    shares = np.full(50, 1 / 50)
    middle, error = fisher.mean(values, np.arange(50), shares)
    assert (middle, error) == (pytest.approx(values.mean()), pytest.approx(values.std(ddof=1) / math.sqrt(50)))
    twice = fisher.mean(np.repeat(values, 2), np.repeat(np.arange(50), 2), np.full(100, 1 / 100))
    assert twice == (pytest.approx(middle), pytest.approx(error))
    assert math.isnan(fisher.mean(values, np.zeros(50, np.int64), shares)[1])


class Fixed(nn.Module):
    """A network with a fixed answer, which remembers what it was asked."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, values: Tensor, noise: Tensor) -> Tensor:
        self.asked = values, noise
        return self.answer


@pytest.mark.parametrize("sigma", [0.01, 0.5, 20.0])
def test_preconditioning_is_that_of_diffusers(sigma: float) -> None:
    y, answer = torch.randn((2, 2, 3, 4, 4), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scheduler = EDMEulerScheduler(sigma_data=edm.DEVIATION)
    network = Fixed(answer)
    denoised = edm.Preconditioned(network)(y, torch.full((2,), sigma, dtype=torch.float64))
    wide = torch.tensor(sigma, dtype=torch.float64)
    torch.testing.assert_close(network.asked[0], scheduler.precondition_inputs(y, wide))
    torch.testing.assert_close(network.asked[1][0], scheduler.precondition_noise(wide))
    torch.testing.assert_close(denoised, scheduler.precondition_outputs(y, answer, wide))


def test_noise_levels_of_the_sampler_are_those_of_diffusers() -> None:
    scheduler = EDMEulerScheduler()
    scheduler.set_timesteps(18)
    np.testing.assert_allclose(edm.levels(18), scheduler.sigmas.numpy(), rtol=1e-5)


def test_the_loss_of_an_untrained_network_is_one_at_any_noise() -> None:
    # Values of the deviation that is expected, and a network that says 0: what is left of the target has variance 1.
    random = torch.Generator().manual_seed(1)
    clean = edm.DEVIATION * torch.randn((4, 200_000), generator=random, dtype=torch.float64)
    sigma = torch.tensor([0.01, 0.3, 2.0, 50.0], dtype=torch.float64)
    noisy = clean + sigma[:, None] * torch.randn(clean.shape, generator=random, dtype=torch.float64)
    denoised = edm.Preconditioned(Fixed(torch.zeros_like(clean)))(noisy, sigma)
    loss = edm.weight(sigma) * edm.squared_error(denoised, clean)
    torch.testing.assert_close(loss, torch.ones(4, dtype=torch.float64), rtol=0.02, atol=0)


def test_samples_drawn_with_an_exact_denoiser_are_those_of_the_mixture() -> None:
    count = 4000
    noise = torch.from_numpy(np.random.default_rng(5).standard_normal((count, 3)))
    drawn_values = edm.sample(oracles.denoiser(SPACE), noise, edm.levels(40)).numpy()
    error = np.sqrt(np.diag(SPACE.covariance()) / count)
    assert np.all(np.abs(drawn_values.mean(axis=0) - SPACE.mean()) < 4.5 * error)
    np.testing.assert_allclose(np.cov(drawn_values.T), SPACE.covariance(), atol=0.15)
    shares = np.bincount(SPACE.log_posterior(drawn_values, 1e-9).argmax(axis=1), minlength=3) / count
    np.testing.assert_allclose(shares, SPACE.weights, atol=0.04)
