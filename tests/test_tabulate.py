"""Scores and fidelity to one row per data set, autoencoder, head and metric."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pipeline import frechet
from pipeline.collect import collect
from pipeline.store import Layout, lay_out, write_shard
from pipeline.tabulate import (
    CLASS_COLUMNS,
    COLUMNS,
    QUANTITIES,
    Described,
    averages,
    by_class,
    encoding,
    read_fidelity,
    rows,
    tabulate,
    write_table,
)

METRICS = ["balanced_accuracy", "mcc", "auroc"]
FIDELITY: dict[str, Any] = {
    "psnr": 30.5,
    "ssim": 0.9,
    "ms_ssim": 0.95,
    "ms_ssim_scales": 3,
    "lpips": 0.1,
    "rfid": 1.5,
    "rfid_samples": 60,
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
    assert made[list(FIDELITY)].notna().all(axis=None)


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
    assert line.endswith(",4,1,30,55,60,inf,0.900000,0.950000,3,0.100000,1.500000,60,4x2x2,16.000000,99")
    assert np.isinf(pd.read_csv(tmp_path / "t.csv")["psnr"]).all()


INDEX = pd.DataFrame(
    {"usable": [True] * 4, "label:None": [1, 1, 1, 0], "label:rare": [0, 0, 1, 1], "label:absent": [0, -1, 0, 0]}
)
"""Four samples; the third has both labels, the second may have the last."""


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, Any]:
    """An image store, a latent store, and what is known of the latter's shards and of their reconstructions."""
    lay_out(tmp_path / "images.zarr", Layout(4, (3, 16, 16), 2, "uint16", {}))
    lay_out(tmp_path / "latents.zarr", Layout(4, (4, 2, 2), 2, "float16", {}))
    made: dict[str, Any] = {"images": tmp_path / "images.zarr", "latents": tmp_path / "latents.zarr"}
    made |= {"manifests": [], "fidelity": [], "features": [], "baseline": []}
    for shard in range(2):
        manifest = write_shard(tmp_path / "latents.zarr", shard, np.ones((2, 4, 2, 2), np.float32), {})
        made["manifests"].append(tmp_path / f"{shard}.json")
        manifest.write(made["manifests"][-1])
        made["fidelity"].append(tmp_path / f"{shard}.parquet")
        table = pd.DataFrame({"row": [2 * shard, 2 * shard + 1], "mse": [0.01, 0.001], "ssim": [0.5, 0.7 + shard / 10]})
        table["ms_ssim"], table["ms_ssim_scales"] = table["ssim"] + 0.1, 1
        table.to_parquet(made["fidelity"][-1])
        for name in ("features", "baseline"):
            made[name].append(tmp_path / f"{shard}.{name}.safetensors")
            rows = np.array([2 * shard, 2 * shard + 1])
            save_file({"row": rows, "features": features(name)[rows]}, made[name][-1])
    return made


def features(name: str) -> NDArray[np.float32]:
    return np.random.default_rng(name == "baseline").normal(size=(4, 3)).astype(np.float32)


def test_averages_are_over_the_usable_images_of_all_shards(stores: dict[str, Any]) -> None:
    some = read_fidelity(stores["fidelity"], np.array([True, True, False, True]))
    assert averages(some)["ssim"] == pytest.approx((0.5 + 0.7 + 0.8) / 3)
    made = averages(read_fidelity(stores["fidelity"], np.full(4, True)))
    assert made["psnr"] == pytest.approx(25)
    assert made["ssim"] == pytest.approx((0.5 + 0.7 + 0.5 + 0.8) / 4)
    assert made["ms_ssim"] == pytest.approx(made["ssim"] + 0.1)
    assert np.isnan(made["lpips"])


def test_an_autoencoder_is_described_by_its_latents(stores: dict[str, Any]) -> None:
    made = encoding(stores["images"], stores["latents"], stores["manifests"])
    assert made["latent_shape"] == "4x2x2"
    assert made["compression_ratio"] == 3 * 16 * 16 / (4 * 2 * 2)
    shards = [stores["latents"] / f"c/{shard}/0/0/0" for shard in range(2)]
    assert made["stored_bytes"] == sum(path.stat().st_size for path in shards)


def test_a_sample_counts_in_every_class_that_it_has(stores: dict[str, Any]) -> None:
    table = read_fidelity(stores["fidelity"], np.full(4, True)).assign(lpips=[0.1, 0.2, 0.3, 0.4])
    made = by_class(table, INDEX).set_index("class")
    assert list(made.index) == ["", "None", "rare", "absent"]
    assert list(made["samples"]) == [4, 3, 2, 0]
    assert made["psnr"]["None"] == pytest.approx((20 + 30 + 20) / 3)
    assert made["lpips"]["rare"] == pytest.approx(0.35)
    assert made["lpips"][""] == pytest.approx(0.25)
    assert made.loc["absent", ["psnr", "ssim", "ms_ssim", "lpips"]].isna().all()
    unusable = by_class(table[table.index != 2], INDEX).set_index("class")
    assert list(unusable["samples"]) == [3, 2, 1, 0]


def entry(stores: dict[str, Any], name: str = "x", **changes: object) -> dict[str, Any]:
    """One entry of a plan, as text."""
    lists = {kind: [str(path) for path in stores[kind]] for kind in ("fidelity", "features", "manifests")}
    plain = {"autoencoder": name, "family": "lossy", "latents": str(stores["latents"]), "gaps": {}, **lists}
    return plain | changes


def test_the_frechet_distance_is_that_of_the_usable_samples_from_the_baseline(stores: dict[str, Any]) -> None:
    usable = np.array([True, True, False, True])
    described = Described("d", stores["images"], INDEX.assign(usable=usable), stores["baseline"])
    made, _ = described.fidelity(entry(stores))
    expected = frechet.distance(*(frechet.Gaussian.of(features(name)[usable]) for name in ("baseline", "features")))
    assert made["rfid"] == pytest.approx(expected, rel=1e-9)
    assert made["rfid_samples"] == 3
    same, _ = described.fidelity(entry(stores, features=[str(path) for path in stores["baseline"]]))
    assert same["rfid"] == pytest.approx(0, abs=1e-9)
    for baseline, kept in (([], stores["features"]), (stores["baseline"], [])):
        without, _ = Described("d", stores["images"], INDEX, baseline).fidelity(entry(stores, features=kept))
        assert np.isnan(without["rfid"])
        assert without["rfid_samples"] is None


def test_an_autoencoder_without_a_decoder_has_empty_columns_and_not_zeros(
    stores: dict[str, Any], tmp_path: Path
) -> None:
    described = Described("d", stores["images"], INDEX, stores["baseline"])
    made, lines = described.fidelity(entry(stores, fidelity=[], features=[]))
    write_table(tabulate([rows(plan("x"), made, {})]), tmp_path / "t.csv")
    read = pd.read_csv(tmp_path / "t.csv")
    assert read[["psnr", "ssim", "ms_ssim", "ms_ssim_scales", "lpips", "rfid", "rfid_samples"]].isna().all(axis=None)
    assert list(lines["samples"]) == [0, 0, 0, 0]
    assert lines[["psnr", "ssim", "ms_ssim", "lpips"]].isna().all(axis=None)


def test_the_program_tabulates_a_plan(stores: dict[str, Any], tmp_path: Path) -> None:
    gaps = {"knn": str(gap(tmp_path / "a.csv"))}
    original = entry(stores, "x", gaps=gaps, features=[str(path) for path in stores["baseline"]])
    entries = [original, entry(stores, "y", gaps=gaps)]
    INDEX.to_parquet(tmp_path / "index.parquet")
    names: dict[str, object] = {"dataset": "d", "protocol": "matched", "images": stores["images"], "baseline": "x"}
    names |= {"index": tmp_path / "index.parquet", "plan": json.dumps(entries)}
    names |= {"table": tmp_path / "t.csv", "fidelity": tmp_path / "f.csv"}
    words = [word for name, value in names.items() for word in (f"--{name}", str(value))]
    subprocess.run([sys.executable, "-m", "pipeline.tabulate", *words], check=True)
    made = pd.read_csv(tmp_path / "t.csv")
    assert list(made["autoencoder"]) == ["x"] * 3 + ["y"] * 3
    assert set(made["dataset"]) == {"d"}
    assert (made["rfid"][:3] == 0).all()
    assert (made["rfid"][3:] > 0).all()
    assert (made["ms_ssim_scales"] == 1).all()
    lines = (tmp_path / "f.csv").read_text().splitlines()
    assert lines[0].split(",") == CLASS_COLUMNS
    assert lines[1] == "d,x,,4,25.000000,0.625000,0.725000,"
    assert lines[4] == "d,x,absent,0,,,,"
    assert len(lines) == 1 + 2 * 4


def test_tables_are_put_below_one_another_as_they_are() -> None:
    assert collect(["a,b\n1,0.10\n", "a,b\n2,\n3,x\n"]) == "a,b\n1,0.10\n2,\n3,x\n"
    with pytest.raises(ValueError, match="different columns"):
        collect(["a,b\n1,2\n", "a,c\n1,2\n"])
