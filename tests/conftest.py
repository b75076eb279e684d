"""What several test files need."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Refused
from pipeline.quarantine import Outcome
from tests.chromium import Chromium, program
from tests.studies import run, tiny

ROOT = Path(__file__).parent.parent

# For the programs that tests start; pytest itself finds the package by its own setting.
os.environ["PYTHONPATH"] = str(ROOT / "src")
# Tiny networks are slower, not faster, with several threads; and their results are those of one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Its tests are imported by others, and are to say as much when they fail.
pytest.register_assert_rewrite("tests.page_in_browser")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and weights, or a skip that says what is missing."""
    folder = Path(os.environ.get("LEARNABILITY_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"real images are not here: no folder {folder}/data (set LEARNABILITY_SHARED)")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    """A real browser, or a skip where there is none."""
    found = program()
    if found is None:
        pytest.skip("there is no Chromium on this machine")
    with Chromium(found) as opened:
        yield opened


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files in this process: workers are tested elsewhere, and each takes a while to start."""

    def survive(
        function: Callable[[Any], Any], items: Iterable[Any], *_: object, **__: object
    ) -> Iterator[Outcome[Any, Any]]:
        for item in items:
            try:
                yield Outcome(item, function(item), None)
            except Refused as refused:
                yield Outcome(item, None, str(refused))

    for stage in ("headers", "normalize"):
        monkeypatch.setattr(f"pipeline.{stage}.survive", survive)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny study that has run once."""
    folder = tiny(tmp_path_factory.mktemp("study"))
    run(folder)
    return folder


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, with every time of change kept."""
    return shutil.copytree(finished, tmp_path / "study", symlinks=True)
