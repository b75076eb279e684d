"""Figures and sample strips show what was measured, and the very pixels."""

import base64
import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import StudyError
from pipeline.report import Strip, figure_png, render
from pipeline.report.drawing import wrapped
from pipeline.report.figures import reading_order
from pipeline.report.gallery import SIDES, png
from pipeline.report.results import Results
from pipeline.report.strips import AMPLIFICATION, difference, latent_colours, section
from tests.report_rows import STRIPS, STUDY, SUMMARY, identity, row, strip, unscored


@pytest.fixture(scope="module")
def page() -> str:
    return render(STUDY, STRIPS, "A study", {"chest": SUMMARY})


def test_controls_stand_apart_and_candidates_by_their_mean_gap() -> None:
    rows = [identity(), row(autoencoder="a", learnability_gap=0.2), row(autoencoder="b", learnability_gap=0.1)]
    rows += [row("skin", "a"), row("skin", "b"), row("skin", "only", learnability_gap=-0.5)]
    order = reading_order(Results.read(pd.DataFrame(rows)), "balanced_accuracy")
    assert order == (["b", "a", "only"], ["identity"])


@settings(deadline=None)
@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=200))
def test_names_in_figures_take_at_most_two_lines(name: str) -> None:
    lines = wrapped(name, 24).split("\n")
    assert len(lines) <= 2
    assert max(map(len, lines)) <= 24 or not name.strip()


def test_the_difference_is_amplified_by_the_factor_that_the_page_states(page: str) -> None:
    image = np.full((1, 2, 2), 0.5, np.float32)
    assert difference(image, image - np.float32(0.03)) == pytest.approx(
        np.full((1, 2, 2), 0.03 * AMPLIFICATION), abs=1e-6
    )
    assert difference(image, image + 1).max() == 1
    assert f"The absolute difference is multiplied by {AMPLIFICATION} everywhere" in page


def decoded(uri: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))))


def test_the_page_holds_the_very_pixels_of_a_small_image() -> None:
    shown = strip(size=24)
    uris = re.findall(r'src="([^"]*)"', section([shown], ["taesd"]))
    assert len(uris) == 4
    for uri, held in zip(uris, (shown.image, shown.reconstruction), strict=False):
        assert held is not None
        np.testing.assert_array_equal(decoded(uri), np.rint(held[0] * 255).astype(np.uint8))
    assert decoded(uris[3]).shape == (3, 3, 3)


def test_who_cannot_see_a_tile_is_told_which_is_the_original() -> None:
    said = re.findall(r'alt="[^"]*: ([^":]*)"', section([strip()], ["taesd"]))
    assert said == ["the original", "reconstruction", "difference \u00d7 5", "latent"]


def test_what_is_exact_is_said_and_the_psnr_is_that_of_the_sample() -> None:
    shown = strip()
    assert shown.reconstruction is not None
    error = np.mean((shown.image.astype(np.float64) - shown.reconstruction) ** 2)
    assert f"{-10 * np.log10(error):.1f} dB" in section([shown], ["taesd"])
    exact = dataclasses.replace(shown, reconstruction=shown.image)
    html = section([exact], ["taesd"])
    assert "the very image" in html
    assert "dB" not in html
    assert html.count("<img") == 2
    # The latents of the pixel baseline are the image, which stands there already.
    assert section([dataclasses.replace(exact, latent=shown.image)], ["taesd"]).count("<img") == 1


def test_samples_stand_in_the_order_in_which_they_were_chosen_and_autoencoders_in_that_of_the_page() -> None:
    shown = [
        dataclasses.replace(strip(autoencoder=name), sample=f"<{number}>") for number in (2, 1) for name in ("a", "b")
    ]
    html = section(shown, ["b", "a"])
    assert re.findall("<caption>(.*?)</caption>", html) == ["&lt;2&gt;", "&lt;1&gt;"]
    assert re.findall("<b>(.*?)</b>", html) == ["image", "b", "a"] * 2


def test_large_tiles_are_area_averages() -> None:
    checker = np.indices((64, 32)).sum(axis=0) % 2 * 200
    uri, width = png(checker.astype(np.uint8), 32)
    assert (width, decoded(uri).shape) == (16, (32, 16))
    assert (decoded(uri) == 100).all()


def test_many_noisy_samples_stay_within_the_size_of_a_page() -> None:
    rng = np.random.default_rng(0)
    noise = rng.random((3, 160, 160)).astype(np.float32)
    many = [Strip("d", f"a{i}", noise, noise[:, ::-1], noise[:, :20, :20]) for i in range(24)]
    html = section(many, [])
    assert len(html) < 4_000_000
    assert f"at most {SIDES[0]} pixels" not in html


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 12))
def test_latent_colours_ignore_rotations_permutations_and_signs_of_channels(seed: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    # Distinct variances: directions of equal variance have no order, and so no colours.
    latent = rng.normal(size=(channels, 6, 5)) * 2.0 ** -np.arange(channels)[:, None, None]
    rotation, _ = np.linalg.qr(rng.normal(size=(channels, channels)))
    signed = latent[rng.permutation(channels)] * rng.choice([-1, 1], size=(channels, 1, 1))
    expected = latent_colours(latent.astype(np.float32))
    assert expected.shape == (3, 6, 5)
    for other in (signed, np.tensordot(rotation, latent, 1)):
        np.testing.assert_allclose(latent_colours(other.astype(np.float32)), expected, atol=2e-3)


def test_one_latent_channel_is_grey_and_keeps_its_sign() -> None:
    ramp = np.linspace(-3, 5, 101, dtype=np.float32).reshape(1, 1, 101)
    grey = latent_colours(ramp)
    assert grey.shape == ramp.shape
    assert grey[0, 0, [0, 1, 50, 99, 100]] == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-5)


def test_constant_and_degenerate_latents_are_mid_grey() -> None:
    assert (latent_colours(np.full((4, 3, 3), 7, np.float32)) == 0.5).all()
    ramp = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    rank_one = latent_colours(np.concatenate([ramp, -2 * ramp]))
    assert (rank_one[1:] == 0.5).all()
    assert rank_one[0].std() > 0.2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"latent": np.full((4, 3, 3), np.nan, np.float32)}, "not finite"),
        ({"image": np.zeros((2, 24, 24), np.float32)}, "shape"),
        ({"reconstruction": np.zeros((1, 12, 12), np.float32)}, "reconstruction"),
    ],
)
def test_a_strip_that_cannot_be_shown_truthfully_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(StudyError, match=f"chest / taesd.*{reason}"):
        section([dataclasses.replace(strip(), **changes)], [])


def test_figure_1_is_written_as_a_png_and_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        figure_png(STUDY, "knn", tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 600
    with pytest.raises(StudyError, match="no scores of head 'mlp'; its heads: cnn and knn"):
        figure_png(STUDY, "mlp", tmp_path / "none.png")


def test_a_study_without_classes_has_a_figure_that_says_so(tmp_path: Path) -> None:
    figure_png(pd.DataFrame([unscored()]), "", tmp_path / "none.png")
    with Image.open(tmp_path / "none.png") as picture:
        assert np.asarray(picture.convert("L")).min() < 200
