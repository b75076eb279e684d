"""What noise takes of the class: against the table of known information, and by the program from a trained head."""

import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from bench import oracles
from bench.mixtures import SPACE, TWO
from safetensors.numpy import save_file

from pipeline import class_information, families, information
from pipeline.class_information import COLUMNS, read_spec
from pipeline.errors import StudyError
from pipeline.folds import splits
from pipeline.heads import Space
from pipeline.networks.classifier_answers import taught
from pipeline.networks.classifier_gradients import answers
from pipeline.trained import TrainedSpec
from tests.denoising import encoded, index, program, smooth, stored
from tests.studies import STUDY, configure, plan, tiny

FILM = {"family": "film-convnext", "arguments": {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}, "epochs": 1, "batch": 8}
NOISE = {"steps": 4, "sigma_min": 0.1, "sigma_max": 10.0, "evaluated": 0}


def test_squared_gradients_integrate_to_the_information_of_the_table() -> None:
    rows = list(oracles.classes())
    assert len(rows) == 14
    assert [str(row) for row in rows if not row.holds()] == []


def test_gradients_of_the_posterior_are_differences_of_scores() -> None:
    # grad log p(k | y) = grad log p(y | k) - grad log p(y), and the second is (E[X | y] - y) / t.
    sigma, y = 0.8, SPACE.draw(50, np.random.default_rng(0))[0]
    logs, squares = answers(oracles.log_joint(SPACE), torch.from_numpy(y), sigma)
    sigmas = torch.full((50,), sigma, dtype=torch.float64)
    score = ((oracles.denoiser(SPACE)(torch.from_numpy(y), sigmas)).numpy() - y) / sigma**2
    for k in range(3):
        within = -np.linalg.solve(SPACE.covariances[k] + sigma**2 * np.eye(3), (y - SPACE.means[k]).T).T
        np.testing.assert_allclose(squares[:, k], ((within - score) ** 2).sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(logs, SPACE.log_posterior(y, sigma**2), atol=1e-10)


def test_both_estimates_of_the_gradient_agree_for_the_posterior_alone() -> None:
    sigmas, best = np.array([0.5, 1.0]), oracles.log_joint(TWO)
    calibrated, sure = (
        information.quantities(oracles.answered(TWO, classify, sigmas))
        for classify in (best, lambda y, sigma: 2 * best(y, sigma))
    )
    for lines, ratio in ((calibrated, 1.0), (sure, None)):
        values = {name: value for sigma, name, value, *_ in lines if sigma == 0.5}
        quotient = values["class_fisher_labels"] / values["class_fisher"]
        assert quotient == pytest.approx(ratio, abs=1e-6) if ratio else abs(quotient - 1) > 0.3
    own = [value for _, name, value, *_ in sure if name == "information"]
    best_own = [value for _, name, value, *_ in calibrated if name == "information"]
    assert all(np.array(own) < np.array(best_own))


def test_the_integral_of_a_power_law_is_known() -> None:
    # sigma^2 Phi = sigma^-1 integrates over ln sigma to 1 / sigma at the one end less that at the other.
    sigmas = np.geomspace(0.5, 20, 400)
    found = information.integrated(sigmas, sigmas[:, None] ** -3.0)
    np.testing.assert_allclose(found[:, 0], 1 / sigmas - 1 / 20, rtol=1e-3, atol=1e-5)


def test_samples_count_as_they_did_in_training() -> None:
    numbers = np.array([0] * 90 + [1] * 10)
    weights = taught(numbers, 2, 0.9999)
    assert 90 * weights[0] == pytest.approx(10 * weights[1], rel=0.01)
    assert taught(numbers, 2, 0.0).tolist() == [1, 1]
    logs = np.log(np.full((1, 100, 2), 0.5))
    found = information.Answers(np.ones(1), logs, np.zeros((1, 100, 2)), numbers, weights[numbers], np.arange(100))
    assert found.entropy() == pytest.approx(np.log(2), rel=1e-3)
    lines = {name: value for _, name, value, *_ in information.quantities(found)}
    assert lines["information"] == pytest.approx(0, abs=1e-3)


def test_the_program_asks_a_trained_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = smooth(60)
    stored(tmp_path, images)
    store = encoded(tmp_path, "unshuffled", {"family": "pixel-unshuffle", "stride": 2})
    table, entry = index(60), FILM | {"noise": NOISE}
    spec = families.spec("heads", entry)
    assert isinstance(spec, TrainedSpec)
    labels = table[["label:a", "label:b"]].to_numpy(np.int8)
    values = images.reshape(60, 1, 8, 2, 8, 2).transpose(0, 1, 3, 5, 2, 4).reshape(60, 4, 8, 8)
    fitted = spec.fit(Space(np.ascontiguousarray(values), labels, True, 2), splits(table)[0], 0)
    named = {f"fold0.seed0.{name}": np.asarray(value, order="C") for name, value in fitted.tensors.items()}
    save_file(named, tmp_path / "heads.safetensors")
    options = {"dataset": "d", "autoencoder": "unshuffled", "head": "film", "spec": json.dumps(entry)}
    options |= {"index": tmp_path / "index.parquet", "store": store, "manifests": [tmp_path / "unshuffled/0.json"]}
    options |= {"classes": '["a", "b"]', "image-size": 16, "fold": 0, "seed": 0}
    options |= {"weights": tmp_path / "heads.safetensors", "information": tmp_path / "information.csv"}
    program(monkeypatch, class_information.main, options)
    found = pd.read_csv(tmp_path / "information.csv")
    assert list(found.columns) == COLUMNS
    assert len(found) == 16 and (found["samples"] == 20).all()
    assert found["sigma"].min() == pytest.approx(0.2) and found["sigma"].max() == pytest.approx(20)
    wide = found.pivot_table(index="sigma", columns="quantity", values="value")
    assert (wide["class_fisher"] > 0).all()
    assert wide["information_integrated"].iloc[-1] == pytest.approx(wide["information"].iloc[-1], abs=1e-6)
    assert wide["information_integrated"].is_monotonic_decreasing


def test_heads_that_are_not_told_of_noise_are_not_asked(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="family knn is not told of noise"):
        read_spec('{"family": "knn"}')
    wider = copy.deepcopy(STUDY)
    wider["heads"]["film"] = FILM
    folder = tiny(tmp_path, wider)
    jobs = plan(folder, "results/class_information.csv")
    assert (jobs["diffusability_classes"], jobs["train"]) == (2, 2)
    configure(folder, STUDY)
    assert "diffusability_classes" not in plan(folder, "all")
