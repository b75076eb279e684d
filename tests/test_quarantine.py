"""A file that kills its decoder costs itself, and nothing else."""

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import Refused, StudyError
from pipeline.quarantine import CRASHED, Outcome, survive


def treat(item: str) -> str:
    """What an item's name says is what happens to the worker."""
    behaviours: dict[str, Callable[[], object]] = {
        "abort": os.abort,
        "exit": lambda: os._exit(0),
        "hang": lambda: time.sleep(60),
        "bug": lambda: 1 / 0,
        "study": lambda: _raise(StudyError("the study is wrong")),
        "refused": lambda: _raise(Refused("not today")),
    }
    behaviours.get(item.split("-")[0], lambda: None)()
    return item.upper()


def die_once(marker: str) -> str:
    """Die when the marker file is absent, as a worker does that was killed from outside."""
    if not Path(marker).exists():
        Path(marker).touch()
        os._exit(9)
    return "survived"


def unpicklable(_item: str) -> object:
    return lambda: None


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_each_item_has_its_outcome_in_order(workers: int) -> None:
    items = [f"a-{k}" for k in range(100)]
    assert list(survive(treat, items, workers)) == [Outcome(item, item.upper(), None) for item in items]


def test_nothing_comes_of_nothing() -> None:
    assert list(survive(treat, [], 2)) == []


@pytest.mark.parametrize("death", ["abort", "exit"])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_death_loses_only_the_culprit(death: str, workers: int) -> None:
    items = [f"a-{k}" for k in range(20)]
    items[5] = items[17] = death
    outcomes = list(survive(treat, items, workers))
    assert [outcome.item for outcome in outcomes] == items
    assert [k for k, outcome in enumerate(outcomes) if outcome.reason == CRASHED] == [5, 17]
    assert all(outcome.value == outcome.item.upper() for outcome in outcomes if outcome.reason is None)


def test_a_worker_killed_from_outside_does_not_cost_its_item(tmp_path: Path) -> None:
    (outcome,) = survive(die_once, [str(tmp_path / "died")], 1)
    assert outcome.value == "survived"


def test_a_refusal_becomes_an_outcome() -> None:
    outcomes = list(survive(treat, ["a", "refused", "b"], 2))
    assert [outcome.reason for outcome in outcomes] == [None, "not today", None]


@pytest.mark.parametrize(("item", "error"), [("bug", ZeroDivisionError), ("study", StudyError)])
def test_a_defect_is_raised_with_the_workers_traceback(item: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        list(survive(treat, ["a", item, "b"], 2))
    assert "in treat" in caught.value.__notes__[0]


def test_a_value_that_cannot_travel_is_a_defect() -> None:
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        list(survive(unpicklable, ["a"], 1))


def test_an_item_that_hangs_is_given_up() -> None:
    outcomes = list(survive(treat, ["a", "hang", "b"], 1, timeout=2))
    assert [outcome.value for outcome in outcomes] == ["A", None, "B"]
    assert outcomes[1].reason == "reading it took more than 2 seconds"


def test_a_slow_consumer_costs_no_item() -> None:
    outcomes: list[Outcome[str, str]] = []
    for outcome in survive(treat, [f"a-{k}" for k in range(30)], 2, timeout=1):
        if not outcomes:
            time.sleep(2)
        outcomes.append(outcome)
    assert all(outcome.reason is None for outcome in outcomes)


def test_items_are_read_lazily() -> None:
    items = itertools.count()
    outcomes = survive(treat, (f"a-{k}" for k in items), 1)
    assert next(outcomes).value == "A-0"
    assert next(items) < 100
