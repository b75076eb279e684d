"""Rows of a gap table, sample strips, and a page taken apart, for the tests of the report."""

import math
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd

from pipeline.report import Strip
from pipeline.report.results import INTERVALS

FINDINGS = [
    *("Infiltration", "Effusion", "Atelectasis", "Nodule", "Mass", "Pneumothorax", "Consolidation"),
    *("Pleural_Thickening", "Cardiomegaly", "Emphysema", "Edema", "Fibrosis", "Pneumonia", "Hernia"),
]
"""Those of NIH ChestX-ray14 (Wang et al., CVPR 2017)."""
VOID = {"meta", "img", "br", "hr", "input", "link"}


def row(dataset: str = "chest", autoencoder: str = "taesd", family: str = "taesd", **changes: object) -> dict[str, Any]:
    """One row of a gap table; a number given for an interval gets an interval of 0.02 to each side."""
    values: dict[str, Any] = {
        **{"dataset": dataset, "autoencoder": autoencoder, "family": family, "head": "cnn", "protocol": "matched"},
        **{"metric": "balanced_accuracy", "latent_shape": "4x16x16", "folds": 5, "seeds": 2, "patients": 90},
        **{"units": 110, "samples": 120, "compression_ratio": 12.0, "stored_bytes": 491520},
        **{"psnr": 31.5, "ssim": 0.91, "ms_ssim": 0.953, "ms_ssim_scales": 3},
        **{"lpips": math.nan, "rfid": math.nan, "rfid_samples": math.nan},
        **{"coded_bytes": math.nan, "float32_retries": 0},
        **{"mmse_ratio": math.nan, "fisher_ratio": math.nan, "fisher_rate_ratio": math.nan},
        **{"mmse_rate_ratio": math.nan, "tangential_distortion": math.nan, "fine_curvature": math.nan},
        **{"latent_data_curvature": math.nan},
        **{"image": 0.86, "reconstruction": 0.84, "latent": 0.76},
        **{"information_loss": 0.02, "learnability_gap": 0.08, "total": 0.10},
    }
    values |= changes
    for name in INTERVALS:
        values.setdefault(f"{name}_low", values[name] - 0.02)
        values.setdefault(f"{name}_high", values[name] + 0.02)
    return values


def identity(dataset: str = "chest", **changes: object) -> dict[str, Any]:
    exact = {"reconstruction": 0.86, "latent": 0.86, "psnr": math.inf, "ssim": 1.0}
    nothing = {
        name + end: 0.0 for name in ("information_loss", "learnability_gap", "total") for end in ("", "_low", "_high")
    }
    return row(dataset, "identity", "identity", **{**exact, **nothing, **changes})


def unscored(dataset: str = "scans", autoencoder: str = "taesd") -> dict[str, Any]:
    """What the table holds for a dataset that was only reconstructed."""
    empty: dict[str, object] = dict.fromkeys(
        [name + end for name in INTERVALS for end in ("", "_low", "_high")], math.nan
    )
    empty |= {"head": None, "metric": None, "protocol": None, "folds": math.nan, "seeds": math.nan}
    return row(dataset, autoencoder, "taesd", **empty)


def strip(
    dataset: str = "chest", autoencoder: str = "taesd", channels: int = 1, size: int = 24, sample: str = "a sample"
) -> Strip:
    rng = np.random.default_rng(3)
    image = rng.random((channels, size, size)).astype(np.float32)
    latent = rng.normal(size=(4, size // 8, size // 8)).astype(np.float32)
    return Strip(dataset, autoencoder, image, np.clip(image + 0.02, 0, 1).astype(np.float32), latent, sample)


STUDY = pd.DataFrame(
    [
        row(dataset, autoencoder, family, head=head, metric=metric, **changes)
        for dataset in ("chest", "skin")
        for autoencoder, family, changes in (
            ("taesd", "taesd", {}),
            ("sd-vae", "diffusers", {"latent": 0.83, "learnability_gap": 0.01, "total": 0.03}),
            ("shuffled", "pixel-unshuffle", {"psnr": math.inf, "information_loss": 0.0}),
        )
        for head in ("cnn", "knn")
        for metric in ("balanced_accuracy", "mcc")
    ]
    + [identity(dataset) for dataset in ("chest", "skin")]
    + [unscored()]
)
STRIPS = [strip("chest"), strip("chest", "identity"), strip("skin", channels=3), strip("skin", channels=3, sample="b")]


SUMMARY: dict[str, Any] = {
    "samples": 120,
    "patients": 30,
    "files": 122,
    "refused": {"the file is missing": 2},
    "warnings": {"BurnedInAnnotation is YES": 7},
    "notes": ["5 images are of other views"],
    "duplicates": 3,
    "merged_patients": 1,
    "task": "single-label",
    "split": "folds",
    "unlabelled": 0,
    "dropped": 0,
    "positive": {"a": 60, "b": 60},
    "contradictions": 0,
}


class Balanced(HTMLParser):
    """Fails on a tag that is closed out of order, and on an identifier that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "img":
            assert dict(attrs).get("alt"), "an image without a text"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def parsed(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    return parser


def cells(table: str) -> list[list[str]]:
    """The lines of a table as plain text."""
    lines = re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.DOTALL)
    return [[re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)] for line in lines]
