"""The features of a frozen model of timm as latents, without a decoder: the reference for a learnable space.

A space that was made for classification shows how much a classifier could learn from these images at this resolution;
it gives no images back, so what is about reconstructions stays empty. `weights: null` with a `seed` leaves the model as
it is initialised: the control for what pretraining adds to an architecture.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from pipeline.autoencoders import Shape
from pipeline.errors import StudyError
from pipeline.networks.network import NetworkSpec
from pipeline.weights import WeightFile

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.networks.adapter import Codec
    from pipeline.networks.timm_features import Features


class Spec(NetworkSpec):
    """A model by its name in timm, and a local file with its weights."""

    decodes: ClassVar[bool] = False

    model: str
    """timm's name of the model."""
    weights: WeightFile | None
    """A safetensors file in timm's own layout, or in that of `efficientnet_lite_pytorch`; null: random weights."""
    seed: int | None = Field(default=None, ge=0)
    """Of random weights."""
    arguments: dict[str, Any] = {}
    """Further arguments of timm's `create_model`, such as `img_size`."""
    layer: int = -1
    """Which of the layers that timm gives as maps; -1 is the last one. [1]"""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.weights is None) == (self.seed is None):
            raise ValueError("say either 'weights', or 'weights: null' and the 'seed' of random ones")
        return self

    def files(self) -> list[str]:
        """Return the weights."""
        return [self.weights] if self.weights else []

    def latent_shape(self, image: Shape) -> Shape:
        """Return (c, h, w) as the model gives them; raise StudyError for a size that it does not take."""
        return self._features().shape(image[1], image[2])

    def codec(self) -> "Codec":
        """Read the weights."""
        from pipeline.networks.adapter import Codec

        features = self._features()
        return Codec(features, 3, 0.0, lambda images: (features(images), None), _refused)

    def _features(self) -> "Features":
        from pipeline.networks.timm_features import build

        return build(self.model, self.weights, self.seed, self.arguments, self.layer)


def _refused(_latents: "Tensor") -> "Tensor":
    raise StudyError("features have no decoder")
