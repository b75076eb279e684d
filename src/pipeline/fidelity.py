"""What the configuration says of how reconstructions are measured, beside PSNR, SSIM and MS-SSIM."""

from collections.abc import Iterator, Mapping

from pipeline.errors import StudyError
from pipeline.spec import Spec
from pipeline.weights import WeightFile

SMALLEST = 31
"""Side in pixels of the images that LPIPS needs: with less, the second pooling of AlexNet has nothing to pool."""
TOO_SMALL = f"LPIPS needs images of at least {SMALLEST} x {SMALLEST} pixels; set a larger 'size'"


class Features(Spec):
    """The feature network of the Frechet distance (rFID).

    Attributes:
        model: Name of the model in timm.
        weights: A safetensors file with that model's weights.
    """

    model: str
    weights: WeightFile


class Fidelity(Spec):
    """Measures that need weights; without them their columns are empty.

    Attributes:
        lpips: A safetensors file with AlexNet and the heads of LPIPS v0.1.
        features: The network whose features are compared for rFID.
    """

    lpips: WeightFile | None = None
    features: Features | None = None

    def require(self, sizes: Mapping[str, int]) -> None:
        """Raise StudyError for the first data set whose images, of these sides in pixels, are too small to measure."""
        for name, size in sizes.items() if self.lpips else ():
            if size < SMALLEST:
                raise StudyError(f"datasets: {name}: {TOO_SMALL}")

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield each key that names a file, and that file."""
        if self.lpips:
            yield "lpips", self.lpips
        if self.features:
            yield "features", self.features.weights
