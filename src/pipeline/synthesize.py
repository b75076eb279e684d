"""Stage `synthesize`: write a generated benchmark as image files, with its labels and an inventory."""

import argparse
import json
import shutil
from dataclasses import astuple
from pathlib import Path

import pandas as pd

from pipeline import families, program
from pipeline.benchmarks import BenchmarkSpec, Row
from pipeline.errors import StudyError
from pipeline.files import flush, make_folder, sha256, write_text

MARKER = ".synthesized"


def main() -> None:
    """Read the command line, and write the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the benchmark's entry in the configuration, as JSON")
    parser.add_argument("--folder", required=True, type=Path, help="the folder of the image files; replaced whole")
    parser.add_argument("--labels", required=True, type=Path, help="CSV with the columns path, id, label")
    parser.add_argument("--inventory", required=True, type=Path, help="CSV with the columns path, bytes, stamp")
    arguments = parser.parse_args()
    synthesize(read(arguments.spec), arguments.folder, arguments.labels, arguments.inventory)


def read(text: str) -> BenchmarkSpec:
    """Read the benchmark's entry; raise StudyError or ValidationError for one that cannot be."""
    try:
        entry = json.loads(text)
    except json.JSONDecodeError as error:
        raise StudyError(f"the benchmark's entry is not JSON: {error}") from error
    if not isinstance(entry, dict):
        raise StudyError(f"the benchmark's entry is not a JSON object: {text}")
    spec = families.spec("benchmarks", entry)
    if not isinstance(spec, BenchmarkSpec):
        raise TypeError(f"{type(spec).__module__}.Spec is no BenchmarkSpec")
    return spec


def synthesize(spec: BenchmarkSpec, folder: Path, labels: Path, inventory: Path) -> None:
    """Write the image files and the labels, and last the inventory: where it is, the folder is complete and matches."""
    check_replaceable(folder)
    partial = sibling(folder, "partial")
    discard(partial)
    make_folder(partial)
    (partial / MARKER).write_text(spec.written() + "\n")
    rows = spec.write(partial)
    listing = list_files(partial, rows)
    # Nothing may be lost of what the inventory, once it is there, says is there.
    for path in (*partial.rglob("*"), partial):
        flush(path)
    inventory.unlink(missing_ok=True)
    swap(partial, folder)
    table = pd.DataFrame([astuple(row) for row in rows], columns=["path", "id", "label"])
    write_text(labels, table.to_csv(index=False, lineterminator="\n"))
    write_text(inventory, listing.to_csv(index=False, lineterminator="\n"))


def list_files(folder: Path, rows: list[Row]) -> pd.DataFrame:
    """Return path, size in bytes and sha256 (`stamp`) of every image file, sorted by path."""
    paths = sorted(row.path for row in rows)
    sizes = [(folder / path).stat().st_size for path in paths]
    stamps = [sha256(folder / path) for path in paths]
    return pd.DataFrame({"path": paths, "bytes": sizes, "stamp": stamps})


def check_replaceable(folder: Path) -> None:
    """Raise StudyError where something is in the way that this stage did not write: it could be somebody's data."""
    for path in (folder, sibling(folder, "partial"), sibling(folder, "replaced")):
        ours = path.is_dir() and not path.is_symlink() and ((path / MARKER).is_file() or not any(path.iterdir()))
        if (path.exists() or path.is_symlink()) and not ours:
            raise StudyError(f"'{path}' exists and was not written by this stage; it is not replaced, remove it first")


def swap(partial: Path, folder: Path) -> None:
    """Put the complete folder into its place by renaming, and remove the one that was there."""
    replaced = sibling(folder, "replaced")
    discard(replaced)
    if folder.exists():
        folder.rename(replaced)
    partial.rename(folder)
    flush(folder.parent)
    discard(replaced)


def sibling(folder: Path, role: str) -> Path:
    """Return a hidden path beside the folder, on the same file system, so that a rename is atomic."""
    return folder.with_name(f".{folder.name}.{role}")


def discard(folder: Path) -> None:
    """Remove a folder that `check_replaceable` has found to be this stage's own; its marker goes last."""
    if not folder.exists():
        return
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != MARKER:
            path.unlink()
    shutil.rmtree(folder)


if __name__ == "__main__":
    program.run(main)
