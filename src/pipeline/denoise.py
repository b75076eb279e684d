"""Stage denoise: one denoiser in the latents of one autoencoder, and how well it does on held-out samples."""

import argparse
import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from pipeline import families, fisher, sources
from pipeline.denoisers import LOSS_LEVELS, DenoiserSpec, Fitted, Space, Support
from pipeline.ending import ending
from pipeline.errors import StudyError
from pipeline.files import sha256, write_atomically
from pipeline.held_out import space
from pipeline.program import run
from pipeline.store import check

SAMPLES = 256
"""Held-out samples at most, of which the loss is written down."""


def read_spec(text: str) -> DenoiserSpec:
    """Read one denoiser's entry of the configuration."""
    spec = families.spec("denoisers", json.loads(text))
    if not isinstance(spec, DenoiserSpec):
        raise StudyError(f"{type(spec).__module__}.Spec is not a DenoiserSpec")
    return spec


def identity(spec: DenoiserSpec, index: Path, manifests: Sequence[Path], fold: int) -> str:
    """Return a hash of everything that the result depends on, so that no state of another training is gone on with."""
    code = sources.files("pipeline.denoise", families.module_name("denoisers", spec.family))
    made_from = {
        "spec": spec.model_dump(mode="json"),
        "files": [sha256(path) for path in (index, *manifests)],
        "code": [sources.meaning(path) for path in code],
        "fold": fold,
        "torch": version("torch"),
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def held_out(fitted: Fitted, space: Space) -> pd.DataFrame:
    """Return `sigma`, `loss`, `standard_error` and `samples`: squared errors, in units of the space's variance."""
    groups = space.patients[space.held_out]
    shares = np.full(len(groups), 1 / len(groups))
    lines = [
        (sigma, *fisher.mean(errors, groups, shares)) for sigma, errors in zip(LOSS_LEVELS, fitted.errors, strict=True)
    ]
    return pd.DataFrame(lines, columns=["sigma", "loss", "standard_error"]).assign(samples=len(groups))


def main() -> None:
    """Fit one denoiser and write its weights, its held-out loss at each noise level, and its curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="the denoiser's entry of the configuration as JSON")
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--manifests", type=Path, nargs="+", required=True)
    parser.add_argument("--fold", type=int, required=True, help="the fold that is not seen")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--curve", type=Path, required=True)
    parser.add_argument("--unfinished", type=Path, required=True, help="folder for what an ended job has finished")
    asked = parser.parse_args()
    spec = read_spec(asked.spec)
    check(asked.store, asked.manifests)
    data = space(asked.store, pd.read_parquet(asked.index), asked.fold, SAMPLES)
    with ending() as ended:
        made_from = identity(spec, asked.index, asked.manifests, asked.fold)
        fitted = spec.fit(data, Support(asked.unfinished, made_from, ended))
    tensors = {name: np.asarray(value, order="C") for name, value in sorted(fitted.tensors.items())}
    write_atomically(asked.weights, lambda path: save_file(tensors, path))
    for path, table in ((asked.held_out, held_out(fitted, data)), (asked.curve, fitted.curve)):
        write_atomically(path, lambda to, table=table: table.to_csv(to, index=False, float_format="%.9g"))  # type: ignore[misc]


if __name__ == "__main__":
    run(main)
