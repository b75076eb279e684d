"""A discriminator that is trained beside an autoencoder, and what it asks of it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from pipeline.autoencoders.finetuned import Spec
from pipeline.networks.checkpoint import Tensors, moments, part, prefixed, restore_moments
from pipeline.networks.discriminator import PatchDiscriminator, adaptive_weight, hinge

BETAS = (0.5, 0.9)
Autocast = Callable[[], AbstractContextManager[object]]


class Adversary:
    """The discriminator's side of fine-tuning."""

    def __init__(
        self, spec: Spec, channels: int, layer: nn.Parameter, scaler: torch.amp.GradScaler, autocast: Autocast
    ) -> None:
        self.weight, self.layer, self.scaler, self.autocast = spec.adversarial_weight, layer, scaler, autocast
        self.network = PatchDiscriminator(channels).to(layer.device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), spec.learning_rate, BETAS)

    def judge(self, decoded: Tensor, base: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what is added to the loss `base` of these images, and its two factors beside the configured one."""
        with _frozen(self.network), self.autocast():
            logits = self.network(decoded)
        adversarial = -logits.float().mean()
        # Both are scaled alike: in half precision small gradients would vanish, and the ratio stays what it is.
        ratio = adaptive_weight(self.scaler.scale(base), self.scaler.scale(adversarial), self.layer)
        return self.weight * ratio * adversarial, {"adversarial": adversarial, "adaptive": ratio}

    def learn(self, images: Tensor, decoded: Tensor) -> Tensor:
        """Take one step and return its loss."""
        with self.autocast():
            real, fake = self.network(images), self.network(decoded.detach())
        loss = hinge(real.float(), fake.float())
        self.optimiser.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimiser)
        return loss

    def state(self) -> Tensors:
        """Return all that a later step depends on."""
        return prefixed("network", self.network.state_dict()) | prefixed("optimiser", moments(self.optimiser))

    def restore(self, tensors: Tensors) -> None:
        """Undo `state`."""
        self.network.load_state_dict(part("network", tensors))
        restore_moments(self.optimiser, part("optimiser", tensors))


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    network.requires_grad_(False)
    yield
    network.requires_grad_(True)


def last_layer(network: nn.Module, decode: Callable[[], object]) -> nn.Parameter:
    """Return the weight of the layer that decoding runs through last."""
    called: list[nn.Parameter] = []

    def note(module: nn.Module, *_: object) -> None:
        called.append(module.weight)  # type: ignore[arg-type]

    layers = [module for module in network.modules() if getattr(module, "weight", None) is not None]
    handles = [layer.register_forward_hook(note) for layer in layers if layer.weight.ndim > 1]  # type: ignore[operator]
    try:
        with torch.no_grad():
            decode()
    finally:
        for handle in handles:
            handle.remove()
    return called[-1]
