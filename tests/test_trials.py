"""Folds, seeds, shares of the labels and searches: which trainings one head needs, and which it does not need twice."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import StudyError
from pipeline.folds import splits
from pipeline.heads import Fitted
from pipeline.kept import Kept
from pipeline.predictions import predictions, profile
from pipeline.trials import Trials, candidates, share
from tests.recording import INDEX, PATIENTS, Recording, data

PARTS = splits(INDEX)


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Every test counts its own calls."""
    Recording.calls.clear()
    yield


def trials(spec: Recording, seeds: list[int], **more: object) -> Trials:
    return Trials(spec, data(), PARTS, PATIENTS, seeds, **more)  # type: ignore[arg-type]


def test_every_fold_and_seed_has_a_seed_of_its_own() -> None:
    made = [(part.fold, seed, int(fit.tensors["seed"])) for part, seed, fit in trials(Recording(), [0, 1, 7]).run()]
    assert [(fold, seed) for fold, seed, _ in made] == [(fold, seed) for fold in range(3) for seed in (0, 1, 7)]
    assert len({own for *_, own in made}) == 9
    # The published scheme.
    assert [own for fold, seed, own in made if seed == 0] == [0, 1, 2]


def test_a_fold_that_is_not_tested_is_refused() -> None:
    assert [split.fold for split, *_ in trials(Recording(), [0], folds=[2]).run()] == [2]
    with pytest.raises(StudyError, match="fold 3 is not one that is tested"):
        list(trials(Recording(), [0], folds=[3]).run())


def test_a_head_sees_only_its_share_of_labels_and_is_tested_on_all() -> None:
    seen = {
        fraction: [split for split, *_ in trials(Recording(label_fraction=fraction, label_seed=3), [0]).run()]
        for fraction in (0.25, 0.5, 1.0)
    }
    for quarter, half, whole in zip(seen[0.25], seen[0.5], seen[1.0], strict=True):
        assert set(quarter.train) < set(half.train) < set(whole.train)
        assert len(half.train) == len(whole.train) // 2
        for rows in ("validation", "test"):
            np.testing.assert_array_equal(getattr(quarter, rows), getattr(whole, rows))
    other = share(Recording(label_fraction=0.5, label_seed=4), data(), PARTS[0], PATIENTS)
    assert set(other.train) != set(seen[0.5][0].train)


def test_a_share_of_labels_with_nothing_to_tell_apart_is_refused() -> None:
    space = data(exclusive=False)
    space.labels[:] = [0, 1]
    with pytest.raises(StudyError, match=r"with the label_fraction 0\.5 fold 0 trains on 4 samples"):
        share(Recording(label_fraction=0.5), space, PARTS[0], PATIENTS)


def test_a_learning_curve_is_of_nested_shares_beside_the_whole() -> None:
    made = list(trials(Recording(fractions=[0.5, 0.25]), [0, 1]).run())
    for _, _, fitted in made:
        assert [(point.axis, point.at) for point in fitted.profile] == [("fraction", 0.25), ("fraction", 0.5)]
    whole, quarter, half = (set(split.train) for split, *_ in Recording.calls[:3])
    assert quarter < half < whole == set(PARTS[0].train)
    table = profile(*made[1][:2], made[1][2])
    assert list(table)[:6] == ["axis", "at", "fold", "seed", "part", "row"]
    assert set(zip(table["at"], table["seed"], strict=True)) == {(0.25, 1), (0.5, 1)}
    assert sorted(table.query("part == 'test' and at == 0.5")["row"]) == sorted(PARTS[0].test)


def test_a_search_keeps_what_validates_best_and_reports_all() -> None:
    spec = Recording(search={"skill": [0.25, 1.0, 0.5], "label_seed": [0, 1]})
    assert len(candidates(spec)) == 6
    made = list(trials(spec, [0, 1]).run())
    curve = made[0][2].curve
    assert curve.groupby("candidate")["chosen"].first().sum() == 1
    assert set(curve["candidate"]) == {name for name, _ in candidates(spec)}
    assert set(curve[curve["chosen"]]["candidate"]) == {'{"skill": 1.0, "label_seed": 0}'}
    # The search is the first seed's; the others take what was chosen.
    assert [skill for *_, skill in Recording.calls[:7]] == [0.25, 0.25, 1.0, 1.0, 0.5, 0.5, 1.0]
    assert "candidate" not in made[1][2].curve


def test_a_search_among_settings_that_do_not_exist_is_refused() -> None:
    with pytest.raises(StudyError, match="'search' has settings that the head refuses"):
        candidates(Recording(search={"skil": [1]}))


def same(one: Fitted, other: Fitted) -> None:
    np.testing.assert_array_equal(one.validation, other.validation)
    np.testing.assert_array_equal(one.test, other.test)
    assert one.tensors == other.tensors
    assert one.curve.to_csv() == other.curve.to_csv()
    for a, b in zip(one.profile, other.profile, strict=True):
        assert (a.axis, a.at) == (b.axis, b.at)
        np.testing.assert_array_equal(a.test, b.test)


def test_an_ended_job_goes_on_with_what_it_has_finished(tmp_path: Path) -> None:
    spec, kept = Recording(fractions=[0.5], search={"skill": [0.5, 1.0]}), Kept(tmp_path, "this")
    undisturbed = list(trials(spec, [0, 1]).run())
    every = len(Recording.calls)
    first = trials(spec, [0, 1], kept=kept).run()
    for _ in range(3):
        next(first)
    done = len(Recording.calls) - every
    Recording.calls.clear()
    again = list(trials(spec, [0, 1], kept=kept).run())
    assert len(Recording.calls) == every - done
    for (*_, one), (*_, other) in zip(undisturbed, again, strict=True):
        same(one, other)
    # What was made of other data is not there for this one.
    Recording.calls.clear()
    list(trials(spec, [0, 1], kept=Kept(tmp_path, "other")).run())
    assert len(Recording.calls) == every


def test_what_cannot_be_read_is_trained_again(tmp_path: Path) -> None:
    kept = Kept(tmp_path, "this")
    list(trials(Recording(), [0], kept=kept).run())
    path = min(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:40])
    Recording.calls.clear()
    list(trials(Recording(), [0], kept=kept).run())
    assert len(Recording.calls) == 1


def test_predictions_name_fold_seed_part_and_row() -> None:
    split = PARTS[1]
    table = predictions(split, 9, Recording().fit(data(), split, 5))
    assert list(table) == ["fold", "seed", "part", "row", "score_0", "score_1"]
    assert set(table["fold"]) == {1}
    assert set(table["seed"]) == {9}
    for part, rows in [("validation", split.validation), ("test", split.test)]:
        np.testing.assert_array_equal(table["row"][table["part"] == part], rows)
    assert set(table["score_0"][table["part"] == "test"]) == {-5}


def test_scores_that_are_not_finite_are_refused() -> None:
    split = PARTS[0]
    bad = np.zeros((len(split.test), 2), np.float32)
    bad[3, 1] = np.nan
    with pytest.raises(StudyError, match="scores of fold 0, seed 2 are not finite"):
        predictions(split, 2, Fitted(np.zeros((len(split.validation), 2), np.float32), bad, {}))
