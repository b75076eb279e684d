"""Channel statistics are those of the training rows, fold by fold, and of nothing else."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from pipeline.folds import splits
from pipeline.heads import channel_statistics
from pipeline.standardize import ALL, standardize, training_rows

RANDOM = np.random.default_rng(0)
LATENTS = RANDOM.normal(RANDOM.normal(0, 5, (1, 3, 1, 1)), 2.0, (24, 3, 4, 4)).astype(np.float32)
MEAN, SQUARE = LATENTS.astype(float).mean(axis=(2, 3)), (LATENTS.astype(float) ** 2).mean(axis=(2, 3))


def index(**columns: object) -> pd.DataFrame:
    table = pd.DataFrame({"usable": [True] * 24, "fold": np.arange(24) % 4, "label:a": np.arange(24) % 2})
    return table.assign(**{"label:b": 1 - table["label:a"]}, **columns).astype({"label:a": "int8", "label:b": "int8"})


def test_each_fold_has_the_statistics_that_a_head_computes_of_its_training_rows() -> None:
    table = standardize(MEAN, SQUARE, training_rows(index(), []))
    assert sorted(table["fold"].unique()) == [0, 1, 2, 3]
    for split in splits(index()):
        mean, deviation = channel_statistics(LATENTS[split.train])
        found = table[table["fold"] == split.fold]
        np.testing.assert_allclose(found["mean"], mean, rtol=1e-5)
        np.testing.assert_allclose(found["deviation"], deviation, rtol=1e-5)


def test_no_row_that_is_tested_or_unusable_changes_them() -> None:
    usable = np.ones(24, bool)
    usable[2] = False
    rows = training_rows(index(usable=usable), [0])
    assert list(rows) == [0]
    expected = standardize(MEAN, SQUARE, rows)
    changed = MEAN.copy()
    changed[np.setdiff1d(np.arange(24), rows[0])] = 1e9
    pd.testing.assert_frame_equal(standardize(changed, SQUARE, rows), expected)
    assert 2 not in rows[0]


def test_a_data_set_without_labels_has_one_set_of_statistics() -> None:
    table = standardize(MEAN, SQUARE, training_rows(pd.DataFrame({"usable": [True] * 24}), []))
    assert set(table["fold"]) == {ALL}
    np.testing.assert_allclose(table["mean"], LATENTS.mean(axis=(0, 2, 3)), rtol=1e-5)


def test_a_constant_channel_has_no_deviation() -> None:
    values = np.full((24, 1), 0.1)
    assert standardize(values, values**2, {0: np.arange(24)})["deviation"].tolist() == [pytest.approx(0, abs=1e-8)]


def test_the_program_joins_shards_and_refuses_another_number_of_samples(tmp_path: Path) -> None:
    for shard, rows in enumerate((slice(0, 12), slice(12, 24))):
        save_file({"mean": MEAN[rows].copy(), "square": SQUARE[rows].copy()}, tmp_path / f"{shard}.safetensors")
    index().to_parquet(tmp_path / "index.parquet")
    command = [sys.executable, "-m", "pipeline.standardize", "--index", str(tmp_path / "index.parquet")]
    command += ["--statistics", str(tmp_path / "statistics.csv"), "--folds", "1", "--moments"]
    parts = [str(tmp_path / f"{shard}.safetensors") for shard in range(2)]
    subprocess.run([*command, *parts], check=True)
    written = pd.read_csv(tmp_path / "statistics.csv")
    expected = standardize(MEAN, SQUARE, training_rows(index(), [1]))
    pd.testing.assert_frame_equal(written, expected, rtol=1e-8)
    refused = subprocess.run([*command, parts[0]], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "12 samples, and the index has 24" in refused.stderr
