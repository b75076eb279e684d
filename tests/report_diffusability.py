"""The tables of diffusability of a small study, for the tests of the report."""

import math
from typing import Any

import pandas as pd

from pipeline.correlate import DIFFUSABILITY

SPACES = {"identity": 1.0, "taesd": 2.0, "sd-vae": 1.2, "flux": 3.0}
"""How much harder than pixels each space is to denoise."""
DATASETS = ("chest", "skin")
LEVELS = (0.1, 0.5, 2.0)
DOUBTFUL = ("chest", "taesd", 0.1)
"""Where the denoiser `gaussian` contradicts itself; `unet` does so everywhere."""
DENOISERS = ("gaussian", "unet")


def disagreement(denoiser: str, dataset: str, name: str, sigma: float) -> float:
    return 0.28 if denoiser == "unet" or (dataset, name, sigma) == DOUBTFUL else 0.02


def diffusability() -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for denoiser in DENOISERS:
        for dataset in DATASETS:
            for name, factor in SPACES.items():
                for sigma in LEVELS:
                    cell = {"dataset": dataset, "autoencoder": name, "denoiser": denoiser, "sigma": sigma}
                    values = {"fisher_score": 1 / (factor * sigma**2), "fisher_rate": 1 / (factor * sigma**4)}
                    values |= {"mmse_rate": 0.1 * factor / (1 + sigma), "mmse": 0.1 * factor * sigma**2}
                    for quantity, value in values.items():
                        found = {"value": 100 * value, "standard_error": 5 * value, "per_latent_dimension": value}
                        rows.append({**cell, "quantity": quantity, **found})
                    quality = {"disagreement": disagreement(denoiser, dataset, name, sigma), "asymmetry": 0.001}
                    for quantity, value in quality.items():
                        found = {"value": value, "standard_error": math.nan, "per_latent_dimension": math.nan}
                        rows.append({**cell, "quantity": quantity, **found})
    return pd.DataFrame(rows)


def summary() -> pd.DataFrame:
    rows = []
    for denoiser in DENOISERS:
        for dataset in DATASETS:
            for name, factor in SPACES.items():
                worst = max(disagreement(denoiser, dataset, name, sigma) for sigma in LEVELS)
                ratios = {"mmse_ratio": factor, "mmse_rate_ratio": factor, "fisher_ratio": 1 / factor}
                about = {"dataset": dataset, "autoencoder": name, "denoiser": denoiser}
                quality = {"fisher_rate_ratio": 1 / factor, "disagreement": worst, "asymmetry": 0.001}
                rows.append({**about, **ratios, **quality})
    return pd.DataFrame(rows)


def geometry() -> pd.DataFrame:
    values = {"compression": 12.0, "tangential_distortion": 0.5, "fine_curvature": 1.4, "data_curvature": 2.0}
    values |= {"latent_data_curvature": 3.0}
    return pd.DataFrame(
        [
            {"dataset": dataset, "autoencoder": name, "quantity": quantity, "standard_error": error}
            | {"value": math.nan if (name, quantity) == ("flux", "fine_curvature") else value}
            for dataset in DATASETS
            for name in SPACES
            for quantity, value in values.items()
            for error in [math.nan if quantity == "compression" else 0.1]
        ]
    )


def information() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"dataset": "chest", "autoencoder": name, "head": "film", "quantity": quantity, "sigma": sigma}
            | {"value": value, "standard_error": 0.02}
            for name in ("identity", "taesd")
            for sigma in LEVELS
            for quantity, value in {"information": 0.5 / (1 + sigma), "information_integrated": 0.7 / sigma}.items()
        ]
    )


def correlations() -> list[dict[str, Any]]:
    counts = {"smallest_p": 1 / 36, "cells": 6, "datasets": 2, "caution": ""}
    found = {"rho": 0.4, "rho_within": 0.5, "low": -0.2, "high": 0.9, "p": 0.2, "p_holm": 1.0}
    return [
        {"head": "cnn", "metric": "balanced_accuracy", "quantity": quantity, "covariate": name, "space": ""}
        | {**found, **counts}
        for quantity in ("learnability_gap", "information_loss")
        for name in DIFFUSABILITY
    ]
