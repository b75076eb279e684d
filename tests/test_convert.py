"""Pickles become safetensors once, and nothing that they ask to run is run."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipeline.convert import convert
from pipeline.errors import StudyError


def saved(folder: Path, content: Any, **options: Any) -> Path:  # noqa: ANN401
    torch.save(content, folder / "model.ckpt", **options)
    return folder / "model.ckpt"


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("old", [True, False])
def test_tensors_come_out_as_they_were(tmp_path: Path, nested: bool, old: bool) -> None:
    tensors = {"a.weight": torch.randn(3, 4), "b": torch.arange(5), "half": torch.randn(2).half()}
    content = {"epoch": 3, "state_dict": tensors} if nested else tensors
    checkpoint = saved(tmp_path, content, _use_new_zipfile_serialization=not old)
    convert(checkpoint, tmp_path / "out/model.safetensors")
    found = load_file(tmp_path / "out/model.safetensors")
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in tensors.items())


def test_shared_transposed_and_trainable_tensors_are_written_whole(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.randn(4, 6))
    content = {"one": weight, "two": weight, "turned": weight.T, "part": weight[1:2]}
    convert(saved(tmp_path, content), tmp_path / "model.safetensors")
    found = load_file(tmp_path / "model.safetensors")
    assert torch.equal(found["one"], found["two"])
    assert torch.equal(found["turned"], weight.detach().T)
    assert found["part"].shape == (1, 6)


def test_the_same_tensors_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    tensors = {name: torch.full((2, 2), number) for number, name in enumerate("cab")}
    convert(saved(tmp_path, tensors), tmp_path / "1.safetensors")
    convert(saved(tmp_path, dict(sorted(tensors.items()))), tmp_path / "2.safetensors")
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()


class Malicious:
    """Unpickling it would write a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("old", [True, False])
def test_nothing_in_a_malicious_pickle_runs(tmp_path: Path, old: bool) -> None:
    target = tmp_path / "ran"
    content = {"state_dict": {"a": torch.zeros(1), "b": Malicious(target)}}
    checkpoint = saved(tmp_path, content, _use_new_zipfile_serialization=not old)
    with pytest.raises(StudyError, match=r"it needs (posix|nt)\.system, and nothing that it names is run"):
        convert(checkpoint, tmp_path / "model.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.ckpt"]
    torch.load(checkpoint, weights_only=False)
    assert target.exists(), "the pickle would not have run anything"


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_bare_pickle_is_refused_and_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(pickle.dumps(Malicious(tmp_path / "ran")))
    with pytest.raises(StudyError, match=r"model\.ckpt"):
        convert(tmp_path / "model.ckpt", tmp_path / "model.safetensors")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04cut off", b"\x80\x02}q\x00."])
def test_what_is_no_checkpoint_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.ckpt").write_bytes(content)
    with pytest.raises(StudyError, match=r"model\.ckpt") as caught:
        convert(tmp_path / "model.ckpt", tmp_path / "model.safetensors")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        {},
        [torch.zeros(1)],
        {"a": 1},
        {"a": {"b": torch.zeros(1)}},
        {1: torch.zeros(1)},
        {"a": torch.eye(2).to_sparse()},
    ],
)
def test_what_holds_no_plain_tensors_by_name_is_refused(tmp_path: Path, content: Any) -> None:  # noqa: ANN401
    with pytest.raises(StudyError, match="by name"):
        convert(saved(tmp_path, content), tmp_path / "model.safetensors")


def test_the_command_line_that_refusals_name_works(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, {"a": torch.ones(2)})
    command = [sys.executable, "-m", "pipeline.convert", "--checkpoint", str(checkpoint), "--output"]
    wrong = subprocess.run([*command, "model.pt"], capture_output=True, text=True, cwd=tmp_path)
    assert wrong.stderr == "error: model.pt must end in .safetensors\n"
    subprocess.run([*command, "model.safetensors"], check=True, cwd=tmp_path)
    assert torch.equal(load_file(tmp_path / "model.safetensors")["a"], torch.ones(2))
