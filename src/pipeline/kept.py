"""What a job that trains several heads has finished, kept until the whole job is done."""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pipeline.files import write_atomically
from pipeline.heads import Fitted, Point

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Kept:
    """Trained heads below a folder that Snakemake, deleting the outputs of a job that ended early, does not know of.

    Attributes:
        folder: this job's alone.
        identity: hash of everything that the heads depend on. Those of another identity are not there for this one.
    """

    folder: Path
    identity: str

    def write(self, name: str, fitted: Fitted) -> None:
        """Keep a head; all of it comes back exactly."""
        # Not ascontiguousarray, which makes a vector of a single number.
        arrays = {name: np.asarray(array, order="C") for name, array in _arrays(fitted).items()}
        metadata = {
            "identity": self.identity,
            "curve": json.dumps(fitted.curve.to_dict("split")),
            "profile": json.dumps([(point.axis, point.at) for point in fitted.profile]),
        }
        write_atomically(self._path(name), lambda path: save_file(arrays, path, metadata))

    def read(self, name: str) -> Fitted | None:
        """Return a head that was kept; None where there is none, or it is damaged, or another identity's."""
        path = self._path(name)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
                arrays: Arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no dict)
        except SafetensorError:
            sys.stderr.write(f"{path} cannot be read; it is trained again\n")
            return None
        return _fitted(arrays, metadata) if metadata.get("identity") == self.identity else None

    def remove(self) -> None:
        """Remove everything, with what a killed process may have left."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def _arrays(fitted: Fitted) -> Arrays:
    arrays: Arrays = {"validation": fitted.validation, "test": fitted.test}
    arrays |= {f"tensor.{name}": np.asarray(value) for name, value in fitted.tensors.items()}
    if fitted.training is not None:
        arrays["training"] = fitted.training
    for number, point in enumerate(fitted.profile):
        arrays |= {f"profile.{number}.validation": point.validation, f"profile.{number}.test": point.test}
    return arrays


def _fitted(arrays: Arrays, metadata: dict[str, str]) -> Fitted:
    places = enumerate(json.loads(metadata["profile"]))
    return Fitted(
        validation=arrays["validation"],
        test=arrays["test"],
        tensors={name.removeprefix("tensor."): value for name, value in arrays.items() if name.startswith("tensor.")},
        curve=pd.DataFrame(**json.loads(metadata["curve"])),
        training=arrays.get("training"),
        profile=tuple(
            Point(axis, at, arrays[f"profile.{number}.validation"], arrays[f"profile.{number}.test"])
            for number, (axis, at) in places
        ),
    )
