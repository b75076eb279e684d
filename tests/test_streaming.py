"""Heads that are trained from the store give what they give from memory, bit for bit, with bounded memory."""

import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline import families, train
from pipeline.errors import StudyError
from pipeline.folds import Split
from pipeline.heads import Fitted, HeadSpec, Space, Support
from pipeline.networks import feeding
from pipeline.networks.averaged import Averaged
from pipeline.networks.feeding import Held, Streamed
from pipeline.reuse import identity
from pipeline.shuffle import shuffled
from pipeline.spaces import held
from pipeline.store import Layout, lay_out, shard_rows, write_shard
from pipeline.stored import Stored
from pipeline.values import bytes_of

COUNT = 120
SPLIT = Split(0, np.setdiff1d(np.arange(80), [3, 4]), np.arange(80, 100), np.arange(100, 120))
NETWORK = {"epochs": 2, "batch": 8, "learning_rate": 0.01}
SMALL_BUFFER = {"in_memory_bytes": 1}
HEADS: dict[str, dict[str, Any]] = {
    "linear": {"grid": 4},
    "knn": {"grid": 4, "neighbours": [3]},
    "decoder-features": {"grid": 2, "components": 4},
    "mlp": {"width": 8, "depth": 1, **NETWORK},
    "timm": {"model": "resnet10t", "arguments": {"stem_width": 8, "channels": [8] * 4}, **NETWORK},
}


def opened(folder: Path, views: int = 0, pixels: bool = False, side: int = 8, count: int = COUNT) -> Space:
    """Write a space to stores, in three shards each, and open it."""
    values = []
    numbers = np.arange(count) % 2
    for view in range(1 + views):
        store, random = folder / f"{view}.zarr", np.random.default_rng(view)
        lay_out(store, Layout(count, (2, side, side), 3, "uint16" if pixels else "float16", {}))
        for shard in range(3):
            start, stop = shard_rows(store, shard)
            drawn = random.normal(size=(stop - start, 2, side, side)) + numbers[start:stop, None, None, None]
            stored = (1000 * drawn).clip(0, 65535).astype(np.uint16) if pixels else drawn.astype(np.float16)
            write_shard(store, shard, stored, {})
        values.append(Stored(store))
    return Space(values[0], np.eye(2, dtype=np.int8)[numbers], True, 1 if pixels else 4, pixels, tuple(values[1:]))


def in_memory(space: Space) -> Space:
    found = held(space, 2**40)
    assert all(isinstance(values, np.ndarray) for values in (found.values, *found.views))
    return found


def same(one: Fitted, other: Fitted) -> bool:
    pairs = [(one.validation, other.validation), (one.test, other.test)]
    pairs += [(value, other.tensors[name]) for name, value in one.tensors.items()]
    if one.training is not None and other.training is not None:
        pairs.append((one.training, other.training))
    return one.curve.equals(other.curve) and all(np.array_equal(a, b) for a, b in pairs)


def fit(family: str, space: Space, **options: object) -> Fitted:
    spec = families.spec("heads", {"family": family, **HEADS[family], **options})
    assert isinstance(spec, HeadSpec)
    return spec.fit(space, SPLIT, 0)


@pytest.mark.parametrize("family", HEADS)
def test_every_head_gives_the_same_from_the_store_and_from_memory(family: str, tmp_path: Path) -> None:
    space = opened(tmp_path)
    assert same(fit(family, space), fit(family, in_memory(space)))


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"in_memory_bytes": 1}, {"views": 2}),
        ({"side": 8, "augment": {"flip": True}}, {"pixels": True, "side": 16, "views": 1}),
        ({"in_memory_bytes": 1, "side": 8}, {"pixels": True, "side": 16}),
        ({"noise": {"evaluated": 2}}, {}),
    ],
)
def test_views_sizes_and_both_orders_give_the_same_from_the_store_and_from_memory(
    options: dict[str, Any], shape: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = opened(tmp_path, **shape)
    expected = fit("mlp", in_memory(space), **options)
    # On a machine with so little memory every batch is read by itself, and images that were made smaller are not held.
    monkeypatch.setattr("pipeline.memory.available", lambda: 0)
    assert same(fit("mlp", space, **options), expected)


def test_the_two_orders_are_not_the_same(tmp_path: Path) -> None:
    space = in_memory(opened(tmp_path))
    assert not same(fit("mlp", space), fit("mlp", space, in_memory_bytes=1))


def test_the_order_is_the_same_in_every_space_of_a_data_set() -> None:
    latents = Space(np.empty((COUNT, 4, 8, 8), np.float32), np.empty((0, 2), np.int8), True, 4)
    images = Space(np.empty((COUNT, 1, 32, 32), np.float32), np.empty((0, 2), np.int8), True, 1, True)
    fitting = 12 * 32 * 32 * COUNT
    assert shuffled(latents, fitting, 8) == shuffled(images, fitting, 8)
    assert shuffled(latents, fitting, 8).whole
    assert not shuffled(replace(latents, views=(latents.values,)), fitting, 8).whole


class Endings:
    """Says that the process is to end at one call."""

    def __init__(self, at: int) -> None:
        self.calls, self.at = 0, at

    def __call__(self) -> bool:
        self.calls += 1
        return self.calls == self.at


@pytest.mark.parametrize("at", [1, 4, 9, 14, 20])
def test_a_training_that_is_ended_goes_on_to_the_same_bits_from_the_store(at: int, tmp_path: Path) -> None:
    space = opened(tmp_path, views=1)
    spec = families.spec("heads", {"family": "mlp", **HEADS["mlp"], **SMALL_BUFFER})
    assert isinstance(spec, HeadSpec)

    def train(ended: Callable[[], bool]) -> Fitted:
        return spec.fit(space, SPLIT, 0, Support(checkpoint=tmp_path / "c", identity="x", ended=ended))

    expected = fit("mlp", in_memory(space), **SMALL_BUFFER)
    with pytest.raises(StudyError, match="ended after"):
        train(Endings(at))
    assert same(train(Endings(0)), expected)


def test_an_expectation_that_does_not_come_true_changes_nothing(tmp_path: Path) -> None:
    space = opened(tmp_path, views=1)
    cpu, rows = torch.device("cpu"), torch.arange(20)
    streamed, kept = feeding.feeding(space, cpu), feeding.feeding(in_memory(space), cpu)
    assert isinstance(streamed, Streamed)
    assert isinstance(kept, Held)
    streamed.expect(rows, rows % 2, 4, 8)
    asked = [(rows[:4], rows[:4] % 2), (rows[4:8], rows[:4] * 0), (rows[8:12], rows[8:12] % 2)]
    for some, views in asked:
        assert torch.equal(streamed.raw(some, views), kept.raw(some, views))


def test_what_is_expected_is_read_many_batches_at_a_time(tmp_path: Path) -> None:
    class Counting(Stored):
        calls: ClassVar[list[int]] = []

        def __getitem__(self, rows: NDArray[np.int64] | slice, /) -> NDArray[np.float32]:
            assert not isinstance(rows, slice)
            self.calls.append(len(rows))
            return super().__getitem__(rows)

    opened(tmp_path)
    streamed = Streamed([Counting(tmp_path / "0.zarr")], torch.device("cpu"))
    rows = torch.randperm(COUNT)
    streamed.expect(rows, torch.zeros_like(rows), 8, 48)
    for part in rows.split(8):
        streamed.raw(part, torch.zeros_like(part))
    assert Counting.calls == [48, 48, 24]


@pytest.mark.parametrize("family", ["linear", "mlp"])
def test_memory_is_bounded(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = opened(tmp_path, side=64, count=2000)
    split = Split(0, np.arange(1200), np.arange(1200, 1600), np.arange(1600, 2000))
    options = {"epochs": 1, "batch": 32, "in_memory_bytes": 2**20} if family == "mlp" else {}
    spec = families.spec("heads", {"family": family, "grid": 4, **options})
    assert isinstance(spec, HeadSpec)
    spec.fit(opened(tmp_path / "small"), SPLIT, 0)
    tracemalloc.start()
    try:
        spec.fit(space, split, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 62 MiB of values; blocks of 256 rows, 8 MiB each, and what is made of one.
    assert peak < 0.6 * bytes_of(space.values)


def test_a_space_is_held_if_it_fits_into_half_of_what_is_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = opened(tmp_path, views=1)
    wanted = 2 * COUNT * 2 * 8 * 8 * 4
    assert isinstance(held(space, 2 * wanted).values, np.ndarray)
    assert not capsys.readouterr().err
    assert held(space, 2 * wanted - 1) is space
    assert "values are read from the store as they are used" in capsys.readouterr().err


def test_values_of_a_store_have_the_identity_of_the_same_values_in_memory(tmp_path: Path) -> None:
    space, index = opened(tmp_path), tmp_path / "index"
    index.write_text("x")
    found = [identity([values], index, {}, []) for values in (space.values, in_memory(space).values)]
    assert found[0] == found[1]


def test_averaged_pixels_are_those_of_torch_whatever_is_asked_for(tmp_path: Path) -> None:
    values = opened(tmp_path, pixels=True, side=16).values
    pixels = torch.from_numpy(values[np.arange(COUNT)])
    expected = nn.functional.avg_pool2d(pixels, 4).numpy()
    averaged = Averaged(values, 4)
    assert (averaged.shape, len(averaged)) == ((COUNT, 2, 4, 4), COUNT)
    np.testing.assert_allclose(averaged[np.array([5, 100, 5])], expected[[5, 100, 5]], atol=1e-6)
    np.testing.assert_allclose(averaged[10:90], expected[10:90], atol=1e-6)
    assert averaged.fingerprint() != Averaged(values, 8).fingerprint()


def test_the_program_trains_from_the_store_where_a_job_has_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, outputs = tmp_path / "latents.zarr", []
    lay_out(store, Layout(24, (2, 8, 8), 1, "float32", {}))
    values = np.random.default_rng(0).normal(size=(24, 2, 8, 8)).astype(np.float32)
    write_shard(store, 0, values, {}).write(tmp_path / "latents/0.json")
    index = pd.DataFrame({"fold": np.arange(24) // 2 % 3, "usable": True, "patient": [f"p{k // 2}" for k in range(24)]})
    index[["label:a", "label:b"]] = np.tile(np.eye(2, dtype=np.int8), (12, 1))
    index.to_parquet(tmp_path / "index.parquet")
    for name, granted in (("whole", "0"), ("streamed", "1")):
        folder = tmp_path / name
        files = ("predictions", "profile", "training", "weights", "curves")
        arguments = ["--spec", '{"family": "mlp", "epochs": 1}', "--index", str(tmp_path / "index.parquet")]
        arguments += ["--store", str(store), "--manifests", str(tmp_path / "latents/0.json"), "--classes", '["a", "b"]']
        arguments += ["--task", "single-label", "--image-size", "64", "--seeds", "0", "--unfinished", str(folder / "u")]
        arguments += ["--heads", str(folder), "--made-from", str(folder / "made_from.json")]
        arguments += [word for file in files for word in (f"--{file}", str(folder / file))]
        # A job of 1 MiB, which Slurm would never start: less than the interpreter takes.
        monkeypatch.setenv("SLURM_MEM_PER_NODE", granted)
        monkeypatch.setattr(sys, "argv", ["train", *arguments])
        train.main()
        assert ("read from the store" in capsys.readouterr().err) == (name == "streamed")
        outputs.append([(folder / file).read_bytes() for file in files])
    assert outputs[0] == outputs[1]
