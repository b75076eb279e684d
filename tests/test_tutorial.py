"""What the tutorial and the README tell people to type is typed here, on images that are no part of this project."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.studies import ROOT, checkout, environment

NOT_RUN = {
    "make gap-table": "the default study takes minutes, and the tests of its stages run its parts",
    "snakemake results/gap_table.csv": "the same study",
    "snakemake --profile slurm results/gap_table.csv": "tests/test_slurm.py calls it on a cluster",
    "PYTHONPATH=src python -m pipeline.fetch --pin flux.1-dev": "tests/test_fetch.py calls it, on a hub of its own",
}
"""Commands of the documentation that are not run here, and why."""
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HOWTOS = ("howto-dataset", "howto-autoencoder", "howto-weights", "reading", "publishing", "module", "howto-head")
"""Pages whose commands are for the study that the tutorial leaves."""


def blocks(document: str) -> list[str]:
    """Return the commands of a document: the content of its blocks marked `sh`, without those that are not run."""
    text = (ROOT / document).read_text()
    found = re.findall(r"^( *)```sh\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE)
    lines = ([*textwrap.dedent(block).splitlines()] for _, block in found)
    return ["\n".join(line for line in block if command(line) not in NOT_RUN) for block in lines]


def command(line: str) -> str:
    """Return a line without its comment."""
    return line.split("  #")[0].strip()


def draw(folder: Path) -> None:
    """Write 40 images of 32 x 32 pixels, of 10 patients of each class: discs with stripes of 4 pixels, on noise.

    What tells the classes apart is where the stripes lie, so that means over 8 x 8 pixels cannot.
    """
    random = np.random.default_rng([20, 26])
    rows, columns = np.mgrid[:32, :32]
    for label in ("benign", "malignant"):
        for patient in range(10):
            place = folder / label / f"{label}-{patient:02d}"
            place.mkdir(parents=True)
            for name in ("a", "b"):
                radius = np.hypot(*(axis - random.uniform(12, 20) for axis in (rows, columns)))
                stripes = (columns // 4 % 2) == (label == "malignant")
                values = random.normal(150, 20, (32, 32)) - 90 * (stripes & (radius < 10))
                Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(place / f"{name}.png")


def clean_copy(folder: Path) -> Path:
    """Copy the checkout, with an environment that is this one and counts as installed."""
    checkout(folder)
    for name in ("Makefile", *(path.name for path in ROOT.glob("requirements*.lock"))):
        shutil.copy(ROOT / name, folder)
    activate = folder / ".venv/bin/activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f"export PATH={str(Path(sys.executable).parent)!r}:$PATH\n")
    (folder / ".venv/installed").touch()
    draw(folder / "my-scans")
    return folder


def typed(folder: Path, commands: list[str]) -> str:
    """Run commands one after the other in one shell, which ends with the first that fails; return what was printed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        cwd=folder,
        env=environment() | {"OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert not done.returncode, done.stdout[-6000:]
    return done.stdout


def changed(folder: Path) -> str:
    """Return which files of the checkout the commands have changed or made."""
    comparing = ["diff", "--recursive", "--brief", "--exclude=__pycache__"]
    return "".join(
        subprocess.run([*comparing, ROOT / part, folder / part], capture_output=True, text=True).stdout
        for part in ("Snakefile", "workflow", "src", "config", "profiles")
    )


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the tutorial's commands were typed, and what they printed."""
    folder = clean_copy(tmp_path_factory.mktemp("tutorial"))
    return folder, typed(folder, blocks("docs/tutorial.md"))


def test_the_tutorial_leads_from_a_folder_of_images_to_a_figure(tutorial: tuple[Path, str]) -> None:
    folder, printed = tutorial
    table = pd.read_csv(folder / "results/gap_table.csv")
    assert set(table["head"]) == {"linear", "knn"}
    linear = table[(table["head"] == "linear") & (table["metric"] == "balanced_accuracy")].set_index("autoencoder")
    assert (linear["samples"] == 40).all()
    assert linear.loc["identity", "learnability_gap"] == 0
    assert linear.loc["identity", "image"] > 0.8
    assert linear.loc["lossy", "information_loss"] > 0.1
    assert "learnability_gap_low" in printed
    assert (folder / "results/gap_table.png").read_bytes().startswith(b"\x89PNG")
    assert changed(folder) == ""


@pytest.mark.parametrize("page", HOWTOS)
def test_commands_of_the_other_pages_follow_on_the_tutorial(tutorial: tuple[Path, str], page: str) -> None:
    folder, _ = tutorial
    commands = blocks(f"docs/{page}.md")
    assert commands
    printed = typed(folder, commands)
    if page == "howto-head":
        assert re.search(r"^train +\d+$", printed, re.MULTILINE)
        assert not re.search(r"^encode +\d+$", printed, re.MULTILINE)


def test_the_readme_leads_from_a_clone_to_the_own_gap_table(tmp_path: Path) -> None:
    typed(clean_copy(tmp_path), blocks("README.md"))
    table = pd.read_csv(tmp_path / "results/gap_table/my-scans.csv")
    assert set(table["autoencoder"]) == {"identity", "kl"}
    assert np.isfinite(table[["information_loss", "learnability_gap"]]).all(axis=None)
    assert changed(tmp_path) == ""


def test_every_command_that_is_not_run_stands_somewhere() -> None:
    text = [line for path in DOCUMENTS for line in path.read_text().splitlines()]
    assert set(NOT_RUN) <= {command(line) for line in text}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_of_commands_is_run(document: Path) -> None:
    name = str(document.relative_to(ROOT))
    run = {"README.md", "docs/tutorial.md", *(f"docs/{page}.md" for page in HOWTOS)}
    assert bool(blocks(name)) == (name in run)
