"""Published layouts at their full size reach the table: Stable Diffusion 1.4, FLUX.1, FLUX.2, MedVAE and a DC-AE.

The networks have random weights in half precision, so that what they make of an image means nothing: that they are
read, encode, decode and are measured, scored and tabulated is what is tested. FLUX.2 is here in its packed space; that
its raw one has 32 x 8 x 8 values is tested with the layouts themselves.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.latent_diffusion import random_weights
from tests.published import PUBLISHED, save
from tests.studies import checkout, configure, run

SIZE, PATIENTS = 64, 3
FOLDERS = {
    "sd14": "CompVis/stable-diffusion-v1-4/vae",
    "flux1": "black-forest-labs/FLUX.1-dev/vae",
    "flux2": "black-forest-labs/FLUX.2-dev/vae",
    "dc-ae": "mit-han-lab/dc-ae-f32c32-sana-1.0-diffusers",
}
# The table of released models in mit-han-lab's repository: 312 million weights.
DEEP = {
    "encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024],
    "decoder_block_out_channels": [128, 256, 512, 512, 1024, 1024],
    "encoder_layers_per_block": [2, 2, 2, 3, 3, 3],
    "decoder_layers_per_block": [3, 3, 3, 3, 3, 3],
}
SHAPES = {
    "identity": "1x64x64",
    "sd14": "4x8x8",
    "flux1": "16x8x8",
    "flux2-packed": "128x4x4",
    "medvae-4x1": "1x16x16",
    "dc-ae": "32x2x2",
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pd.DataFrame]:
    """The gap table; the weights do not outlive the tests, as pytest keeps the last three folders."""
    folder = checkout(tmp_path_factory.mktemp("published"))
    draw(folder / "images")
    configure(folder, study(folder))
    run(folder)
    yield pd.read_csv(folder / "results/gap_table.csv")
    shutil.rmtree(folder)


def draw(folder: Path) -> None:
    """Write an image for each patient of each of two classes."""
    random = np.random.default_rng(0)
    for label, level in {"dim": 70, "bright": 120}.items():
        for patient in range(PATIENTS):
            place = folder / label / f"{label}-{patient}"
            place.mkdir(parents=True)
            Image.fromarray(random.normal(level, 30, (SIZE, SIZE)).clip(0, 255).astype(np.uint8)).save(place / "0.png")


def study(folder: Path) -> dict[str, Any]:
    """Write the weights and return a study of them."""
    entries: dict[str, Any] = {"identity": {"family": "identity"}}
    for name, repository in FOLDERS.items():
        family, _, configuration = PUBLISHED[repository]
        save(configuration | (DEEP if name == "dc-ae" else {}), folder / "weights" / name)
        entries[name] = {"family": family, "folder": f"weights/{name}"}
    entries["flux2-packed"] = entries.pop("flux2") | {"space": "packed"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tensors = random_weights(channels=1, latent=1, widths=(128, 256, 512))
    save_file({key: value.half() for key, value in tensors.items()}, folder / "weights/medvae_4x1.safetensors")
    entries["medvae-4x1"] = {"family": "medvae", "weights": "weights/medvae_4x1.safetensors"}
    images = {"family": "folders", "root": "images", "pixels": {"size": SIZE}, "classes": ["dim", "bright"], "folds": 3}
    head = {"family": "knn", "grid": 2, "neighbours": [1]}
    return {"replicates": 100, "datasets": {"blobs": images}, "autoencoders": entries, "heads": {"knn": head}}


@pytest.mark.parametrize("name", SHAPES)
def test_a_published_layout_reaches_the_table(table: pd.DataFrame, name: str) -> None:
    rows = table[table["autoencoder"] == name]
    assert set(rows["metric"]) == {"balanced_accuracy", "mcc", "auroc"}
    assert set(rows["latent_shape"]) == {SHAPES[name]}
    assert (rows["samples"] == 2 * PATIENTS).all()
    assert rows[["image", "reconstruction", "latent", "learnability_gap"]].notna().all(axis=None)
    if name == "identity":
        assert (rows["psnr"] == np.inf).all()
    else:
        assert rows["psnr"].between(1, 40).all()
        assert rows["ssim"].between(-1, 1).all()


def test_no_other_row_is_there(table: pd.DataFrame) -> None:
    assert set(table["autoencoder"]) == set(SHAPES)
