"""CT-RATE: 50,188 chest CT volumes of 21,304 patients with eighteen abnormalities (Hamamci et al., 2024)."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from pipeline.datasets import Listed, Part
from pipeline.datasets.reading.rules import TableSpec
from pipeline.datasets.reading.tables import listing, read_lines, read_table
from pipeline.datasets.reading.trees import Tree, stem
from pipeline.errors import StudyError
from pipeline.notes import note

VOLUME = re.compile(r"((train|valid)_\d+)_([a-z]+)_(\d+)\.nii\.gz")
UNCORRECTED = {"train", "valid"}
"""Folders of the first edition, whose voxels are not in Hounsfield units: theirs need the slope and intercept of the
metadata. Those of `train_fixed` and `valid_fixed` must not be scaled again."""
MASKS = {"ts_seg", "ts_total"}
"""Folders of segmentations, whose files have the names of the volumes."""


class Spec(TableSpec):
    """NIfTI volumes in Hounsfield units, and tables with one row a volume."""

    family: Literal["ct-rate"]
    labels: list[str]
    """`train_predicted_labels.csv` and `valid_predicted_labels.csv`, or one of them."""
    samples: Literal["slices", "volumes"] = "slices"
    """What is scored: every slice by itself, or all slices of a volume together."""
    reconstructions: Literal["all", "first"] = "all"
    """Most scans were reconstructed twice or more; `first` takes only volumes that end on `_1`."""
    exclude: list[str] = []
    """Lists of volumes that are no chest: `no_chest_train.txt` and `no_chest_valid.txt`."""
    metadata: list[str] = []
    """`train_metadata.csv` and `validation_metadata.csv`; only needed for `where`."""
    where: dict[str, list[str]] = {}
    """Columns of the metadata, and the values of the volumes to take, e.g. `Manufacturer: [PNMS]`."""

    @model_validator(mode="after")
    def _volumes_are_in_hounsfield_units(self) -> Self:
        if self.pixels.intensity not in ("window", "windows"):
            raise ValueError("CT-RATE needs pixels.intensity 'window' with a window in Hounsfield units")
        if not self.pixels.hounsfield:
            raise ValueError(
                "CT-RATE's volumes are in Hounsfield units already; set pixels.hounsfield to true, so that each is "
                "checked for it"
            )
        if (self.samples == "volumes") != (self.unit == "series"):
            raise ValueError("'samples: volumes' belongs to 'unit: series', and 'samples: slices' to 'unit: image'")
        if bool(self.where) != bool(self.metadata):
            raise ValueError("'where' selects by 'metadata', and 'metadata' serves nothing else")
        return self

    def tables(self) -> list[str]:
        """Return the label tables, the metadata and the lists of volumes to leave out."""
        return [*self.labels, *self.metadata, *self.exclude]

    def listed(self, files: list[str]) -> list[Listed]:
        """Take every volume of the label tables; train and valid are the official parts train and test."""
        volumes, excluded, chosen = Volumes(self.root, files), self._excluded(), self._chosen()
        entries, left_out = [], 0
        for path in self.labels:
            table = read_table(path)
            for name, labels in zip(table["VolumeName"], self.findings(table, {"VolumeName"}), strict=True):
                found = VOLUME.fullmatch(name)
                if found is None:
                    raise StudyError(f"{path} has a volume that is not named like train_1_a_1.nii.gz", name)
                if self.reconstructions == "first" and found[4] != "1":
                    continue
                if name in excluded or (chosen is not None and not self._is_chosen(name, chosen)):
                    left_out += 1
                    continue
                part: Part = "train" if found[2] == "train" else "test"
                entries.append(Listed(volumes.path(found), found[1], labels, part))
        if left_out:
            note(f"{left_out} volumes are left out by 'exclude' and 'where'")
        return self.finished(entries, files)

    def _excluded(self) -> set[str]:
        return {line.rsplit("/", 1)[-1] for path in self.exclude for line in read_lines(path)}

    def _chosen(self) -> dict[str, bool] | None:
        """Return for each volume of the metadata whether `where` selects it; None without such a choice."""
        if not self.where:
            return None
        chosen: dict[str, bool] = {}
        for path in self.metadata:
            table = read_table(path)
            columns = [[cell in values for cell in table[column]] for column, values in self.where.items()]
            chosen |= dict(zip(table["VolumeName"], map(all, zip(*columns, strict=True)), strict=True))
        if not any(chosen.values()):
            raise StudyError("no volume of the metadata is as 'where' says")
        return chosen

    def _is_chosen(self, name: str, chosen: dict[str, bool]) -> bool:
        if name not in chosen:
            raise StudyError("a volume of the label tables is in no table of 'metadata'", name)
        return chosen[name]


class Volumes(Tree):
    """The volumes below a root, without segmentations of the same name."""

    def path(self, volume: re.Match[str]) -> str:
        """Return a volume's path; where it is missing, that of a file which will be found missing.

        Raises:
            StudyError: there are several, or only one that is not in Hounsfield units.
        """
        paths = [path for path in self.stems.get(stem(volume[0]), ()) if not MASKS.intersection(path.split("/"))]
        inside = Path(self.root).name
        fixed = [path for path in paths if not UNCORRECTED.intersection([inside, *path.split("/")])]
        if len(fixed) > 1:
            raise StudyError(f"{self.root} holds several volumes of one name", listing(fixed))
        if paths and not fixed:
            raise StudyError(
                f"{self.root} holds volumes of CT-RATE's first edition (folders 'train' and 'valid'), which are not in "
                "Hounsfield units; take those of 'train_fixed' and 'valid_fixed'",
                listing(paths),
            )
        patient, split, scan = volume[1], volume[2], f"{volume[1]}_{volume[3]}"
        return fixed[0] if fixed else f"{split}_fixed/{patient}/{scan}/{volume[0]}"
