"""The hierarchical bootstrap against a loop that draws unit after unit, and against its closed-form variance."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.hierarchical import described, replicates

Floats = NDArray[np.float64]


def units(*shapes: tuple[int, int, int]) -> list[Floats]:
    random = np.random.default_rng(5)
    return [random.normal(random.normal(), 1, (s[0], 1, 1)) + random.normal(size=s) for s in shapes]


def drawn_one_by_one(of: Sequence[Floats], count: int) -> list[float]:
    random = np.random.default_rng(1)
    result = []
    for _ in range(count):
        sets = []
        for which in random.choice(len(of), len(of)):
            folds, seeds, patients = of[which].shape
            total = []
            for fold in random.choice(folds, folds):
                patient = random.choice(patients)
                total.append(np.mean([of[which][fold, seed, patient] for seed in random.choice(seeds, seeds)]))
            sets.append(np.mean(total))
        result.append(float(np.mean(sets)))
    return result


def expected_variance(of: Sequence[Floats]) -> float:
    """Of a replicate: the spread of data sets' means, and the mean spread within them, by D; so on for folds."""
    within = []
    for values in of:
        folds, seeds, _ = values.shape
        of_fold = values.mean(axis=1).var(axis=1) + values.var(axis=1).mean(axis=1) / seeds
        within.append((values.mean(axis=(1, 2)).var() + of_fold.mean()) / folds)
    return float((np.var([values.mean() for values in of]) + np.mean(within)) / len(of))


@pytest.mark.parametrize(
    "shapes", [[(3, 2, 40)], [(1, 1, 50)] * 3, [(4, 2, 30), (1, 3, 20), (5, 1, 60)]], ids=["one", "flat", "unlike"]
)
def test_mean_and_variance_are_those_of_the_definition(shapes: list[tuple[int, int, int]]) -> None:
    of = units(*shapes)
    found = replicates(of, 40_000)
    error = np.sqrt(expected_variance(of) / len(found))
    assert found.mean() == pytest.approx(np.mean([values.mean() for values in of]), abs=5 * error)
    assert found.var() == pytest.approx(expected_variance(of), rel=0.05)


def test_quantiles_are_those_of_a_plain_loop() -> None:
    of = units((4, 2, 30), (1, 3, 20), (5, 1, 60))
    levels = [0.025, 0.25, 0.5, 0.75, 0.975]
    spread = np.sqrt(expected_variance(of))
    found = np.quantile(replicates(of, 20_000), levels)
    np.testing.assert_allclose(found, np.quantile(drawn_one_by_one(of, 4000), levels), atol=0.15 * spread)


def test_a_single_unit_on_every_level_leaves_the_replicates_of_patients() -> None:
    values = units((1, 1, 25))
    assert set(replicates(values, 2000)) == set(values[0].ravel())


def test_draws_depend_on_shapes_alone_so_that_differences_are_paired() -> None:
    first, second = (units((3, 2, 40), (2, 2, 40)) for _ in range(2))
    second = [values**2 for values in second]
    both = [a + b for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(replicates(both, 500), replicates(first, 500) + replicates(second, 500), atol=1e-12)


def test_seeds_of_a_fold_share_its_patients() -> None:
    # Seeds that cancel patient by patient leave nothing, unless the same seed is drawn twice.
    patients = np.random.default_rng(0).normal(size=60)
    found = replicates([np.stack([patients, -patients])[None]], 4000)
    assert np.mean(found == 0) == pytest.approx(0.5, abs=0.05)


def test_it_is_said_what_was_drawn_and_what_is_single() -> None:
    assert described(units((4, 2, 9), (4, 2, 9))) == "drawn: 2 data sets, 4 folds, 2 seeds, patients"
    assert described(units((4, 1, 9))) == "drawn: 4 folds, patients; a single data set, a single seed"
    assert described(units((1, 3, 9), (5, 3, 9))) == "drawn: 2 data sets, 1 to 5 folds, 3 seeds, patients"
