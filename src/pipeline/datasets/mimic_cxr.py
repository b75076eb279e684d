"""MIMIC-CXR-JPG and MIMIC-CXR (DICOM), with CheXpert, NegBio, CXR-LT and MIMIC-CXR-LT labels.

377,110 chest radiographs of 65,379 patients (Johnson et al., 2019). CXR-LT (Holste et al., 2023; Lin et al., 2024) and
MIMIC-CXR-LT (Holste et al., 2022) are label tables for the same images.
"""

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple, Self

from pydantic import model_validator

from pipeline.datasets import Listed, Part
from pipeline.datasets.reading.findings import Stated
from pipeline.datasets.reading.rules import TableSpec, parts
from pipeline.datasets.reading.tables import Table, listing, read_table
from pipeline.datasets.reading.trees import Tree, has_image_ending, stem
from pipeline.errors import StudyError
from pipeline.notes import note

PLACE = re.compile(r"p(\d{8})/s(\d{8})")
PATHS = ("path", "fpath")
VIEW = "ViewPosition"
OTHERS = {*PATHS, "dicom_id", "subject_id", "study_id", "split", "Split", VIEW, "ViewCodeSequence_CodeMeaning", "index"}


class Image(NamedTuple):
    """What the tables say of one image."""

    name: str
    subject: str
    study: str
    labels: Stated
    part: Part | None


class Spec(TableSpec):
    """The tree `files/p10/p10000032/s50414267/<dicom_id>.jpg` (or `.dcm`), and its tables, compressed or not."""

    family: Literal["mimic-cxr"]
    labels: str | dict[Part, str] | None = None
    """Findings of studies (`mimic-cxr-2.0.0-chexpert.csv.gz`, `-negbio`) or of images (CXR-LT, MIMIC-CXR-LT); or one
    table for each official part."""
    split_table: str | None = None
    """`mimic-cxr-2.0.0-split.csv.gz`: the official parts."""
    metadata: str | None = None
    """`mimic-cxr-2.0.0-metadata.csv.gz`: the view positions."""
    views: list[str] = []
    """View positions to keep, e.g. `[PA, AP]`; none keeps all."""

    @model_validator(mode="after")
    def _tables_say_what_is_asked(self) -> Self:
        if self.classes and self.labels is None:
            raise ValueError("a data set with classes has 'labels'")
        if isinstance(self.labels, dict) and self.split_table is not None:
            raise ValueError("the official parts are those of 'split_table' or of the keys of 'labels', not of both")
        return self

    def tables(self) -> list[str]:
        """Return the label tables, the split and the metadata."""
        others = [path for path in (self.split_table, self.metadata) if path is not None]
        return [path for path, _ in self._labelled()] + others

    def listed(self, files: list[str]) -> list[Listed]:
        """Take every image that the tables name; the patient is the subject."""
        tree = Tree(self.root, files)
        views = self._views()
        images = self._images(tree)
        kept = [image for image in images if views is None or self._is_wanted(image.name, views)]
        if views is not None:
            note(f"{len(images) - len(kept)} images of other view positions than {', '.join(self.views)} are left out")
        return self.finished([_listed(image, tree) for image in kept], files)

    def _labelled(self) -> list[tuple[str, Part | None]]:
        if isinstance(self.labels, dict):
            return [(path, part) for part, path in self.labels.items()]
        return [] if self.labels is None else [(self.labels, None)]

    def _images(self, tree: Tree) -> list[Image]:
        official = self._official()
        by_study: dict[str, tuple[Stated, Part | None]] = {}
        images: list[Image] = []
        for path, part in self._labelled():
            table = read_table(path)
            labels = self.findings(table, OTHERS) if self.classes else [{}] * len(table)
            if table.first("dicom_id", *PATHS) is None:
                by_study |= {study: (labels[row], part) for study, row in table.keyed("study_id").items()}
            else:
                rows = zip(_rows(table, tree), labels, strict=True)
                images += [Image(*row, stated, part or _part(row[0], official)) for row, stated in rows]
        if by_study and images:
            raise StudyError(f"{self.root}: some tables of 'labels' hold studies and others images")
        if images:
            return images
        roster = list(self._roster(tree))
        if isinstance(self.labels, dict):
            roster = [row for row in roster if row[2] in by_study]
        unlabelled: tuple[Stated, Part | None] = ({}, None)
        found = ((row, by_study.get(row[2], unlabelled)) for row in roster)
        return [Image(*row, labels, part or _part(row[0], official)) for row, (labels, part) in found]

    def _roster(self, tree: Tree) -> Iterable[tuple[str, str, str]]:
        """Return name, subject and study of every image where the labels are of studies, or where there are none."""
        path = self.split_table or self.metadata
        if path is not None:
            return _rows(read_table(path), tree)
        named = {name: tree.named(name) or "" for name in tree.stems}
        places = {name: _place(path) for name, path in named.items()}
        strays = [path for name, path in named.items() if places[name] is None and has_image_ending(path)]
        if strays:
            raise StudyError(
                f"{len(strays)} images below {self.root} do not lie in a folder p<subject>/s<study>, and without "
                "'split_table' or 'metadata' nothing says whose they are",
                listing(strays),
            )
        return [(name, place[1], place[2]) for name, place in places.items() if place is not None]

    def _official(self) -> dict[str, Part] | None:
        if self.split_table is None:
            return None
        table = read_table(self.split_table)
        return dict(zip(table.keyed("dicom_id"), parts(table, "split"), strict=True))

    def _views(self) -> dict[str, str] | None:
        """Return the view position of each image, from the metadata or else the label tables; None if all are kept."""
        if not self.views:
            return None
        tables = [read_table(path) for path in ([self.metadata] if self.metadata else self.tables())]
        found: dict[str, str] = {}
        for table in tables:
            if VIEW in table and (column := table.first("dicom_id", *PATHS)):
                found |= zip(map(stem, table[column]), table[VIEW], strict=True)
        absent = [view for view in self.views if view not in found.values()]
        if absent:
            raise StudyError(f"'views' asks for {absent[0]!r}, and no table has an image of it; is 'metadata' given?")
        return found

    def _is_wanted(self, name: str, views: dict[str, str]) -> bool:
        if name not in views:
            raise StudyError("the tables do not say the view position of every image; is 'metadata' complete?", name)
        return views[name] in self.views


def _rows(table: Table, tree: Tree) -> list[tuple[str, str, str]]:
    """Return name, subject and study of each row; what has no column is taken from where the file lies."""
    column = table.first("dicom_id", *PATHS)
    if column is None:
        raise StudyError(f"{table.path} has no column 'dicom_id', 'path' or 'fpath'", table.names())
    names = [stem(cell) for cell in table[column]]
    if "subject_id" in table and "study_id" in table:
        return list(zip(names, table.identifiers("subject_id"), table.identifiers("study_id"), strict=True))
    path_column = table.first(*PATHS)
    stated = table[path_column] if path_column else names
    places = [_place(tree.named(name) or path) for name, path in zip(names, stated, strict=True)]
    unknown = [name for name, place in zip(names, places, strict=True) if place is None]
    if unknown:
        raise StudyError(
            f"{table.path} has no columns 'subject_id' and 'study_id', and {len(unknown)} images do not lie in a "
            "folder p<subject>/s<study>: nothing says whose they are",
            listing(unknown),
        )
    return [(name, place[1], place[2]) for name, place in zip(names, places, strict=True) if place is not None]


def _place(path: str) -> re.Match[str] | None:
    """Find the subject and the study in the two folders of an image."""
    return PLACE.fullmatch("/".join(path.split("/")[-3:-1]))


def _part(name: str, official: dict[str, Part] | None) -> Part | None:
    if official is None:
        return None
    if name not in official:
        raise StudyError("an image with labels is in no part of 'split_table'", name)
    return official[name]


def _listed(image: Image, tree: Tree) -> Listed:
    path = tree.named(image.name)
    place = _place(path) if path else None
    if place is not None and (place[1], place[2]) != (image.subject, image.study):
        raise StudyError(f"a table and the folders below {tree.root} do not agree on whose an image is", str(path))
    expected = f"files/p{image.subject[:2]}/p{image.subject}/s{image.study}/{image.name}.jpg"
    return Listed(path or expected, image.subject, image.labels, image.part)
