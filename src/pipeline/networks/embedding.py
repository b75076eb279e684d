"""Features of images as a network of timm's sees them before its classifier, for the Frechet distance."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pipeline.errors import StudyError
from pipeline.networks import timm_weights
from pipeline.networks.inference import device, exact


class Embedding:
    """A frozen network that turns images into pooled features.

    Images are resized to the size that the network was trained with (bilinear, antialiased), because features of other
    sizes are of another scale, and normalised as it expects.

    Args:
        network: called with n x 3 x H x W, gives n x d.
        settings: `input_size` (channels, height, width), `mean` and `std`, as timm states them for a model.
    """

    def __init__(self, network: nn.Module, settings: dict[str, Any]) -> None:
        self.device = device()
        self.network = network.requires_grad_(False).eval().to(self.device)
        channels, *size = settings["input_size"]
        if channels != 3:
            raise StudyError(f"the feature network takes images of {channels} channels, not of 3")
        self.size = tuple(size)
        self.mean, self.std = (
            torch.tensor(settings[name], device=self.device)[:, None, None] for name in ("mean", "std")
        )

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return n x d features of n x C x H x W images in [0, 1]; raise StudyError unless they are finite."""
        with exact():
            pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).expand(-1, 3, -1, -1)
            pixels = interpolate(pixels, self.size, mode="bilinear", antialias=True, align_corners=False)
            values: Tensor = self.network((pixels - self.mean) / self.std)
        if values.ndim != 2 or not values.isfinite().all():
            raise StudyError(f"the feature network gives no finite vector for each image, but {tuple(values.shape)}")
        found: NDArray[np.float32] = values.float().cpu().numpy()
        return found


def read(model: str, weights: Path) -> Embedding:
    """Read a model of timm's with weights from a file.

    Raises:
        StudyError: there is no such model, or the weights are another's.
    """
    network = timm_weights.read(model, str(weights), num_classes=0)
    settings: Any = network.pretrained_cfg
    return Embedding(network, settings)
