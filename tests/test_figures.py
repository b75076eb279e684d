"""The set to pretrain on: balanced, of two independent factors, and told by neither brightness, place nor size."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline import families
from pipeline.benchmarks.drawing.figures import SHAPES, TEXTURES
from pipeline.benchmarks.drawing.shapes import Grid, step
from pipeline.benchmarks.figures import Spec
from pipeline.folds import Split
from pipeline.heads import HeadSpec, Space, balanced_accuracy
from pipeline.synthesize import read

# Areas in units of the squared radius, by integration in closed form. The petals' boundary is 0.7 + 0.3 cos(5 angle).
AREAS = {
    "disc": np.pi * 0.85**2,
    "triangle": 3 * np.sqrt(3) / 4,
    "ring": np.pi * (0.94**2 - 0.50**2),
    "flower": np.pi * (0.7**2 + 0.3**2 / 2),
    "cross": 2 * 4 * 0.95 * 0.27 - 4 * 0.27**2,
}


def spec(**options: object) -> Spec:
    found = read(json.dumps({"family": "figures", **options}))
    assert isinstance(found, Spec)
    return found


def drawn(count: int, **options: object) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return images n x C x 64 x 64 in [0, 1] and class numbers."""
    family = spec(size=64, **options)
    images, numbers = [], []
    for group in range(count // family.images):
        rng = family.random(group)
        for label in family.labels(group):
            levels = family.drawn(rng, label)
            images.append(levels.reshape(64, 64, -1).transpose(2, 0, 1) / np.float32(255))
            numbers.append(family.classes().index(label))
    return np.stack(images), np.array(numbers)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_figure_has_the_area_of_its_closed_form(shape: str) -> None:
    grid = Grid.square(400, 2.2)
    assert step(SHAPES[shape](grid), grid.pixel).sum() * grid.pixel**2 == pytest.approx(AREAS[shape], rel=0.01)


@pytest.mark.parametrize("texture", TEXTURES)
def test_a_texture_has_both_colours_except_where_it_is_plain(texture: str) -> None:
    shares = [TEXTURES[texture](np.random.default_rng(seed), Grid.square(64, 2.0)) for seed in range(10)]
    assert all(share.min() >= 0 and share.max() <= 1 for share in shares)
    second = np.array([share.mean() for share in shares])
    assert set(second) == {0, 1} if texture == "plain" else (second.min() > 0.1 and second.max() < 0.9)


def test_every_shape_meets_every_texture_equally_often() -> None:
    family = spec(patients=100, images=20)
    counts = Counter(label for group in range(100) for label in family.labels(group))
    assert set(counts) == {f"{texture} {shape}" for shape in SHAPES for texture in TEXTURES}
    assert max(counts.values()) - min(counts.values()) <= 2


@pytest.mark.parametrize(("colour", "mode"), [(True, "RGB"), (False, "L")])
def test_files_are_colour_or_grey_and_as_many_as_asked_for(colour: bool, mode: str, tmp_path: Path) -> None:
    rows = spec(patients=2, images=4, size=64, colour=colour).write(tmp_path)
    assert len(rows) == 8 and len({row.id for row in rows}) == 2
    for row in rows:
        with Image.open(tmp_path / row.path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", mode, (64, 64))
            assert np.asarray(image).std() > 10


def test_no_class_is_told_by_the_mean_of_places() -> None:
    """A linear probe on 8 x 8 averages is at chance: what is to be learnt is form."""
    images, numbers = drawn(600)
    space = Space(images, np.eye(20, dtype=np.int8)[numbers], True, 1, pixels=True)
    split = Split(0, np.arange(300), np.arange(300, 400), np.arange(400, 600))
    head = families.spec("heads", {"family": "linear", "grid": 8, "strengths": [0.001]})
    assert isinstance(head, HeadSpec)
    # Chance is 0.05, and 200 samples leave a standard error of 0.015.
    assert balanced_accuracy(head.fit(space, split, 0).test, numbers[split.test]) < 0.11


def test_a_texture_is_told_by_its_edges_and_a_shape_is_not_told_by_its_brightness() -> None:
    """Plain figures have fewer strong edges inside than striped ones; the mean brightness of both is the same."""
    images, numbers = drawn(600, colour=False)
    texture = numbers % len(TEXTURES)
    edges = np.abs(np.diff(images[:, 0, 16:48, 16:48], axis=2)).mean(axis=(1, 2))
    assert np.median(edges[texture == 1]) > 1.15 * np.median(edges[texture == 0])
    for factor in (texture, numbers // len(TEXTURES)):
        means = [images[factor == value].mean() for value in np.unique(factor)]
        assert np.ptp(means) < 0.12
