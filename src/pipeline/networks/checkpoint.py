"""The state of a training that was ended, to go on from: one safetensors file, complete or not there at all."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, optim

from pipeline.files import write_atomically

NAME = "checkpoint.safetensors"
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """Where the state lies, and what it is the state of.

    Attributes:
        folder: this checkpoint's alone, away from the outputs of a job, which Snakemake deletes when it ends early.
        identity: hash of everything that the result depends on. Another one's state is never gone on from.
    """

    folder: Path
    identity: str

    def write(self, tensors: Tensors, progress: Mapping[str, Any]) -> None:
        """Write the state; numbers of `progress` come back exactly."""
        stored = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        metadata = {"identity": self.identity, "progress": json.dumps(progress)}
        write_atomically(self.folder / NAME, lambda path: save_file(stored, path, metadata))

    def read(self) -> tuple[Tensors, dict[str, Any]] | None:
        """Return the state to go on from; None, with a remark where there is one of something else or a damaged one."""
        path = self.folder / NAME
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no dict)
        except SafetensorError:
            sys.stderr.write(f"{path} cannot be read; training starts over\n")
            return None
        if metadata.get("identity") != self.identity:
            sys.stderr.write(f"{path} is of other images, weights, settings or code; training starts over\n")
            return None
        return tensors, json.loads(metadata["progress"])

    def remove(self) -> None:
        """Remove the state, and what a killed process may have left of another."""
        shutil.rmtree(self.folder, ignore_errors=True)


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the tensors with a prefix to their names."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def part(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """Undo `prefixed`."""
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


def moments(optimiser: optim.Optimizer) -> Tensors:
    """Return an optimiser's state, by the number of the parameter and the name of the moment."""
    state = optimiser.state_dict()["state"]
    return {f"{number}.{name}": value for number, named in state.items() for name, value in named.items()}


def restore_moments(optimiser: optim.Optimizer, tensors: Tensors) -> None:
    """Undo `moments`."""
    state: dict[int, Tensors] = {}
    for key, value in tensors.items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
