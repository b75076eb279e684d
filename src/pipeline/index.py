"""Stage index: which samples there are, of whom, with which label, in which fold; and which files were refused."""

import argparse
import functools
import hashlib
import hmac
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import families, folds
from pipeline.datasets import DatasetSpec, Listed
from pipeline.errors import Refused, StudyError
from pipeline.files import write_atomically
from pipeline.inventory import paths
from pipeline.pixels import Inspection, PixelSpec, inspect
from pipeline.program import run
from pipeline.quarantine import survive


@dataclass(frozen=True)
class Indexed:
    """What the stage makes of a data set.

    Attributes:
        index: one row a sample: `id`, `frame`, `patient` (both salted hashes), and for labelled data `label`, `fold`.
        mapping: `id`, `path` and `frame` of the same rows. It names files, so it stays with the user.
        rejected: `id`, `path` and `reason` of every file that was refused. The path stays with the user, too.
        notes: what a person should know, one sentence each.
    """

    index: pd.DataFrame
    mapping: pd.DataFrame
    rejected: pd.DataFrame
    notes: list[str]


def index(spec: DatasetSpec, files: list[str], salt: str, workers: int) -> Indexed:
    """Read every file of a data set once and decide what can be trusted.

    Raises:
        StudyError: labels, patients or folds are wrong, or no file is left.
    """
    listed = spec.listed(files)
    present = set(files)
    readable = [entry for entry in listed if entry.path in present]
    outcomes = survive(functools.partial(_inspect, spec.root, spec.pixels), [e.path for e in readable], workers)
    rejected = [(entry.path, "the file is missing") for entry in listed if entry.path not in present]
    rows: list[dict[str, object]] = []
    warnings: Counter[str] = Counter()
    for entry, outcome in zip(readable, outcomes, strict=True):
        if outcome.value is None:
            rejected.append((entry.path, outcome.reason or "unknown"))
            continue
        rows += _samples(entry, outcome.value, spec)
        warnings.update(outcome.value.warnings)
    if not rows:
        reason = rejected[0][1] if rejected else "the data set lists none"
        raise StudyError(f"no file of {spec.root} can be read; the first reason: {reason}")
    notes = [f"{count} files: {warning}" for warning, count in sorted(warnings.items())]
    return _assemble(pd.DataFrame(rows), spec, salt, sorted(rejected), notes)


def _inspect(root: str, pixels: PixelSpec, path: str) -> Inspection:
    try:
        return inspect(Path(root) / path, pixels)
    except OSError as error:
        raise Refused(f"the file cannot be opened: {type(error).__name__}") from None


def _samples(entry: Listed, seen: Inspection, spec: DatasetSpec) -> list[dict[str, object]]:
    patient = entry.patient if entry.patient is not None else seen.patient
    if not (patient and patient.strip()):
        raise StudyError(f"neither the data set nor the file says whose {entry.path} is")
    wanted = seen.frames if spec.frames is None else min(spec.frames, seen.frames)
    chosen = np.unique(np.linspace(0, seen.frames - 1, wanted).round().astype(int))
    common = {"path": entry.path, "patient": patient, "label": entry.label, "fold": entry.fold}
    return [{**common, "frame": int(frame), "pixels": seen.pixel_hash[frame]} for frame in chosen]


def _assemble(
    rows: pd.DataFrame, spec: DatasetSpec, salt: str, rejected: list[tuple[str, str]], notes: list[str]
) -> Indexed:
    rows["group"], merged = _merge_duplicates(rows)
    if merged:
        notes.append(f"{merged} samples have the same pixels as another patient's; those patients share a fold")
    rows["id"] = [_hash(salt, "sample", path, frame) for path, frame in zip(rows["path"], rows["frame"], strict=True)]
    rows["patient"] = [_hash(salt, "patient", patient) for patient in rows["group"]]
    table = rows[["id", "frame", "patient"]].copy()
    if spec.classes:
        table["label"] = rows["label"]
        official = rows["fold"].notna().any()
        given = _official(rows) if official else folds.assign(rows["label"], rows["group"], spec.folds, spec.fold_seed)
        table["fold"] = np.asarray(given, dtype=np.int64)
        folds.check(table, spec.classes, spec.folds)
    refused = pd.DataFrame(rejected, columns=["path", "reason"])
    refused.insert(0, "id", [_hash(salt, "sample", path, 0) for path in refused["path"]])
    return Indexed(table, rows[["id", "path", "frame"]], refused, notes)


def _official(rows: pd.DataFrame) -> pd.Series:
    for _, part in rows.groupby("group", sort=False):
        ends = part.drop_duplicates("fold")[["path", "fold"]].to_numpy()
        if len(ends) > 1:
            first, other = ends[:2]
            raise StudyError(
                f"{first[0]} in the official fold {first[1]} and {other[0]} in fold {other[1]} are of one patient, "
                "or of two who share an image"
            )
    return rows["fold"]


def _merge_duplicates(rows: pd.DataFrame) -> tuple[pd.Series, int]:
    """Give patients that share an image, bit for bit, one group, so that no pixel is on both sides of a split."""
    leader = {patient: patient for patient in rows["patient"]}

    def root(patient: str) -> str:
        while leader[patient] != patient:
            patient = leader[patient]
        return patient

    merged = 0
    for _, patients in rows.groupby("pixels", sort=False)["patient"]:
        for other in patients.iloc[1:]:
            if root(other) != root(patients.iloc[0]):
                leader[root(other)] = root(patients.iloc[0])
                merged += 1
    return rows["patient"].map(root), merged


def _hash(salt: str, *parts: object) -> str:
    message = json.dumps([str(part) for part in parts])
    return hmac.new(salt.encode(), message.encode(), hashlib.sha256).hexdigest()[:16]


def main() -> None:
    """Write the index, the mapping and the list of refused files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the data set's entry of the configuration as JSON")
    parser.add_argument("--inventory", type=Path, required=True, help="the files of the data set's folder")
    parser.add_argument("--salt", type=Path, required=True)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--mapping", type=Path, required=True)
    parser.add_argument("--rejected", type=Path, required=True)
    parser.add_argument("--rejected-paths", type=Path, required=True, help="the same list with paths, for the user")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    spec = families.spec("datasets", json.loads(arguments.spec))
    if not isinstance(spec, DatasetSpec):
        raise StudyError(f"{type(spec).__module__}.Spec is not a DatasetSpec")
    salt = arguments.salt.read_text().strip()
    if not salt:
        raise StudyError(f"{arguments.salt} is empty, and without a secret anybody could undo the hashes; delete it")
    result = index(spec, paths(arguments.inventory), salt, arguments.workers)
    write_atomically(arguments.index, lambda path: result.index.to_parquet(path, index=False))
    write_atomically(arguments.mapping, lambda path: result.mapping.to_csv(path, index=False))
    refused = result.rejected
    write_atomically(arguments.rejected, lambda path: refused.drop(columns="path").to_csv(path, index=False))
    write_atomically(arguments.rejected_paths, lambda path: refused.to_csv(path, index=False))
    notes = [f"{len(result.index)} samples; {len(result.rejected)} files refused", *result.notes]
    sys.stderr.write("\n".join(notes) + "\n")


if __name__ == "__main__":
    run(main)
