"""What the configuration says of how reconstructions are measured, beside PSNR, SSIM and MS-SSIM."""

from collections.abc import Iterator

from pipeline.spec import Spec
from pipeline.weights import WeightFile


class Features(Spec):
    """The feature network of the Frechet distance (rFID).

    Attributes:
        model: a name of timm's.
        weights: a safetensors file with that model's weights.
    """

    model: str
    weights: WeightFile


class Fidelity(Spec):
    """Measures that need weights; without them their columns are empty.

    Attributes:
        lpips: a safetensors file with AlexNet and the heads of LPIPS v0.1.
        features: the network whose features are compared.
    """

    lpips: WeightFile | None = None
    features: Features | None = None

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield each key that names a file, and that file."""
        if self.lpips:
            yield "lpips", self.lpips
        if self.features:
            yield "features", self.features.weights
