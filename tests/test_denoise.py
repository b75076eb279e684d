"""Stage denoise: what is seen, what is written, and how good the closed-form denoiser is."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from pipeline.denoise import read_spec
from pipeline.denoisers import LOSS_LEVELS
from pipeline.errors import StudyError
from pipeline.held_out import parts, space
from pipeline.normal import Normal
from tests.denoising import encoded, fitted, index, smooth, stored

GAUSSIAN = {"family": "gaussian"}


def test_no_patient_is_on_both_sides_and_unusable_samples_are_on_none() -> None:
    table = index(60)
    table.loc[7, "usable"] = False
    for labelled in (True, False):
        chosen = table if labelled else table[["patient", "usable"]]
        train, held_out = parts(chosen, 0)
        patients = table["patient"].to_numpy()
        assert not set(patients[train]) & set(patients[held_out])
        assert 7 not in {*train.tolist(), *held_out.tolist()}
        assert len(held_out) >= 8 and len(train) >= 18
        again = parts(chosen, 0)
        assert np.array_equal(again[0], train) and np.array_equal(again[1], held_out)
    assert set(parts(table, 1)[1].tolist()) == set(np.flatnonzero((table["fold"] == 1) & table["usable"]).tolist())
    with pytest.raises(StudyError, match="fold 5"):
        parts(table, 5)


def test_as_many_samples_are_used_in_every_space_and_no_others_are_read(tmp_path: Path) -> None:
    stored(tmp_path, smooth(60))
    for name, entry in {"a": {"family": "identity"}, "b": {"family": "lossy", "stride": 4}}.items():
        data = space(encoded(tmp_path, name, entry), index(60), 0, 10)
        assert (len(data.train), len(data.held_out)) == (20, 10)
        allowed = {*data.train.tolist(), *data.held_out.tolist()}
        with pytest.raises(StudyError, match="not among the images that may be seen"):
            data.read(np.array([next(row for row in range(60) if row not in allowed)]))


def test_the_program_writes_the_distribution_of_the_training_rows_and_the_held_out_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = smooth(120)
    stored(tmp_path, images)
    encoded(tmp_path, "identity", {"family": "identity"})
    folder = fitted(monkeypatch, tmp_path, "identity", GAUSSIAN)
    tensors = load_file(folder / "weights.safetensors")
    normal, table = Normal.of(tensors), index(120)
    train, held_out = parts(table, 0)
    assert set(tensors["rows"].tolist()) == set(train.tolist())
    values = images.reshape(120, -1).astype(np.float64)
    assert normal.deviation == pytest.approx(float(np.sqrt(values[train].var(axis=0).mean())), rel=1e-4)
    curve = pd.read_csv(folder / "curve.csv").iloc[0]
    assert (curve["share"], curve["samples"]) == (pytest.approx(normal.rest, rel=1e-6), len(train))
    loss = pd.read_csv(folder / "held_out.csv")
    assert loss["sigma"].tolist() == list(LOSS_LEVELS)
    assert (loss["samples"] == len(held_out)).all()
    assert loss["loss"].is_monotonic_increasing
    # Much noise leaves nothing but the mean; the loss is then the variance of held-out samples about it.
    about = ((values[held_out] - values[train].mean(axis=0)) ** 2).mean() / normal.deviation**2
    assert loss["loss"].iloc[-1] == pytest.approx(about, rel=0.2)
    assert (loss["loss"] < loss["sigma"] ** 2).all()
    assert (loss["standard_error"] > 0).all()
    first = (folder / "weights.safetensors").read_bytes()
    fitted(monkeypatch, tmp_path, "identity", GAUSSIAN)
    assert (folder / "weights.safetensors").read_bytes() == first


def test_an_entry_of_another_kind_is_refused() -> None:
    with pytest.raises(StudyError, match="there is no family 'knn' of denoisers"):
        read_spec(json.dumps({"family": "knn"}))
