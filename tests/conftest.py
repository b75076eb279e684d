"""What several test files need."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# For the programs that tests start; pytest itself finds the package by its own setting.
os.environ["PYTHONPATH"] = str(ROOT / "src")
# Tiny networks are slower, not faster, with several threads; and their results are those of one.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and weights, or a skip that says what is missing."""
    folder = Path(os.environ.get("LEARNABILITY_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"real images are not here: no folder {folder}/data (set LEARNABILITY_SHARED)")
    return folder
