"""Which file shows what, of whom: what holds for every family, and folders."""

import json
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import families, inventory
from pipeline.datasets import DatasetSpec, Listed, is_image_name, is_inside
from pipeline.errors import StudyError
from pipeline.study import Study


def spec(family: str, **entry: object) -> DatasetSpec:
    plain = {"family": family, "root": "data", "pixels": {"size": 8}, "classes": ["a", "b"]}
    read = families.spec("datasets", {**plain, **entry})
    assert isinstance(read, DatasetSpec)
    return read


def test_a_folder_is_a_class_and_a_folder_below_it_a_patient() -> None:
    files = ["a/p1/scan/1.dcm", "a/p1/scan/2.dcm", "b/p1/1.dcm", "b/p2/IM0001", "b/p2/notes.txt", "b/p2/Thumbs.db"]
    assert spec("folders").listed(files) == [
        Listed("a/p1/scan/1.dcm", "p1", {"a": True}),
        Listed("a/p1/scan/2.dcm", "p1", {"a": True}),
        # A folder of this name below another class may be the same person.
        Listed("b/p1/1.dcm", "p1", {"b": True}),
        Listed("b/p2/IM0001", "p2", {"b": True}),
    ]


def test_the_patient_may_stand_in_the_file_or_be_the_file() -> None:
    files = ["a/1.dcm", "b/2.dcm"]
    assert [entry.patient for entry in spec("folders", patients="dicom").listed(files)] == [None, None]
    assert [entry.patient for entry in spec("folders", patients="file").listed(files)] == files


def test_without_classes_every_folder_is_a_patients() -> None:
    listed = spec("folders", classes=[]).listed(["p1/1.dcm", "p1/2.dcm", "x/p2/1.dcm", "3.dcm"])
    assert [entry.patient for entry in listed] == ["p1", "p1", "x/p2", "3.dcm"]
    assert not any(entry.labels for entry in listed)


def test_an_image_outside_every_patients_folder_stops_the_study() -> None:
    with pytest.raises(StudyError, match=r"an image below data is in no patient's folder; set 'patients'") as raised:
        spec("folders").listed(["a/secret.png"])
    assert raised.value.detail == "a/secret.png"


def test_an_image_outside_every_class_stops_the_study() -> None:
    with pytest.raises(StudyError, match="an image lies in data itself and in no class's folder"):
        spec("folders", patients="file").listed(["secret.png"])


def test_a_class_without_a_folder_is_named() -> None:
    with pytest.raises(StudyError, match=r"the class 'b' is declared, and no sample mentions it$") as raised:
        spec("folders").listed(["a/p/1.png", "B/p/1.png"])
    assert raised.value.detail == "mentioned are 'B'\n'a'"


def test_what_is_left_out_on_purpose_is_left_out() -> None:
    files = ["c/p/1.png", "a/p/1.png", "b/p/1.png"]
    assert [entry.path for entry in spec("folders", leave_out=["c"]).listed(files)] == files[1:]


@pytest.mark.parametrize(
    "name",
    ["a.dcm", "A.PNG", "x/b.JpEg", "IM0001", "1.2.840.10008.1.2", "CT.1.2.840.7", "IM.0001", "a.tif", "b.nii.gz"],
)
def test_names_of_images_are_told(name: str) -> None:
    assert is_image_name(name)
    assert is_image_name(f"folder.d/{name}")


@pytest.mark.parametrize("name", ["a.txt", "labels.csv", "Thumbs.db", "a.dcm.json", "b/LICENSE.md", "x.0001.txt"])
def test_names_of_other_files_are_told(name: str) -> None:
    assert not is_image_name(name)


@pytest.mark.parametrize(
    ("classes", "leave_out", "reason"),
    [(["a"], [], "one class"), (["a", "b", "a"], [], "'a' stands there twice"), (["a", "b"], ["b"], "'b' stands")],
)
def test_classes_that_cannot_be_told_apart_are_refused(classes: list[str], leave_out: list[str], reason: str) -> None:
    entry = {"family": "folders", "root": "r", "pixels": {"size": 8}, "classes": classes, "leave_out": leave_out}
    others = {"autoencoders": {"i": {"family": "identity"}}, "heads": {"k": {"family": "knn"}}}
    with pytest.raises(StudyError, match=f"datasets: d: .*{reason}"):
        Study({"datasets": {"d": entry}, **others})


PARTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='/,"\\'), min_size=1, max_size=12)
NAMES = PARTS.filter(lambda name: not name.startswith(".") and len(name.encode()) < 200)


@given(st.sets(NAMES, min_size=1, max_size=6))
def test_odd_names_are_listed_as_they_are(names: set[str]) -> None:
    paths = [f"{label}/{name}/{name}.png" for name in sorted(names) for label in "ab"]
    assert [(entry.path, entry.patient) for entry in spec("folders").listed(paths)] == [
        (path, path.split("/")[1]) for path in paths
    ]


@given(st.text(string.printable, max_size=30))
def test_a_path_is_refused_or_stays_below_the_root(path: str) -> None:
    entry = spec("folders", classes=[], patients="file")
    try:
        listed = entry.listed([path])
    except StudyError:
        assert ".." in path or path.startswith("/") or "\\" in path
    else:
        assert all(Path("/data", item.path).is_relative_to("/data") for item in listed)


@given(st.text(st.sampled_from("./\\a\0 "), max_size=12))
def test_only_paths_below_the_root_count_as_inside(path: str) -> None:
    if is_inside(path):
        assert ".." not in Path(path).parts
        assert not Path(path).is_absolute()
    else:
        assert re.search(r"\.\.|^/|\\|\0", path)


def test_an_entry_comes_back_as_it_was_written() -> None:
    entry = spec("folders", leave_out=["c"])
    assert spec("folders", leave_out=["c"]) == families.spec("datasets", json.loads(entry.written()))
    assert "folds" not in entry.written()


def test_the_inventory_reads_what_it_wrote(tmp_path: Path) -> None:
    names = ["NA", "a b.png", "ü\u2028\x0b.png", "sub/1.2.840"]
    for name in names:
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).touch()
    inventory.refresh(tmp_path / "root", tmp_path / "inventory.csv")
    assert sorted(inventory.read(tmp_path / "inventory.csv")) == sorted(names)
