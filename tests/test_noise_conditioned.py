"""Networks that are told of the noise: magnitudes, a neutral start, and information that is known in closed form."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from pipeline import families
from pipeline.errors import StudyError
from pipeline.folds import Split
from pipeline.heads import Space, balanced_accuracy
from pipeline.networks import film
from pipeline.networks.tokens import TokenTransformer, patch_side
from pipeline.networks.trainer import build
from pipeline.trained import TrainedSpec
from tests.test_heads import FILM, PARTS, toy

LITTLE = {"distribution": "log-normal", "mean": -3.0}
TINY: dict[str, dict[str, Any]] = {
    "film-convnext": FILM,
    "mlp": {"width": 8, "noise": {}},
    "transformer": {"width": 8, "heads": 2, "tokens": 16, "noise": {}},
}


def entry(family: str, **options: object) -> TrainedSpec:
    spec = families.spec("heads", {"family": family, **TINY.get(family, {}), **options})
    assert isinstance(spec, TrainedSpec)
    return spec


def test_layers_of_the_embedding_keep_the_variance() -> None:
    torch.manual_seed(0)
    x = torch.randn(20000, 256)
    with torch.no_grad():
        layer = film.KeepingLinear(256, 256)
        layer.weight.mul_(7)
        assert layer(x).var().item() == pytest.approx(1, abs=0.01)
        assert film.keeping_silu(x).square().mean().item() == pytest.approx(1, rel=0.01)
        features = film.FourierFeatures(4096)(torch.linspace(-2, 2, 50))
        np.testing.assert_allclose(features.square().mean(dim=1), 1, atol=0.1)
        embedding = film.NoiseEmbedding()(torch.logspace(-5, 2, 200))
        assert embedding.square().mean().item() == pytest.approx(1, rel=0.35)


def test_the_embedding_is_of_a_quarter_of_the_logarithm() -> None:
    torch.manual_seed(0)
    made = film.NoiseEmbedding()
    sigma = torch.tensor([1e-5, 0.3, 80.0])
    x = made.fourier(sigma.double().log().div(4).float())
    expected = np.sqrt(2) * np.cos(
        np.log(sigma.numpy())[:, None] / 4 * made.fourier.frequencies.numpy() + made.fourier.phases.numpy()
    )
    np.testing.assert_allclose(x, expected, atol=1e-4)
    with torch.no_grad():
        whole = made.second(film.keeping_silu(made.first(x)))
        np.testing.assert_allclose(made(sigma), whole, atol=1e-4)


def test_frequencies_stay_and_are_stored_with_the_network() -> None:
    made = film.NoiseEmbedding()
    assert {"fourier.frequencies", "fourier.phases"} <= made.state_dict().keys()
    assert {name for name, _ in made.named_parameters()} == {"first.weight", "second.weight"}


@pytest.mark.parametrize("family", TINY)
def test_a_network_starts_as_it_would_be_without_noise_and_can_come_to_depend_on_it(family: str) -> None:
    torch.manual_seed(0)
    network: Any = build(entry(family), toy(1.0)).eval()
    values, one, other = torch.randn(4, 2, 16, 16), torch.full((4,), 0.01), torch.full((4,), 5.0)
    # Two of them bring their inputs to variance 1 first.
    given = [values if family == "film-convnext" else values * np.hypot(level, 0.5) for level in (0.01, 5.0)]
    with torch.no_grad():
        np.testing.assert_allclose(network(given[0], one), network(given[1], other), atol=1e-5)
        for part in network.films:
            torch.nn.init.normal_(part.linear.weight)
        assert not np.allclose(network(given[0], one), network(given[1], other), atol=1e-3)


def test_each_stage_has_a_scale_and_a_shift_of_its_width() -> None:
    options = {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}
    network: Any = build(entry("film-convnext", arguments=options), toy(1.0))
    assert [tuple(part.linear.weight.shape) for part in network.films] == [(2 * w, 256) for w in (8, 16, 24, 32)]
    part = network.films[1]
    torch.nn.init.normal_(part.linear.bias)
    x, embedding = torch.randn(3, 16, 4, 4), torch.zeros(3, 256)
    scale, shift = part.linear.bias.detach().numpy().reshape(2, 1, 16, 1, 1)
    np.testing.assert_allclose(part(x, embedding, channel=1).detach(), x.numpy() * (1 + scale) + shift, atol=1e-5)


def test_a_head_is_scored_along_the_noise_from_nearly_clean_to_chance() -> None:
    space = toy(3.0)
    spec = entry("film-convnext", epochs=24, learning_rate=0.02, noise={**LITTLE, "evaluated": 4})
    fitted = spec.fit(space, PARTS, 0)
    assert [point.axis for point in fitted.profile] == ["noise"] * 4
    assert [point.at for point in fitted.profile] == spec.noise.levels() if spec.noise else []
    np.testing.assert_allclose(fitted.profile[0].test, fitted.test, atol=0.05)
    accuracies = [balanced_accuracy(point.test, space.numbers[PARTS.test]) for point in fitted.profile]
    assert accuracies[0] > 0.9
    assert 0.3 < accuracies[-1] < 0.7


def test_a_network_that_cannot_be_told_of_noise_is_refused() -> None:
    with pytest.raises(StudyError, match="of the family timm takes no noise; take film-convnext"):
        entry("timm", model="resnet10t", noise={}).fit(toy(1.0), PARTS, 0)


def test_only_a_convnext_can_have_scale_and_shift_by_stage() -> None:
    with pytest.raises(StudyError, match="timm's resnet10t is not a ConvNeXt"):
        build(entry("film-convnext", model="resnet10t", arguments={}), toy(1.0))


def information(variance: float, t: float) -> float:
    """I(C; Y) in nats of C = -1 or 1 with even odds, X ~ N(C, variance), Y = X + sqrt(t) N(0, 1), by quadrature."""

    def density(y: float) -> float:
        one, other = (stats.norm.pdf(y, c, np.sqrt(variance + t)) for c in (1, -1))
        return float(one * np.log(2 * one / (one + other))) if one > 1e-300 else 0.0

    return float(integrate.quad(density, -12, 14, limit=200)[0])


def test_the_noise_conditioned_head_finds_the_information_that_a_mixture_holds() -> None:
    # Values known for paper 2.
    for t, known in {0.1: 0.68260407, 0.25: 0.61036216, 1.0: 0.32806631, 4.0: 0.11043536}.items():
        assert information(0.04, t) == pytest.approx(known, abs=1e-7)
    random = np.random.default_rng(0)
    numbers = np.arange(20000) % 2
    values = (2 * numbers - 1 + 0.2 * random.standard_normal(20000)).astype(np.float32)
    space = Space(values.reshape(-1, 1, 1, 1), np.eye(2, dtype=np.int8)[numbers], True, 8)
    split = Split(0, np.arange(7000), np.arange(7000, 8000), np.arange(8000, 20000))
    # Noise of variance 0.1 to 1, of inputs that are scaled to the deviation 0.5.
    scale = 0.5 / values[:7000].std()
    noise = {"steps": 3, "sigma_min": np.sqrt(0.1) * scale, "sigma_max": scale, "rho": 1, "evaluated": 3}
    options = {"grid": None, "width": 32, "depth": 2, "dropout": 0, "noise": noise, "epochs": 10, "batch": 128}
    fitted = entry("mlp", **options, learning_rate=0.01, weight_decay=0.0).fit(space, split, 0)
    for point in fitted.profile:
        gain = np.log(2) + point.test[np.arange(12000), numbers[split.test]].mean(dtype=np.float64)
        assert gain == pytest.approx(information(0.04, (point.at / scale) ** 2), rel=0.03)


# Tokens.


@pytest.mark.parametrize(
    ("h", "w", "most", "side"), [(64, 64, 256, 4), (80, 80, 256, 5), (16, 16, 256, 1), (17, 17, 256, 2), (8, 4, 1, 8)]
)
def test_patches_are_as_small_as_the_number_of_tokens_allows(h: int, w: int, most: int, side: int) -> None:
    assert patch_side(h, w, most) == side
    assert np.ceil(h / side) * np.ceil(w / side) <= most


def test_every_cell_is_in_a_token_and_places_can_be_told_apart() -> None:
    spec: Any = families.spec("heads", {"family": "transformer", "width": 8, "heads": 2, "tokens": 9})
    torch.manual_seed(0)
    network = TokenTransformer((2, 7, 7), 3, spec).eval()
    assert network.side == 3
    values = torch.randn(1, 2, 7, 7, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(values).sum(), values)
    assert (gradient != 0).all()
    turned = network(values.flip(2, 3)).detach()
    assert not np.allclose(turned, network(values).detach(), atol=1e-6)
    assert len(network.layers) == 6


def test_too_few_layers_or_an_uneven_width_are_refused() -> None:
    with pytest.raises(ValueError, match="depth"):
        entry("transformer", depth=5)
    with pytest.raises(ValueError, match="'width' is 8, which 3 heads cannot share"):
        entry("transformer", heads=3)
