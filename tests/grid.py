"""Studies that are planned without their data: empty tables and folders, and weights that are only named."""

import re
import shutil
from pathlib import Path

import yaml

from pipeline.study import Study, expand
from tests.studies import ROOT, checkout

PAPER = ROOT / "config/paper.yaml"


def laid_out(folder: Path, config: Path) -> Path:
    """Copy this tree, pin every weight in its table, and make the files that a first process wants to see."""
    folder.mkdir(parents=True)
    checkout(folder)
    shutil.copy(ROOT / "slurm", folder / "slurm", follow_symlinks=False)
    table = folder / "resources/weights.yaml"
    pinned = re.sub(r"revision: null", f"revision: {'a' * 40}", table.read_text())
    table.write_text(re.sub(r"sha256: null", f"sha256: {'a' * 64}", pinned))
    shutil.copy(config, folder / "study.yaml")
    study = Study(expand(yaml.safe_load(config.read_text())))
    for name, dataset in study.datasets.items():
        if study.generated(name) is None:
            (folder / dataset.root).mkdir(parents=True, exist_ok=True)
            for labels in dataset.tables():
                (folder / labels).touch()
    return folder
