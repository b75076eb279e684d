"""Which file shows what, of whom: listings of folders and tables."""

import json
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import families, inventory
from pipeline.datasets import DatasetSpec, Listed, is_image_name
from pipeline.errors import StudyError
from pipeline.study import Study

Table = Callable[..., DatasetSpec]


def spec(family: str, **entry: object) -> DatasetSpec:
    plain = {"family": family, "root": "data", "pixels": {"size": 8}, "classes": ["a", "b"]}
    read = families.spec("datasets", {**plain, **entry})
    assert isinstance(read, DatasetSpec)
    return read


def test_a_folder_is_a_class_and_a_folder_below_it_a_patient() -> None:
    files = ["a/p1/scan/1.dcm", "a/p1/scan/2.dcm", "b/p1/1.dcm", "b/p2/IM0001", "b/p2/notes.txt", "b/p2/Thumbs.db"]
    assert spec("folders").listed(files) == [
        Listed("a/p1/scan/1.dcm", "p1", "a"),
        Listed("a/p1/scan/2.dcm", "p1", "a"),
        # A folder of this name below another class may be the same person.
        Listed("b/p1/1.dcm", "p1", "b"),
        Listed("b/p2/IM0001", "p2", "b"),
    ]


def test_the_patient_may_stand_in_the_file_or_be_the_file() -> None:
    assert spec("folders", patients="dicom").listed(["a/1.dcm"]) == [Listed("a/1.dcm", None, "a")]
    assert spec("folders", patients="file").listed(["a/1.dcm"]) == [Listed("a/1.dcm", "a/1.dcm", "a")]


def test_without_classes_every_folder_is_a_patients() -> None:
    listed = spec("folders", classes=[]).listed(["p1/1.dcm", "p1/2.dcm", "x/p2/1.dcm", "3.dcm"])
    assert [(entry.patient, entry.label) for entry in listed] == [
        ("p1", None),
        ("p1", None),
        ("x/p2", None),
        ("3.dcm", None),
    ]


def test_an_image_outside_every_patients_folder_is_named() -> None:
    with pytest.raises(StudyError, match=r"data/a/1\.png is in no patient's folder; set 'patients'"):
        spec("folders").listed(["a/1.png"])


@pytest.mark.parametrize(("path", "label"), [("c/p/1.png", "'c'"), ("A/p/1.png", "'A'"), ("a /p/1.png", "'a '")])
def test_an_undeclared_class_is_named_with_its_file(path: str, label: str) -> None:
    with pytest.raises(StudyError, match=f"data/{path} has the label {label}"):
        spec("folders").listed([path])


def test_what_is_left_out_on_purpose_is_left_out() -> None:
    assert spec("folders", leave_out=["c"]).listed(["c/p/1.png", "a/p/1.png"]) == [Listed("a/p/1.png", "p", "a")]


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


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Write a label table and return the entry that reads it."""

    def write(text: str, encoding: str = "utf-8", **entry: object) -> DatasetSpec:
        (tmp_path / "labels.csv").write_text(text, encoding=encoding)
        return spec("filelist", labels=str(tmp_path / "labels.csv"), **entry)

    return write


def test_a_table_is_read_in_the_order_of_its_paths(table: Table) -> None:
    read = table("id,label,path,age\np2,b,y.png,40\np1,a,x.png,50\n")
    assert read.listed([]) == [Listed("x.png", "p1", "a"), Listed("y.png", "p2", "b")]
    assert read.tables() == [read.labels]


def test_columns_have_the_names_that_are_declared(table: Table) -> None:
    read = table(
        "image;ID,image,finding,fold\nz,x.png,a,2\n",
        path_column="image",
        label_column="finding",
        patient_column=None,
        fold_column="fold",
    )
    assert read.listed([]) == [Listed("x.png", "x.png", "a", 2)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path,label\nx,a\n", "has no column 'id'; it has path, label"),
        ("path,id\nx,1\n", "has no column 'label'"),
        ("path,id,label\nx,1,a\nx,2,b\n", "lists the path 'x' twice"),
        ("path,id,label\nx,,a\n", "names no patient for 'x'"),
        ("path,id,label\nx,  ,a\n", "names no patient for 'x'"),
        ("path,id,label\nx,1 ,a\n", "spaces around the patient '1 ' of 'x'"),
        ("path,id,label\nx,1,\n", "x has the label ''"),
        ("path,id,label\nx,1,NaN\n", "x has the label 'NaN'"),
        ("path,id,label\nx,1,nan\n", "x has the label 'nan'"),
        ("path,id,label\nx,1,c\n", "x has the label 'c', which is neither"),
        ("path,id,label\nx,1\n", "x has the label ''"),
        ("path,id,label\n../x,1,a\n", "'../x' leaves the data set's folder data"),
        ("path,id,label\nb/../../x,1,a\n", "leaves the data set's folder"),
        ("path,id,label\n/etc/x,1,a\n", "'/etc/x' leaves the data set's folder"),
        ("path,id,label\nx,1,a,b\n", "is not a CSV file"),
        ("path,id,label\nx,1,a\ny,1,a,b\n", "is not a CSV file"),
        ("", "is not a CSV file"),
    ],
)
def test_a_table_that_cannot_be_trusted_stops_with_the_culprit(table: Table, text: str, reason: str) -> None:
    with pytest.raises(StudyError, match=reason) as raised:
        table(text).listed([])
    assert "\n" not in str(raised.value)


def test_a_table_in_another_encoding_is_named(table: Table) -> None:
    with pytest.raises(StudyError, match=r"labels\.csv is not a CSV file in UTF-8"):
        table("path,id,label\nx,Müller,a\n", encoding="latin-1").listed([])


def test_a_spreadsheets_byte_order_mark_is_no_part_of_a_name(table: Table) -> None:
    assert table("path,id,label\nx,1,a\n", encoding="utf-8-sig").listed([]) == [Listed("x", "1", "a")]


def test_a_missing_table_is_named() -> None:
    with pytest.raises(StudyError, match=r"the label file nowhere\.csv is missing"):
        spec("filelist", labels="nowhere.csv").listed([])


@pytest.mark.parametrize("fold", ["5", "-1", "", "x", "1.0", "²"])
def test_a_fold_that_is_not_declared_is_named(table: Table, fold: str) -> None:
    with pytest.raises(StudyError, match=f"has the fold '{fold}', and 5 folds from 0"):
        table(f"path,id,label,fold\nx,1,a,{fold}\n", fold_column="fold").listed([])


@pytest.mark.parametrize(
    ("classes", "leave_out", "reason"),
    [(["a"], [], "one class"), (["a", "b", "a"], [], "'a' stands there twice"), (["a", "b"], ["b"], "'b' stands")],
)
def test_classes_that_cannot_be_told_apart_are_refused(classes: list[str], leave_out: list[str], reason: str) -> None:
    entry = {"family": "folders", "root": "r", "pixels": {"size": 8}, "classes": classes, "leave_out": leave_out}
    others = {"autoencoders": {"i": {"family": "identity"}}, "heads": {"k": {"family": "knn"}}}
    with pytest.raises(StudyError, match=f"datasets: d: .*{reason}"):
        Study({"datasets": {"d": entry}, **others})


PARTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='/,"'), min_size=1, max_size=12)
NAMES = PARTS.filter(lambda name: not name.startswith(".") and len(name.encode()) < 200)


@given(st.sets(NAMES, min_size=1, max_size=6))
def test_odd_names_are_listed_as_they_are(names: set[str]) -> None:
    paths = [f"a/{name}/{name}.png" for name in sorted(names)]
    assert [(entry.path, entry.patient) for entry in spec("folders").listed(paths)] == [
        (path, name) for path, name in zip(paths, sorted(names), strict=True)
    ]


@given(st.text(string.printable, max_size=30))
def test_a_path_is_refused_or_stays_below_the_root(path: str) -> None:
    entry = spec("folders", classes=[], patients="file")
    try:
        listed = entry.listed([path])
    except StudyError:
        assert ".." in path or path.startswith("/")
    else:
        assert all(Path("/data", item.path).is_relative_to("/data") for item in listed)


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
    assert inventory.paths(tmp_path / "inventory.csv") == sorted(names)
