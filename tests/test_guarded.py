"""Batches on a device: halved where they do not fit, repeated where reduced precision does not hold, in order."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.autoencoders import Overlapping, at_a_time, batch_size, decoded, encoded
from pipeline.encode import Target, encode
from pipeline.errors import StudyError
from pipeline.networks import adapter, batches, inference
from pipeline.networks.adapter import Codec, TorchAutoencoder
from pipeline.networks.batches import Halving, fitting
from pipeline.networks.guarded import Guarded
from pipeline.networks.transfer import Transfer
from pipeline.store import Layout, Rows, lay_out, shard_path, to_grid, write_shard

CPU = torch.device("cpu")
PIXELS = np.random.default_rng(0).random((20, 3, 4, 4), dtype=np.float32)
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


class Crowded(nn.Module):
    """Doubles its input, and has memory for so many samples."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.sizes = most, list[int]()

    def forward(self, values: Tensor) -> Tensor:
        self.sizes.append(len(values))
        if len(values) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2 * values


def around(network: nn.Module, precision: str = "float32") -> TorchAutoencoder:
    codec = Codec(network, 3, 0.0, lambda images: (network(images), -network(images)), lambda latents: latents / 2)
    return TorchAutoencoder(codec, 3, precision, "float32")  # type: ignore[arg-type]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 19, 20])
def test_a_batch_that_does_not_fit_is_halved_until_it_does(most: int, capsys: pytest.CaptureFixture[str]) -> None:
    network = Crowded(most)
    autoencoder = around(network)
    for _ in range(2):
        latents = autoencoder.encode(PIXELS)
        np.testing.assert_array_equal(latents.mean, 2 * PIXELS)
        np.testing.assert_array_equal(latents.log_variance, -2 * PIXELS)
    # 20, 10, 5, 2, 1: each size that was too many was tried once, ever.
    too_many = [size for size in network.sizes if size > most]
    assert too_many == [size for size in (20, 10, 5, 2) if size > most]
    said = capsys.readouterr().err
    assert said.count("out of memory") == len(too_many)
    assert autoencoder.retries == 0


def test_one_image_that_does_not_fit_is_an_error_with_the_cure() -> None:
    with pytest.raises(StudyError, match="not even one image fits"):
        around(Crowded(0)).encode(PIXELS)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def broken(part: slice) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        Halving()(4, broken)


class Overflowing(nn.Module):
    """Gives infinity in reduced precision wherever a sample's first value exceeds one half."""

    def forward(self, values: Tensor) -> Tensor:
        made = nn.functional.conv2d(values, torch.eye(3)[:, :, None, None])
        if made.dtype == torch.float32:
            return made
        return torch.where(values[:, :1, :1, :1] > 0.5, torch.inf, made)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_what_overflows_is_repeated_alone_in_float32_and_counted(precision: str) -> None:
    autoencoder, first = around(Overflowing(), precision), PIXELS.copy()
    first[:, 0, 0, 0] = 0.1
    autoencoder.encode(first)
    assert autoencoder.retries == 0
    second = first.copy()
    second[7, 0, 0, 0] = 0.9
    autoencoder.guarded.in_parts.most = 5
    found = autoencoder.encode(second).mean
    # The second of four parts.
    assert autoencoder.retries == 1
    np.testing.assert_array_equal(found[5:10], second[5:10])
    rounded = torch.from_numpy(second).to(getattr(torch, precision)).float().numpy()
    np.testing.assert_array_equal(found[10:], rounded[10:])


def test_the_manifest_says_how_many_batches_were_repeated(tmp_path: Path) -> None:
    images, store = tmp_path / "images.zarr", tmp_path / "latents.zarr"
    lay_out(images, Layout(20, (3, 4, 4), 1, "uint16", {}))
    write_shard(images, 0, to_grid(PIXELS), {})
    lay_out(store, Layout(20, (3, 4, 4), 1, "float32", {}))
    autoencoder = around(Overflowing(), "bfloat16")
    manifest = encode(Rows(images), Target(store, 0, tmp_path / "0.safetensors"), autoencoder, 5, {"a": 1})
    over = (Rows(images).read(0, 20)[:, 0, 0, 0] > 0.5).reshape(4, 5).any(axis=1).sum()
    assert over > 0
    assert manifest.made_by == {"a": 1, "float32_retries": over}


@pytest.mark.parametrize("batch", [1, 3, 20])
def test_on_the_processor_no_byte_depends_on_the_batch_or_on_what_fits(batch: int, tmp_path: Path) -> None:
    images = tmp_path / "images.zarr"
    lay_out(images, Layout(20, (3, 4, 4), 1, "uint16", {}))
    write_shard(images, 0, to_grid(PIXELS), {})
    found = []
    for most, size in ((100, 20), (2, batch)):
        store = tmp_path / f"{most}.zarr"
        lay_out(store, Layout(20, (3, 4, 4), 1, "float32", {}))
        beside = tmp_path / f"{most}.safetensors"
        manifest = encode(Rows(images), Target(store, 0, beside), around(Crowded(most)), size, {})
        found.append((shard_path(store, 0).read_bytes(), beside.read_bytes(), json.dumps(manifest.made_by)))
    assert found[0] == found[1]


class Watched:
    """Remembers in which order batches are begun and waited for."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def begin_encoding(self, images: np.ndarray) -> Callable[[], np.ndarray]:
        return self._begin(images)

    def begin_decoding(self, latents: np.ndarray) -> Callable[[], np.ndarray]:
        return self._begin(latents)

    def at_a_time(self, image: tuple[int, int, int], decoding: bool) -> int:
        return 77

    def _begin(self, values: np.ndarray) -> Callable[[], np.ndarray]:
        number = int(values[0])
        self.log.append(f"begin {number}")

        def result() -> np.ndarray:
            self.log.append(f"wait {number}")
            return values

        return result


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_batch_is_begun_before_the_last_one_is_waited_for(count: int) -> None:
    batches = [np.array([number]) for number in range(count)]
    for run in (encoded, decoded):
        watched = Watched()
        assert isinstance(watched, Overlapping)
        results = list(run(watched, batches))  # type: ignore[arg-type]
        assert len(results) == count
        steps = [f"begin {number}" for number in range(count)]
        assert [step for step in watched.log if step.startswith("begin")] == steps
        for number in range(count - 1):
            assert watched.log.index(f"begin {number + 1}") < watched.log.index(f"wait {number}")
            assert number + 2 >= count or watched.log.index(f"wait {number}") < watched.log.index(f"begin {number + 2}")
    assert at_a_time(watched, (1, 8, 8)) == 77  # type: ignore[arg-type]


def test_on_the_processor_a_batch_is_bounded_by_its_pixels() -> None:
    assert at_a_time(around(Crowded(9)), (3, 512, 512)) == batch_size((3, 512, 512)) == 2


@settings(max_examples=200)
@given(st.integers(0, 2**38), st.integers(0, 2**30), st.integers(1, 2**30))
def test_as_many_are_taken_as_fit(memory: int, fixed: int, each: int) -> None:
    count = fitting(memory, fixed + each, fixed + 2 * each)
    assert count & (count - 1) == 0
    assert count == 1 or fixed + count * each <= memory
    assert count == batches.MOST or fixed + 2 * count * each > memory


def test_a_device_of_more_memory_takes_more(monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        """An accelerator whose allocator counts 1 MiB, and 3 MiB for each sample."""

        peak, total = 0, 2**34

        def compute(self, count: int) -> None:
            self.peak = 2**20 + 3 * 2**20 * count

    device = Device()
    for name, value in {
        "synchronize": lambda _: None,
        "reset_peak_memory_stats": lambda _: setattr(device, "peak", 0),
        "memory_allocated": lambda _: 5,
        "max_memory_allocated": lambda _: device.peak + 5,
        "get_device_properties": lambda _: type("Properties", (), {"total_memory": device.total}),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    sizes = []
    for device.total in (2**20, 2**28, 2**30, 2**40):
        sizes.append(batches.at_a_time((3, 128, 128), device.compute, CPU))
    # Half of the memory, less 1 MiB, over 3 MiB, as a power of two; at most 512.
    assert sizes == [1, 32, 128, 512]
    assert batches.at_a_time((3, 1024, 1024), device.compute, CPU) == 16


def _without_variance(network: nn.Module, images: Tensor) -> tuple[Tensor, None]:
    return network(images), None


def test_encoding_and_decoding_are_measured_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    def features_only(_: Tensor) -> Tensor:
        raise StudyError("features have no decoder")

    asked = list[tuple[int, int, int]]()

    def measured(image: tuple[int, int, int], compute: Callable[[int], object], _: torch.device) -> int:
        asked.append(image)
        compute(3)
        return 11

    monkeypatch.setattr(adapter, "at_a_time", measured)
    for decode in (features_only, lambda latents: latents):
        network = Crowded(99)
        codec = Codec(network, 3, 0.0, partial(_without_variance, network), decode)
        autoencoder = TorchAutoencoder(codec, 1)
        autoencoder.device = torch.device("cuda")
        assert at_a_time(autoencoder, (1, 8, 8)) == 11
        assert network.sizes == [3]
    assert at_a_time(autoencoder, (1, 8, 8), decoding=True) == 11
    assert network.sizes == [3, 1]
    assert asked == [(1, 8, 8)] * 3


def test_jobs_take_accelerators_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    used = list[int]()
    inference.place(3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    for job in range(4):
        inference.place(job)
    assert used == [0, 1, 0, 1]


@cuda
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_accelerator_gives_what_the_processor_gives(precision: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.Conv2d(8, 3, 3, padding=1))
    compute = lambda values: (network(values), None)  # noqa: E731
    images = np.random.default_rng(1).random((64, 3, 32, 32), dtype=np.float32)
    expected = Guarded(CPU, torch.float32).begin(images, compute)().arrays[0]
    network.to("cuda", memory_format=torch.channels_last)
    guarded = Guarded(torch.device("cuda"), getattr(torch, precision))
    begun = [guarded.begin(images[at : at + 16], compute) for at in range(0, 64, 16)]
    found = np.concatenate([one().arrays[0] for one in begun])
    np.testing.assert_allclose(found, expected, atol=1e-5 if precision == "float32" else 0.05)


@cuda
def test_what_was_copied_there_comes_back() -> None:
    transfer = Transfer(torch.device("cuda"))
    sent = [np.full((2, 3, 4, 4), number, np.float32) for number in range(50)]
    waited = [transfer.back(transfer.there(values)) for values in sent]
    for values, back in zip(sent, waited, strict=True):
        np.testing.assert_array_equal(back(), values)
