"""Views: the same drawing for a row whatever else is there, geometry as torch has it, and stores of their own."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline import views
from pipeline.augment import augment, augmented, draw, rotated
from pipeline.errors import StudyError
from pipeline.plan import Plan
from pipeline.repair import lost_shards
from pipeline.store import Layout, Manifest, Rows, check, lay_out, shard_path, to_grid, write_shard
from pipeline.study import Study
from pipeline.views import Augmentation
from tests.studies import STUDY, configure, plan, run, tiny

IMAGES = np.random.default_rng(0).random((10, 3, 16, 16), np.float32)


def turned_by_torch(images: NDArray[np.float32], degrees: float) -> NDArray[np.float32]:
    """Sample bilinearly with zeros outside, as torch does, at the positions that a rotation maps from."""
    import torch

    angle = np.radians(degrees)
    c, s = np.cos(angle), np.sin(angle)
    # In coordinates x to the right and y down, counter-clockwise on the screen.
    theta = torch.tensor([[c, -s, 0.0], [s, c, 0.0]], dtype=torch.float64).expand(len(images), 2, 3)
    grid = torch.nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    sampled = torch.nn.functional.grid_sample(torch.from_numpy(images).double(), grid, align_corners=False)
    return np.asarray(sampled.numpy(), np.float32)


@pytest.mark.parametrize("degrees", [-15.0, 0.3, 40.0, 90.0])
def test_a_turned_image_is_that_of_torch(degrees: float) -> None:
    found = np.stack([rotated(image, degrees) for image in IMAGES])
    np.testing.assert_allclose(found, turned_by_torch(IMAGES, degrees), atol=1e-6)


def test_a_quarter_turn_is_counter_clockwise_and_exact() -> None:
    np.testing.assert_allclose(rotated(IMAGES[0], 90.0), np.rot90(IMAGES[0], axes=(1, 2)), atol=1e-6)


def test_what_lies_outside_is_black() -> None:
    corners = rotated(np.ones((1, 16, 16), np.float32), 45.0)[0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert not corners.any()


def test_without_flip_and_rotation_a_view_is_the_images() -> None:
    np.testing.assert_array_equal(augmented(IMAGES, Augmentation(flip=0, rotation=0), 0, 0), IMAGES)
    np.testing.assert_array_equal(augmented(IMAGES, Augmentation(flip=1, rotation=0), 0, 0), IMAGES[..., ::-1])


@given(first=st.integers(0, 10_000), view=st.integers(0, 7), cut=st.integers(0, 10), seed=st.integers(0, 2**40))
@settings(max_examples=20, deadline=None)
def test_a_view_does_not_depend_on_where_it_is_cut(first: int, view: int, cut: int, seed: int) -> None:
    spec = Augmentation(seed=seed)
    parts = [augmented(IMAGES[:cut], spec, view, first), augmented(IMAGES[cut:], spec, view, first + cut)]
    whole = augmented(IMAGES, spec, view, first)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert whole.min() >= 0
    assert whole.max() <= 1 + 1e-6


def test_angles_and_flips_are_spread_as_is_said_and_differ_between_views_rows_and_seeds() -> None:
    spec = Augmentation(flip=0.3, rotation=20)
    drawn = [draw(spec, 1, row) for row in range(4000)]
    angles = np.array([degrees for _, degrees in drawn])
    # Four standard errors of a share, of a uniform variable's mean, and of its variance.
    assert abs(np.mean([flipped for flipped, _ in drawn]) - 0.3) < 4 * np.sqrt(0.21 / 4000)
    assert abs(angles.mean()) < 4 * 20 / np.sqrt(3 * 4000)
    assert abs(angles.var() - 400 / 3) < 4 * 400 * np.sqrt(4 / 45 / 4000)
    assert np.abs(angles).max() <= 20
    assert len(set(angles)) == 4000
    assert draw(spec, 1, 0)[1] != draw(spec, 2, 0)[1] != draw(Augmentation(flip=0.3, rotation=20, seed=1), 2, 0)[1]


def test_another_probability_of_flips_leaves_the_angles() -> None:
    for row in range(50):
        assert draw(Augmentation(flip=0.1), 0, row)[1] == draw(Augmentation(flip=0.9), 0, row)[1]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    store = tmp_path / "images/set.zarr"
    lay_out(store, Layout(10, (3, 16, 16), 3, "uint16", {"kind": "pixels", "range": [0, 1]}))
    for shard in range(3):
        start, stop = shard * 4, min(10, shard * 4 + 4)
        write_shard(store, shard, to_grid(IMAGES[start:stop]), {}).write(tmp_path / f"images/set/{shard}.json")
    return store


def test_the_program_fills_a_shard_as_a_whole_store_would_be(images: Path, tmp_path: Path) -> None:
    store, manifest = tmp_path / "images/set.view2.zarr", tmp_path / "images/set.view2/1.json"
    store.mkdir()
    (store / "zarr.json").write_bytes((images / "zarr.json").read_bytes())
    spec = Augmentation(views=3, seed=5)
    command = [sys.executable, "-m", "pipeline.augment", "--spec", spec.drawing(), "--view", "2"]
    command += ["--images", str(images), "--image-manifest", str(tmp_path / "images/set/1.json")]
    command += ["--store", str(store), "--shard", "1", "--manifest", str(manifest)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check(store, [manifest])
    expected = to_grid(augmented(Rows(images).read(0, 10), spec, 2, 0))[4:8]
    np.testing.assert_array_equal(to_grid(Rows(store).read(4, 8)), expected)
    known = Manifest.read(manifest).made_by
    assert known["augmentation"] == {"flip": 0.5, "rotation": 15.0, "seed": 5}
    shard_path(store, 1).unlink()
    assert list(lost_shards(tmp_path)) == [(shard_path(store, 1), manifest)]


def test_views_are_read_in_order_and_compared_with_their_manifests(images: Path, tmp_path: Path) -> None:
    stores, manifests = [], []
    for number in range(2):
        stores.append(tmp_path / f"set.view{number}.zarr")
        lay_out(stores[-1], Layout(10, (3, 16, 16), 3, "uint16", {}))
        for shard in range(3):
            manifests.append(tmp_path / f"{number}/{shard}.json")
            augment(Rows(images), stores[-1], shard, Augmentation(), number, {}).write(manifests[-1])
    found = views.read(stores, manifests, (10, 3, 16, 16))
    for number, view in enumerate(found):
        np.testing.assert_allclose(view[:], augmented(IMAGES, Augmentation(), number, 0), atol=3e-5)
    assert views.read([], [], (1, 1, 1, 1)) == ()
    with pytest.raises(StudyError, match="holds 10 samples"):
        views.read(stores, manifests, (10, 3, 16, 8))
    with pytest.raises(StudyError, match="is not what"):
        views.read(stores[::-1], manifests, (10, 3, 16, 16))
    with pytest.raises(StudyError, match="as many for each"):
        views.read(stores, manifests[:-1], (10, 3, 16, 16))


def test_views_have_names_that_no_data_set_can_have() -> None:
    assert views.dataset_of(views.name("a-1", 12)) == "a-1"
    assert views.number_of(views.name("a-1", 12)) == 12
    assert views.dataset_of("a-1") == "a-1"
    with pytest.raises(StudyError, match="is not a view"):
        views.number_of("a-1")
    taken = copy.deepcopy(STUDY)
    taken["datasets"]["a.view0"] = taken["datasets"].pop("blobs")
    with pytest.raises(StudyError, match="letters, digits and hyphens"):
        Study(taken)


def test_only_labelled_data_sets_have_views_and_members_of_a_view_are_those_of_its_data_set() -> None:
    study = copy.deepcopy(STUDY) | {"augmentation": {"views": 2}}
    study["datasets"]["plain"] = {key: value for key, value in study["datasets"]["blobs"].items() if key != "classes"}
    study["autoencoders"]["kl"] = {"family": "diffusers-kl", "folder": "resources/weights/kl"}
    study["autoencoders"]["tuned"] = {"family": "finetuned", "parent": "kl"}
    study["heads"] = {"cnn": {"family": "timm"}, "probe": {"family": "linear"}}
    made = Plan(Study(study))
    assert made.views("blobs") == ["blobs.view0", "blobs.view1"]
    assert made.views("plain") == []
    for view in made.views("blobs"):
        assert made.member(view, "tuned-fold1") == made.member("blobs", "tuned-fold1")
        assert made.weights(view, "tuned-fold1") == made.weights("blobs", "tuned-fold1") != []
    found = made.viewed("reconstruction", "blobs", "tuned-fold1", "cnn")
    assert found.stores[1] == "results/reconstructions/blobs.view1/tuned-fold1.zarr"
    assert found.shards[2] == "results/reconstructions/blobs.view1/tuned-fold1.zarr/c/0/0/0/0"
    assert found.manifests[-1] == "results/reconstructions/blobs.view1/tuned-fold1/1.json"
    # Not every head is trained on views.
    assert made.viewed("latent", "blobs", "kl", "probe").stores == []
    assert Plan(Study(STUDY)).all_views() == "(?!)"


def with_views(folder: Path, **augmentation: object) -> None:
    configure(folder, copy.deepcopy(STUDY) | {"augmentation": augmentation})


def test_views_go_through_the_rules_and_more_of_them_leave_those_that_are_there(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    with_views(folder, views=2)
    last = "results/reconstructions/blobs.view1/lossy/{}.json"
    run(folder, last.format(1))
    plain = folder / "results/latents/blobs/lossy"
    assert not plain.exists()
    assert Rows(folder / "results/latents/blobs.view1/lossy.zarr").shape == (1, 2, 2)
    with_views(folder, views=4)
    assert plan(folder, last.format(1)) == {}
    jobs = plan(folder, "results/latents/blobs.view3/lossy/1.json")
    assert jobs == {"lay_out_view": 1, "augment": 1, "lay_out_latents": 1, "encode": 1}
    with_views(folder, views=4, rotation=10)
    assert plan(folder, last.format(1)) == {"augment": 1, "encode": 1, "decode": 1}
    assert "augment" not in plan(folder, "results/latents/blobs/lossy/0.json")
