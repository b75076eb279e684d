"""Stage diffusability: isometries end to end, closed forms, and which jobs a study has."""

import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import fisher
from pipeline.diffusability import COLUMNS
from pipeline.diffusion import Diffusability
from pipeline.errors import StudyError
from pipeline.plan import Plan
from pipeline.plan.diffusion import TABLES
from pipeline.study import Study
from tests.denoising import encoded, fitted, measured, smooth, stored
from tests.studies import ROOT, STUDY, configure, plan, tiny

GAUSSIAN = {"family": "gaussian"}
SPACES = {
    "identity": {"family": "identity"},
    "pixel-unshuffle": {"family": "pixel-unshuffle", "stride": 4},
    "orthogonal": {"family": "orthogonal", "stride": 4, "seed": 0},
    "lossy": {"family": "lossy", "stride": 8},
}


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, pd.DataFrame]:
    """The measurements of every space with the closed-form denoiser."""
    stored(tmp_path, smooth(150))
    found = {}
    for name, entry in SPACES.items():
        encoded(tmp_path, name, entry)
        fitted(monkeypatch, tmp_path, name, GAUSSIAN)
        found[name] = measured(monkeypatch, tmp_path, name, GAUSSIAN, {"samples": 40})
    return found


def test_isometries_are_as_diffusable_as_pixels_end_to_end(tables: dict[str, pd.DataFrame]) -> None:
    pixels = tables["identity"]
    assert list(pixels.columns) == COLUMNS
    assert len(pixels) == len(Diffusability().levels) * (len(fisher.EXTENSIVE) + len(fisher.QUALITY))
    for name in ("pixel-unshuffle", "orthogonal"):
        for column in ("value", "standard_error", "per_latent_dimension", "per_data_dimension"):
            np.testing.assert_allclose(tables[name][column], pixels[column], rtol=1e-6, atol=1e-9)


def test_a_space_that_is_no_isometry_differs(tables: dict[str, pd.DataFrame]) -> None:
    pixels, lossy = (
        tables[name].set_index(["sigma", "quantity"])["per_latent_dimension"] for name in ("identity", "lossy")
    )
    # Means of patches have no fine detail to be predicted from, so that more of them is lost in the same noise.
    assert lossy[1.0, "mmse"] > 1.05 * pixels[1.0, "mmse"]


def test_values_are_per_dimension_of_the_latent_and_of_the_image(tables: dict[str, pd.DataFrame]) -> None:
    lossy = tables["lossy"]
    sums = lossy[lossy["quantity"].isin(fisher.EXTENSIVE)]
    np.testing.assert_allclose(sums["per_latent_dimension"], sums["value"] / 4, rtol=1e-6)
    np.testing.assert_allclose(sums["per_data_dimension"], sums["value"] / 256, rtol=1e-6)
    assert lossy[lossy["quantity"].isin(fisher.QUALITY)]["per_latent_dimension"].isna().all()
    assert (lossy["samples"] == 40).all()


def test_of_many_samples_the_mmse_rate_is_the_slope_of_the_held_out_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path, smooth(1500, side=4))
    encoded(tmp_path, "identity", SPACES["identity"])
    fitted(monkeypatch, tmp_path, "identity", GAUSSIAN)
    close = [0.5, 0.5001]
    found = measured(monkeypatch, tmp_path, "identity", GAUSSIAN, {"levels": close, "samples": 500})
    assert (found[found["quantity"] == "disagreement"]["value"] < 0.05).all()
    found = found.set_index(["quantity", "sigma"])["value"]
    slope = (found["mmse", close[1]] - found["mmse", close[0]]) / (close[1] ** 2 - close[0] ** 2)
    assert slope == pytest.approx(found["mmse_rate", 0.5], rel=0.1)


def test_a_study_without_denoisers_measures_nothing_and_one_with_them_every_space(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    assert not {"denoise", "diffusability"} & set(plan(folder, "all"))
    wider = copy.deepcopy(STUDY)
    wider["denoisers"] = {"gaussian": GAUSSIAN}
    configure(folder, wider)
    jobs = plan(folder, "results/diffusability.csv")
    assert (jobs["denoise"], jobs["diffusability"], jobs["diffusability_study"]) == (2, 2, 1)
    assert not {"decode", "train", "evaluate"} & set(jobs)
    jobs = plan(folder, "results/gap_table/blobs.csv")
    assert (jobs["denoise"], jobs["diffusability"], jobs["diffusability_geometry"]) == (2, 2, 2)


def test_the_gap_table_is_of_the_denoiser_that_is_fitted_to_the_most() -> None:
    some, every = {"family": "gaussian", "autoencoders": ["lossy"]}, GAUSSIAN

    def chosen(denoisers: dict[str, object], autoencoder: str = "lossy") -> dict[str, str]:
        return Plan(Study(written(denoisers=denoisers))).diagnosed("blobs", autoencoder)

    assert chosen({"some": some, "all": every})["diffusability"] == "results/diffusability/blobs/lossy/all.csv"
    assert chosen({"first": every, "second": every})["diffusability"].endswith("/lossy/first.csv")
    assert chosen({"all": every}, "tuned")["geometry"] == "results/geometry/blobs/tuned-fold0.csv"
    assert set(chosen({"some": some}, "identity")) == {"diffusability", "geometry"}
    assert chosen({"some": some}, "tiny") == chosen({}) == {}


def written(**entries: object) -> dict[str, object]:
    """A study with a fine-tuned autoencoder and a denoiser."""
    study = copy.deepcopy(STUDY)
    study["autoencoders"] |= {"tiny": {"family": "diffusers-tiny", "folder": str(ROOT / "resources/weights/tiny")}}
    study["autoencoders"] |= {"tuned": {"family": "finetuned", "parent": "tiny"}}
    return {**study, "denoisers": {"gaussian": GAUSSIAN}, **entries}


def test_a_fine_tuned_autoencoder_is_measured_on_what_it_has_not_seen() -> None:
    planned = Plan(Study(written()))
    paths = planned.diffusabilities()
    assert "results/diffusability/blobs/tuned-fold0/gaussian.csv" in paths
    assert len(paths) == len(planned.geometries()) == 4
    assert [planned.denoised_fold("blobs", name) for name in ("identity", "tuned-fold0", "tuned-fold1")] == [0, 0, 1]
    assert planned.diffusability_tables() == list(TABLES)


def test_a_denoiser_is_fitted_where_it_is_asked_for_and_always_to_pixels() -> None:
    entry = {"family": "gaussian", "autoencoders": ["lossy"]}
    planned = Plan(Study(written(denoisers={"some": entry, "all": GAUSSIAN})))
    assert [planned.denoisers("blobs", name) for name in ("identity", "lossy", "tiny")] == [
        ["some", "all"],
        ["some", "all"],
        ["all"],
    ]
    assert planned.denoiser_settings("some") == planned.denoiser_settings("all")


@pytest.mark.parametrize(("key", "kind"), [("datasets", "data set"), ("autoencoders", "autoencoder")])
def test_a_denoiser_for_what_is_not_there_is_refused(key: str, kind: str) -> None:
    with pytest.raises(StudyError, match=f"denoisers: some: there is no {kind} 'none'"):
        Study(written(denoisers={"some": {"family": "gaussian", key: ["none"]}}))


def test_how_encoders_are_felt_is_no_reason_to_measure_denoisers_again() -> None:
    planned = Plan(Study(written(diffusability={"samples": 9, "geometry": {"samples": 3}})))
    assert json.loads(planned.measured_how()) == {"samples": 9}
    assert json.loads(planned.geometry_how()) == {"samples": 3}


@pytest.mark.parametrize(
    ("levels", "message"), [([], "at least 1"), ([0.5, 0.1], "must rise"), ([0.0, 1.0], "greater than 0")]
)
def test_levels_that_are_none_are_refused(levels: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Diffusability(levels=levels)
