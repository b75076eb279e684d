"""Ten thousand damaged files: each has an outcome of a known kind, and none costs the run."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import uid

from tests.conftest import ROOT
from tests.fuzz import dicom_files, sources, trial
from tests.fuzz.__main__ import GOOD, complaints

COUNT = 10_000


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Every source: the generated ones, and the real ones where they are at hand."""
    shared = Path(os.environ.get("LEARNABILITY_SHARED", ROOT.parent / "shared"))
    with trial.quick_folder() as temporary:
        sources.write(Path(temporary), shared if (shared / "data").is_dir() else None)
        yield Path(temporary)


def test_every_damaged_file_has_an_outcome_of_a_known_kind(folder: Path) -> None:
    classes: Counter[str] = Counter()
    wrong: list[str] = []
    for outcome in trial.trials(folder, 0, range(COUNT), 2):
        result = trial.classified(outcome)
        classes[result.kind] += 1
        wrong += [f"number {outcome.item}: {complaint}" for complaint in complaints(result)]
    print(classes)  # for a person, with --capture=no
    assert wrong == []
    assert classes.total() == COUNT
    # Neither all refused at once nor hardly damaged: both stages are reached.
    assert classes["read"] > COUNT / 10
    assert classes["refused by its header"] > COUNT / 10
    assert classes["refused by its pixels"] > COUNT / 50
    # The readers look before they leap.
    assert classes["crashed"] + classes["timed out"] < COUNT / 500
    assert set(classes) <= set(GOOD)


def test_every_source_is_read_or_refused_as_it_is(folder: Path) -> None:
    refused = []
    for source in sources.load(folder):
        reasons = [trial.read_as(Path(source.path), spec) for spec in trial.SPECS]
        kinds = {result.kind for result in reasons}
        assert kinds <= {"read", "refused by its header", "refused by its pixels"}, (source.name, reasons)
        if "read" not in kinds:
            refused.append(source.name)
    # What no reader is for: CMYK, progressive JPEG of 12 bits, and compressions of TIFF that have no place here.
    assert len(refused) < 12, refused


def test_a_damaged_file_can_be_made_again(folder: Path) -> None:
    assert trial.make(folder, 0, 7) == trial.make(folder, 0, 7)
    assert trial.make(folder, 0, 7)[1] != trial.make(folder, 1, 7)[1]


def test_no_warning_quotes_a_file(tmp_path: Path) -> None:
    # pydicom says what is wrong with a value, and quotes it.
    twelve_bit = dicom_files.picture(1, 1, 12)
    dataset = dicom_files.dataset(twelve_bit)
    whole = dicom_files.saved(dicom_files.compressed(dataset, twelve_bit, uid.RLELossless), uid.RLELossless)
    file = dicom_files.File.parse(whole)
    offsets = dicom_files.Element(0x7FE00001, b"UI", dicom_files.CANARY.encode())
    (tmp_path / "file").write_bytes(file.with_body([*file.body[:-1], offsets, file.body[-1]]).render())
    result = trial.read_as(tmp_path / "file", trial.SPECS[0])
    assert result.kind == "read"
    assert all(trial.is_safe(warning) for warning in result.warnings), result.warnings


def test_a_reason_that_quotes_a_file_is_not_on_the_closed_list() -> None:
    assert trial.is_safe("the image has no pixels")
    assert trial.is_safe("the DICOM header cannot be read (ValueError)")
    assert not trial.is_safe("the DICOM header cannot be read: Doe^John")
    assert not trial.is_safe("invalid literal for int(): 'Doe^John'")
