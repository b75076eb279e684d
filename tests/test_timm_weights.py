"""Local weights for timm's models: every tensor is used once, numbers are those of the network that was trained."""

import math
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from pipeline.errors import StudyError
from pipeline.networks.timm_weights import read

LITE = "efficientnet-lite0/efficientnet_lite0_fp16.safetensors"
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
SMALL = "resnet10t"

# Photographs and those of ImageNet's classes that show what is on them.
PHOTOGRAPHS = {
    "coffee": {967},  # espresso
    "chelsea": {281, 282, 285},  # tabby, tiger cat, Egyptian cat
    "rocket": {657, 744, 812},  # missile, projectile, space shuttle
}


@pytest.fixture(scope="module")
def lite(shared: Path) -> str:
    return str(shared / "weights" / LITE)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A random small network in timm's own layout."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_file(read(SMALL, None).state_dict(), tmp_path / "small.safetensors")
    return tmp_path / "small.safetensors"


def reference(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """A second implementation of EfficientNet-Lite0, on the file's own names.

    Source: Tan and Le, 2019, without squeeze and excitation and with ReLU6 (tensorflow/tpu, efficientnet/lite), and
    TensorFlow's "SAME" padding; batch normalisation adds 1e-3.
    """
    weights = {name: value.float() for name, value in weights.items()}

    def convolve(layer: str, x: Tensor, stride: int = 1) -> Tensor:
        kernel = weights[f"{layer}.weight"]
        pads = [max((math.ceil(n / stride) - 1) * stride + kernel.shape[-1] - n, 0) for n in x.shape[2:]]
        x = functional.pad(x, [pads[1] // 2, pads[1] - pads[1] // 2, pads[0] // 2, pads[0] - pads[0] // 2])
        return functional.conv2d(x, kernel, stride=stride, groups=x.shape[1] if kernel.shape[1] == 1 else 1)

    def norm(layer: str, x: Tensor) -> Tensor:
        mean, variance, scale, shift = (
            weights[f"{layer}.{name}"][None, :, None, None]
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-3).sqrt() * scale + shift

    x = norm("_bn0", convolve("_conv_stem", images, stride=2)).clip(0, 6)
    for number, stride in enumerate(STRIDES):
        block = f"_blocks.{number}"
        y = x
        if f"{block}._expand_conv.weight" in weights:
            y = norm(f"{block}._bn0", convolve(f"{block}._expand_conv", y)).clip(0, 6)
        y = norm(f"{block}._bn1", convolve(f"{block}._depthwise_conv", y, stride)).clip(0, 6)
        y = norm(f"{block}._bn2", convolve(f"{block}._project_conv", y))
        x = x + y if stride == 1 and x.shape == y.shape else y
    x = norm("_bn1", convolve("_conv_head", x)).clip(0, 6).mean(dim=(2, 3))
    return x @ weights["_fc.weight"].T + weights["_fc.bias"]


def photograph(name: str) -> Tensor:
    """Return the central square of a photograph, 3 x 224 x 224 in [-1, 1]."""
    image = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(square, dtype=np.float32)).permute(2, 0, 1) / 127.5 - 1


@pytest.mark.parametrize("size", [(224, 224), (97, 64)])
def test_another_implementation_gives_the_same_scores(lite: str, size: tuple[int, int]) -> None:
    images = torch.stack([photograph(name) for name in PHOTOGRAPHS])[:, :, : size[0], : size[1]]
    with torch.no_grad():
        expected = reference(load_file(lite), images)
        found = read("tf_efficientnet_lite0", lite)(images)
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_are_recognised(lite: str, name: str) -> None:
    with torch.no_grad():
        scores = read("tf_efficientnet_lite0", lite)(photograph(name)[None])
    assert int(scores.argmax()) in PHOTOGRAPHS[name]


def test_every_tensor_of_the_file_is_used_once(lite: str) -> None:
    given = load_file(lite)
    taken = read("tf_efficientnet_lite0", lite).state_dict()
    assert len(given) == len(taken)

    def prints(tensors: dict[str, Tensor]) -> list[tuple[tuple[int, ...], float]]:
        return sorted((tuple(value.shape), float(value.double().sum())) for value in tensors.values())

    assert prints(given) == prints(taken)
    assert all(value.dtype == torch.float32 for value in taken.values() if value.is_floating_point())


@pytest.mark.parametrize("model", ["efficientnet_lite0", "resnet18"])
def test_a_model_that_pads_otherwise_is_refused(lite: str, model: str) -> None:
    with pytest.raises(StudyError, match=f"TensorFlow's padding, .* and not of {model}"):
        read(model, lite)


def test_the_wrong_width_is_refused(lite: str) -> None:
    with pytest.raises(StudyError, match=r"lacks|does not have|shape"):
        read("tf_efficientnet_lite2", lite)


def test_timms_own_layout_is_read(small: Path) -> None:
    for name, value in read(SMALL, str(small)).state_dict().items():
        torch.testing.assert_close(value, load_file(small)[name], rtol=0, atol=0)


def test_a_classifier_that_is_not_used_is_not_missed(small: Path) -> None:
    images = torch.rand(2, 3, 64, 64)
    whole, headless = read(SMALL, str(small)), read(SMALL, str(small), num_classes=0)
    with torch.no_grad():
        torch.testing.assert_close(
            headless(images), whole.forward_head(whole.forward_features(images), pre_logits=True)
        )
    save_file({name: value for name, value in load_file(small).items() if name[:2] != "fc"}, small)
    read(SMALL, str(small), num_classes=0)
    with pytest.raises(StudyError, match=r"lacks 2 of the weights of resnet10t: see fc\.weight"):
        read(SMALL, str(small))


def test_counters_of_training_may_be_left_out(small: Path) -> None:
    save_file({name: value for name, value in load_file(small).items() if "num_batches" not in name}, small)
    read(SMALL, str(small))


@pytest.mark.parametrize("change", ["lacks", "does not have", "shape", "not finite"])
@pytest.mark.parametrize("name", ["layer1.0.conv1.weight", "layer1.0.bn1.running_var"])
def test_weights_that_do_not_fit_are_refused_by_name(small: Path, name: str, change: str) -> None:
    tensors = load_file(small)
    if change == "lacks":
        del tensors[name]
    elif change == "does not have":
        tensors[f"{name}.more"] = tensors[name].clone()
    elif change == "shape":
        tensors[name] = tensors[name][:-1].clone()
    else:
        tensors[name] = tensors[name].flatten().fill_(math.inf).reshape(tensors[name].shape)
    save_file(tensors, small)
    with pytest.raises(StudyError, match=change) as error:
        read(SMALL, str(small))
    assert name in str(error.value)


def test_other_files_and_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(StudyError, match="no file"):
        read(SMALL, str(path))
    path.write_bytes(b"PK" * 99)
    with pytest.raises(StudyError, match="not a safetensors file"):
        read(SMALL, str(path))
    with pytest.raises(StudyError, match="Unknown model"):
        read("resnet0", None)
    with pytest.raises(StudyError, match="unexpected keyword argument 'depht'"):
        read(SMALL, None, depht=3)


@pytest.mark.parametrize("model", ["hf-hub:timm/resnet10t.c3_in1k", "local-dir:/elsewhere", "timm/resnet10t"])
def test_nothing_is_asked_of_the_internet(model: str) -> None:
    with pytest.raises(StudyError, match="names a place"):
        read(model, None)
    with pytest.raises(StudyError, match="'pretrained' is no argument here"):
        read(SMALL, None, pretrained=True)
