"""Every family of autoencoders keeps the contract."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline import families
from pipeline.autoencoders import AutoencoderSpec, Staged
from pipeline.errors import StudyError
from pipeline.natural_images import natural_images
from pipeline.networks.adapter import TorchAutoencoder
from pipeline.networks.network import TrainableSpec
from pipeline.networks.tiles import Tiled
from tests import untrained
from tests.autoencoder_entries import CODECS, CONTROLS, ENTRIES, FEATURES, FLUX, RECIPES, ROOT, UNTRAINED, psnr, read
from tests.onnx_files import unshuffling

PIXELS = natural_images(6, 64, seed=41)
BY_PATCH = [*CONTROLS, *CODECS, "onnx"]
"""Families that treat patches one by one; the ONNX graphs of these tests rearrange them."""
ONE_SIZE = ["diffusers-rae"]
TRAINABLE = ["tae", "medvae", *(family for family in ENTRIES if family.startswith("diffusers-"))]
WITHOUT_STAGES = ["diffusers-rae"]
"""A transformer decodes, and has no maps on the way."""


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Untrained autoencoders on disk, by family: none is shipped."""
    return {family: untrained.entry(family, tmp_path_factory.mktemp(family)) for family in UNTRAINED}


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A pair of ONNX graphs that rearranges patches."""
    return unshuffling(tmp_path_factory.mktemp("pair"))


@pytest.fixture(params=sorted(set(families.names("autoencoders")) - RECIPES))
def spec(request: pytest.FixtureRequest) -> AutoencoderSpec:
    if request.param == "tae":
        return read("tae", weights=str(request.getfixturevalue("shared") / "weights" / FLUX))
    if request.param in UNTRAINED:
        return read(request.param, **request.getfixturevalue("small")[request.param])
    if request.param == "onnx":
        return read("onnx", **request.getfixturevalue("pair"))
    return read(request.param)


@pytest.fixture
def decoding(spec: AutoencoderSpec) -> AutoencoderSpec:
    if not spec.decodes:
        pytest.skip(f"{spec.family} has no decoder, see test_without_a_decoder_nothing_is_decoded")
    return spec


def tiled(spec: AutoencoderSpec, side: int) -> Tiled:
    return Tiled(spec.load(3), side, 64 // spec.latent_shape((3, 64, 64))[1])


def deviation(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the root mean square of the difference in standard deviations of what is expected."""
    return float(np.sqrt(np.square(found - expected).mean()) / expected.std())


def test_every_family_is_tested() -> None:
    assert set(ENTRIES) | RECIPES == set(families.names("autoencoders"))


@pytest.mark.parametrize("channels", [1, 3])
def test_produced_arrays_are_as_declared(spec: AutoencoderSpec, channels: int) -> None:
    images = PIXELS[:2, :channels]
    autoencoder = spec.load(channels)
    latents = autoencoder.encode(images)
    assert latents.mean.shape == (2, *spec.latent_shape((channels, 64, 64)))
    assert latents.mean.dtype == np.float32
    if latents.log_variance is not None:
        assert latents.log_variance.shape == latents.mean.shape
        assert latents.log_variance.dtype == np.float32
    if not spec.decodes:
        return
    decoded = autoencoder.decode(latents.mean)
    assert decoded.shape == images.shape
    assert decoded.dtype == np.float32
    assert decoded.min() >= 0
    assert decoded.max() <= 1


def test_without_a_decoder_nothing_is_decoded(spec: AutoencoderSpec) -> None:
    assert spec.decodes == (spec.family not in FEATURES)
    if not spec.decodes:
        autoencoder = spec.load(3)
        with pytest.raises(StudyError, match="no decoder"):
            autoencoder.decode(autoencoder.encode(PIXELS[:1]).mean)


def test_images_need_not_be_square_nor_their_sides_even(spec: AutoencoderSpec) -> None:
    stride = 64 // spec.latent_shape((3, 64, 64))[1]
    height, width = (max(stride * odd, odd) for odd in (3, 5))
    if spec.family in ONE_SIZE:
        with pytest.raises(StudyError, match=f"{height} x {width}"):
            spec.latent_shape((3, height, width))
        return
    images = np.concatenate([PIXELS[:1], PIXELS[1:2]], axis=3)[:, :, :height, :width]
    autoencoder = spec.load(3)
    latents = autoencoder.encode(images).mean
    assert latents.shape[1:] == spec.latent_shape((3, height, width))
    assert latents.shape[2:] == (3, 5)
    if spec.decodes:
        assert autoencoder.decode(latents).shape == images.shape


def test_latents_and_images_depend_on_nothing_but_the_sample(spec: AutoencoderSpec) -> None:
    first, second = spec.load(3), spec.load(3)
    together = first.encode(PIXELS[:3]).mean
    alone = np.concatenate([second.encode(image[None]).mean for image in PIXELS[:3]])
    np.testing.assert_array_equal(first.encode(PIXELS[:3]).mean, together)
    np.testing.assert_allclose(alone, together, atol=1e-5)
    if not spec.decodes:
        return
    decoded = first.decode(together)
    np.testing.assert_array_equal(first.decode(together), decoded)
    np.testing.assert_allclose(np.concatenate([second.decode(code[None]) for code in together]), decoded, atol=1e-5)


def test_what_was_trained_or_is_exact_gives_the_images_back(decoding: AutoencoderSpec) -> None:
    autoencoder = decoding.load(3)
    quality = psnr(autoencoder.decode(autoencoder.encode(PIXELS).mean), PIXELS)
    assert quality > (0 if decoding.family in UNTRAINED else 22)


def test_rounding_of_stored_latents_is_far_below_what_the_decoder_resolves(decoding: AutoencoderSpec) -> None:
    autoencoder = decoding.load(3)
    latents = autoencoder.encode(PIXELS).mean
    stored = latents.astype(decoding.latent_dtype).astype(np.float32)
    np.testing.assert_allclose(autoencoder.decode(stored), autoencoder.decode(latents), atol=1e-3)


def test_one_square_over_the_whole_image_changes_nothing(spec: AutoencoderSpec) -> None:
    whole, square = spec.load(3), tiled(spec, 64)
    latents = whole.encode(PIXELS[:2])
    found = square.encode(PIXELS[:2])
    np.testing.assert_allclose(found.mean, latents.mean, rtol=1e-6, atol=1e-6)
    assert (found.log_variance is None) == (latents.log_variance is None)
    if spec.decodes:
        np.testing.assert_allclose(square.decode(latents.mean), whole.decode(latents.mean), atol=1e-6)
    assert not isinstance(spec.model_copy(update={"tile": 64}).load_for((3, 64, 64)), Tiled)


@pytest.mark.parametrize("tile", [16, 32, 48])
@pytest.mark.parametrize("width", [48, 64])
@pytest.mark.parametrize("family", BY_PATCH)
def test_what_treats_patches_one_by_one_does_not_notice_squares(
    request: pytest.FixtureRequest, family: str, width: int, tile: int
) -> None:
    if family == "jpeg" and tile == 16:
        tile = 56  # a square is at least four blocks wide
    options = request.getfixturevalue("pair") if family == "onnx" else {}
    images, size = PIXELS[:2, :, :, :width], (3, 64, width)
    whole, cut = read(family, **options).load_for(size), read(family, **options, tile=tile).load_for(size)
    assert isinstance(cut, Tiled)
    latents = whole.encode(images).mean
    # float32 beside the float64 in which squares are weighed; JPEG counts in levels of 255.
    np.testing.assert_allclose(cut.encode(images).mean, latents, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(cut.decode(latents), whole.decode(latents), atol=1e-6)


def test_squares_stay_close_for_networks(spec: AutoencoderSpec) -> None:
    """Squares of 48 pixels of images of 64, in standard deviations of the latent and of the image.

    Trained networks reach 0.02 to 0.11 and 0.03 to 0.15. Random ones attend and normalise over the whole image all the
    more: 0.03 to 0.32 and 0.03 to 0.35.
    """
    if spec.family in BY_PATCH:
        return
    if spec.family in ONE_SIZE:
        with pytest.raises(StudyError, match="'tile' is 48"):
            spec.model_copy(update={"tile": 48}).load_for((3, 64, 64))
        return
    most = 0.4 if spec.family in UNTRAINED else 0.2
    whole, cut = spec.load(3), spec.model_copy(update={"tile": 48}).load_for((3, 64, 64))
    assert isinstance(cut, Tiled)
    latents = whole.encode(PIXELS[:4]).mean
    assert 0 < deviation(cut.encode(PIXELS[:4]).mean, latents) < most
    if spec.decodes:
        assert 0 < deviation(cut.decode(latents), whole.decode(latents)) < most


def test_squares_of_a_size_that_the_model_does_not_take_are_refused() -> None:
    transformer = {"model": "vit_tiny_patch16_224", "arguments": {"img_size": 128}}
    with pytest.raises(StudyError, match="64 x 64 pixels do not fit"):
        read("timm-features", **transformer, layer=-1, tile=64).load_for((3, 128, 128))


def test_a_decoder_shows_what_it_computes_at_each_resolution(decoding: AutoencoderSpec) -> None:
    autoencoder = decoding.load(3)
    if decoding.family in (*BY_PATCH, *WITHOUT_STAGES):
        assert not isinstance(autoencoder, Staged) or not autoencoder.stages()
        return
    assert isinstance(autoencoder, Staged)
    names = autoencoder.stages()
    latents = autoencoder.encode(PIXELS[:2]).mean
    seen = autoencoder.activations(latents, names)
    sides = [seen[name].shape[2] for name in names]
    assert len(names) >= 3
    assert sides == sorted(sides)
    assert sides[0] == latents.shape[2]
    assert sides[-1] == 64
    for name in names:
        assert seen[name].shape[0] == 2
        assert seen[name].shape[2] == seen[name].shape[3]
        assert seen[name].dtype == np.float32
        assert seen[name].std() > 0
    again = decoding.load(3)
    assert isinstance(again, Staged)
    assert again.stages() == names
    np.testing.assert_array_equal(again.activations(latents, names[:1])[names[0]], seen[names[0]])


def test_a_deep_decoder_shows_its_levels_in_the_order_in_which_it_applies_them(tmp_path: Path) -> None:
    """As in dc-ae-f32c32-in-1.0, whose finest level has no layers: the image follows from half its size."""
    network, architecture = untrained.CLASSES["diffusers-dc"]
    levels = {f"{half}_block_out_channels": [8, 8, 16] for half in ("encoder", "decoder")}
    levels |= {f"{half}_qkv_multiscales": [[], [], []] for half in ("encoder", "decoder")}
    layers = {f"{half}_layers_per_block": [0, 1, 1] for half in ("encoder", "decoder")}
    untrained.untrained(network, {**architecture, **levels, **layers}).save_pretrained(tmp_path)
    autoencoder = read("diffusers-dc", folder=str(tmp_path)).load(3)
    assert isinstance(autoencoder, Staged)
    assert autoencoder.stages() == ["conv_in", "up_blocks.2", "up_blocks.1"]
    seen = autoencoder.activations(autoencoder.encode(PIXELS[:1]).mean, autoencoder.stages())
    assert [seen[name].shape[2] for name in autoencoder.stages()] == [16, 16, 32]


def test_what_can_be_trained_is_read_again_from_a_folder_of_its_own(spec: AutoencoderSpec, tmp_path: Path) -> None:
    assert isinstance(spec, TrainableSpec) == (spec.family in TRAINABLE)
    if not isinstance(spec, TrainableSpec):
        return
    if spec.family == "diffusers-vq":
        with pytest.raises(StudyError, match="no gradient"):
            spec.tuned(str(tmp_path))
        return
    codec = spec.codec()
    with torch.no_grad():
        next(parameter for parameter in codec.network.parameters() if parameter.ndim == 4).mul_(1.5)
    spec.save(codec.network, tmp_path)
    tuned = spec.tuned(str(tmp_path))
    assert tuned.latent_shape((3, 64, 64)) == spec.latent_shape((3, 64, 64))
    assert all(Path(file).parent == tmp_path for file in tuned.files())
    latents = TorchAutoencoder(codec, 3).encode(PIXELS[:1]).mean
    np.testing.assert_allclose(tuned.load(3).encode(PIXELS[:1]).mean, latents, atol=1e-5)
    assert np.abs(latents - spec.load(3).encode(PIXELS[:1]).mean).max() > 1e-3


def test_files_are_named_so_that_a_change_is_seen(spec: AutoencoderSpec) -> None:
    assert all(Path(name).is_file() for name in spec.files())
    assert bool(spec.files()) == (spec.family not in {**CONTROLS, **CODECS, **FEATURES})


def test_a_misspelt_key_is_refused(spec: AutoencoderSpec) -> None:
    with pytest.raises(ValidationError, match="strde"):
        read(spec.family, strde=4)


def test_a_size_that_does_not_divide_is_refused(spec: AutoencoderSpec) -> None:
    if spec.family == "identity":
        assert spec.latent_shape((3, 63, 64)) == (3, 63, 64)
        return
    with pytest.raises(StudyError, match="63 x 64"):
        spec.latent_shape((3, 63, 64))


def test_specifications_are_read_without_torch(small: dict[str, dict[str, str]], pair: dict[str, str]) -> None:
    found = {**ENTRIES, **small, "onnx": {**ENTRIES["onnx"], **pair}}
    entries = [{"family": family, **entry} for family, entry in found.items()]
    # Which features a model gives, only the model says: jobs ask for it, the Snakefile does not.
    code = (
        "import sys; from pipeline import families\n"
        f"specs = [families.spec('autoencoders', entry) for entry in {entries}]\n"
        f"[spec.latent_shape((3, 64, 64)) for spec in specs if spec.family not in {list(FEATURES)}]\n"
        "[spec.files() for spec in specs]\n"
        "print({'torch', 'diffusers', 'timm', 'transformers'} & set(sys.modules))"
    )
    environment = {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
