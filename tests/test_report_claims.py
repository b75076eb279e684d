"""What the report says of the study as a whole."""

import math
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import StudyError
from pipeline.report import claims, render, text
from tests.report_rows import STUDY, cells, parsed

CLAIMS = pd.DataFrame(
    [
        {"level": level, "dataset": dataset, "autoencoder": name, "head": "cnn", "metric": "balanced_accuracy"}
        | {"quantity": quantity, "value": 0.045, "low": low, "high": 0.08, "datasets": 4, "cells": 20, "p_holm": p_holm}
        | {"units": "drawn: 2 data sets, 5 folds, patients; a single seed", **signs}
        for quantity, low in (("information_loss", -0.01), ("learnability_gap", 0.01), ("total", 0.02))
        for level, dataset, name, p_holm, signs in (
            (
                *("study", None, None, None),
                {"positive_cells": 20, "sign_p_cells": 2**-20, "positive_datasets": 4, "sign_p_datasets": 0.0625}
                | {"caution": "Pairs are <not> independent."},
            ),
            ("autoencoder", None, "NA", None, {}),
            ("autoencoder", None, "sd-vae", None, {}),
            ("cell", "chest", "NA", 0.004, {}),
            ("cell", "chest", "sd-vae", 0.05, {}),
        )
    ]
)


def claimed(table: pd.DataFrame, folder: Path) -> str:
    table.to_csv(folder / "claims.csv", index=False)
    page = render(STUDY, [], "t", {}, None, claims.read(folder / "claims.csv"))
    parsed(page)
    return page.partition("<h2>What the study says as a whole</h2>")[2].partition("<h2>")[0]


def test_the_study_as_a_whole_is_told_in_sentences_and_a_table(tmp_path: Path) -> None:
    section = claimed(CLAIMS, tmp_path)
    assert "the mean learnability gap is 0.045 [0.010, 0.080]" in section
    assert "above zero in 20 of 20 pairs" in section
    assert "p = 9.5 \u00d7 10<sup>\u22127</sup>" in section
    assert "p = 0.0625" in section
    assert "1 of 2 gaps differ from zero" in section
    assert "<p>Pairs are &lt;not&gt; independent.</p>" in section
    lines = cells(section)
    assert [line[0] for line in lines] == ["mean over", "cnn", "all candidates", "NA", "sd-vae"]
    assert lines[2][-1] == "2 data sets, 5 folds, patients; a single seed"
    assert "<b>0.045 [0.010, 0.080]</b>" in section
    assert "<b>0.045 [\u22120.010, 0.080]</b>" not in section


def test_a_study_without_reconstructions_claims_no_gap(tmp_path: Path) -> None:
    section = claimed(CLAIMS[CLAIMS["quantity"] == "total"], tmp_path)
    assert "no candidate has reconstructions, so there is no learnability gap" in section
    assert cells(section)[2][1:4] == ["\u2013", "\u2013", "0.045 [0.020, 0.080]"]


def test_nothing_claimed_is_no_section_and_other_tables_are_refused(tmp_path: Path) -> None:
    assert claimed(CLAIMS.iloc[:0], tmp_path) == ""
    assert claimed(CLAIMS.assign(metric="auroc"), tmp_path) == ""
    with pytest.raises(StudyError, match="the table of claims lacks the columns units"):
        render(STUDY, [], "t", {}, None, CLAIMS.drop(columns="units"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *((1.0, "1.00"), (0.8062, "0.806"), (0.0625, "0.0625"), (2e-4, "0.000200"), (math.nan, "\u2013")),
        (2**-20, "9.5 \u00d7 10<sup>\u22127</sup>"),
    ],
)
def test_a_p_value_keeps_its_leading_digits(value: float, shown: str) -> None:
    assert text.p_value(value) == shown
