"""The geometry of encoders: linear ones with known singular values, circles, parabolas, filters."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pipeline import encoder_geometry, geometry
from pipeline.autoencoders import Latents, Pixels
from pipeline.denoisers import Space
from pipeline.diffusion import Geometry
from pipeline.encoder_geometry import nearest, one_each, surveyed
from pipeline.errors import StudyError
from pipeline.geometry import QUANTITIES, Felt, curvatures, derivatives, felt, fine, penalties, tangents
from tests.denoising import encoded, program, smooth, stored

Floats = NDArray[np.float64]
SHAPE = (1, 6, 6)


def flat_data(spectrum: Floats, count: int = 300, seed: int = 0) -> Floats:
    """Images count x 1 x 6 x 6 that vary along the first coordinates alone."""
    values = np.zeros((count, 36))
    values[:, : len(spectrum)] = np.random.default_rng(seed).normal(size=(count, len(spectrum))) * spectrum
    return values.reshape(count, *SHAPE)


class Linear:
    """An encoder that multiplies by a matrix."""

    def __init__(self, matrix: Floats) -> None:
        self.matrix = matrix

    def encode(self, images: Pixels) -> Latents:
        return Latents((images.reshape(len(images), -1).astype(np.float64) @ self.matrix.T)[:, :, None, None])

    def decode(self, latents: NDArray[np.float32]) -> Pixels:
        raise NotImplementedError


def space(values: NDArray[np.floating]) -> Space:
    rows = np.arange(len(values))
    return Space(lambda chosen: values[chosen].astype(np.float32), values.shape[1:], rows[40:], rows[:40], rows)  # type: ignore[arg-type]


def measured(matrix: Floats, images: Floats, **options: int) -> dict[str, float]:
    encoder = Linear(matrix)
    latents = encoder.encode(images.astype(np.float32)).mean
    how = Geometry(samples=20, **options)
    return {name: value for name, (value, _) in surveyed(encoder, space(images), space(latents), how).items()}


def test_a_linear_encoder_has_the_penalties_of_its_singular_values() -> None:
    # Four directions of the data, all of them seen at every image; along them the encoder has these slopes.
    slopes = np.array([2.0, 1.0, 0.5, 0.01])
    matrix = np.diag(np.concatenate([slopes, np.full(32, 3.0)]))
    found = measured(matrix, flat_data(np.ones(4)), tangents=4, neighbours=12)
    alpha = np.sqrt((slopes**2).mean())
    assert found["lost_directions"] == 0.25
    assert found["tangential_distortion"] == pytest.approx(np.sqrt((((slopes / alpha) ** 2 - 1) ** 2).mean()), rel=1e-4)
    assert found["slope_low"] == pytest.approx(0.01 / alpha, rel=1e-3)
    assert found["slope_high"] == pytest.approx(2 / alpha, rel=1e-3)
    assert found["tangential_curvature"] < 0.01
    assert found["fine_curvature"] < 0.01
    assert found["data_curvature"] < 1e-4


@pytest.mark.parametrize("scale", [0.1, 7.0])
def test_a_scaled_isometry_has_no_penalty_and_bends_the_data_as_the_images_do(scale: float) -> None:
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(36, 36)))[0]
    images = np.random.default_rng(2).normal(size=(300, *SHAPE)) * np.linspace(0.1, 1, 36).reshape(SHAPE)
    found = measured(scale * turn, images, tangents=5, neighbours=12)
    assert found["lost_directions"] == 0
    assert found["tangential_distortion"] < 1e-3
    for name in ("slope_low", "slope_high", "distance_low", "distance_high", "fine_response"):
        assert found[name] == pytest.approx(1, abs=1e-3)
    assert found["latent_data_curvature"] == pytest.approx(found["data_curvature"], rel=1e-3)
    assert found["data_curvature"] > 0.1


def test_an_embedding_with_orthonormal_columns_is_an_isometry_and_its_reverse_is_not() -> None:
    axes = np.linalg.qr(np.random.default_rng(3).normal(size=(50, 36)))[0]
    images = np.random.default_rng(4).normal(size=(300, *SHAPE))
    assert measured(axes, images, tangents=4)["tangential_distortion"] < 1e-3
    projected = measured(np.eye(36)[:3], images, tangents=4)
    # Of four directions of the data no more than three are left.
    assert projected["lost_directions"] >= 0.25
    assert projected["tangential_distortion"] > 0.5


@pytest.mark.parametrize("radius", [0.5, 4.0])
def test_the_curvature_of_a_circle_is_one_over_its_radius(radius: float) -> None:
    angles = np.array([-0.03, -0.02, -0.01, 0.01, 0.02, 0.03])
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(8, 8)))[0][:2]
    points = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1) @ turn
    found = curvatures(points - radius * np.array([1.0, 0.0]) @ turn, 1)
    np.testing.assert_allclose(found, 1 / radius, rtol=0.05)


def test_the_curvature_of_a_sphere_is_one_over_its_radius_in_every_direction() -> None:
    random = np.random.default_rng(6)
    points = np.column_stack([np.ones(400), 0.02 * random.normal(size=(400, 2))])
    points = 3.0 * points / np.linalg.norm(points, axis=1, keepdims=True)
    np.testing.assert_allclose(np.median(curvatures(points - [3.0, 0, 0], 2)), 1 / 3, rtol=0.05)


def test_directions_of_the_data_are_the_axes_that_it_lies_along() -> None:
    random = np.random.default_rng(7)
    basis = np.linalg.qr(random.normal(size=(20, 3)))[0].T
    axes = tangents(random.normal(size=(30, 3)) @ basis, 3)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(axes.T @ axes, basis.T @ basis, atol=1e-10)


def test_derivatives_of_a_parabola_are_exact() -> None:
    matrix = np.random.default_rng(8).normal(size=(5, 36))

    def parabola(images: Floats) -> Floats:
        along = images.reshape(len(images), -1) @ matrix.T
        return along**2 + 2 * along

    image, direction = np.full(SHAPE, 0.3), np.zeros((1, *SHAPE))
    direction[0, 0, 0, 0] = 1.0
    first, second = derivatives(parabola, image, direction, 0.1)
    along = image.ravel() @ matrix.T
    np.testing.assert_allclose(first[0], (2 * along + 2) * matrix[:, 0], rtol=1e-9)
    np.testing.assert_allclose(second[0], 2 * matrix[:, 0] ** 2, rtol=1e-6)


def test_curvature_is_that_of_the_second_derivative_in_the_units_that_are_stated() -> None:
    # f(x) = (x_0, c x_0^2): at 0 the slope along the only direction of the data is 1 and the second derivative 2 c.
    def bent(images: Floats) -> Floats:
        along = images.reshape(len(images), -1)[:, 0]
        return np.stack([along, 0.7 * along**2], axis=1)

    differences = np.zeros((3, 36))
    differences[:, 0] = [-0.1, 0.1, 0.2]
    random = np.random.default_rng(9)
    found = felt(bent, np.zeros(SHAPE), (differences, bent(differences)), 1, 0.01, random)
    made = penalties(found, 5.0, 5.0)
    assert made["tangential_curvature"] == pytest.approx(2 * 0.7 * 5.0, rel=1e-6)
    assert made["data_curvature"] == 0


def test_fine_directions_hold_no_slow_waves_and_a_filter_does_not_respond_to_them() -> None:
    directions = fine((2, 16, 16), 5, np.random.default_rng(10))
    np.testing.assert_allclose(np.linalg.norm(directions.reshape(5, -1), axis=1), 1)
    frequency = np.hypot(np.fft.fftfreq(16)[:, None], np.fft.fftfreq(16))
    power = np.abs(np.fft.fft2(directions)) ** 2
    assert power[..., frequency <= geometry.FINE].max() < 1e-20
    # Means of blocks of 2 x 2 pixels let through what is left of those waves: the fourth root of it in each direction.
    averaging = np.kron(np.eye(3), np.full((1, 2), 0.5))
    matrix = np.kron(averaging, averaging)
    images = np.repeat(np.repeat(np.random.default_rng(11).normal(size=(300, 1, 3, 3)), 2, axis=2), 2, axis=3)
    found = measured(matrix, images, tangents=4)
    assert found["fine_response"] < 0.75 and found["tangential_distortion"] < 1e-3


def test_an_encoder_that_says_nothing_has_no_measures_and_not_a_wrong_one() -> None:
    nothing = Felt(*(np.zeros((4, 2)) for _ in range(7)))
    assert np.isnan(list(penalties(nothing, 1.0, 1.0).values())).all()


def test_one_image_of_each_patient_is_taken_and_neighbours_are_those_of_scikit_learn() -> None:
    from sklearn.neighbors import NearestNeighbors

    values = np.random.default_rng(12).normal(size=(30, 4))
    values[20] = values[0]
    from pipeline.covariates import gram

    found = nearest(gram(values), 5, 3)
    expected = NearestNeighbors(n_neighbors=4).fit(values[5:]).kneighbors(values[:5])[1]
    assert np.array_equal(found[1:], expected[1:, :3])
    assert np.array_equal(found[0], expected[0, 1:])  # not its own copy
    held = Space(
        lambda rows: values[rows].astype(np.float32), SHAPE, np.arange(3), np.array([9, 8, 7, 6]), values[:, 0]
    )  # type: ignore[arg-type]
    grouped = np.array([0, 0, 0, 0, 0, 0, 1, 2, 2, 1])
    rows = one_each(Space(held.read, SHAPE, held.train, held.held_out, grouped), 5)
    assert rows.tolist() == [9, 8]


def test_the_program_measures_real_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path, smooth(120))
    found = {}
    for name, entry in {
        "orthogonal": {"family": "orthogonal", "stride": 4, "seed": 0},
        "lossy": {"family": "lossy", "stride": 4},
    }.items():
        options = {"dataset": "d", "autoencoder": name, "spec": json.dumps(entry), "settings": '{"samples": 10}'}
        options |= {"index": tmp_path / "index.parquet", "images": tmp_path / "images.zarr"}
        options |= {"image-manifests": [tmp_path / "images/0.json"], "store": encoded(tmp_path, name, entry)}
        options |= {"manifests": [tmp_path / f"{name}/0.json"], "fold": 0, "geometry": tmp_path / f"{name}.csv"}
        program(monkeypatch, encoder_geometry.main, options)
        found[name] = pd.read_csv(tmp_path / f"{name}.csv").set_index("quantity")
    assert list(found["lossy"].index) == ["compression", *QUANTITIES]
    assert found["lossy"]["value"]["compression"] == 16
    assert (found["lossy"]["samples"] == 10).all()
    assert found["orthogonal"]["value"]["tangential_distortion"] < 1e-3
    assert found["lossy"]["value"]["fine_response"] < 0.5 < found["orthogonal"]["value"]["fine_response"]
    assert (found["lossy"]["standard_error"][1:] >= 0).all()


def test_too_few_neighbours_are_refused() -> None:
    images = flat_data(np.ones(3), 45)
    with pytest.raises(StudyError, match="there are 5 training images"):
        surveyed(Linear(np.eye(36)), space(images), space(images), Geometry())
    with pytest.raises(ValueError, match="must be more than 'tangents'"):
        Geometry(tangents=4, neighbours=4)
