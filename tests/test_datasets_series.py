"""DICOM series: labels by what the headers say, slices in the order of their positions."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import families
from pipeline.datasets import DatasetSpec, Found, Listed
from pipeline.datasets.reading.series import Geometry, evenly, order
from pipeline.errors import Refused, StudyError
from pipeline.pixels import Inspection
from tests.layouts.drawing import write_table

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def header(position: tuple[float, float, float] | None = None, **more: Any) -> Inspection:  # noqa: ANN401
    plain: dict[str, Any] = {"frames": 1, "height": 8, "width": 8, "warnings": ()}
    plain |= {"patient": None, "study": None, "series": None, "instance": None}
    orientation = AXIAL if position is not None else None
    return Inspection(**{**plain, "position": position, "orientation": orientation, **more})


def keyed(kind: str, value: str) -> str:
    return hashlib.sha256(f"{kind}:{value}".encode()).hexdigest()[:16]


def stack(patient: str, series: str, places: list[float], folder: str = "") -> list[Found]:
    found = []
    for number, place in enumerate(places):
        names = {"patient": patient, "study": f"{series}.study", "series": series, "instance": f"{series}.{number}"}
        hashed = {kind: keyed(kind, value) for kind, value in names.items()}
        found.append(Found(Listed(f"{folder}{series}/{number:03d}"), header((0.0, 0.0, place), **hashed)))
    return found


def spec(labels: Path | None = None, **entry: object) -> DatasetSpec:
    plain: dict[str, object] = {"family": "dicom-series", "root": "data", "pixels": {"size": 8}}
    plain |= {"classes": ["a", "b"], "labels": str(labels)} if labels is not None else {}
    read = families.spec("datasets", {**plain, **entry})
    assert isinstance(read, DatasetSpec)
    return read


@pytest.fixture
def table(tmp_path: Path) -> Path:
    write_table(tmp_path / "labels.csv", ["SeriesInstanceUID", "label"], [["s1", "a"], ["s2", "b"]])
    return tmp_path / "labels.csv"


TWO = stack("p1", "s1", [0, 2.5, 5]) + stack("p2", "s2", [5, 0, 2.5])


def test_labels_follow_the_series_and_slices_their_positions(table: Path) -> None:
    kept, rejected = spec(table).resolved(TWO, keyed)
    assert not rejected
    assert [item.entry.path for item in kept] == ["s1/000", "s1/001", "s1/002", "s2/001", "s2/002", "s2/000"]
    assert [item.entry.labels for item in kept] == [{"a": True}] * 3 + [{"b": True}] * 3
    assert {item.entry.unit for item in kept} == {keyed("series", "s1"), keyed("series", "s2")}
    assert {item.entry.patient for item in kept} == {None}, "the header says whose it is"


@pytest.mark.parametrize("key", ["patient", "study", "series", "instance"])
def test_a_row_may_be_about_any_level(key: str, tmp_path: Path) -> None:
    values = {"patient": ["p1", "p2"], "study": ["s1.study", "s2.study"], "series": ["s1", "s2"]}
    values["instance"] = [f"s{n}.{k}" for n in (1, 2) for k in range(3)]
    rows = [[value, "a" if "1" in value.split(".")[0] else "b"] for value in values[key]]
    write_table(tmp_path / "l.csv", ["which", "label"], rows)
    kept, _ = spec(tmp_path / "l.csv", key=key, key_column="which").resolved(TWO, keyed)
    assert [dict(item.entry.labels) for item in kept] == [{"a": True}] * 3 + [{"b": True}] * 3


def test_the_column_is_that_of_the_dicom_attribute(table: Path) -> None:
    with pytest.raises(StudyError, match="has no column 'PatientID'"):
        spec(table, key="patient").resolved(TWO, keyed)


def test_a_column_may_name_the_patient_and_the_part(tmp_path: Path) -> None:
    rows = [["s1", "x", "train", 1, 0], ["s2", "y", "test", 0, 1]]
    write_table(tmp_path / "l.csv", ["SeriesInstanceUID", "who", "Split", "a", "b"], rows)
    read = spec(tmp_path / "l.csv", patient_column="who", split_column="Split")
    kept, _ = read.resolved(TWO, keyed)
    assert [(item.entry.patient, item.entry.part) for item in kept] == [("x", "train")] * 3 + [("y", "test")] * 3
    assert kept[0].entry.labels == {"a": True, "b": False}


def test_rows_without_files_need_a_decision(table: Path) -> None:
    with pytest.raises(StudyError, match=r"1 of 2 rows of .* belong to no readable file; set 'unmatched'") as raised:
        spec(table, classes=["a", "b"]).resolved(TWO[:3], keyed)
    assert (raised.value.detail, "s2" in raised.value.message) == ("s2", False)
    kept, rejected = spec(table, unmatched="drop").resolved(TWO[:3], keyed)
    assert (len(kept), rejected) == (3, [])


def test_a_key_of_another_level_is_told(table: Path) -> None:
    with pytest.raises(StudyError, match=r"no file below data has a SOPInstanceUID that .* names; is 'key' right"):
        spec(table, key="instance", key_column="SeriesInstanceUID").resolved(TWO, keyed)


def test_series_without_a_row_need_a_decision(table: Path) -> None:
    more = TWO + stack("p3", "s3", [0, 1])
    with pytest.raises(StudyError, match="2 of 8 images have no label; set 'unlabelled'") as raised:
        spec(table).resolved(more, keyed)
    assert raised.value.detail == "s3/000\ns3/001"
    assert len(spec(table, unlabelled="keep").resolved(more, keyed)[0]) == 8
    assert len(spec(table, unlabelled="drop").resolved(more, keyed)[0]) == 6


def test_at_most_so_many_slices_are_taken_evenly(table: Path) -> None:
    found = stack("p1", "s1", [2.0 * (k * 7 % 9) for k in range(9)]) + stack("p2", "s2", [0, 1, 2])
    kept, rejected = spec(table, slices=3).resolved(found, keyed)
    places = [item.header.position[2] for item in kept if item.header.position is not None]
    assert (places, rejected) == ([0, 8, 16, 0, 1, 2], [])


def test_files_that_do_not_say_what_they_are_are_refused(table: Path) -> None:
    photograph = Found(Listed("x.png"), header())
    copy = Found(Listed("z/copy"), TWO[0].header)
    kept, rejected = spec(table).resolved([photograph, *TWO, copy], keyed)
    assert len(kept) == 6
    assert rejected == [
        ("x.png", "the header has no SeriesInstanceUID"),
        ("z/copy", "another file has the same SOPInstanceUID"),
    ]


def test_a_series_that_is_no_stack_is_refused_whole(table: Path) -> None:
    gap = stack("p2", "s2", [0, 1, 3])
    kept, rejected = spec(table).resolved(TWO[:3] + gap, keyed)
    assert [item.entry.path for item in kept] == ["s1/000", "s1/001", "s1/002"]
    assert [path for path, _ in rejected] == ["s2/000", "s2/001", "s2/002"]
    assert rejected[0][1].startswith("the slices of the series are not equally spaced")
    assert len(spec(table, spacing="any").resolved(TWO[:3] + gap, keyed)[0]) == 6


def test_a_series_of_two_patients_is_refused(table: Path) -> None:
    stranger = stack("p9", "s2", [7.5], "other/")[0]
    stranger = replace(stranger, header=replace(stranger.header, instance="another"))
    kept, rejected = spec(table).resolved([*TWO, stranger], keyed)
    assert len(kept) == 3
    assert {reason for _, reason in rejected} == {"the files of the series differ in PatientID"}


def test_radiographs_have_no_positions_and_need_none(table: Path) -> None:
    found = [
        Found(item.entry, header(**{k: getattr(item.header, k) for k in ("patient", "study", "series", "instance")}))
        for item in TWO
    ]
    assert len(spec(table).resolved(found, keyed)[0]) == 6
    _, rejected = spec(table, slices=2).resolved(found, keyed)
    assert {reason for _, reason in rejected} == {
        "the slices of the series have no positions, and 'slices' cannot choose among them"
    }


def test_what_is_left_out_on_purpose_is_left_out(tmp_path: Path) -> None:
    rows = [["s1", "a"], ["s2", "b"], ["s3", "c"]]
    write_table(tmp_path / "l.csv", ["SeriesInstanceUID", "label"], rows)
    found = TWO + stack("p3", "s3", [0, 1])
    assert len(spec(tmp_path / "l.csv", leave_out=["c"]).resolved(found, keyed)[0]) == 6


def test_without_labels_every_file_is_kept() -> None:
    read = spec()
    assert [entry.path for entry in read.listed(["IM01", "DICOMDIR.txt", "a/b.dcm"])] == ["IM01", "a/b.dcm"]
    assert read.tables() == []
    assert len(read.resolved(TWO, keyed)[0]) == 6
    with pytest.raises(StudyError, match="a data set with classes has 'labels'"):
        spec(classes=["a", "b"]).listed(["IM01"])


def rotation(angles: tuple[float, float, float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    a, b, c = angles
    x = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    y = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    z = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    return np.asarray(x @ y @ z)


def tilted(turn: np.ndarray[Any, np.dtype[np.float64]], places: list[float], lean: float = 0.0) -> list[Inspection]:
    """Return the headers of slices at these places along the normal of a rotated plane."""
    orientation = tuple(float(value) for value in (*turn[:, 0], *turn[:, 1]))
    positions = [turn @ np.array([5.0, lean * place, place]) for place in places]
    return [header(tuple(float(v) for v in position), orientation=orientation) for position in positions]  # type: ignore[arg-type]


ANGLES = st.floats(-3.1, 3.1)


@given(st.tuples(ANGLES, ANGLES, ANGLES), st.permutations(range(7)), st.floats(0.5, 8))
def test_slices_are_ordered_along_their_normal_however_they_lie(
    angles: tuple[float, float, float], numbers: list[int], spacing: float
) -> None:
    headers = tilted(rotation(angles), [number * spacing for number in numbers])
    places = order(headers, Geometry())
    assert places is not None
    assert [numbers[place] for place in places] == list(range(7))


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (tilted(np.eye(3), [0, 1, 2], lean=0.3), "the gantry was tilted, or the stack leans"),
        (tilted(np.eye(3), [0, 1, 1, 2]), "two slices of the series are at one position"),
        (tilted(np.eye(3), [0, 1, 2, 4]), "not equally spaced"),
        (tilted(np.eye(3), [0, 1, 2, 3, 3.5]), "not equally spaced"),
        (tilted(np.eye(3), [0]) + tilted(rotation((0.1, 0, 0)), [1]), "the slices of the series are not parallel"),
        ([*tilted(np.eye(3), [0, 1]), header()], "some slices of the series have no position or orientation"),
        (tilted(np.eye(3), [0, math.nan]), "is no number"),
        (tilted(np.zeros((3, 3)), [0, 1]), "not that of a plane"),
        (tilted(2 * np.eye(3), [0, 1]), "not that of a plane"),
    ],
)
def test_what_is_no_stack_is_refused(headers: list[Inspection], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        order(headers, Geometry())


def test_a_tilted_gantry_may_be_accepted_and_rounded_positions_are() -> None:
    assert order(tilted(np.eye(3), [2, 0, 1], lean=0.3), Geometry(gantry_tilt="accept")) == [1, 2, 0]
    rounded = [round(0.625 * k, 1) for k in range(20)]
    assert order(tilted(np.eye(3), rounded), Geometry()) == list(range(20))


@given(st.integers(1, 60), st.integers(1, 60))
def test_places_are_spread_from_end_to_end(count: int, wanted: int) -> None:
    places = evenly(count, wanted)
    assert len(places) == min(count, wanted)
    assert places == sorted(set(places))
    if min(count, wanted) > 1:
        assert (places[0], places[-1]) == (0, count - 1)
        steps = np.diff(places)
        assert steps.max() - steps.min() <= 1


def test_a_real_series_is_ordered_as_its_positions_say(shared: Path) -> None:
    """RIDER lung CT: 37 of 236 slices, so they are not equally spaced; numbered against the direction of the normal."""
    paths = sorted((shared / "data" / "dicom" / "ct_rider_lung").glob("*.dcm"))
    data = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    headers = [
        header(tuple(map(float, d.ImagePositionPatient)), orientation=tuple(map(float, d.ImageOrientationPatient)))  # type: ignore[arg-type]
        for d in data
    ]
    with pytest.raises(Refused, match="not equally spaced"):
        order(headers, Geometry())
    places = order(headers, Geometry(spacing="any"))
    assert places is not None
    heights = [float(data[place].ImagePositionPatient[2]) for place in places]
    assert heights == sorted(heights)
    assert [int(data[place].InstanceNumber) for place in places] == sorted(
        (int(d.InstanceNumber) for d in data), reverse=True
    )
