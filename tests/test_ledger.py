"""What a job made is recorded in a file that no change of a byte or of its place leaves whole."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import files, ledger, program, repair, salt
from pipeline.errors import StudyError
from pipeline.files import sha256, write_text
from pipeline.ledger import Entry
from pipeline.verify import Fault, faults, note_damaged


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder of our own, as a job that has made nothing yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "made", {})
    yield


def job(*names: str, content: str = "it") -> Path:
    """Run a program that makes files; return its ledger."""

    def main() -> None:
        for name in names:
            write_text(Path(name), f"{content}, {name}\n")

    program.run(main)
    return ledger.ledger_of(Path(names[-1]))


def test_a_program_records_what_it_made_beside_the_last_of_it() -> None:
    place = job("results/a/1.csv", "results/b/2.csv", "private/3.csv", "results/a/4.json")
    assert place == Path("results/a/.4.json.sums")
    stated = ledger.read(place)
    assert set(map(str, stated)) == {"results/a/1.csv", "results/b/2.csv", "private/3.csv", "results/a/4.json"}
    for path, entry in stated.items():
        assert entry == Entry(path.stat().st_size, sha256(path))
    assert faults() == []


def test_states_of_unfinished_work_and_files_elsewhere_are_not_recorded() -> None:
    place = job("results/.state/1.safetensors", "logs/x.log", "results/.hidden", "resources/x.yaml", "results/a.csv")
    assert set(map(str, ledger.read(place))) == {"results/a.csv"}


def test_a_program_that_fails_or_makes_nothing_records_nothing() -> None:
    def main() -> None:
        write_text(Path("results/a.csv"), "a\n")
        raise StudyError("it must stop")

    with pytest.raises(SystemExit):
        program.run(main)
    assert ledger.ledgers(Path()) == []
    files.made.clear()
    program.run(lambda: None)
    assert ledger.ledgers(Path()) == []


def test_every_changed_byte_and_every_cut_of_a_ledger_is_noticed() -> None:
    place = job("results/a.csv", "results/b.csv")
    whole = place.read_bytes()
    changed = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for content in [*changed, *(whole[:length] for length in range(len(whole))), whole + b"\n"]:
        place.write_bytes(content)
        with pytest.raises(StudyError, match="it is damaged"):
            ledger.read(place)


def test_a_ledger_in_another_place_belongs_to_other_files() -> None:
    one, other = job("results/a/1.csv"), job("results/b/1.csv")
    assert one.read_bytes() != other.read_bytes()
    one.write_bytes(other.read_bytes())
    with pytest.raises(StudyError, match="it belongs to other files"):
        ledger.read(one)
    other.rename("results/b/.2.csv.sums")
    with pytest.raises(StudyError, match="it belongs to other files"):
        ledger.read(Path("results/b/.2.csv.sums"))


def test_the_same_files_give_the_same_ledger() -> None:
    first = job("results/a.csv", "results/b.csv").read_bytes()
    assert job("results/a.csv", "results/b.csv").read_bytes() == first


def test_of_two_ledgers_that_name_a_file_the_newer_counts() -> None:
    old = job("results/a.csv", "results/b.csv", content="old")
    job("results/b.csv", "results/a.csv", content="new")
    os.utime(old, ns=(0, 0))
    assert faults() == []
    os.utime(old, ns=(2**61, 2**61))
    assert [str(fault.path) for fault in faults()] == ["results/a.csv", "results/b.csv"]


def test_a_secret_is_never_drawn_over_another_and_can_be_vouched_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["salt", "--output", "private/salt"])
    program.run(salt.main)
    secret = Path("private/salt").read_text()
    ledger.ledger_of(Path("private/salt")).unlink()
    assert faults() == [Fault(Path("private/salt"), "nothing says what it should hold", None)]
    program.run(salt.main)
    assert Path("private/salt").read_text() == secret
    assert faults() == []


def test_generated_images_are_compared_with_their_inventory_and_made_with_it() -> None:
    image, inventory = Path("results/benchmarks/echo/a/1.png"), Path("results/benchmarks/echo.inventory.csv")
    write_text(image, "an image")
    files.made.clear()

    def main() -> None:
        write_text(inventory, f"path,bytes,stamp\na/1.png,8,{sha256(image)}\n")

    program.run(main)
    assert faults() == []
    image.write_text("an imagE")
    assert faults() == [Fault(image, "its content has changed", inventory)]
    note_damaged(faults())
    assert repair.damaged() == {str(image): str(inventory)}
    image.unlink()
    assert faults() == [Fault(image, "it is missing", inventory)]


def test_a_study_that_was_moved_as_a_whole_is_still_vouched_for(tmp_path: Path) -> None:
    job("results/a/1.csv", "private/2.csv")
    os.chdir(tmp_path.parent)
    assert faults(tmp_path) == []
    (tmp_path / "private/2.csv").unlink()
    assert [fault.path for fault in faults(tmp_path)] == [tmp_path / "private/2.csv"]
