"""LPIPS v0.1 with AlexNet (Zhang et al. 2018, arXiv 1801.03924): how different two images look."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, relu

from pipeline.errors import StudyError
from pipeline.fidelity import SMALLEST, TOO_SMALL
from pipeline.networks.inference import device, exact

Pixels = NDArray[np.float32]

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""How images in [-1, 1] are normalised: ImageNet's mean and standard deviation, as published."""
TINY = 1e-10
"""Added to the length of a feature vector, as in the published code, so that a vector of zeros has a direction."""

LAYERS = {
    "features.0": ((64, 3, 11, 11), {"stride": 4, "padding": 2}),
    "features.3": ((192, 64, 5, 5), {"padding": 2}),
    "features.6": ((384, 192, 3, 3), {"padding": 1}),
    "features.8": ((256, 384, 3, 3), {"padding": 1}),
    "features.10": ((256, 256, 3, 3), {"padding": 1}),
}
"""AlexNet's convolutions as torchvision names them: shapes and arguments. The second and the third pool first."""
POOLED = ("features.3", "features.6")


class Lpips(nn.Module):
    """The distance as a frozen network that gradients pass through, towards the images.

    It always computes in float32, also where the caller runs in mixed precision.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        for name, value in weights.items():
            self.register_buffer(name.replace(".", "_"), value.float())
        for name, values in (("shift", SHIFT), ("scale", SCALE)):
            self.register_buffer(name, torch.tensor(values)[:, None, None])
        self.eval()

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Return n distances, float32, of n x C x H x W images in [0, 1]; grey ones are taken as colour.

        Raises:
            StudyError: the images are smaller than AlexNet can take.
        """
        if min(images.shape[2:]) < SMALLEST:
            raise StudyError(TOO_SMALL)
        with torch.autocast(images.device.type, enabled=False):
            features = zip(self._features(images), self._features(others), strict=True)
            return torch.stack([self._distance(k, a, b) for k, (a, b) in enumerate(features)]).sum(dim=0)

    def _features(self, images: Tensor) -> list[Tensor]:
        """Return the outputs of the five layers, channels at unit length."""
        shift, scale = self.get_buffer("shift"), self.get_buffer("scale")
        values = (2 * images.float().expand(-1, 3, -1, -1) - 1 - shift) / scale
        found = []
        for name, (_, arguments) in LAYERS.items():
            if name in POOLED:
                values = max_pool2d(values, kernel_size=3, stride=2)
            prefix = name.replace(".", "_")
            weight, bias = self.get_buffer(f"{prefix}_weight"), self.get_buffer(f"{prefix}_bias")
            values = relu(conv2d(values, weight, bias, **arguments))
            # Unlike the root of a sum of squares, the norm has a gradient where all features are 0.
            length = torch.linalg.vector_norm(values, dim=1, keepdim=True)
            found.append(values / (length + TINY))
        return found

    def _distance(self, layer: int, features: Tensor, others: Tensor) -> Tensor:
        head = self.get_buffer(f"lin{layer}_weight")
        return conv2d((features - others) ** 2, head).mean(dim=(1, 2, 3))


def read(path: Path) -> Lpips:
    """Read the weights: AlexNet's convolutions by torchvision's names, and the heads `lin0.weight` to `lin4.weight`.

    Raises:
        StudyError: the file is no safetensors file, or holds other weights.
    """
    try:
        held = load_file(path)
    except (OSError, SafetensorError) as error:
        raise StudyError(f"the LPIPS weights {path} cannot be read: {error}") from None
    for name, shape in shapes().items():
        if name not in held or held[name].shape != shape:
            raise StudyError(f"{path} is not LPIPS with AlexNet: it has no {name} of shape {list(shape)}")
    return Lpips({name: held[name] for name in shapes()})


def shapes() -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of all weights."""
    found: dict[str, tuple[int, ...]] = {}
    for number, (name, (shape, _)) in enumerate(LAYERS.items()):
        found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1], f"lin{number}.weight": (1, shape[0], 1, 1)}
    return found


def distance(path: Path) -> Callable[[Pixels, Pixels], Pixels]:
    """Return the distance with these weights as a function of NumPy arrays, on the accelerator where there is one."""
    network = read(path).to(device())

    def measured(images: Pixels, others: Pixels) -> Pixels:
        with exact():
            pair = (torch.from_numpy(np.ascontiguousarray(pixels)).to(device()) for pixels in (images, others))
            found: Pixels = network(*pair).cpu().numpy()
        if not np.isfinite(found).all():
            raise StudyError(f"the LPIPS weights {path} give distances that are not finite")
        return found

    return measured
