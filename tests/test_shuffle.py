"""The order of training rows: every row once, the same in every space, and mixed as far as is said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.shuffle import RUN, Shuffle
from pipeline.store import ROWS_PER_CHUNK


def random(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=400, unique=True), st.integers(1, 40), st.booleans())
def test_every_row_comes_once(rows: list[int], batches: int, whole: bool) -> None:
    order = Shuffle(8 * batches, whole).places(np.array(rows), random(1))
    np.testing.assert_array_equal(np.sort(order), np.arange(len(rows)))


def test_all_rows_are_shuffled_as_numpy_permutes_them() -> None:
    np.testing.assert_array_equal(Shuffle(32, True).places(np.arange(900), random(3)), random(3).permutation(900))


def test_a_buffer_holds_whole_runs_and_so_a_store_is_read_in_large_parts() -> None:
    rows = np.flatnonzero(random(0).random(20_000) < 0.7)
    order = Shuffle(1024, False).places(rows, random(2))
    # Ten or eleven rows of each run train; a run is in one buffer, or in two where one ends.
    buffers = [np.unique(rows[order[at : at + 1024]] // RUN) for at in range(0, len(order), 1024)]
    assert sum(map(len, buffers)) <= 20_000 // RUN + len(buffers)
    assert RUN % ROWS_PER_CHUNK == 0


def test_neighbours_in_a_store_do_not_stay_neighbours() -> None:
    # Two classes, one after the other, as folders give them: batches of 32 have both, nearly as if all was shuffled.
    labels = np.repeat([0, 1], 10_000)
    spread = []
    for whole in (True, False):
        order = Shuffle(4096, whole).places(np.arange(20_000), random(5))
        shares = labels[order[: 20_000 // 32 * 32]].reshape(-1, 32).mean(axis=1)
        assert shares.min() > 0
        assert shares.max() < 1
        spread.append(shares.std())
    assert spread[0] == pytest.approx(0.5 / np.sqrt(32), rel=0.1)
    # A buffer of 256 runs has its own share of the classes, with a deviation of 0.5 / 16.
    assert spread[1] == pytest.approx(np.hypot(spread[0], 0.5 / 16), rel=0.15)


def test_another_epoch_is_another_order() -> None:
    orders = [Shuffle(64, False).places(np.arange(500), random(1, epoch)) for epoch in (0, 0, 1)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])


def test_what_fits_is_shuffled_altogether() -> None:
    image = 3 * 4 * 64 * 64
    assert Shuffle.of(1000, 64 * 64, 1000 * image, 32).whole
    assert not Shuffle.of(1001, 64 * 64, 1000 * image, 32).whole
    # The default: 350,000 colour images of 64 pixels, and 5,461 of 512.
    assert Shuffle.of(349_525, 64 * 64, 2**34, 32).whole
    assert not Shuffle.of(349_526, 64 * 64, 2**34, 32).whole
    assert Shuffle.of(5461, 512 * 512, 2**34, 32) == Shuffle(672, True)


@given(st.integers(1, 10**7), st.integers(1, 10**7), st.integers(1, 2**40), st.integers(2, 512))
def test_a_buffer_is_of_whole_batches_and_at_least_two_runs(rows: int, pixels: int, most: int, batch: int) -> None:
    shuffle = Shuffle.of(rows, pixels, most, batch)
    assert shuffle.buffer % batch == 0
    assert shuffle.buffer >= 2 * RUN
    assert shuffle.buffer * 12 * pixels <= max(most / 8, 12 * pixels * (2 * RUN + batch))
