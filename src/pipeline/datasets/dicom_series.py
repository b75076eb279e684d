"""A tree of DICOM studies; labels are keyed on what stands in the headers, and never on where a file lies."""

from collections import defaultdict
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from pipeline.datasets import Found, Keyed, Listed, Part, checked, is_image_name
from pipeline.datasets.reading.columns import ColumnSpec
from pipeline.datasets.reading.findings import Stated
from pipeline.datasets.reading.rules import parts, require_mentioned
from pipeline.datasets.reading.series import Geometry, evenly, order
from pipeline.datasets.reading.tables import listing, read_table
from pipeline.errors import Refused, StudyError
from pipeline.notes import note

Key = Literal["patient", "study", "series", "instance"]
TAGS: dict[Key, str] = {
    "patient": "PatientID",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "instance": "SOPInstanceUID",
}
Rejected = list[tuple[str, str]]


class Spec(ColumnSpec):
    """DICOM files in any folders, and a table with one row a patient, study, series or instance."""

    family: Literal["dicom-series"]
    labels: str | None = None
    """The CSV file; none where the data set has no classes."""
    key: Key = "series"
    """What a row of the table is about."""
    key_column: str | None = None
    """The column with the key; None is the name of the DICOM attribute, e.g. `SeriesInstanceUID`."""
    patient_column: str | None = None
    """A column that names the patient, for files whose PatientID was blanked; None takes PatientID."""
    split_column: str | None = None
    """A column with official parts."""
    unmatched: Literal["stop", "drop"] = "stop"
    """What happens if the table has rows that no file belongs to."""
    slices: Annotated[int, Field(ge=1)] | None = None
    """At most so many slices of a series, evenly spaced along its normal; None takes all. [slices]"""
    gantry_tilt: Literal["refuse", "accept"] = "refuse"
    """`refuse` a stack that leans by more than 1 degree, or `accept` it as it is."""
    spacing: Literal["equal", "any"] = "equal"
    """`equal` refuses a series whose increments differ (see `reading/series.py` for by how much)."""

    def tables(self) -> list[str]:
        """Return the label table, if there is one."""
        return [] if self.labels is None else [self.labels]

    def listed(self, files: list[str]) -> list[Listed]:
        """Take every file that may be an image; labels come with the headers."""
        if self.classes and self.labels is None:
            raise StudyError(f"{self.root}: a data set with classes has 'labels'")
        return checked((Listed(path) for path in files if is_image_name(path)), self)

    def resolved(self, found: list[Found], keyed: Keyed) -> tuple[list[Found], Rejected]:
        """Give every file its labels, order each series, and refuse what is no stack of slices."""
        whole, rejected = self._whole(found)
        series: dict[str, list[Found]] = defaultdict(list)
        for item in whole:
            series[item.header.series or ""].append(item)
        rows = self._rows(keyed)
        if self.labels is not None:
            self._require_matched(rows, whole)
        kept: list[Found] = []
        for members in series.values():
            try:
                kept += [self._complete(item, rows) for item in self._ordered(members)]
            except Refused as refusal:
                rejected += [(item.entry.path, str(refusal)) for item in members]
        return self._labelled(kept), rejected

    def _whole(self, found: list[Found]) -> tuple[list[Found], Rejected]:
        """Split off files that do not say which series, or which key of the table, they belong to."""
        kept: list[Found] = []
        rejected: Rejected = []
        seen: set[str] = set()
        for item in sorted(found, key=lambda item: item.entry.path):
            needed: list[Key] = ["series", self.key] if self.labels is not None else ["series"]
            absent = [key for key in needed if getattr(item.header, key) is None]
            if absent:
                rejected.append((item.entry.path, f"the header has no {TAGS[absent[0]]}"))
            elif item.header.instance is not None and item.header.instance in seen:
                rejected.append((item.entry.path, "another file has the same SOPInstanceUID"))
            else:
                kept.append(item)
                seen |= {item.header.instance} if item.header.instance is not None else set()
        return kept, rejected

    def _rows(self, keyed: Keyed) -> dict[str, tuple[str, Listed]]:
        """Return for each hashed key the key itself, and what its row says."""
        if self.labels is None:
            return {}
        table = read_table(self.labels)
        column = self.key_column or TAGS[self.key]
        table.identifiers(column)
        others = {column} | {name for name in (self.patient_column, self.split_column) if name is not None}
        labels: list[Stated] = self.labels_of(table, others | set(TAGS.values()))
        nothing = [None] * len(table)
        require_mentioned(labels, self.classes)
        patients = table.identifiers(self.patient_column) if self.patient_column else nothing
        official: list[Part] | list[None] = (
            parts(table, self.split_column) if self.split_column else [None] * len(table)
        )
        return {
            keyed(self.key, key): (key, Listed("", patients[row], labels[row], official[row]))
            for key, row in table.keyed(column).items()
        }

    def _require_matched(self, rows: dict[str, tuple[str, Listed]], found: list[Found]) -> None:
        """Stop or tell if rows of the table belong to no file."""
        present = {getattr(item.header, self.key) for item in found}
        absent = [key for hashed, (key, _) in rows.items() if hashed not in present]
        if not absent:
            return
        if len(absent) == len(rows):
            raise StudyError(
                f"no file below {self.root} has a {TAGS[self.key]} that {self.labels} names; is 'key' right?",
                listing(absent),
            )
        if self.unmatched == "stop":
            raise StudyError(
                f"{len(absent)} of {len(rows)} rows of {self.labels} belong to no readable file; set 'unmatched' to "
                "drop to do without them",
                listing(absent),
            )
        note(f"{len(absent)} of {len(rows)} rows of the label table belong to no readable file")

    def _ordered(self, members: list[Found]) -> list[Found]:
        """Return the slices to take of one series, in order."""
        for key in ("patient", "study"):
            if len({getattr(item.header, key) for item in members}) > 1:
                raise Refused(f"the files of the series differ in {TAGS[key]}")
        places = order([item.header for item in members], Geometry(self.gantry_tilt, self.spacing))
        if places is None:
            if self.slices is not None and len(members) > self.slices:
                raise Refused("the slices of the series have no positions, and 'slices' cannot choose among them")
            return members
        return [members[places[place]] for place in evenly(len(places), self.slices)]

    def _complete(self, item: Found, rows: dict[str, tuple[str, Listed]]) -> Found:
        """Fill in the labels, the patient, the part and the unit of one file."""
        hashed = getattr(item.header, self.key)
        _, row = rows.get(hashed, ("", Listed("")))
        entry = replace(row, path=item.entry.path, unit=item.header.series)
        return replace(item, entry=entry)

    def _labelled(self, kept: list[Found]) -> list[Found]:
        """Apply the rule for unlabelled samples; drop what is left out on purpose."""
        if not self.classes:
            return kept
        wanted = {entry.path for entry in checked(self.labelled([item.entry for item in kept]), self)}
        return [item for item in kept if item.entry.path in wanted]
