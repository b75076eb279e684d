"""Tiny studies, each in a copy of this tree, run by the real command line."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

ROOT = Path(__file__).parent.parent
PARTS = ("Snakefile", "workflow", "src", "config", "profiles", "resources")

STUDY: dict[str, Any] = {
    "replicates": 100,
    "datasets": {
        "blobs": {
            "family": "folders",
            "root": "images",
            "pixels": {"size": 16},
            "classes": ["dim", "bright"],
            "folds": 3,
            "shards": 2,
        }
    },
    "autoencoders": {"identity": {"family": "identity"}, "lossy": {"family": "lossy", "stride": 8}},
    "heads": {"knn": {"family": "knn", "grid": 4, "neighbours": [3]}},
}


def checkout(folder: Path) -> Path:
    """Copy what a call needs of this tree into a folder."""
    for part in PARTS:
        source = ROOT / part
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / part, ignore=ignore) if source.is_dir() else shutil.copy(source, folder / part)
    return folder


def draw_images(folder: Path, patients: int = 12) -> None:
    """Write two images for each patient of each of two classes."""
    random = np.random.default_rng(0)
    for label, level in {"dim": 70, "bright": 120}.items():
        for patient in range(patients):
            place = folder / label / f"{label}-{patient:02d}"
            place.mkdir(parents=True)
            for number in range(2):
                pixels = random.normal(level, 30, (16, 16)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")


def tiny(folder: Path, study: dict[str, Any] | None = None) -> Path:
    """Make a copy of this tree with a tiny study's images and configuration."""
    checkout(folder)
    draw_images(folder / "images")
    configure(folder, study or STUDY)
    return folder


def configure(folder: Path, study: dict[str, Any]) -> None:
    """Write the study's configuration."""
    (folder / "study.yaml").write_text(yaml.safe_dump(study))


def command(*arguments: str) -> list[str]:
    """Return the command line of a call."""
    return ["snakemake", "--configfile", "study.yaml", *arguments]


def environment() -> dict[str, str]:
    """Return the environment of a call, without what the tests' own environment adds."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SNAKEMAKE_PROFILE")}


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a folder and return what it printed."""
    return subprocess.run(
        command(*arguments), cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def run(folder: Path, target: str = "results/gap_table.csv") -> str:
    """Make a target and return what was printed; fail with it if the call failed."""
    finished = call(folder, "--cores", "2", "--", target)
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


def plan(folder: Path, target: str = "results/gap_table.csv") -> dict[str, int]:
    """Return the number of jobs of each rule that a call would run."""
    finished = call(folder, "--dry-run", "--", target)
    assert finished.returncode == 0, finished.stdout
    table = re.search(r"^job +count\n[- ]+\n(.*?)\n\n", finished.stdout, re.MULTILINE | re.DOTALL)
    rows = [line.split() for line in table[1].splitlines()] if table else []
    return {rule: int(count) for rule, count in rows if rule != "total"}
