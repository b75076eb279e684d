"""The samples that a person is shown are those that they are said to be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax

from pipeline import exhibits
from pipeline.errors import StudyError
from pipeline.exhibits import Shelf, most_sure
from pipeline.report import Exhibits, perclass, remarkable, render
from pipeline.report.preference import Choice, candidates, choices, compare
from pipeline.report.results import Results
from pipeline.store import Layout, lay_out, to_grid, write_shard
from tests.report_exhibits import CLASSWISE, REMARKS
from tests.report_exhibits import RESULTS as SHOWN
from tests.report_rows import cells, identity, parsed, row

ROWS, FOLDS = 12, 3
RNG = np.random.default_rng(0)
IMAGES = RNG.random((ROWS, 1, 8, 8)).astype(np.float32)
CLASSES = ["common", "rare"]
TRUTH = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1])
SCORES = RNG.normal(size=(ROWS, 2)) * 3
RESULTS = Results.read(
    pd.DataFrame([identity(), row(autoencoder="plain"), row(autoencoder="tuned"), row(autoencoder="tuned-fold9")])
)


def store(folder: Path, values: NDArray[np.float32], pixels: bool = True) -> None:
    lay_out(folder, Layout(ROWS, values.shape[1:], 1, "uint16" if pixels else "float32", {}))
    write_shard(folder, 0, to_grid(values) if pixels else values, {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with `identity`, `plain`, and `tuned`, which has a member for each fold; 5 has no pixels."""
    root = tmp_path_factory.mktemp("results")
    for name in ("index", "fidelity"):
        (root / name).mkdir()
    rows = np.arange(ROWS)
    index = pd.DataFrame({"id": [f"{number:02d}abcdef01234567" for number in rows], "frame": rows % 2, "patient": "p"})
    labels = {"label:common": 1 - TRUTH, "label:rare": TRUTH}
    index.assign(usable=rows != 5, fold=rows % FOLDS, **labels).to_parquet(root / "index/chest.parquet")
    (root / "index/chest.json").write_text(json.dumps({"task": "single-label"}))
    store(root / "images/chest.zarr", IMAGES)
    names = ["identity", "plain", "tuned-fold9", *(f"tuned-fold{fold}" for fold in range(FOLDS))]
    for place, name in enumerate(names):
        store(
            root / f"latents/chest/{name}.zarr",
            IMAGES if name == "identity" else IMAGES + place,
            pixels=name == "identity",
        )
        store(root / f"reconstructions/chest/{name}.zarr", np.clip(IMAGES + 0.01 * place, 0, 1).astype(np.float32))
        (root / f"fidelity/chest/{name}").mkdir(parents=True)
        # The largest error of all is of the sample without pixels, and that of each member outside its fold.
        error = 0.001 * (1 + rows) + (rows == 5) + 0.5 * (("tuned-fold" in name) & (rows % FOLDS != place - 3))
        pd.DataFrame({"row": rows, "mse": error}).to_parquet(root / f"fidelity/chest/{name}/0.parquet")
        table = pd.DataFrame({"fold": rows % FOLDS, "seed": 0, "part": "test", "row": rows})
        table = table.assign(score_0=SCORES[:, 0], score_1=SCORES[:, 1])
        mine = table if "-" not in name else table[table["fold"] == place - 3]
        target = root / f"heads/chest/{name}/latent/cnn/predictions.parquet"
        target.parent.mkdir(parents=True)
        pd.concat([mine, mine.assign(part="validation", score_0=99.0)]).to_parquet(target)
    return root


def test_a_sample_of_each_class_is_shown_through_every_autoencoder(folder: Path) -> None:
    results = Results.read(pd.DataFrame([identity(), row(autoencoder="plain"), row(autoencoder="tuned")]))
    found = list(exhibits.typical(results, folder))
    assert [strip.autoencoder for strip in found] == ["plain", "tuned", "identity"] * 2
    for strip, (number, label) in zip(found, [(4, "common")] * 3 + [(10, "rare")] * 3, strict=True):
        np.testing.assert_allclose(strip.image, IMAGES[number], atol=1e-5)
        assert strip.sample.startswith(f"{label}, sample {number:02d}abcdef")
    # The member of the fold that the sample is tested in: rows 4 and 10 are in fold 1.
    np.testing.assert_allclose(found[1].latent, IMAGES[4] + 4, atol=1e-5)
    with pytest.raises(StudyError, match="no latents of gone on chest"):
        Shelf(folder, "chest").strip("gone", 0, "")


def test_without_labels_two_samples_are_shown(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    index = pd.read_parquet(folder / "index/chest.parquet").drop(columns=["fold", "label:common", "label:rare"])
    index.to_parquet(tmp_path / "index/chest.parquet")
    assert list(exhibits.middle(Shelf(tmp_path, "chest"))) == [2, 9]
    for kind in ("images", "latents", "reconstructions", "fidelity"):
        (tmp_path / kind).symlink_to(folder / kind)
    results = Results.read(pd.DataFrame([identity(), row(autoencoder="plain")]))
    assert len(list(exhibits.typical(results, tmp_path))) == 4
    (found,) = exhibits.worst(results, tmp_path)
    assert found.said[-1] == "sample 11abcdef, frame 1"


def test_the_worst_reconstruction_is_that_of_the_member_which_the_sample_is_tested_with(folder: Path) -> None:
    results = Results.read(pd.DataFrame([identity(), row(autoencoder="plain"), row(autoencoder="tuned")]))
    plain, tuned = exhibits.worst(results, folder)
    for found in (plain, tuned):
        np.testing.assert_allclose(found.strip.image, IMAGES[11], atol=1e-5)
        assert found.said[-2:] == ("rare", "sample 11abcdef, frame 1")
    usual = np.delete(0.001 * np.arange(1, ROWS + 1), 5)
    assert f"median of all: {-10 * np.log10(np.median(usual)):.1f} dB" in plain.said
    assert list(Shelf(folder, "chest").errors("tuned").sort_index()) == pytest.approx(list(usual))


def test_the_surest_errors_are_shown_with_what_was_said(folder: Path) -> None:
    results = Results.read(
        pd.DataFrame([identity(), row(autoencoder="tuned", latent=0.7), row(autoencoder="plain", latent=0.6)])
    )
    rows = tuple(candidates(results, "cnn", "chest"))
    draws = {one.autoencoder: np.full(5, one.latent.value) for one in rows}
    chosen = {"chest": Choice("chest", "cnn", rows, compare(draws), "")}
    found = list(exhibits.wrong(results, chosen, folder))
    likely = softmax(SCORES, axis=1)
    wrong = [number for number in range(ROWS) if likely[number].argmax() != TRUTH[number]]
    order = sorted(wrong, key=lambda number: -likely[number].max())[: exhibits.WRONG]
    assert order
    for remark, number in zip(found, order, strict=True):
        said = CLASSES[likely[number].argmax()]
        assert remark.title == "The surest errors of head cnn from the latents of tuned"
        assert remark.said[:2] == (
            f"labelled {CLASSES[TRUTH[number]]}",
            f"from latents: {said} {likely[number].max():.2f}",
        )
        np.testing.assert_allclose(remark.strip.image, IMAGES[number], atol=1e-5)
    undecided = {"chest": Choice("chest", "cnn", rows, None, "is at chance")}
    assert list(exhibits.wrong(results, undecided, folder)) == []


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_errors_are_sure_wrong_and_known(seed: int, exclusive: bool) -> None:
    generator = np.random.default_rng(seed)
    likely = pd.DataFrame(generator.random((9, 3)), columns=["a", "b", "c"], index=generator.permutation(20)[:9])
    given_ = (
        np.eye(3, dtype=np.int8)[generator.integers(0, 3, 20)]
        if exclusive
        else generator.integers(-1, 2, (20, 3)).astype(np.int8)
    )
    found = most_sure(likely, given_, exclusive)
    apart = []
    for number, name, probability in found:
        label = given_[number, list(likely.columns).index(name)]
        assert label != -1
        assert probability == likely.loc[number, name]
        apart.append(abs(probability - label))
        assert apart[-1] > 0.5 if not exclusive else (label == 0 and probability == likely.loc[number].max())
    assert apart == sorted(apart, reverse=True)
    assert len({number for number, _, _ in found}) == len(found)


def test_what_is_shown_to_be_looked_at_is_named_by_hashes_alone() -> None:
    page = remarkable.section(REMARKS)
    parsed(page)
    assert page.count("<details") == 2
    assert "sample 3d2c1b0a" in page
    assert remarkable.section([]) == ""


def test_scores_class_by_class_are_means_over_folds_and_seeds(tmp_path: Path) -> None:
    results = Results.read(pd.DataFrame([row(), identity()]))
    lines: list[dict[str, Any]] = [
        {"metric": "recall", "space": space, "fold": fold, "seed": seed, "value": 0.1 * fold + 0.2 * seed + extra}
        | {"label": label, "positives": 4 + fold, "few_positives": True, "share": 0.1, "group": "head"}
        for space, extra in (("image", 0.5), ("latent", 0.3))
        for label in ("None", "b")
        for fold in (0, 1)
        for seed in (0, 1)
    ]
    overall: list[dict[str, Any]] = [{"metric": "mcc", "space": "image", "fold": 0, "seed": 0, "value": 0.9}]
    for name in ("taesd", "identity"):
        path = tmp_path / "chest" / name / "cnn" / "scores.csv"
        path.parent.mkdir(parents=True)
        pd.DataFrame(overall + lines).to_csv(path, index=False)
    found = perclass.read(results, tmp_path)
    one = found[(found["autoencoder"] == "taesd") & (found["label"] == "None") & (found["space"] == "latent")]
    assert one["value"].item() == pytest.approx(0.3 + 0.05 + 0.1)
    assert (one["positives"].item(), bool(one["few"].item())) == (9, True)


def test_classes_stand_by_how_common_they_are() -> None:
    page = perclass.section(SHOWN, CLASSWISE)
    parsed(page)
    lines = cells(page)
    assert lines[0][:3] == ["class", "positives", "image"]
    assert [line[0] for line in lines[2:5]] == ["a", "None", "rare"]
    assert lines[4][1] == "9*"
    assert perclass.section(SHOWN, CLASSWISE.iloc[:0]) == ""


def test_a_study_of_controls_alone_has_a_whole_page_without_an_answer(tmp_path: Path) -> None:
    table = pd.DataFrame([identity()])
    shown = CLASSWISE[(CLASSWISE["autoencoder"] == "identity") & (CLASSWISE["dataset"] == "chest")]
    page = render(
        table, [], "t", {}, exhibits=Exhibits(choices=choices(Results.read(table), tmp_path), classwise=shown)
    )
    parsed(page)
    assert "Which autoencoder to use" not in page
    assert "Class by class" not in page
