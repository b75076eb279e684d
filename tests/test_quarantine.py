"""A file that kills its decoder costs itself, and nothing else."""

import itertools
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline import quarantine
from pipeline.errors import Refused, StudyError
from pipeline.quarantine import CRASHED, Outcome, survive

LEAKED: list[NDArray[np.uint8]] = []


def panic() -> object:
    """Make the decoder of RLE panic, by two segments of 9 bytes where 4 pixels of 16 bits have two of 4."""
    from rle import rle

    return rle.decode_frame(struct.pack("<16I", 2, 64, 66, *[0] * 13) + bytes([248, 0]) * 2, 4, 16, "<")


def cine(number: int) -> NDArray[np.float32]:
    """Return 32 MB, as a cine in float32 easily has."""
    return np.full((8, 1024, 1024), number, np.float32)


def treat(item: str) -> str:
    """What an item's name says is what happens to the worker."""
    behaviours: dict[str, Callable[[], object]] = {
        "abort": os.abort,
        "exit": lambda: os._exit(0),
        "hang": lambda: time.sleep(60),
        "bug": lambda: 1 / 0,
        "study": lambda: _raise(StudyError("the study is wrong")),
        "refused": lambda: _raise(Refused("not today")),
        "greedy": lambda: np.ones(2**32, np.uint8),
        "leak": lambda: LEAKED.append(np.ones(200 * 2**20, np.uint8)),
        "panic": panic,
        "chatter": lambda: os.system("echo printed; echo printed >&2"),  # noqa: S605
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


@pytest.mark.skipif(sys.platform != "linux", reason="the bound on memory is enforced on Linux")
def test_asking_for_too_much_memory_costs_one_item() -> None:
    outcomes = list(survive(treat, ["a", "greedy", "b"], 1, memory=2**30))
    assert [outcome.value for outcome in outcomes] == ["A", None, "B"]
    assert outcomes[1].reason == "it needs more than 1 GiB of memory"


@pytest.mark.skipif(sys.platform != "linux", reason="the bound on memory is enforced on Linux")
def test_memory_that_earlier_items_left_behind_costs_no_item() -> None:
    items = [f"leak-{k}" for k in range(12)]
    assert [outcome.reason for outcome in survive(treat, items, 1, memory=2**30)] == [None] * 12


def test_a_panic_in_rust_is_a_refusal() -> None:
    outcomes = list(survive(treat, ["a", "panic", "b"], 1))
    assert [outcome.reason for outcome in outcomes] == [None, CRASHED, None]


def test_what_a_decoder_prints_reaches_no_log(capfd: pytest.CaptureFixture[str]) -> None:
    assert [outcome.value for outcome in survive(treat, ["chatter"], 1)] == ["CHATTER"]
    captured = capfd.readouterr()
    assert "printed" not in captured.out + captured.err


def test_large_results_arrive_whole_and_few_of_them_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "WAITING", 100 * 2**20)
    taken: list[int] = []
    items = (taken.append(number) or number for number in range(12))  # type: ignore[func-returns-value]
    for position, outcome in enumerate(survive(cine, items, 2)):
        assert outcome.value is not None
        assert outcome.value.shape == (8, 1024, 1024)
        assert outcome.value.min() == outcome.value.max() == position
        assert len(taken) - position <= 4


HANGING = """
import sys
from tests.test_quarantine import hang_and_tell
from pipeline.quarantine import survive
list(survive(hang_and_tell, sys.argv[1:], 1, timeout=1))
"""


def hang_and_tell(marker: str) -> None:
    """Hang in a way that no Python signal handler could end, after writing down the process that does."""
    Path(marker).write_text(str(os.getpid()))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    time.sleep(600)


def test_a_hanging_worker_does_not_outlive_a_killed_run(tmp_path: Path) -> None:
    marker = tmp_path / "worker"
    root = Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}:{root}"}
    with subprocess.Popen([sys.executable, "-c", HANGING, str(marker)], env=environment) as run:
        while not (marker.exists() and marker.read_text()):
            time.sleep(0.05)
        run.kill()
    worker = Path("/proc") / marker.read_text()
    deadline = time.monotonic() + 20
    while worker.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not worker.exists()
