"""Scores and fidelity to one row per data set, autoencoder, head and metric."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.collect import collect
from pipeline.store import Layout, lay_out, write_shard
from pipeline.tabulate import COLUMNS, QUANTITIES, fidelity, rows, tabulate, write_table

METRICS = ["balanced_accuracy", "mcc", "auroc"]
FIDELITY: dict[str, Any] = {
    "psnr": 30.5,
    "ssim": 0.9,
    "latent_shape": "4x2x2",
    "compression_ratio": 16.0,
    "stored_bytes": 99,
}


def gap(path: Path, offset: float = 0.0) -> Path:
    """Write a score file whose every number is its own."""
    table = pd.DataFrame({"metric": METRICS})
    for number, quantity in enumerate(QUANTITIES):
        for place, bound in enumerate(("", "_low", "_high")):
            table[f"{quantity}{bound}"] = offset + number + place / 10 + np.arange(3) / 1000 + 1e-9
    table["folds"], table["seeds"], table["patients"], table["units"], table["samples"] = 4, 1, 30, 55, 60
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    return path


def plan(autoencoder: str) -> dict[str, str]:
    return {"dataset": "d", "protocol": "matched", "autoencoder": autoencoder, "family": "lossy"}


def test_columns_are_the_documented_ones_in_their_order(tmp_path: Path) -> None:
    made = tabulate([rows(plan("x"), FIDELITY, {"knn": gap(tmp_path / "a.csv"), "cnn": gap(tmp_path / "b.csv", 10)})])
    assert list(made) == COLUMNS
    assert COLUMNS[:6] == ["dataset", "autoencoder", "family", "head", "protocol", "metric"]
    assert COLUMNS[6:9] == ["image", "image_low", "image_high"]
    assert list(zip(made["head"], made["metric"], strict=True)) == [(h, m) for h in ("knn", "cnn") for m in METRICS]
    cnn = made[(made["head"] == "cnn") & (made["metric"] == "mcc")].iloc[0]
    assert cnn["learnability_gap_low"] == pytest.approx(10 + 4 + 0.1 + 0.001)
    assert cnn["samples"] == 60
    assert cnn["psnr"] == 30.5


def test_a_data_set_without_labels_has_its_fidelity_and_empty_scores(tmp_path: Path) -> None:
    write_table(tabulate([rows(plan("x"), FIDELITY, {}), rows(plan("y"), FIDELITY, {})]), tmp_path / "t.csv")
    made = pd.read_csv(tmp_path / "t.csv")
    assert list(made) == COLUMNS
    assert list(made["autoencoder"]) == ["x", "y"]
    empty = ["head", "metric", *COLUMNS[6:24], "folds", "seeds", "patients", "units", "samples"]
    assert made[empty].isna().all(axis=None)
    assert made[["psnr", "ssim", "latent_shape", "compression_ratio", "stored_bytes"]].notna().all(axis=None)


def test_the_same_study_gives_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for noise in (0.0, 1e-9):
        parts = [rows(plan("x"), FIDELITY, {"knn": gap(tmp_path / "a.csv", noise)})]
        write_table(tabulate(parts), tmp_path / "t.csv")
        written.append((tmp_path / "t.csv").read_bytes())
    assert written[0] == written[1]
    assert b"\r" not in written[0]


def test_a_count_is_written_as_a_whole_number_and_a_perfect_ratio_as_infinite(tmp_path: Path) -> None:
    write_table(
        tabulate([rows(plan("x"), {**FIDELITY, "psnr": np.inf}, {"k": gap(tmp_path / "a.csv")})]), tmp_path / "t.csv"
    )
    line = (tmp_path / "t.csv").read_text().splitlines()[1]
    assert line.endswith(",4,1,30,55,60,inf,0.900000,4x2x2,16.000000,99")
    assert np.isinf(pd.read_csv(tmp_path / "t.csv")["psnr"]).all()


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, Any]:
    """An image store, a latent store, and what lies beside the latter's shards."""
    lay_out(tmp_path / "images.zarr", Layout(4, (3, 16, 16), 2, "uint16", {}))
    lay_out(tmp_path / "latents.zarr", Layout(4, (4, 2, 2), 2, "float16", {}))
    manifests, quality = [], []
    for shard in range(2):
        manifest = write_shard(tmp_path / "latents.zarr", shard, np.ones((2, 4, 2, 2), np.float32), {})
        manifests.append(tmp_path / f"{shard}.json")
        manifest.write(manifests[-1])
        quality.append(tmp_path / f"{shard}.parquet")
        pd.DataFrame(
            {"row": [2 * shard, 2 * shard + 1], "mse": [0.01, 0.001], "ssim": [0.5, 0.7 + shard / 10]}
        ).to_parquet(quality[-1])
    return {
        "images": tmp_path / "images.zarr",
        "latents": tmp_path / "latents.zarr",
        "manifests": manifests,
        "quality": quality,
    }


def test_fidelity_is_over_the_usable_images_of_all_shards(stores: dict[str, Any]) -> None:
    usable = pd.Series([True, True, False, True])
    assert fidelity(**stores, usable=usable)["ssim"] == pytest.approx((0.5 + 0.7 + 0.8) / 3)
    made = fidelity(**stores, usable=pd.Series([True] * 4))
    assert made["psnr"] == pytest.approx(25)
    assert made["ssim"] == pytest.approx((0.5 + 0.7 + 0.5 + 0.8) / 4)
    assert made["latent_shape"] == "4x2x2"
    assert made["compression_ratio"] == 3 * 16 * 16 / (4 * 2 * 2)
    shards = [stores["latents"] / f"c/{shard}/0/0/0" for shard in range(2)]
    assert made["stored_bytes"] == sum(path.stat().st_size for path in shards)


def test_the_program_tabulates_a_plan(stores: dict[str, Any], tmp_path: Path) -> None:
    plain = {"latents": str(stores["latents"])} | {
        name: [str(path) for path in stores[name]] for name in ("quality", "manifests")
    }
    entries = [
        {"autoencoder": name, "family": "lossy", "gaps": {"knn": str(gap(tmp_path / "a.csv"))}, **plain}
        for name in "xy"
    ]
    command = [sys.executable, "-m", "pipeline.tabulate", "--dataset", "d", "--protocol", "matched", "--images"]
    pd.DataFrame({"usable": [True] * 4}).to_parquet(tmp_path / "index.parquet")
    command += [
        str(stores["images"]),
        "--index",
        str(tmp_path / "index.parquet"),
        "--plan",
        json.dumps(entries),
        "--table",
        str(tmp_path / "t.csv"),
    ]
    subprocess.run(command, check=True)
    made = pd.read_csv(tmp_path / "t.csv")
    assert list(made["autoencoder"]) == ["x"] * 3 + ["y"] * 3
    assert set(made["dataset"]) == {"d"}


def test_tables_are_put_below_one_another_as_they_are() -> None:
    assert collect(["a,b\n1,0.10\n", "a,b\n2,\n3,x\n"]) == "a,b\n1,0.10\n2,\n3,x\n"
    with pytest.raises(ValueError, match="different columns"):
        collect(["a,b\n1,2\n", "a,c\n1,2\n"])
