"""A head is taken over only from one that was made from the very same, and only if its files are whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import reuse

VALUES = np.random.default_rng(0).normal(size=(4, 1, 2, 2)).astype(np.float32)
NAMES = ("predictions.parquet", "heads.safetensors", "curves.csv")


@pytest.fixture
def index(tmp_path: Path) -> Path:
    path = tmp_path / "index.parquet"
    path.write_bytes(b"labels")
    return path


def trained(heads: Path, autoencoder: str, made_from: str) -> Path:
    """Write a head's files as a job leaves them."""
    folder = heads / autoencoder / "latent" / "cnn"
    folder.mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_text(f"{autoencoder} {name}")
    reuse.record(folder / reuse.RECORD, made_from, [folder / name for name in NAMES])
    return folder


def test_files_of_the_same_name_count_each(index: Path, tmp_path: Path) -> None:
    code = [tmp_path / "heads/__init__.py", tmp_path / "networks/__init__.py"]
    for path in code:
        path.parent.mkdir()
        path.write_text("1")
    first = reuse.identity([VALUES], index, {}, code)
    for path in code:
        path.write_text("2")
        assert reuse.identity([VALUES], index, {}, code) != first
        path.write_text("1")
    assert reuse.identity([VALUES], index, {}, code) == first


def test_the_identity_depends_on_values_labels_settings_and_code(index: Path, tmp_path: Path) -> None:
    code = tmp_path / "head.py"
    code.write_text("1")

    def now(values: np.ndarray = VALUES, **settings: Any) -> str:  # noqa: ANN401
        return reuse.identity([values], index, {"seeds": [0], **settings}, [code])

    first = now()
    assert now() == first
    assert now(VALUES.copy(order="F")) == first
    changed = VALUES.copy()
    changed[3, 0, 1, 1] = np.nextafter(changed[3, 0, 1, 1], np.float32(9))
    others = [
        reuse.identity([VALUES, changed], index, {"seeds": [0]}, [code]),
        now(changed),
        now(VALUES.reshape(4, 1, 1, 4)),
        now(seeds=[1]),
        now(folds=[0]),
    ]
    index.write_bytes(b"other labels")
    others.append(now())
    index.write_bytes(b"labels")
    code.write_text("2")
    others.append(now())
    assert len({first, *others}) == 8


def test_files_of_the_same_identity_are_copied(tmp_path: Path) -> None:
    heads = tmp_path / "heads"
    trained(heads, "kl", "other")
    source = trained(heads, "identity", "same")
    target = [tmp_path / "new" / name for name in NAMES]
    assert reuse.take_over(heads, "same", target) == source
    assert [path.read_text() for path in target] == [f"identity {name}" for name in NAMES]
    assert reuse.take_over(heads, "unknown", target) is None


def damage(folder: Path) -> None:
    (folder / NAMES[1]).write_text("damaged")


def lose(folder: Path) -> None:
    (folder / NAMES[2]).unlink()


def half(folder: Path) -> None:
    record = folder / reuse.RECORD
    record.write_text(record.read_text()[:20])


def empty(folder: Path) -> None:
    (folder / reuse.RECORD).write_text(json.dumps({"made_from": "same", "files": {}}))


@pytest.mark.parametrize("harm", [damage, lose, half, empty])
def test_a_head_that_is_not_whole_is_not_taken_over(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    heads = tmp_path / "heads"
    harm(trained(heads, "identity", "same"))
    assert reuse.take_over(heads, "same", [tmp_path / "new" / name for name in NAMES]) is None
