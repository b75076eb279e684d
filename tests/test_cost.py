"""Costs against closed forms: counts to the number, memory within what an allocator adds, ratios round by round."""

import copy
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from pipeline import costing
from pipeline.cost import SIZES, summarised, tabulate
from pipeline.costing import Place, measured, throughput
from pipeline.costs import Cost
from pipeline.folds import Split
from pipeline.heads import ALONE, Fitted, HeadSpec, Space, Support
from pipeline.heads.knn import Spec as Neighbours
from pipeline.heads.linear import Spec as Linear
from pipeline.networks.cost import Setting, Steps, kept_bytes, multiply_accumulates, parameters, peaks
from pipeline.plan import Plan
from pipeline.store import Layout, lay_out
from pipeline.study import Study
from tests.studies import STUDY, configure, plan, tiny

CPU = torch.device("cpu")
CONVOLUTION = nn.Conv2d(3, 8, 3, padding=1)
GROUPED = nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=4, bias=False)
LINEAR = nn.Linear(5, 7)


class Attention(nn.Module):
    """Scaled dot products of 12 x 12 cells with four heads of eight values."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).reshape(len(x), 4, 8, 144).transpose(2, 3)
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


@pytest.mark.parametrize(
    ("network", "shape", "expected"),
    [
        (CONVOLUTION, (3, 10, 12), 10 * 12 * 8 * 3 * 9),
        (GROUPED, (8, 10, 12), 5 * 6 * 16 * 2 * 9),
        (nn.Sequential(nn.Flatten(), LINEAR), (5, 1, 1), 5 * 7),
        (Attention(), (32, 12, 12), 4 * 2 * 144 * 144 * 8),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), CONVOLUTION, CONVOLUTION.__class__(8, 1, 1)), (3, 4, 4), 16 * 224),
    ],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_multiply_accumulates_are_those_of_paper_and_pencil(
    network: nn.Module, shape: tuple[int, int, int], expected: int, batch: int
) -> None:
    assert multiply_accumulates(network, (torch.zeros(batch, *shape),)) == expected


def test_parameters_are_those_that_are_trained() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(5, 7))
    assert parameters(network) == (3 * 9 * 8 + 8) + 16 + (35 + 7)
    network[2].requires_grad_(False)
    assert parameters(network) == (3 * 9 * 8 + 8) + 16


class Twice(nn.Module):
    """Two products of the same values, which keep them once."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(10, 4, bias=False), nn.Linear(10, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return self.a(flat) + self.b(flat)


@pytest.mark.parametrize(
    ("network", "shape", "values"),
    [
        # Each keeps its input; a rectifier keeps what it gives, which is the next one's input.
        (nn.Conv2d(3, 8, 3, padding=1), (3, 8, 8), 3 * 64),
        (nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1)), (3, 8, 8), 3 * 64 + 8 * 64),
        (nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.Conv2d(8, 2, 1)), (3, 8, 8), 3 * 64 + 2 * 8 * 64),
        (Twice(), (10, 1, 1), 10),
    ],
)
def test_what_is_kept_for_the_backward_pass_grows_by_the_activations(
    network: nn.Module, shape: tuple[int, int, int], values: int
) -> None:
    assert kept_bytes(network, (torch.zeros(2, *shape),), (torch.zeros(5, *shape),)) == 4 * values


class Conditioned(nn.Module):
    conditioned = True

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.layer(x.flatten(1)) * sigma[:, None]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_network_that_is_told_of_noise_is_told(precision: str) -> None:
    setting = Setting((1, 2, 2), 3, 4, precision)
    assert [tuple(tensor.shape) for tensor in setting.inputs(Conditioned(), CPU)] == [(4, 1, 2, 2), (4,)]
    assert len(setting.inputs(nn.Flatten(), CPU)) == 1
    steps = Steps(Conditioned(), setting, CPU)
    before = steps.network.get_parameter("layer.weight").clone()
    steps.infer()
    assert torch.equal(steps.network.get_parameter("layer.weight"), before)
    steps.train()
    assert not torch.equal(steps.network.get_parameter("layer.weight"), before)


def test_networks_take_turns_and_each_rate_is_its_own_samples_by_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[tuple[int, int]] = []

    def seconds(steps: Steps, step: object, count: int) -> float:
        turns.append((id(steps), count))
        return count * (0.1 if steps is fast else 0.4)

    monkeypatch.setattr(Steps, "seconds", seconds)
    fast, slow = (Steps(Twice(), Setting((10, 1, 1), 2, 8, "float32"), CPU) for _ in range(2))
    found = throughput([fast, None, slow], 8, 3)
    assert found[0] == {"inference": pytest.approx([80] * 3), "training": pytest.approx([80] * 3)}
    assert found[2]["training"] == pytest.approx([20] * 3)
    assert [place for place, _ in turns[-8:]] == [id(fast)] * 2 + [id(slow)] * 2 + [id(fast)] * 2 + [id(slow)] * 2
    assert dict(turns) == {id(fast): 3, id(slow): 1}


LARGE = Setting((1, 64, 64), 2, 2048, "float32")
VALUES = 2048 * 64 * 64 * 4


class Wide(nn.Module):
    """Three copies of the input on the way, of which training keeps all and inference two at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.end = nn.Linear(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.end.weight[0, 0]
        return self.end((x * scale).exp().exp().mean(dim=(2, 3)))


def peaks_of_wide(_: str, __: object, ___: object) -> dict[str, float]:
    return peaks(Wide, LARGE)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process its peak")
def test_peak_memory_is_that_of_the_tensors_that_are_alive_at_once() -> None:
    found = costing.alone(peaks_of_wide, "", None, None)
    # Inference: the input, which lies beside what it was made from, and two results at a time. Training: the input and
    # three results, and on the way back two gradients more.
    assert found["inference"] == pytest.approx(3 * VALUES, rel=0.2)
    assert 4 * VALUES * 0.9 < found["training"] < 7 * VALUES
    assert found["training"] > found["inference"] + 0.8 * VALUES


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no accelerator")
def test_peak_memory_of_an_accelerator_is_what_torch_allocates_there() -> None:
    found = costing.alone(peaks_of_wide, "", None, None)
    assert found["inference"] == pytest.approx(3 * VALUES, rel=0.1)
    assert 4 * VALUES * 0.9 < found["training"] < 7 * VALUES


class Head(HeadSpec):
    """A convolution and an average, in any space."""

    family: Literal["tiny"] = "tiny"
    side: int | None = None

    def network(self, space: Space) -> nn.Module:
        first = nn.Conv2d(space.values.shape[1], 4, 3, padding=1)
        return nn.Sequential(first, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, space.classes))

    def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
        raise NotImplementedError


IMAGE, LATENT = Place((1, 32, 32), 1, True, 3, True), Place((4, 8, 8), 4, False, 3, True)
QUICK = Cost(batch=8, rounds=2)


@pytest.fixture
def same_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of their own are tested elsewhere."""
    monkeypatch.setattr(costing, "alone", lambda *_: {"inference": 10.0, "training": 20.0})
    monkeypatch.setattr(costing, "TURN", 0.001)


@pytest.mark.usefixtures("same_memory")
def test_a_network_is_measured_at_the_size_that_it_sees() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    image, latent = measured(Head(), [IMAGE, LATENT], QUICK)
    assert image["parameters"] == 9 * 4 + 4 + 15
    assert latent["parameters"] == 4 * 9 * 4 + 4 + 15
    assert image["multiply_accumulates"] == 32 * 32 * 36 + 12
    assert latent["multiply_accumulates"] == 8 * 8 * 144 + 12
    assert [len(speeds) for speeds in image["rounds"].values()] == [2, 2]
    assert (image["device"], image["batch"], image["precision"]) == (expected, 8, "float32")
    half, same = measured(Head(side=16), [IMAGE, LATENT], QUICK)
    assert half["multiply_accumulates"] == 16 * 16 * 36 + 12
    assert same["multiply_accumulates"] == latent["multiply_accumulates"]


@pytest.mark.parametrize("spec", [Linear(family="linear", grid=4), Neighbours(family="knn", grid=4, neighbours=[5])])
def test_a_probe_is_measured_by_what_it_predicts_and_by_its_features(spec: HeadSpec) -> None:
    image, latent = measured(spec, [IMAGE, LATENT], QUICK)
    assert (image["feature_bytes"], latent["feature_bytes"]) == (8 * 16, 8 * 64)
    assert all(speed > 0 for speed in image["rounds"]["inference"])
    assert list(image["rounds"]) == ["inference"]


class BySpace(HeadSpec):
    """A network for pixels and a probe for latents."""

    family: Literal["by-space"] = "by-space"
    pixels: Head = Head()
    latents: Linear = Linear(family="linear", grid=4)

    def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
        raise NotImplementedError


@pytest.mark.usefixtures("same_memory")
def test_of_an_entry_with_a_head_for_each_space_the_one_that_is_used_is_measured() -> None:
    image, latent = measured(BySpace(), [IMAGE, LATENT], QUICK)
    assert image["parameters"] == 9 * 4 + 4 + 15
    assert "parameters" not in latent
    assert latent["feature_bytes"] == 8 * 64
    ratios = summarised([image, latent])[1]
    assert ratios["inference_per_second_ratio"] > 0
    assert "training_per_second_ratio" not in ratios


def test_ratios_are_of_the_same_round_and_above_one_where_a_space_is_cheaper() -> None:
    images = {"rounds": {"inference": [10.0, 20.0, 40.0]}, "stored_bytes": 4096.0, "activation_bytes": 600.0}
    space = {"rounds": {"inference": [30.0, 60.0, 40.0]}, "stored_bytes": 1024.0, "activation_bytes": 0.0}
    first, second = summarised([images, space])
    assert (first["inference_per_second"], first["inference_per_second_ratio"]) == (20, 1)
    assert (second["inference_per_second"], second["inference_per_second_ratio"]) == (40, 3)
    assert (first["stored_bytes_ratio"], second["stored_bytes_ratio"]) == (1, 4)
    assert math.isnan(second["activation_bytes_ratio"])
    assert math.isnan(second["training_peak_bytes_ratio"])


def spaces(folder: Path) -> list[dict[str, Any]]:
    """Lay out the stores of two data sets of the same shapes, with no shard in them."""
    shapes = {"image": (1, 16, 16), "latent": (4, 4, 4), "again": (4, 4, 4)}
    for name, shape in shapes.items():
        lay_out(folder / f"{name}.zarr", Layout(4, shape, 1, "float32", {}))
    return [
        {
            **{"dataset": dataset, "autoencoder": name, "space": "image" if name == "image" else "latent"},
            **{"store": str(folder / f"{name}.zarr"), "classes": 3, "exclusive": True},
        }
        for dataset in ("a", "b")
        for name in shapes
    ]


def test_equal_shapes_are_measured_once_and_every_space_has_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[Place]] = []

    def fake(_: HeadSpec, places: list[Place], __: Cost) -> list[dict[str, Any]]:
        asked.append(places)
        return [{"parameters": math.prod(place.shape), "rounds": {"inference": [1.0]}} for place in places]

    monkeypatch.setattr("pipeline.cost.measured", fake)
    table = tabulate("net", Head(), spaces(tmp_path), QUICK)
    assert asked == [[Place((1, 16, 16), 1, True, 3, True), Place((4, 4, 4), 4, False, 3, True)]]
    assert list(table["dataset"]) == ["a"] * 3 + ["b"] * 3
    assert list(table["autoencoder"]) == ["image", "latent", "again"] * 2
    assert list(table["parameters"]) == [256, 64, 64] * 2
    assert list(table["stored_bytes"]) == [1024, 256, 256] * 2
    assert list(table["stored_bytes_ratio"]) == [1, 4, 4] * 2
    assert {f"{name}_ratio" for name in SIZES} <= set(table.columns)


def test_a_head_of_another_kind_is_not_measured(tmp_path: Path) -> None:
    class Other(HeadSpec):
        family: Literal["other"] = "other"

        def fit(self, space: Space, split: Split, seed: int, support: Support = ALONE) -> Fitted:
            raise NotImplementedError

    table = tabulate("other", Other(), spaces(tmp_path), QUICK)
    assert list(table["stored_bytes_ratio"]) == [1, 4, 4] * 2
    assert table[["parameters", "inference_per_second", "feature_bytes", "device"]].isna().all(axis=None)


def test_the_program_writes_the_table(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.cost", "--head", "near", "--spec", '{"family": "knn", "grid": 2}']
    command += ["--settings", '{"batch": 4, "rounds": 1}', "--spaces", json.dumps(spaces(tmp_path))]
    done = subprocess.run(
        [*command, "--table", str(tmp_path / "cost.csv")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "cost.csv")
    assert set(table["head"]) == {"near"}
    assert list(table["shape"][:2]) == ["1x16x16", "4x4x4"]
    assert (table["batch"] == 4).all()
    np.testing.assert_allclose(table["inference_per_second_ratio"][[0, 3]], 1)


def test_costs_need_stores_that_are_laid_out_and_no_values(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    study = copy.deepcopy(STUDY) | {"cost": {"batch": 4, "rounds": 1}}
    study["heads"]["few"] = {"family": "linear", "grid": 2, "autoencoders": ["identity"]}
    configure(folder, study)
    jobs = plan(folder, "results/cost.csv")
    assert (jobs["cost"], jobs["lay_out_latents"]) == (2, 1)
    assert not {"normalize", "encode", "decode"} & set(jobs)
    entries = Plan(Study(study)).costed("knn")
    assert [(entry["autoencoder"], entry["space"]) for entry in entries] == [("identity", "image"), ("lossy", "latent")]
    assert [entry["autoencoder"] for entry in Plan(Study(study)).costed("few")] == ["identity"]
