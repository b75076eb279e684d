"""Part of stage tabulate: what a study was made from, by what, and what was checked of it, to cite and to repeat it."""

import json
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import labels
from pipeline.files import sha256
from pipeline.folds import PARTS, UNUSED
from pipeline.report.origin import Check, Fold, Origin, Weights
from pipeline.weights import TABLE, Table

PACKAGES = (
    *("snakemake", "torch", "torchvision", "diffusers", "timm", "transformers", "onnxruntime", "safetensors"),
    *("scikit-learn", "scikit-image", "numpy", "scipy", "pandas", "pyarrow", "zarr", "dask"),
    *("pydicom", "nibabel", "pillow", "tifffile", "matplotlib"),
)
"""Libraries that results can depend on."""
OFFICIAL = "official parts"
"""How stage `index` calls the split of a data set that trains, validates and tests once."""


def origin(config: Mapping[str, object], results: Path, datasets: Iterable[str], table: Path) -> Origin:
    """Return where a study comes from.

    Args:
        config: the configuration as it can be shown, see `pipeline.written`.
        results: the folder of all results.
        datasets: names of the compared data sets.
        table: the gap table.
    """
    named = list(datasets)
    return Origin(
        config=config,
        software=software(),
        tables={table.name: sha256(table)},
        weights=tuple(weights(results, named)),
        folds={dataset: tuple(folds(_index(results, dataset), _split(results, dataset))) for dataset in named},
        checks={dataset: tuple(checks(_index(results, dataset), _about(results, dataset))) for dataset in named},
    )


def software() -> dict[str, str]:
    """Return the versions of what runs here, and of this project: its commit."""
    found = {"Python": platform.python_version()}
    installed = {name.lower(): version for name in PACKAGES if (version := _version(name))}
    return {**_own(), **found, **installed}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _own() -> dict[str, str]:
    # Not the repository around it: this may lie inside another one.
    root = Path(__file__).parents[2]
    where = ["git", f"--git-dir={root / '.git'}", f"--work-tree={root}"]
    git = [*where, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        asked = subprocess.run(git, capture_output=True, text=True, check=False)
        commit = asked.stdout.strip() if not asked.returncode else ""
    except FileNotFoundError:
        commit = ""
    return {"this workflow, commit": commit or "not a git checkout"}


def weights(results: Path, datasets: Iterable[str]) -> Iterator[Weights]:
    """Yield every weight file that latents were made with, by its hash in their manifests."""
    known = {
        file.sha256: (name, path, entry)
        for name, entry in Table.read(TABLE).root.items()
        for path, file in entry.files.items()
    }
    seen: set[tuple[str, str]] = set()
    for dataset in datasets:
        for manifest in sorted((results / "latents" / dataset).glob("*/0.json")):
            made_by = json.loads(manifest.read_text())["made_by"]
            for found in made_by.get("files", []):
                if (manifest.parent.name, found) in seen:
                    continue
                seen.add((manifest.parent.name, found))
                name, path, entry = known.get(found, ("", "", None))
                yield Weights(
                    autoencoder=manifest.parent.name,
                    family=made_by["spec"]["family"],
                    sha256=found,
                    file=f"{name}/{path}" if name else "",
                    source=(entry.repository or entry.source or "shipped with this project") if entry else "",
                    revision=(entry.revision or "") if entry else "",
                    licence=entry.licence if entry else "",
                )


def folds(index: pd.DataFrame, split: str) -> Iterator[Fold]:
    """Yield the folds of a data set, or the parts of its official split, with what is in each."""
    parts = {number: name for name, number in PARTS.items()} if split == OFFICIAL else {}
    used = index[index["usable"]]
    for number, part in used.groupby("fold"):
        fold = int(str(number))
        name = "in no fold" if fold < 0 else parts.get(fold, f"fold {fold}")
        held = [column for column in index.columns if str(column).startswith(labels.PREFIX)]
        counts = {str(column).removeprefix(labels.PREFIX): int((part[column] == 1).sum()) for column in held}
        yield Fold(name, len(part), part["patient"].nunique(), counts)


def checks(index: pd.DataFrame, about: Mapping[str, object]) -> Iterator[Check]:
    """Yield what was looked at, for one data set, that would make its scores too good; counted anew from the index."""
    tested = index[index["usable"] & (index["fold"] >= 0)]
    crossing = int(tested.drop_duplicates(["patient", "fold"]).duplicated("patient").sum())
    yield Check("patients in more than one fold", crossing, crossing == 0)
    twice = int(index.duplicated(["id", "frame"]).sum())
    yield Check("samples that stand there twice", twice, twice == 0)
    held = [column for column in index.columns if str(column).startswith(labels.PREFIX)]
    given = tested[held].to_numpy(np.int8)
    empty = sum(
        int(not (given[(tested["fold"] == fold).to_numpy()] == 1).any(axis=0).all()) for fold in _tested(tested, about)
    )
    if held:
        yield Check("tested folds that lack a class", empty, empty == 0)
    told = {"duplicates": "samples with the pixels of an earlier one (kept in the same fold)"}
    told |= {"merged_patients": "patients who share an image with another (kept in the same fold)"}
    told |= {"contradictions": "images that occur with different labels", "dropped": "samples dropped for a leak"}
    for key, words in told.items():
        count = int(str(about.get(key, 0)))
        yield Check(words, count, count == 0 or key != "contradictions")


def _tested(index: pd.DataFrame, about: Mapping[str, object]) -> list[int]:
    return [PARTS["test"]] if about.get("split") == OFFICIAL else sorted({int(fold) for fold in index["fold"]})


def _index(results: Path, dataset: str) -> pd.DataFrame:
    table = pd.read_parquet(results / "index" / f"{dataset}.parquet")
    # Without labels no sample is in a fold.
    return table if "fold" in table else table.assign(fold=UNUSED)


def _about(results: Path, dataset: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((results / "index" / f"{dataset}.json").read_text())
    return found


def _split(results: Path, dataset: str) -> str:
    return str(_about(results, dataset).get("split", ""))
