"""What a network costs on a space of a given shape: parameters, arithmetic, memory, time. Values do not matter."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from pipeline.networks.inference import device as accelerator

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
STEPS = 3
"""Steps of training after which memory is at its peak: an optimiser has its moments from the first on."""

Step = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """What a network is fed.

    Attributes:
        shape: (c, h, w) of one sample.
        classes: K.
        batch: samples at a time.
        precision: of what is computed; parameters are float32.
    """

    shape: tuple[int, int, int]
    classes: int
    batch: int
    precision: str

    def inputs(self, network: nn.Module, device: torch.device, batch: int | None = None) -> tuple[Tensor, ...]:
        """Return random values n x c x h x w and, for a network that is told of noise, its n deviations."""
        batch = batch or self.batch
        generator = torch.Generator().manual_seed(0)
        values = torch.randn((batch, *self.shape), generator=generator).to(device)
        values = values.contiguous(memory_format=torch.channels_last)
        return (values, torch.ones(batch, device=device)) if getattr(network, "conditioned", False) else (values,)


def parameters(network: nn.Module) -> int:
    """Return the number of trained values."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def multiply_accumulates(network: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """Return the multiply-accumulates of convolutions, matrix products and attention, for one sample, forwards."""
    network.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    return float(counter.get_total_flops() / 2 / len(inputs[0]))


def kept_bytes(network: nn.Module, one: tuple[Tensor, ...], more: tuple[Tensor, ...]) -> float:
    """Return the bytes that are kept for the backward pass of each further sample of a batch.

    A tensor that several operations keep counts once. What does not grow with the batch, as parameters, does not count.

    Args:
        network: in float32.
        one: its inputs.
        more: as many or more times larger inputs.
    """
    network.train()
    return (_kept(network, more) - _kept(network, one)) / (len(more[0]) - len(one[0]))


def _kept(network: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        # Held by the graph, so that no other tensor gets the same place.
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = network(*inputs)
    del result
    return sum(storages.values())


class Steps:
    """A network with inputs and an optimiser, ready to be timed."""

    def __init__(self, network: nn.Module, setting: Setting, device: torch.device) -> None:
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.setting, self.device = setting, device
        self.inputs = setting.inputs(network, device)
        self.labels = torch.arange(setting.batch, device=device) % setting.classes
        self.optimiser = torch.optim.AdamW(network.parameters(), lr=1e-6)

    def _logits(self) -> Tensor:
        with torch.autocast(self.device.type, TYPES[self.setting.precision], self.setting.precision != "float32"):
            logits: Tensor = self.network(*self.inputs)
        return logits.float()

    def infer(self) -> None:
        """Score one batch."""
        self.network.eval()
        with torch.inference_mode():
            self._logits()

    def train(self) -> None:
        """Take one step of training with one batch."""
        self.network.train()
        loss = functional.cross_entropy(self._logits(), self.labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    def kinds(self) -> dict[str, Step]:
        """Return what takes one batch."""
        return {"inference": self.infer, "training": self.train}

    def seconds(self, step: Step, count: int) -> float:
        """Return how long so many steps take."""
        self._wait()
        begin = time.perf_counter()
        for _ in range(count):
            step()
        self._wait()
        return time.perf_counter() - begin

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def peaks(build: Callable[[], nn.Module], setting: Setting) -> dict[str, float]:
    """Return the bytes that inference and training take at their peak, parameters and inputs included.

    On an accelerator what torch allocates there; otherwise the resident memory of this process above what libraries
    take. Call it in a process that does nothing else. NaN where the system does not tell, with a message.
    """
    device = accelerator()
    if device.type == "cpu":
        _warm_up()
    # Building imports libraries, which are no part of what a network takes; its own tensors are.
    network = build()
    before = _used(device) - _held(network, device)
    steps, found = Steps(network, setting, device), {}
    for (name, step), times in zip(steps.kinds().items(), (1, STEPS), strict=True):
        _forget_peak(device)
        for _ in range(times):
            step()
        found[name] = _peak(device) - before
    return found


def _warm_up() -> None:
    """Load what torch loads with a first convolution and product."""
    layer = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Flatten(), nn.Linear(64, 2))
    optimiser = torch.optim.AdamW(layer.parameters())
    functional.cross_entropy(layer(torch.zeros(2, 1, 8, 8)), torch.tensor([0, 1])).backward()
    optimiser.step()


def _held(network: nn.Module, device: torch.device) -> int:
    """Return the bytes of a network's tensors on this device."""
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.nbytes for tensor in tensors if tensor.device.type == device.type)


def _used(device: torch.device) -> float:
    return float(torch.cuda.memory_allocated(device)) if device.type == "cuda" else _status("VmRSS")


def _peak(device: torch.device) -> float:
    return float(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else _status("VmHWM")


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif os.access("/proc/self/clear_refs", os.W_OK):
        # Linux: sets the peak to what is resident now.
        Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> float:
    """Return a number of bytes from the kernel's description of this process."""
    status = Path("/proc/self/status")
    if not status.is_file() or not os.access("/proc/self/clear_refs", os.W_OK):
        sys.stderr.write("peak memory is not measured: this system does not tell a process what it takes\n")
        return float("nan")
    line = next(line for line in status.read_text().splitlines() if line.startswith(f"{field}:"))
    return float(line.split()[1]) * 1024
