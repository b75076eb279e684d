"""Stage inspect: which samples there are, of whom, with which labels, as far as tables and headers say."""

import argparse
import hashlib
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import families, headers, labels, ledger, sources
from pipeline.datasets import DatasetSpec, Found, Listed
from pipeline.errors import StudyError
from pipeline.files import note, sha256, write_atomically, write_text
from pipeline.folds import REMEDY, across
from pipeline.identifiers import Salt
from pipeline.inventory import Stamp, read
from pipeline.notes import collected
from pipeline.program import run
from pipeline.store import rows_per_shard


@dataclass(frozen=True)
class Inspected:
    """What the stage makes of a data set.

    Attributes:
        samples: one row a sample: `id`, `frame`, `patient`, `unit` (salted hashes), the official `part` or `fold` where
            the data set has one, and one label column a class.
        mapping: `id`, `path`, `frame`, `reason`: the samples in the same order, then every refused file with its
            reason. It names files, so it stays with the user.
        sources: a hash for each sample of where its pixels come from: file, size, time of change, frame.
        warnings: what a person should know of headers, and how many files it concerns.
        notes: what a person should know of the tables: what was left out, and why.
    """

    samples: pd.DataFrame
    mapping: pd.DataFrame
    sources: list[str]
    warnings: dict[str, int]
    notes: list[str]


def inspect(spec: DatasetSpec, stamps: dict[str, Stamp], salt: Salt, memory: headers.Memory, workers: int) -> Inspected:
    """Read the data set's tables and the headers of its files, and decide what can be trusted.

    Raises:
        StudyError: labels, patients or the official split are wrong, or no file is left.
    """
    with collected() as notes:
        listed = spec.listed(list(stamps))
        found, refused = _found(spec, listed, stamps, salt, memory, workers)
        found, unresolved = spec.resolved(found, salt.keyed)
    refused += unresolved
    if not found:
        reason = refused[0][1] if refused else "the data set lists none"
        raise StudyError(f"no file of {spec.root} can be read; the first reason: {reason}")
    rows = [row for entry in found for row in _rows(entry, spec, salt, stamps)]
    table = pd.DataFrame(rows)
    samples = table.drop(columns=["path", "source", "labels"]).join(_labels(table, spec))
    samples = _with_official(samples, table["path"], spec)
    mapping = table[["id", "path", "frame"]].assign(reason="")
    rejected = [(salt.keyed("sample", path, 0), path, 0, reason) for path, reason in sorted(refused)]
    mapping = pd.concat([mapping, pd.DataFrame(rejected, columns=mapping.columns)], ignore_index=True)
    warnings = Counter(warning for entry in found for warning in entry.header.warnings)
    return Inspected(samples, mapping, table["source"].tolist(), dict(sorted(warnings.items())), notes)


def _found(
    spec: DatasetSpec,
    listed: list[Listed],
    stamps: dict[str, Stamp],
    salt: Salt,
    memory: headers.Memory,
    workers: int,
) -> tuple[list[Found], list[tuple[str, str]]]:
    present = {entry.path: stamps[entry.path] for entry in listed if entry.path in stamps}
    outcomes = headers.read(Path(spec.root), spec.pixels, present, salt, memory, workers)
    all_read = {outcome.item: outcome for outcome in outcomes}
    accepted = {path: outcome.value for path, outcome in all_read.items() if outcome.value is not None}
    memory.keep(present)
    found = [Found(entry, accepted[entry.path]) for entry in listed if entry.path in accepted]
    refused = [(entry.path, "the file is missing") for entry in listed if entry.path not in present]
    refused += [(path, outcome.reason or "") for path, outcome in all_read.items() if outcome.value is None]
    return found, refused


def _rows(found: Found, spec: DatasetSpec, salt: Salt, stamps: dict[str, Stamp]) -> list[dict[str, object]]:
    entry, path = found.entry, found.entry.path
    stated = salt.keyed("patient", entry.patient) if entry.patient is not None else found.header.patient
    if not stated or (entry.patient is not None and not entry.patient.strip()):
        raise StudyError("neither the data set nor a file itself says whose the file is", f"{spec.root}/{path}")
    unit = salt.keyed("unit", path if entry.unit is None else entry.unit)
    common: dict[str, object] = {"path": path, "patient": stated, "unit": unit, "labels": entry.labels}
    common |= {"part": entry.part, "fold": entry.fold}
    stamp = stamps[path]
    return [
        {"id": salt.keyed("sample", path, frame), "frame": frame, **common}
        | {"source": salt.keyed("source", path, stamp.size, stamp.changed, frame)}
        for frame in _frames(found, spec)
    ]


def _frames(found: Found, spec: DatasetSpec) -> list[int]:
    """Return the frames that are taken: those that are meant, thinned evenly to as many as are wanted."""
    meant = range(found.header.frames) if found.entry.frames is None else found.entry.frames
    wanted = len(meant) if spec.frames is None else min(spec.frames, len(meant))
    chosen = np.unique(np.linspace(0, len(meant) - 1, wanted).round().astype(int))
    return [int(meant[number]) for number in chosen]


def _labels(table: pd.DataFrame, spec: DatasetSpec) -> pd.DataFrame:
    rows = []
    for path, stated in zip(table["path"], table["labels"], strict=True):
        try:
            rows.append(labels.row(stated, spec.classes, spec.task))
        except StudyError as error:
            raise StudyError(error.message, " ".join([f"{spec.root}/{path}", error.detail])) from None
    return pd.DataFrame(rows, columns=labels.columns(spec.classes), dtype=np.int8)


def _with_official(samples: pd.DataFrame, paths: pd.Series, spec: DatasetSpec) -> pd.DataFrame:
    """Return the samples with only the official split that is used; refuse one that some samples do not have.

    A patient on both sides is found here, before anything has been decoded.
    """
    for column in ("part", "fold"):
        stated = samples[column].notna()
        if spec.split == "folds" or not stated.any() or not spec.classes:
            samples = samples.drop(columns=column)
            continue
        if not stated.all():
            raise StudyError(f"only some samples have an official {column}", f"{paths[~stated].iloc[0]} has none")
        shared = across(samples[column], samples["patient"])
        if shared.any() and (spec.leaks == "stop" or column == "fold"):
            culprits = paths[samples["patient"] == samples["patient"][shared].iloc[0]].unique()[:9]
            raise StudyError(f"a patient is in two official {column}s{REMEDY[column]}", ", ".join(culprits))
    if spec.split == "official" and spec.classes and not {"part", "fold"} & set(samples):
        raise StudyError(f"{spec.root} has no official split; set 'split' to folds")
    return samples


def made_from(spec: DatasetSpec, inventory: Path, salt: Salt) -> dict[str, str]:
    """Return hashes of what the stage's artifacts depend on: those of the headers, and those of everything else."""
    digest = hashlib.sha256(spec.model_dump_json(exclude={"folds", "fold_seed", "unit"}).encode())
    module = families.module_name("datasets", spec.family)
    for path in sources.files("pipeline.inspect", module):
        digest.update(sources.meaning(path).encode())
    for path in [inventory, *map(Path, spec.tables())]:
        digest.update(sha256(path).encode())
    return {"headers": headers.made_by(spec.pixels, salt), "tables": salt.keyed("tables", digest.hexdigest())}


def write(result: Inspected, spec: DatasetSpec, made_from: dict[str, str], folder: Path, mapping: Path) -> None:
    """Write the stage's artifacts. What is the same as before is left alone, so that nothing reruns because of it.

    `<folder>.shards` has one line a shard, a hash of its samples' sources; `<folder>/<shard>.sha256` holds the same
    where it is there already; `<folder>.rows` the number of samples.
    """
    count = len(result.samples)
    per_shard = rows_per_shard(count, spec.shards)
    parts = [result.sources[k * per_shard : (k + 1) * per_shard] for k in range(spec.shards)]
    lines = [f"{number} {hashlib.sha256(''.join(part).encode()).hexdigest()}\n" for number, part in enumerate(parts)]
    _update(folder.with_suffix(".shards"), "".join(lines))
    for number, line in enumerate(lines):
        if (shard := folder / f"{number}.sha256").is_file():
            _update(shard, line)
            ledger.record([shard])
    _update(folder.with_suffix(".rows"), f"{count}\n")
    _update(
        folder.with_suffix(".remarks.json"),
        json.dumps({"notes": result.notes, "warnings": result.warnings}, indent=1) + "\n",
    )
    _update(mapping, result.mapping.to_csv(index=False))
    samples = folder.with_suffix(".parquet")
    note(samples)
    if not samples.is_file() or not pd.read_parquet(samples).equals(result.samples):
        write_atomically(samples, lambda path: result.samples.to_parquet(path, index=False))
    # Last: where it is, the others are complete.
    _update(folder.with_suffix(".made_from.json"), json.dumps(made_from, indent=1) + "\n")


def _update(path: Path, text: str) -> None:
    note(path)
    if not path.is_file() or path.read_text() != text:
        write_text(path, text)


def stage(spec: DatasetSpec, inventory: Path, salt: Salt, folder: Path, private: Path, workers: int) -> Inspected:
    """Inspect a data set and write what is known of it.

    Args:
        spec: The data set.
        inventory: The list of the files below its root.
        salt: Hashes identifiers.
        folder: Where the artifacts go, without an ending: `results/inspected/<dataset>`.
        private: Where the mapping and the headers go, without an ending: `private/<dataset>`.
        workers: Processes that read headers.
    """
    memory = headers.Memory(private.with_suffix(".headers.parquet"), spec.pixels, salt)
    identity = made_from(spec, inventory, salt)
    result = inspect(spec, read(inventory), salt, memory, workers)
    write(result, spec, identity, folder, private.with_suffix(".mapping.csv"))
    return result


def main() -> None:
    """Inspect one data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", type=Path, required=True, help="the data set's entry of the configuration, a file")
    parser.add_argument("--inventory", type=Path, required=True, help="the files of the data set's folder")
    parser.add_argument("--salt", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="the artifacts' path without its ending")
    parser.add_argument("--private", type=Path, required=True, help="the same for what stays with the user")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    spec = families.spec("datasets", json.loads(arguments.spec.read_text()))
    if not isinstance(spec, DatasetSpec):
        raise StudyError(f"{type(spec).__module__}.Spec is not a DatasetSpec")
    salt = Salt.read(arguments.salt)
    result = stage(spec, arguments.inventory, salt, arguments.folder, arguments.private, arguments.workers)
    refused = int((result.mapping["reason"] != "").sum())
    warnings = [f"{count} files: {warning}" for warning, count in result.warnings.items()]
    lines = [f"{len(result.samples)} samples; {refused} files refused", *result.notes, *warnings]
    sys.stderr.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    run(main)
