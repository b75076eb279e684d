"""ONNX pairs: graphs with known answers, graphs that must be refused, and a published one on real images."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image
from pydantic import ValidationError

from pipeline.autoencoders.onnx import Spec
from pipeline.errors import StudyError
from pipeline.natural_images import natural_images
from pipeline.networks.onnx_pair import interpolation
from pipeline.networks.patches import unshuffle
from tests.onnx_files import OPEN, patches, save, unshuffling

PIXELS = natural_images(3, 64, seed=44)
UNIT = [0, 1]
# The published decoder's pixels are 127 x + 127 of 255.
VAELIGHT = {
    "encoder_range": [-1, 1],
    "decoder_range": [-1, 128 / 127],
    "image_outputs": ["output", "101", "92", "77"],
}


def read(**options: Any) -> Spec:  # noqa: ANN401 (whatever a configuration may say)
    return Spec.model_validate({"family": "onnx", "encoder_range": UNIT, **options})


@pytest.mark.parametrize("ends", [UNIT, [-1, 1], [0, 255]])
def test_a_rearranging_pair_gives_patches_in_its_own_range_and_loses_nothing(tmp_path: Path, ends: list[int]) -> None:
    spec = read(**unshuffling(tmp_path), encoder_range=ends)
    autoencoder = spec.load(3)
    latents = autoencoder.encode(PIXELS).mean
    expected = ends[0] + (ends[1] - ends[0]) * unshuffle(PIXELS, 4)
    np.testing.assert_allclose(latents, expected, atol=1e-6 * ends[1])
    np.testing.assert_allclose(autoencoder.decode(latents), PIXELS, atol=1e-6)
    assert spec.latent_shape((3, 64, 64)) == (48, 16, 16)


def test_the_decoder_may_have_a_range_of_its_own(tmp_path: Path) -> None:
    autoencoder = read(**unshuffling(tmp_path), encoder_range=UNIT, decoder_range=[-0.5, 1.5]).load(3)
    decoded = autoencoder.decode(autoencoder.encode(PIXELS).mean)
    np.testing.assert_allclose(decoded, 0.25 + PIXELS / 2, atol=1e-6)


def test_a_grey_image_is_repeated_and_its_channels_are_averaged(tmp_path: Path) -> None:
    spec = read(**unshuffling(tmp_path))
    grey = PIXELS[:, :1]
    latents = spec.load(1).encode(grey).mean
    np.testing.assert_array_equal(latents, spec.load(3).encode(np.repeat(grey, 3, axis=1)).mean)
    np.testing.assert_allclose(spec.load(1).decode(latents), grey, atol=1e-6)
    with pytest.raises(StudyError, match="3 channels does not take images of 2"):
        spec.load(2)


def test_graphs_for_one_image_take_batches(tmp_path: Path) -> None:
    one, many = (
        read(**unshuffling(tmp_path / str(count), count=count)).load(3).encode(PIXELS).mean for count in (1, "n")
    )
    np.testing.assert_array_equal(one, many)
    with pytest.raises(StudyError, match="n being open or 1"):
        read(**unshuffling(tmp_path / "two", count=2)).load(3)


def test_graphs_in_half_precision_work(tmp_path: Path) -> None:
    autoencoder = read(**unshuffling(tmp_path, kind=TensorProto.FLOAT16)).load(3)
    latents = autoencoder.encode(PIXELS).mean
    assert latents.dtype == np.float32
    np.testing.assert_allclose(autoencoder.decode(latents), PIXELS, atol=5e-4)


def test_graphs_of_one_size_refuse_others(tmp_path: Path) -> None:
    spec = read(**unshuffling(tmp_path, size=(64, 32)))
    assert spec.latent_shape((3, 64, 32)) == (48, 16, 8)
    with pytest.raises(StudyError, match="takes images of 64 x 32 and not of 64 x 64"):
        spec.latent_shape((3, 64, 64))
    with pytest.raises(StudyError, match="takes images of 64 x 32 and not of 64 x 64"):
        spec.load(3).encode(PIXELS)


def test_sizes_that_do_not_divide_are_refused_when_encoding(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="63 x 64"):
        read(**unshuffling(tmp_path)).load(3).encode(PIXELS[:, :, :63])


def test_what_is_stated_is_checked_and_what_a_graph_leaves_open_must_be_stated(tmp_path: Path) -> None:
    pair = unshuffling(tmp_path)
    with pytest.raises(StudyError, match="stride of 4, and not of 8"):
        read(**pair, stride=8).load(3)
    with pytest.raises(StudyError, match="3 channels, and not of 1"):
        read(**pair, channels=1).load(1)
    assert read(**pair, stride=4, channels=3).latent_shape((3, 8, 8)) == (48, 2, 2)
    conv = helper.make_node("Conv", ["image", "kernel"], ["latent"], strides=[4, 4])
    pair["encoder"] = save(tmp_path / "open.onnx", [conv], {"image": OPEN}, ["latent"], {"kernel": patches(3, 4)})
    with pytest.raises(StudyError, match="say 'channels'"):
        read(**pair).load(3)
    assert read(**pair, channels=3).latent_shape((3, 64, 64)) == (48, 16, 16)


def test_a_stride_that_does_not_divide_the_usual_size_must_be_stated(tmp_path: Path) -> None:
    pair = unshuffling(tmp_path, stride=7)
    with pytest.raises(StudyError, match="no stride"):
        read(**pair).load(3)
    assert read(**pair, stride=7).latent_shape((3, 28, 28)) == (147, 4, 4)


def test_a_gaussian_posterior_is_split_and_bounded(tmp_path: Path) -> None:
    pair = unshuffling(tmp_path)
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["mean"], strides=[4, 4]),
        helper.make_node("Mul", ["mean", "large"], ["log_variance"]),
        helper.make_node("Concat", ["mean", "log_variance"], ["moments"], axis=1),
    ]
    weights = {"kernel": patches(3, 4), "large": np.float32(25)}
    encoder = save(tmp_path / "moments.onnx", nodes, {"image": ("n", 3, "h", "w")}, ["moments"], weights)
    spec = read(encoder=encoder, decoder=pair["decoder"], posterior="gaussian")
    latents = spec.load(3).encode(PIXELS)
    np.testing.assert_array_equal(latents.mean, unshuffle(PIXELS, 4))
    assert latents.log_variance is not None
    np.testing.assert_allclose(latents.log_variance, np.minimum(25 * latents.mean, 20), rtol=1e-6)
    assert spec.latent_shape((3, 64, 64)) == (48, 16, 16)
    with pytest.raises(StudyError, match="on an array of"):
        read(encoder=encoder, decoder=pair["decoder"]).load(3)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 8))
def test_levels_grow_as_bilinear_interpolation_does(rows: int, columns: int, factor: int) -> None:
    level = np.random.default_rng(rows).random((1, 2, rows, columns), dtype=np.float32)
    size = (rows * factor, columns * factor)
    expected = torch.nn.functional.interpolate(torch.from_numpy(level), size, mode="bilinear", align_corners=False)
    grown = interpolation(size[0], rows) @ level @ interpolation(size[1], columns).T
    np.testing.assert_allclose(grown, expected.numpy(), atol=1e-6)


def pyramid(folder: Path) -> dict[str, str]:
    """A decoder that gives half the image, and the patches' own means as a coarse level."""
    pair = unshuffling(folder)
    means = np.zeros((3, 48, 1, 1), np.float32)
    for channel in range(3):
        means[channel, 16 * channel : 16 * (channel + 1)] = 1 / 32
    nodes = [
        helper.make_node("ConvTranspose", ["latent", "kernel"], ["fine"], strides=[4, 4]),
        helper.make_node("Conv", ["latent", "means"], ["coarse"]),
    ]
    weights = {"kernel": patches(3, 4) / 2, "means": means}
    return pair | {
        "decoder": save(folder / "two.onnx", nodes, {"latent": ("n", 48, "h", "w")}, ["coarse", "fine"], weights)
    }


def test_the_levels_of_a_pyramid_add_up_to_the_image(tmp_path: Path) -> None:
    pair = pyramid(tmp_path)
    autoencoder = read(**pair, image_outputs=["fine", "coarse"]).load(3)
    means = torch.nn.functional.avg_pool2d(torch.from_numpy(PIXELS), 4)
    coarse = torch.nn.functional.interpolate(means, scale_factor=4, mode="bilinear", align_corners=False)
    decoded = autoencoder.decode(autoencoder.encode(PIXELS).mean)
    np.testing.assert_allclose(decoded, (PIXELS + coarse.numpy()) / 2, atol=1e-6)


def test_outputs_must_be_chosen_and_give_the_whole_image(tmp_path: Path) -> None:
    pair = pyramid(tmp_path)
    with pytest.raises(StudyError, match=r"several outputs \(coarse, fine\)"):
        read(**pair).load(3)
    with pytest.raises(StudyError, match=r"no output 'finest'; it has coarse, fine"):
        read(**pair, image_outputs=["finest"]).load(3)
    with pytest.raises(StudyError, match="gives 3 x 16 x 16, and the image is 3 x 64 x 64"):
        read(**pair, image_outputs=["coarse"]).load(3)
    with pytest.raises(StudyError, match="no output 'mean'; it has latent"):
        read(**pair, latent_output="mean", image_outputs=["fine"]).load(3)


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_a_graph_that_draws_random_numbers_is_refused(tmp_path: Path, side: str) -> None:
    pair = unshuffling(tmp_path)
    taken, shape = ("image", ("n", 3, "h", "w")) if side == "encoder" else ("latent", ("n", 48, "h", "w"))
    conv = "Conv" if side == "encoder" else "ConvTranspose"
    nodes = [
        helper.make_node(conv, [taken, "kernel"], ["mean"], strides=[4, 4]),
        helper.make_node("RandomNormalLike", ["mean"], ["noise"], seed=1.0),
        helper.make_node("Add", ["mean", "noise"], ["sample"]),
    ]
    pair[side] = save(tmp_path / "drawing.onnx", nodes, {taken: shape}, ["sample"], {"kernel": patches(3, 4)})
    with pytest.raises(StudyError, match="draws random numbers"):
        read(**pair).load(3)


def test_values_that_are_not_finite_are_refused_even_if_a_graph_would_hide_them(tmp_path: Path) -> None:
    autoencoder = read(**unshuffling(tmp_path)).load(3)
    with pytest.raises(StudyError, match="not finite"):
        autoencoder.encode(np.full((1, 3, 64, 64), np.nan, np.float32))
    with pytest.raises(StudyError, match="not finite"):
        autoencoder.decode(np.full((1, 48, 16, 16), np.inf, np.float32))
    overflowing = read(**unshuffling(tmp_path / "half", kind=TensorProto.FLOAT16), encoder_range=[0, 1e9])
    with pytest.raises(StudyError, match="not finite"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's own, of the overflow
        overflowing.load(3)


def test_files_that_are_missing_or_no_graphs_are_named(tmp_path: Path) -> None:
    pair = unshuffling(tmp_path)
    with pytest.raises(StudyError, match=r"no file .*elsewhere\.onnx"):
        read(encoder=pair["encoder"], decoder=str(tmp_path / "elsewhere.onnx")).load(3)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(Path(pair["encoder"]).read_bytes()[:-20])
    with pytest.raises(StudyError, match=r"broken\.onnx cannot be read"):
        read(encoder=str(broken), decoder=pair["decoder"]).load(3)
    with pytest.raises(StudyError, match="on an array of"):
        read(encoder=pair["encoder"], decoder=pair["encoder"]).load(3)


def test_graphs_with_other_inputs_are_refused(tmp_path: Path) -> None:
    pair = unshuffling(tmp_path)
    add = [helper.make_node("Add", ["image", "noise"], ["latent"])]
    two = save(tmp_path / "two.onnx", add, {"image": OPEN, "noise": OPEN}, ["latent"])
    with pytest.raises(StudyError, match=r"2 inputs \(image, noise\)"):
        read(**{**pair, "encoder": two}).load(3)
    same = [helper.make_node("Identity", ["image"], ["latent"])]
    whole = save(tmp_path / "whole.onnx", same, {"image": OPEN}, ["latent"], kind=TensorProto.INT64)
    with pytest.raises(StudyError, match=r"takes a tensor\(int64\)"):
        read(**{**pair, "encoder": whole}).load(3)
    flat = save(tmp_path / "flat.onnx", same, {"image": ("n", "values")}, ["latent"])
    with pytest.raises(StudyError, match="must take n x c x h x w"):
        read(**{**pair, "encoder": flat}).load(3)


def test_weights_outside_a_graph_must_be_named_and_are_files_of_the_autoencoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = unshuffling(tmp_path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    data = [str(tmp_path / "weights.bin")]
    monkeypatch.chdir(tmp_path)  # where the runtime would otherwise find them
    with pytest.raises(StudyError, match="cannot be read"):
        read(**pair).load(3)
    spec = read(**pair, data=data)
    np.testing.assert_array_equal(spec.load(3).encode(PIXELS).mean, unshuffle(PIXELS, 4))
    assert spec.files() == [pair["encoder"], pair["decoder"], *data]


def test_weights_of_one_name_in_two_folders_are_not_mixed_up(tmp_path: Path) -> None:
    outside = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    encoder = unshuffling(tmp_path / "one", **outside)["encoder"]
    (tmp_path / "two").mkdir()
    conv = helper.make_node("ConvTranspose", ["latent", "kernel"], ["image"], strides=[4, 4])
    kernel = {"kernel": patches(3, 4) / 2}
    decoder = save(tmp_path / "two/decoder.onnx", [conv], {"latent": ("n", 48, "h", "w")}, ["image"], kernel, **outside)
    data = [str(tmp_path / folder / "weights.bin") for folder in ("one", "two")]
    autoencoder = read(encoder=encoder, decoder=decoder, data=data).load(3)
    latents = autoencoder.encode(PIXELS).mean
    np.testing.assert_array_equal(latents, unshuffle(PIXELS, 4))
    np.testing.assert_allclose(autoencoder.decode(latents), PIXELS / 2, atol=1e-6)


def test_an_encoder_whose_grid_does_not_grow_with_the_image_is_refused(tmp_path: Path) -> None:
    pair = unshuffling(tmp_path, stride=8)
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["patches"], strides=[8, 8]),
        helper.make_node("Slice", ["patches", "start", "stop", "axes"], ["latent"]),
    ]
    ends = {"start": np.array([0, 0]), "stop": np.array([8, 8]), "axes": np.array([2, 3])}
    weights = {"kernel": patches(3, 8), **ends}
    pair["encoder"] = save(tmp_path / "cut.onnx", nodes, {"image": ("n", 3, "h", "w")}, ["latent"], weights)
    autoencoder = read(**pair).load(3)
    with pytest.raises(StudyError, match="makes 192 x 8 x 8 of 3 x 128 x 64, not 192 x 16 x 8"):
        autoencoder.encode(np.concatenate([PIXELS, PIXELS], axis=2))


@pytest.mark.parametrize("ends", [[1, -1], [0, 0], [0, float("nan")], [0, float("inf")], [0]])
def test_ranges_must_ascend(ends: list[float]) -> None:
    with pytest.raises(ValidationError, match="encoder_range"):
        read(encoder="e", decoder="d", encoder_range=ends)


def vaelight(shared: Path) -> Spec:
    folder = shared / "weights" / "vaelight"
    return read(encoder=str(folder / "VAEencoder.onnx"), decoder=str(folder / "VAEpreview.onnx"), **VAELIGHT)


def test_a_published_pair_is_read_as_its_authors_read_it(shared: Path) -> None:
    spec = vaelight(shared)
    autoencoder = spec.load(3)
    latents = autoencoder.encode(PIXELS).mean
    assert spec.latent_shape((3, 64, 64)) == (4, 8, 8)
    encoder, decoder = (onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]) for file in spec.files())
    np.testing.assert_allclose(latents, encoder.run(None, {"input": PIXELS * 2 - 1})[0], atol=1e-4)
    levels = [torch.from_numpy(level) for level in decoder.run(None, {"latent": latents})]
    assert [level.shape[-1] for level in levels] == [8, 16, 32, 64]
    grown = [torch.nn.functional.interpolate(level, (64, 64), mode="bilinear", align_corners=False) for level in levels]
    expected = (sum(grown).numpy() * 127 + 127) / 255
    np.testing.assert_allclose(autoencoder.decode(latents), np.clip(expected, 0, 1), atol=1e-5)


def psnr(images: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    return -10 * np.log10(np.square(images.astype(np.float64) - others).mean(axis=(1, 2, 3)))


def test_a_published_pair_is_as_faithful_as_stated_on_crops_of_medical_images(shared: Path) -> None:
    golden = np.load(shared / "weights" / "taef2" / "golden.npz", allow_pickle=False)
    images = (golden["image_uint8"].transpose(0, 3, 1, 2) / 255).astype(np.float32)
    autoencoder = vaelight(shared).load(3)
    found = psnr(autoencoder.decode(autoencoder.encode(images).mean), images)
    assert np.floor(found.min()) == 21
    assert np.floor(found.max()) == 27


@pytest.mark.parametrize("dataset", ["chest-xray", "dermatoscopy", "lung-ultrasound"])
def test_a_published_pair_is_as_faithful_as_stated_on_whole_medical_images(shared: Path, dataset: str) -> None:
    images = real_images(shared / "data" / dataset / "images", colour=dataset == "dermatoscopy", size=128)
    autoencoder = vaelight(shared).load(images.shape[1])
    found = psnr(autoencoder.decode(autoencoder.encode(images).mean), images)
    assert 20.5 < found.mean() < 27.5


def real_images(folder: Path, *, colour: bool, size: int) -> NDArray[np.float32]:
    files = sorted(folder.iterdir())
    pieces = []
    for file in files[:: len(files) // 12][:12]:
        image = Image.open(file).convert("RGB" if colour else "L").resize((size, size), Image.Resampling.BILINEAR)
        pieces.append(np.atleast_3d(np.asarray(image, dtype=np.float32) / 255))
    return np.stack(pieces).transpose(0, 3, 1, 2)
