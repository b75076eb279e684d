"""What goes wrong ends with one sentence; names stay with the user, and places are told when asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from pipeline.errors import StudyError
from pipeline.program import DETAILS, TRACEBACK, run


class Entry(BaseModel):
    size: int


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(TRACEBACK, raising=False)


def stopped() -> None:
    raise StudyError("the study must stop; do this", "patient Miller")


def defect() -> None:
    {}["Miller"]


def misread() -> None:
    Entry.model_validate({"size": "Miller"})


def ended(main: Callable[[], None]) -> str:
    with pytest.raises(SystemExit) as leaving:
        run(main)
    assert isinstance(leaving.value.code, str)
    return leaving.value.code


def test_a_study_that_must_stop_says_why_and_where_the_name_stands() -> None:
    assert ended(stopped) == f"error: the study must stop; do this (which one is the last entry of {DETAILS})"
    assert DETAILS.read_text().endswith("patient Miller\n")


def test_a_defect_is_one_sentence_with_its_place_and_without_its_message() -> None:
    said = ended(defect)
    assert said.startswith("error: KeyError in test_program.py, line ")
    assert "\n" not in said
    assert "Miller" not in said
    assert "KeyError: 'Miller'" in DETAILS.read_text()


def test_a_wrong_entry_names_the_key_and_not_the_value() -> None:
    assert ended(misread).startswith("error: Entry: size: Input should be a valid integer")
    assert "Miller" not in ended(misread)


@pytest.mark.parametrize(("main", "name"), [(stopped, "stopped"), (defect, "defect"), (misread, "misread")])
def test_places_are_told_when_asked_for_and_names_are_not(
    monkeypatch: pytest.MonkeyPatch, main: Callable[[], None], name: str
) -> None:
    monkeypatch.setenv(TRACEBACK, "1")
    said = ended(main)
    assert f", in {name}\n" in said
    # A line of this file's own source is shown, and no value.
    assert "patient Miller\n" not in said.partition("error: ")[2]
    assert said.splitlines()[-1].startswith("error: ")


def test_what_ends_well_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run(lambda: None)
    assert capsys.readouterr() == ("", "")
    assert not DETAILS.exists()
