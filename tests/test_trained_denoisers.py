"""Denoisers that are networks: derivatives, normalisation, resuming, and what they learn where the best is known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench.mixtures import THREE
from bench.trained_denoisers import Trial, spec
from numpy.typing import NDArray

from pipeline.denoisers import LOSS_LEVELS, Space, Support
from pipeline.diffusion import Diffusability
from pipeline.errors import StudyError
from pipeline.networks import edm
from pipeline.networks.denoiser_training import Scaling, built
from pipeline.networks.probes import drawn, statistics
from tests.denoising import smooth

TINY: dict[str, dict[str, Any]] = {
    "unet": {"channels": [8, 8], "steps": 6, "batch": 4},
    "dit": {"width": 16, "depth": 1, "heads": 2, "tokens": 16, "steps": 6, "batch": 4},
}
FAMILIES = pytest.mark.parametrize("family", TINY)


def space(values: NDArray[np.float32]) -> Space:
    rows = np.arange(len(values))
    shape = (values.shape[1], values.shape[2], values.shape[3])
    return Space(lambda wanted: values[wanted], shape, rows[: len(rows) // 2], rows[len(rows) // 2 :], rows)


def stirred(family: str, shape: tuple[int, int, int]) -> Callable[..., Any]:
    """A network with random weights everywhere, also where training begins at 0."""
    torch.manual_seed(0)
    network = edm.Preconditioned(spec(family, **TINY[family]).network(shape)).double().eval()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return network.requires_grad_(False)


@FAMILIES
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 4), (5, 1, 1), (2, 7, 7)])
def test_networks_take_any_square_space_and_begin_without_an_opinion(family: str, shape: tuple[int, int, int]) -> None:
    network = edm.Preconditioned(spec(family, **TINY[family]).network(shape)).eval()
    values, sigma = torch.randn(2, *shape), torch.tensor([0.1, 3.0])
    wide = sigma[:, None, None, None]
    torch.testing.assert_close(network(values, sigma), values * 0.25 / (wide**2 + 0.25))


@FAMILIES
def test_jacobian_products_are_those_of_the_whole_jacobian(family: str) -> None:
    network, shape = stirred(family, (2, 4, 4)), (2, 4, 4)
    x = 0.5 * torch.randn(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    noise, probes = drawn(np.arange(1), shape, 0, 3, 0)
    found = statistics(network, x, 0.7, (noise, probes))
    y, sigma = x + 0.7 * noise, torch.full((1,), 0.7, dtype=torch.float64)
    columns = []
    for place in range(32):
        step = torch.zeros(32, dtype=torch.float64)
        step[place] = 1e-5
        ahead, behind = (network(y + sign * step.reshape(1, *shape), sigma).flatten() for sign in (1, -1))
        columns.append((ahead - behind) / 2e-5)
    jacobian = torch.stack(columns, dim=1).numpy()
    signs = probes[0].flatten(1).numpy()
    forth = signs @ jacobian.T
    assert found.jacobian[0] == pytest.approx((forth**2).sum(axis=1).mean(), rel=1e-4)
    assert found.trace[0] == pytest.approx((32 - (forth * signs).sum(axis=1).mean()) / 0.49, rel=1e-4)
    assert found.square[0] == pytest.approx((forth * (signs @ jacobian)).sum(axis=1).mean(), rel=1e-3)


def test_channels_or_the_whole_space_are_brought_to_the_deviation_of_edm() -> None:
    values = np.random.default_rng(0).normal(size=(200, 2, 3, 3)).astype(np.float32) * [[[[1]], [[10]]]] + 4
    values = values.astype(np.float32)
    channels, whole = (Scaling.of(values, kind).scaled(values).numpy() for kind in ("channel", "space"))
    np.testing.assert_allclose(channels.std(axis=(0, 2, 3)), [0.5, 0.5], rtol=1e-5)
    np.testing.assert_allclose(channels.mean(axis=(0, 2, 3)), [0, 0], atol=1e-6)
    np.testing.assert_allclose(np.sqrt((whole**2).mean()), 0.5, rtol=1e-5)
    assert whole[:, 1].std() / whole[:, 0].std() == pytest.approx(values[:, 1].std() / values[:, 0].std(), rel=1e-5)
    with pytest.raises(StudyError, match="nothing to denoise"):
        Scaling.of(np.ones((4, 1, 2, 2), np.float32), "space")


@FAMILIES
def test_a_training_that_was_ended_goes_on_to_the_same_bits(family: str, tmp_path: Path) -> None:
    data, settings = space(smooth(24, side=8)), spec(family, **TINY[family])
    whole = settings.fit(data)
    calls = iter([False, False, True])
    ending = Support(tmp_path / "state", "same", lambda: next(calls, False))
    with pytest.raises(StudyError, match="ended after step 3; the next call goes on"):
        settings.fit(data, ending)
    assert (tmp_path / "state").is_dir()
    again = settings.fit(data, replace(ending, ended=lambda: False))
    assert not (tmp_path / "state").exists()
    assert set(again.tensors) == set(whole.tensors)
    for name, value in whole.tensors.items():
        assert np.array_equal(again.tensors[name], value), name
    assert np.array_equal(again.errors, whole.errors)
    assert again.curve.equals(whole.curve)


def test_what_is_measured_does_not_depend_on_the_batch() -> None:
    data, settings = space(smooth(24, side=8)), spec("unet", **TINY["unet"])
    fitted = settings.fit(data)
    first, second = (
        next(settings.measure(fitted.tensors, data, [0.7], Diffusability(batch=batch, probes=2))) for batch in (12, 5)
    )
    for name in ("error", "score", "trace", "hessian", "jacobian", "square"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=2e-4)


def test_held_out_errors_are_those_of_the_averaged_network() -> None:
    data, settings = space(smooth(24, side=8)), spec("dit", **TINY["dit"])
    fitted = settings.fit(data)
    assert fitted.errors.shape == (len(LOSS_LEVELS), 12)
    level = LOSS_LEVELS.index(1.0)
    how = Diffusability(levels=[1.0], probes=1)
    error = next(settings.measure(fitted.tensors, data, [1.0], how)).error / data.dimension
    assert fitted.errors[level].mean() == pytest.approx(error.mean(), rel=0.15)  # of other noise
    assert built(settings, data.shape, fitted.tensors).training is False


def test_a_grid_or_a_width_that_a_transformer_cannot_take_is_refused() -> None:
    with pytest.raises(StudyError, match="square grids"):
        spec("dit").network((1, 4, 8))
    with pytest.raises(StudyError, match="cannot be shared by 3 heads"):
        spec("dit", width=32, heads=3).network((1, 4, 4))


def test_a_trained_denoiser_comes_near_the_best_one() -> None:
    settings = spec("dit", width=32, depth=1, heads=1, steps=250, batch=128, learning_rate=0.003)
    trial = Trial.of(settings, THREE, 1, 20_000, held_out=500)
    *_, (sigma, found, best) = trial.measured(probes=1)
    assert sigma == 2.0
    for quantity in ("mmse", "fisher_score", "fisher_trace", "fisher_mmse"):
        assert found[quantity][0] == pytest.approx(best[quantity][0], rel=0.05)
    assert found["mmse_rate"][0] == pytest.approx(best["mmse_rate"][0], rel=0.25)
    assert trial.fitted.curve["loss"].iloc[-1] < 0.98
