"""Every family of autoencoders keeps the contract; controls have known answers; real weights give known numbers."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from pipeline import families
from pipeline.autoencoders import AutoencoderSpec
from pipeline.autoencoders.orthogonal import haar
from pipeline.errors import StudyError
from pipeline.natural_images import natural_images
from pipeline.networks.patches import shuffle, unshuffle
from tests import untrained
from tests.onnx_files import unshuffling

ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "resources" / "weights"
FLUX = "taef2/taef2.safetensors"

CONTROLS: dict[str, dict[str, Any]] = {
    "identity": {},
    "pixel-unshuffle": {"stride": 4},
    "orthogonal": {"stride": 4, "seed": 1},
    "lossy": {"stride": 4},
}
CODECS: dict[str, dict[str, Any]] = {"dct": {"stride": 4, "keep": 6}, "jpeg": {"quality": 75}}
SHIPPED = {f"diffusers-{name}": {"folder": str(WEIGHTS / name)} for name in ("kl", "vq", "tiny")}
# What the last ones read is known only when a test runs.
UNTRAINED: dict[str, dict[str, Any]] = {family: {} for family in untrained.FAMILIES}
ENTRIES: dict[str, dict[str, Any]] = {**CONTROLS, **CODECS, **SHIPPED, **UNTRAINED, "tae": {"weights": FLUX}}
ENTRIES["onnx"] = {"encoder": "", "decoder": "", "encoder_range": [-1, 1]}
# A recipe, which has neither latents nor a codec: see test_finetune.py.
RECIPES = {"finetuned"}
LOSSLESS = ["identity", "pixel-unshuffle", "orthogonal"]
PIXELS = natural_images(6, 64, seed=41)


def read(family: str, **options: object) -> AutoencoderSpec:
    spec = families.spec("autoencoders", {"family": family, **ENTRIES[family], **options})
    assert isinstance(spec, AutoencoderSpec)
    return spec


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
    if request.param == "diffusers-rae":
        pytest.importorskip("transformers", reason="the encoder of AutoencoderRAE is one of the package transformers")
    if request.param in UNTRAINED:
        return read(request.param, **request.getfixturevalue("small")[request.param])
    if request.param == "onnx":
        return read("onnx", **request.getfixturevalue("pair"))
    return read(request.param)


def psnr(images: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    errors = np.square(images - others).mean(axis=(1, 2, 3))
    return float(-10 * np.log10(np.maximum(errors, 1e-10)).mean())


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
    decoded = autoencoder.decode(latents.mean)
    assert decoded.shape == images.shape
    assert decoded.dtype == np.float32
    assert decoded.min() >= 0
    assert decoded.max() <= 1


def test_images_need_not_be_square(spec: AutoencoderSpec) -> None:
    if spec.family == "diffusers-rae":
        with pytest.raises(StudyError, match="32 x 64"):
            spec.latent_shape((3, 32, 64))
        return
    images = PIXELS[:1, :, :32]
    autoencoder = spec.load(3)
    latents = autoencoder.encode(images).mean
    assert latents.shape[1:] == spec.latent_shape((3, 32, 64))
    assert autoencoder.decode(latents).shape == images.shape


def test_latents_and_images_depend_on_nothing_but_the_sample(spec: AutoencoderSpec) -> None:
    first, second = spec.load(3), spec.load(3)
    together = first.encode(PIXELS[:3]).mean
    alone = np.concatenate([second.encode(image[None]).mean for image in PIXELS[:3]])
    np.testing.assert_array_equal(first.encode(PIXELS[:3]).mean, together)
    np.testing.assert_allclose(alone, together, atol=1e-5)
    decoded = first.decode(together)
    np.testing.assert_array_equal(first.decode(together), decoded)
    np.testing.assert_allclose(np.concatenate([second.decode(code[None]) for code in together]), decoded, atol=1e-5)


def test_rounding_of_stored_latents_is_far_below_what_the_decoder_resolves(spec: AutoencoderSpec) -> None:
    autoencoder = spec.load(3)
    latents = autoencoder.encode(PIXELS).mean
    stored = latents.astype(spec.latent_dtype).astype(np.float32)
    np.testing.assert_allclose(autoencoder.decode(stored), autoencoder.decode(latents), atol=1e-3)


def test_files_are_named_so_that_a_change_is_seen(spec: AutoencoderSpec) -> None:
    assert all(Path(name).is_file() for name in spec.files())
    assert bool(spec.files()) == (spec.family not in {**CONTROLS, **CODECS})


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
    code = (
        "import sys; from pipeline import families\n"
        f"specs = [families.spec('autoencoders', entry) for entry in {entries}]\n"
        "[(spec.latent_shape((3, 64, 64)), spec.files()) for spec in specs]\n"
        "print({'torch', 'diffusers', 'timm'} & set(sys.modules))"
    )
    environment = {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


sizes = st.tuples(st.integers(1, 3), st.sampled_from([1, 3]), st.integers(1, 5), st.integers(1, 5), st.integers(1, 9))


def images_of(size: tuple[int, int, int, int, int]) -> NDArray[np.float32]:
    count, channels, rows, columns, stride = size
    shape = (count, channels, rows * stride, columns * stride)
    return np.random.default_rng(rows).random(shape, dtype=np.float32)


@settings(max_examples=40, deadline=None)
@given(sizes)
def test_patches_are_rearranged_as_torch_does_and_back(size: tuple[int, int, int, int, int]) -> None:
    images, stride = images_of(size), size[-1]
    patches = unshuffle(images, stride)
    expected = torch.nn.functional.pixel_unshuffle(torch.from_numpy(images), stride).numpy()
    np.testing.assert_array_equal(patches, expected)
    np.testing.assert_array_equal(shuffle(patches, stride), images)


@pytest.mark.parametrize("family", LOSSLESS)
@settings(max_examples=30, deadline=None)
@given(size=sizes)
def test_lossless_controls_invert(family: str, size: tuple[int, int, int, int, int]) -> None:
    images = images_of(size)
    options = {} if family == "identity" else {"stride": size[-1]}
    autoencoder = read(family, **options).load(images.shape[1])
    difference = np.abs(autoencoder.decode(autoencoder.encode(images).mean) - images).max()
    assert difference < 2e-6  # a quarter of half a step of the 1/65535 grid on which images are stored


def test_extreme_pixels_survive_a_large_orthogonal_mixing() -> None:
    images = np.ones((1, 3, 32, 32), np.float32)
    autoencoder = read("orthogonal", stride=16).load(3)
    assert np.abs(autoencoder.decode(autoencoder.encode(images).mean) - images).max() < 2e-6


def test_orthogonal_mixing_keeps_distances_and_not_values() -> None:
    latents = read("orthogonal").load(3).encode(PIXELS).mean
    differences = np.linalg.norm((PIXELS[:3] - PIXELS[3:]).reshape(3, -1), axis=1)
    np.testing.assert_allclose(
        np.linalg.norm((latents[:3] - latents[3:]).reshape(3, -1), axis=1), differences, rtol=1e-5
    )
    assert np.abs(latents - unshuffle(PIXELS, 4)).mean() > 0.1


def test_orthogonal_mixing_depends_on_its_seed_alone() -> None:
    first, again, other = (read("orthogonal", seed=seed).load(1).encode(PIXELS[:, :1]).mean for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.1


def test_haar_matrices_have_the_moments_of_the_uniform_distribution() -> None:
    # An entry of a Haar matrix of size n has mean 0, variance 1/n and fourth moment 3 / (n (n + 2)). Without the sign
    # correction the first column keeps a sign and the mean of entry (0, 0) is far from 0.
    matrices = np.stack([haar(4, seed) for seed in range(4000)])
    np.testing.assert_allclose(matrices[0] @ matrices[0].T, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(matrices.mean(axis=0), 0, atol=0.04)
    np.testing.assert_allclose(np.square(matrices).mean(axis=0), 1 / 4, atol=0.02)
    np.testing.assert_allclose((matrices**4).mean(axis=0), 3 / 24, atol=0.02)


def test_the_lossy_control_projects_onto_patch_means() -> None:
    autoencoder = read("lossy").load(3)
    latents = autoencoder.encode(PIXELS).mean
    pooled = torch.nn.functional.avg_pool2d(torch.from_numpy(PIXELS), 4).numpy()
    np.testing.assert_allclose(latents, pooled, atol=1e-6)
    decoded = autoencoder.decode(latents)
    np.testing.assert_array_equal(autoencoder.encode(decoded).mean, latents)
    assert psnr(decoded, PIXELS) < 35


def test_codes_of_both_spaces_decode_to_the_same_image() -> None:
    quantised, before = (read("diffusers-vq", space=space).load(3) for space in ("quantised", "pre-quantised"))
    codes, vectors = quantised.encode(PIXELS).mean, before.encode(PIXELS).mean
    assert np.abs(codes - vectors).max() > 1e-3
    np.testing.assert_allclose(quantised.decode(codes), before.decode(vectors), atol=1e-6)
    assert read("diffusers-vq").space == "quantised"


def test_a_codebook_is_used_exactly_and_widely() -> None:
    from safetensors.numpy import load_file

    book = load_file(WEIGHTS / "vq" / "diffusion_pytorch_model.safetensors")["quantize.embedding.weight"]
    codes = read("diffusers-vq").load(3).encode(natural_images(90, 64, seed=42)).mean
    used = np.unique(codes.transpose(0, 2, 3, 1).reshape(-1, codes.shape[1]), axis=0)
    assert {row.tobytes() for row in used} <= {row.tobytes() for row in book.astype(np.float32)}
    assert len(used) > len(book) / 2


def test_the_posterior_is_raw_and_never_sampled() -> None:
    import diffusers

    model = diffusers.AutoencoderKL.from_pretrained(SHIPPED["diffusers-kl"]["folder"], torch_dtype=torch.float32).eval()
    with torch.no_grad():
        posterior = model.encode(torch.from_numpy(PIXELS) * 2 - 1).latent_dist
    latents = read("diffusers-kl").load(3).encode(PIXELS)
    assert latents.log_variance is not None
    np.testing.assert_allclose(latents.mean, posterior.mean.numpy(), atol=1e-5)
    np.testing.assert_allclose(latents.log_variance, posterior.logvar.numpy(), atol=1e-5)


def test_a_grey_image_is_the_colour_image_of_three_equal_channels() -> None:
    grey = PIXELS[:2, :1]
    colour = np.repeat(grey, 3, axis=1)
    one, three = (read("diffusers-tiny").load(channels) for channels in (1, 3))
    latents = one.encode(grey).mean
    np.testing.assert_array_equal(latents, three.encode(colour).mean)
    np.testing.assert_allclose(one.decode(latents)[:, 0], three.decode(latents).mean(axis=1), atol=2e-2)


def test_images_with_other_channels_are_refused() -> None:
    with pytest.raises(StudyError, match="2"):
        read("diffusers-tiny").load(2)


def test_values_that_are_not_finite_are_refused() -> None:
    autoencoder = read("diffusers-tiny").load(3)
    with pytest.raises(StudyError, match="not finite"):
        autoencoder.encode(np.full((1, 3, 64, 64), np.nan, np.float32))
    with pytest.raises(StudyError, match="not finite"):
        autoencoder.decode(np.full((1, 8, 16, 16), np.nan, np.float32))


def test_missing_or_foreign_folders_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no file .*config\.json"):
        read("diffusers-kl", folder=str(tmp_path)).latent_shape((3, 64, 64))
    with pytest.raises(StudyError, match="describes VQModel"):
        read("diffusers-kl", folder=SHIPPED["diffusers-vq"]["folder"]).load(3)
    with pytest.raises(StudyError, match=r"no file .*elsewhere\.safetensors"):
        read("tae", weights=str(tmp_path / "elsewhere.safetensors")).load(3)
    with pytest.raises(StudyError, match="does not hold a tiny autoencoder"):
        read("tae", weights=str(WEIGHTS / "tiny" / "diffusion_pytorch_model.safetensors")).load(3)


@pytest.mark.parametrize("change", ["missing", "foreign"])
def test_weights_that_do_not_fit_are_refused_and_not_replaced_by_chance(tmp_path: Path, change: str) -> None:
    from safetensors.numpy import load_file, save_file

    folder = shutil.copytree(WEIGHTS / "tiny", tmp_path / "tiny")
    tensors = load_file(folder / "diffusion_pytorch_model.safetensors")
    if change == "missing":
        del tensors["encoder.layers.0.weight"]
    else:
        tensors["encoder.layers.99.weight"] = tensors["encoder.layers.0.weight"]
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StudyError, match="fit together"):
        read("diffusers-tiny", folder=str(folder)).load(3)


def test_flux_latents_match_the_original_implementation(shared: Path) -> None:
    golden = np.load(shared / "weights" / "taef2" / "golden.npz", allow_pickle=False)
    autoencoder = read("tae", weights=str(shared / "weights" / FLUX)).load(3)
    images = (golden["image_uint8"].transpose(0, 3, 1, 2) / 255).astype(np.float32)
    np.testing.assert_allclose(autoencoder.encode(images).mean, golden["latent"], atol=1e-3)
    expected = np.clip(golden["reconstruction"], 0, 1)
    np.testing.assert_allclose(autoencoder.decode(golden["latent"]), expected, atol=1e-3)


# The codebook has few codes for the pinks of skin: 26.7 dB over 60 images, short of the 28 dB that all others reach.
FLOORS = {
    (family, dataset): 28.0 for family in SHIPPED for dataset in ("chest-xray", "dermatoscopy", "lung-ultrasound")
}
FLOORS["diffusers-vq", "dermatoscopy"] = 25.0


@pytest.mark.parametrize(("family", "dataset"), FLOORS)
def test_shipped_weights_keep_real_medical_images(shared: Path, family: str, dataset: str) -> None:
    images = real_images(shared / "data" / dataset / "images", colour=dataset == "dermatoscopy")
    autoencoder = read(family).load(images.shape[1])
    assert psnr(autoencoder.decode(autoencoder.encode(images).mean), images) > FLOORS[family, dataset]


@pytest.mark.parametrize("family", SHIPPED)
def test_shipped_weights_keep_images_that_they_were_not_trained_on(family: str) -> None:
    images = natural_images(270, 64, seed=43)  # nine crops of each of thirty scenes, which differ by 20 dB
    autoencoder = read(family).load(3)
    assert psnr(autoencoder.decode(autoencoder.encode(images).mean), images) > 28


def real_images(folder: Path, *, colour: bool) -> NDArray[np.float32]:
    files = sorted(folder.iterdir())
    pieces = []
    for file in files[:: len(files) // 12][:12]:
        image = Image.open(file).convert("RGB" if colour else "L").resize((64, 64), Image.Resampling.BILINEAR)
        pieces.append(np.atleast_3d(np.asarray(image, dtype=np.float32) / 255))
    return np.stack(pieces).transpose(0, 3, 1, 2)
