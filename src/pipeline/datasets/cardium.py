"""CARDIUM: fetal ultrasound of hearts with and without a congenital defect (Vega et al., ICCV CVAMD 2025)."""

import re
from typing import Literal, NamedTuple, Self

from pydantic import model_validator

from pipeline.datasets import Listed, Part
from pipeline.datasets.reading.rules import TableSpec, parts
from pipeline.datasets.reading.tables import listing, read_table
from pipeline.datasets.reading.trees import has_image_ending
from pipeline.errors import StudyError

CLASSES = ("CHD", "Non_CHD")
PATH = re.compile(r"(?:^|/)(?:fold_(\d+)/(train|test)/)?(CHD|Non_CHD)/([^/]+)/([^/]+)$")


class Place(NamedTuple):
    """What the path of an image says."""

    path: str
    fold: int | None
    part: str | None
    label: str
    patient: str
    image: str


class Spec(TableSpec):
    """The whole set (`CARDIUM_dataset`), its official folds (`cardium_images`), or the publication's file list."""

    family: Literal["cardium"]
    classes: list[str] = list(CLASSES)
    """Names of the classes, in order."""
    labels: str | None = None
    """A file list with `path`, `CHD`, `Non_CHD` and `Split`: only its images, in its official parts."""

    @model_validator(mode="after")
    def _has_two_classes(self) -> Self:
        if set(self.classes) != set(CLASSES):
            raise ValueError(f"the classes of this family are {' and '.join(CLASSES)}")
        return self

    def tables(self) -> list[str]:
        """Return the file list, if there is one."""
        return [] if self.labels is None else [self.labels]

    def listed(self, files: list[str]) -> list[Listed]:
        """Take the class and the patient from the folders of each image."""
        if self.labels is not None:
            return self.finished(self._of_table(self.labels), files)
        strays = [path for path in files if has_image_ending(path) and not PATH.search(path)]
        if strays:
            raise StudyError(
                f"{self.root} has {len(strays)} images that are not in CHD/<patient> or Non_CHD/<patient>",
                listing(strays),
            )
        places = [_place(match) for path in files if has_image_ending(path) and (match := PATH.search(path))]
        folded = [place for place in places if place.fold is not None]
        if folded and len(folded) < len(places):
            raise StudyError(
                f"{self.root} holds both the official folds and the undivided data set; let 'root' be one of them"
            )
        entries = self._of_folds(folded) if folded else [_listed(place) for place in places]
        if not entries:
            raise StudyError(f"{self.root} has no folders CHD/<patient> and Non_CHD/<patient> with images")
        return self.finished(entries, files)

    def _of_folds(self, places: list[Place]) -> list[Listed]:
        """Take each image once, from the fold that tests on it; the others hold copies for training."""
        tested = [place for place in places if place.part == "test"]
        count = max(place.fold or 0 for place in places)
        if count != self.folds:
            raise StudyError(f"{self.root} has {count} official folds; set 'folds' to {count}")
        seen = {place[3:] for place in tested}
        untested = [place.path for place in places if place[3:] not in seen]
        if untested or len(seen) < len(tested):
            raise StudyError(
                f"{self.root}: {len(untested)} images are in no official fold's test part, and "
                f"{len(tested) - len(seen)} in several; was everything unpacked?",
                listing(untested),
            )
        return [_listed(place) for place in tested]

    def _of_table(self, labels: str) -> list[Listed]:
        table = read_table(labels)
        stated = self.findings(table, {"index", "path", "id", "Split"}, strict=True)
        official: list[Part] | list[None] = parts(table, "Split") if "Split" in table else [None] * len(table)
        entries = []
        for path, row, part in zip(table["path"], stated, official, strict=True):
            found = PATH.search(path)
            if found is None:
                raise StudyError(f"{labels} has a path without the folders CHD/<patient> or Non_CHD/<patient>", path)
            place = _place(found)
            if any(has != (name == place.label) for name, has in row.items()):
                raise StudyError(f"{labels} and the folder of an image name different classes", path)
            entries.append(Listed(path, place.patient, row, part))
        return entries


def _place(match: re.Match[str]) -> Place:
    fold, part, label, patient, image = match.groups()
    return Place(match.string, None if fold is None else int(fold), part, label, patient, image)


def _listed(place: Place) -> Listed:
    labels = {name: name == place.label for name in CLASSES}
    return Listed(place.path, place.patient, labels, fold=None if place.fold is None else place.fold - 1)
