"""A small data set whose images are encoded by the program's own code, for the stages that remove noise."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pipeline.encode import Target, encode, lay_out_latents, read_spec
from pipeline.store import Layout, Rows, lay_out, to_grid, write_shard

Images = NDArray[np.float32]


def smooth(count: int, side: int = 16, seed: int = 0) -> Images:
    """Return images of random waves, of which the slow ones are strong."""
    random = np.random.default_rng([seed, count])
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    filtered = np.fft.fft2(random.normal(size=(count, side, side))) / (0.05 + frequencies)
    values = np.fft.ifft2(filtered).real
    return np.clip(0.5 + 0.15 * values / values.std(), 0, 1)[:, None].astype(np.float32)


def index(count: int, each: int = 2, folds: int = 3, labelled: bool = True) -> pd.DataFrame:
    """Return an index of usable samples, each patient's in one fold."""
    patients = np.arange(count) // each
    columns: dict[str, Any] = {"patient": [f"p{number}" for number in patients], "usable": True}
    if labelled:
        columns |= {"fold": patients % folds, "label:a": (patients // folds % 2).astype(np.int8)}
        columns |= {"label:b": 1 - columns["label:a"]}
    return pd.DataFrame(columns)


def stored(folder: Path, images: Images) -> Path:
    """Write images as a store of one shard, and their index."""
    store = folder / "images.zarr"
    lay_out(store, Layout(len(images), images.shape[1:], 1, "uint16", {"kind": "pixels"}))  # type: ignore[arg-type]
    write_shard(store, 0, to_grid(images), {}).write(folder / "images/0.json")
    index(len(images)).to_parquet(folder / "index.parquet")
    return store


def encoded(folder: Path, name: str, entry: dict[str, Any]) -> Path:
    """Encode the images of a folder as stage `encode` does, and return the store."""
    spec, images, store = read_spec(json.dumps(entry)), folder / "images.zarr", folder / f"{name}.zarr"
    lay_out_latents(images, spec, 1, store)
    target = Target(store, 0, folder / f"{name}/0.safetensors")
    rows = Rows(images)
    encode(rows, target, spec.load_for(rows.shape), 16, {}).write(folder / f"{name}/0.json")
    return store


def program(monkeypatch: pytest.MonkeyPatch, main: Callable[[], None], options: dict[str, object]) -> None:
    """Run a stage's program with these options in this process."""
    line = [main.__module__]
    for name, value in options.items():
        line += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    monkeypatch.setattr(sys, "argv", line)
    main()


def fitted(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, entry: dict[str, Any]) -> Path:
    """Fit a denoiser to encoded images by its program, and return its folder."""
    from pipeline import denoise

    made = folder / name / entry["family"]
    options = {"spec": json.dumps(entry), "fold": 0, **_space(folder, name), "weights": made / "weights.safetensors"}
    options |= {"held-out": made / "held_out.csv", "curve": made / "curve.csv", "unfinished": made / "unfinished"}
    program(monkeypatch, denoise.main, options)
    return made


def measured(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, entry: dict[str, Any], settings: dict[str, Any]
) -> pd.DataFrame:
    """Measure encoded images with a fitted denoiser by the program, and return the table."""
    from pipeline import diffusability

    made = folder / name / entry["family"]
    options = {"dataset": "d", "autoencoder": name, "denoiser": entry["family"], "spec": json.dumps(entry)}
    options |= {"settings": json.dumps(settings), "fold": 0, **_space(folder, name)}
    options |= {"weights": made / "weights.safetensors", "diffusability": made / "diffusability.csv"}
    program(monkeypatch, diffusability.main, options)
    return pd.read_csv(made / "diffusability.csv")


def _space(folder: Path, name: str) -> dict[str, object]:
    return {
        "index": folder / "index.parquet",
        "store": folder / f"{name}.zarr",
        "manifests": [folder / f"{name}/0.json"],
    }
