"""What the page of a small study shows beside tables, for the tests of the report."""

import numpy as np
import pandas as pd

from pipeline.report import Exhibits
from pipeline.report.origin import Check, Fold, Origin, Weights
from pipeline.report.preference import Choice, candidates, compare
from pipeline.report.remarkable import Remark
from pipeline.report.results import Results
from tests.report_further import AUTOENCODERS, DATASETS, GAPS
from tests.report_rows import FINDINGS, strip

RESULTS = Results.read(GAPS)
B = 200


def draws(spread: float = 0.02) -> dict[str, np.ndarray]:
    """Latent scores of the candidates, 1 + B each, that vary together and, by `spread`, each on its own."""
    generator = np.random.default_rng(4)
    common = 0.03 * generator.normal(size=B)
    found = {}
    for name, gap in AUTOENCODERS.items():
        found[name] = 0.84 - gap + np.concatenate([[0.0], common + spread * generator.normal(size=B)])
    return found


def choice(dataset: str, head: str, spread: float = 0.01, why_not: str = "") -> Choice:
    rows = tuple(candidates(RESULTS, head, dataset))
    return Choice(dataset, head, rows, None if why_not else compare(draws(spread)), why_not)


CHOICES = [
    *(choice("chest", "cnn"), choice("chest", "film", 0.2), choice("skin", "cnn", 0.2)),
    choice("skin", "film", why_not="is not shown to be above chance from images"),
]
CLASSWISE = pd.DataFrame(
    [
        {"dataset": dataset, "autoencoder": name, "space": space, "metric": "recall", "label": label}
        | {"value": value - (gap if space == "latent" else 0.0), "positives": count, "few": count < 20}
        for dataset in DATASETS
        for name, gap in {"identity": 0.0, **AUTOENCODERS}.items()
        for space in ("image", "reconstruction", "latent")
        for label, value, count in (("a", 0.9, 60.0), ("None", 0.7, 40.0), ("rare", 0.5, 9.0))
    ]
)
ORIGIN = Origin(
    config={"title": "A study", "seeds": [0], "datasets": {"chest": {"root": "(a path, not shown)"}}},
    software={"Python": "3.11", "torch": "2.15"},
    tables={"gap_table.csv": "ab" * 32},
    weights=(Weights("taesd", "diffusers-tiny", "cd" * 32, "taesd/x.safetensors", "owner/name", "ef" * 20, "MIT"),),
    folds={
        "chest": (Fold("fold 0", 61, 15, {"a": 31, "b": 30}), Fold("fold 1", 59, 14, {"a": 29, "b": 30})),
        "skin": (Fold("test", 60, 15, dict.fromkeys(FINDINGS, 30)),),
    },
    checks={
        "chest": (Check("patients in more than one fold", 0, True), Check("samples that stand there twice", 2, False)),
        "skin": (Check("patients in more than one fold", 0, True),),
    },
)
REMARKS = [
    Remark(
        "The worst reconstruction of each autoencoder", strip(name, "taesd"), ("taesd", "20.1 dB", "sample 0a1b2c3d")
    )
    for name in DATASETS
] + [Remark("The surest errors", strip("chest"), ("labelled a", "from latents: b 0.97", "sample 3d2c1b0a"))]
EXHIBITS = Exhibits(choices=CHOICES, remarks=REMARKS, classwise=CLASSWISE, origin=ORIGIN)
