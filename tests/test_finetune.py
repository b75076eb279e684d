"""Fine-tuning: what it sees, what it keeps, and that ending it at any moment changes nothing."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import save_file

from pipeline import families, finetune
from pipeline.autoencoders.finetuned import Spec
from pipeline.errors import StudyError
from pipeline.files import sha256
from pipeline.folds import splits
from pipeline.networks.checkpoint import NAME
from pipeline.networks.lpips import shapes
from pipeline.networks.network import TrainableSpec
from pipeline.networks.tae import TinyAutoencoder
from pipeline.scattered import Scattered
from pipeline.store import Rows
from tests import untrained
from tests.finetuning import RECIPE, RESULT, Program, images, index, minute, parent, recipe, write

SPLIT = splits(index())[0]
WEIGHTS = Path(__file__).parent.parent / "resources" / "weights"


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return minute(tmp_path_factory.mktemp("minute"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder, images())
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that are large enough for LPIPS and a discriminator."""
    folder = tmp_path_factory.mktemp("large")
    write(folder, images(32))
    return folder


def train(data: Path, spec: Spec, own: TrainableSpec, folder: Path, identity: str = "one") -> pd.DataFrame:
    finetune.finetune(spec, own, Rows(data / "images.zarr"), SPLIT, identity, folder)
    return pd.read_csv(folder / "curve.csv")


def same(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in RESULT)


@pytest.fixture(scope="module")
def tuned(data: Path, entry: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of the recipe, undisturbed."""
    folder = tmp_path_factory.mktemp("tuned") / "minute-fold0"
    done = Program(data, entry).run(folder, recipe())
    assert done.returncode == 0, done.stderr
    return folder


def test_two_lines_are_a_recipe_and_no_autoencoder() -> None:
    spec = families.spec("autoencoders", {"family": "finetuned", "parent": "kl"})
    assert isinstance(spec, Spec)
    assert spec.files() == []
    for use in (lambda: spec.load(3), lambda: spec.latent_shape((3, 64, 64))):
        with pytest.raises(StudyError, match="a fine-tuned kl is a recipe: its members, one for each fold"):
            use()


def test_another_data_set_trains_no_member_again() -> None:
    assert recipe(datasets=["a"]).written() == recipe(datasets=["a", "b"]).written() == recipe().written()
    assert json.loads(recipe().written()) == {"family": "finetuned", "parent": "minute", **RECIPE}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"lpips_weight": 1.0}, "'lpips_weight' needs 'lpips'"),
        ({"adversarial_weight": 0.5, "adversarial_start": 40}, "not before the last"),
        ({"tile": 64}, "'tile' is the parent's"),
        ({"learning_rte": 1}, "learning_rte"),
        ({"kl_weight": float("inf")}, "finite"),
        ({"steps": 0}, "steps"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(options: dict[str, object], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        recipe(**options)


def test_the_weights_of_lpips_are_named_where_they_are_used() -> None:
    assert recipe(lpips="a.safetensors", lpips_weight=0.1).files() == ["a.safetensors"]
    assert recipe(lpips="a.safetensors").files() == []


def test_fine_tuning_lowers_the_validation_loss_and_keeps_the_best(
    tuned: Path, data: Path, entry: dict[str, Any]
) -> None:
    assert sorted(path.name for path in tuned.iterdir()) == list(RESULT)
    assert not tuned.with_name(f".{tuned.name}").exists()
    curve, made = pd.read_csv(tuned / "curve.csv"), json.loads((tuned / "parent.json").read_text())
    assert list(curve["step"]) == [0, 10, 20, 30, 40]
    assert curve["reconstruction"].iloc[-1] < 0.7 * curve["reconstruction"].iloc[1]
    assert np.isnan(curve["reconstruction"].iloc[0])
    best = curve.loc[curve["validation_loss"].idxmin()]
    assert (made["best_step"], made["steps"]) == (best["step"], 40)
    assert made["best_validation_loss"] == best["validation_loss"] < made["parent_validation_loss"]
    # Read as the workflow will read them, the weights give the fidelity that the curve states.
    autoencoder, seen = parent(entry).tuned(str(tuned)).load(1), Rows(data / "images.zarr").read(0, 48)
    pixels = seen[SPLIT.validation]
    errors = np.square(autoencoder.decode(autoencoder.encode(pixels).mean) - pixels).mean(axis=(1, 2, 3))
    assert -10 * np.log10(errors).mean() == pytest.approx(best["validation_psnr"], abs=1e-3)


def test_what_the_weights_come_from_is_stated(tuned: Path, entry: dict[str, Any]) -> None:
    made = json.loads((tuned / "parent.json").read_text())
    assert (made["parent"], made["fold"], made["seed"]) == ("minute", 0, 0)
    assert (made["training_rows"], made["validation_rows"]) == (len(SPLIT.train), len(SPLIT.validation))
    weights = f"{entry['folder']}/diffusion_pytorch_model.safetensors"
    assert {"file": weights, "sha256": sha256(Path(weights))} in made["files"]
    assert all(value.dtype == np.float32 for value in load_file(tuned / RESULT[2]).values())


def test_what_is_worse_than_its_parent_is_never_kept(data: Path, entry: dict[str, Any], tmp_path: Path) -> None:
    own = parent({"family": "diffusers-tiny", "folder": str(WEIGHTS / "tiny")})
    curve = train(data, recipe(learning_rate=0.05, patience=2), own, tmp_path / "tiny")
    assert list(curve["step"]) == [0, 10, 20]
    assert curve["validation_loss"].idxmin() == 0
    before, after = load_file(WEIGHTS / "tiny" / RESULT[2]), load_file(tmp_path / "tiny" / RESULT[2])
    assert set(before) == set(after)
    assert all((after[name] == value.astype(np.float32)).all() for name, value in before.items())


def test_images_of_the_test_fold_change_not_one_byte(
    tuned: Path, data: Path, entry: dict[str, Any], tmp_path: Path
) -> None:
    poisoned = images()
    hidden = np.setdiff1d(np.arange(len(poisoned)), np.concatenate([SPLIT.train, SPLIT.validation]))
    assert set(SPLIT.test) < set(hidden)
    poisoned[hidden] = np.random.default_rng(0).random(poisoned[hidden].shape)
    write(tmp_path, poisoned)
    folder = tmp_path / "minute-fold0"
    assert Program(tmp_path, entry).run(folder, recipe()).returncode == 0
    assert same(tuned, folder)
    # And those of the others do.
    poisoned[SPLIT.train[0]] = 0.5
    write(tmp_path, poisoned)
    assert Program(tmp_path, entry).run(folder, recipe()).returncode == 0
    assert not same(tuned, folder)


def test_only_training_and_validation_rows_are_asked_for(
    data: Path, entry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[np.ndarray] = []
    read = Scattered.read
    monkeypatch.setattr(Scattered, "read", lambda self, rows: asked.append(rows) or read(self, rows))
    train(data, recipe(steps=10), parent(entry), tmp_path / "minute-fold0")
    assert set(np.concatenate(asked)) == set(SPLIT.train) | set(SPLIT.validation)


@pytest.mark.parametrize("held", [0, 2**30])
def test_scattered_images_come_in_the_order_that_is_asked_for_and_no_others(data: Path, held: int) -> None:
    rows = Rows(data / "images.zarr")
    some = Scattered(rows, np.array([40, 3, 17, 4, 47]), held)
    np.testing.assert_array_equal(some.read(np.array([17, 47, 3, 17])), rows.read(0, 48)[[17, 47, 3, 17]])
    with pytest.raises(StudyError, match="row 5 is not among the images"):
        some.read(np.array([3, 5]))


def test_folds_that_are_not_tested_are_refused(data: Path, entry: dict[str, Any], tmp_path: Path) -> None:
    done = Program(data, entry).run(tmp_path / "x", recipe(), fold=3)
    assert done.returncode == 1
    assert "fold 3 is not one that is tested" in done.stderr
    official = index().assign(part="train")
    with pytest.raises(StudyError, match="fold 1 is not one"):
        finetune.split_of(official, 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_ended_training_goes_on_to_the_same_bytes(
    tuned: Path, data: Path, entry: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    folder, program = tmp_path / tuned.name, Program(data, entry)
    status, said = program.end(folder, recipe(), number)
    assert status == (-number if number == signal.SIGKILL else 1)
    assert number == signal.SIGKILL or "the next call goes on from there" in said
    assert not folder.exists()
    done = program.run(folder, recipe())
    assert "going on after step" in done.stderr, done.stderr
    assert same(tuned, folder)
    assert not folder.with_name(f".{folder.name}").exists()


def counting(calls: list[int]) -> Callable[[], AbstractContextManager[Callable[[], bool]]]:
    """Return a stand-in for `ending` that says yes after so many questions, in turn."""
    turns = cycle(calls)

    @contextmanager
    def ending() -> Iterator[Callable[[], bool]]:
        asked = iter(range(next(turns)))
        yield lambda: next(asked, None) is None

    return ending


HARD = {"steps": 6, "evaluate_every": 2, "adversarial_weight": 0.5, "adversarial_start": 1, "precision": "bfloat16"}


def test_ending_at_any_moment_changes_nothing_not_even_with_a_discriminator(
    large: Path, entry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(large, recipe(**HARD), parent(entry), tmp_path / "one")
    monkeypatch.setattr(finetune, "ending", counting([4, 2, 5, 1]))
    ends = 0
    while not (tmp_path / "two").exists():
        try:
            train(large, recipe(**HARD), parent(entry), tmp_path / "two")
        except StudyError as error:
            assert "the next call goes on" in error.message
            ends += 1
    assert ends > 3
    assert same(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("damaged", [False, True])
def test_the_state_of_another_training_is_not_gone_on_with(
    damaged: bool,
    data: Path,
    entry: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "minute-fold0"
    with monkeypatch.context() as patch, pytest.raises(StudyError, match="ended after step"):
        patch.setattr(finetune, "ending", counting([7]))
        train(data, recipe(steps=10), parent(entry), folder, "one")
    checkpoint = folder.with_name(f".{folder.name}") / NAME
    if damaged:
        checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    train(data, recipe(steps=10, seed=1), parent(entry), folder, "one" if damaged else "two")
    said = capsys.readouterr().err
    assert "training starts over" in said
    assert "going on" not in said
    train(data, recipe(steps=10, seed=1), parent(entry), tmp_path / "undisturbed")
    assert same(folder, tmp_path / "undisturbed")


def test_an_identity_changes_with_everything_that_the_result_depends_on(
    data: Path, entry: dict[str, Any], tmp_path: Path
) -> None:
    manifests = [data / "images/0.json", data / "images/1.json"]
    moved = shutil.copytree(entry["folder"], tmp_path / "moved")
    other, changed = parent(entry).tuned(str(moved)), tmp_path / "0.json"
    changed.write_text("{}")
    first = finetune.identity(recipe(), other, SPLIT, manifests)
    assert first == finetune.identity(recipe(checkpoint_every=9), other, SPLIT, manifests)
    found = {
        first,
        finetune.identity(recipe(learning_rate=1), other, SPLIT, manifests),
        finetune.identity(recipe(), other, splits(index())[1], manifests),
        finetune.identity(recipe(), other, SPLIT, [changed, manifests[1]]),
    }
    (moved / RESULT[2]).write_bytes(b"other weights")
    assert len(found | {finetune.identity(recipe(), other, SPLIT, manifests)}) == 5


def test_a_finished_state_is_safe_to_read(data: Path, entry: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "minute-fold0"
    Program(data, entry).end(folder, recipe(steps=10_000), signal.SIGTERM, step=1)
    with safe_open(folder.with_name(f".{folder.name}") / NAME, framework="numpy") as file:
        parts = {name.split(".")[0] for name in file.keys()}  # noqa: SIM118
        progress = json.loads(file.metadata()["progress"])
    assert parts == {"network", "best", "optimiser"}
    assert progress["progress"]["step"] > 0


def perceptual(folder: Path) -> str:
    """Write LPIPS weights drawn at random, heads not negative, and return their file."""
    random = torch.Generator().manual_seed(0)
    drawn = {name: 0.05 * torch.randn(shape, generator=random) for name, shape in shapes().items()}
    drawn = {name: value.abs() if name.startswith("lin") else value for name, value in drawn.items()}
    save_file(drawn, folder / "lpips.safetensors")
    return str(folder / "lpips.safetensors")


def test_every_term_and_precision_changes_the_result_and_stays_finite(
    large: Path, entry: dict[str, Any], tmp_path: Path
) -> None:
    variants: dict[str, dict[str, Any]] = {
        "plain": {},
        "seed": {"seed": 1},
        "l2": {"reconstruction": "l2"},
        "kl": {"kl_weight": 1.0},
        "lpips": {"lpips": perceptual(tmp_path), "lpips_weight": 1.0},
        "adversarial": {"adversarial_weight": 0.5},
        "bfloat16": {"precision": "bfloat16"},
        "float16": {"precision": "float16"},
    }
    results = set()
    for name, options in variants.items():
        curve = train(large, recipe(steps=3, evaluate_every=3, **options), parent(entry), tmp_path / name)
        given = {"reconstruction", "kl"} | ({"lpips"} if name == "lpips" else set())
        given |= {"adversarial", "adaptive", "discriminator"} if name == "adversarial" else set()
        assert set(curve.iloc[-1].dropna().index) == given | {"step", "validation_loss", "validation_psnr"}
        assert all(np.isfinite(value).all() for value in load_file(tmp_path / name / RESULT[2]).values())
        results.add((tmp_path / name / RESULT[2]).read_bytes())
    assert len(results) == len(variants)


def test_images_too_small_for_a_discriminator_or_lpips_are_refused(
    data: Path, entry: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match="at least 24 x 24"):
        train(data, recipe(adversarial_weight=1), parent(entry), tmp_path / "x")
    with pytest.raises(StudyError, match="LPIPS needs images"):
        train(data, recipe(lpips=perceptual(tmp_path), lpips_weight=1), parent(entry), tmp_path / "x")


def test_a_loss_that_is_not_finite_ends_the_training(data: Path, entry: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="not finite; lower the learning rate"):
        train(data, recipe(learning_rate=1e30), parent(entry), tmp_path / "x")
    assert not (tmp_path / "x").exists()


FAMILIES = ["tae", "diffusers-tiny", *(name for name in untrained.FAMILIES if name != "diffusers-rae")]


def untrained_entry(family: str, folder: Path) -> dict[str, str]:
    if family == "diffusers-tiny":
        return {"folder": str(WEIGHTS / "tiny")}
    if family == "tae":
        save_file(TinyAutoencoder().state_dict(), folder / "tae.safetensors")
        return {"weights": str(folder / "tae.safetensors")}
    return untrained.entry(family, folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_trainable_families_are_trained_and_read_again(family: str, large: Path, tmp_path: Path) -> None:
    own = parent({"family": family, **untrained_entry(family, tmp_path)})
    train(large, recipe(steps=10, learning_rate=1e-4), own, tmp_path / "tuned")
    autoencoder = own.tuned(str(tmp_path / "tuned")).load(1)
    made = json.loads((tmp_path / "tuned" / "parent.json").read_text())
    seen = Rows(large / "images.zarr").read(0, 48)[SPLIT.validation]
    decoded = autoencoder.decode(autoencoder.encode(seen).mean)
    assert np.abs(decoded - seen).mean() == pytest.approx(made["best_validation_loss"], rel=1e-3)


def test_of_an_autoencoder_with_a_frozen_encoder_the_decoder_is_trained(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the encoder of AutoencoderRAE is one of the package transformers")
    own = parent({"family": "diffusers-rae", **untrained.entry("diffusers-rae", tmp_path)})
    write(tmp_path, images(64, 3))
    train(tmp_path, recipe(steps=2, evaluate_every=2), own, tmp_path / "tuned")
    assert json.loads((tmp_path / "tuned/parent.json").read_text())["best_step"] == 2
    before, after = load_file(tmp_path / RESULT[2]), load_file(tmp_path / "tuned" / RESULT[2])
    changed = {name.split(".")[0] for name, value in before.items() if (after[name] != value).any()}
    assert "encoder" in {name.split(".")[0] for name in before}
    assert "decoder" in changed
    assert "encoder" not in changed


def test_families_without_a_gradient_are_refused(large: Path, tmp_path: Path) -> None:
    for space in ("quantised", "pre-quantised"):
        own = parent({"family": "diffusers-vq", "folder": str(WEIGHTS / "vq"), "space": space})
        with pytest.raises(StudyError, match="no gradient passes through its latents"):
            train(large, recipe(parent="vq"), own, tmp_path / "x")
        with pytest.raises(StudyError, match="its codebook gives the encoder no gradient"):
            own.tuned("elsewhere")
    with pytest.raises(StudyError, match="family identity cannot be fine-tuned"):
        finetune.read_parent('{"family": "identity"}')


def test_weights_that_are_not_the_pinned_ones_are_refused(data: Path, entry: dict[str, Any], tmp_path: Path) -> None:
    moved = shutil.copytree(entry["folder"], tmp_path / "moved")
    (moved / f"{RESULT[2]}.sha256").write_text(f"{'0' * 64}  {RESULT[2]}\n")
    done = Program(data, {**entry, "folder": str(moved)}).run(tmp_path / "x", recipe())
    assert done.returncode == 1
    assert "has changed" in done.stderr
    assert "0" * 64 in done.stderr


def test_an_index_of_other_samples_and_a_changed_shard_are_refused(entry: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, images())
    index().iloc[:-1].to_parquet(tmp_path / "index.parquet")
    assert "holds 48 samples and the index 47" in Program(tmp_path, entry).run(tmp_path / "x", recipe()).stderr
    (tmp_path / "images.zarr/c/1/0/0/0").write_bytes(b"changed")
    assert "is not what" in Program(tmp_path, entry).run(tmp_path / "x", recipe()).stderr
