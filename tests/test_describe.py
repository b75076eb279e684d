"""Covariates against closed forms, and the stage that measures them, whatever the samples' place in the store."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.neighbors import KNeighborsClassifier

from pipeline import covariates, describe
from pipeline.covariates import debiased_cka, gram, linear_cka, separability, spectral_exponent, squared_distances
from pipeline.describe import draw, look, pooled, standardised
from pipeline.errors import StudyError
from pipeline.heads import Space
from pipeline.pooling import features
from pipeline.store import Layout, Rows, lay_out, to_grid, write_shard
from tests.studies import plan, tiny

Floats = NDArray[np.float64]


def distances(points: Floats) -> Floats:
    return np.asarray(cdist(points, points, "sqeuclidean"))


def cube(dimension: int, count: int, seed: int = 0) -> Floats:
    """Points spread evenly in a cube, turned into ten dimensions: distances do not change."""
    random = np.random.default_rng([seed, dimension])
    turn = np.linalg.qr(random.normal(size=(10, 10)))[0][:dimension]
    return np.asarray(random.random((count, dimension)) @ turn)


def sphere(dimension: int, count: int) -> Floats:
    points = np.random.default_rng(dimension).normal(size=(count, dimension + 1))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_dimensions_of_cubes_and_spheres_are_theirs(dimension: int) -> None:
    # The standard error of TwoNN is d / sqrt(n); a cube's border and neighbours' finite distance bias both downwards.
    for points in (cube(dimension, 2000), sphere(dimension, 2000)):
        apart = distances(points)
        assert covariates.two_nearest(apart) == pytest.approx(dimension, rel=0.09)
        assert covariates.likeliest_dimension(apart) == pytest.approx(dimension, rel=0.09)


def test_the_slope_of_two_nearest_is_that_of_its_exact_distribution() -> None:
    # Distances whose ratios are the quantiles of mu's Pareto distribution, dimension 3: every fit passes through them.
    count = 200
    mu = (1 - np.arange(1, count) / count) ** (-1 / 3)
    apart = np.full((count, count), 1e6)
    apart[:, 0], apart[:, 1] = 1.0, 1.0
    apart[2:, 1] = mu[: count - 2] ** 2
    apart[0, 1:3], apart[1, [0, 2]] = [1.0, mu[count - 2] ** 2], [1.0, 1e5]
    assert covariates.two_nearest(apart) == pytest.approx(3.0, rel=1e-6)


def test_the_likeliest_dimension_is_its_formula_sample_by_sample() -> None:
    points = cube(3, 60)
    apart, found = np.sqrt(distances(points)), []
    for k in range(10, 21):
        inverse = []
        for row in apart:
            near = np.sort(row)[1 : k + 1]
            inverse.append(sum(math.log(near[-1] / near[j]) for j in range(k - 1)) / (k - 1))
        found.append(1 / np.mean(inverse))
    assert covariates.likeliest_dimension(apart**2) == pytest.approx(np.mean(found), rel=1e-12)


def test_copies_and_too_few_samples_do_not_make_a_dimension() -> None:
    points = cube(2, 400)
    twice = np.concatenate([points, points[:50]])
    apart = squared_distances(gram(twice))
    assert covariates.two_nearest(apart) == pytest.approx(covariates.two_nearest(distances(points)), rel=0.15)
    assert math.isfinite(covariates.likeliest_dimension(apart))
    same = squared_distances(gram(np.ones((50, 4))))
    assert math.isnan(covariates.two_nearest(same))
    assert math.isnan(covariates.likeliest_dimension(same))
    assert math.isnan(covariates.two_nearest(distances(points[:2])))
    assert math.isnan(covariates.likeliest_dimension(distances(points[:39])))
    assert math.isfinite(covariates.likeliest_dimension(distances(points[:40])))


@given(st.integers(2, 30), st.integers(1, 40), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_distances_from_inner_products_are_scipys(count: int, length: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(count, length))
    np.testing.assert_allclose(squared_distances(gram(points)), distances(points), atol=1e-9)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_equal_variances_along_so_many_axes_have_that_rank(rank: int) -> None:
    axes = np.eye(rank)
    points = np.concatenate([axes, -axes]) + 5.0
    assert covariates.effective_rank(points @ points.T) == pytest.approx(rank)
    assert math.isnan(covariates.effective_rank(np.ones((4, 4))))


def test_the_effective_rank_is_the_entropy_of_the_covariances_eigenvalues() -> None:
    points = np.random.default_rng(0).normal(size=(40, 6)) * [1, 2, 3, 4, 5, 6]
    shares = np.linalg.eigvalsh(np.cov(points.T))
    shares /= shares.sum()
    expected = math.exp(-(shares * np.log(shares)).sum())
    assert covariates.effective_rank(points @ points.T) == pytest.approx(expected)


@given(st.integers(5, 30), st.integers(1, 12), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_a_space_turned_scaled_and_moved_is_the_same_space(count: int, length: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    points = random.normal(size=(count, length))
    turn = np.linalg.qr(random.normal(size=(length, length)))[0]
    other = 3 * points @ turn + random.normal(size=length)
    assert linear_cka(gram(points), gram(other)) == pytest.approx(1)
    expected = 1.0 if covariates._unbiased(gram(points), gram(points)) > 1e-9 else math.nan
    assert debiased_cka(gram(points), gram(other)) == pytest.approx(expected, nan_ok=True)


def test_cka_is_that_of_features_and_is_zero_for_orthogonal_ones() -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(size=(50, 4)), random.normal(size=(50, 7))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    assert linear_cka(x @ x.T, y @ y.T) == pytest.approx(np.linalg.norm(y.T @ x) ** 2 / norms)
    y -= x @ np.linalg.lstsq(x, y, rcond=None)[0]
    assert linear_cka(x @ x.T, y @ y.T) == pytest.approx(0, abs=1e-12)


def test_the_debiased_cka_is_zero_on_average_where_the_plain_one_is_not() -> None:
    random = np.random.default_rng(2)
    pairs = [(gram(random.normal(size=(20, 60))), gram(random.normal(size=(20, 60)))) for _ in range(200)]
    found = np.array([debiased_cka(a, b) for a, b in pairs])
    assert abs(found.mean()) < 4 * found.std() / math.sqrt(200)
    assert min(linear_cka(a, b) for a, b in pairs) > 0.5
    assert math.isnan(debiased_cka(np.eye(3), np.eye(3)))


def test_the_unbiased_hsic_is_its_sum_over_four_different_samples() -> None:
    random = np.random.default_rng(3)
    k, n = gram(random.normal(size=(6, 2))), 6
    other = gram(random.normal(size=(6, 2)))
    terms = [
        k[i, j] * other[i, j] + k[i, j] * other[q, r] - 2 * k[i, j] * other[i, q]
        for i in range(n)
        for j in range(n)
        for q in range(n)
        for r in range(n)
        if len({i, j, q, r}) == 4
    ]
    assert covariates._unbiased(k, other) == pytest.approx(float(np.mean(terms)))


def test_separability_is_a_vote_of_scikit_learn_without_the_own_patient() -> None:
    random = np.random.default_rng(4)
    classes, patients = np.arange(90) % 3, np.arange(90) // 2
    points = random.normal(size=(90, 4)) + classes[:, None]
    hits = np.zeros(90, bool)
    for row in range(90):
        others = patients != patients[row]
        count = np.bincount(classes)
        votes = np.zeros(3)
        model = KNeighborsClassifier(5).fit(points[others], classes[others])
        for neighbour in classes[others][model.kneighbors(points[[row]], return_distance=False)[0]]:
            votes[neighbour] += 1 / count[neighbour]
        hits[row] = votes.argmax() == classes[row]
    expected = np.mean([hits[classes == k].mean() for k in range(3)])
    labels = np.eye(3, dtype=np.int8)[classes]
    assert separability(distances(points), labels, patients, exclusive=True) == pytest.approx(expected)
    # The same answers class by class: as good, and of more samples where some are unlabelled.
    several = np.concatenate([labels, np.full((90, 1), -1, np.int8)], axis=1)
    assert separability(distances(points), several, patients, exclusive=False) > 0.6


def test_samples_of_one_patient_do_not_vote_for_one_another() -> None:
    # Every patient's eight samples lie together, and the patients of the classes alternate on a line.
    patients = np.arange(160) // 8
    points = patients[:, None] * 1.0
    labels = np.eye(2, dtype=np.int8)[patients % 2]
    assert separability(distances(points), labels, np.arange(160), exclusive=True) == 1
    alone = separability(distances(points), labels, patients, exclusive=True)
    assert alone < 0.5
    assert math.isnan(separability(distances(points), np.empty((160, 0), np.int8), patients, exclusive=True))
    assert math.isnan(separability(distances(points), labels * 0 - 1, patients, exclusive=True))


def field(exponent: float, size: int, count: int, seed: int = 0) -> NDArray[np.float32]:
    """Periodic random fields with squared amplitudes of exactly k ** -exponent, n x 1 x size x size."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.fft2(random.normal(size=(count, 1, size, size)))
    frequency = np.hypot(np.fft.fftfreq(size, 1 / size)[:, None], np.fft.fftfreq(size, 1 / size))
    frequency[0, 0] = 1
    shaped = spectrum / np.abs(spectrum) * frequency ** (-exponent / 2)
    return np.fft.ifft2(shaped).real.astype(np.float32)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.0])
def test_the_exponent_of_a_power_law_is_found_whatever_channels_are_scaled_by(exponent: float) -> None:
    values = np.concatenate([field(exponent, 32, 8), 100 * field(exponent, 32, 8, 1) + 3], axis=1)
    assert spectral_exponent(covariates.power(values)) == pytest.approx(exponent, abs=0.05)


def test_white_noise_is_flat_and_small_grids_have_no_exponent() -> None:
    noise = np.random.default_rng(0).normal(size=(200, 2, 16, 16)).astype(np.float32)
    assert spectral_exponent(covariates.power(noise)) == pytest.approx(0, abs=0.03)
    assert math.isnan(spectral_exponent(covariates.power(noise[:, :, :5, :5])))
    assert math.isnan(spectral_exponent(covariates.power(np.ones((2, 1, 8, 8), np.float32))))


@pytest.mark.parametrize("side", [3, 8, 13, 20])
def test_cells_are_those_of_the_heads(side: int) -> None:
    values = np.random.default_rng(side).normal(size=(7, 2, side, side)).astype(np.float32)
    space = Space(values, np.zeros((7, 1), np.int8), False, 1)
    expected = features(space, 8, np.arange(7)).values
    np.testing.assert_allclose(standardised(pooled(values, 8)), expected, atol=1e-9)


def index(patients: int = 12, each: int = 2) -> pd.DataFrame:
    rows = np.arange(patients * each)
    table = pd.DataFrame({"patient": [f"p{row // each}" for row in rows], "usable": rows != 5})
    return table.assign(**{"label:a": (rows // each % 2).astype(np.int8), "label:b": (1 - rows // each % 2)})


def test_whole_patients_are_drawn_in_an_order_that_their_names_have_no_part_in() -> None:
    table = index(50, 3).astype({"label:b": np.int8})
    sample = draw(table, ["a", "b"], True, limit=31)
    assert len(sample.rows) == len(set(sample.rows)) == 31
    assert 5 not in draw(table, ["a", "b"], True).rows
    assert len(set(sample.patients)) in (11, 12)
    assert list(sample.rows) == list(draw(table, ["a", "b"], True, limit=60).rows[:31])
    renamed = table.assign(patient="x" + table["patient"].str[::-1])
    np.testing.assert_array_equal(draw(renamed, ["a", "b"], True, limit=31).rows, sample.rows)
    singles = sample.singles(31)
    assert len(singles) == len(set(sample.patients))
    assert sorted(sample.patients[singles]) == sorted(set(sample.patients))
    with pytest.raises(StudyError, match="no sample"):
        draw(table.assign(usable=False), ["a", "b"], True)


def stored(folder: Path, name: str, values: NDArray[np.float32]) -> str:
    """Write a store of two shards with its manifests and return its path without the ending."""
    store, half, pixels = folder / f"{name}.zarr", len(values) // 2, name == "images"
    lay_out(store, Layout(len(values), values.shape[1:], 2, "uint16" if pixels else "float32", {}))  # type: ignore[arg-type]
    for shard, part in enumerate((values[:half], values[half:])):
        write_shard(store, shard, to_grid(part) if pixels else part, {}).write(folder / f"{name}/{shard}.json")
    return str(folder / name)


def test_a_space_is_read_in_the_order_of_the_sample(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(150, 2, 9, 9)).astype(np.float32)
    stored(tmp_path, "latents", values)
    rows = np.random.default_rng(1).permutation(150)[:130]
    seen = look(Rows(tmp_path / "latents.zarr"), rows, 100)
    chosen = values[rows].astype(float)
    np.testing.assert_allclose(seen.pooled, gram(standardised(pooled(values[rows], 8))), atol=1e-8)
    whole = chosen[:100] - chosen[:100].mean(axis=(0, 2, 3), keepdims=True)
    whole /= whole.std(axis=(0, 2, 3), keepdims=True)
    np.testing.assert_allclose(seen.whole, gram(whole.reshape(100, -1)), atol=1e-3)
    np.testing.assert_allclose(seen.power, covariates.power(values[rows]), rtol=1e-4)


def test_unusable_rows_change_nothing(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((24, 1, 8, 8)).astype(np.float32)
    stored(tmp_path, "a", values)
    values[5] = 1e30
    stored(tmp_path, "b", values)
    sample = draw(index().astype({"label:b": np.int8}), ["a", "b"], True)
    a, b = (look(Rows(tmp_path / f"{name}.zarr"), sample.rows, 100) for name in "ab")
    assert describe.covariates_of(a, a, sample) == describe.covariates_of(b, b, sample)


@pytest.mark.parametrize(("patients", "each"), [(1, 1), (1, 6), (2, 1), (3, 1)])
def test_a_scan_of_one_patient_is_described_as_far_as_it_goes(tmp_path: Path, patients: int, each: int) -> None:
    stored(tmp_path, "images", np.random.default_rng(0).random((24, 1, 16, 16)).astype(np.float32))
    rows = np.arange(24)
    usable = rows < patients * each
    sample = draw(pd.DataFrame({"patient": rows // each, "usable": usable}), [], True)
    seen = look(Rows(tmp_path / "images.zarr"), sample.rows, 100)
    found = {name: value for name, (value, _) in describe.covariates_of(seen, seen, sample).items()}
    # There is nothing to tell apart, and what there is has too few neighbours for a likeliest dimension.
    assert math.isnan(found["separability"])
    assert math.isnan(found["dimension_likeliest"])
    assert math.isfinite(found["dimension_two_nearest"]) == (patients >= 3)
    assert math.isfinite(found["effective_rank"]) == (usable.sum() > 1)
    assert math.isfinite(found["spectral_exponent"])


def test_the_program_describes_every_space_and_averages_members(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = random.random((60, 1, 16, 16)).astype(np.float32)
    latents = [random.normal(size=(60, 2, 4, 4)).astype(np.float32) for _ in range(2)]
    stored(tmp_path, "images", images)
    members = [{"latent": stored(tmp_path, f"latents{k}", latent)} for k, latent in enumerate(latents)]
    members = [member | {"reconstruction": str(tmp_path / "images")} for member in members]
    table = index(30).astype({"label:b": np.int8})
    table.to_parquet(tmp_path / "index.parquet")

    def described(chosen: list[dict[str, str]]) -> pd.DataFrame:
        planned = {"image": str(tmp_path / "images"), "members": chosen, "shards": 2}
        command = [sys.executable, "-m", "pipeline.describe", "--dataset", "set", "--autoencoder", "tuned"]
        command += ["--index", str(tmp_path / "index.parquet"), "--classes", '["a", "b"]', "--task", "single-label"]
        command += ["--plan", json.dumps(planned), "--covariates", str(tmp_path / "covariates.csv")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return pd.read_csv(tmp_path / "covariates.csv").set_index(["space", "covariate"])

    both, first = described(members), described(members[:1])
    assert list(both.columns) == ["dataset", "autoencoder", "value", "samples"]
    assert list(both.index.unique("space")) == ["image", "latent", "reconstruction"]
    assert len(both) == 21
    assert both.loc[("image", "cka"), "value"] == 1
    pd.testing.assert_series_equal(both.loc["image", "value"], both.loc["reconstruction", "value"])
    # Four cells along a side are too few for a spectrum, and 30 patients for the likeliest dimension.
    assert both["value"].isna().sum() == 1 + 3
    second = described(members[1:])
    mean = (first["value"] + second["value"]) / 2
    pd.testing.assert_series_equal(both["value"], mean, rtol=1e-4)
    assert set(both.loc["latent", "samples"]) == {30, 59}


def test_every_entry_is_described_from_its_spaces_and_nothing_is_trained(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    jobs = plan(folder, "results/covariates.csv")
    assert (jobs["describe"], jobs["describe_study"], jobs["decode"]) == (2, 1, 4)
    assert not {"train", "measure", "standardize"} & set(jobs)
