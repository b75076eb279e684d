"""One head over every fold and seed: what it sees, what it writes."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from pipeline import families
from pipeline.errors import StudyError
from pipeline.folds import splits
from pipeline.heads import Space
from pipeline.spaces import check_used, space
from pipeline.store import Layout, lay_out, shard_path, write_shard

INDEX = pd.DataFrame({"fold": np.arange(24) // 2 % 3, "usable": True, "patient": [f"p{k // 2}" for k in range(24)]})
INDEX[["label:a", "label:b"]] = np.tile(np.eye(2, dtype=np.int8), (12, 1))
TINY = {"model": "resnet10t", "arguments": {"stem_width": 8, "channels": [8] * 4}, "epochs": 1, "batch": 8}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """24 random latents of 8 x 8 cells in two shards, with their manifests."""
    folder, random = tmp_path / "latents.zarr", np.random.default_rng(0)
    lay_out(folder, Layout(24, (2, 8, 8), 2, "float32", {}))
    for shard in range(2):
        values = random.normal(size=(12, 2, 8, 8)).astype(np.float32)
        write_shard(folder, shard, values, {}).write(tmp_path / f"latents/{shard}.json")
    return folder


def test_a_space_is_read_whole_with_its_labels_and_stride(store: Path) -> None:
    read = space(store, INDEX, ["a", "b"], True, 64)
    assert (read.values.shape, read.classes, read.stride, read.exclusive) == ((24, 2, 8, 8), 2, 8, True)
    np.testing.assert_array_equal(read.labels, [[1, 0], [0, 1]] * 12)
    np.testing.assert_array_equal(read.numbers, [0, 1] * 12)


def test_a_store_and_an_index_that_do_not_fit_are_refused(store: Path) -> None:
    with pytest.raises(StudyError, match="holds 24 samples and the index 23"):
        space(store, INDEX.iloc[:-1], ["a", "b"], True, 64)
    for classes in (["a", "c"], ["b", "a"], ["a"]):
        with pytest.raises(StudyError, match="do not have the same classes"):
            space(store, INDEX, classes, True, 64)


def data(exclusive: bool = True) -> Space:
    """A space of zeros."""
    return Space(np.zeros((24, 1, 2, 2), np.float32), INDEX[["label:a", "label:b"]].to_numpy(np.int8), exclusive, 1)


@pytest.mark.parametrize("changes", [{"usable": False}, {"fold": -1}, {"label:a": -1, "label:b": -1}])
def test_values_that_are_not_finite_are_refused_where_they_are_used(changes: dict[str, object]) -> None:
    broken, table = data(), INDEX.copy()
    broken.values[5, 0, 1, 1] = np.nan
    with pytest.raises(StudyError, match="values that are not finite"):
        check_used(broken, splits(INDEX))
    table.loc[5, list(changes)] = list(changes.values())
    check_used(broken, splits(table))
    assert not any(5 in rows for split in splits(table) for rows in (split.train, split.validation, split.test))


@pytest.mark.parametrize("given", [[1, 1], [0, 0], [1, -1], [0, -1]])
def test_exclusive_classes_are_refused_where_a_sample_has_not_just_one(given: list[int]) -> None:
    one_each, several = data(exclusive=True), data(exclusive=False)
    for each in (one_each, several):
        each.labels[7] = given
    with pytest.raises(StudyError, match="not exactly one class; set 'task' to multi-label"):
        check_used(one_each, splits(INDEX))
    check_used(several, splits(INDEX))


def test_labels_other_than_1_and_0_and_missing_are_refused() -> None:
    several = data(exclusive=False)
    several.labels[7] = [2, 0]
    with pytest.raises(StudyError, match="labels other than 1, 0 and missing"):
        check_used(several, splits(INDEX))


def command(
    store: Path, folder: Path, entry: dict[str, Any], index: pd.DataFrame = INDEX, task: str = "single-label"
) -> list[str]:
    index.to_parquet(folder / "index.parquet")
    names = {"spec": json.dumps(entry), "index": folder / "index.parquet", "store": store, "classes": '["a", "b"]'}
    names |= {"image-size": 64, "task": task, "predictions": folder / "p.parquet", "weights": folder / "h.safetensors"}
    names |= {"heads": store.with_name("heads"), "made-from": folder / "made_from.json"}
    names |= {"profile": folder / "o.parquet", "training": folder / "t.parquet", "unfinished": folder / "unfinished"}
    words = [sys.executable, "-m", "pipeline.train", "--curves", str(folder / "c.csv"), "--seeds", "0", "1"]
    words += [word for name, value in names.items() for word in (f"--{name}", str(value))]
    return [*words, "--manifests", *(str(store.with_name("latents") / f"{shard}.json") for shard in range(2))]


def call(
    store: Path, folder: Path, entry: dict[str, Any], index: pd.DataFrame = INDEX, task: str = "single-label"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(store, folder, entry, index, task), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_program_that_is_told_to_end_goes_on_in_the_next_call_with_the_same_bytes(
    number: signal.Signals, store: Path, tmp_path: Path
) -> None:
    entry = {"family": "timm", **TINY, "epochs": 30, "fractions": [0.5]}
    undisturbed, ended = tmp_path / "undisturbed", tmp_path / "ended"
    for folder in (undisturbed, ended):
        folder.mkdir()
    assert call(store, undisturbed, entry).returncode == 0
    process = subprocess.Popen(command(store, ended, entry), stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list((ended / "unfinished").glob("fold1*")):
        time.sleep(0.01)
    process.send_signal(number)
    _, told = process.communicate()
    assert process.returncode == 1
    assert "the next call goes on from there" in told
    assert not (ended / "p.parquet").exists()
    kept = {path.name for path in (ended / "unfinished").glob("fold0*")}
    assert len(kept) == 4
    done = call(store, ended, entry)
    assert done.returncode == 0, done.stderr
    assert not list((ended / "unfinished").glob("fold*"))
    for name in ("p.parquet", "o.parquet", "t.parquet", "h.safetensors", "c.csv"):
        assert (ended / name).read_bytes() == (undisturbed / name).read_bytes(), name


def test_a_finished_head_whose_files_are_deleted_is_not_trained_again(store: Path, tmp_path: Path) -> None:
    """As Snakemake does with the outputs of all jobs of a batch job in which one fails."""
    folder = tmp_path / "heads" / "lossy" / "latent" / "knn"
    folder.mkdir(parents=True)
    words = command(store, folder, {"family": "knn"})
    words[words.index("--heads") + 1] = str(tmp_path / "heads")
    words[words.index("--unfinished") + 1] = str(folder.with_name(".knn"))
    subprocess.run(words, check=True, capture_output=True)
    outputs = [folder / name for name in ("p.parquet", "o.parquet", "t.parquet", "h.safetensors", "c.csv")]
    before = [path.read_bytes() for path in outputs]
    for path in [*outputs, folder / "made_from.json"]:
        path.unlink()
    again = subprocess.run(words, check=True, capture_output=True, text=True)
    assert "copied from" in again.stderr
    assert [path.read_bytes() for path in outputs] == before

    # A damaged file is damaged under both names, and is made again.
    (folder / "p.parquet").write_bytes(b"damaged")
    for path in outputs:
        path.unlink()
    again = subprocess.run(words, check=True, capture_output=True, text=True)
    assert [path.read_bytes() for path in outputs] == before


def test_the_program_writes_predictions_weights_and_curves(store: Path, tmp_path: Path) -> None:
    done = call(store, tmp_path, {"family": "knn"})
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "p.parquet")
    test = table[table["part"] == "test"]
    assert (
        test.groupby("seed")["row"].apply(sorted).map(list) == pd.Series({0: list(range(24)), 1: list(range(24))})
    ).all()
    assert (INDEX["fold"].to_numpy()[test["row"]] == test["fold"]).all()
    tensors = load_file(tmp_path / "h.safetensors")
    assert {name.split(".")[:2][0] for name in tensors} == {"fold0", "fold1", "fold2"}
    assert set(pd.read_csv(tmp_path / "c.csv")[["fold", "seed"]].itertuples(index=False, name=None)) == {
        (fold, seed) for fold in range(3) for seed in (0, 1)
    }
    shard_path(store, 1).write_bytes(b"changed")
    refused = call(store, tmp_path, {"family": "knn"})
    assert refused.returncode == 1
    assert "is not what" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("entry", [{"family": "linear"}, {"family": "timm", **TINY}])
def test_a_head_on_the_same_values_is_copied_and_is_what_training_gives(
    store: Path, tmp_path: Path, entry: dict[str, Any]
) -> None:
    folders = [store.with_name("heads") / name / "latent/head" for name in ("first", "second", "third")]
    for folder in folders:
        folder.mkdir(parents=True)
    assert "copied" not in call(store, folders[0], entry).stderr
    assert f"copied from {folders[0]}" in call(store, folders[1], entry).stderr
    for path in folders[0].glob("made_from.json"):
        path.unlink()
    (folders[1] / "made_from.json").unlink()
    assert "copied" not in call(store, folders[2], entry).stderr
    for name in ("p.parquet", "o.parquet", "t.parquet", "h.safetensors", "c.csv"):
        contents = {(folder / name).read_bytes() for folder in folders}
        assert len(contents) == 1, name


@pytest.mark.parametrize("family", ["knn", "linear", "timm"])
def test_the_program_trains_on_several_labels_and_passes_over_what_is_missing(
    family: str, store: Path, tmp_path: Path
) -> None:
    index = INDEX.copy()
    index["label:b"] = np.arange(24) // 4 % 2
    index.loc[[0, 6], "label:a"], index.loc[[1, 2], "label:b"] = -1, -1
    index.loc[5, "usable"], index.loc[8, ["label:a", "label:b"]] = False, -1
    options = TINY if family == "timm" else {}
    done = call(store, tmp_path, {"family": family, **options, "label_fraction": 0.75}, index, "multi-label")
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "p.parquet")
    for _, test in table[table["part"] == "test"].groupby("seed"):
        assert sorted(test["row"]) == sorted(set(range(24)) - {5, 8})
    assert not {5, 8} & set(table["row"])
    # Log-odds of two questions, not log-probabilities of one.
    assert (np.abs(np.exp(table[["score_0", "score_1"]]).sum(axis=1) - 1) > 1e-3).any()
    refused = call(store, tmp_path, {"family": family, **options}, index, "first-label")
    assert refused.returncode == 1
    assert "not exactly one class" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("task", "loss"),
    [
        ("single-label", None),
        ("single-label", {"kind": "ldam"}),
        ("single-label", {"kind": "ldam", "normalised": False}),
        ("multi-label", {"kind": "asymmetric"}),
    ],
)
def test_the_written_network_can_be_applied_again(
    task: str, loss: dict[str, Any] | None, store: Path, tmp_path: Path
) -> None:
    import torch

    from pipeline.networks.losses import scores
    from pipeline.networks.trainer import build

    entry = {"family": "timm", **TINY, "loss": loss}
    done = call(store, tmp_path, entry, task=task)
    assert done.returncode == 0, done.stderr
    tensors = load_file(tmp_path / "h.safetensors")
    data, split = space(store, INDEX, ["a", "b"], task != "multi-label", 64), splits(INDEX)[2]
    named = {
        name.removeprefix("fold2.seed1."): torch.from_numpy(value)
        for name, value in tensors.items()
        if name.startswith("fold2.seed1.")
    }
    network = build(families.spec("heads", entry), data)  # type: ignore[arg-type]
    network.load_state_dict(
        {name.removeprefix("network."): value for name, value in named.items() if name.startswith("network.")}
    )
    values = torch.from_numpy(data.values[split.test])
    values = (values - named["mean"][:, None, None]) / named["deviation"][:, None, None]
    with torch.no_grad():
        logits = network.eval()(values)
    table = pd.read_parquet(tmp_path / "p.parquet").query("part == 'test' and fold == 2 and seed == 1")
    written = table[["score_0", "score_1"]]
    np.testing.assert_allclose(written, scores(logits, named), atol=1e-5)
    if loss is None:
        np.testing.assert_allclose(written, logits.log_softmax(1), atol=1e-5)
