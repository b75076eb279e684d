"""Whether a gap changed: against closed forms, scipy, and the draws that stage evaluate makes."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline import bootstrap, significance
from pipeline.commands import main
from pipeline.commands.compare import COLUMNS, compare, read
from pipeline.errors import StudyError
from pipeline.tabulate import COLUMNS as TABLE

PATIENTS, FOLDS, REPLICATES = 60, 3, 400
NAMES = ("kl", "vq")


def replicated(values: np.ndarray, count: int = REPLICATES) -> np.ndarray:
    """Return F x (1 + B) means of n numbers, one a patient, drawn as stage evaluate draws them."""
    fold = np.arange(PATIENTS) % FOLDS
    return np.stack(
        [
            (weights := bootstrap.weights(np.arange((fold == k).sum()), count, k))
            @ values[fold == k]
            / weights.sum(axis=1)
            for k in range(FOLDS)
        ]
    )


def study(
    folder: Path,
    gaps: dict[str, np.ndarray],
    *,
    seeds: int = 1,
    order: np.ndarray | None = None,
    count: int = REPLICATES,
) -> Path:
    """Write a study's table, replicates and index: `gaps` has one number a patient for each autoencoder."""
    rows = []
    for name, values in gaps.items():
        drawn = replicated(values, count)
        gap = drawn.mean(axis=0)
        low, high = bootstrap.interval(gap[1:])
        rows.append(
            {"dataset": "chest", "autoencoder": name, "family": "identity" if name == "same" else "diffusers-kl"}
            | {"head": "cnn", "protocol": "matched", "metric": "auroc", "seeds": seeds, "patients": PATIENTS}
            | {"units": PATIENTS, "learnability_gap": gap[0], "learnability_gap_low": low}
            | {"learnability_gap_high": high}
        )
        cell = folder / "scores/chest" / name / "cnn"
        cell.mkdir(parents=True)
        parts = [
            pd.DataFrame(
                level * np.ones_like(drawn) + sign * drawn, columns=[f"r{k}" for k in range(drawn.shape[1])]
            ).assign(metric="auroc", space=space, fold=range(FOLDS), seed=seed)
            for seed in range(seeds)
            for space, level, sign in (("image", 0.9, 0), ("reconstruction", 0.8, 0), ("latent", 0.8, -1))
        ]
        pd.concat(parts).to_parquet(cell / "resampled.parquet")
    index = pd.DataFrame({"patient": [f"{folder.name}{n}" for n in range(PATIENTS)], "usable": True})
    index = index.assign(unit=index["patient"], fold=np.arange(PATIENTS) % FOLDS)
    index["label:ill"] = (np.arange(PATIENTS) % 2 if order is None else order).astype(np.int8)
    (folder / "index").mkdir()
    index.to_parquet(folder / "index/chest.parquet")
    pd.DataFrame(rows).reindex(columns=TABLE).to_csv(folder / "gap_table.csv", index=False, float_format="%.6f")
    return folder / "gap_table.csv"


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


def row(a: Path, b: Path, autoencoder: str = "kl") -> "pd.Series[float]":
    table = compare(read(a), read(b), a, b, "learnability_gap")
    return table[table["autoencoder"] == autoencoder].iloc[0]


def test_a_paired_change_is_that_of_the_differences_of_patients(tmp_path: Path, random: np.random.Generator) -> None:
    shared = random.normal(0.1, 0.3, PATIENTS)
    difference = random.normal(0.02, 0.05, PATIENTS)
    a = study(tmp_path / "a", {"kl": shared})
    found = row(a, study(tmp_path / "b", {"kl": shared + difference}))
    expected = replicated(difference).mean(axis=0)
    assert found["basis"] == "paired"
    assert found["change"] == pytest.approx(difference.mean(), abs=2e-6)
    np.testing.assert_allclose([found["low"], found["high"]], bootstrap.interval(expected[1:]), atol=1e-9)
    assert found["p"] == significance.two_sided(expected[1:])
    # By the t test of the same differences; a bootstrap of 400 replicates is not finer than this.
    t = stats.ttest_1samp(difference, 0)
    assert found["p"] == pytest.approx(t.pvalue, abs=0.05)
    assert (found["high"] - found["low"]) / (2 * 1.96) == pytest.approx(
        difference.std(ddof=1) / math.sqrt(PATIENTS), rel=0.2
    )


def test_pairing_finds_what_two_intervals_hide(tmp_path: Path, random: np.random.Generator) -> None:
    shared = random.normal(0.1, 0.5, PATIENTS)
    a = study(tmp_path / "a", {"kl": shared})
    b = study(tmp_path / "b", {"kl": shared + random.normal(0.05, 0.02, PATIENTS)})
    paired = row(a, b)
    (tmp_path / "b/index/chest.parquet").unlink()
    unpaired = row(a, b)
    assert paired["p"] < 0.01 < 0.3 < unpaired["p"]
    assert (paired["basis"], unpaired["basis"]) == ("paired", "intervals")
    assert unpaired["reason"] == "there is no index beside B (index/<data set>.parquet)"


def test_without_replicates_two_intervals_are_taken_as_independent(tmp_path: Path, random: np.random.Generator) -> None:
    tables = [
        study(tmp_path / name, {"kl": random.normal(mean, 0.3, PATIENTS)}) for name, mean in (("a", 0.0), ("b", 0.1))
    ]
    (tmp_path / "a/scores/chest/kl/cnn/resampled.parquet").unlink()
    found = row(*tables)
    one, two = (read(path).iloc[0] for path in tables)
    errors = [
        (each["learnability_gap_high"] - each["learnability_gap_low"]) / (2 * stats.norm.ppf(0.975))
        for each in (one, two)
    ]
    z = (two["learnability_gap"] - one["learnability_gap"]) / math.hypot(*errors)
    assert found["p"] == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert found["reason"] == "there are no replicates beside A (scores/<data set>/<autoencoder>/<head>)"
    assert math.isnan(found["replicates"])


def test_the_same_study_has_not_changed(tmp_path: Path, random: np.random.Generator) -> None:
    a = study(tmp_path / "a", {"kl": random.normal(0.1, 0.3, PATIENTS)})
    found = row(a, a)
    assert (found["change"], found["low"], found["high"], found["p"]) == (0, 0, 0, 1)


def test_fewer_replicates_are_the_first_of_more(tmp_path: Path, random: np.random.Generator) -> None:
    shared, difference = random.normal(0.1, 0.3, PATIENTS), random.normal(0.02, 0.05, PATIENTS)
    a = study(tmp_path / "a", {"kl": shared}, count=REPLICATES)
    found = row(a, study(tmp_path / "b", {"kl": shared + difference}, count=150))
    assert found["replicates"] == 150
    assert found["p"] == significance.two_sided(replicated(difference, 150).mean(axis=0)[1:])


def test_other_labels_draw_other_patients(tmp_path: Path, random: np.random.Generator) -> None:
    values = random.normal(0.1, 0.3, PATIENTS)
    a = study(tmp_path / "a", {"kl": values})
    b = study(tmp_path / "b", {"kl": values}, order=np.arange(PATIENTS) % 3 == 0)
    assert row(a, b)["reason"] == "the samples, patients, labels or folds differ"


def test_scores_of_another_run_are_noticed(tmp_path: Path, random: np.random.Generator) -> None:
    a = study(tmp_path / "a", {"kl": random.normal(0.1, 0.3, PATIENTS)})
    table = pd.read_csv(a)
    table["learnability_gap"] += 0.01
    b = tmp_path / "a/later.csv"
    table.to_csv(b, index=False)
    assert row(a, b)["reason"] == "the scores beside B are not those that its table was made from"


def test_holm_counts_the_autoencoders_without_controls(tmp_path: Path, random: np.random.Generator) -> None:
    before = {name: random.normal(0.1, 0.3, PATIENTS) for name in (*NAMES, "same")}
    after = {name: values + random.normal(0.02, 0.06, PATIENTS) for name, values in before.items()}
    a, b = study(tmp_path / "a", before), study(tmp_path / "b", after)
    table = compare(read(a), read(b), a, b, "learnability_gap").set_index("autoencoder")
    assert list(table.columns) == [name for name in COLUMNS if name != "autoencoder"]
    np.testing.assert_array_equal(table["p_holm"][list(NAMES)], significance.holm(table["p"][list(NAMES)].to_numpy()))
    assert math.isnan(table["p_holm"]["same"])


def test_the_spread_between_seeds_is_told(tmp_path: Path, random: np.random.Generator) -> None:
    values = random.normal(0.1, 0.3, PATIENTS)
    a, b = (study(tmp_path / name, {"kl": values}, seeds=2) for name in "ab")
    cell = tmp_path / "b/scores/chest/kl/cnn/resampled.parquet"
    table = pd.read_parquet(cell)
    moved = (table["seed"] == 1) & (table["space"] == "latent")
    table.loc[moved, [name for name in table if name[1:].isdigit()]] -= 0.1
    table.to_parquet(cell)
    whole = pd.read_csv(b)
    whole["learnability_gap"] += 0.05
    whole.to_csv(b, index=False)
    # Seeds differ by 0.1 in one study and not in the other: 0.1 / sqrt(2) / sqrt(2).
    assert row(a, b)["seed_error"] == pytest.approx(0.05)


def test_the_printed_table_says_what_it_rests_on(
    tmp_path: Path, random: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = random.normal(0.1, 0.3, PATIENTS)
    a = study(tmp_path / "a", {"kl": shared, "gone": shared})
    b = study(tmp_path / "b", {"kl": shared + 0.05})
    main(["compare", str(a), str(b), "--metric", "auroc", "--csv", str(tmp_path / "changes.csv")])
    printed = capsys.readouterr().out
    assert "learnability_gap, B minus A" in printed
    assert "1 rows compared; 1 are in A only, 0 in B only." in printed
    assert "holds the trained heads fixed" in printed
    assert "of 1 that is not known, because a study has one seed" in printed
    assert list(pd.read_csv(tmp_path / "changes.csv").columns) == COLUMNS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"error: there is no file .*; make it with: snakemake results/gap_table\.csv"),
        ("", "error: .* is no table"),
        ("a,b\n1,2\n", "error: .* is no gap table of this version: it has no column dataset"),
    ],
)
def test_what_is_no_table_is_one_sentence(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "gap_table.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SystemExit, match=message):
        main(["compare", str(path), str(path)])


def test_a_table_with_words_for_numbers_is_one_sentence(tmp_path: Path, random: np.random.Generator) -> None:
    path = study(tmp_path / "a", {"kl": random.normal(0.1, 0.3, PATIENTS)})
    table = pd.read_csv(path, dtype=str)
    table.loc[0, "learnability_gap"] = "0,1"
    table.to_csv(path, index=False)
    with pytest.raises(SystemExit, match="what stands in its column learnability_gap is not all numbers"):
        main(["compare", str(path), str(path)])


def test_tables_without_a_row_in_common_are_refused(tmp_path: Path, random: np.random.Generator) -> None:
    values = random.normal(0.1, 0.3, PATIENTS)
    a, b = (study(tmp_path / name, {autoencoder: values}) for name, autoencoder in (("a", "kl"), ("b", "vq")))
    with pytest.raises(StudyError, match="have no row in common"):
        compare(read(a), read(b), a, b, "learnability_gap")
