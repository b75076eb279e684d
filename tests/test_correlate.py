"""Whether what is measured of a space goes along with its gap: against SciPy, and by counting permutations."""

import itertools
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from pipeline import significance
from pipeline.correlate import COLUMNS, DIFFUSABILITY, correlate, interval, spearman, within
from pipeline.errors import StudyError

Pairs = list[tuple[float, float]]


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=30))
@settings(deadline=None)
def test_the_rank_correlation_is_scipys(pairs: Pairs) -> None:
    x, y = np.array(pairs, np.float64).T
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(spearman(x, y))
    else:
        assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_an_infinite_psnr_is_the_highest_rank() -> None:
    assert spearman(np.array([30.0, np.inf, 40.0]), np.array([1.0, 3.0, 2.0])) == pytest.approx(1)


def test_within_data_sets_differences_between_them_count_for_nothing() -> None:
    random = np.random.default_rng(0)
    datasets = np.repeat([0, 1, 2], 5)
    x, y = random.normal(size=15), random.normal(size=15)
    rho, p = within(x, y, datasets)
    moved = np.array([0.0, 100.0, -50.0])[datasets]
    assert within(x + moved, y - 3 * moved, datasets) == (rho, p)
    assert abs(spearman(x + moved, y - 3 * moved)) > 0.8
    assert within(x, y, np.zeros(15, np.int64))[0] == pytest.approx(spearmanr(x, y).statistic)


def test_p_is_the_share_of_exchanges_within_data_sets_that_correlate_as_much() -> None:
    x, y = np.array([1.0, 2, 3, 4, 1, 2, 3]), np.array([2.0, 1, 4, 5, 1, 3, 2])
    datasets = np.array([0, 0, 0, 0, 1, 1, 1])
    centred = np.where(datasets == 0, 2.5, 2.0)
    ranks = np.array([2.0, 1, 3, 4, 1, 3, 2]) - centred
    found = [
        abs(np.array([*first, *second]) @ ranks)
        for first in itertools.permutations(x[:4] - 2.5)
        for second in itertools.permutations(x[4:] - 2.0)
    ]
    expected = np.mean(np.array(found) >= abs((x - centred) @ ranks) - 1e-9)
    assert within(x, y, datasets)[1] == pytest.approx(expected, abs=0.01)


def test_p_is_uniform_where_nothing_goes_along() -> None:
    random = np.random.default_rng(1)
    datasets = np.repeat([0, 1], 8)
    small = [within(random.normal(size=16), random.normal(size=16), datasets)[1] < 0.1 for _ in range(100)]
    # 100 draws leave a standard error of 0.03.
    assert np.mean(small) == pytest.approx(0.1, abs=0.09)


def test_a_value_that_differs_between_data_sets_alone_has_no_p() -> None:
    datasets = np.repeat([0, 1], 4)
    rho, p = within(datasets * 1.0, np.arange(8.0), datasets)
    assert math.isnan(rho)
    assert math.isnan(p)


def test_the_interval_is_that_of_the_formula_and_covers_what_it_says() -> None:
    # Bonett and Wright 2000: z +- 1.96 sqrt((1 + rho^2 / 2) / (n - 3)).
    low, high = interval(0.5, 28, 1)
    reach = 1.96 * math.sqrt(1.125 / 25)
    assert (low, high) == pytest.approx((math.tanh(math.atanh(0.5) - reach), math.tanh(math.atanh(0.5) + reach)), 1e-4)
    random, datasets, found = np.random.default_rng(2), np.repeat([0, 1, 2, 3], 5), []
    for _ in range(200):
        x = random.normal(size=20)
        y = x / math.sqrt(3) + random.normal(size=20)
        one, two = (pd.Series(v).groupby(datasets).rank().to_numpy() for v in (x, y))
        found.append(spearman(one, two))
    covered = [low <= np.mean(found) <= high for low, high in (interval(rho, 20, 4) for rho in found)]
    # 200 draws leave a standard error of 0.015.
    assert np.mean(covered) == pytest.approx(0.955, abs=0.045)


@pytest.mark.parametrize(("rho", "cells", "datasets"), [(0.5, 7, 1), (0.5, 8, 6), (1.0, 20, 2), (math.nan, 20, 2)])
def test_few_cells_and_perfect_correlations_have_no_interval(rho: float, cells: int, datasets: int) -> None:
    assert all(math.isnan(end) for end in interval(rho, cells, datasets))


def gap_table() -> pd.DataFrame:
    """Two data sets of five candidates and a control; one candidate has no decoder, one data set no labels."""
    random = np.random.default_rng(3)
    rows = []
    for dataset in ("a", "b"):
        for number in range(6):
            name, family = f"x{number}", "identity" if number == 5 else "jpeg"
            fidelity = {"psnr": 20.0 + number, "ssim": 0.9, "lpips": math.nan, "information_loss": 0.02}
            fidelity |= dict.fromkeys(DIFFUSABILITY, math.nan) | {"mmse_rate_ratio": 1.0 + number}
            for head in ("cnn", "NA"):
                gap = math.nan if (number, head) == (4, "NA") else 0.1 - 0.01 * number + 0.001 * random.normal()
                about = {"dataset": dataset, "autoencoder": name, "family": family, "head": head, "metric": "auroc"}
                rows.append({**about, "learnability_gap": gap, **fidelity})
    bare = {"dataset": "c", "autoencoder": "x0", "family": "jpeg", "head": "", "metric": "", "psnr": 3.0, "ssim": 1.0}
    return pd.DataFrame([*rows, bare])


def covariates() -> pd.DataFrame:
    random = np.random.default_rng(4)
    return pd.DataFrame(
        [
            {"dataset": d, "autoencoder": f"x{n}", "space": s, "covariate": "dimension", "value": random.normal()}
            for d in ("a", "b")
            for n in range(6)
            for s in ("image", "latent")
        ]
    )


def test_every_covariate_of_a_space_has_a_row_for_each_head_and_metric() -> None:
    made = correlate(gap_table(), covariates())
    assert list(made.columns) == COLUMNS
    assert not made.duplicated(["head", "metric", "quantity", "covariate", "space"]).any()
    # The loss is the same of all.
    lost = made["quantity"] == "information_loss"
    assert made.loc[lost, "rho_within"].isna().all()
    made = made[~lost]
    cnn = made[made["head"] == "cnn"].set_index(["covariate", "space"])
    # Of lpips nothing was measured, nor of most of diffusability.
    tabulated = {("psnr", ""), ("ssim", ""), ("mmse_rate_ratio", "")}
    assert set(cnn.index) == {("dimension", "image"), ("dimension", "latent")} | tabulated
    assert cnn.loc[("psnr", ""), ["cells", "datasets"]].tolist() == [10, 2]
    assert made.loc[made["head"] == "NA", "cells"].unique().tolist() == [8]
    assert cnn.loc[("psnr", ""), "rho_within"] == pytest.approx(-1)
    assert cnn.loc[("psnr", ""), "p"] < 0.001
    assert cnn[["p", "rho_within"]].loc[("ssim", "")].isna().all()
    np.testing.assert_allclose(cnn["p_holm"], significance.holm(cnn["p"].to_numpy()))


def test_few_cells_are_cautioned_against() -> None:
    made = correlate(gap_table().query("dataset == 'a'"), covariates())
    assert (made["cells"] < 8).all()
    assert made["caution"].str.contains("pairs of data set and autoencoder are too few").all()
    row = made[(made["head"] == "cnn") & (made["covariate"] == "psnr")].iloc[0]
    assert row["smallest_p"] == pytest.approx(1 / math.factorial(5))
    assert "no p below 0.0083 is possible" in row["caution"]
    assert (correlate(gap_table(), covariates())["caution"] == "").all()


def test_a_covariate_that_stands_there_twice_is_refused() -> None:
    with pytest.raises(StudyError, match="twice"):
        correlate(gap_table(), pd.concat([covariates(), covariates().head(1)]))


def test_a_study_without_candidates_or_covariates_has_an_empty_table() -> None:
    controls = gap_table().assign(family="identity")
    assert correlate(controls, covariates()).columns.tolist() == COLUMNS
    assert correlate(controls, covariates()).empty


def test_the_program_reads_the_tables_as_they_are_written(tmp_path: Path) -> None:
    table = gap_table()
    table.loc[0, "psnr"] = np.inf
    table.to_csv(tmp_path / "table.csv", index=False, float_format="%.6f")
    covariates().to_csv(tmp_path / "covariates.csv", index=False)
    command = [sys.executable, "-m", "pipeline.correlate", "--table", str(tmp_path / "table.csv")]
    command += ["--covariates", str(tmp_path / "covariates.csv")]
    written = []
    for name in ("1.csv", "2.csv"):
        subprocess.run([*command, "--correlations", str(tmp_path / name)], check=True)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    made = pd.read_csv(tmp_path / "1.csv", keep_default_na=False)
    assert list(made.columns) == COLUMNS
    assert set(made["head"]) == {"cnn", "NA"}
