"""The tables beside the gap table of a small study, for the tests of the report."""

import math
from typing import Any

import numpy as np
import pandas as pd

from pipeline.report import Further
from pipeline.report.further import COLUMNS
from tests import report_diffusability
from tests.report_rows import identity, row

DATASETS = ("chest", "skin")
AUTOENCODERS = {"taesd": 0.08, "sd-vae": 0.01, "flux": -0.05}
"""Candidates with their learnability gaps on `chest`."""
METRICS = ("balanced_accuracy", "auroc")
STAGES = {"taesd": 3, "sd-vae": 5, "flux": 5}

Records = list[dict[str, Any]]


def around(value: float, width: float = 0.02) -> dict[str, float]:
    return {"value": value, "low": value - width, "high": value + width}


def gap_rows() -> pd.DataFrame:
    """The gap table: a head of each kind, and one that does as was published."""
    rows: Records = []
    heads = {"published": "paper", "cnn": "matched", "film": "matched", "depths": "matched"}
    for dataset in DATASETS:
        for head, protocol in heads.items():
            for metric in METRICS:
                about: dict[str, Any] = {"head": head, "protocol": protocol, "metric": metric}
                rows.append(identity(dataset, **about))
                for name, gap in AUTOENCODERS.items():
                    cost = gap + (0.06 if protocol == "paper" else 0)
                    scores = {"latent": 0.84 - cost, "learnability_gap": cost, "total": cost + 0.02}
                    scores |= {"mmse_ratio": 2 + gap, "mmse_rate_ratio": 2 + gap, "fisher_ratio": 0.5 - gap}
                    scores |= {"fisher_rate_ratio": 0.3 - gap, "tangential_distortion": 0.5 + gap}
                    scores |= {"fine_curvature": 1.4 + gap, "latent_data_curvature": 3 - gap}
                    rows.append(row(dataset, name, "diffusers", **about, **scores))
    return pd.DataFrame(rows)


def _profile() -> Records:
    rows: Records = []
    for dataset in DATASETS:
        for metric in METRICS:
            for name, gap in AUTOENCODERS.items():
                cell = {"dataset": dataset, "autoencoder": name, "metric": metric}
                stages = STAGES[name]
                for at in range(stages + 1):
                    value = 0.84 - gap * (1 - at / stages) ** 2
                    rows.append({**cell, "head": "depths", "axis": "depth", "at": at, "quantity": "latent"})
                    rows[-1] |= around(value)
                for share in (0.125, 0.25, 0.5, 1.0):
                    lost = {"image": 0.0, "reconstruction": 0.02, "latent": gap + 0.02}
                    for space, less in lost.items():
                        value = 0.86 - less + 0.07 * math.log2(share)
                        rows.append({**cell, "head": "cnn", "axis": "fraction", "at": share, "quantity": space})
                        rows[-1] |= around(value)
                for at in (0.0, *np.geomspace(0.002, 80, 12)):
                    for space, less in {"image": 0.0, "latent": gap + 0.02}.items():
                        value = 0.5 + (0.36 - less) / (1 + (at / (0.5 + 4 * less)) ** 2)
                        rows.append({**cell, "head": "film", "axis": "noise", "at": at, "quantity": space})
                        rows[-1] |= around(value)
    return rows


def _complexity() -> Records:
    rows: Records = []
    ends = {"from_labels": 20.0, "to_labels": 160.0}
    for dataset in DATASETS:
        for name, gap in AUTOENCODERS.items():
            cell = {"dataset": dataset, "autoencoder": name, "head": "cnn", **ends}
            ratio = 2.0 ** ((gap + 0.02) / 0.07)
            for quantity in ("total", "learnability_gap"):
                about: dict[str, Any] = {"measure": "labels_ratio", "quantity": quantity, "metric": "balanced_accuracy"}
                of: dict[str, Any] = {"epsilon": math.nan, "share": 1.0}
                found = {"value": ratio, "low": 0.8 * ratio, "high": math.inf, "bound": "", "defined": 1.0}
                rows.append({**cell, **about, **of, "reference": "latent", **found})
                rows.append({**cell, **about, **of, "reference": "image", **found, "value": 1.0, "bound": ">"})
            about = {"measure": "surplus_description_length", "metric": "log_loss", "epsilon": 0.4, "share": math.nan}
            for quantity, nats in (("image", 10.0), ("reconstruction", 11.0), ("latent", 21.5), ("total", 11.5)):
                found = {"quantity": quantity, "reference": "", "bound": "", "defined": 1.0}
                rows.append({**cell, **about, **found, **around(nats, 2.0)})
    return rows


def _groups() -> Records:
    rows: Records = []
    for dataset in DATASETS:
        for name, gap in AUTOENCODERS.items():
            for group, classes, more in (("head", 2, 0.0), ("medium", 1, 0.02), ("tail", 3, 0.06)):
                values = row(dataset, name, learnability_gap=gap + more)
                values |= {"group": group, "metric": "recall", "classes": classes, "folds": 5}
                rows.append({key: value for key, value in values.items() if key in sum(COLUMNS["groups"], ())})
    return rows


def _reliability() -> Records:
    rows: Records = []
    for dataset in DATASETS:
        for name in AUTOENCODERS:
            for space, off in (("image", 0.02), ("reconstruction", 0.03), ("latent", 0.10)):
                for number in range(6, 16):
                    sure = (number - 0.5) / 15
                    bins = {"bin": number, "above": (number - 1) / 15, "upto": number / 15}
                    found = {"confidence": sure, "accuracy": sure - off, "count": 10 * number}
                    rows.append({"dataset": dataset, "autoencoder": name, "head": "cnn", "space": space} | bins | found)
    return rows


def _initialisation() -> Records:
    rows: Records = []
    for dataset in DATASETS:
        for name, gap in AUTOENCODERS.items():
            values = {
                "gain_pretrained_image": ("cnn-pretrained", "image", "cnn", "image", 0.05),
                "gain_pretrained_latent": ("cnn-pretrained", "latent", "cnn", "latent", 0.03),
                "scratch_total": ("cnn", "image", "cnn", "latent", gap),
                "pretrained_total": ("cnn-pretrained", "image", "cnn-pretrained", "latent", gap + 0.02),
                "mixed_total": ("cnn-pretrained", "image", "cnn", "latent", gap + 0.05),
            }
            for quantity, (head, space, other, other_space, value) in values.items():
                about = {"head": head, "space": space, "other_head": other, "other_space": other_space}
                cell = {"dataset": dataset, "autoencoder": name, "metric": "balanced_accuracy", "quantity": quantity}
                rows.append({**cell, **about, **around(value)})
    return rows


def _correlations() -> Records:
    caution = "6 pairs of data set and autoencoder are too few for a rank correlation to be trusted."
    counts = {"smallest_p": 1 / 36, "cells": 6, "datasets": 2, "caution": caution}
    named = (("dimension_two_nearest", "latent", 0.9, 0.004), ("psnr", "", -0.4, 0.31))
    ends = {"low": math.nan, "high": math.nan}
    return [
        {"head": "cnn", "metric": "balanced_accuracy", "quantity": quantity, "covariate": covariate, "space": space}
        | {"rho": rho - 0.1, "rho_within": rho, "p": p, "p_holm": 2 * p, **ends, **counts}
        for quantity in ("learnability_gap", "information_loss")
        for covariate, space, rho, p in named
    ]


def _covariates() -> Records:
    return [
        {"dataset": dataset, "autoencoder": name, "space": "latent", "covariate": "dimension_two_nearest"}
        | {"value": 8 + 30 * gap + place}
        for place, dataset in enumerate(DATASETS)
        for name, gap in AUTOENCODERS.items()
    ]


def _cost() -> Records:
    measured = {"device": "cpu", "threads": 4, "precision": "float32", "batch": 32, "parameters": 5e6}
    measured |= {"multiply_accumulates": 2e7, "shape": "4x16x16", "training_peak_bytes_ratio": 6.5}
    ratios = {"inference_per_second_ratio": 12.3, "training_per_second_ratio": 7.7, "stored_bytes_ratio": 48.0}
    return [
        {"dataset": dataset, "autoencoder": name, "head": "cnn", "space": "latent"} | measured | ratios
        for dataset in DATASETS
        for name in AUTOENCODERS
    ]


GAPS = gap_rows()
FURTHER = Further(
    profile=pd.DataFrame(_profile()),
    complexity=pd.DataFrame(_complexity()),
    groups=pd.DataFrame(_groups()),
    reliability=pd.DataFrame(_reliability()),
    initialisation=pd.DataFrame(_initialisation()),
    correlations=pd.DataFrame(_correlations()),
    diffusability=report_diffusability.diffusability(),
    diffusability_summary=report_diffusability.summary(),
    encoder_geometry=report_diffusability.geometry(),
    class_information=report_diffusability.information(),
    covariates=pd.DataFrame(_covariates()),
    cost=pd.DataFrame(_cost()),
)
