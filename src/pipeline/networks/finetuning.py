"""Train an autoencoder further on images of a data set, and keep the best by validation images.

On the processor a training that was ended and gone on with gives the same bytes as an undisturbed one: everything
that a step draws depends on the seed, the fold and the step's number alone. On an accelerator rounding may differ.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, autograd, nn

from pipeline.autoencoders import Pixels
from pipeline.autoencoders.finetuned import Spec
from pipeline.errors import StudyError
from pipeline.networks.adapter import Codec
from pipeline.networks.adversary import BETAS, Adversary, last_layer
from pipeline.networks.checkpoint import Checkpoint, moments, part, prefixed, restore_moments
from pipeline.networks.discriminator import require_size
from pipeline.networks.objective import Objective, PixelCodec, divergence, sampled
from pipeline.networks.training import LARGEST_GRADIENT_NORM, reproducible
from pipeline.progress import progress
from pipeline.quality import psnr

COLUMNS = ("reconstruction", "kl", "lpips", "adversarial", "adaptive", "discriminator")
"""Of the curve: means over the steps since the line before."""


@dataclass(frozen=True)
class Data:
    """What may be seen of a data set.

    Attributes:
        read: row numbers to n x C x H x W pixels in [0, 1].
        shape: (C, H, W).
        train: rows to train on.
        validation: rows to choose by.
        fold: whose rows these are.
    """

    read: Callable[[NDArray[np.int64]], Pixels]
    shape: tuple[int, int, int]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    fold: int


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: steps taken.
        best_step: after which the validation loss was lowest; 0 is the parent.
        best_loss: that loss.
        stale: validation rounds since then.
        sums: of each training term and the number of steps in it, since the last round.
        curve: one entry for each validation round.
    """

    step: int = 0
    best_step: int = 0
    best_loss: float = math.inf
    stale: int = 0
    sums: dict[str, list[float]] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)


def finetune(spec: Spec, codec: Codec, data: Data, checkpoint: Checkpoint, ended: Callable[[], bool]) -> Progress:
    """Train the codec's network in place; it ends with the weights that were best, its own first ones among them.

    Raises:
        StudyError: no gradient passes through the latents, the loss is not finite, or `ended` said yes; then the
            checkpoint has been written.
    """
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with reproducible(spec.seed), exact:
        return _Finetuning(spec, codec, data, checkpoint, ended).run()


class _Finetuning:
    def __init__(self, spec: Spec, codec: Codec, data: Data, checkpoint: Checkpoint, ended: Callable[[], bool]) -> None:
        if data.shape[0] not in (1, codec.channels):
            raise StudyError(f"an autoencoder of {codec.channels} channels does not take images of {data.shape[0]}")
        self.spec, self.data, self.checkpoint, self.ended = spec, data, checkpoint, ended
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # Layers that would behave otherwise in training stay as they are when the autoencoder is used.
        self.network = codec.network.eval().to(self.device)
        self.codec, self.objective = PixelCodec(codec, data.shape[0]), Objective(spec, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=spec.precision == "float16")
        self.parameters = [value for value in self.network.parameters() if value.requires_grad]
        self.optimiser = torch.optim.Adam(self.parameters, spec.learning_rate, BETAS)
        self._require_gradients()
        self.adversary = self._adversary() if spec.adversarial_weight else None
        self.progress, self.best, self.saved_at = Progress(), self._weights(), time.monotonic()

    def run(self) -> Progress:
        self._go_on()
        for _ in progress(self._advance(), self.spec.steps - self.progress.step, "fine-tuning", "step"):
            pass
        self.network.load_state_dict(self.best)
        return self.progress

    def _advance(self) -> Iterator[int]:
        while not self._finished():
            if self.ended():
                self._save()
                raise StudyError(f"ended after step {self.progress.step}; the next call goes on from there")
            if self._due():
                self._evaluate()
            else:
                self._step()
                yield self.progress.step
            if time.monotonic() - self.saved_at >= self.spec.checkpoint_every:
                self._save()

    def _finished(self) -> bool:
        return self.progress.stale >= self.spec.patience or (self.progress.step == self.spec.steps and not self._due())

    def _due(self) -> bool:
        step, curve = self.progress.step, self.progress.curve
        asked = step % self.spec.evaluate_every == 0 or step == self.spec.steps
        return asked and not (curve and curve[-1]["step"] == step)

    def _step(self) -> None:
        random = np.random.default_rng([self.spec.seed, self.data.fold, self.progress.step])
        size = min(self.spec.batch, len(self.data.train))
        images = self._images(random.choice(self.data.train, size, replace=False))
        decoded, terms = self._forward(images, random)
        loss = self.objective.total(terms)
        if not bool(loss.isfinite()):
            raise StudyError(f"the loss of step {self.progress.step} is not finite; lower the learning rate")
        adversary = self.adversary if self.progress.step >= self.spec.adversarial_start else None
        if adversary:
            judged, factors = adversary.judge(decoded, loss)
            loss, terms = loss + judged, terms | factors
        self.optimiser.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.parameters, LARGEST_GRADIENT_NORM)
        self.scaler.step(self.optimiser)
        if adversary:
            terms["discriminator"] = adversary.learn(images, decoded)
        self.scaler.update()
        self._count(terms)

    def _forward(self, images: Tensor, random: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return decoded images, and the terms of the loss as means over the batch, in float32."""
        with self._autocast():
            mean, log_variance = self.codec.encode(images)
        mean, log_variance = mean.float(), None if log_variance is None else log_variance.float()
        noise = torch.from_numpy(random.standard_normal(mean.shape, np.float32)).to(self.device)
        with self._autocast():
            decoded = self.codec.decode(sampled(mean, log_variance, noise))
        decoded = decoded.float()
        terms = self.objective.terms(images, decoded)
        if log_variance is not None:
            terms["kl"] = divergence(mean, log_variance, math.prod(self.data.shape))
        return decoded, {name: value.mean() for name, value in terms.items()}

    def _count(self, terms: dict[str, Tensor]) -> None:
        self.progress.step += 1
        for name, value in terms.items():
            # Scaled for float16, a gradient may overflow; that step is left out, and the next ones are scaled less.
            if math.isfinite(number := value.item()):
                total, steps = self.progress.sums.get(name, (0.0, 0))
                self.progress.sums[name] = [total + number, steps + 1]

    @torch.no_grad()
    def _evaluate(self) -> None:
        """Judge the present weights as the workflow will use them: posterior mean, float32, pixels in [0, 1]."""
        losses, errors = [], []
        for rows in np.array_split(self.data.validation, -(-len(self.data.validation) // self.spec.batch)):
            if self.ended():
                return
            images = self._images(rows)
            decoded = self.codec.decode(self.codec.encode(images)[0]).clamp(0, 1)
            losses.append(self.objective.total(self.objective.terms(images, decoded)).double().cpu().numpy())
            errors.append((decoded - images).double().square().mean(dim=(1, 2, 3)).cpu().numpy())
        self._compare(float(np.concatenate(losses).mean()), psnr(np.concatenate(errors)))

    def _compare(self, loss: float, fidelity: float) -> None:
        now = self.progress
        if not math.isfinite(loss):
            raise StudyError(f"the validation loss after step {now.step} is not finite; lower the learning rate")
        means = {name: total / steps for name, (total, steps) in now.sums.items()}
        now.curve.append({"step": now.step, **means, "validation_loss": loss, "validation_psnr": fidelity})
        now.sums = {}
        now.stale += 1
        if loss < now.best_loss:
            now.best_step, now.best_loss, now.stale, self.best = now.step, loss, 0, self._weights()
        sys.stderr.write(f"step {now.step}: validation loss {loss:.6f}, PSNR {fidelity:.2f} dB\n")

    def _images(self, rows: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self.data.read(rows)).to(self.device)

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def _autocast(self) -> AbstractContextManager[object]:
        dtype: torch.dtype = getattr(torch, self.spec.precision)
        return nullcontext() if dtype == torch.float32 else torch.autocast(self.device.type, dtype)

    def _require_gradients(self) -> None:
        images = self._images(self.data.train[:1]).requires_grad_()
        decoded = self.codec.decode(self.codec.encode(images)[0])
        if not decoded.requires_grad or autograd.grad(decoded.sum(), images, allow_unused=True)[0] is None:
            raise StudyError(
                f"{self.spec.parent} cannot be fine-tuned: no gradient passes through its latents, which are looked up "
                "in a codebook or encoded without gradients"
            )

    def _adversary(self) -> Adversary:
        require_size(*self.data.shape[1:])
        images = self._images(self.data.train[:1])
        layer = last_layer(self.network, lambda: self.codec.decode(self.codec.encode(images)[0]))
        return Adversary(self.spec, self.data.shape[0], layer, self.scaler, self._autocast)

    def _save(self) -> None:
        tensors = prefixed("network", self.network.state_dict()) | prefixed("best", self.best)
        tensors |= prefixed("optimiser", moments(self.optimiser))
        if self.adversary:
            tensors |= prefixed("adversary", self.adversary.state())
        self.checkpoint.write(tensors, {"progress": asdict(self.progress), "scaler": self.scaler.state_dict()})
        self.saved_at = time.monotonic()

    def _go_on(self) -> None:
        if (found := self.checkpoint.read()) is None:
            return
        tensors, state = found
        self.network.load_state_dict(part("network", tensors))
        self.best = {name: value.to(self.device) for name, value in part("best", tensors).items()}
        restore_moments(self.optimiser, part("optimiser", tensors))
        if self.adversary:
            self.adversary.restore(part("adversary", tensors))
        self.progress = Progress(**state["progress"])
        self.scaler.load_state_dict(state["scaler"])
        sys.stderr.write(f"going on after step {self.progress.step}\n")
