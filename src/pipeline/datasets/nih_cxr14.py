"""NIH ChestX-ray14: 112,120 radiographs of 30,805 patients with fourteen findings (Wang et al., CVPR 2017)."""

from typing import Literal, Self

from pydantic import model_validator

from pipeline.datasets import Listed, Part
from pipeline.datasets.reading.findings import Stated
from pipeline.datasets.reading.rules import TableSpec
from pipeline.datasets.reading.tables import Table, listing, read_lines, read_table
from pipeline.datasets.reading.trees import Tree, stem
from pipeline.errors import StudyError


class Spec(TableSpec):
    """`Data_Entry_2017.csv` and the images, in one folder or in `images_001` to `images_012`."""

    family: Literal["nih-cxr14"]
    labels: str
    """`Data_Entry_2017.csv`, or its later edition `Data_Entry_2017_v2020.csv`."""
    train_list: str | None = None
    """`train_val_list.txt`; validation is carved out of it."""
    test_list: str | None = None
    """`test_list.txt`."""
    views: list[Literal["PA", "AP"]] = []
    """View positions to keep; none keeps all."""

    @model_validator(mode="after")
    def _lists_come_together(self) -> Self:
        if (self.train_list is None) != (self.test_list is None):
            raise ValueError("the official split is 'train_list' and 'test_list' together")
        return self

    def tables(self) -> list[str]:
        """Return the label table and the official lists."""
        return [path for path in (self.labels, self.train_list, self.test_list) if path is not None]

    def listed(self, files: list[str]) -> list[Listed]:
        """Take every image of the table."""
        table, tree = read_table(self.labels), Tree(self.root, files)
        names, patients = list(table.keyed("Image Index")), table.identifiers("Patient ID")
        official = self._parts(names)
        views = table["View Position"] if self.views else names
        rows = zip(names, patients, self._labels(table), views, strict=True)
        entries = [
            Listed(tree.named(stem(name)) or f"images/{name}", patient, labels, official.get(name))
            for name, patient, labels, view in rows
            if not self.views or view in self.views
        ]
        return self.finished(entries, files)

    def _labels(self, table: Table) -> list[Stated]:
        """Return what each image shows: a finding of the data set that is not named is absent."""
        cells = table["Finding Labels"]
        found = {cell: cell.split("|") if cell else [] for cell in set(cells)}
        vocabulary = {name for names in found.values() for name in names}
        absent = [name for name in [*self.classes, *self.leave_out] if name not in vocabulary]
        if absent:
            raise StudyError(
                f"the class {absent[0]!r} is declared, and {self.labels} has no such finding",
                f"it has {listing(sorted(map(repr, vocabulary)))}",
            )
        meaning = {cell: self._stated(names) for cell, names in found.items()}
        return [meaning[cell] for cell in cells]

    def _stated(self, found: list[str]) -> Stated:
        if not (found and self.classes):
            return {}
        if self.task == "multi-label":
            return {name: name in found for name in [*self.classes, *self.leave_out]}
        return dict.fromkeys(sorted(found), True)

    def _parts(self, names: list[str]) -> dict[str, Part]:
        if self.train_list is None or self.test_list is None:
            return {}
        train, test = read_lines(self.train_list), read_lines(self.test_list)
        part: dict[str, Part] = {**dict.fromkeys(train, "train"), **dict.fromkeys(test, "test")}
        both = set(train) & set(test)
        neither = [name for name in names if name not in part]
        if both or neither:
            raise StudyError(
                f"{len(both)} images are in both {self.train_list} and {self.test_list}, and {len(neither)} in neither",
                listing([*sorted(both), *neither]),
            )
        return part
