"""Networks behind the contract: reduced precision with its guard, and the decoder's activations."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import StudyError
from pipeline.natural_images import natural_images
from pipeline.networks.adapter import Codec, TorchAutoencoder, decoder_stages

PIXELS = natural_images(3, 16, seed=5)


class Scaling(nn.Module):
    """A convolution of one pixel by a factor, and a second one that undoes it."""

    def __init__(self, factor: float, undo: float) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            for layer, value in ((self.first, factor), (self.second, undo)):
                layer.weight.copy_(value * torch.eye(3)[:, :, None, None])

    def forward(self, images: Tensor) -> Tensor:
        values: Tensor = self.second(self.first(images))
        return values


def codec(network: nn.Module) -> Codec:
    return Codec(network, 3, 0.0, lambda images: (network(images), None), lambda latents: latents)


def test_a_batch_that_overflows_is_repeated_in_float32_and_counted() -> None:
    # Three passes of 60: 216,000 times a pixel is more than float16 holds, and 600 for a pixel of 1/360 is not.
    network = nn.Sequential(*(Scaling(60, 1.0) for _ in range(3)), Scaling(1 / 60, 1 / 3600))
    autoencoder = TorchAutoencoder(codec(network), 3, "float16", "float16")
    bright, dark = np.ones((1, 3, 4, 4), np.float32), np.full((1, 3, 4, 4), 1 / 360, np.float32)
    np.testing.assert_allclose(autoencoder.encode(bright).mean, bright, rtol=1e-5)
    assert autoencoder.retries == 1
    np.testing.assert_allclose(autoencoder.encode(dark).mean, dark, rtol=1e-2)
    assert autoencoder.retries == 1


def test_reduced_precision_is_used_where_it_holds() -> None:
    autoencoder = TorchAutoencoder(codec(Scaling(3.0, 1 / 3)), 3, "float16")
    error = np.abs(autoencoder.encode(PIXELS).mean - PIXELS).max()
    assert 1e-6 < error < 2e-3
    assert autoencoder.retries == 0


def test_a_latent_beyond_float16_is_refused_with_the_cure() -> None:
    images = np.ones((1, 3, 4, 4), np.float32)
    for precision in ("float32", "float16"):
        with pytest.raises(StudyError, match="set 'latent_dtype: float32'"):
            TorchAutoencoder(codec(Scaling(1e5, 1.0)), 3, precision, "float16").encode(images)
    autoencoder = TorchAutoencoder(codec(Scaling(1e5, 1.0)), 3, "float32", "float32")
    assert autoencoder.encode(images).mean.max() == pytest.approx(1e5)


def test_what_is_not_finite_in_float32_is_refused() -> None:
    with pytest.raises(StudyError, match="768 of the autoencoder's values are not finite"):
        TorchAutoencoder(codec(Scaling(1e30, 1e30)), 3).encode(np.ones((1, 3, 16, 16), np.float32))


def test_activations_are_what_the_stages_give_on_the_way_to_the_image() -> None:
    decoder = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 3, 1)
    )
    stages = decoder_stages(decoder)
    assert list(stages) == ["layers.1", "layers.3"]
    network = Codec(decoder, 3, 0.0, lambda images: (images, None), decoder, stages)
    autoencoder = TorchAutoencoder(network, 3)
    latents = PIXELS[:2]
    seen = autoencoder.activations(latents, autoencoder.stages())
    with torch.no_grad():
        first = decoder[:2](torch.from_numpy(latents))
        second = decoder[3](decoder[2](first))
    np.testing.assert_allclose(seen["layers.1"], first.numpy(), atol=1e-6)
    np.testing.assert_allclose(seen["layers.3"], second.numpy(), atol=1e-6)
    assert set(autoencoder.activations(latents, ["layers.3"])) == {"layers.3"}
    assert not decoder[1]._forward_hooks
