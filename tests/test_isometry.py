"""The positive control for geometry: the regulariser against closed forms, and penalties that it lowers."""

import numpy as np
import pytest
import torch
from bench import isometry
from torch import nn


def linear(matrix: np.ndarray) -> nn.Module:
    layer = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, dtype=torch.float64)
    layer.weight.data = torch.from_numpy(matrix)
    return layer


@pytest.mark.parametrize("slopes", [[1.0, 1.0, 1.0], [2.0, 1.0, 0.5]])
def test_the_distortion_of_a_linear_decoder_is_that_of_its_singular_values(slopes: list[float]) -> None:
    random = np.random.default_rng(0)
    matrix = np.linalg.qr(random.normal(size=(8, 3)))[0] * slopes
    probes = torch.from_numpy(random.normal(size=(200_000, 3)))
    squares = np.array(slopes) ** 2
    found = isometry.distortion(linear(matrix), torch.zeros_like(probes), probes).item()
    assert found == pytest.approx((squares**2).sum() / squares.sum() ** 2, rel=0.02)


def test_a_push_to_a_scaled_isometry_lowers_the_penalty() -> None:
    rows = list(isometry.control(count=1000, steps=300))
    held = [row for row in rows if row.low is not None]
    assert len(held) == len(isometry.FALLING) and len(rows) > 8
    assert [str(row) for row in held if not row.holds()] == []
    error = next(row for row in rows if "error" in row.what)
    assert error.ratio < 5, str(error)
