"""Networks that measure: no gradients, and on an accelerator the same numbers in every run."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact() -> Iterator[None]:
    """Enter a context without gradients in which convolutions keep float32's mantissa and always the same algorithm.

    An accelerator otherwise rounds convolutions to ten bits of mantissa and picks an algorithm by timing.
    """
    flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), flags:
        yield


def device() -> torch.device:
    """Return the accelerator where there is one: the one in use, of several."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def place(job: int) -> None:
    """Use one of several accelerators, in turn by the number of a job; a scheduler that grants one shows only that."""
    if torch.cuda.is_available():
        torch.cuda.set_device(job % torch.cuda.device_count())
