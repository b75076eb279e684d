"""Stage index: which samples can be used, in which fold, and which files were refused.

Only here is all of it known: tables and headers said whose a sample is, and decoding said whether it has pixels and
which other samples have the same.
"""

import argparse
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import families, folds, labels
from pipeline.datasets import DatasetSpec
from pipeline.errors import StudyError
from pipeline.files import write_atomically, write_text
from pipeline.program import run


@dataclass(frozen=True)
class Indexed:
    """What the stage makes of a data set.

    Attributes:
        index: one row a sample, in the order of the stores: `id`, `frame`, `patient`, `unit` (salted hashes), `usable`
            (whether it has pixels), and for labelled data `fold`, the official `part` where it is used, and a label
            column a class.
        rejected: `id`, `path` and `reason` of every file that was refused. The path stays with the user.
        summary: what a report says of the data set: counts and warnings.
    """

    index: pd.DataFrame
    rejected: pd.DataFrame
    summary: dict[str, object]


def index(
    spec: DatasetSpec, samples: pd.DataFrame, pixels: pd.DataFrame, mapping: pd.DataFrame, remarks: dict[str, object]
) -> Indexed:
    """Put together what inspecting and normalising found.

    Args:
        spec: The data set.
        samples: What `inspect` found.
        pixels: `id`, `pixels`, `reason` of the same samples, from `normalize`.
        mapping: `id`, `path`, `frame` and `reason` of the same samples, and of files that were refused before.
        remarks: What inspecting has to say: `notes`, and `warnings` with the number of files that each concerns.

    Raises:
        StudyError: no file is left, a group is on two sides of an official split, or folds cannot be made.
    """
    if samples["id"].tolist() != pixels["id"].tolist():
        raise StudyError("the images are not those of the samples that were listed; call the workflow again")
    rejected = _rejected(mapping, pixels)
    usable = (pixels["reason"] == "").to_numpy()
    if not usable.any():
        raise StudyError(f"no file of {spec.root} can be decoded; the first reason: {rejected['reason'].iloc[0]}")
    table = samples.assign(usable=usable)
    table["patient"], merged = merge_duplicates(table["patient"], pixels["pixels"])
    summary: dict[str, object] = {
        "samples": int(usable.sum()),
        "patients": int(table["patient"][usable].nunique()),
        "files": int(mapping["path"].nunique()),
        "refused": dict(Counter(rejected["reason"]).most_common()),
        "duplicates": int(pixels["pixels"][usable].duplicated().sum()),
        "merged_patients": merged,
        **remarks,
    }
    if spec.classes:
        summary["contradictions"] = _contradictions(table, pixels["pixels"])
        table, used = _with_folds(table, spec, mapping["path"])
        folds.check(table, spec.classes)
        _check_series(table, spec, mapping["path"])
        summary |= used
    return Indexed(table, rejected, summary)


def _rejected(mapping: pd.DataFrame, pixels: pd.DataFrame) -> pd.DataFrame:
    """Return `id`, `path`, `reason`: first the files without a sound header, then those that could not be decoded."""
    late = mapping.iloc[: len(pixels)].assign(reason=pixels["reason"].to_numpy())
    late = late[late["reason"] != ""].drop_duplicates("path")
    early = mapping.iloc[len(pixels) :]
    return pd.concat([early, late])[["id", "path", "reason"]].reset_index(drop=True)


def _contradictions(table: pd.DataFrame, pixels: pd.Series) -> int:
    """Return how many different images occur more than once with different labels."""
    columns = [column for column in table.columns if column.startswith(labels.PREFIX)]
    twice = table["usable"] & pixels.duplicated(keep=False)
    seen = table.loc[twice, columns].assign(pixels=pixels[twice]).drop_duplicates()
    return int(seen["pixels"].duplicated(keep=False).groupby(seen["pixels"]).any().sum())


def _with_folds(table: pd.DataFrame, spec: DatasetSpec, paths: pd.Series) -> tuple[pd.DataFrame, dict[str, object]]:
    """Return the table with its folds, and what the summary says of labels and split."""
    given = labels.of(table, spec.classes)
    patients = table["patient"].to_numpy()
    unused = ~table["usable"].to_numpy()
    summary: dict[str, object] = {"unlabelled": int((~labels.known(given) & ~unused).sum()), "task": spec.task}
    positive = (given == 1)[~unused].sum(axis=0)
    summary["positive"] = {name: int(count) for name, count in zip(spec.classes, positive, strict=True)}
    summary["split"] = next((f"official {column}s" for column in ("part", "fold") if column in table), "folds")
    summary["dropped"] = 0
    for column in ("part", "fold"):
        if column in table:
            _require_one_side(table, column, spec, paths)
    if "part" in table:
        drop = _leaking(table["part"], table["patient"])
        summary["dropped"] = int((drop & ~unused).sum())
        unused |= drop
        table = table.assign(
            part=folds.complete(table["part"].mask(unused), given, patients, spec.folds, spec.fold_seed)
        )
        fold = table["part"].map(folds.PARTS).fillna(folds.UNUSED).to_numpy(np.int64)
    elif "fold" in table:
        fold = table["fold"].to_numpy(np.int64)
    else:
        fold = np.full(len(table), folds.UNUSED, np.int64)
        kept = ~unused
        fold[kept] = folds.assign(given[kept], patients[kept], spec.classes, spec.folds, spec.fold_seed)
    return table.assign(fold=np.where(unused, folds.UNUSED, fold)), summary


def _check_series(table: pd.DataFrame, spec: DatasetSpec, paths: pd.Series) -> None:
    """Stop before anything is trained where the samples of a series cannot be scored as one."""
    if spec.unit != "series":
        return
    kinds = {"patient": "patients", **dict.fromkeys(labels.columns(spec.classes), "labels")}
    for column, kind in kinds.items():
        mixed = folds.across(table[column], table["unit"]) & table["usable"]
        if mixed.any():
            first = paths.iloc[int(np.flatnonzero(mixed)[0])]
            raise StudyError(f"the samples of a series have different {kind}; set 'unit' to image", first)


def _require_one_side(table: pd.DataFrame, column: str, spec: DatasetSpec, paths: pd.Series) -> None:
    """Stop for samples of one patient, or of patients who share an image, on two sides of an official split."""
    shared = folds.across(table[column], table["patient"])
    if not shared.any() or (column == "part" and spec.leaks == "drop"):
        return
    ends = table[table["patient"] == table["patient"][shared].iloc[0]].drop_duplicates(column).index
    raise StudyError(
        f"{int(shared.sum())} samples of a patient, or of patients who share an image, are in two official "
        f"{column}s{folds.REMEDY[column]}",
        " and ".join(f"{path} in {side}" for path, side in zip(paths.loc[ends], table.loc[ends, column], strict=True)),
    )


def _leaking(parts: pd.Series, patients: pd.Series) -> "pd.Series[bool]":
    """Return which samples have a patient who is also on a side that is further from training."""
    rank = parts.map({"test": 0, "validation": 1, "train": 2})
    return rank > rank.groupby(patients.to_numpy()).transform("min")


def merge_duplicates(patients: pd.Series, pixels: pd.Series) -> tuple[pd.Series, int]:
    """Give patients that share an image, bit for bit, one group, so that no pixel is on both sides of a split.

    Returns:
        Each sample's group, named after one of its patients, and how many patients lost their own.
    """
    leader = {patient: patient for patient in patients}

    def root(patient: str) -> str:
        while leader[patient] != patient:
            leader[patient] = leader[leader[patient]]
            patient = leader[patient]
        return patient

    merged = 0
    for _, sharing in patients[pixels != ""].groupby(pixels[pixels != ""], sort=False):
        for other in sharing.iloc[1:].unique():
            if root(other) != root(sharing.iloc[0]):
                leader[root(other)] = root(sharing.iloc[0])
                merged += 1
    return patients.map(root), merged


def main() -> None:
    """Write the index, its summary and the list of refused files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the data set's entry of the configuration as JSON")
    parser.add_argument("--inspected", type=Path, required=True)
    parser.add_argument("--remarks", type=Path, required=True, help="what inspecting has to say, as JSON")
    parser.add_argument("--pixels", type=Path, nargs="+", required=True, help="a table a shard, in order")
    parser.add_argument("--mapping", type=Path, required=True)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--summary", type=Path, required=True)
    parser.add_argument("--rejected", type=Path, required=True)
    parser.add_argument("--rejected-paths", type=Path, required=True, help="the same list with paths, for the user")
    arguments = parser.parse_args()
    spec = families.spec("datasets", json.loads(arguments.spec))
    if not isinstance(spec, DatasetSpec):
        raise StudyError(f"{type(spec).__module__}.Spec is not a DatasetSpec")
    mapping = pd.read_csv(arguments.mapping, dtype={"path": str, "reason": str}, keep_default_na=False)
    pixels = pd.concat([pd.read_parquet(path) for path in arguments.pixels], ignore_index=True)
    remarks = json.loads(arguments.remarks.read_text())
    result = index(spec, pd.read_parquet(arguments.inspected), pixels, mapping, remarks)
    refused = result.rejected
    write_atomically(arguments.index, lambda path: result.index.to_parquet(path, index=False))
    write_atomically(arguments.rejected, lambda path: refused.drop(columns="path").to_csv(path, index=False))
    write_atomically(arguments.rejected_paths, lambda path: refused.to_csv(path, index=False))
    write_text(arguments.summary, json.dumps(result.summary, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
