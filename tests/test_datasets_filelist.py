"""Tables that name every image: one column of labels, or one of 0 and 1 for each class."""

import csv
import gzip
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import families
from pipeline.datasets import DatasetSpec, Listed
from pipeline.datasets.reading.findings import stated
from pipeline.datasets.reading.tables import Table, read_table
from pipeline.errors import StudyError
from pipeline.notes import collected
from pipeline.study import Study
from tests.layouts import filelists

Write = Callable[..., DatasetSpec]


def spec(**entry: object) -> DatasetSpec:
    plain = {"family": "filelist", "root": "data", "pixels": {"size": 8}, "classes": ["a", "b"], "partial": True}
    read = families.spec("datasets", {**plain, **entry})
    assert isinstance(read, DatasetSpec)
    return read


@pytest.fixture
def table(tmp_path: Path) -> Write:
    """Write a label table and return the entry that reads it."""

    def write(text: str, encoding: str = "utf-8", **entry: object) -> DatasetSpec:
        (tmp_path / "labels.csv").write_text(text, encoding=encoding)
        return spec(labels=str(tmp_path / "labels.csv"), **entry)

    return write


FILES = ["x.png", "y.png"]


def test_a_column_of_labels_is_read_in_the_order_of_the_paths(table: Write) -> None:
    read = table("id,label,path,age\np2,b,y.png,40\np1,a,x.png,50\n")
    assert read.listed(FILES) == [Listed("x.png", "p1", {"a": True}), Listed("y.png", "p2", {"b": True})]
    assert read.tables() == [read.model_dump()["labels"]]


def test_columns_have_the_names_that_are_declared(table: Write) -> None:
    columns = {"path_column": "image", "label_column": "finding", "patient_column": None, "fold_column": "fold"}
    read = table("ID,image,finding,fold\nz,x.png,a,2\nz,y.png,b,0\n", **columns)
    assert [(entry.patient, entry.fold) for entry in read.listed(FILES)] == [("x.png", 2), ("y.png", 0)]


def test_a_column_for_each_class_is_read_with_what_is_missing(table: Write) -> None:
    text = "path,id,a,b,Split\nx.png,1,1,,TRAIN\ny.png,2,0.0,1.0,Validate\n"
    assert table(text, task="multi-label").listed(FILES) == [
        Listed("x.png", "1", {"a": True}, "train"),
        Listed("y.png", "2", {"a": False, "b": True}, "validation"),
    ]


def test_the_first_label_is_the_first_in_the_alphabet_as_in_the_publications_code(table: Write) -> None:
    text = "path,id,b,a\nx.png,1,1,1\ny.png,2,1,0\n"
    assert [list(entry.labels) for entry in table(text, task="first-label").listed(FILES)] == [["a", "b"]] * 2
    assert [list(entry.labels) for entry in table(text, task="multi-label").listed(FILES)] == [["b", "a"]] * 2


def test_images_that_no_table_lists_are_counted(table: Write) -> None:
    with collected() as notes:
        table("path,id,label\nx.png,1,a\ny.png,2,b\n").listed([*FILES, "z.png", "README", "labels.csv"])
    assert notes == ["1 images below the root are in no table, or are left out by the configuration"]


def test_a_table_may_be_separated_by_tabs(tmp_path: Path) -> None:
    (tmp_path / "l.tab").write_text('path\tid\tlabel\n"x.png"\t1\ta\ny.png\t2\tb\n')
    assert len(spec(labels=str(tmp_path / "l.tab")).listed(FILES)) == 2


@pytest.mark.parametrize(
    ("spelling", "part"),
    [
        *[("TRAIN", "train"), ("train", "train"), ("VAL", "validation"), ("valid", "validation"), ("Test", "test")],
        *[("validation", "validation"), ("validate", "validation")],
    ],
)
def test_official_parts_are_told_in_any_spelling(table: Write, spelling: str, part: str) -> None:
    read = table(f"path,id,a,b,Split\nx.png,1,1,0,{spelling}\ny.png,2,0,1,{spelling}\n")
    assert {entry.part for entry in read.listed(FILES)} == {part}


def test_known_metadata_are_passed_over_and_other_columns_are_named(table: Write) -> None:
    known = "index,Unnamed: 0,subject_id,study_id,dicom_id,impression,image,Finding Labels,FileName"
    row = ",".join(["1"] * 9)
    text = f",path,id,{known},a,b\n0,x.png,1,{row},1,0\n1,y.png,2,{row},0,1\n".replace("Unnamed: 0", "Unnamed: 1")
    assert len(table(text).listed(FILES)) == 2
    more = "path,id,a,b,Mass,age\nx.png,1,1,0,0,50\ny.png,2,0,1,0,60\n"
    with pytest.raises(StudyError, match=r"neither declared classes nor known: 'Mass', 'age'; declare them"):
        table(more).listed(FILES)
    assert len(table(more, ignore_columns=["Mass", "age"]).listed(FILES)) == 2


def test_the_form_of_the_labels_is_never_guessed(table: Write) -> None:
    both = "path,id,label,a,b\nx.png,1,b,1,0\ny.png,2,a,0,1\n"
    with pytest.raises(StudyError, match="has both a column 'label' and one for the class 'a'; set 'label_column'"):
        table(both).listed(FILES)
    named = table(both, label_column="label").listed(FILES)
    assert [entry.labels for entry in named] == [{"b": True}, {"a": True}]
    columns = table(both, label_column=None, ignore_columns=["label"]).listed(FILES)
    assert [entry.labels for entry in columns] == [{"a": True, "b": False}, {"a": False, "b": True}]
    with pytest.raises(StudyError, match="has no column 'label' and none for each class"):
        table("path,id\nx.png,1\n").listed(FILES)
    with pytest.raises(StudyError, match="no column 'b', which is a declared class"):
        table("path,id,a\nx.png,1,1\n").listed(FILES)


def test_several_labels_need_a_column_for_each(table: Write) -> None:
    with pytest.raises(StudyError, match="multi-label data have one column for each class"):
        table("path,id,label\nx.png,1,a\n", task="multi-label").listed(FILES)
    others = {"autoencoders": {"i": {"family": "identity"}}, "heads": {"k": {"family": "knn"}}}
    entry = {"family": "filelist", "root": "r", "pixels": {"size": 8}, "classes": ["a"], "task": "multi-label"}
    with pytest.raises(StudyError, match="multi-label data have one column for each class"):
        Study({"datasets": {"d": {**entry, "labels": "l.csv", "label_column": "label"}}, **others})


@pytest.mark.parametrize(
    ("meaning", "labels"), [("missing", {}), ("positive", {"a": True}), ("negative", {"a": False})]
)
def test_uncertain_findings_need_a_meaning(table: Write, meaning: str, labels: dict[str, bool]) -> None:
    text = "path,id,a,b\nx.png,1,-1.0,1\ny.png,2,1,0\n"
    with pytest.raises(
        StudyError, match=r"'a' of .* holds -1 .uncertain.; set 'uncertain' to missing, positive or neg"
    ):
        table(text, task="multi-label").listed(FILES)
    first = table(text, task="multi-label", uncertain=meaning).listed(FILES)[0]
    assert first.labels == {**labels, "b": True}


def test_an_empty_cell_is_missing_unless_it_is_said_to_be_negative(table: Write) -> None:
    text = "path,id,a,b\nx.png,1,,1\ny.png,2,1,0\n"
    assert table(text, task="multi-label").listed(FILES)[0].labels == {"b": True}
    negative = table(text, task="multi-label", unmentioned="negative").listed(FILES)
    assert negative[0].labels == {"a": False, "b": True}


def test_images_without_a_label_need_a_decision(table: Write) -> None:
    text = "path,id,a,b\nx.png,1,,\ny.png,2,1,0\n"
    with pytest.raises(StudyError, match="1 of 2 images have no label; set 'unlabelled' to keep or drop") as raised:
        table(text).listed(FILES)
    assert raised.value.detail == "x.png"
    assert not table(text, unlabelled="keep").listed(FILES)[0].labels
    assert [entry.path for entry in table(text, unlabelled="drop").listed(FILES)] == ["y.png"]
    label = "path,id,label\nx.png,1,\ny.png,2,a\nz.png,3,b\n"
    assert len(table(label, unlabelled="keep").listed([*FILES, "z.png"])) == 3


def test_patients_stand_in_a_column_or_in_the_path_or_are_said_to_be_unknown(table: Write) -> None:
    text = "path,a,b\np10/x.png,1,0\np10/y.png,0,1\n"
    files = ["p10/x.png", "p10/y.png"]
    with pytest.raises(StudyError, match=r"has no column 'id' that says whose .*'patient_from_path'.* to null"):
        table(text).listed(files)
    assert [entry.patient for entry in table(text, patient_column=None).listed(files)] == files
    assert [entry.patient for entry in table(text, patient_from_path=r"^p(\d+)/").listed(files)] == ["10", "10"]
    with pytest.raises(StudyError, match="'patient_from_path' finds no patient") as raised:
        table(text, patient_from_path=r"^q(\d+)/").listed(files)
    assert raised.value.detail == "p10/x.png"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"patient_from_path": "("}, "not a regular expression"),
        ({"patient_from_path": "a"}, "must have one group"),
        ({"patient_from_path": "(a)", "patient_column": "id"}, "not in both"),
        ({"fold_column": "f", "split_column": "s"}, "not both"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        spec(labels="l.csv", **keys)


def test_repeated_rows_need_a_decision(table: Write) -> None:
    same = "path,id,a,b\nx.png,1,1,0\nx.png,1,1,0\ny.png,2,0,1\n"
    with pytest.raises(StudyError, match="1 rows of files that it lists already, 0 of them with other") as raised:
        table(same).listed(FILES)
    assert raised.value.detail == "x.png"
    assert len(table(same, repeats="once").listed(FILES)) == 2
    other = "path,id,a,b\nx.png,1,1,0\nx.png,1,0,1\ny.png,2,0,1\n"
    with pytest.raises(StudyError, match="do not have the same labels, patient or part each time"):
        table(other, repeats="once").listed(FILES)
    assert table(other, repeats="first").listed(FILES)[0].labels == {"a": True, "b": False}


def test_files_are_found_by_name_only_if_that_is_asked_for_and_clear(table: Write) -> None:
    text = "path,id,a,b\nold/x.png,1,1,0\ny,2,0,1\n"
    files = ["files/p1/x.jpg", "files/p2/y.dcm", "files/list.csv"]
    with pytest.raises(StudyError, match="2 of the 2 listed files are not below data; 'root' is probably wrong"):
        table(text).listed(files)
    assert [entry.path for entry in table(text, match="name").listed(files)] == files[:2]
    with pytest.raises(StudyError, match="several images of one name"):
        table(text, match="name").listed([*files, "copy/x.png"])


def test_a_wrong_root_is_told_from_a_missing_file(table: Write) -> None:
    text = "path,id,a,b\nx.png,1,1,0\ny.png,2,0,1\nz.png,3,0,1\n"
    assert len(table(text, partial=False).listed(FILES)) == 3, "who reads it finds z.png missing"
    with pytest.raises(StudyError, match=r"2 of the 3 listed files .* only a part of the data, set 'partial' to true"):
        table(text, partial=False).listed(FILES[:1])
    assert len(table(text).listed(FILES[:1])) == 3
    with pytest.raises(StudyError, match=r"3 of the 3 listed files .*'root' is probably wrong$"):
        table(text).listed(["images/x.png"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path,id,label\nx,1,a\nx,2,b\n", "has 1 rows of files that it lists already"),
        ("path,id,label\nx,,a\n", "an empty cell in column 'id'"),
        ("path,id,label\nx,  ,a\n", "an empty cell in column 'id'"),
        ("path,id,label\nDoe,1 ,a\n", "spaces around a value of column 'id'"),
        ("path,id,label\nx,7,a\ny,7.0,b\n", "a number once with and once without '.0'"),
        ("path,id,label\n,1,a\n", "an empty cell in column 'path'"),
        ("path,id,label\nx,1,\n", "1 of 1 images have no label"),
        ("path,id,label\nx,1,a\ny,1,a\n", "the class 'b' is declared, and no sample mentions it$"),
        ("path,id,label\n../x,1,a\ny,1,b\n", "a path outside the data set's folder"),
        ("path,id,label\nb/../../x,1,a\ny,1,b\n", "a path outside the data set's folder"),
        ("path,id,label\n/etc/x,1,a\ny,1,b\n", "a path outside the data set's folder"),
        ("path,id,label\nDoe,1\n", "a row has more or fewer fields than the header"),
        ("path,id,label\nDoe,1,a,b\n", "a row has more or fewer fields than the header"),
        ('path,id,label\n"Doe,1,a\n', "is not a CSV file"),
        ("path,id,id\nx,1,1\n", "two columns of one name"),
        ("path,id,label\n", "has no rows"),
        ("Doe,1,a\nMiller,2,b\n", "has no column 'path'"),
        ("path,id,Doe,Doe\nx,1,a,a\n", "two columns of one name"),
        ("path,id,label\nx,1,Doe\ny,2,a\n", "the class 'b' is declared, and no sample mentions it$"),
        ("", "is empty"),
        ("path,id,a,b\nx,1,yes,0\n", "column 'a' of .* holds something else than 0, 1 and empty"),
        ("path,id,a,b\nx,1,NaN,0\n", "column 'a' of .* holds something else than 0, 1 and empty"),
        ("path,id,a,b\nx,1,2,0\n", "column 'a' of .* holds something else than 0, 1 and empty"),
        ("path,id,a,b,Split\nDoe,1,1,0,Doe\n", "column 'Split' of .* holds something else than train, val"),
        ("path,id,a,b,Split\nDoe,1,1,0,\n", "column 'Split' of .* holds something else than train, val"),
    ],
)
def test_a_table_that_cannot_be_trusted_stops_and_names_nobody(table: Write, text: str, reason: str) -> None:
    with pytest.raises(StudyError, match=reason) as raised:
        table(text).listed(["x", "y"])
    assert "\n" not in raised.value.message
    assert "Doe" not in raised.value.message


@pytest.mark.parametrize("fold", ["5", "-1", "", "x", "1.0", "²"])
def test_a_fold_that_is_not_declared_stops_the_study(table: Write, fold: str) -> None:
    with pytest.raises(StudyError, match=r"'fold' of .* holds something else than the 5 folds from 0") as raised:
        table(f"path,id,label,fold\nx,1,a,{fold}\n", fold_column="fold").listed(["x"])
    assert raised.value.detail == repr(fold)


def test_a_table_in_another_encoding_is_named(table: Write) -> None:
    with pytest.raises(StudyError, match=r"labels\.csv is not a CSV file in UTF-8"):
        table("path,id,label\nx,Müller,a\n", encoding="latin-1").listed(["x"])


def test_a_spreadsheets_byte_order_mark_and_line_ends_are_no_part_of_a_name(table: Write) -> None:
    read = table("path,id,label\r\nx,1,a\r\n\r\ny,2,b\r\n", encoding="utf-8-sig")
    assert [entry.path for entry in read.listed(["x", "y"])] == ["x", "y"]


def test_a_missing_or_damaged_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"the label file nowhere\.csv is missing"):
        spec(labels="nowhere.csv").listed([])
    (tmp_path / "l.csv.gz").write_bytes(gzip.compress(b"path,id,label\nx,1,a\n" * 500)[:-9])
    with pytest.raises(StudyError, match=r"l\.csv\.gz is not a CSV file \(EOFError\)"):
        spec(labels=str(tmp_path / "l.csv.gz")).listed([])


def test_the_default_and_the_real_study_still_read_their_tables() -> None:
    """Their keys: path_column, label_column by default, patient_column, fold_column, leave_out."""
    keys = {"path_column": "image", "patient_column": "patient_id", "fold_column": "fold5"}
    read = spec(labels="l.csv", leave_out=["c"], **keys)
    assert read.written().count("column") == 3


@pytest.mark.parametrize(
    ("build", "classes", "samples", "patients"),
    [
        (filelists.mimic, 4, 48, 48),
        (filelists.isic, 8, 96, 96),
        (filelists.ct_rate, 13, 156, 156),
        (filelists.cardium, 2, 48, 24),
    ],
)
def test_the_publications_file_lists_work_as_they_are(
    build: Callable[[Path], dict[str, Any]],
    classes: int,
    samples: int,
    patients: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    read = families.spec("datasets", build(tmp_path / "raw"))
    assert isinstance(read, DatasetSpec)
    files = [str(path.relative_to("raw")) for path in sorted(Path("raw").rglob("*")) if path.is_file()]
    listed = read.listed(files)
    assert {entry.path for entry in listed} <= set(files)
    assert (len(listed), len({entry.patient for entry in listed})) == (samples, patients)
    assert {sum(entry.labels.values()) for entry in listed} == {1}
    assert len({name for entry in listed for name, has in entry.labels.items() if has}) == classes
    assert {entry.part for entry in listed} == {"train", "validation", "test"}


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)


@given(rows=st.lists(st.lists(TEXT, min_size=3, max_size=3), min_size=1, max_size=8))
def test_any_cells_come_back_as_they_were_written(
    rows: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["a", "b", "c"], *rows])
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    table = read_table(str(path))
    assert [list(row) for row in zip(*table.columns.values(), strict=True)] == rows


@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_table_or_stop_the_study(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_bytes(data)
    try:
        table = read_table(str(path))
    except StudyError as error:
        assert "\n" not in error.message
    else:
        assert {len(cells) for cells in table.columns.values()} == {len(table)}


CELLS = st.sampled_from(["0", "1", "0.0", "1.0", "", "-1", "-1.0"])
MEANING = {"0": False, "1": True, "0.0": False, "1.0": True}


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=20), st.sampled_from(["positive", "missing"]))
def test_cells_mean_what_is_declared(rows: list[tuple[str, str, str]], uncertain: Any) -> None:  # noqa: ANN401
    table = Table("t", {name: [row[place] for row in rows] for place, name in enumerate("xyz")})
    for labels, row in zip(stated(table, ["z", "x"], uncertain), rows, strict=True):
        for name, cell in {"x": row[0], "z": row[2]}.items():
            expected = {"positive": True, "missing": None}[uncertain] if cell.startswith("-") else MEANING.get(cell)
            assert labels.get(name) is expected
        assert re.fullmatch("z?x?", "".join(labels)), "in the order that was asked for"
