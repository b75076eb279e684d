"""A whole study with a denoiser and a head that is told of noise: tables, page, and what a change asks for."""

import copy
from pathlib import Path

import pandas as pd
import pytest

from pipeline.penalties import DIAGNOSTICS
from tests.studies import STUDY, configure, plan, run, tiny

REPORT = "results/report.html"
FILM = {"family": "film-convnext", "arguments": {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}, "epochs": 1, "batch": 8}


def denoised(**entries: object) -> dict[str, object]:
    study = copy.deepcopy(STUDY)
    study["heads"]["film"] = FILM
    return {**study, "denoisers": {"gaussian": {"family": "gaussian"}}, **entries}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that has been run."""
    made = tiny(tmp_path_factory.mktemp("study"), denoised())
    run(made, REPORT)
    return made


def test_the_gap_table_and_the_page_say_how_diffusable_the_spaces_are(folder: Path) -> None:
    table = pd.read_csv(folder / "results/gap_table.csv")
    assert (table["denoiser"] == "gaussian").all()
    pixels = table[table["autoencoder"] == "identity"]
    assert pixels[["mmse_ratio", "fisher_ratio", "fisher_rate_ratio", "mmse_rate_ratio"]].eq(1).all(axis=None)
    assert table[[*DIAGNOSTICS]].notna().any().all()
    page = (folder / REPORT).read_text()
    for heading in ("How diffusable the spaces are", "Denoiser gaussian", "Penalties", "What noise takes of the class"):
        assert f">{heading}<" in page


def test_what_is_measured_again_is_tabulated_again_and_nothing_else_is_made(folder: Path) -> None:
    assert plan(folder, REPORT) == {}
    configure(folder, denoised(diffusability={"levels": [0.1, 1.0]}))
    jobs = plan(folder, REPORT)
    assert (jobs["diffusability"], jobs["tabulate"], jobs["illustrate"], jobs["correlate"]) == (2, 1, 1, 1)
    assert not {"denoise", "diffusability_geometry", "train", "evaluate", "describe"} & set(jobs)
