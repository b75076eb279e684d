"""Arrays to a device and back, beside what the device computes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]


class Transfer:
    """Copies in and out, each in a stream of its own, so that neither waits for the other nor for a computation.

    On the processor nothing is copied.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._streams = [torch.cuda.Stream(device) for _ in range(2)] if device.type == "cuda" else []

    def there(self, values: Floats) -> Tensor:
        """Return float32 values on the device; what is computed from them waits for the copy, and this process not."""
        here = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
        if not self._streams:
            return here
        computing = torch.cuda.current_stream(self.device)
        # Only from pinned memory a copy runs beside the rest; what is freed here is not used again before it ends.
        with self._entered(0):
            copied = here.pin_memory().to(self.device, non_blocking=True)
        computing.wait_stream(self._streams[0])
        copied.record_stream(computing)
        return copied.contiguous(memory_format=torch.channels_last)

    def back(self, values: Tensor) -> Callable[[], Floats]:
        """Begin to copy values; what is returned waits for them."""
        if not self._streams:
            array: Floats = values.float().numpy()
            return lambda: array
        self._streams[1].wait_stream(torch.cuda.current_stream(self.device))
        with self._entered(1):
            here = torch.empty(values.shape, dtype=torch.float32, pin_memory=True)
            here.copy_(values, non_blocking=True)
            values.record_stream(self._streams[1])
            done = self._streams[1].record_event()

        def arrived() -> Floats:
            done.synchronize()
            found: Floats = here.numpy()
            return found

        return arrived

    def _entered(self, number: int) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._streams[number])
