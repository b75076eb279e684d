"""Features of a frozen model as latents: those of the model itself, at places of the image, with nothing to decode."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from pipeline import families
from pipeline.autoencoders import AutoencoderSpec
from pipeline.errors import StudyError
from pipeline.natural_images import natural_images
from pipeline.networks.timm_weights import read as model

LITE = "efficientnet-lite0/efficientnet_lite0_fp16.safetensors"
IMAGES = natural_images(2, 64, seed=46)
TRANSFORMER = {"model": "vit_tiny_patch16_224", "arguments": {"img_size": 64}}


def read(**options: Any) -> AutoencoderSpec:  # noqa: ANN401
    spec = families.spec("autoencoders", {"family": "timm-features", "weights": None, **options})
    assert isinstance(spec, AutoencoderSpec)
    return spec


def scaled(images: np.ndarray, network: Any) -> torch.Tensor:  # noqa: ANN401
    stated = network.pretrained_cfg
    mean, deviation = (torch.tensor(stated[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    return (torch.from_numpy(images) - mean) / deviation


def test_features_are_those_of_the_pretrained_model(shared: Path) -> None:
    weights = str(shared / "weights" / LITE)
    network = model("tf_efficientnet_lite0", weights)
    spec = read(model="tf_efficientnet_lite0", weights=weights)
    assert spec.latent_shape((3, 64, 64)) == (320, 2, 2)
    with torch.no_grad():
        expected = network.blocks(network.bn1(network.conv_stem(scaled(IMAGES, network))))
    np.testing.assert_allclose(spec.load(3).encode(IMAGES).mean, expected.numpy(), atol=1e-4)
    assert spec.files() == [weights]


@pytest.mark.parametrize(
    ("name", "side", "patch", "others"),
    [("vit_tiny_patch16_224", 64, 16, 1), ("vit_small_patch14_reg4_dinov2", 56, 14, 5)],
)
def test_tokens_become_places_without_class_and_registers(
    tmp_path: Path, name: str, side: int, patch: int, others: int
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = model(name, None, img_size=side, depth=2)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    images = IMAGES[:, :, :side, :side]
    options = {"model": name, "arguments": {"img_size": side, "depth": 2}}
    latents = read(**options, weights=str(tmp_path / "weights.safetensors")).load(3).encode(images).mean
    with torch.no_grad():
        tokens = network.forward_features(scaled(images, network))
    places = side // patch
    assert tokens.shape[1] == others + places**2
    expected = tokens[:, others:].reshape(2, places, places, -1).permute(0, 3, 1, 2)
    np.testing.assert_allclose(latents, expected.numpy(), atol=1e-5)


def test_a_layer_is_chosen_by_its_number() -> None:
    shapes = [read(model="resnet10t", seed=0, layer=layer).latent_shape((1, 64, 96)) for layer in range(5)]
    assert [shape[1:] for shape in shapes] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert read(model="resnet10t", seed=0).latent_shape((3, 64, 96)) == shapes[-1]
    with pytest.raises(StudyError, match="'layer' is 5, and timm gives 5 layers of ResNet"):
        read(model="resnet10t", seed=0, layer=5).latent_shape((3, 64, 64))


def test_random_weights_depend_on_their_seed_alone() -> None:
    torch.rand(3)
    first, again, other = (read(**TRANSFORMER, seed=seed).load(3).encode(IMAGES).mean for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.1


@pytest.mark.parametrize("options", [{}, {"weights": "some.safetensors", "seed": 0}])
def test_random_weights_are_asked_for_by_a_seed(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="'weights: null' and the 'seed'"):
        read(model="resnet10t", **options)
    with pytest.raises(ValidationError, match="weights"):
        families.spec("autoencoders", {"family": "timm-features", "model": "resnet10t", "seed": 0})


def test_sizes_that_the_model_does_not_take_are_refused_with_the_cure() -> None:
    with pytest.raises(StudyError, match=r"64 x 64 pixels do not fit.*\(224\).*img_size"):
        read(model="vit_tiny_patch16_224", seed=0).latent_shape((3, 64, 64))
    with pytest.raises(StudyError, match="63 x 64 pixels do not fit: they do not divide into places of 32 x 32"):
        read(model="resnet10t", seed=0).latent_shape((3, 63, 64))
    assert read(**TRANSFORMER, seed=0).latent_shape((3, 64, 64)) == (192, 4, 4)


def test_there_is_nothing_to_decode() -> None:
    spec = read(model="resnet10t", seed=0)
    assert not spec.decodes
    with pytest.raises(StudyError, match="no decoder"):
        spec.load(3).decode(np.zeros((1, 512, 2, 2), np.float32))


@pytest.mark.parametrize("arguments", [{"num_classes": 3}, {"in_chans": 1}, {"checkpoint_path": "x.pth"}])
def test_arguments_that_are_set_here_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(StudyError, match=f"'{min(arguments)}' is no argument here"):
        read(model="resnet10t", seed=0, arguments=arguments).load(3)
