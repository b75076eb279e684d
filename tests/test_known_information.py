"""A trained noise-conditioned classifier gets I(C; Y_t) of a mixture to 3 %; `make calibrate` takes all mixtures."""

import pytest
from bench.mixtures import TWO, Grids
from bench.noise_conditioned import classifier, film, trained

NOISE = {"sigma_min": 0.05, "sigma_max": 4.0, "evaluated": 0}
TINY = {"depths": [1, 1, 1, 1], "dims": [16, 16, 16, 16]}


def test_a_trained_film_convnext_gets_the_information_of_the_table() -> None:
    spec = classifier(arguments=TINY, epochs=12, learning_rate=0.01, noise=NOISE)
    rows = list(film("two", spec, side=1, count=8000, draws=20000))
    assert len(rows) == 4
    for row in rows:
        assert row.bound == 0.03 and row.ratio > 0 and row.holds(), str(row)


def test_one_that_was_trained_without_noise_does_not() -> None:
    """So it is the noise in training that is measured, and not what a classifier knows of clean samples."""
    spec = classifier(arguments=TINY, epochs=2, learning_rate=0.01, noise=None)
    grids = Grids(TWO, 1)
    _, _, shortfall = grids.measured(trained(spec, TWO, 1, 4000), 4.0, 5000, 5)
    assert shortfall > 0.03 * TWO.information(4.0)
    assert TWO.information(4.0) == pytest.approx(0.11043536, abs=1e-8)
