"""Classifiers of timm fitted to spaces: their maps, their responses, and ImageNet's weights in them."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipeline import families
from pipeline.errors import StudyError
from pipeline.heads import Space
from pipeline.networks.backbones import create_model
from pipeline.networks.stems import adapted_channels, backbone
from pipeline.networks.strides import levels, summed_blocks
from pipeline.networks.trainer import build
from pipeline.trained import BackboneSpec

ROOT = Path(__file__).parent.parent

SMALL: dict[str, dict[str, Any]] = {
    "resnet10t": {"stem_width": 8, "channels": [8, 8, 8, 8]},
    "convnext_atto": {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]},
    "test_efficientnet": {},
    "mobilenetv3_small_050": {},
    "mobilenetv4_conv_small_035": {},
    "test_vit": {},
    "test_resnet": {},
    "swin_tiny_patch4_window7_224": {"embed_dim": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1]},
}
CONVOLUTIONAL = [name for name in SMALL if name not in ("test_vit", "swin_tiny_patch4_window7_224")]
GRIDS = {(64, 1), (80, 1), (32, 2), (40, 2), (16, 4), (20, 4), (8, 8), (10, 8)}
LITE0 = Path(os.environ.get("LEARNABILITY_SHARED", ROOT.parent / "shared")) / "weights/efficientnet-lite0"


def entry(model: str, **options: object) -> BackboneSpec:
    given = {"family": "timm", "model": model, "arguments": SMALL.get(model, {}), **options}
    spec = families.spec("heads", given)
    assert isinstance(spec, BackboneSpec)
    return spec


def space(channels: int, side: int, stride: int) -> Space:
    values = np.random.default_rng(0).normal(size=(4, channels, side, side)).astype(np.float32)
    return Space(values, np.eye(3, dtype=np.int8)[[0, 1, 2, 0]], True, stride, pixels=stride == 1)


@torch.no_grad()
def maps(network: nn.Module, data: Space, layer: str) -> torch.Tensor:
    """What a layer makes of a space."""
    made = []
    hook = network.get_submodule(layer).register_forward_hook(lambda _, given, output: made.append(output))
    network.eval()(torch.from_numpy(data.values))
    hook.remove()
    result: torch.Tensor = made[0]
    return result


@pytest.mark.parametrize("channels", [1, 3, 4, 16, 32])
@pytest.mark.parametrize("model", SMALL)
def test_any_backbone_runs_on_any_space_and_sees_it(model: str, channels: int) -> None:
    torch.manual_seed(0)
    for side, stride in GRIDS if channels == 4 else {(80, 1), (8, 8)}:
        data = space(channels, side, stride)
        network = build(entry(model, smallest=2), data).eval()
        with torch.no_grad():
            logits = network(torch.from_numpy(data.values))
            last: Any = network
            final = last.forward_features(torch.from_numpy(data.values))
        assert logits.shape == (4, 3)
        assert logits.std(dim=0).min() > 0
        if model in CONVOLUTIONAL:
            assert min(final.shape[2:]) >= 2, (side, stride)
        if model == "test_vit":
            # As many tokens as image space has, and one for the class.
            assert final.shape[1] == 1 + (side * stride // 16) ** 2


@pytest.mark.parametrize(
    ("model", "layer"),
    [("resnet10t", "maxpool"), ("convnext_atto", "stem"), ("test_efficientnet", "blocks.1"), ("regnetx_002", "s1")],
)
def test_behind_the_stem_is_a_cell_for_every_four_pixels_or_for_every_cell(model: str, layer: str) -> None:
    for side, stride in GRIDS if model != "regnetx_002" else {(10, 8)}:
        data = space(4, side, stride)
        made = maps(backbone(entry(model), data), data, layer)
        assert made.shape[2:] == (side * stride // max(4, stride),) * 2, (side, stride)


@pytest.mark.parametrize("model", CONVOLUTIONAL)
def test_the_last_map_of_a_space_has_as_many_cells_as_that_of_the_images(model: str) -> None:
    for side, stride in GRIDS:
        last = []
        for data in (space(4, side * stride, 1), space(4, side, stride)):
            network: Any = backbone(entry(model), data).eval()
            with torch.no_grad():
                last.append(network.forward_features(torch.from_numpy(data.values)).shape[2:])
        assert last[0] == last[1], (side, stride)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_residual_networks_stem_loses_its_pooling_first_and_then_its_stride(stride: int) -> None:
    data = space(4, 64 // stride, stride)
    torch.manual_seed(0)
    network: Any = backbone(entry("resnet10t"), data)
    assert isinstance(network.maxpool, nn.Identity) == (stride > 1)
    assert network.conv1[0].stride == ((1, 1) if stride > 2 else (2, 2))
    # Nothing else differs from the model that timm makes.
    torch.manual_seed(0)
    plain = create_model("resnet10t", in_chans=4, num_classes=3, **SMALL["resnet10t"])
    ours, theirs = network.state_dict(), plain.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    strides = [m.stride for n, m in network.named_modules() if isinstance(m, nn.Conv2d) and n.startswith("layer")]
    expected = [m.stride for n, m in plain.named_modules() if isinstance(m, nn.Conv2d) and n.startswith("layer")]
    assert strides == expected


def test_a_level_is_where_maps_shrink() -> None:
    found = levels(create_model("resnet10t"), 3)
    assert [(level.before, level.factor) for level in found] == [(1, 2), (2, 2), (4, 2), (8, 2), (16, 2)]
    assert found[0].names == ("conv1.0",)
    assert found[1].names == ("maxpool",)
    found = levels(create_model("convnext_atto"), 3)
    assert [(level.before, level.factor) for level in found] == [(1, 4), (4, 2), (8, 2), (16, 2)]


@pytest.mark.parametrize(("stride", "patch"), [(2, 2), (4, 1), (8, 1)])
def test_a_patch_does_with_cells_what_it_did_with_the_pixels_they_stand_for(stride: int, patch: int) -> None:
    data = space(3, 16, stride)
    torch.manual_seed(0)
    plain = backbone(entry("convnext_atto"), space(3, 64, 1))
    torch.manual_seed(0)
    fitted = backbone(entry("convnext_atto"), data)
    first: Any = fitted.get_submodule("stem.0")
    assert first.kernel_size == first.stride == (patch, patch)
    fine = np.repeat(np.repeat(data.values, 4 // patch, axis=2), 4 // patch, axis=3)
    with torch.no_grad():
        np.testing.assert_allclose(
            first(torch.from_numpy(data.values)), plain.get_submodule("stem.0")(torch.from_numpy(fine)), atol=1e-5
        )


def test_blocks_that_do_not_divide_keep_the_response_to_what_is_constant() -> None:
    weights = torch.rand(5, 2, 16, 16)
    made = summed_blocks(weights, 5)
    assert made.shape == (5, 2, 5, 5)
    np.testing.assert_allclose(made.sum(dim=(2, 3)), weights.sum(dim=(2, 3)), rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 4, 16, 32])
def test_adapted_channels_keep_the_variance_of_the_response(channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(8, 3, 3, 3, generator=generator)
    grey = torch.randn(400, 1, 12, 12, generator=generator).expand(-1, 3, -1, -1)
    latents = torch.randn(400, channels, 12, 12, generator=generator)
    made = adapted_channels(weights, channels, pixels=False)
    assert made.shape == (8, channels, 3, 3)
    expected = nn.functional.conv2d(grey, weights).var(dim=(0, 2, 3))
    np.testing.assert_allclose(nn.functional.conv2d(latents, made).var(dim=(0, 2, 3)), expected, rtol=0.06)
    if channels == 1:
        one = grey[:, :1]
        np.testing.assert_allclose(nn.functional.conv2d(one, made), nn.functional.conv2d(grey, weights), atol=1e-4)


def test_pixels_of_three_channels_take_the_first_layer_as_it_is_and_latents_do_not() -> None:
    weights = torch.rand(8, 3, 3, 3)
    assert adapted_channels(weights, 3, pixels=True) is weights
    made = adapted_channels(weights, 3, pixels=False)
    assert all(torch.equal(made[:, 0], made[:, channel]) for channel in range(3))


# Weights from a file.


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Weights of classifiers with ten classes of colour images."""
    folder, made = tmp_path_factory.mktemp("weights"), {}
    torch.manual_seed(1)
    for model in ("resnet10t", "convnext_atto", "test_efficientnet", "test_vit"):
        network = create_model(model, num_classes=10, **SMALL[model])
        made[model] = str(folder / f"{model}.safetensors")
        save_file(network.state_dict(), made[model])
    return made


@pytest.mark.parametrize(("channels", "side", "stride"), [(3, 64, 1), (1, 80, 1), (4, 16, 4), (16, 8, 8)])
@pytest.mark.parametrize("model", ["resnet10t", "convnext_atto", "test_efficientnet", "test_vit"])
def test_weights_of_a_file_are_taken_but_for_the_classifier(
    model: str, channels: int, side: int, stride: int, files: dict[str, str]
) -> None:
    from safetensors.torch import load_file

    given, data = load_file(files[model]), space(channels, side, stride)
    network = build(entry(model, weights=files[model]), data)
    own, fitted = network.state_dict(), 0
    for name, value in given.items():
        if name.startswith(("fc.", "head.fc.", "classifier.", "head.")) and own[name].shape[0] == 3:
            assert own[name].shape[0] == 3
        elif own[name].shape == value.shape and name not in ("conv1.0.weight", "stem.0.weight", "conv_stem.weight"):
            assert torch.equal(own[name], value), name
        else:
            fitted += 1
    assert fitted <= 2
    with torch.no_grad():
        assert network.eval()(torch.from_numpy(data.values)).std(dim=0).min() > 0


def test_positions_of_the_same_grid_are_taken_as_they_are(files: dict[str, str]) -> None:
    from safetensors.torch import load_file

    side = create_model("test_vit").pretrained_cfg["input_size"][1]
    given = load_file(files["test_vit"])["pos_embed"]
    for size in (side, 2 * side):
        network: Any = backbone(entry("test_vit", weights=files["test_vit"]), space(3, size, 1))
        made = network.pos_embed.detach()
        assert torch.equal(made[:, 0], given[:, 0])
        assert torch.equal(made, given) == (size == side)
        np.testing.assert_allclose(made[:, 1:].mean(dim=1), given[:, 1:].mean(dim=1), atol=2e-3)


def test_a_file_of_another_model_is_refused(files: dict[str, str]) -> None:
    with pytest.raises(StudyError, match="lacks"):
        build(entry("test_resnet", weights=files["resnet10t"]), space(3, 64, 1))


@pytest.mark.skipif(not LITE0.is_dir(), reason="the published EfficientNet-Lite0 is not here")
def test_published_weights_of_efficientnet_lite0_go_into_a_latent_space() -> None:
    (path,) = Path(LITE0).glob("*.safetensors")
    plain = build(entry("tf_efficientnet_lite0", weights=str(path)), space(3, 64, 1))
    data = space(4, 16, 4)
    fitted: Any = build(entry("tf_efficientnet_lite0", weights=str(path)), data)
    own, given = fitted.state_dict(), plain.state_dict()
    same = [name for name in given if own[name].shape == given[name].shape and torch.equal(own[name], given[name])]
    differ = given.keys() - set(same)
    assert differ - {"classifier.bias"} == {"conv_stem.weight", "classifier.weight"}
    # Latents of variance 1 give the response that grey pixels of variance 1 give.
    grey = replace(space(3, 64, 1), values=space(1, 64, 1).values.repeat(3, axis=1))
    ours, expected = (maps(n, d, "conv_stem").std() for n, d in ((fitted, data), (plain, grey)))
    assert float(ours / expected) == pytest.approx(1, rel=0.15)


# What cannot be fitted.


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no_such_model", "timm cannot build 'no_such_model'"),
        ("levit_128s", "takes no images of other sizes"),
        ("deit_tiny_distilled_patch16_224", "does not end with one linear layer"),
        ("hf-hub:timm/resnet10t.c3_in1k", "names a place"),
    ],
)
def test_a_model_that_does_not_suit_is_refused_by_name(model: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        build(entry(model), space(3, 224, 1))


def test_patches_that_do_not_divide_the_space_are_refused() -> None:
    with pytest.raises(StudyError, match="patches of 16 cells do not divide 17 x 17"):
        build(entry("test_vit"), space(3, 17, 1))


@pytest.mark.parametrize("model", ["tf_efficientnet_lite0", "mobilenetv3_small_050", "convnext_atto", "resnet10t"])
def test_no_network_begins_with_an_opinion_however_its_library_draws_its_last_layer(model: str) -> None:
    torch.manual_seed(0)
    network = build(entry(model), space(4, 8, 8)).train()
    with torch.no_grad():
        logits = network(torch.randn(32, 4, 8, 8))
    # timm's EfficientNet of three classes begins with a deviation of about 7, which is a loss of about 5.
    assert logits.std() < 1
