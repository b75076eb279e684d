"""An entry of the configuration for every family of autoencoders, and what reads it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import families
from pipeline.autoencoders import AutoencoderSpec
from tests import untrained

ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "resources" / "weights"
FLUX = "taef2/taef2.safetensors"

CONTROLS: dict[str, dict[str, Any]] = {
    "identity": {},
    "pixel-unshuffle": {"stride": 4},
    "orthogonal": {"stride": 4, "seed": 1},
    "lossy": {"stride": 4},
}
CODECS: dict[str, dict[str, Any]] = {"dct": {"stride": 4, "keep": 6}, "jpeg": {"quality": 75}}
SHIPPED = {f"diffusers-{name}": {"folder": str(WEIGHTS / name)} for name in ("kl", "vq", "tiny")}
FEATURES: dict[str, dict[str, Any]] = {"timm-features": {"model": "resnet10t", "weights": None, "seed": 0, "layer": 2}}
# What the last ones read is known only when a test runs.
UNTRAINED: dict[str, dict[str, Any]] = {family: {} for family in untrained.FAMILIES}
ENTRIES: dict[str, dict[str, Any]] = {**CONTROLS, **CODECS, **SHIPPED, **FEATURES, **UNTRAINED}
ENTRIES |= {"tae": {"weights": FLUX}, "onnx": {"encoder": "", "decoder": "", "encoder_range": [-1, 1]}}

RECIPES = {"finetuned"}
"""Families that say how to make an autoencoder, and have neither latents nor a codec: see test_finetune.py."""


def read(family: str, **options: object) -> AutoencoderSpec:
    """Return the specification of this family's entry with further options."""
    spec = families.spec("autoencoders", {"family": family, **ENTRIES[family], **options})
    assert isinstance(spec, AutoencoderSpec)
    return spec


def psnr(images: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Return the mean over images, in decibels for a peak of 1."""
    errors = np.square(images - others).mean(axis=(1, 2, 3))
    return float(-10 * np.log10(np.maximum(errors, 1e-10)).mean())
