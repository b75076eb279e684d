"""The terms of fine-tuning against closed forms, and the discriminator against what is published of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from pipeline import families
from pipeline.autoencoders.finetuned import Spec
from pipeline.errors import StudyError
from pipeline.networks.adapter import Codec
from pipeline.networks.adversary import last_layer
from pipeline.networks.discriminator import LARGEST_RATIO, PatchDiscriminator, adaptive_weight, hinge, require_size
from pipeline.networks.network import TrainableSpec
from pipeline.networks.objective import Objective, PixelCodec, divergence, sampled
from pipeline.networks.tae import TinyAutoencoder

WEIGHTS = Path(__file__).parent.parent / "resources" / "weights"


def test_the_divergence_is_that_of_normal_distributions() -> None:
    mean, log_variance = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0)).unbind()
    posterior = Normal(mean, (0.5 * log_variance).exp())
    expected = kl_divergence(posterior, Normal(0.0, 1.0)).sum(dim=(1, 2, 3)) / 7
    torch.testing.assert_close(divergence(mean, log_variance, 7), expected)
    assert (divergence(torch.zeros(2, 1, 1, 1), torch.zeros(2, 1, 1, 1), 1) == 0).all()


def test_latents_are_drawn_from_the_posterior_where_there_is_one() -> None:
    mean, noise = torch.full((1, 1, 2, 2), 3.0), torch.tensor([[[[0.0, 1.0], [-1.0, 2.0]]]])
    torch.testing.assert_close(sampled(mean, torch.full_like(mean, 2 * np.log(5)), noise), 3 + 5 * noise)
    assert sampled(mean, None, noise) is mean


@pytest.mark.parametrize(("kind", "expected"), [("l1", 0.3), ("l2", 0.1)])
def test_the_reconstruction_error_is_a_mean_over_the_values_of_an_image(kind: str, expected: float) -> None:
    spec = Spec.model_validate({"family": "finetuned", "parent": "x", "reconstruction": kind, "kl_weight": 2.0})
    objective, images = Objective(spec, torch.device("cpu")), torch.zeros(2, 1, 2, 2)
    terms = objective.terms(images, torch.tensor([0.1, 0.1, 0.4, 0.6]).reshape(1, 1, 2, 2).expand(2, -1, -1, -1))
    if kind == "l2":
        expected = (0.01 + 0.01 + 0.16 + 0.36) / 4
    torch.testing.assert_close(terms["reconstruction"], torch.full((2,), expected))
    torch.testing.assert_close(objective.total(terms | {"kl": torch.ones(2)}), torch.full((2,), expected + 2))


def test_a_grey_image_goes_through_a_colour_network_as_everywhere_else() -> None:
    seen = []
    codec = Codec(nn.Identity(), 3, -1.0, lambda images: (seen.append(images) or images, None), lambda latents: latents)
    images = torch.tensor([0.0, 0.25, 1.0, 0.5]).reshape(1, 1, 2, 2)
    grey = PixelCodec(codec, 1)
    latents, _ = grey.encode(images)
    torch.testing.assert_close(latents, (2 * images - 1).expand(-1, 3, -1, -1))
    latents = latents + torch.tensor([0.3, -0.1, -0.2])[:, None, None]
    torch.testing.assert_close(grey.decode(latents), images)
    assert PixelCodec(codec, 3).decode(latents).shape == (1, 3, 2, 2)


def test_the_hinge_loss_has_its_known_values() -> None:
    for real, fake, expected in [([2.0, 1.0], [-1.0, -5.0], 0.0), ([0.0], [0.0], 1.0), ([-1.0, 3.0], [1.0], 1.5)]:
        assert hinge(torch.tensor(real), torch.tensor(fake)).item() == expected


def test_the_discriminator_is_the_published_one() -> None:
    # pix2pix prints 2.769 million parameters for its conditional discriminator, which sees six channels.
    assert sum(value.numel() for value in PatchDiscriminator(6).parameters()) == 2_768_705
    assert PatchDiscriminator(3)(torch.zeros(2, 3, 256, 256)).shape == (2, 1, 30, 30)


def test_a_logit_sees_a_patch_of_70_pixels() -> None:
    images = torch.rand(1, 1, 160, 160, generator=torch.Generator().manual_seed(0)).requires_grad_()
    logits = PatchDiscriminator(1).eval()(images)
    logits[0, 0, 9, 9].backward()
    assert images.grad is not None
    rows, columns = np.nonzero(images.grad[0, 0].numpy())
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == 70


@pytest.mark.parametrize("side", [24, 23])
def test_smaller_images_have_no_logit(side: int) -> None:
    if side == 24:
        require_size(24, 40)
        assert PatchDiscriminator(1)(torch.zeros(2, 1, 24, 24)).shape[2:] == (1, 1)
        return
    with pytest.raises(StudyError, match="at least 24 x 24 pixels, and not 23 x 40"):
        require_size(23, 40)
    with pytest.raises(RuntimeError):
        PatchDiscriminator(1)(torch.zeros(2, 1, 23, 23))


def test_the_adaptive_weight_makes_both_gradients_equally_long() -> None:
    layer = nn.Parameter(torch.tensor([[3.0, 4.0]]))
    one, other = (layer * torch.tensor([[3.0, 4.0]])).sum(), (layer * torch.tensor([[0.0, -0.5]])).sum()
    assert adaptive_weight(one, other, layer).item() == pytest.approx(10, rel=1e-4)
    assert adaptive_weight(one, 1e-9 * other, layer).item() == LARGEST_RATIO
    assert not adaptive_weight(one, other, layer).requires_grad


def test_the_last_layer_is_the_one_that_gives_the_image() -> None:
    spec = families.spec("autoencoders", {"family": "diffusers-kl", "folder": str(WEIGHTS / "kl")})
    assert isinstance(spec, TrainableSpec)
    codec, tiny = spec.codec(), TinyAutoencoder()
    found = last_layer(codec.network, lambda: codec.decode(torch.zeros(1, 8, 4, 4)))
    assert found is codec.network.decoder.conv_out.weight  # type: ignore[union-attr]
    assert last_layer(tiny, lambda: tiny.decoder(torch.zeros(1, 32, 2, 2))) is tiny.decoder[-1].weight
