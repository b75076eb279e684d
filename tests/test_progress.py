"""A long job says how fast it is and when it will be done: on the terminal if there is one, else in its log."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import progress as module
from pipeline.progress import progress

STATE = re.compile(r"reading: +\d+%.*\d+/30 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+ files/s")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    monkeypatch.setattr(module, "LOG_PERIOD", 0.02)


def slow(count: int) -> Iterator[int]:
    for number in range(count):
        time.sleep(0.005)
        yield number


def test_a_job_without_a_terminal_writes_lines_with_rate_and_remaining_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "TERMINAL", tmp_path / "none" / "tty")
    assert list(progress(slow(30), 30, "reading", " files")) == list(range(30))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 3
    assert all("\r" not in line for line in lines)
    assert any(STATE.search(line) for line in lines)


def test_a_terminal_gets_a_bar_and_the_log_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = tmp_path / "tty"
    terminal.touch()
    monkeypatch.setattr(module, "TERMINAL", terminal)
    assert len(list(progress(slow(60), 60, "reading", " files"))) == 60
    assert "60/60" in terminal.read_text()
    assert capsys.readouterr().err == ""


def test_a_short_job_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "TERMINAL", tmp_path / "none" / "tty")
    monkeypatch.setattr(module, "PATIENCE", 60.0)
    assert list(progress(iter("abc"), 3, "reading", " files")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
