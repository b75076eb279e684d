"""ISIC 2018 (task 3), ISIC 2019 and HAM10000: dermatoscopic images, grouped by lesion.

The archives publish no patients. Several photographs show one lesion, and these must not be split.
"""

from typing import Literal

from pipeline.datasets import Listed, Part
from pipeline.datasets.reading.findings import Stated
from pipeline.datasets.reading.rules import TableSpec
from pipeline.datasets.reading.tables import Table, listing, read_table
from pipeline.datasets.reading.trees import Tree
from pipeline.errors import StudyError
from pipeline.notes import note

IMAGE = ("image", "image_id", "isic_id")
OTHERS = {*IMAGE, "lesion_id", "score_weight", "validation_weight"}
REDUCED = "_downsampled"
"""ISIC 2019 ends the names of images so that were too large; not every table and folder repeats it."""


class Spec(TableSpec):
    """Ground truth tables, and tables that say which lesion an image shows."""

    family: Literal["isic"]
    labels: str | dict[Part, str]
    """`ISIC_2019_Training_GroundTruth.csv`, `ISIC2018_Task3_Training_GroundTruth.csv`, or `HAM10000_metadata.csv`; or
    one for each official part."""
    lesions: list[str] = []
    """`ISIC_2019_Training_Metadata.csv`, `ISIC2018_Task3_Training_LesionGroupings.csv`: tables with `lesion_id`. Ground
    truth that has this column itself needs none."""
    without_lesion: Literal["own", "drop", "stop"] = "own"
    """What happens to images without a known lesion: each is a group of its own, is left out, or stops the study."""

    def tables(self) -> list[str]:
        """Return the ground truth and the tables of lesions."""
        return [path for path, _ in self._truths()] + self.lesions

    def listed(self, files: list[str]) -> list[Listed]:
        """Take every image of the ground truth."""
        truths = [(read_table(path), part) for path, part in self._truths()]
        images = Images(self.root, files)
        lesions = self._lesions([table for table, _ in truths])
        entries, alone = [], []
        for table, part in truths:
            for name, labels in zip(table[_image_column(table)], self._labels(table), strict=True):
                lesion = lesions.get(plain(name))
                if lesion is None:
                    alone.append(name)
                entries.append(Listed(images.path(name), lesion or plain(name), labels, part))
        return self.finished(self._without(entries, alone), files)

    def _truths(self) -> list[tuple[str, Part | None]]:
        if isinstance(self.labels, str):
            return [(self.labels, None)]
        return [(path, part) for part, path in self.labels.items()]

    def _labels(self, table: Table) -> list[Stated]:
        if not self.classes:
            return [{}] * len(table)
        if "dx" not in table:
            return self.findings(table, OTHERS)
        return [{cell: True} if cell else {} for cell in table["dx"]]

    def _lesions(self, truths: list[Table]) -> dict[str, str]:
        """Return the lesion of each image for which one is known."""
        named = [read_table(path) for path in self.lesions]
        found: dict[str, str] = {}
        for table in [*named, *(table for table in truths if "lesion_id" in table)]:
            for name, lesion in zip(table[_image_column(table)], table["lesion_id"], strict=True):
                if lesion.strip() and found.setdefault(plain(name), lesion.strip()) != lesion.strip():
                    raise StudyError(f"{table.path} names another lesion for an image than before", name)
        return found

    def _without(self, entries: list[Listed], alone: list[str]) -> list[Listed]:
        """Do with images without a lesion what the configuration says."""
        if not alone:
            return entries
        if self.without_lesion == "stop":
            raise StudyError(f"{len(alone)} of {len(entries)} images have no lesion in a table", listing(alone))
        if self.without_lesion == "own":
            note(f"{len(alone)} of {len(entries)} images have no lesion in a table: each is a group of its own")
            return entries
        note(f"{len(alone)} of {len(entries)} images have no lesion in a table and are left out")
        names = {plain(name) for name in alone}
        return [entry for entry in entries if entry.patient not in names]


class Images(Tree):
    """The images below a root, found by their names with or without the mark of reduced ones."""

    def path(self, name: str) -> str:
        """Return an image's path; where it is missing, that of a file which will be found missing."""
        return self.named(name) or self.named(plain(name)) or self.named(plain(name) + REDUCED) or f"{name}.jpg"


def plain(name: str) -> str:
    """Return an image's name without the mark of reduced ones."""
    return name.removesuffix(REDUCED)


def _image_column(table: Table) -> str:
    column = table.first(*IMAGE)
    if column is None:
        raise StudyError(f"{table.path} has no column {' or '.join(map(repr, IMAGE))}", table.names())
    return column
