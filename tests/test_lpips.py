"""LPIPS against the numbers and the behaviour that are published for it, and against torchvision's AlexNet."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.ndimage import gaussian_filter, map_coordinates
from torch import Tensor

import pipeline.networks.vision_operators  # noqa: F401 - first, so that torchvision can be imported
from pipeline.errors import StudyError
from pipeline.networks import lpips
from pipeline.quality import measure

Images = NDArray[np.float32]


@pytest.fixture(scope="session")
def real(shared: Path) -> Path:
    path = shared / "weights/lpips-alex/lpips_alexnet_fp16.safetensors"
    if not path.is_file():
        pytest.skip(f"the LPIPS weights are not here: no file {path}")
    return path


@pytest.fixture(scope="session")
def random(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the layout of the real ones, half precision included."""
    generator = torch.Generator().manual_seed(0)
    path = tmp_path_factory.mktemp("lpips") / "random.safetensors"
    made = {}
    for name, shape in lpips.shapes().items():
        scale = 1.0 if name.startswith("lin") else (2 / float(np.prod(shape[1:] or (100,)))) ** 0.5
        values = scale * torch.randn(shape, generator=generator)
        made[name] = (values.abs() if name.startswith("lin") else values).half()
    save_file(made, path)
    return path


def noise(shape: tuple[int, ...], seed: int = 0) -> Images:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def torchvisions(path: Path, images: Images, others: Images) -> list[float]:
    """LPIPS step by step, with torchvision's AlexNet and in double precision."""
    from torchvision.models import alexnet

    held = {name: value.double() for name, value in load_file(path).items()}
    layers = alexnet().double().features.eval()
    layers.load_state_dict({name[9:]: value for name, value in held.items() if name.startswith("features.")})
    total = np.zeros(len(images))
    pair = []
    for pixels in (images, others):
        values: Tensor = torch.from_numpy(np.repeat(pixels, 3 // pixels.shape[1], axis=1)).double() * 2 - 1
        values = (values - torch.tensor([-0.030, -0.088, -0.188]).double().view(3, 1, 1)) / torch.tensor(
            [0.458, 0.448, 0.450]
        ).double().view(3, 1, 1)
        taps = []
        for number, layer in enumerate(layers[:12]):
            values = layer(values)
            if number in (1, 4, 7, 9, 11):
                taps.append(values.detach().clone().numpy())
        pair.append([tap / (np.sqrt((tap**2).sum(axis=1, keepdims=True)) + 1e-10) for tap in taps])
    for number, (a, b) in enumerate(zip(*pair, strict=True)):
        weight = held[f"lin{number}.weight"].numpy().reshape(1, -1, 1, 1)
        total += (weight * (a - b) ** 2).sum(axis=1).mean(axis=(1, 2))
    return [float(value) for value in total]


def test_it_judges_unlike_squared_error_as_it_was_published_to(real: Path, shared: Path) -> None:
    """A radiograph that is slightly warped keeps its structure, and one that is blurred does not.

    Squared error says the opposite. On the reference implementation's own example, which is such a pair, these weights
    give its published distances, 0.722 and 0.138.
    """
    paths = sorted((shared / "data/chest-xray/images").iterdir())[:400:100]
    images = np.stack([np.asarray(Image.open(path).convert("L").resize((128, 128)), np.float32) for path in paths])
    images = images[:, None] / np.float32(255)
    rows, columns = np.mgrid[0:128, 0:128].astype(float)
    place = rows + 1.5 * np.sin(columns / 12), columns + 1.5 * np.sin(rows / 10)
    warped = np.stack([map_coordinates(image[0], place, order=1, mode="nearest")[None] for image in images])
    blurred = gaussian_filter(images, (0, 0, 1.2, 1.2))
    assert (measure(images, blurred)["mse"] < 0.5 * measure(images, warped)["mse"]).all()
    measured = lpips.distance(real)
    assert (measured(images, blurred) > 2 * measured(images, warped)).all()


@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (2, 1, 31, 45), (1, 3, 80, 80)])
@pytest.mark.parametrize("which", ["real", "random"])
def test_it_is_the_sum_over_torchvisions_layers(
    which: str, shape: tuple[int, ...], request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(which)
    images, others = noise(shape), noise(shape, 1)
    found = lpips.distance(path)(images, others)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, torchvisions(path, images, others), rtol=2e-5)


@pytest.mark.parametrize("which", ["real", "random"])
def test_equal_images_are_not_apart_and_the_order_of_the_two_does_not_matter(
    which: str, request: pytest.FixtureRequest
) -> None:
    measured = lpips.distance(request.getfixturevalue(which))
    images, others = noise((3, 3, 40, 40)), noise((3, 3, 40, 40), 1)
    assert (measured(images, images.copy()) == 0).all()
    np.testing.assert_allclose(measured(images, others), measured(others, images), rtol=1e-6)
    assert (measured(images, others) > 0).all()
    np.testing.assert_allclose(measured(images[1:2], others[1:2]), measured(images, others)[1:2], rtol=1e-5)
    grey = measured(images[:, :1], others[:, :1])
    np.testing.assert_allclose(grey, measured(images[:, :1].repeat(3, 1), others[:, :1].repeat(3, 1)), rtol=1e-6)


def test_distortions_are_ordered_by_their_strength(real: Path, shared: Path) -> None:
    measured = lpips.distance(real)
    paths = (
        sorted((shared / "data/dermatoscopy").rglob("*.jpg"))[:4]
        or sorted((shared / "data/dermatoscopy").rglob("*.png"))[:4]
    )
    read = [np.asarray(Image.open(path).convert("RGB").resize((96, 96)), np.float32) / 255 for path in paths]
    images = np.stack(read).transpose(0, 3, 1, 2)
    random = np.random.default_rng(0).normal(size=images.shape).astype(np.float32)
    distortions = {
        "noise": [np.clip(images + level * random, 0, 1) for level in (0.02, 0.06, 0.2)],
        "blur": [gaussian_filter(images, (0, 0, sigma, sigma)) for sigma in (0.5, 1.5, 4)],
        "shift": [np.roll(images, step, axis=3) for step in (1, 4, 16)],
    }
    for kind, others in distortions.items():
        means = [measured(images, other.astype(np.float32)).mean() for other in others]
        assert 0 < means[0] < means[1] < means[2], kind
    # A shift of one pixel is hardly seen, though its squared error is larger than that of a strong blur.
    blurred = distortions["blur"][1]
    assert measured(images, distortions["shift"][0].astype(np.float32)).mean() < 0.5 * measured(images, blurred).mean()


def test_gradients_reach_the_images_and_stay_finite_where_all_features_are_zero(random: Path) -> None:
    network = lpips.read(random)
    assert not list(network.parameters())
    dark = torch.zeros(2, 1, 64, 64, requires_grad=True)
    target = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    network(dark, target).sum().backward()
    assert dark.grad is not None
    assert dark.grad.isfinite().all()
    assert dark.grad.abs().max() > 0
    # And where both have none: a network whose features all vanish.
    held = {name: -value.abs() if name.startswith("features") else value for name, value in load_file(random).items()}
    bright = torch.ones(1, 3, 64, 64, requires_grad=True)
    nothing = lpips.Lpips(held)(bright, torch.ones(1, 3, 64, 64)).sum()
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert bright.grad is not None
    assert bright.grad.isfinite().all()


def test_following_the_gradient_brings_an_image_nearer(random: Path) -> None:
    network = lpips.read(random)
    target = torch.rand(1, 1, 48, 48, generator=torch.Generator().manual_seed(1))
    image = torch.full_like(target, 0.5).requires_grad_()
    before = network(image, target)
    before.sum().backward()
    assert image.grad is not None
    with torch.no_grad():
        assert network(image - 0.01 * image.grad / image.grad.abs().max(), target) < before


def test_mixed_precision_around_it_changes_nothing(random: Path) -> None:
    network = lpips.read(random)
    images, others = (torch.from_numpy(noise((2, 3, 48, 48), seed)) for seed in (0, 1))
    expected = network(images, others)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(images, others)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_images_that_alexnet_cannot_take_are_refused_and_the_smallest_are_not(random: Path) -> None:
    measured = lpips.distance(random)
    assert np.isfinite(measured(noise((1, 1, 31, 31)), noise((1, 1, 31, 31), 1))).all()
    with pytest.raises(StudyError, match="at least 31 x 31 pixels"):
        measured(noise((1, 1, 64, 30)), noise((1, 1, 64, 30), 1))


def test_other_weights_are_refused(random: Path, tmp_path: Path) -> None:
    held = load_file(random)
    (tmp_path / "none").write_bytes(b"no weights")
    save_file({name: value for name, value in held.items() if name != "lin3.weight"}, tmp_path / "missing")
    save_file(held | {"features.0.weight": torch.zeros(64, 1, 11, 11)}, tmp_path / "shape")
    save_file(held | {"lin0.weight": torch.full((1, 64, 1, 1), torch.nan)}, tmp_path / "nan")
    for name in ("none", "absent"):
        with pytest.raises(StudyError, match="cannot be read"):
            lpips.read(tmp_path / name)
    with pytest.raises(StudyError, match=r"it has no lin3.weight of shape \[1, 256, 1, 1\]"):
        lpips.read(tmp_path / "missing")
    with pytest.raises(StudyError, match=r"it has no features.0.weight of shape \[64, 3, 11, 11\]"):
        lpips.read(tmp_path / "shape")
    with pytest.raises(StudyError, match="not finite"):
        lpips.distance(tmp_path / "nan")(noise((1, 3, 40, 40)), noise((1, 3, 40, 40), 1))
