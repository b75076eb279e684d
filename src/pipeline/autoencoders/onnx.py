"""Any pair of an encoder and a decoder as ONNX graphs, run on the processor.

How many channels and which stride the latents have is found by running the graphs once. What a graph cannot say is said
here: which values stand for black and white, and which output is meant where there are several. A graph that draws
random numbers is refused: take its mean, or its moments with `posterior: gaussian`.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, FiniteFloat

from pipeline.autoencoders import Autoencoder, AutoencoderSpec, Shape

if TYPE_CHECKING:
    from pipeline.networks.onnx_pair import OnnxAutoencoder


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] >= ends[1]:
        raise ValueError(f"white, {ends[1]}, must be above black, {ends[0]}")
    return ends


Range = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ascending)]


class Spec(AutoencoderSpec):
    """Two local files."""

    is_network: ClassVar[bool] = True

    encoder: str
    """Graph with one input, n x C x H x W images."""
    decoder: str
    """Graph with one input, n x c x h x w latents."""
    data: list[str] = []
    """Files with weights that a graph only refers to, each in the folder of its graph or below."""
    encoder_range: Range
    """The values that the encoder takes for a pixel of 0 and a pixel of 1. [1]"""
    decoder_range: Range | None = None
    """The values that the decoder gives for a pixel of 0 and a pixel of 1; unsaid: those of the encoder. [1]"""
    latent_output: str | None = None
    """Which output of the encoder is the latent; it must be said where there are several."""
    image_outputs: list[str] = []
    """Which outputs of the decoder are the image. Several are the levels of a pyramid, and the image is the sum of
    their bilinear interpolations to its size."""
    posterior: Literal["none", "gaussian"] = "none"
    """gaussian: the first half of the latent's channels is the mean, the second the log-variance."""
    channels: int | None = Field(default=None, ge=1)
    """Of the images that the encoder takes; must be said where the graph leaves them open. [channels]"""
    stride: int | None = Field(default=None, ge=1)
    """Pixels to one place of the latent. Said, it is checked; it must be said where the graphs do not take 64 x 64.
    [pixels]"""

    def files(self) -> list[str]:
        """Return the graphs and the files with their weights."""
        return [self.encoder, self.decoder, *self.data]

    def latent_shape(self, image: Shape) -> Shape:
        """Return (c, H / stride, W / stride) as the graphs give them; raise StudyError for a size they do not take."""
        return self._load(image[0]).latent_shape(image)

    def load(self, image_channels: int) -> Autoencoder:
        """Read both graphs and run them once."""
        return self._load(image_channels)

    def _load(self, image_channels: int) -> "OnnxAutoencoder":
        from pipeline.networks.onnx_graphs import Graph
        from pipeline.networks.onnx_pair import OnnxAutoencoder, Pair

        pair = Pair(
            encoder=Graph(self.encoder, self.data, [self.latent_output] if self.latent_output else []),
            decoder=Graph(self.decoder, self.data, self.image_outputs),
            encoder_range=self.encoder_range,
            decoder_range=self.decoder_range or self.encoder_range,
            gaussian=self.posterior == "gaussian",
        )
        return OnnxAutoencoder(pair, image_channels, self.channels, self.stride)
