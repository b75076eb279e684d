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
from pipeline.collect import NOTHING, collect, files
from pipeline.penalties import DIAGNOSTICS
from pipeline.plan import Plan
from pipeline.store import Layout, lay_out, write_shard
from pipeline.study import Study
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
from tests.studies import STUDY

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
    "latent_deviation": 0.5,
    "stored_bytes": 99,
    "coded_bytes": 98,
    "float32_retries": 0,
}


PROTOCOLS = {"knn": "matched", "cnn": "paper"}


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
    return {"dataset": "d", "autoencoder": autoencoder, "family": "lossy"}


def test_columns_are_the_documented_ones_in_their_order(tmp_path: Path) -> None:
    made = tabulate(
        [rows(plan("x"), FIDELITY, {"knn": gap(tmp_path / "a.csv"), "cnn": gap(tmp_path / "b.csv", 10)}, PROTOCOLS)]
    )
    assert list(made) == COLUMNS
    assert COLUMNS[:6] == ["dataset", "autoencoder", "family", "head", "protocol", "metric"]
    assert COLUMNS[6:9] == ["image", "image_low", "image_high"]
    assert list(zip(made["head"], made["metric"], strict=True)) == [(h, m) for h in ("knn", "cnn") for m in METRICS]
    cnn = made[(made["head"] == "cnn") & (made["metric"] == "mcc")].iloc[0]
    assert cnn["learnability_gap_low"] == pytest.approx(10 + 4 + 0.1 + 0.001)
    assert cnn["samples"] == 60
    assert cnn["psnr"] == 30.5


def test_a_data_set_without_labels_has_its_fidelity_and_empty_scores(tmp_path: Path) -> None:
    write_table(tabulate([rows(plan("x"), FIDELITY, {}, {}), rows(plan("y"), FIDELITY, {}, {})]), tmp_path / "t.csv")
    made = pd.read_csv(tmp_path / "t.csv")
    assert list(made) == COLUMNS
    assert list(made["autoencoder"]) == ["x", "y"]
    empty = ["head", "metric", *COLUMNS[6:24], "folds", "seeds", "patients", "units", "samples"]
    assert made[empty].isna().all(axis=None)
    assert made[list(FIDELITY)].notna().all(axis=None)


def test_the_same_study_gives_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for noise in (0.0, 1e-9):
        parts = [rows(plan("x"), FIDELITY, {"knn": gap(tmp_path / "a.csv", noise)}, PROTOCOLS)]
        write_table(tabulate(parts), tmp_path / "t.csv")
        written.append((tmp_path / "t.csv").read_bytes())
    assert written[0] == written[1]
    assert b"\r" not in written[0]


def test_a_count_is_written_as_a_whole_number_and_a_perfect_ratio_as_infinite(tmp_path: Path) -> None:
    parts = rows(plan("x"), {**FIDELITY, "psnr": np.inf}, {"knn": gap(tmp_path / "a.csv")}, PROTOCOLS)
    write_table(tabulate([parts]), tmp_path / "t.csv")
    line = (tmp_path / "t.csv").read_text().splitlines()[1]
    assert line.endswith(
        ",4,1,30,55,60,inf,0.900000,0.950000,3,0.100000,1.500000,60,4x2x2,16.000000,0.500000,99,98,0,,,,,,,,,,,"
    )
    assert np.isinf(pd.read_csv(tmp_path / "t.csv")["psnr"]).all()


INDEX = pd.DataFrame(
    {
        **{"usable": [True] * 4, "fold": [0, 1, 1, 0]},
        **{"label:None": [1, 1, 1, 0], "label:rare": [0, 0, 1, 1], "label:absent": [0, -1, 0, 0]},
    }
)
"""Four samples; the third has both labels, the second may have the last."""
USABLE = np.full(4, True)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    lay_out(tmp_path / "images.zarr", Layout(4, (3, 16, 16), 2, "uint16", {}))
    return tmp_path / "images.zarr"


def features(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)


def member(folder: Path, seed: int = 0, fold: int | None = None, bytes_: bool = False) -> dict[str, Any]:
    """Write what there is of one autoencoder of two shards; return it as it stands in a plan."""
    folder.mkdir()
    lay_out(folder / "latents.zarr", Layout(4, (4, 2, 2), 2, "float16", {}))
    (folder / "statistics.csv").write_text("fold,channel,deviation\n0,0,3.0\n0,1,4.0\n")
    made: dict[str, Any] = {"fold": fold, "latents": f"{folder}/latents.zarr", "statistics": f"{folder}/statistics.csv"}
    kinds = {"manifests": "json", "moments": "moments", "fidelity": "parquet", "features": "features"}
    made |= {kind: [f"{folder}/{shard}.{ending}" for shard in range(2)] for kind, ending in kinds.items()}
    for shard in range(2):
        retries = {"float32_retries": shard + 1}
        manifest = write_shard(folder / "latents.zarr", shard, np.ones((2, 4, 2, 2), np.float32), retries)
        manifest.write(Path(made["manifests"][shard]))
        row = np.array([2 * shard, 2 * shard + 1])
        table = pd.DataFrame({"row": row, "mse": [0.01, 0.001], "ssim": [0.5, 0.7 + shard / 10 + seed]})
        table.assign(ms_ssim=table["ssim"] + 0.1, ms_ssim_scales=1).to_parquet(made["fidelity"][shard])
        save_file({"row": row, "features": features(seed)[row]}, made["features"][shard])
        held = {"mean": np.zeros((2, 4))} | ({"file_bytes": np.array([10, 100])} if bytes_ else {})
        save_file(held, made["moments"][shard])
    return made


def test_averages_are_over_the_usable_images_of_all_shards(tmp_path: Path) -> None:
    members = [member(tmp_path / "x")]
    some = read_fidelity(members, INDEX.assign(usable=[True, True, False, True]))
    assert averages(some)["ssim"] == pytest.approx((0.5 + 0.7 + 0.8) / 3)
    made = averages(read_fidelity(members, INDEX))
    assert made["psnr"] == pytest.approx(25)
    assert made["ssim"] == pytest.approx((0.5 + 0.7 + 0.5 + 0.8) / 4)
    assert made["ms_ssim"] == pytest.approx(made["ssim"] + 0.1)
    assert np.isnan(made["lpips"])


def test_a_sample_is_measured_with_the_member_that_is_tested_on_it(tmp_path: Path) -> None:
    members = [member(tmp_path / str(fold), seed=10 * fold, fold=fold) for fold in range(2)]
    made = read_fidelity(members, INDEX).sort_index()
    assert list(made.index) == [0, 1, 2, 3]
    assert list(made["ssim"]) == pytest.approx([0.5, 0.7 + 10, 0.5, 0.8])
    # A sample that no fold tests is left out.
    assert list(read_fidelity(members, INDEX.assign(fold=[0, 1, -1, 0])).index) == [0, 3, 1]


def test_an_autoencoder_is_described_by_its_latents(images: Path, tmp_path: Path) -> None:
    members = [member(tmp_path / "x")]
    made = encoding(images, members, USABLE)
    assert made["latent_shape"] == "4x2x2"
    assert made["compression_ratio"] == 3 * 16 * 16 / (4 * 2 * 2)
    shards = [tmp_path / f"x/latents.zarr/c/{shard}/0/0/0" for shard in range(2)]
    assert made["stored_bytes"] == sum(path.stat().st_size for path in shards)
    assert made["latent_deviation"] == pytest.approx(((9 + 16) / 2) ** 0.5)
    assert made["float32_retries"] == 3
    assert made["coded_bytes"] is None
    codec = [member(tmp_path / "codec", bytes_=True)]
    assert encoding(images, codec, np.array([True, True, False, True]))["coded_bytes"] == 210
    both = encoding(images, [*members, member(tmp_path / "y")], USABLE)
    assert both["stored_bytes"] == made["stored_bytes"]
    assert both["float32_retries"] == 6


def test_a_sample_counts_in_every_class_that_it_has(tmp_path: Path) -> None:
    table = read_fidelity([member(tmp_path / "x")], INDEX).assign(lpips=[0.1, 0.2, 0.3, 0.4])
    made = by_class(table, INDEX).set_index("class")
    assert list(made.index) == ["", "None", "rare", "absent"]
    assert list(made["samples"]) == [4, 3, 2, 0]
    assert made["psnr"]["None"] == pytest.approx((20 + 30 + 20) / 3)
    assert made["lpips"]["rare"] == pytest.approx(0.35)
    assert made["lpips"][""] == pytest.approx(0.25)
    assert made.loc["absent", ["psnr", "ssim", "ms_ssim", "lpips"]].isna().all()
    unusable = by_class(table[table.index != 2], INDEX).set_index("class")
    assert list(unusable["samples"]) == [3, 2, 1, 0]


def apart(seeds: tuple[int, int], chosen: NDArray[np.bool_]) -> float:
    return frechet.distance(*(frechet.Gaussian.of(features(seed)[chosen]) for seed in seeds))


def test_the_frechet_distance_is_that_of_the_usable_samples_from_the_baseline(images: Path, tmp_path: Path) -> None:
    usable = np.array([True, True, False, True])
    baseline, other = [member(tmp_path / "pixels")], [member(tmp_path / "x", seed=1)]
    described = Described("d", images, INDEX.assign(usable=usable), baseline)
    made, _ = described.columns({"autoencoder": "x", "members": other})
    assert made["rfid"] == pytest.approx(apart((0, 1), usable), rel=1e-9)
    assert made["rfid_samples"] == 3
    same, _ = described.columns({"autoencoder": "pixels", "members": baseline})
    assert same["rfid"] == pytest.approx(0, abs=1e-9)
    blind = [other[0] | {"features": []}]
    for first, second in (([baseline[0] | {"features": []}], other), (baseline, blind)):
        without, _ = Described("d", images, INDEX, first).columns({"autoencoder": "x", "members": second})
        assert np.isnan(without["rfid"])
        assert without["rfid_samples"] is None


def test_the_frechet_distance_of_members_is_of_the_samples_that_each_is_tested_on(images: Path, tmp_path: Path) -> None:
    members = [member(tmp_path / str(fold), seed=1, fold=fold) for fold in range(2)]
    index = INDEX.assign(fold=[0, 1, -1, 0])
    described = Described("d", images, index, [member(tmp_path / "pixels")])
    made, _ = described.columns({"autoencoder": "x", "members": members})
    assert made["rfid"] == pytest.approx(apart((0, 1), (index["fold"] >= 0).to_numpy()), rel=1e-9)
    assert made["rfid_samples"] == 3


def test_an_autoencoder_without_a_decoder_has_empty_columns_and_not_zeros(images: Path, tmp_path: Path) -> None:
    blind = [member(tmp_path / "x") | {"fidelity": [], "features": []}]
    described = Described("d", images, INDEX, [member(tmp_path / "pixels")])
    made, lines = described.columns({"autoencoder": "x", "members": blind})
    write_table(tabulate([rows(plan("x"), made, {}, {})]), tmp_path / "t.csv")
    read = pd.read_csv(tmp_path / "t.csv")
    assert read[["psnr", "ssim", "ms_ssim", "ms_ssim_scales", "lpips", "rfid", "rfid_samples"]].isna().all(axis=None)
    assert list(lines["samples"]) == [0, 0, 0, 0]
    assert lines[["psnr", "ssim", "ms_ssim", "lpips"]].isna().all(axis=None)


def test_the_program_tabulates_a_plan(images: Path, tmp_path: Path) -> None:
    common = {"family": "lossy", "gaps": {"knn": str(gap(tmp_path / "a.csv"))}, "protocols": PROTOCOLS}
    entries = [
        {"autoencoder": name, "members": [member(tmp_path / name, seed)], "diagnosed": {}, **common}
        for seed, name in enumerate("xy")
    ]
    INDEX.to_parquet(tmp_path / "index.parquet")
    names: dict[str, object] = {"dataset": "d", "images": images, "baseline": "x"}
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
    assert made[["denoiser", *DIAGNOSTICS]].isna().all(axis=None)
    lines = (tmp_path / "f.csv").read_text().splitlines()
    assert lines[0].split(",") == CLASS_COLUMNS
    assert lines[1] == "d,x,,4,25.000000,0.625000,0.725000,"
    assert lines[4] == "d,x,absent,0,,,,"
    assert len(lines) == 1 + 2 * 4


def test_tables_are_put_below_one_another_as_they_are() -> None:
    assert collect(["a,b\n1,0.10\n", "a,b\n2,\n3,x\n"]) == "a,b\n1,0.10\n2,\n3,x\n"
    with pytest.raises(ValueError, match="different columns"):
        collect(["a,b\n1,2\n", "a,c\n1,2\n"])


CELLS = {"a": {"knn": ["kl", "jpeg"], "cnn": ["kl"]}, "b": {"knn": ["kl"], "cnn": []}}


def test_tables_of_cells_are_joined_by_data_set_autoencoder_and_head(tmp_path: Path) -> None:
    keys = [path.parts[:3] for path in files(CELLS, Path(), "groups.csv")]
    assert keys == [("a", "kl", "knn"), ("a", "kl", "cnn"), ("a", "jpeg", "knn"), ("b", "kl", "knn")]
    for key in keys:
        path = tmp_path.joinpath(*key, "groups.csv")
        path.parent.mkdir(parents=True)
        path.write_text(f"dataset,autoencoder,head,value\n{','.join(key)},0.10\n")
    command = [sys.executable, "-m", "pipeline.collect", "--scores", str(tmp_path)]
    for cells, expected in ((CELLS, [f"{','.join(key)},0.10" for key in keys]), ({}, [])):
        out = ["--table", str(tmp_path / "groups.csv"), "--cells", json.dumps(cells)]
        subprocess.run([*command, *out], check=True)
        assert (tmp_path / "groups.csv").read_text().splitlines()[1:] == expected
    assert (tmp_path / "groups.csv").read_text() == NOTHING


def test_the_plan_names_the_cells_of_every_head_and_their_tables() -> None:
    study = {**STUDY, "initialisation": {"scratch": "knn", "pretrained": "linear"}}
    study["heads"] = {**STUDY["heads"], "linear": {"family": "linear", "autoencoders": ["lossy"]}}
    plan = Plan(Study(study))
    assert json.loads(plan.cells()) == {"blobs": {"knn": ["identity", "lossy"], "linear": ["identity", "lossy"]}}
    joined = {str(path) for path in files(json.loads(plan.cells()), Path("results/scores"), "profile.csv")}
    assert set(plan.evaluated("profile")) == joined
    assert plan.profiles("latent", "blobs", "lossy", "knn") == ["results/heads/blobs/lossy/latent/knn/profile.parquet"]
    assert json.loads(plan.roles()) == {"scratch": "knn", "pretrained": "linear"}
    assert json.loads(Plan(Study(STUDY)).roles()) == {}
